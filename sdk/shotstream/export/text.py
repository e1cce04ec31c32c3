"""The text encoders as graphs of fixed length: token ids and which of them are valid, to caption rows.

Shape legend: n prompts, L longest prompt in tokens, T rows of a caption, E their width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.text import UMT5TextEncoder
from ..model.text_types import TextEncoder
from ..model.word_text import WordTextEncoder


class WordRows(nn.Module):
    """Ids ``(1, L)`` int64 and validity ``(1, L)`` bool to rows ``(1, T, E)`` of the embedded bundles' encoder."""

    def __init__(self, encoder: WordTextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, valid: Tensor) -> Tensor:
        rows: Tensor = self.encoder(ids, valid)
        return rows


class UMT5Rows(nn.Module):
    """Ids ``(1, L)`` int64 and validity ``(1, L)`` bool to rows ``(1, L, E)``; those of invalid tokens are zero."""

    def __init__(self, encoder: UMT5TextEncoder) -> None:
        super().__init__()
        self.model = encoder.model

    def forward(self, ids: Tensor, valid: Tensor) -> Tensor:
        rows: Tensor = self.model(input_ids=ids, attention_mask=valid).last_hidden_state
        return rows * valid.unsqueeze(-1)


def text_graph(encoder: TextEncoder) -> tuple[nn.Module, dict[str, Tensor]]:
    """A text encoder's network and examples of its inputs by name."""
    if isinstance(encoder, UMT5TextEncoder):
        module: nn.Module = UMT5Rows(encoder)
        length = encoder.config.text_len
    else:
        assert isinstance(encoder, WordTextEncoder)
        module, length = WordRows(encoder), encoder.config.max_words
    valid = torch.zeros(1, length, dtype=torch.bool)
    valid[0, 0] = True
    return module, {"ids": torch.zeros(1, length, dtype=torch.int64), "valid": valid}
