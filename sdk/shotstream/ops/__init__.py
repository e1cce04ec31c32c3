"""The operations of the hot path. The two of the denoising loop are registered with ``torch.library``.

Each function checks what the tensors mean, picks an implementation, and calls it. ``reference.py`` holds the plain
versions. Shape legend: L tokens of the call, E = N * D model size, N heads, D head size, R cache rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from . import reference
from .state import CacheState

try:
    from shotstream import _native
except ImportError:  # a source tree that was not built: the plain versions serve
    _native = None  # type: ignore[assignment, unused-ignore]

__all__ = ["CacheState", "cache_attention", "images_from_pixels", "rope_cache_write"]


def rope_cache_write(
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    weight_q: Tensor,
    weight_k: Tensor,
    cache: Tensor,
    table: Tensor,
    state: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Norm and turn queries and keys, and write keys and values into the cache, in place.

    Args:
        q, k, v: ``(L, E)``, projected; q None when nothing attends (a clean pass of the last layer).
        weight_q, weight_k: ``(E,)`` of the QK-norm, which spans the full width.
        cache: ``(2, R, N, D)``, keys then values; rows ``write_tok .. write_tok + L`` are overwritten.
        table: float32 ``(1 or 2, L, D / 2, 2)``: local angles, and with ``split`` also those against the context.
        state: int32 ``(5,)``, see :class:`CacheState`.

    Returns:
        ``(L, N, D)`` queries for the local part, and for the context (empty unless ``split``).
    """
    queries: tuple[Tensor, Tensor] = torch.ops.shotstream.rope_cache_write(
        q, k, v, weight_q, weight_k, cache, table, state, eps
    )
    return queries


def cache_attention(q_local: Tensor, q_context: Tensor, cache: Tensor, state: Tensor, scale: float) -> Tensor:
    """Attend over the valid rows of the cache: all context rows and the valid local rows, without a mask.

    Args:
        q_local, q_context: from :func:`rope_cache_write`.
        cache, state: as there.
        scale: ``1 / sqrt(D)``.

    Returns:
        ``(L, N, D)``.
    """
    out: Tensor = torch.ops.shotstream.cache_attention(q_local, q_context, cache, state, scale)
    return out


def images_from_pixels(pixels: Tensor) -> NDArray[np.uint8]:
    """Decoded frames as pictures.

    Args:
        pixels: ``(T, 3, H, W)``, any float dtype, -1..1 (values outside are clamped).

    Returns:
        uint8 ``(T, H, W, 3)`` on the host; values are truncated, not rounded, as in the published program.
    """
    planes = pixels.float().contiguous()
    if not _native_takes(planes):
        return reference.images_from_pixels(planes)
    frames, _, height, width = planes.shape
    images = np.empty((frames, height, width, 3), dtype=np.uint8)
    _native.pack_rgb8_f32(
        planes=planes.data_ptr(), rgb=images.ctypes.data, num_frames=frames, num_pixels=height * width
    )
    return images


def _native_takes(*tensors: Tensor | None) -> bool:
    return _native is not None and all(
        x is None or (x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()) for x in tensors
    )


