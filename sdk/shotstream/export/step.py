"""The transformer as graphs with static shapes: one denoising or clean pass, the context pass, and the sliding window.

Every number that changes from pass to pass is an input, so one graph serves every block of every shot. Shape legend:
F latent frames of the pass, L = F * S tokens, C channels, H W latent size, E model size, N heads, D head size,
T caption rows, R cache rows.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..frames import VideoSpec
from ..model.config import DiTConfig
from ..model.dit import DiT
from .manifest import Profile, Shape
from .memory import NativeMemory, PluginMemory, rotary, scatter_rows

Flavour = Literal["native", "plugin"]
FLAVOURS: tuple[Flavour, ...] = ("native", "plugin")


class _Step(nn.Module):
    """What both flavours share: the layers around the memory."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit

    def _run(
        self,
        latent: Tensor,
        embedded: Tensor,
        modulation: Tensor,
        rows: Tensor,
        captions: list[tuple[Tensor, Tensor]],
        memory: NativeMemory | PluginMemory,
    ) -> Tensor:
        dit = self.dit
        x = dit.patchify(latent)
        for layer, block in enumerate(dit._layers()):
            x = block(x, layer, modulation, captions[layer], rows, latent, memory)
        return dit.unpatchify(dit.head(x, embedded), latent.shape[-2] // dit.config.patch)


class NativeStep(_Step):
    """A pass over the standard operators; see :class:`NativeMemory` for what its inputs mean.

    Returns the velocity ``(1, F, C, H, W)`` and, layer by layer, keys and values after the pass.
    """

    def forward(
        self,
        latent: Tensor,
        embedded: Tensor,
        modulation: Tensor,
        cos: Tensor,
        sin: Tensor,
        write_row: Tensor,
        valid_rows: Tensor,
        rows: Tensor,
        captions: list[tuple[Tensor, Tensor]],
        caches: list[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        memory = NativeMemory(caches=caches, cos=cos, sin=sin, write_row=write_row, valid_rows=valid_rows)
        velocity = self._run(latent, embedded, modulation, rows, captions, memory)
        return velocity, memory.written


class PluginStep(_Step):
    """A pass over our own nodes; see :class:`PluginMemory` for what its inputs mean. Returns the velocity."""

    def forward(
        self,
        latent: Tensor,
        embedded: Tensor,
        modulation: Tensor,
        table: Tensor,
        state: Tensor,
        descriptor: Tensor,
        rows: Tensor,
        captions: list[tuple[Tensor, Tensor]],
    ) -> Tensor:
        memory = PluginMemory(descriptor=descriptor, table=table, state=state)
        return self._run(latent, embedded, modulation, rows, captions, memory)


def example_inputs(
    dit: DiT, spec: VideoSpec, flavour: Flavour, *, num_lat: int, num_captions: int
) -> tuple[list[str], tuple[object, ...]]:
    """Names and zeros of a pass over ``num_lat`` latent frames, to trace a graph with; names of pairs count layers."""
    config, dtype = dit.config, dit.dtype
    tokens = num_lat * spec.tokens_per_lat
    rows = (spec.context_lat + spec.window_lat) * spec.tokens_per_lat
    heads, size = config.num_heads, config.head_dim

    def pairs(*shape: int) -> list[tuple[Tensor, Tensor]]:
        return [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in range(config.num_layers)]

    def names(word: str) -> list[str]:
        return [f"{word}_{kind}_{layer}" for layer in range(config.num_layers) for kind in "kv"]

    always = {
        "latent": torch.zeros(1, num_lat, spec.latent_channels, spec.latent_height, spec.latent_width, dtype=dtype),
        "embedded": torch.zeros(1, 1, config.dim, dtype=dtype),
        "modulation": torch.zeros(1, 1, 6, config.dim, dtype=dtype),
    }
    captions = pairs(num_captions, config.text_len, heads, size)
    frame_rows = torch.zeros(1, num_lat, dtype=torch.int64)
    if flavour == "native":
        where: dict[str, Tensor] = {
            "cos": torch.zeros(1, tokens, size // 2),
            "sin": torch.zeros(1, tokens, size // 2),
            "write_row": torch.zeros(1, dtype=torch.int64),
            "valid_rows": torch.full((1,), tokens),
            "rows": frame_rows,
        }
        caches = pairs(1, heads, rows, size)
        return (
            [*always, *where, *names("caption"), *names("cache")],
            (*always.values(), *where.values(), captions, caches),
        )
    where = {
        "table": torch.zeros(2, tokens, size // 2, 2),
        "state": torch.zeros(5, dtype=torch.int32),
        "descriptor": torch.zeros(config.num_layers, 2, dtype=torch.int64),
        "rows": frame_rows,
    }
    return [*always, *where, *names("caption")], (*always.values(), *where.values(), captions)


class CaptionStep(nn.Module):
    """Embedded captions ``(n, T, text_dim)`` to keys and values of all layers, ``(n, T, N, D)`` each."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit

    def forward(self, text: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        return self.dit.encode_captions(text).layers


class NativeSlide(nn.Module):
    """Turn the context's keys ``(1, N, K, D)`` of every layer and write them into rows 0 to K of the caches."""

    def forward(self, cos: Tensor, sin: Tensor, pristine: list[Tensor], caches: list[Tensor]) -> list[Tensor]:
        first = torch.zeros(1, dtype=torch.int64)
        turned = (rotary(keys, cos, sin) for keys in pristine)
        return [scatter_rows(cache, keys, first) for cache, keys in zip(caches, turned, strict=True)]


def pass_profiles(config: DiTConfig, spec: VideoSpec, flavour: Flavour = "native") -> list[Profile]:
    """Sizes of the step in its two uses, a block and the context pass: smallest, usual and largest of each input."""
    profiles: list[Profile] = []
    for num_lat, usual in ((spec.block_lat, 1), (spec.context_lat, spec.context_lat)):
        tokens = num_lat * spec.tokens_per_lat
        fixed: dict[str, Shape] = {
            "latent": (1, num_lat, spec.latent_channels, spec.latent_height, spec.latent_width),
            "rows": (1, num_lat),
        }
        if flavour == "native":
            fixed |= {word: (1, tokens, config.head_dim // 2) for word in ("cos", "sin")}
        else:
            fixed["table"] = (2, tokens, config.head_dim // 2, 2)
        profile: Profile = {name: (shape, shape, shape) for name, shape in fixed.items()}
        caption = config.text_len, config.num_heads, config.head_dim
        for layer in range(config.num_layers):
            for kind in "kv":
                profile[f"caption_{kind}_{layer}"] = (1, *caption), (usual, *caption), (spec.context_lat, *caption)
        profiles.append(profile)
    return profiles
