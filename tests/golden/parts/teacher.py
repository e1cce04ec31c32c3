"""The bidirectional transformer on context and target frames together, one timestep for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shotstream.model.dit import DiT
from shotstream.model.rope import rotary_table
from shotstream.model.schedule import clean_from_velocity

from .common import (
    TABLE_LIMIT,
    Cases,
    Part,
    bf16_case,
    build_dit,
    caption_row,
    close,
    close_scalar,
    constant_time,
    rope_split,
)


def teacher_velocity(
    dit: DiT, latent: Tensor, timestep: float, text: Tensor, flags: list[int], positions: list[int]
) -> Tensor:
    """Velocity ``(F, C, H, W)`` of all frames; a frame attends to the caption that its flag names."""
    grid = (latent.shape[-2] // dit.config.patch, latent.shape[-1] // dit.config.patch)
    return dit(
        latent[None].to(dit.dtype),
        constant_time(timestep),
        text,
        rope=rotary_table(dit.config, grid, positions, flags),
        captions=torch.tensor([[caption_row(flag, len(text)) for flag in flags]]),
    )[0]


@torch.no_grad()
def check(part: Part) -> Cases:
    yield rope_split(part)
    for dit in (build_dit(part, "weight"), build_dit(part, "weight").bfloat16()):
        for case in part.info["cases"]:
            yield from _case(part, case, dit)


def _case(part: Part, case: Mapping[str, Any], dit: DiT) -> Cases:
    name, prefix = case["name"], f"case/{case['name']}/"
    x = part[prefix + "input"]
    velocity = teacher_velocity(dit, x, case["timestep"], part[prefix + "text"], case["flags"], case["positions"])
    if dit.dtype == torch.bfloat16:
        measured = part.info["measured"]["bf16_vs_fp32_rel_rms"][name]
        yield bf16_case(f"{name}: velocity", velocity, part[prefix + "velocity"], measured)
        return
    sigma = float(part.schedule.nearest_sigma(torch.tensor(case["timestep"])))
    yield close_scalar(f"{name}: sigma", sigma, case["sigma"], TABLE_LIMIT)
    yield close(f"{name}: velocity", velocity, part[prefix + "velocity"])
    yield close(f"{name}: x0", clean_from_velocity(x, velocity, sigma), part[prefix + "x0"])
