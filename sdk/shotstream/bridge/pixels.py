"""Pixel formats that receivers ask for, and packing the engine's RGB pictures into them.

    layout = PixelLayout(width_px=832, height_px=480, format=PixelFormat.BGRA8)
    buffer = layout.pack(frame.image)             # bytes as an engine uploads them
    (plane,) = layout.planes(buffer)              # uint8 (480, 832, 4), a view

Pictures come in as uint8 ``(height, width, 3)`` RGB, top row first, in the full range. NV12 is BT.709 limited range,
with chroma averaged over 2x2 pixels. Nothing is gamma-corrected: the model's output is display-referred already.
"""

from __future__ import annotations

import enum
import functools
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DeviceError
from ..frames import MAX_SIDE_PX

try:
    from shotstream import _native
except ImportError:  # receivers need layouts only, so they work from a source tree that was not built
    _native = None  # type: ignore[assignment, unused-ignore]

Bytes = NDArray[np.uint8]


class PixelFormat(str, enum.Enum):
    """Order of the bytes of a picture. Values are the names used on the wire."""

    RGBA8 = "rgba8"
    BGRA8 = "bgra8"
    RGB8 = "rgb8"
    NV12 = "nv12"

    @property
    def number(self) -> int:
        """The number in shared memory and in the C interface (``csrc/include/shotstream/pixel_format.h``)."""
        return list(PixelFormat).index(self) + 1

    @property
    def bytes_per_px(self) -> int:
        """Bytes of one pixel in the first plane."""
        return {PixelFormat.RGB8: 3, PixelFormat.NV12: 1}.get(self, 4)


