"""The video codecs as graphs with fixed picture sizes: a decoder whose memory goes in and out, and an encoder.

Shape legend: F latent frames of the call, T frames, C channels, h w latent size, H W picture size, N lone frames.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..frames import VideoSpec
from ..model.codec import Codec
from ..model.tiny_vae import MemBlock, TinyVAE
from ..model.vae import FeatureCache, WanVAE

HISTORY = 2
"""Frames that a time convolution of the Wan decoder remembers."""


@dataclass(frozen=True, kw_only=True)
class VideoGraph:
    """A codec's network ready to be written.

    Attributes:
        module: what is traced.
        inputs: examples by name, in the order of ``module.forward``: the first, then the memory as one list.
        outputs: names, in order.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]


class TinyDecode(nn.Module):
    """Latents ``(1, F, C, h, w)`` and the memory before them to ``4 F`` frames, clamped, and the memory after them.

    At the start of a shot the memory is zero and the first three frames are to be dropped: latent 0 stands for one.
    """

    def __init__(self, codec: TinyVAE) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latents: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        pictures, after = self.codec._pictures(latents, memory)
        return pictures.clamp(-1, 1), after


class WanDecodeFirst(nn.Module):
    """Latent 0 of a shot ``(1, 1, C, h, w)`` to its one frame, and the memory after it.

    Time is not doubled for this latent, so the graph is another one than that of all later latents.
    """

    def __init__(self, codec: WanVAE) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        cache = FeatureCache()
        frames = self.codec.decode_raw(latents, cache).clamp(-1, 1)
        return frames, [_full_history(past) for past in cache.remembered().values()]


class WanDecode(nn.Module):
    """A later latent ``(1, 1, C, h, w)`` and the memory before it to four frames, and the memory after it.

    Args:
        codec: the network.
        layers: of the decoder that remember frames, in the order of the memory.
    """

    def __init__(self, codec: WanVAE, layers: list[nn.Module]) -> None:
        super().__init__()
        self.codec = codec
        self._order = layers

    def forward(self, latents: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        cache = FeatureCache(dict(zip(self._order, memory, strict=True)))
        frames = self.codec.decode_raw(latents, cache).clamp(-1, 1)
        after = cache.remembered()
        return frames, [after[layer] for layer in self._order]


class Encode(nn.Module):
    """Lone frames ``(N, 3, H, W)`` to latents ``(N, C, h, w)``."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        assert isinstance(codec, nn.Module)
        self.codec = codec

    def forward(self, frames: Tensor) -> Tensor:
        latents: Tensor = self.codec.encode_frames(frames)
        return latents


def decoder_graphs(codec: Codec, spec: VideoSpec) -> dict[str, VideoGraph]:
    """The streaming decoder's graphs by name.

    A tiny codec has ``decode``, for a block of latents. A Wan codec has ``decode_first`` and ``decode``, for one latent
    each; an ``after_i`` that ``decode_first`` lacks is zero then.

    Raises:
        ConfigError: a codec of another kind.
    """
    if isinstance(codec, TinyVAE):
        return {"decode": _tiny_decode(codec, spec)}
    if isinstance(codec, WanVAE):
        return _wan_decode(codec, spec)
    raise ConfigError(f"a {type(codec).__name__} codec cannot be exported; use a bundle with a Wan or tiny one")


def encoder_graph(codec: Codec, spec: VideoSpec) -> VideoGraph:
    """The encoder of context frames."""
    frames = torch.zeros(2, 3, spec.height_px, spec.width_px, dtype=_dtype(codec))
    return VideoGraph(module=Encode(codec), inputs={"frames": frames}, outputs=["latents"])


def _tiny_decode(codec: TinyVAE, spec: VideoSpec) -> VideoGraph:
    inputs = {"latents": _latents(codec, spec, spec.block_lat)}
    scale = 1
    count = 0
    for module in codec.decoder:
        if isinstance(module, nn.Upsample):
            scale *= 2
        elif isinstance(module, MemBlock):
            first = module.conv[0]
            assert isinstance(first, nn.Conv2d)
            size = (1, first.in_channels // 2, spec.latent_height * scale, spec.latent_width * scale)
            inputs[f"memory_{count}"] = torch.zeros(size, dtype=_dtype(codec))
            count += 1
    return VideoGraph(
        module=TinyDecode(codec), inputs=inputs, outputs=["frames", *(f"after_{number}" for number in range(count))]
    )


def _wan_decode(codec: WanVAE, spec: VideoSpec) -> dict[str, VideoGraph]:
    # Two latents without data tell which layers remember what: the second also goes through those that double time.
    empty = copy.deepcopy(codec).to("meta")
    path = {module: name for name, module in empty.named_modules()}
    latent = _latents(codec, spec, 1)
    cache = FeatureCache()
    empty.decode_raw(latent.to("meta"), cache)
    first = {path[layer] for layer in cache.remembered()}
    empty.decode_raw(latent.to("meta"), cache)
    sizes = {path[layer]: past.shape for layer, past in cache.remembered().items()}
    # In the order in which the first latent meets them; those that only later latents meet come last.
    numbers = {name: number for number, name in enumerate(sizes)}
    memory = {
        f"memory_{number}": torch.zeros(1, HISTORY, *sizes[name][2:], dtype=latent.dtype)
        for name, number in numbers.items()
    }
    layers = [codec.get_submodule(name) for name in numbers]
    return {
        "decode_first": VideoGraph(
            module=WanDecodeFirst(codec),
            inputs={"latents": latent},
            outputs=["frames", *(f"after_{numbers[name]}" for name in numbers if name in first)],
        ),
        "decode": VideoGraph(
            module=WanDecode(codec, layers),
            inputs={"latents": latent, **memory},
            outputs=["frames", *(f"after_{number}" for number in range(len(numbers)))],
        ),
    }


def _full_history(past: Tensor) -> Tensor:
    """Zeros stand for frames before the first."""
    missing = HISTORY - past.shape[1]
    return torch.cat([past.new_zeros(past.shape[0], missing, *past.shape[2:]), past], dim=1) if missing else past


def _latents(codec: Codec, spec: VideoSpec, num_lat: int) -> Tensor:
    return torch.zeros(1, num_lat, spec.latent_channels, spec.latent_height, spec.latent_width, dtype=_dtype(codec))


def _dtype(codec: Codec) -> torch.dtype:
    assert isinstance(codec, nn.Module)
    return next(codec.parameters()).dtype
