"""What every video codec of the project can do, whichever network is behind it.

Shape legend: B batch, N independent frames, F latent frames, T frames, C latent channels, H W frame size,
h w latent size. A shot of F latent frames has ``T = 1 + time_factor * (F - 1)`` frames: latent 0 stands for one frame.
Frames are RGB in [-1, 1]; latents are normalised, as the DiT sees them. Tensors returned are owned by the caller.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class StreamingDecoder(Protocol):
    """Decodes one shot latent block by latent block; the frames equal those of decoding the shot at once."""

    def feed(self, latents: Tensor) -> Tensor:
        """Latents ``(B, F, C, h, w)`` that follow those fed before -> frames ``(B, T, 3, H, W)`` that they complete."""
        ...

    def flush(self) -> Tensor | None:
        """Frames still owed after the last latent of a shot; None when nothing is (causal codecs owe nothing)."""
        ...

    def reset(self) -> None:
        """Forget the past: the next latent fed is latent 0 of a new shot."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Frames to latents and back."""

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames ``(N, 3, H, W)``, each taken as a video of one frame -> latents ``(N, C, h, w)``."""
        ...

    def encode(self, video: Tensor) -> Tensor:
        """Video ``(B, T, 3, H, W)`` with ``T = 1 + time_factor * k`` -> latents ``(B, 1 + k, C, h, w)``."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents ``(B, F, C, h, w)`` of a shot from its start -> video ``(B, T, 3, H, W)``, clamped to [-1, 1]."""
        ...

    def stream(self) -> StreamingDecoder:
        """A new streaming decoder, at the start of a shot. Several may run over the same weights."""
        ...
