"""Noise by counter: every draw is a function of (seed, shot, block, step), whatever was drawn before."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

INITIAL_STEP = 0


class NoiseSource(Protocol):
    """Where the sampler takes its normal draws from."""

    def draw(self, shot: int, block: int, step: int) -> Tensor:
        """Noise of one block, ``(F, C, H, W)`` float32 on the CPU: step 0 starts the block, step i re-noises towards
        denoising step i."""


class CounterNoise:
    """Philox4x64-10 keyed by the seed, with (shot, block, step) in the upper counter words.

    A restore, a retry or a different history of the process cannot change a draw. The normal transform is NumPy's.
    """

    def __init__(self, seed: int, shape: tuple[int, int, int, int]) -> None:
        self.seed = seed
        self.shape = shape

    def draw(self, shot: int, block: int, step: int) -> Tensor:
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, step, block, shot]))
        return torch.from_numpy(generator.standard_normal(self.shape, dtype=np.float32))


class RecordedNoise:
    """Injected draws, for comparison with recorded runs.

    Args:
        noise: ``(num_blocks, F, C, H, W)`` initial noise of one shot.
        renoise: ``(num_blocks, steps - 1, F, C, H, W)``; entry i is used after step i.
    """

    def __init__(self, noise: Tensor, renoise: Tensor) -> None:
        self.noise = noise
        self.renoise = renoise

    def draw(self, shot: int, block: int, step: int) -> Tensor:
        return self.noise[block] if step == INITIAL_STEP else self.renoise[block, step - 1]
