"""The Wan 3D causal VAE: latents to pictures, whole or streamed, and pictures to latents.

Shapes: B batch, T frames, F latent frames, C channels, H W size in pixels, h w size in latent cells.
Inside, every tensor is (B, T, C, H, W): time stands next to batch, so space and channel work is plain 2D work.

Time is causal: a time convolution sees the frame at hand and the two before it. A stream therefore needs only the
last two inputs of each time convolution to go on (`FeatureCache`), and latents are always decoded one at a time, so
that a decode is bit for bit the same in whatever pieces its latents arrive.
Latent 0 gives one frame, every further latent four. Source: Wan2.1 technical report, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .config import WanVAEConfig

SPACE_FACTOR = 8
TIME_FACTOR = 4


class FeatureCache:
    """What one stream remembers: the last input frames of each time convolution.

    Nothing is kept in the network itself, so any number of streams can share it.

    Args:
        frames: per layer what a stream under way remembers; None at the start of a shot.
    """

    def __init__(self, frames: Mapping[nn.Module, Tensor] | None = None) -> None:
        self._frames = dict(frames or {})
        self.started = frames is not None

    def extend(self, layer: nn.Module, x: Tensor, keep: int = 2) -> Tensor:
        """Remembered frames of ``layer`` followed by ``x``, along time; afterwards the last ``keep`` are remembered."""
        past = self._frames.get(layer)
        joined = x if past is None else torch.cat([past, x], dim=1)
        tail = joined[:, -keep:]
        # A view would keep all of a large activation alive until the next call.
        self._frames[layer] = tail.clone() if tail.shape[1] < joined.shape[1] else tail
        return joined

    def remembered(self) -> dict[nn.Module, Tensor]:
        """Per layer its last frames ``(B, T, C, H, W)``, in the order in which the layers first met one."""
        return dict(self._frames)

    def size_bytes(self) -> int:
        return sum(frames.numel() * frames.element_size() for frames in self._frames.values())


class CausalConv(nn.Conv3d):
    """Convolution over time and space that looks back in time only, with zeros before the first frame."""

    def __init__(self, in_dim: int, out_dim: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(in_dim, out_dim, kernel)
        self.space_pad = kernel[1] // 2

    def forward(self, x: Tensor, cache: FeatureCache | None = None) -> Tensor:
        """``x`` (B, T, C, H, W) to as many frames. Without a cache ``x`` is one frame with nothing before it."""
        taps = self.kernel_size[0]
        if taps == 1:
            return self._fold(x, 1)
        num_out = x.shape[1]
        if cache is not None:
            x = cache.extend(self, x, taps - 1)
        # Frames before the first are zero, so their taps add nothing: a lone first frame costs one tap of three.
        taps = min(taps, x.shape[1] - num_out + 1) if num_out == 1 else taps
        missing = num_out + taps - 1 - x.shape[1]
        if missing > 0:
            x = torch.cat([x.new_zeros(x.shape[0], missing, *x.shape[2:]), x], dim=1)
        return self._fold(x, taps)

    def _fold(self, x: Tensor, taps: int) -> Tensor:
        """The last ``taps`` time taps as one 2D convolution over frames stacked along channels.

        The products are those of the 3D convolution, in one sum per output, so low precision rounds once as there.
        Channels last, because CPU and GPU kernels of low precision are several times faster so.
        """
        frames = x.shape[1] - taps + 1
        if taps > 1:
            x = torch.cat([x[:, tap : tap + frames] for tap in range(taps)], dim=2)
        weight = self.weight[:, :, -taps:].transpose(1, 2).flatten(1, 2)
        layout = torch.channels_last
        return _per_frame(
            x, lambda flat: F.conv2d(flat.contiguous(memory_format=layout), weight, self.bias, padding=self.space_pad)
        )


class ChannelNorm(nn.Module):
    """x / max(||x||, 1e-12) * sqrt(C) * gamma over the channels of each pixel, in the tensor's own dtype."""

    def __init__(self, dim: int, *, time_axis: bool = True) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1, 1) if time_axis else torch.ones(dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        dim = self.gamma.shape[0]
        return F.normalize(x, dim=2) * dim**0.5 * self.gamma.view(dim, 1, 1)


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, added to the input. The numbers are the published parameter names."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(in_dim),
                "2": CausalConv(in_dim, out_dim, (3, 3, 3)),
                "3": ChannelNorm(out_dim),
                "6": CausalConv(out_dim, out_dim, (3, 3, 3)),
            }
        )
        self.shortcut = CausalConv(in_dim, out_dim, (1, 1, 1)) if in_dim != out_dim else nn.Identity()

    def forward(self, x: Tensor, cache: FeatureCache | None) -> Tensor:
        y = self.residual["2"](F.silu(self.residual["0"](x)), cache)
        y = self.residual["6"](F.silu(self.residual["3"](y)), cache)
        return y + self.shortcut(x)


