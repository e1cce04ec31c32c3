"""Layers of the Wan diffusion transformer, shared by the bidirectional and the causal form.

Shape legend: B batch, F latent frames, S tokens of a latent frame, L = F * S, E model size, N heads, D head size,
T text rows, n captions. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import DiTConfig
from .rope import rotate


class RMSNorm(nn.Module):
    """``x * rsqrt(mean(x^2) + eps) * weight`` over the full model width; the mean is formed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight


class AttentionMemory(Protocol):
    """What self-attention of the causal form reads and writes instead of the call's own keys alone."""

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        """Store the call's keys and values, then attend over all that is visible. ``q, k, v, result``: ``(B, L, E)``,
        projected, before QK-norm and rotation."""

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        """Store only; nothing downstream reads this layer's output."""


def attention_BLND(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, ``(B, L, N, D)`` in and out, scale ``1 / sqrt(D)``; ``mask`` True = may attend."""
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
    )
    return out.transpose(1, 2)


class FullAttention:
    """Memory-free attention: every token sees every token, or the frames that ``frame_mask`` allows.

    Args:
        frame_mask: bool ``(F, F)``, row = query frame, column = key frame, True = may attend; None = all.
    """

    def __init__(self, frame_mask: Tensor | None = None) -> None:
        self.frame_mask = frame_mask
        self._token_mask: Tensor | None = None

    def _mask_for(self, num_tokens: int) -> Tensor | None:
        if self.frame_mask is None:
            return None
        if self._token_mask is None or self._token_mask.shape[0] != num_tokens:
            repeat = num_tokens // self.frame_mask.shape[0]
            self._token_mask = self.frame_mask.repeat_interleave(repeat, 0).repeat_interleave(repeat, 1)
        return self._token_mask

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        q_BLND = rotate(attention.split_heads(attention.norm_q(q)), rope)
        k_BLND = rotate(attention.split_heads(attention.norm_k(k)), rope)
        return attention_BLND(q_BLND, k_BLND, attention.split_heads(v), self._mask_for(q.shape[1])).flatten(2)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        """Nothing to keep."""


class SelfAttention(nn.Module):
    """Projections, QK-norm over the full width, and the output projection; the memory does the attention."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)

    def split_heads(self, x: Tensor) -> Tensor:
        """``(..., E)`` to ``(..., N, D)``."""
        return x.unflatten(-1, (self.num_heads, -1))

    def forward(self, x: Tensor, layer: int, rope: Tensor, memory: AttentionMemory) -> Tensor:
        out: Tensor = self.o(memory.attend(layer, self, self.q(x), self.k(x), self.v(x), rope))
        return out


class CrossAttention(SelfAttention):
    """Attention over caption rows. No rotation and no padding mask: the published model attends to padding too."""

    def caption_kv(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``(n, T, N, D)`` of embedded captions ``(n, T, E)``; constant while the caption is."""
        return self.split_heads(self.norm_k(self.k(text))), self.split_heads(self.v(text))

    def attend_captions(self, x: Tensor, kv: tuple[Tensor, Tensor], rows: int | Tensor) -> Tensor:
        """Each latent frame attends to its own caption.

        Args:
            x: ``(B, F, S, E)``.
            kv: from :meth:`caption_kv`.
            rows: row of ``kv`` for all frames, for those of each batch entry ``(B,)``, or for each frame ``(B, F)``.
        """
        batch, frames = x.shape[:2]
        q = self.split_heads(self.norm_q(self.q(x)))
        k, v = kv
        if isinstance(rows, int):
            q = q.flatten(1, 2)
            k, v = (one[rows : rows + 1].expand(batch, -1, -1, -1) for one in kv)
        else:
            q = q.flatten(1, 2) if rows.dim() == 1 else q.flatten(0, 1)
            rows = rows.flatten().to(k.device, non_blocking=True)
            k, v = k[rows], v[rows]
        out: Tensor = self.o(attention_BLND(q, k, v).reshape(batch, frames, -1, q.shape[-1] * q.shape[-2]))
        return out


class Block(nn.Module):
    """Transformer layer: modulated self-attention, cross-attention, modulated feed-forward (docs/model.md)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.shape = (config.dim,)
        self.eps = config.eps
        self.self_attn = SelfAttention(config)
        self.norm3 = nn.LayerNorm(config.dim, eps=config.eps)
        self.cross_attn = CrossAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, config.dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, config.dim) / config.dim**0.5)

    def _modulated(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift, functional.layer_norm(x, self.shape, eps=self.eps), 1 + scale)

    def vectors(self, time: Tensor) -> tuple[Tensor, ...]:
        """Six ``(B, F, 1, E)`` vectors: shift, scale, gate of attention, then of the feed-forward."""
        return (self.modulation + time).unsqueeze(-2).unbind(2)

    def forward(
        self,
        x: Tensor,
        layer: int,
        time: Tensor,
        caption_kv: tuple[Tensor, Tensor],
        rows: int | Tensor,
        rope: Tensor,
        memory: AttentionMemory,
    ) -> Tensor:
        """``x``: ``(B, F, S, E)``; ``time``: ``(B, F, 6, E)``; ``rows``: see ``CrossAttention.attend_captions``."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.vectors(time)
        z = self._modulated(x, shift_a, scale_a).flatten(1, 2)
        x = torch.addcmul(x, self.self_attn(z, layer, rope, memory).view_as(x), gate_a)
        x = x + self.cross_attn.attend_captions(self.norm3(x), caption_kv, rows)
        return torch.addcmul(x, self.ffn(self._modulated(x, shift_f, scale_f)), gate_f)

    def write_only(self, x: Tensor, layer: int, time: Tensor, rope: Tensor, memory: AttentionMemory) -> None:
        """Store keys and values and stop: all that a context or clean pass needs from the last layer."""
        shift, scale = self.vectors(time)[:2]
        z = self._modulated(x, shift, scale).flatten(1, 2)
        memory.write(layer, self.self_attn, self.self_attn.k(z), self.self_attn.v(z), rope)


class Head(nn.Module):
    """Final modulated norm and projection to patches."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.shape = (config.dim,)
        self.eps = config.eps
        self.head = nn.Linear(config.dim, config.patch**2 * config.out_dim)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x: Tensor, embedded_time: Tensor) -> Tensor:
        """``x``: ``(B, F, S, E)``; ``embedded_time``: ``(B, F, E)``, before the six-fold projection."""
        shift, scale = (self.modulation + embedded_time.unsqueeze(2)).unsqueeze(-2).unbind(2)
        out: Tensor = self.head(torch.addcmul(shift, functional.layer_norm(x, self.shape, eps=self.eps), 1 + scale))
        return out
