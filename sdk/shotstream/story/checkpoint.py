"""A film at a moment, as bytes: plan, undelivered frames and the engine's own state. Never pickle.

Layout: 8 bytes magic, 32 bytes SHA-256 of the rest, then one MessagePack map checked against ``FilmState``.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field

import msgspec

from ..errors import ScriptError
from .director import Plan

MAGIC = b"SHSFILM1"
_MAX_PIXELS_BYTES = 1 << 28


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


def pack_pixels(image: bytes) -> bytes:
    """Lossless and quick: a frame of the embedded bundle shrinks to a few kilobytes in under a millisecond."""
    return zlib.compress(image, 1)


def unpack_pixels(pixels: bytes, size_bytes: int) -> bytes:
    """Raises ScriptError unless exactly ``size_bytes`` come out."""
    decoder = zlib.decompressobj()
    try:
        image = decoder.decompress(pixels, min(size_bytes, _MAX_PIXELS_BYTES) + 1)
    except zlib.error as error:
        raise ScriptError(f"a frame in the snapshot is damaged ({error}); use an intact copy") from error
    if len(image) != size_bytes:
        raise ScriptError(f"a frame in the snapshot has {len(image)} bytes; expected {size_bytes}; use an intact copy")
    return image
