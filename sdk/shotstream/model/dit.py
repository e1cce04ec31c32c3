"""Wan2.1 diffusion transformer: one set of layers, bidirectional or causal by the memory that is passed in.

Shape legend: B batch, F latent frames, C channels, H W latent size, S tokens of a latent frame, E model size,
n captions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import DiTConfig
from .layers import AttentionMemory, Block, FullAttention, Head


@dataclass(frozen=True)
class TimeVectors:
    """Encoded timesteps: ``embedded`` ``(B, F, E)`` for the head, ``modulation`` ``(B, F, 6, E)`` for the layers."""

    embedded: Tensor
    modulation: Tensor

    def to(self, device: torch.device) -> TimeVectors:
        """The same vectors on a device."""
        return TimeVectors(self.embedded.to(device), self.modulation.to(device))


@dataclass(frozen=True)
class CaptionKV:
    """Cross-attention keys and values of n captions, one ``(n, T, N, D)`` pair per layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    @staticmethod
    def concatenate(parts: list[CaptionKV]) -> CaptionKV:
        """Captions of ``parts`` in order."""
        if len(parts) == 1:
            return parts[0]
        pairs = zip(*(part.layers for part in parts), strict=True)
        return CaptionKV(tuple((torch.cat([k for k, _ in pair]), torch.cat([v for _, v in pair])) for pair in pairs))


class DiT(nn.Module):
    """Predicts the velocity ``noise - x0`` of latent frames.

    With ``memory=None`` every frame sees every frame (the teacher). With a KV cache as memory the same weights form the
    causal student: the cache holds the keys of the context and of earlier blocks. Parameter names and shapes are those
    of the published checkpoints (825 tensors for the 1.3B configuration).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(
            config.in_dim, dim, (1, config.patch, config.patch), (1, config.patch, config.patch)
        )
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)

    @property
    def dtype(self) -> torch.dtype:
        return self.head.head.weight.dtype

    def encode_time(self, timestep: Tensor) -> TimeVectors:
        """Encode timesteps ``(B, F)`` in 0..1000; sinusoids are formed in float64, cosines first."""
        half = self.config.freq_dim // 2
        exponents = torch.arange(half, dtype=torch.float64, device=timestep.device) / half
        angles = timestep.double()[..., None] * torch.pow(10000.0, -exponents)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.dtype)
        embedded = self.time_embedding(waves)
        return TimeVectors(embedded, self.time_projection(embedded).unflatten(-1, (6, -1)))

    def encode_captions(self, text: Tensor) -> CaptionKV:
        """Keys and values of all layers for embedded captions ``(n, text_len, text_dim)``; padding rows are zero."""
        embedded = self.text_embedding(text.to(self.dtype))
        return CaptionKV(tuple(block.cross_attn.caption_kv(embedded) for block in self._layers()))

    def _layers(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def patchify(self, latent: Tensor) -> Tensor:
        """``(B, F, C, H, W)`` to tokens ``(B, F, S, E)``; equal to the stored convolution, as one matrix product."""
        p = self.config.patch
        patches = latent.unflatten(-1, (-1, p)).unflatten(-3, (-1, p)).permute(0, 1, 3, 5, 2, 4, 6)
        weight = self.patch_embedding.weight.flatten(1)
        return torch.nn.functional.linear(patches.flatten(2, 3).flatten(3), weight, self.patch_embedding.bias)

    def unpatchify(self, tokens: Tensor, rows: int) -> Tensor:
        """``(B, F, S, p * p * C)`` with C fastest to ``(B, F, C, H, W)``."""
        p = self.config.patch
        cells = tokens.unflatten(2, (rows, -1)).unflatten(-1, (p, p, -1))
        return cells.permute(0, 1, 6, 2, 4, 3, 5).flatten(5).flatten(3, 4)

    def run(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: AttentionMemory | None = None,
    ) -> Tensor:
        """The network on encoded inputs.

        Args:
            latent: noisy latent frames ``(B, F, C, H, W)``.
            time: from :meth:`encode_time`; its B and F may be 1 (broadcast).
            caption_kv: from :meth:`encode_captions`.
            rope: ``(L, D / 2, 2)`` or ``(B, L, D / 2, 2)`` from ``rope.rotary_table``, on the same device.
            captions: int64 ``(B, F)`` on the CPU, row of ``caption_kv`` per latent frame; None = row 0.
            memory: None for full bidirectional attention.

        Returns:
            velocity ``(B, F, C, H, W)``.
        """
        rows = self._rows(captions)
        memory = FullAttention() if memory is None else memory
        x = self.patchify(latent)
        for layer, block in enumerate(self._layers()):
            x = block(x, layer, time.modulation, caption_kv.layers[layer], rows, rope, memory)
        return self.unpatchify(self.head(x, time.embedded), latent.shape[-2] // self.config.patch)

    def write_memory(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: AttentionMemory,
    ) -> None:
        """A context or clean pass: like :meth:`run`, for the keys and values alone.

        The last layer stops at its keys and values, and the head is not run: nothing reads them (exact).
        """
        rows = self._rows(captions)
        x = self.patchify(latent)
        *layers, last = self._layers()
        for layer, block in enumerate(layers):
            x = block(x, layer, time.modulation, caption_kv.layers[layer], rows, rope, memory)
        last.write_only(x, len(layers), time.modulation, rope, memory)

    def forward(
        self,
        latent: Tensor,
        timestep: Tensor,
        text: Tensor,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: AttentionMemory | None = None,
    ) -> Tensor:
        """Encode timesteps ``(B, F)`` and text ``(n, text_len, text_dim)``, then :meth:`run`."""
        return self.run(
            latent, self.encode_time(timestep), self.encode_captions(text), rope=rope, captions=captions, memory=memory
        )

    @staticmethod
    def _rows(captions: Tensor | None) -> int | Tensor:
        """Which caption each latent frame attends to, as ``CrossAttention.attend_captions`` takes it."""
        if captions is None:
            return 0
        uniform = bool((captions == captions[:, :1]).all())
        if uniform and captions.shape[0] == 1:
            return int(captions[0, 0])
        return captions[:, 0] if uniform else captions
