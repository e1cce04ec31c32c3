"""A film at a moment, as bytes: plan, undelivered frames and the engine's own state. Never pickle.

Layout: 8 bytes magic, 32 bytes SHA-256 of the rest, then one MessagePack map checked against ``FilmState``.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass, field

import msgspec

from ..errors import ScriptError
from ..frames import Frame, VideoSpec
from .director import Plan
from .limits import MAX_SEED, clean_prompt

MAGIC = b"SHSFILM1"
MAX_COUNT = 2**40
"""Numbers of shots, blocks and frames: far beyond any film."""


@dataclass(frozen=True, kw_only=True)
class SavedFrame:
    """A frame that was made and not yet taken; ``pixels`` is zlib over ``(height, width, 3)`` uint8 RGB."""

    shot: int
    block: int
    frame_in_shot: int
    revision: int
    seed: int
    prompt: str
    pixels: bytes


@dataclass(frozen=True, kw_only=True)
class FilmState:
    """Everything needed to go on in another process with the same bundle."""

    bundle: str
    width_px: int
    height_px: int
    seed: int
    world: str
    next_index: int
    pins: list[tuple[int, int | None]]
    plan: Plan
    frames: list[SavedFrame] = field(default_factory=list)
    engine: bytes = b""


def pack(state: FilmState) -> bytes:
    """Bytes of ``state``."""
    body = msgspec.msgpack.encode(state)
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(data: bytes) -> FilmState:
    """The state in ``data``.

    Raises:
        ScriptError: no snapshot, another version, damaged, or telling of a film that cannot be.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ScriptError(f"the snapshot is {type(data).__name__}; expected the bytes that Film.snapshot() returned")
    data = bytes(data)
    if data[: len(MAGIC)] != MAGIC:
        raise ScriptError(
            f"the snapshot starts with {data[:8]!r}; expected {MAGIC!r}; give the bytes that Film.snapshot() returned"
        )
    digest, body = data[len(MAGIC) : len(MAGIC) + 32], data[len(MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != digest:
        raise ScriptError(f"the snapshot of {len(data)} bytes is damaged (its checksum differs); use an intact copy")
    try:
        state = msgspec.msgpack.decode(body, type=FilmState)
    except msgspec.MsgspecError as error:
        raise ScriptError(f"the snapshot does not hold what this version expects ({error}); make a new one") from error
    _check(state)
    return state


def _check(state: FilmState) -> None:
    """Numbers that a film can have. The checksum proves that nothing was damaged, not that a film wrote it."""
    counts = [state.next_index, *(number for pin in state.pins for number in pin if number is not None)]
    seeds = [state.seed, *(frame.seed for frame in state.frames)]
    for frame in state.frames:
        counts += [frame.shot, frame.block, frame.frame_in_shot, frame.revision]
    running = state.plan.running
    if running is not None:
        counts += [running.number, running.made, running.blocks, running.revision, running.edits_done]
    if not all(0 <= count <= MAX_COUNT for count in counts) or not all(0 <= seed <= MAX_SEED for seed in seeds):
        raise ScriptError("the snapshot tells of a film that cannot be; give the bytes that Film.snapshot() returned")
    clean_prompt(state.world, "global caption", empty_ok=True)
    for text in [frame.prompt for frame in state.frames] + ([running.caption] if running is not None else []):
        clean_prompt(text)


def save_frame(frame: Frame) -> SavedFrame:
    """Lossless and quick: a frame of the embedded bundle shrinks to a few kilobytes in under a millisecond."""
    return SavedFrame(
        shot=frame.shot,
        block=frame.block,
        frame_in_shot=frame.frame_in_shot,
        revision=frame.revision,
        seed=frame.seed,
        prompt=frame.prompt,
        pixels=zlib.compress(frame.image.tobytes(), 1),
    )


def load_frame(saved: SavedFrame, spec: VideoSpec, *, index: int) -> Frame:
    """The frame again, as number ``index`` of the film. Raises ScriptError when its pixels are not those of
    ``spec``."""
    import numpy as np

    decoder = zlib.decompressobj()
    try:
        pixels = decoder.decompress(saved.pixels, spec.frame_bytes + 1)
    except zlib.error as error:
        raise ScriptError(f"a frame in the snapshot is damaged ({error}); use an intact copy") from error
    if len(pixels) != spec.frame_bytes:
        raise ScriptError(
            f"a frame in the snapshot has {len(pixels)} bytes; expected {spec.frame_bytes}; use an intact copy"
        )
    return Frame(
        image=np.frombuffer(pixels, np.uint8).reshape(spec.height_px, spec.width_px, 3).copy(),
        index=index,
        shot=saved.shot,
        block=saved.block,
        frame_in_shot=saved.frame_in_shot,
        time_s=index / spec.fps,
        revision=saved.revision,
        seed=saved.seed,
        prompt=saved.prompt,
        is_cut=saved.frame_in_shot == 0,
        generated_at=time.perf_counter(),
    )
