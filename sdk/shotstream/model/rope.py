"""Rotary position tables with the shot phase.

Shape legend: F latent frames, L = F * rows * columns tokens, D head size.

A token at temporal position p in shot flag s is turned, in temporal channel i, by
``p * 10000^(-2i / 2T) + s / 6`` rad, T being the number of temporal pairs. The second term is a *phase*: it is the same
in every temporal channel and is not scaled by the channel's frequency, so it is no shift of position (ShotStream, RoPE
discontinuity). Rows and columns turn by position alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .config import PHASE_PER_SHOT_RAD, DiTConfig


def _angles(positions: Tensor, num_pairs: int) -> Tensor:
    """Angles ``(..., num_pairs)`` in rad, float64, base 10000."""
    exponents = torch.arange(num_pairs, dtype=torch.float64) / num_pairs
    return positions.to(torch.float64)[..., None] * torch.pow(10000.0, -exponents)


def rotary_table(
    config: DiTConfig,
    grid: tuple[int, int],
    positions: Sequence[int] | Tensor,
    flags: Sequence[int] | Tensor,
) -> Tensor:
    """Cosine and sine of every token's angles.

    Args:
        config: gives the head size and its split into temporal, row and column pairs.
        grid: token rows and columns of a latent frame.
        positions: temporal position of each latent frame, ``(..., F)``.
        flags: shot flag of each latent frame, ``(..., F)``.

    Returns:
        float32 ``(..., L, D / 2, 2)`` on the CPU, last axis (cos, sin); angles are formed in float64. Tokens are
        ordered frame, row, column.
    """
    rows, columns = grid
    pairs_t, pairs_h, pairs_w = config.rope_pairs
    frame_positions = torch.as_tensor(positions)
    # The reference multiplies flag and phase in float32 and adds the product in float64.
    phase = (torch.as_tensor(flags).to(torch.float32) * PHASE_PER_SHOT_RAD).to(torch.float64)
    lead = frame_positions.shape
    angle_t = _angles(frame_positions, pairs_t) + phase[..., None]
    angle_h = _angles(torch.arange(rows), pairs_h)
    angle_w = _angles(torch.arange(columns), pairs_w)
    angle = torch.cat(
        [
            angle_t[..., None, None, :].expand(*lead, rows, columns, pairs_t),
            angle_h[:, None, :].expand(*lead, rows, columns, pairs_h),
            angle_w.expand(*lead, rows, columns, pairs_w),
        ],
        dim=-1,
    ).reshape(*lead[:-1], lead[-1] * rows * columns, config.head_dim // 2)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).to(torch.float32)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn adjacent channel pairs: ``(a + ib) * exp(i * angle)``.

    Args:
        x: ``(..., L, N, D)`` queries or keys.
        table: ``(..., L, D / 2, 2)`` from :func:`rotary_table`.

    Returns:
        Same shape and dtype as ``x``; the turn itself runs in float32.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    turned = pairs * torch.view_as_complex(table).unsqueeze(-2)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)
