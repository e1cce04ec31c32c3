"""Running exported graphs on the CPU, by programs that are not ours: ONNX Runtime, and ONNX's own evaluator.

The evaluator knows nothing of the domain ``shotstream``; it gets the operations from ``ops``, which work on host memory
here as the plugins do on a GPU's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from .memory import DOMAIN


class RuntimeGraph:
    """One file in ONNX Runtime; implements ``engine.graphs.Graph``."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [one.name for one in self._session.get_inputs()]

    def zeros(self, name: str) -> Tensor:
        """An input of fixed size that has nothing to say, in float32 or float16."""
        found = next(one for one in self._session.get_inputs() if one.name == name)
        return torch.zeros(found.shape, dtype=torch.float16 if found.type == "tensor(float16)" else torch.float32)

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        values = self._session.run(None, {name: inputs[name].numpy() for name in self.names})
        return [torch.from_numpy(value) for value in values]


class EvaluatorGraph:
    """One file in ONNX's reference evaluator, with our nodes; implements ``engine.graphs.Graph``. Slow."""

    def __init__(self, path: Path) -> None:
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(str(path), new_ops=_host_operators())
        self.names = list(self._evaluator.input_names)

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        values = self._evaluator.run(None, {name: _array(inputs[name]) for name in self.names})
        return [_tensor(value) for value in values]


def _host_operators() -> list[Any]:
    from onnx.reference.op_run import OpRun

    class RopeCacheWrite(OpRun):  # type: ignore[misc, unused-ignore]
        op_domain = DOMAIN

        def _run(  # type: ignore[no-untyped-def, unused-ignore]
            self, q, k, v, weight_q, weight_k, table, descriptor, state, layer=None, num_heads=None, eps=None
        ):
            keys = _tensor(k)
            cache = host_cache(descriptor[layer], num_heads, keys)
            angles = _tensor(table if state[4] else table[:1])
            weights = _tensor(weight_q), _tensor(weight_k)
            local, context = ops.rope_cache_write(
                _tensor(q), keys, _tensor(v), *weights, cache, angles, _tensor(state), eps
            )
            return local.numpy(), (context if context.numel() else local).numpy()

    class CacheAttention(OpRun):  # type: ignore[misc, unused-ignore]
        op_domain = DOMAIN

        def _run(  # type: ignore[no-untyped-def, unused-ignore]
            self, q_local, q_context, descriptor, state, layer=None, num_heads=None, eps=None
        ):
            local, context = _tensor(q_local), _tensor(q_context)
            cache = host_cache(descriptor[layer], num_heads, local.flatten(1))
            return (ops.cache_attention(local, context, cache, _tensor(state), local.shape[-1] ** -0.5).numpy(),)

    return [RopeCacheWrite, CacheAttention]


def _array(tensor: Tensor) -> Any:
    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    import ml_dtypes  # comes with onnx; NumPy has no bfloat16

    return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def _tensor(array: Any) -> Tensor:
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(array)  # a copy: the evaluator's arrays are read-only


def host_cache(addresses: Any, num_heads: int, like: Tensor) -> Tensor:
    """The cache ``(2, R, N, D)`` of a layer as it lies in host memory.

    Args:
        addresses: of its keys and of its values, one behind the other.
        num_heads: N.
        like: ``(L, N * D)`` in the dtype of the cache.
    """
    keys, values = (int(address) for address in addresses)
    size = values - keys
    memory = (ctypes.c_char * (2 * size)).from_address(keys)
    return torch.frombuffer(memory, dtype=like.dtype).view(2, -1, num_heads, like.shape[1] // num_heads)
