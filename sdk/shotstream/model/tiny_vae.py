"""A small causal video codec with the layout and key names of TAEHV, and the patch-PCA codec of the embedded bundles.

Shape legend: B batch, N independent frames, F latent frames, T frames, C latent channels, H W frame size,
h w latent size.

The convolutional halves follow TAEHV ("tiny autoencoder" for video latents), so that its published weights for Wan2.1
(``taew2_1``) load as they are: 2D convolutions over all frames at once, where the only path through time is a
``MemBlock`` that also reads the previous frame. That makes streaming exact and cheap: the whole state is one feature
map per ``MemBlock``. TAEHV pictures are in [0, 1]; the public range here is [-1, 1] as everywhere in the project.

With ``encoder="linear"`` latents are the principal components of patches of 4 frames x 8 x 8 pixels. A linear map of
each patch and its neighbours gives a first picture, and the convolutional decoder adds what it missed. Such an encoder
is fitted in seconds and is then fixed, so a diffusion model can be trained on its latents while the decoder is still
learning.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError
from .config import TinyVAEConfig

SPACE_FACTOR = 8
TIME_FACTOR = 4
TRIM = TIME_FACTOR - 1  # pictures that the first latent makes too many: it stands for one frame


def _conv3(num_in: int, num_out: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, 3, padding=1, stride=stride, bias=bias)


class Clamp(nn.Module):
    """Soft limit to (-3, 3): a latent far outside the usual range must not blow up the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class MemBlock(nn.Module):
    """Residual block of three convolutions over a frame and the frame before it, both ``(N, C, h, w)``."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv3(num_in * 2, num_out), nn.ReLU(), _conv3(num_out, num_out), nn.ReLU(), _conv3(num_out, num_out)
        )
        self.skip = nn.Conv2d(num_in, num_out, 1, bias=False) if num_in != num_out else nn.Identity()

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        return torch.relu(self.conv(torch.cat([x, past], 1)) + self.skip(x))


class TPool(nn.Module):
    """Merges ``stride`` consecutive frames into one by a 1x1 convolution: ``(N * stride, C, h, w) -> (N, C, h, w)``."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width * stride, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        frames, width, height, columns = x.shape
        merged: Tensor = self.conv(x.reshape(frames // self.stride, self.stride * width, height, columns))
        return merged


class TGrow(nn.Module):
    """Splits a frame into ``stride`` ones in a row by a 1x1 convolution: ``(N, C, h, w) -> (N * stride, C, h, w)``."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width * stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        grown: Tensor = self.conv(x)
        if self.stride == 1:
            return grown
        frames, _, height, columns = grown.shape
        # Channels stay innermost in memory: a plain reshape would turn the layout around, at four times the cost.
        cells = grown.permute(0, 2, 3, 1).reshape(frames, height, columns, self.stride, -1).permute(0, 3, 1, 2, 4)
        return cells.reshape(frames * self.stride, height, columns, -1).permute(0, 3, 1, 2)


class PatchPCA(nn.Module):
    """Principal components of patches of 4 frames x 8 x 8 pixels, and a linear way back that looks at neighbours too.

    ``weight (C, 12, 8, 8)`` has orthonormal rows; it and ``mean (12, 8, 8)`` count frame-major: ``3 * frame + colour``.
    ``synthesis (768, C, 3, 3)`` rebuilds a patch from its own components and those of the eight patches around it.
    """

    weight: Tensor
    mean: Tensor
    synthesis: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rows = TIME_FACTOR * 3
        self.register_buffer("weight", torch.zeros(channels, rows, SPACE_FACTOR, SPACE_FACTOR))
        self.register_buffer("mean", torch.zeros(rows, SPACE_FACTOR, SPACE_FACTOR))
        self.register_buffer("synthesis", torch.zeros(rows * SPACE_FACTOR**2, channels, 3, 3))

    def set_components(self, weight: Tensor, mean: Tensor) -> None:
        """Take over components ``(C, 12, 8, 8)`` and mean; the way back becomes the transpose, patch by patch."""
        self.weight.copy_(weight)
        self.mean.copy_(mean)
        self.synthesis.zero_()
        self.synthesis[:, :, 1, 1] = weight.flatten(1).T

    def encode(self, groups: Tensor) -> Tensor:
        """Groups of four frames ``(N, 12, H, W)`` -> components ``(N, C, h, w)``."""
        offset = (self.weight * self.mean).sum((1, 2, 3))
        return F.conv2d(groups, self.weight, stride=SPACE_FACTOR) - offset[:, None, None]

    def decode(self, z: Tensor) -> Tensor:
        """Components ``(N, C, h, w)`` -> groups of four frames ``(N, 12, H, W)``."""
        return F.pixel_shuffle(F.conv2d(z, self.synthesis, self.mean.flatten(), padding=1), SPACE_FACTOR)


def _decoder(config: TinyVAEConfig) -> nn.Sequential:
    """Published order of layers: the position in the Sequential is part of every key name."""
    widths = config.widths
    layers: list[nn.Module] = [Clamp(), _conv3(config.latent_channels, widths[0]), nn.ReLU()]
    for stage, grow in enumerate((1, 2, 2)):
        layers += [MemBlock(widths[stage], widths[stage]) for _ in range(config.blocks_per_stage)]
        layers += [nn.Upsample(scale_factor=2), TGrow(widths[stage], grow)]
        layers += [_conv3(widths[stage], widths[stage + 1], bias=False)]
    return nn.Sequential(*layers, nn.ReLU(), _conv3(widths[3], 3))


def _encoder(config: TinyVAEConfig) -> nn.Sequential:
    width = config.encoder_width
    layers: list[nn.Module] = [_conv3(3, width), nn.ReLU()]
    for pool in (2, 2, 1):
        layers += [TPool(width, pool), _conv3(width, width, stride=2, bias=False)]
        layers += [MemBlock(width, width) for _ in range(3)]
    return nn.Sequential(*layers, _conv3(width, config.latent_channels))


def _split(x: Tensor, batch: int) -> Tensor:
    """``(B * T, ...) -> (B, T, ...)``."""
    return x.reshape(batch, -1, *x.shape[1:])


def _run(layers: nn.Sequential, x: Tensor, memory: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    """Run a Sequential over ``x (B, T, C, h, w)`` given the memory of the frames before it (None at the start).

    Returns the output ``(B, T', C', h', w')`` and the memory after it: per MemBlock its last input, ``(B, C, h, w)``.
    """
    batch = x.shape[0]
    after: list[Tensor] = []
    # Two to three times as fast as channels-first on a CPU.
    x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    modules = list(layers)
    index = 0
    while index < len(modules):
        module = modules[index]
        if isinstance(module, MemBlock):
            frames = _split(x, batch)
            first = memory[len(after)] if memory is not None else torch.zeros_like(frames[:, 0])
            after.append(frames[:, -1])
            x = module(x, torch.cat([first[:, None], frames[:, :-1]], 1).flatten(0, 1))
        elif isinstance(module, nn.Upsample) and isinstance(modules[index + 1], TGrow):
            # A 1x1 convolution and nearest-neighbour upsampling commute; this order costs a quarter.
            x = module(modules[index + 1](x))
            index += 1
        else:
            x = module(x)
        index += 1
    return _split(x, batch), after


class TinyVAE(nn.Module):
    """TAEHV-shaped codec; implements ``model.codec.Codec``.

    Key names are the published ones (``decoder.1.weight``, ``decoder.3.conv.0.weight``, ``encoder.*``), plus
    ``linear.weight``, ``linear.mean`` and ``linear.synthesis`` for a linear encoder.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, config: TinyVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = _decoder(config)
        self.encoder = _encoder(config) if config.encoder == "taehv" else None
        self.linear = PatchPCA(config.latent_channels) if config.encoder == "linear" else None
        if self.linear is not None:
            last = self.decoder[-1]
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.zeros_(last.weight)  # a fresh codec is exactly the linear one
            nn.init.zeros_(last.bias)
        channels = config.latent_channels
        shift, scale = config.shift or (0.0,) * channels, config.scale or (1.0,) * channels
        # On the CPU even under a meta device: these values come from the configuration, not from a weights file.
        self.register_buffer("shift", torch.tensor(shift, device="cpu").view(channels, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale, device="cpu").view(channels, 1, 1), persistent=False)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames ``(N, 3, H, W)`` in [-1, 1], each as a video of one frame -> normalised latents ``(N, C, h, w)``.

        Raises:
            ConfigError: the codec has no encoder, or a size is not a multiple of 8.
        """
        return self.encode(frames[:, None])[:, 0]

    def encode(self, video: Tensor) -> Tensor:
        """Video ``(B, T, 3, H, W)`` in [-1, 1], ``T = 1 + 4k`` -> normalised latents ``(B, 1 + k, C, h, w)``.

        Raises:
            ConfigError: the codec has no encoder, T is not ``1 + 4k``, or a size is not a multiple of 8.
        """
        _, frames, _, height, width = video.shape
        if height % SPACE_FACTOR or width % SPACE_FACTOR:
            raise ConfigError(f"frames of {width}x{height} px: sides must be multiples of {SPACE_FACTOR}; crop them")
        if frames % TIME_FACTOR != 1:
            fitting = (frames - 1) // TIME_FACTOR * TIME_FACTOR + 1
            raise ConfigError(f"a video of {frames} frames: need 1 + {TIME_FACTOR}k of them; use {fitting}")
        if self.linear is not None:
            groups = torch.cat([video[:, :1].expand(-1, TRIM, -1, -1, -1), video], 1)
            z = self.linear.encode(groups.reshape(-1, TIME_FACTOR * 3, height, width))
            z = _split(z, video.shape[0])
        elif self.encoder is not None:
            # As published: groups of four begin at frame 0, the last frame is repeated to fill its group.
            padded = torch.cat([video, video[:, -1:].expand(-1, TRIM, -1, -1, -1)], 1)
            z, _ = _run(self.encoder, (padded + 1) / 2)
        else:
            raise ConfigError("vae.encoder='none': this codec only decodes; use a bundle whose codec has an encoder")
        normalised: Tensor = (z - self.shift) / self.scale
        return normalised

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents ``(B, F, C, h, w)`` of a shot from its start -> video ``(B, 1 + 4(F-1), 3, H, W)``."""
        pictures, _ = self._pictures(latents, None)
        return pictures[:, TRIM:].clamp(-1, 1)

    def stream(self) -> TinyStreamingDecoder:
        """A streaming decoder over these weights, at the start of a shot."""
        return TinyStreamingDecoder(self)

    def _pictures(self, latents: Tensor, memory: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Latents ``(B, F, C, h, w)`` -> four pictures per latent ``(B, 4F, 3, H, W)``, neither trimmed nor clamped."""
        detail, after = _run(self.decoder, latents, memory)
        if self.linear is None:
            return detail * 2 - 1, after
        groups = self.linear.decode((latents * self.scale + self.shift).flatten(0, 1))
        return detail + groups.reshape(detail.shape), after


class TinyStreamingDecoder:
    """Exact streaming decode of one shot; implements ``model.codec.StreamingDecoder``. Not thread-safe."""

    def __init__(self, codec: TinyVAE) -> None:
        self._codec = codec
        self._memory: list[Tensor] | None = None

    def feed(self, latents: Tensor) -> Tensor:
        """Next latents ``(B, F, C, h, w)`` -> frames ``(B, T, 3, H, W)`` in [-1, 1]: 1 for latent 0, 4 for others."""
        is_first = self._memory is None
        pictures, self._memory = self._codec._pictures(latents, self._memory)
        return pictures[:, TRIM if is_first else 0 :].clamp(-1, 1)

    def flush(self) -> Tensor | None:
        """None: a causal decoder owes nothing."""
        return None

    def reset(self) -> None:
        """The next latent fed is latent 0 of a new shot."""
        self._memory = None
