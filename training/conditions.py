"""Text rows for training: phrasings become rows that the DiT attends to, encoded once and looked up per batch.

Shape legend: M distinct prompts, T text rows, D text channels, V phrasings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shotstream.model.text_types import TextEncoder

from . import checkpoint, parallel
from .data import Phrasing
from .storyworld.captions import UNSPECIFIED
from .storyworld.labels import LABELS

ENCODE_BATCH = 256
RowMaker = Callable[[Sequence[tuple[str, dict[str, str]]]], Tensor]
"""Maps (prompt, what it says) pairs to rows ``(n, T, D)``."""


def encoded_rows(encoder: TextEncoder) -> RowMaker:
    """Rows of the text encoder, as at inference."""

    @torch.inference_mode()
    def rows(pairs: Sequence[tuple[str, dict[str, str]]]) -> Tensor:
        parts = [
            encoder.encode([prompt for prompt, _ in pairs[start : start + ENCODE_BATCH]]).emb
            for start in range(0, len(pairs), ENCODE_BATCH)
        ]
        return torch.cat(parts)

    return rows


def cached_rows(make: RowMaker, path: Path) -> RowMaker:
    """The same rows, kept in ``path`` between runs; only worker 0 writes the file."""

    def rows(pairs: Sequence[tuple[str, dict[str, str]]]) -> Tensor:
        known: dict[str, Any] = checkpoint.load(path) if path.is_file() else {"prompts": [], "rows": torch.empty(0)}
        place = {prompt: number for number, prompt in enumerate(known["prompts"])}
        missing = [pair for pair in pairs if pair[0] not in place]
        if missing:
            made = make(missing).half()
            prompts = known["prompts"] + [prompt for prompt, _ in missing]
            known = {"prompts": prompts, "rows": torch.cat([known["rows"], made]) if place else made}
            place = {prompt: number for number, prompt in enumerate(prompts)}
            if not parallel.rank():
                checkpoint.save(path, known)
        return known["rows"][[place[prompt] for prompt, _ in pairs]].float()

    return rows


class CodeBook:
    """Fixed random rows, one per attribute value: an ideal text encoder, for training before there is a real one."""

    def __init__(self, num_rows: int, dim: int, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.index: dict[tuple[str, str], int] = {}
        for name, values in LABELS.items():
            for value in (*values, UNSPECIFIED):
                self.index[name, value] = len(self.index)
        self.names = tuple(LABELS)
        self.codes = torch.randn(len(self.index), dim, generator=generator)
        self.rest = torch.randn(num_rows - len(self.names), dim, generator=generator)

    def rows(self, pairs: Sequence[tuple[str, dict[str, str]]]) -> Tensor:
        table = torch.tensor([[self.index[name, said[name]] for name in self.names] for _, said in pairs])
        return torch.cat([self.codes[table], self.rest.expand(len(pairs), -1, -1)], dim=1)


@dataclass(frozen=True)
class TextTable:
    """Rows of all distinct prompts of a data set, ``(M, T, D)`` float16, and where each phrasing's prompts are.

    ``index[n][v][k]`` is the row block of shot k's prompt in phrasing v of sample n.
    """

    rows: Tensor
    index: list[list[list[int]]]

    @classmethod
    def build(cls, phrasings: list[list[Phrasing]], make: RowMaker) -> TextTable:
        places: dict[str, int] = {}
        pairs: list[tuple[str, dict[str, str]]] = []
        index = []
        for sample in phrasings:
            per_phrasing = []
            for phrasing in sample:
                for prompt, said in zip(phrasing.prompts, phrasing.said, strict=True):
                    if prompt not in places:
                        places[prompt] = len(pairs)
                        pairs.append((prompt, said))
                per_phrasing.append([places[prompt] for prompt in phrasing.prompts])
            index.append(per_phrasing)
        return cls(make(pairs).half(), index)

    def draw(self, sample: int, generator: torch.Generator) -> list[int]:
        """Row blocks of shots 0 .. k of a random phrasing of one sample."""
        choices = self.index[sample]
        return choices[int(torch.randint(len(choices), (), generator=generator))]
