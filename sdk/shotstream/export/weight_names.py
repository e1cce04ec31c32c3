"""Names of weights in a graph, so that an engine of it can be refitted.

The exporter stores the matrix of a linear layer transposed and under a number. Here it gets its parameter's name back,
followed by ``.T``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError

TRANSPOSED = ".T"


def name_weights(model: Any, parameters: Mapping[str, Tensor]) -> None:
    """Rename what a graph stores of ``parameters`` in another form than they have.

    Args:
        model: ``onnx_ir.Model``; its weights are recognised by their content.
        parameters: of the module that was traced. Two of the same content keep the exporter's names.
    """
    found: dict[str, str | None] = {}
    for name, value in parameters.items():
        if value.dim() > 1:
            key = _digest(_bytes(_transposed(value)))
            found[key] = None if key in found else name
    for weight in list(model.graph.initializers.values()):
        if weight.name in parameters or weight.const_value is None or len(weight.const_value.shape) != 2:
            continue
        if parameter := found.get(_digest(weight.const_value.tobytes())):
            weight.name = parameter + TRANSPOSED


def refit_weights(known: list[str], changed: Mapping[str, Tensor], prefix: str = "dit.") -> dict[str, Tensor]:
    """Changed parameters as a graph's weights, for ``tensorrt_graph.refit``.

    Args:
        known: names of the graph's weights.
        changed: by the names that they have in the bundle, such as those that a LoRA was merged into.
        prefix: what the graph puts before them.

    Raises:
        ConfigError: the graph has no such weight.
    """
    weights = {}
    for name, value in changed.items():
        stored = prefix + name
        if stored in known:
            weights[stored] = value
        elif stored + TRANSPOSED in known:
            weights[stored + TRANSPOSED] = _transposed(value).contiguous()
        else:
            raise ConfigError(f"the graph has no weight {name!r}; give those of the bundle that it was exported from")
    return weights


def _transposed(value: Tensor) -> Tensor:
    return value.detach().flatten(1).t()


def _bytes(value: Tensor) -> bytes:
    return value.flatten().view(torch.uint8).cpu().numpy().tobytes()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
