"""Small word-level text encoder of the embedded bundles.

Learned slot tokens stand in front of the words; after a few transformer layers only the slots are kept, each of
which has learned to carry one kind of fact (who, where, doing what). A DiT attends to ``num_slots`` rows of unit scale.

Shapes: n prompts, L words of the longest one, S slots, E model size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn

from ..errors import ConfigError
from .config import WordTextConfig
from .text_types import TextEmbedding

UNKNOWN = "[UNK]"
SHOT_MARK = "▸"
"""Stands for "shot{k}:" between the global caption and the shot's own; the number says nothing about the picture."""
_SHOT_PATTERN = r"shot\s*[0-9]+\s*:"


def build_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A lower-case word tokenizer that splits off punctuation and turns ``shot3:`` into one mark.

    Args:
        words: the vocabulary; anything else is unknown. Order decides the ids, from 2.
    """
    vocab = {UNKNOWN: 0, SHOT_MARK: 1}
    for word in words:
        vocab.setdefault(word.lower(), len(vocab))
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(_SHOT_PATTERN), f" {SHOT_MARK} ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    return tokenizer


def shorten(ids: list[int], mark: int, max_words: int) -> list[int]:
    """Cut a prompt to ``max_words``: the shot's caption (from the last mark on) goes first, the rest is filled with the
    beginning of the global caption. A caption that alone is too long keeps its beginning."""
    if len(ids) <= max_words:
        return ids
    start = len(ids) - 1 - ids[::-1].index(mark) if mark in ids else 0
    caption = ids[start:][:max_words]
    return ids[:start][: max_words - len(caption)] + caption


class _Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: WordTextConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.norm1 = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.up = nn.Linear(config.dim, config.ffn_dim)
        self.down = nn.Linear(config.ffn_dim, config.dim)

    def forward(self, x_nLE: Tensor, mask: Tensor) -> Tensor:
        n, length, dim = x_nLE.shape
        qkv = self.qkv(self.norm1(x_nLE)).view(n, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x_nLE = x_nLE + self.out(attended.transpose(1, 2).reshape(n, length, dim))
        hidden: Tensor = self.down(F.gelu(self.up(self.norm2(x_nLE)), approximate="tanh"))
        return x_nLE + hidden


class WordReader:
    """Prompts to token ids, without any weights.

    Args:
        config: sizes; ``config.vocab`` must equal the tokenizer's.
        tokenizer: as made by ``build_tokenizer`` (or read from ``tokenizer.json``).

    Raises:
        ConfigError: the tokenizer has another vocabulary size, or lacks the shot mark or the unknown word.
    """

    def __init__(self, config: WordTextConfig, tokenizer: Tokenizer) -> None:
        if tokenizer.get_vocab_size() != config.vocab:
            raise ConfigError(
                f"text.vocab={config.vocab} does not fit the tokenizer, which has {tokenizer.get_vocab_size()} words;"
                " take both from one bundle"
            )
        self._tokenizer, self._max_words = tokenizer, config.max_words
        self._unknown, self.mark = _special(tokenizer, UNKNOWN), _special(tokenizer, SHOT_MARK)

    def read(self, prompts: Sequence[str]) -> tuple[list[list[int]], TextEmbedding]:
        """Ids of each prompt, at most ``max_words``, and a report whose ``emb`` is empty.

        Unknown words are dropped; unknown punctuation is dropped without a report.
        """
        kept: list[list[int]] = []
        truncated: list[bool] = []
        unknown: list[tuple[str, ...]] = []
        for prompt in prompts:
            encoding = self._tokenizer.encode(prompt, add_special_tokens=False)
            pairs = list(zip(encoding.ids, encoding.offsets, strict=True))
            strange = (prompt[start:end] for token, (start, end) in pairs if token == self._unknown)
            unknown.append(tuple(dict.fromkeys(word for word in strange if any(map(str.isalnum, word)))))
            ids = [token for token, _ in pairs if token != self._unknown]
            kept.append(shorten(ids, self.mark, self._max_words))
            truncated.append(len(kept[-1]) < len(ids))
        report = TextEmbedding(
            emb=torch.empty(0),
            lengths=tuple(len(ids) for ids in kept),
            truncated=tuple(truncated),
            unknown=tuple(unknown),
        )
        return kept, report


class WordTextEncoder(nn.Module):
    """Prompts to ``(n, num_slots, text_dim)`` rows of unit scale, fp32.

    Args:
        config: sizes; ``config.vocab`` must equal the tokenizer's.
        tokenizer: as made by ``build_tokenizer`` (or read from ``tokenizer.json``).

    Raises:
        ConfigError: the tokenizer has another vocabulary size, or lacks the shot mark or the unknown word.
    """

    def __init__(self, config: WordTextConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        if config.dim % config.num_heads:
            raise ConfigError(f"text.dim={config.dim} must be a multiple of text.num_heads={config.num_heads}")
        self.config = config
        self.tokenizer = tokenizer
        self._reader = WordReader(config, tokenizer)
        self._mark = self._reader.mark
        self.words = nn.Embedding(config.vocab, config.dim)
        self.positions = nn.Embedding(config.max_words, config.dim)
        self.parts = nn.Embedding(2, config.dim)
        self.slots = nn.Parameter(torch.empty(config.num_slots, config.dim))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.project = nn.Linear(config.dim, config.text_dim)
        for weight in (self.words.weight, self.positions.weight, self.parts.weight, self.slots):
            nn.init.normal_(weight, std=0.2)

    def forward(self, ids: Tensor, valid: Tensor) -> Tensor:
        """Rows of tokenized prompts.

        Args:
            ids: int64 ``(n, L)``; anything where ``valid`` is False.
            valid: bool ``(n, L)``.

        Returns:
            ``(n, num_slots, text_dim)``; every row has mean 0 and variance 1.
        """
        n, length = ids.shape
        order = torch.arange(length, device=ids.device).expand(n, length)
        marks = torch.where((ids == self._mark) & valid, order, -1).amax(1, keepdim=True) if length else order
        # Words of the shot's caption count from its mark, so that they look alike after any global caption.
        in_shot = order >= marks
        place = torch.where(in_shot & (marks >= 0), order - marks, order)
        words = self.words(ids) + self.positions(place) + self.parts(in_shot.long())
        x = torch.cat([self.slots.expand(n, -1, -1), words], dim=1)
        # Expanded, because exported graphs need a mask with as many rows as there are queries.
        seen = F.pad(valid, (self.config.num_slots, 0), value=True)[:, None, None, :].expand(-1, -1, x.shape[1], -1)
        for layer in self.layers:
            x = layer(x, seen)
        rows = self.project(self.norm(x[:, : self.config.num_slots]))
        return F.layer_norm(rows, (self.config.text_dim,))

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor, TextEmbedding]:
        """Ids and validity for ``forward``, and a report whose ``emb`` is still empty; see :class:`WordReader`."""
        kept, report = self._reader.read(prompts)
        device = self.slots.device
        width = max(report.lengths, default=0)
        ids_nL = torch.tensor([ids + [0] * (width - len(ids)) for ids in kept], dtype=torch.long, device=device)
        ids_nL = ids_nL.view(len(kept), width)
        valid = torch.arange(width, device=device) < torch.tensor(report.lengths, device=device)[:, None]
        return ids_nL, valid, report

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        """Encode prompts; ``lengths`` counts the words in use, ``emb`` is ``(n, num_slots, text_dim)``."""
        ids, valid, report = self.tokenize(prompts)
        return TextEmbedding(
            emb=self.forward(ids, valid), lengths=report.lengths, truncated=report.truncated, unknown=report.unknown
        )


def _special(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ConfigError(f"the tokenizer lacks the token {token!r}; make it with build_tokenizer")
    return int(number)
