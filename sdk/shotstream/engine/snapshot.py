"""Story state as bytes: plans, latents and encoded context frames. No weights, no KV cache, no pickle.

The bytes are one safetensors file whose metadata holds a JSON description.
"""

from __future__ import annotations

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..errors import ScriptError

VERSION = 1
MAX_BYTES = 2 * 2**30
_KEY = "shotstream"


class SavedShot(msgspec.Struct, forbid_unknown_fields=True):
    """One remembered shot; tensor ``shot{shot}/frame{n}`` holds the encoding of each kept frame ``n``."""

    shot: int
    start: int
    length: int
    stride: int
    captions: list[tuple[int, str]]
    kept: list[int]


class SavedPin(msgspec.Struct, forbid_unknown_fields=True):
    shot: int
    frame: int | None


class SavedPlan(msgspec.Struct, forbid_unknown_fields=True):
    shot: int
    caption: str
    global_caption: str
    seed: int
    pins: list[SavedPin]
    num_frames: int | None


class SavedContext(msgspec.Struct, forbid_unknown_fields=True):
    """Context of the open shot; tensor ``context`` holds its latents when ``flags`` came from earlier shots."""

    flags: list[int]
    captions: list[str]


class SavedStory(msgspec.Struct, forbid_unknown_fields=True):
    """Everything but tensors. ``first_block`` is the oldest block of the open shot whose latent is kept in tensor
    ``blocks``; ``block_captions`` names the prompt of each kept block."""

    version: int
    fingerprint: str
    shots: list[SavedShot]
    plan: SavedPlan | None = None
    context: SavedContext | None = None
    next_block: int = 0
    first_block: int = 0
    prompt: str = ""
    block_captions: list[str] = []


def pack(story: SavedStory, tensors: dict[str, Tensor]) -> bytes:
    """Description and tensors as bytes."""
    described = {_KEY: msgspec.json.encode(story).decode()}
    return bytes(save_tensors({name: t.contiguous() for name, t in tensors.items()}, described))


def unpack(state: bytes, fingerprint: str) -> tuple[SavedStory, dict[str, Tensor]]:
    """The inverse of :func:`pack`, checked.

    Raises:
        ScriptError: too large, damaged, of another version, or made with other weights.
    """
    if len(state) > MAX_BYTES:
        raise ScriptError(f"snapshot of {len(state)} bytes exceeds {MAX_BYTES}; it was not made by shotstream")
    try:
        header = int.from_bytes(state[:8], "little")
        metadata = msgspec.json.decode(state[8 : 8 + header])["__metadata__"]
        story = msgspec.json.decode(metadata[_KEY], type=SavedStory)
        tensors = load_tensors(state)
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ScriptError(f"not a shotstream snapshot, or a damaged one ({error}); take a new snapshot") from error
    if story.version != VERSION:
        raise ScriptError(f"snapshot version {story.version}, this build reads version {VERSION}; take a new snapshot")
    if story.fingerprint != fingerprint:
        raise ScriptError(
            f"snapshot was made with weights {story.fingerprint}, this engine runs {fingerprint}; open the same bundle"
        )
    return story, tensors
