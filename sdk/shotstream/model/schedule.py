"""Noise levels: the shifted flow-matching table, the few-step list, and velocity <-> clean latent.

Convention (flow matching): ``x_t = (1 - sigma) x0 + sigma noise``, velocity ``v = noise - x0``, timestep = 1000 sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .config import ScheduleConfig

TABLE_ENTRIES = 1000


def shift_sigma(fraction: Tensor, shift: float) -> Tensor:
    """``shift * s / (1 + (shift - 1) * s)`` for ``s`` in 0..1; larger shifts spend more steps at high noise."""
    return shift * fraction / (1 + (shift - 1) * fraction)


@dataclass(frozen=True)
class DenoisingStep:
    """One entry of the few-step list: the network's input ``timestep`` and the noise level ``sigma``."""

    timestep: float
    sigma: float


class Schedule:
    """Table of 1000 noise levels and the warped few-step list taken from it (docs/model.md, "Sampling").

    Attributes:
        sigmas, timesteps: float32 ``(1000,)``, falling from 1 and 1000.
        steps: the denoising steps; listed value v names table entry ``1000 - v``.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        self.config = config
        self.sigmas = self.sigmas_for(TABLE_ENTRIES)[:-1]
        self.timesteps = self.sigmas * 1000
        self.steps = tuple(self.step_at(TABLE_ENTRIES - listed) for listed in config.steps)

    def sigmas_for(self, num_steps: int) -> Tensor:
        """Noise levels of a plain ``num_steps`` Euler run: float32 ``(num_steps + 1,)``, from 1 to 0."""
        return shift_sigma(torch.linspace(1, 0, num_steps + 1, dtype=torch.float32), self.config.shift)

    def step_at(self, index: int) -> DenoisingStep:
        """Table entry ``index``; entry 1000 is the clean end."""
        if index == TABLE_ENTRIES:
            return DenoisingStep(0.0, 0.0)
        return DenoisingStep(float(self.timesteps[index]), float(self.sigmas[index]))

    def nearest_index(self, timestep: Tensor) -> Tensor:
        """Index of the table entry whose timestep is nearest (for rounded timesteps); same shape as ``timestep``."""
        distance = (self.timesteps.to(timestep.device) - timestep.float()[..., None]).abs()
        return distance.argmin(dim=-1)

    def nearest_sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of the nearest table entry; timestep 0 gives the last entry, not zero."""
        return self.sigmas.to(timestep.device)[self.nearest_index(timestep)]

    def flow_weights(self) -> Tensor:
        """Loss weight per table entry, float32 ``(1000,)``, mean 1: a bell around t = 500 minus its minimum."""
        bell = torch.exp(-2 * ((self.timesteps - TABLE_ENTRIES / 2) / TABLE_ENTRIES) ** 2)
        bell = bell - bell.min()
        return bell * (TABLE_ENTRIES / bell.sum())


def clean_from_velocity(x: Tensor, velocity: Tensor, sigma: float | Tensor) -> Tensor:
    """``x0 = x - sigma v``; computed in float64 and returned in the dtype of ``x``, as the published sampler does."""
    return (x.double() - sigma * velocity.double()).to(x.dtype)


def add_noise(clean: Tensor, noise: Tensor, sigma: float | Tensor) -> Tensor:
    """``(1 - sigma) x0 + sigma noise`` in float32, returned in the dtype of ``clean``."""
    return ((1 - sigma) * clean.float() + sigma * noise.float()).to(clean.dtype)
