"""What every text encoder answers with, and the one method it has.

Shapes: n prompts, ``text_len`` rows per prompt, ``text_dim`` channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, kw_only=True)
class TextEmbedding:
    """Encoded prompts.

    Attributes:
        emb: float tensor ``(n, text_len, text_dim)``; rows that stand for padding are zero.
        lengths: tokens of each prompt that were encoded (after truncation, unknown words not counted).
        truncated: whether each prompt had more tokens than the encoder takes.
        unknown: words of each prompt that the vocabulary lacks, in order; empty for subword tokenizers.
    """

    emb: torch.Tensor
    lengths: tuple[int, ...]
    truncated: tuple[bool, ...]
    unknown: tuple[tuple[str, ...], ...]


class TextEncoder(Protocol):
    """Turns prompts into the rows that the DiT attends to."""

    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        """Encode prompts; one entry per prompt, in order. Truncation is reported, never silent."""