class SpaceAttention(nn.Module):
    """One head of attention among the pixels of each frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim, time_axis=False)
        self.to_qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, cache: FeatureCache | None) -> Tensor:
        return x + _per_frame(self.norm(x), self._attend)

    def _attend(self, x: Tensor) -> Tensor:
        qkv = self.to_qkv(x).flatten(2).transpose(1, 2)  # (frames, pixels, 3C)
        q, k, v = (part.unsqueeze(1) for part in qkv.chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        y: Tensor = self.proj(attended.transpose(1, 2).reshape_as(x))
        return y


class Upsample(nn.Module):
    """Twice the rows and columns at half the channels; with ``in_time`` also twice the frames, but for the first."""

    def __init__(self, dim: int, *, in_time: bool) -> None:
        super().__init__()
        self.time_conv = CausalConv(dim, 2 * dim, (3, 1, 1)) if in_time else None
        self.resample = nn.ModuleDict({"1": nn.Conv2d(dim, dim // 2, 3, padding=1)})

    def forward(self, x: Tensor, cache: FeatureCache) -> Tensor:
        # The first frame of a stream stays one frame, and is no history to those that follow.
        if self.time_conv is not None and cache.started:
            pairs = self.time_conv(x, cache)
            x = pairs.unflatten(2, (2, x.shape[2])).flatten(1, 2)  # channels (2, C) become frames 2t and 2t+1
        conv = self.resample["1"]
        return _per_frame(x, lambda flat: conv(F.interpolate(flat, scale_factor=2, mode="nearest-exact")))


class Downsample(nn.Module):
    """Half the rows and columns; with ``in_time`` also half the frames, but for the first."""

    def __init__(self, dim: int, *, in_time: bool) -> None:
        super().__init__()
        self.time_conv = nn.Conv3d(dim, dim, (3, 1, 1), stride=(2, 1, 1)) if in_time else None
        self.resample = nn.ModuleDict({"1": nn.Conv2d(dim, dim, 3, stride=2)})

    def forward(self, x: Tensor, cache: FeatureCache | None) -> Tensor:
        conv = self.resample["1"]
        x = _per_frame(x, lambda flat: conv(F.pad(flat, (0, 1, 0, 1))))
        if self.time_conv is None or cache is None:
            return x
        started = cache.started
        x = cache.extend(self, x, keep=1)
        return self.time_conv(x.transpose(1, 2)).transpose(1, 2) if started else x


class Encoder(nn.Module):
    """Frames (B, T, 3, H, W) to moments (B, F, 2 z_dim, h, w)."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        dims = [config.dim * factor for factor in (1, *config.dim_mult)]
        self.conv1 = CausalConv(3, dims[0], (3, 3, 3))
        self.downsamples = nn.ModuleList()
        for level in range(len(config.dim_mult)):
            dim = dims[level + 1]
            for index in range(config.num_res_blocks):
                self.downsamples.append(ResidualBlock(dims[level] if index == 0 else dim, dim))
            if level < len(config.temporal_downsample):
                self.downsamples.append(Downsample(dim, in_time=config.temporal_downsample[level]))
        self.middle = nn.ModuleList([ResidualBlock(dim, dim), SpaceAttention(dim), ResidualBlock(dim, dim)])
        self.head = nn.ModuleDict({"0": ChannelNorm(dim), "2": CausalConv(dim, 2 * config.z_dim, (3, 3, 3))})

    def forward(self, x: Tensor, cache: FeatureCache | None) -> Tensor:
        x = self.conv1(x, cache)
        for layer in (*self.downsamples, *self.middle):
            x = layer(x, cache)
        y: Tensor = self.head["2"](F.silu(self.head["0"](x)), cache)
        return y


