"""How self-attention of an exported graph reaches the KV cache.

Both are ``AttentionMemory`` for ``DiT`` layers while a graph is traced. Shape legend: L tokens of the call, N heads,
D head size, E = N * D, R cache rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.onnx import ops as onnx_ops

from ..model.layers import SelfAttention
from .manifest import OPSET

DOMAIN = "shotstream"
DOMAIN_VERSION = 1


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn ``(1, N, L, D)`` by ``(1, L, D / 2)``; in float32, as ``model.rope`` does."""
    turned: Tensor = onnx_ops.rotary_embedding(x.float(), cos, sin, interleaved=True)
    return turned.to(x.dtype)


def scatter_rows(cache: Tensor, rows: Tensor, first: Tensor) -> Tensor:
    """``cache (1, N, R, D)`` with its rows from ``first (1,)`` on replaced."""
    written: Tensor = onnx_ops.symbolic(
        "TensorScatter",
        [cache, rows, first],
        {"axis": 2, "mode": "linear"},
        dtype=cache.dtype,
        shape=cache.shape,
        version=OPSET,
    )
    return written


@dataclass(frozen=True, kw_only=True)
class NativeMemory:
    """Standard operators: RotaryEmbedding, TensorScatter into the cache, Attention over its valid prefix.

    TensorScatter becomes TensorRT's in-place cache update when output and input are bound to the same memory; nothing
    is joined or copied.

    Attributes:
        caches: per layer keys and values, each ``(1, N, R, D)``.
        cos, sin: ``(1, L, D / 2)``.
        write_row: int64 ``(1,)``, first cache row of this call.
        valid_rows: int64 ``(1,)``, rows that may be attended to, from row 0, those of the call included.
        written: per layer the caches after the call.
    """

    caches: list[tuple[Tensor, Tensor]]
    cos: Tensor
    sin: Tensor
    write_row: Tensor
    valid_rows: Tensor
    written: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        keys, values = self._put(layer, attention, k, v)
        queries = rotary(attention.split_heads(attention.norm_q(q)).transpose(1, 2), self.cos, self.sin)
        # TensorRT's parser would turn any other scale into products with query *and* whole key cache.
        queries = queries * queries.shape[-1] ** -0.5
        out = onnx_ops.symbolic(
            "Attention",
            [queries, keys, values, None, None, None, self.valid_rows],
            {"scale": 1.0},
            dtype=queries.dtype,
            shape=queries.shape,
            version=OPSET,
        )
        return out.transpose(1, 2).flatten(2)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        self._put(layer, attention, k, v)

    def _put(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        new_keys = rotary(attention.split_heads(attention.norm_k(k)).transpose(1, 2), self.cos, self.sin)
        keys = scatter_rows(self.caches[layer][0], new_keys, self.write_row)
        values = scatter_rows(self.caches[layer][1], attention.split_heads(v).transpose(1, 2), self.write_row)
        self.written.append((keys, values))
        return keys, values


@dataclass(frozen=True, kw_only=True)
class PluginMemory:
    """Nodes ``shotstream::RopeCacheWrite`` and ``shotstream::CacheAttention``, as ``ops`` has them.

    The cache is no tensor of the graph: a plugin gets its addresses, so nothing can be copied behind its back.

    Attributes:
        descriptor: int64 ``(layers, 2)``, addresses of keys and values ``(R, N, D)`` of each layer.
        table: float32 ``(2, L, D / 2, 2)``; the second half counts only while the window slides.
        state: int32 ``(5,)``, see ``ops.CacheState``.
    """

    descriptor: Tensor
    table: Tensor
    state: Tensor

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        q_local, q_context = self._put(layer, attention, q, k, v)
        where = [self.descriptor, self.state]
        out = self._node("CacheAttention", [q_local, q_context, *where], attention, layer, [q_local])
        return out[0].flatten(1).unsqueeze(0)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        raise NotImplementedError("a plugin graph runs whole layers: its outputs are what keeps a node alive")

    def _put(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        weights = [attention.norm_q.weight, attention.norm_k.weight]
        turned = attention.split_heads(q[0])
        inputs = [q[0], k[0], v[0], *weights, self.table, self.descriptor, self.state]
        return self._node("RopeCacheWrite", inputs, attention, layer, [turned, turned])

    def _node(
        self, name: str, inputs: list[Tensor], attention: SelfAttention, layer: int, like: list[Tensor]
    ) -> list[Tensor]:
        return list(
            onnx_ops.symbolic_multi_out(
                f"{DOMAIN}::{name}",
                inputs,
                {"layer": layer, "num_heads": attention.num_heads, "eps": attention.norm_k.eps},
                dtypes=[one.dtype for one in like],
                shapes=[one.shape for one in like],
                version=DOMAIN_VERSION,
            )
        )
