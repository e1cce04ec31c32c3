"""Time vectors of the few timesteps of a schedule as a file, for whoever runs the network without its time layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import WeightsError
from .dit import DiT, TimeVectors


def save_times(dit: DiT, timesteps: Sequence[float], path: Path) -> None:
    """Write ``timesteps (n,)`` float64, ``embedded (n, E)`` and ``modulation (n, 6, E)``."""
    with torch.no_grad():
        vectors = dit.encode_time(torch.tensor([timesteps], dtype=torch.float64))
    tensors = {
        "timesteps": torch.tensor(timesteps, dtype=torch.float64),
        "embedded": vectors.embedded[0].contiguous(),
        "modulation": vectors.modulation[0].contiguous(),
    }
    save_file(tensors, path)


def load_times(path: Path) -> dict[float, TimeVectors]:
    """Time vectors ``(1, 1, E)`` and ``(1, 1, 6, E)`` by timestep.

    Raises:
        WeightsError: not such a file.
    """
    try:
        tensors = load_file(path)
        return {
            float(timestep): TimeVectors(
                tensors["embedded"][None, row : row + 1], tensors["modulation"][None, row : row + 1]
            )
            for row, timestep in enumerate(tensors["timesteps"])
        }
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"{path}: no readable time vectors ({error}); export the bundle again") from error