class Decoder(nn.Module):
    """Latents (B, 1, z_dim, h, w) to frames (B, 1 or 4, 3, H, W); which of the two, the cache knows."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        mult = config.dim_mult[::-1]
        dims = [config.dim * factor for factor in (mult[0], *mult)]
        in_time = config.temporal_downsample[::-1]
        self.conv1 = CausalConv(config.z_dim, dims[0], (3, 3, 3))
        self.middle = nn.ModuleList(
            [ResidualBlock(dims[0], dims[0]), SpaceAttention(dims[0]), ResidualBlock(dims[0], dims[0])]
        )
        self.upsamples = nn.ModuleList()
        for level in range(len(mult)):
            dim = dims[level + 1]
            first = dims[level] if level == 0 else dims[level] // 2  # the up-sampler below has halved it
            for index in range(config.num_res_blocks + 1):
                self.upsamples.append(ResidualBlock(first if index == 0 else dim, dim))
            if level < len(in_time):
                self.upsamples.append(Upsample(dim, in_time=in_time[level]))
        self.head = nn.ModuleDict({"0": ChannelNorm(dim), "2": CausalConv(dim, 3, (3, 3, 3))})

    def forward(self, x: Tensor, cache: FeatureCache) -> Tensor:
        x = self.conv1(x, cache)
        for layer in (*self.middle, *self.upsamples):
            x = layer(x, cache)
        y: Tensor = self.head["2"](F.silu(self.head["0"](x)), cache)
        return y


class WanVAE(nn.Module):
    """The codec of Wan2.1 under its published parameter names (a ``Codec``). Runs without gradients.

    Pixels are RGB in [-1, 1]; latents are normalised as the transformer sees them. Input is cast to the dtype of
    the weights, output is float32. The network keeps no state, so streams may share it.
    """

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.conv1 = CausalConv(2 * config.z_dim, 2 * config.z_dim, (1, 1, 1))
        self.conv2 = CausalConv(config.z_dim, config.z_dim, (1, 1, 1))
        self.decoder = Decoder(config)

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames (N, 3, H, W), each a video of its own, to latents (N, C, h, w)."""
        self._check_pixels(frames, 4)
        return self._latents_from_moments(self.encoder(self._cast(frames).unsqueeze(1), None)).squeeze(1)

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Video (B, T, 3, H, W) with T = 1 + 4k to latents (B, 1 + k, C, h, w).

        Raises:
            ConfigError: another number of frames, or a size that is not a multiple of 8.
        """
        self._check_pixels(video, 5)
        num_frames = video.shape[1]
        if num_frames % TIME_FACTOR != 1:
            low = max(1, (num_frames - 1) // TIME_FACTOR * TIME_FACTOR + 1)
            raise ConfigError(f"a video of {num_frames} frames cannot be encoded; use 1 + 4k frames, such as {low}")
        cache, moments = FeatureCache(), []
        for start in (0, *range(1, num_frames, TIME_FACTOR)):
            end = start + TIME_FACTOR if start else 1
            moments.append(self.encoder(self._cast(video[:, start:end]), cache))
            cache.started = True
        return self._latents_from_moments(torch.cat(moments, dim=1))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, F, C, h, w) of a shot from its start to video (B, 1 + 4 (F - 1), 3, H, W), clamped to [-1, 1]."""
        return self.decode_raw(latents).clamp_(-1, 1)

    @torch.no_grad()
    def decode_raw(self, latents: Tensor, cache: FeatureCache | None = None) -> Tensor:
        """As `decode`, without the clamp, and going on from ``cache`` when one is given (it is updated)."""
        return torch.cat(list(self._decode_each(latents, cache or FeatureCache())), dim=1)

    def stream(self) -> WanStreamingDecoder:
        """A new streaming decoder, at the start of a shot."""
        return WanStreamingDecoder(self)

    def _decode_each(self, latents: Tensor, cache: FeatureCache) -> Iterator[Tensor]:
        """Frames of one latent after the other, float32."""
        if latents.ndim != 5 or latents.shape[1] < 1 or latents.shape[2] != self.config.z_dim:
            raise ConfigError(f"latents are {tuple(latents.shape)}; expected (B, F >= 1, {self.config.z_dim}, h, w)")
        mean, inverse_std = self._scale(latents.device)
        for index in range(latents.shape[1]):
            z = self._cast(latents[:, index : index + 1]) / inverse_std + mean
            frames = self.decoder(self.conv2(z), cache)
            cache.started = True
            yield frames.float()

    def _latents_from_moments(self, moments: Tensor) -> Tensor:
        mean, inverse_std = self._scale(moments.device)
        mu = self.conv1(moments)[:, :, : self.config.z_dim]
        return ((mu - mean) * inverse_std).float()

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and 1/std per channel, rounded to the dtype of the weights *before* they are used, as published."""
        shape = (self.config.z_dim, 1, 1)
        mean, std = (
            torch.tensor(values, dtype=torch.float32).to(device, self._dtype).view(shape)
            for values in (self.config.mean, self.config.std)
        )
        return mean, 1.0 / std

    @property
    def _dtype(self) -> torch.dtype:
        return self.conv2.weight.dtype

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self._dtype)

    def _check_pixels(self, pixels: Tensor, num_axes: int) -> None:
        if (
            pixels.ndim != num_axes
            or pixels.shape[-3] != 3
            or pixels.shape[-1] % SPACE_FACTOR
            or pixels.shape[-2] % SPACE_FACTOR
        ):
            raise ConfigError(
                f"pixels are {tuple(pixels.shape)}; expected {num_axes} axes ending in (3, H, W), "
                "H and W multiples of 8"
            )


class WanStreamingDecoder:
    """Decodes a shot as its latents arrive; the frames are those of decoding the shot at once, bit for bit."""

    def __init__(self, vae: WanVAE) -> None:
        self._vae = vae
        self._cache = FeatureCache()

    def feed(self, latents: Tensor) -> Tensor:
        """Next latents (B, F, C, h, w) to the frames (B, T, 3, H, W) that they add, clamped to [-1, 1]."""
        return self._vae.decode_raw(latents, self._cache).clamp_(-1, 1)

    def flush(self) -> None:
        """Nothing is owed: every frame leaves with its latent."""
        return None

    def reset(self) -> None:
        """Forget the past: the next latent is latent 0 of a new shot."""
        self._cache = FeatureCache()


def _per_frame(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a 2D function to every frame of (B, T, C, H, W)."""
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])
