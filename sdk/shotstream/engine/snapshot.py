"""Story state as bytes: plans, latents and encoded context frames. No weights, no KV cache, no pickle.

The bytes are one safetensors file whose metadata holds a JSON description.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..errors import ScriptError

VERSION = 1
MAX_BYTES = 2 * 2**30
_KEY = "shotstream"

LATENT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Numbers of shots, blocks and frames: far beyond any film, and safe in every calculation that they go into."""

Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class SavedShot(msgspec.Struct, forbid_unknown_fields=True):
    """One remembered shot; tensor ``shot{shot}/frame{n}`` holds the encoding of each kept frame ``n``."""

    shot: Count
    start: Count
    length: Count
    stride: Annotated[int, msgspec.Meta(ge=1, le=2**40)]
    captions: list[tuple[Count, str]]
    kept: list[Count]


class SavedPin(msgspec.Struct, forbid_unknown_fields=True):
    shot: Count
    frame: Count | None


class SavedPlan(msgspec.Struct, forbid_unknown_fields=True):
    shot: Count
    caption: str
    global_caption: str
    seed: Seed
    pins: list[SavedPin]
    num_frames: Count | None
    made_as: Count | None = None


class SavedContext(msgspec.Struct, forbid_unknown_fields=True):
    """Context of the open shot; tensor ``context`` holds its latents when ``flags`` came from earlier shots."""

    flags: list[Count]
    captions: list[str]


class SavedStory(msgspec.Struct, forbid_unknown_fields=True):
    """Everything but tensors. ``first_block`` is the oldest block of the open shot whose latent is kept in tensor
    ``blocks``; ``block_captions`` names the prompt of each kept block."""

    version: int
    fingerprint: str
    shots: list[SavedShot]
    plan: SavedPlan | None = None
    context: SavedContext | None = None
    next_block: Count = 0
    first_block: Count = 0
    prompt: str = ""
    block_captions: list[str] = []


def pack(story: SavedStory, tensors: dict[str, Tensor]) -> bytes:
    """Description and tensors as bytes."""
    described = {_KEY: msgspec.json.encode(story).decode()}
    return bytes(save_tensors({name: t.contiguous() for name, t in tensors.items()}, described))


def unpack(state: bytes, fingerprint: str) -> tuple[SavedStory, dict[str, Tensor]]:
    """The inverse of :func:`pack`, checked.

    Raises:
        ScriptError: no bytes, too large, damaged, of another version, made with other weights, or telling of shots
            that no film can hold.
    """
    if not isinstance(state, bytes):
        raise ScriptError(f"a snapshot is bytes, not {type(state).__name__}; give what snapshot() returned")
    if len(state) > MAX_BYTES:
        raise ScriptError(f"snapshot of {len(state)} bytes exceeds {MAX_BYTES}; it was not made by shotstream")
    try:
        header = int.from_bytes(state[:8], "little")
        metadata = msgspec.json.decode(state[8 : 8 + header])["__metadata__"]
        story = msgspec.json.decode(metadata[_KEY], type=SavedStory)
        tensors = load_tensors(state)
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ScriptError(f"not a shotstream snapshot, or a damaged one ({error}); take a new snapshot") from error
    if story.version != VERSION:
        raise ScriptError(f"snapshot version {story.version}, this build reads version {VERSION}; take a new snapshot")
    if story.fingerprint != fingerprint:
        raise ScriptError(
            f"snapshot was made with weights {story.fingerprint}, this engine runs {fingerprint}; open the same bundle"
        )
    _check_shots(story)
    for name, tensor in tensors.items():
        # Values that are not finite would stay in the memory, and so in the picture, for ever.
        if tensor.dtype not in LATENT_DTYPES or not bool(torch.isfinite(tensor).all()):
            raise ScriptError(f"snapshot tensor {name} holds no finite latents; take a new snapshot")
    return story, tensors


def _check_shots(story: SavedStory) -> None:
    """Shots rise without overlap, each with frames that exist; the last one is the open shot, if one is open.

    Raises:
        ScriptError: something of this does not hold.
    """
    end, newest = 0, -1
    for shot in story.shots:
        is_open = story.plan is not None and shot is story.shots[-1]
        from_latents = is_open and story.first_block == 0  # its frames come back by decoding
        firsts = [first for first, _ in shot.captions]
        if (
            shot.shot <= newest
            or shot.start < end
            or not firsts
            or firsts[0] != 0
            or firsts != sorted(firsts)
            or not all(n < shot.length for n in shot.kept)
            or not (shot.kept or from_latents)
        ):
            raise ScriptError(f"snapshot describes shot {shot.shot} inconsistently; take a new snapshot")
        end, newest = shot.start + shot.length, shot.shot
    if story.plan is not None and story.plan.shot != newest:
        raise ScriptError(f"snapshot lacks the memory of its open shot {story.plan.shot}; take a new snapshot")
