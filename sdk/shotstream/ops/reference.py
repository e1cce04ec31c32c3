"""Plain versions of the ops: the meaning that every kernel is tested against. Clear before fast.

Shape legend: L tokens of the call, E = N * D model size, N heads, D head size, R cache rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .state import CacheState


def normalised(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the full width: mean in float32, result in the dtype of ``x``, then the weight."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def turned(x: Tensor, table: Tensor) -> Tensor:
    """Rotate adjacent pairs of ``(L, N, D)`` by ``(L, D / 2, 2)`` cosines and sines, in float32."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table[:, None, :, 0], table[:, None, :, 1]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)


def rope_cache_write(
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    weight_q: Tensor,
    weight_k: Tensor,
    cache: Tensor,
    table: Tensor,
    state: CacheState,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """See :func:`shotstream.ops.rope_cache_write`."""
    heads = cache.shape[2]
    rows = slice(state.write_tok, state.write_tok + k.shape[0])
    cache[0, rows] = turned(normalised(k, weight_k, eps).unflatten(-1, (heads, -1)), table[0])
    cache[1, rows] = v.unflatten(-1, (heads, -1))
    if q is None:
        return k.new_empty(0), k.new_empty(0)
    q_heads = normalised(q, weight_q, eps).unflatten(-1, (heads, -1))
    return turned(q_heads, table[0]), turned(q_heads, table[1]) if state.split else k.new_empty(0)


def cache_attention(q_local: Tensor, q_context: Tensor, cache: Tensor, state: CacheState, scale: float) -> Tensor:
    """See :func:`shotstream.ops.cache_attention`; one softmax over both parts, logits and sums in float32."""
    context = slice(0, state.context_tok)
    local = slice(state.local_start_tok, state.local_start_tok + state.local_tok)
    q_for_context = q_context if state.split else q_local
    logits = torch.cat(
        [
            torch.einsum("lnd,rnd->nlr", q_for_context.float(), cache[0, context].float()),
            torch.einsum("lnd,rnd->nlr", q_local.float(), cache[0, local].float()),
        ],
        dim=-1,
    )
    weights = torch.softmax(logits * scale, dim=-1)
    values = torch.cat([cache[1, context], cache[1, local]]).float()
    return torch.einsum("nlr,rnd->lnd", weights, values).to(q_local.dtype)


def images_from_pixels(pixels: Tensor) -> NDArray[np.uint8]:
    """See :func:`shotstream.ops.images_from_pixels`."""
    scaled = (pixels.float() * 0.5 + 0.5).clamp(0, 1) * 255
    images: NDArray[np.uint8] = scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images
