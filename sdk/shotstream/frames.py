"""Sizes and pictures: every size in the project derives from a ``VideoSpec``; a ``Frame`` is one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
else:
    Image = Any

MAX_SIDE_PX = 8192
MAX_MEMORY_LAT = 4096
"""Latent frames that a window or a context may hold; the published model has 21 and 6."""


@dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """Geometry of a stream, in pixels, latent cells and tokens.

    The codec shrinks space by ``space_factor`` and time by ``time_factor``: latent frame 0 of a shot stands for
    one frame, every further latent frame for ``time_factor`` frames (Wan2.1 VAE).

    Raises:
        ConfigError: a size is not positive, too large, or not a multiple of what the model can divide.
    """

    width_px: int
    height_px: int
    fps: float = 16.0
    latent_channels: int = 16
    space_factor: int = 8
    time_factor: int = 4
    patch: int = 2
    block_lat: int = 3
    window_lat: int = 21
    context_lat: int = 6

    def __post_init__(self) -> None:
        for name in ("latent_channels", "space_factor", "time_factor", "patch"):
            if not 1 <= getattr(self, name) <= MAX_SIDE_PX:
                raise ConfigError(f"{name}={getattr(self, name)} is outside 1..{MAX_SIDE_PX}")
        unit = self.space_factor * self.patch
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if not 0 < value <= MAX_SIDE_PX:
                raise ConfigError(f"{name}={value} is outside 1..{MAX_SIDE_PX}; use a positive multiple of {unit}")
            if value % unit:
                low, high = value // unit * unit, (value // unit + 1) * unit
                raise ConfigError(
                    f"{name}={value} is not a multiple of {unit}; use {f'{low} or ' if low else ''}{high}"
                )
        if not 0 < self.fps <= 1000:
            raise ConfigError(f"fps={self.fps} is outside 0..1000; the published model uses 16")
        if self.block_lat < 1 or self.window_lat < self.block_lat or self.window_lat % self.block_lat:
            raise ConfigError(f"window_lat={self.window_lat} must be a positive multiple of block_lat={self.block_lat}")
        for name in ("window_lat", "context_lat"):
            if not 1 <= getattr(self, name) <= MAX_MEMORY_LAT:
                raise ConfigError(f"{name}={getattr(self, name)} is outside 1..{MAX_MEMORY_LAT}")

    @property
    def latent_height(self) -> int:
        return self.height_px // self.space_factor

    @property
    def latent_width(self) -> int:
        return self.width_px // self.space_factor

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns of one latent frame."""
        return self.latent_height // self.patch, self.latent_width // self.patch

    @property
    def tokens_per_lat(self) -> int:
        rows, columns = self.grid
        return rows * columns

    @property
    def frame_bytes(self) -> int:
        return self.width_px * self.height_px * 3

    def frames_from_latents(self, num_lat: int) -> int:
        """Frames that the first ``num_lat`` latent frames of a shot decode to."""
        return 0 if num_lat <= 0 else 1 + self.time_factor * (num_lat - 1)

    def blocks_for_frames(self, num_frames: int) -> int:
        """Whole blocks needed for at least ``num_frames`` frames of one shot."""
        num_lat = 1 + -(-(max(num_frames, 1) - 1) // self.time_factor)
        return -(-num_lat // self.block_lat)

    def frames_of_block(self, block: int) -> int:
        """Frames that block number ``block`` of a shot adds (the first one adds fewer)."""
        end = self.frames_from_latents((block + 1) * self.block_lat)
        return end - self.frames_from_latents(block * self.block_lat)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One delivered picture.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, owned by the frame; safe to keep.
        index: number of the frame in the film, from 0, without gaps.
        shot, block: where in the film it was made.
        frame_in_shot: number of the frame within its shot, from 0.
        time_s: ``index / fps``, seconds.
        revision: how many prompt edits its shot had seen when it was made.
        seed: seed of the film.
        prompt: caption that this frame was generated from.
        is_cut: first frame of a shot.
        is_restored: first frame after the film went back to a snapshot.
        receipts: ids of the commands that first show on this frame.
        generated_at: clock reading (``time.perf_counter``) when the pixels were ready.
        block_ms: time the engine spent on the block of this frame; 0 where that is not known.
    """

    image: Image
    index: int
    shot: int
    block: int
    frame_in_shot: int
    time_s: float
    revision: int = 0
    seed: int = 0
    prompt: str = ""
    is_cut: bool = False
    is_restored: bool = False
    receipts: tuple[int, ...] = field(default=())
    generated_at: float = 0.0
    block_ms: float = 0.0
