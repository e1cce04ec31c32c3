"""Checkpoints of a run: written whole or not at all, and enough to go on as if never stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from shotstream.errors import WeightsError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, lists, dicts) to ``path``; a reader sees the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote; refuses anything that is not plain data.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint; run the stage before this one first")
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many types for damaged files
        raise WeightsError(f"{path}: not a readable checkpoint ({error}); delete it and run its stage again") from error
    return state
