"""Losses of the published four-stage recipe, as pure functions of network outputs.

Convention: ``x_t = (1 - sigma) x0 + sigma noise``, velocity ``v = noise - x0``. Losses are scalars; latents are
``(B, F, C, H, W)``. Shape legend: B samples, F latent frames, K context frames, C channels, H W latent size.
Sources: flow matching (Lipman et al. 2023), distribution matching distillation (Yin et al. 2024), self-forcing
(Huang et al. 2025), ShotStream's four stages.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

TIMESTEP_RANGE = (20.0, 980.0)
"""Score timesteps of the third and fourth stage are clamped into this range."""


def flow_matching_loss(velocity: Tensor, clean: Tensor, noise: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """First stage: weighted mean squared error against the velocity ``noise - clean``.

    Args:
        velocity: predicted, target frames only (the context is not scored).
        weight: from ``Schedule.flow_weights`` at the sample's timestep; scalar or ``(B,)``.
    """
    per_sample = (velocity - (noise - clean)).square().flatten(1).mean(1)
    return (torch.as_tensor(weight) * per_sample).mean()


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance from the unconditional side: ``u + scale (c - u)``; scale 1 is no guidance."""
    return unconditional + scale * (conditional - unconditional)


def euler_trajectory(
    velocity: Callable[[Tensor, float], Tensor], noise: Tensor, sigmas: Tensor, keep: tuple[int, ...] = ()
) -> tuple[Tensor, dict[int, Tensor]]:
    """Integrate ``dx / dsigma = v`` from noise to a clean latent, as the teacher makes its trajectories.

    Args:
        velocity: of (state, timestep in 0..1000), with guidance already in it.
        sigmas: ``(steps + 1,)``, falling from 1 to 0.
        keep: step numbers whose state *before* the step is returned.

    Returns:
        the end of the trajectory, and the kept states.
    """
    x, kept = noise, {}
    levels = sigmas.tolist()
    for step, (sigma, following) in enumerate(pairwise(levels)):
        if step in keep:
            kept[step] = x
        x = x + velocity(x, sigma * 1000) * (following - sigma)
    return x, kept


def ode_regression_loss(x0: Tensor, end: Tensor, timestep: Tensor) -> Tensor:
    """Second stage: mean squared error of predicted clean latents against the end of the teacher's trajectory.

    Args:
        x0: predicted clean target frames.
        end: the same frames at the end of the trajectory.
        timestep: ``(B, F)``; frames at 0 were given clean and are not scored.
    """
    scored = timestep > 0
    return (x0 - end)[scored].square().mean()


def dmd_gradient(x: Tensor, x0_fake: Tensor, x0_real: Tensor) -> Tensor:
    """Third stage: direction in which the generator's output should *not* go, of unit scale per sample.

    Args:
        x: the generator's output.
        x0_fake, x0_real: what the score of the generator's own outputs, and the guided teacher, make of a noised ``x``.

    Returns:
        ``(fake - real) / mean |x - real|``, without gradient; 0 where that is not finite.
    """
    scale = (x - x0_real).abs().mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    return torch.nan_to_num(((x0_fake - x0_real) / scale).detach(), nan=0.0, posinf=0.0, neginf=0.0)


def dmd_loss(x: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose derivative with respect to ``x`` is ``gradient / x.numel()``; formed in float64."""
    target = (x.double() - gradient.double()).detach()
    return 0.5 * (x.double() - target).square().mean()


def real_score(conditional: Tensor, negative: Tensor, scale: float) -> Tensor:
    """The teacher's clean estimate: ``c + scale (c - n)``, guidance counted from the conditional side."""
    return conditional + scale * (conditional - negative)


def critic_loss(velocity: Tensor, x: Tensor, noise: Tensor) -> Tensor:
    """Third stage: the fake score learns, by flow matching, the generator's outputs ``x`` (unweighted)."""
    return (velocity - (noise - x.detach())).square().mean()


def block_causal_mask(num_context: int, num_frames: int, block: int) -> Tensor:
    """Who may attend to whom in the second stage, bool ``(K + F, K + F)``, row = query frame.

    The context sees itself; a block sees the context, the blocks before it, and all of itself.
    """
    order = torch.cat([torch.zeros(num_context, dtype=torch.int64), 1 + torch.arange(num_frames) // block])
    return order[:, None] >= order[None, :]
