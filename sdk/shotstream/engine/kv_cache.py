"""The dual cache: one buffer per layer, ``[context | local]``, written in place.

The context part holds keys and values of frames picked from earlier shots; the local part those of this shot's blocks.
Attention is not causal inside what is visible, so key order does not matter: the local part fills block by block and
then turns into a ring, and in every state the valid rows are one prefix. Nothing is cloned, joined, rolled or turned
again.

Keys stay turned at their absolute position for ever. While the shot fits its window, a query meets context and local
keys at that same position. Once the window slides, the query meets the context at the position of the last window
place, as if the context were never further away than in training: it is turned twice and the two softmaxes are merged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import ops
from ..frames import VideoSpec
from ..model.config import DiTConfig
from ..model.layers import SelfAttention
from ..model.rope import rotary_table


class KVCache:
    """Keys and values of all layers, and the addressing of the pass that is under way.

    Memory: ``2 * layers * (context_lat + window_lat) * tokens_per_lat * dim`` elements, allocated once.
    """

    def __init__(self, config: DiTConfig, spec: VideoSpec, *, device: torch.device, dtype: torch.dtype) -> None:
        self.config = config
        self.spec = spec
        self.device = device
        self.context_capacity = spec.context_lat * spec.tokens_per_lat
        self.local_capacity = spec.window_lat * spec.tokens_per_lat
        shape = (2, self.context_capacity + self.local_capacity, config.num_heads, config.head_dim)
        self.layers = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.num_layers)]
        self._state = torch.zeros(5, dtype=torch.int32)
        self._context_tok = 0
        self._scale = config.head_dim**-0.5

    @property
    def state(self) -> Tensor:
        """Addressing of the pass under way, int32 ``(5,)``: see ``ops.CacheState``."""
        return self._state

    @property
    def size_bytes(self) -> int:
        return sum(layer.numel() * layer.element_size() for layer in self.layers)

    def begin_context(self, flags: list[int]) -> Tensor:
        """Address the context pass; positions are 0, 1, ... Forgets the shot before it.

        Args:
            flags: shot flag per context frame, at most ``context_lat``.

        Returns:
            rotary table of the pass.
        """
        if len(flags) > self.spec.context_lat:
            raise ValueError(f"{len(flags)} context frames exceed context_lat={self.spec.context_lat}")
        self._context_tok = len(flags) * self.spec.tokens_per_lat
        self._state = ops.CacheState(
            write_tok=0, context_tok=self._context_tok, local_start_tok=self.context_capacity, local_tok=0
        ).tensor()
        return self._table(list(range(len(flags))), flags)

    def clear_context(self) -> None:
        """Open a shot that sees no context at all."""
        self._context_tok = 0

    def begin_block(self, block: int, flag: int) -> Tensor:
        """Address a denoising or clean pass of ``block``; its keys replace those of the block that left the window.

        Returns:
            rotary table of the pass: one row, or two once the window slides.
        """
        spec = self.spec
        size = spec.block_lat * spec.tokens_per_lat
        num_slots = spec.window_lat // spec.block_lat
        slot = block % num_slots
        sliding = block >= num_slots and self._context_tok > 0
        self._state = ops.CacheState(
            write_tok=self.context_capacity + slot * size,
            context_tok=self._context_tok,
            local_start_tok=self.context_capacity,
            local_tok=min(block + 1, num_slots) * size,
            split=sliding,
        ).tensor()
        starts = [block * spec.block_lat] + ([(num_slots - 1) * spec.block_lat] if sliding else [])
        positions = [[spec.context_lat + start + i for i in range(spec.block_lat)] for start in starts]
        return self._table(positions, [[flag] * spec.block_lat for _ in starts])

    def _table(self, positions: list[int] | list[list[int]], flags: list[int] | list[list[int]]) -> Tensor:
        table = rotary_table(self.config, self.spec.grid, torch.tensor(positions), torch.tensor(flags))
        table = table if table.dim() == 4 else table.unsqueeze(0)
        return table.contiguous().to(self.device, non_blocking=True)

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        """See :class:`~shotstream.model.layers.AttentionMemory`; batch 1."""
        cache = self.layers[layer]
        queries = ops.rope_cache_write(
            q[0],
            k[0],
            v[0],
            attention.norm_q.weight,
            attention.norm_k.weight,
            cache,
            rope,
            self._state,
            attention.norm_k.eps,
        )
        return ops.cache_attention(*queries, cache, self._state, self._scale).flatten(1).unsqueeze(0)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        """See :class:`~shotstream.model.layers.AttentionMemory`; batch 1."""
        norm_q, norm_k = attention.norm_q, attention.norm_k
        ops.rope_cache_write(
            None, k[0], v[0], norm_q.weight, norm_k.weight, self.layers[layer], rope, self._state, norm_k.eps
        )