class Origin(str, enum.Enum):
    """Which row of the picture stands first in memory. Values are the names used on the wire."""

    TOP_LEFT = "top_left"
    BOTTOM_LEFT = "bottom_left"

    @property
    def number(self) -> int:
        return list(Origin).index(self) + 1


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """How one picture lies in memory.

    Args:
        width_px, height_px: size of the picture, 1..8192; both even for NV12, whose chroma has half the size.
        format, origin: order of bytes and of rows.
        row_align: rows start at multiples of this many bytes (a power of two up to 4096). 1 packs tightly; 256 is what
            Direct3D 12 asks of an upload.

    Raises:
        ConfigError: a size cannot be laid out.
    """

    width_px: int
    height_px: int
    format: PixelFormat = PixelFormat.RGBA8
    origin: Origin = Origin.TOP_LEFT
    row_align: int = 1

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if not 1 <= value <= MAX_SIDE_PX:
                raise ConfigError(f"{name}={value} is outside 1..{MAX_SIDE_PX}; use the size of the stream")
            if self.format is PixelFormat.NV12 and value % 2:
                raise ConfigError(
                    f"{name}={value} is odd, and nv12 stores colour for 2x2 pixels; use an even size or rgba8"
                )
        if not 1 <= self.row_align <= 4096 or self.row_align & (self.row_align - 1):
            raise ConfigError(f"row_align={self.row_align} is not a power of two in 1..4096; use 1 or 256")

    @functools.cached_property
    def stride_bytes(self) -> int:
        """Bytes from one row to the next, the same in every plane."""
        return -(-self.width_px * self.format.bytes_per_px // self.row_align) * self.row_align

    @functools.cached_property
    def num_rows(self) -> int:
        """Rows of all planes together."""
        return self.height_px * 3 // 2 if self.format is PixelFormat.NV12 else self.height_px

    @functools.cached_property
    def size_bytes(self) -> int:
        return self.stride_bytes * self.num_rows

    def planes(self, buffer: Bytes) -> tuple[Bytes, ...]:
        """Views of the planes of a packed picture.

        Args:
            buffer: uint8 ``(size_bytes,)``.

        Returns:
            One ``(height, width, 3 or 4)`` array, or for NV12 luma ``(height, width)`` and Cb Cr
            ``(height / 2, width / 2, 2)``. Rows are in memory order: with a bottom-left origin the bottom row is first.
            The views share memory with ``buffer`` and are writable if it is.
        """
        if buffer.dtype != np.uint8 or buffer.shape != (self.size_bytes,):
            raise ConfigError(f"buffer is {buffer.dtype} {buffer.shape}; this layout needs uint8 ({self.size_bytes},)")
        # Splitting an axis makes a view, also of rows with padding between them.
        rows = buffer.reshape(self.num_rows, self.stride_bytes)[:, : self.width_px * self.format.bytes_per_px]
        if self.format is PixelFormat.NV12:
            height, half = self.height_px, (self.height_px // 2, self.width_px // 2)
            return rows[:height], rows[height:].reshape(*half, 2)
        return (rows.reshape(self.height_px, self.width_px, self.format.bytes_per_px),)

    def pack(self, image: Bytes) -> Bytes:
        """Pack a picture into new memory: uint8 ``(size_bytes,)``, padding bytes zero. See :meth:`pack_into`."""
        out = np.zeros(self.size_bytes, np.uint8)
        self.pack_into(image, out)
        return out

    def pack_into(self, image: Bytes, out: Bytes, *, vectorised: bool = True) -> None:
        """Pack a picture into memory of the caller; padding bytes between rows are left as they are.

        Args:
            image: uint8 ``(height, width, 3)`` RGB, top row first; pixels of a row contiguous (views of rows may be
                strided, also backwards).
            out: uint8 ``(size_bytes,)``, contiguous and writable.
            vectorised: False runs the scalar code, which gives the same bytes.

        Raises:
            ConfigError: a shape, type or stride does not fit this layout.
            DeviceError: the compiled module is missing.
        """
        expected = (self.height_px, self.width_px, 3)
        if image.dtype != np.uint8 or image.shape != expected:
            raise ConfigError(f"image is {image.dtype} {image.shape}; this layout needs uint8 {expected}")
        if image.strides[1:] != (3, 1) or abs(image.strides[0]) < 3 * self.width_px:
            raise ConfigError(f"image has strides {image.strides}; pass np.ascontiguousarray(image)")
        if out.dtype != np.uint8 or out.shape != (self.size_bytes,):
            raise ConfigError(f"out is {out.dtype} {out.shape}; this layout needs uint8 ({self.size_bytes},)")
        if not out.flags.c_contiguous or not out.flags.writeable:
            raise ConfigError("out is read-only or not contiguous; pass np.empty(layout.size_bytes, np.uint8)")
        if np.may_share_memory(image, out):
            raise ConfigError("image and out share memory; pack into another buffer")
        if _native is None:
            raise DeviceError("shotstream._native is not built, and packing needs it; run: pip install .")
        _native.pack_pixels(
            rgb=image.ctypes.data,
            rgb_stride=image.strides[0],
            out=out.ctypes.data,
            stride=self.stride_bytes,
            width=self.width_px,
            height=self.height_px,
            format=self.format.number,
            origin=self.origin.number,
            vectorised=vectorised,
        )


def measure(*, width_px: int = 832, height_px: int = 480, rounds: int = 25) -> dict[PixelFormat, float]:
    """Median speed of packing on one core, in gigabytes of result a second, for each format.

    Buffers are used again and again, so at 832x480 they mostly stay in the processor's cache, as they do in a stream.
    """
    image = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), np.uint8)
    speeds = {}
    for pixel_format in PixelFormat:
        layout = PixelLayout(width_px=width_px, height_px=height_px, format=pixel_format)
        out = layout.pack(image)
        times_s = []
        for _ in range(rounds):
            start_s = time.perf_counter()
            layout.pack_into(image, out)
            times_s.append(time.perf_counter() - start_s)
        speeds[pixel_format] = layout.size_bytes / float(np.median(times_s)) / 1e9
    return speeds