def _check_sizes(
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    weight_q: Tensor,
    weight_k: Tensor,
    cache: Tensor,
    table: Tensor,
    where: CacheState,
) -> None:
    """The kernels get bare addresses: a size that does not fit would read or write past the end of a tensor.

    Raises:
        ValueError: such a size.
    """
    rows, heads, head_dim = cache.shape[1:]
    num_tokens, width = k.shape[0], heads * head_dim
    if (
        any(x.shape != (num_tokens, width) for x in (q, k, v) if x is not None)
        or any(x.shape != (width,) for x in (weight_q, weight_k))
        or len(cache) != 2
        or table.shape[1:] != (num_tokens, head_dim // 2, 2)
        or len(table) < 1 + where.split
    ):
        shapes = [None if x is None else tuple(x.shape) for x in (q, k, v, weight_q, weight_k, cache, table)]
        raise ValueError(f"sizes of q, k, v, their weights, cache and table do not fit each other: {shapes}")
    if where.write_tok < 0 or where.write_tok + num_tokens > rows:
        raise ValueError(f"rows {where.write_tok} .. {where.write_tok + num_tokens} are outside the cache of {rows}")


def _rope_cache_write(
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    weight_q: Tensor,
    weight_k: Tensor,
    cache: Tensor,
    table: Tensor,
    state: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    where = CacheState.read(state)
    _check_sizes(q, k, v, weight_q, weight_k, cache, table, where)
    if not _native_takes(q, k, v, weight_q, weight_k, cache, table):
        return reference.rope_cache_write(q, k, v, weight_q, weight_k, cache, table, where, eps)
    num_tokens, (heads, head_dim) = k.shape[0], cache.shape[2:]
    q_local = k.new_empty((num_tokens, heads, head_dim) if q is not None else 0)
    q_context = k.new_empty((num_tokens, heads, head_dim) if q is not None and where.split else 0)
    _native.rope_cache_write_f32(
        q=q.data_ptr() if q is not None else 0,
        k=k.data_ptr(),
        v=v.data_ptr(),
        weight_q=weight_q.data_ptr(),
        weight_k=weight_k.data_ptr(),
        cache_k=cache[0, where.write_tok :].data_ptr(),
        cache_v=cache[1, where.write_tok :].data_ptr(),
        table=table.data_ptr(),
        q_local=q_local.data_ptr() if q is not None else 0,
        q_context=q_context.data_ptr() if q_context.numel() else 0,
        num_tokens=num_tokens,
        num_heads=heads,
        head_dim=head_dim,
        eps=eps,
    )
    return q_local, q_context


def _gives_lse(q: Tensor) -> bool:
    """Whether there is a fused kernel for :func:`_attend_with_lse`; on CUDA it takes the narrow types alone."""
    return q.device.type == "cpu" or q.dtype in (torch.bfloat16, torch.float16)


def _attend_with_lse(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Attention of ``(1, N, L, D)`` and the log-sum-exp ``(1, N, L)`` of its logits."""
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)[:2]
    else:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[:2]
    return out, lse


def _cache_attention(q_local: Tensor, q_context: Tensor, cache: Tensor, state: Tensor, scale: float) -> Tensor:
    where = CacheState.read(state)
    keys, values = cache.unsqueeze(1).transpose(2, 3).unbind(0)
    q = q_local.unsqueeze(0).transpose(1, 2)
    start, end = where.local_start_tok, where.local_start_tok + where.local_tok
    if where.split and where.context_tok:
        if not _gives_lse(q_local):
            return reference.cache_attention(q_local, q_context, cache, where, scale)
        q_for_context = q_context.unsqueeze(0).transpose(1, 2)
        context, local = slice(0, where.context_tok), slice(start, end)
        out_c, lse_c = _attend_with_lse(q_for_context, keys[:, :, context], values[:, :, context], scale)
        out_l, lse_l = _attend_with_lse(q, keys[:, :, local], values[:, :, local], scale)
        # Two softmaxes join exactly: each counts with its share of the common normaliser.
        share = torch.sigmoid(lse_c - lse_l).unsqueeze(-1).to(out_c.dtype)
        out = torch.lerp(out_l, out_c, share)
    else:
        if where.context_tok == start or not where.local_tok:
            first, last = 0, end if where.local_tok else where.context_tok
        elif not where.context_tok:
            first, last = start, end
        else:  # a partly filled context never happens in the block loop
            return reference.cache_attention(q_local, q_context, cache, where, scale)
        out = functional.scaled_dot_product_attention(q, keys[:, :, first:last], values[:, :, first:last], scale=scale)
    return out.transpose(1, 2).squeeze(0).contiguous()


# Registered through ``Library``, not ``custom_op``: the latter imports torch's compiler on the first call, which would
# cost the first shot more than a second.
_library = torch.library.Library("shotstream", "DEF")
_library.define(
    "rope_cache_write(Tensor? q, Tensor k, Tensor v, Tensor weight_q, Tensor weight_k, Tensor(a!) cache, Tensor table, "
    "Tensor state, float eps) -> (Tensor, Tensor)"
)
_library.define("cache_attention(Tensor q_local, Tensor q_context, Tensor cache, Tensor state, float scale) -> Tensor")
_library.impl("rope_cache_write", _rope_cache_write, "CompositeExplicitAutograd")
_library.impl("cache_attention", _cache_attention, "CompositeExplicitAutograd")


@torch.library.register_fake("shotstream::rope_cache_write")
def _rope_cache_write_fake(
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    weight_q: Tensor,
    weight_k: Tensor,
    cache: Tensor,
    table: Tensor,
    state: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    shape = (k.shape[0], *cache.shape[2:])
    return k.new_empty(shape if q is not None else 0), k.new_empty(shape if q is not None and len(table) == 2 else 0)


@torch.library.register_fake("shotstream::cache_attention")
def _cache_attention_fake(q_local: Tensor, q_context: Tensor, cache: Tensor, state: Tensor, scale: float) -> Tensor:
    return torch.empty_like(q_local)
