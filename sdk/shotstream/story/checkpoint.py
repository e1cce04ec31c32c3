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

MAGIC = b"SHSFILM1"


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
        ScriptError: no snapshot, another version, or damaged.
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
        return msgspec.msgpack.decode(body, type=FilmState)
    except msgspec.MsgspecError as error:
        raise ScriptError(f"the snapshot does not hold what this version expects ({error}); make a new one") from error


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
