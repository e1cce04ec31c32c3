"""Where a call writes in the cache and what it may read, as one small int32 tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CacheState:
    """Addressing of one pass over a layer's cache ``[context | local]``; all fields but ``split`` count tokens.

    Attributes:
        write_tok: first cache row that the call writes.
        context_tok: valid rows of the context, from row 0.
        local_start_tok: first row of the local part (the context's capacity).
        local_tok: valid rows of the local part, including the call's own.
        split: the query meets the context at a capped position, so it is turned twice.
    """

    write_tok: int
    context_tok: int
    local_start_tok: int
    local_tok: int
    split: bool = False

    def tensor(self) -> Tensor:
        """int32 ``(5,)`` in field order. It lives on the host for the eager executor (reading it never waits for a
        device) and on the device for a captured graph, whose kernels read it there."""
        return torch.tensor(
            [self.write_tok, self.context_tok, self.local_start_tok, self.local_tok, int(self.split)], dtype=torch.int32
        )

    @staticmethod
    def read(state: Tensor) -> CacheState:
        """The inverse of :meth:`tensor`."""
        write, context, start, local, split = state.tolist()
        return CacheState(
            write_tok=write, context_tok=context, local_start_tok=start, local_tok=local, split=bool(split)
        )
