"""Trains the small text encoder: every slot learns to say one fact of the prompt, or that the prompt leaves it open.

Targets come from what captions really say (``storyworld.captions``). Row j is pulled towards a learned prototype of its
class, so that paraphrases give nearly the same rows and a DiT never has to learn language. Prototypes and summary
heads are thrown away.

    python -m training.text --out DIR --steps 2200 --seed 0
    python -m training.text --out DIR --resume DIR --steps 1500 --seed 10   # polish; the rows keep their meaning
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from shotstream.model.config import WordTextConfig
from shotstream.model.word_text import WordTextEncoder, build_tokenizer

from .storyworld.captions import UNSPECIFIED, Described, describe
from .storyworld.labels import LABELS
from .storyworld.world import SPLITS, Story, sample_story

WEIGHTS_FILE, TOKENIZER_FILE = "text.safetensors", "tokenizer.json"
CLASSES = {name: (*values, UNSPECIFIED) for name, values in LABELS.items()}
"""Label -> classes of its slot. Slots stand in this order."""
SUMMARIES = (
    tuple(name for name in LABELS if name.startswith("subject1")),
    tuple(name for name in LABELS if name.startswith("subject2")),
    ("action", "place", "time", "weather", "framing"),
)
"""The slots after the labelled ones each learn several facts at once."""
_VOCABULARY_STORIES = 8_000
_PUNCTUATION = (",", ":", ".", ";", "-", "'")
_NEUTRAL_WORDS = (
    "this",
    "that",
    "there",
    "his",
    "her",
    "their",
    "him",
    "them",
    "we",
    "you",
    "an",
    "into",
    "over",
    "behind",
    "between",
    "off",
    "out",
    "from",
    "to",
    "was",
    "very",
    "more",
    "some",
    "who",
    "which",
    "also",
    "so",
    "but",
    "after",
    "before",
    "animal",
    "character",
    "scene",
    "film",
    "video",
    "cartoon",
    "view",
    "picture",
    "frame",
    "its",
    "has",
    "just",
)
"""Words that say nothing about the labels; training strews them in, so that they are known and ignored."""
_TEMPERATURE = 10.0
_PULL = 0.3


def vocabulary(num_stories: int = _VOCABULARY_STORIES) -> list[str]:
    """Every word that captions use, found by writing many, in sorted order after punctuation."""
    splitter = build_tokenizer([])
    words: set[str] = set(_NEUTRAL_WORDS)
    for seed in range(num_stories):
        described = describe(sample_story(seed), seed)
        for text in (described.global_caption, *described.shot_captions):
            for word, _ in splitter.pre_tokenizer.pre_tokenize_str(splitter.normalizer.normalize_str(text)):
                words.add(word)
    return [*_PUNCTUATION, *sorted(words - set(_PUNCTUATION))]


class Prompts:
    """An endless stream of prompts with the class numbers they say.

    ``pair_share`` of the stories are drawn again until they have two characters: who is who is the hardest part.
    """

    def __init__(self, seed: int, split: str = "train", *, pair_share: float = 0.0) -> None:
        self._pair_share = pair_share
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        self._rng, self._split = random.Random(seed), split

    def batch(self, size: int) -> tuple[list[str], Tensor]:
        """``size`` prompts and int64 targets ``(size, number of labels)``."""
        prompts: list[str] = []
        targets: list[list[int]] = []
        while len(prompts) < size:
            story = self._story()
            described = describe(story, self._rng.randrange(2**31))
            for k in range(len(story.shots)):
                prompts.append(self._strew(described.prompt(k)))
                targets.append(classes_said(described, k))
        return prompts[:size], torch.tensor(targets[:size])

    def _story(self) -> Story:
        wants_pair = self._rng.random() < self._pair_share
        while True:
            story = sample_story(self._rng.randrange(2**31), self._split)
            if not wants_pair or len(story.characters) == 2:
                return story

    def _strew(self, prompt: str) -> str:
        """Put up to three neutral words into a quarter of the prompts."""
        if self._rng.random() > 0.25:
            return prompt
        words = prompt.split(" ")
        for _ in range(self._rng.randint(1, 3)):
            words.insert(self._rng.randint(0, len(words)), self._rng.choice(_NEUTRAL_WORDS))
        return " ".join(words)


def classes_said(described: Described, shot: int) -> list[int]:
    """Class number of every label, in slot order, of what one prompt says."""
    return [classes.index(described.said[shot][name]) for name, classes in CLASSES.items()]


class Readers(nn.Module):
    """What reads facts from the rows during training: a prototype per class and slot, and heads for the summaries."""

    def __init__(self, text_dim: int) -> None:
        super().__init__()
        self.prototypes = nn.ParameterList(nn.Parameter(torch.randn(len(c), text_dim)) for c in CLASSES.values())
        self.heads = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(text_dim, len(CLASSES[name])) for name in names}) for names in SUMMARIES
        )

    def logits(self, rows: Tensor) -> list[Tensor]:
        """Per label ``(n, classes)`` from rows ``(n, num_slots, text_dim)``."""
        width = rows.shape[-1]
        found = []
        for slot, prototypes in enumerate(self.prototypes):
            found.append(rows[:, slot] @ F.layer_norm(prototypes, (width,)).T * (_TEMPERATURE / width))
        return found

    def loss(self, rows: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of all labels, plus the squared distance of every row from the prototype of its class."""
        width = rows.shape[-1]
        total = rows.new_zeros(())
        for slot, logits in enumerate(self.logits(rows)):
            total = total + F.cross_entropy(logits, targets[:, slot])
            prototype = F.layer_norm(self.prototypes[slot], (width,))[targets[:, slot]]
            total = total + _PULL * F.mse_loss(rows[:, slot], prototype)
        names = list(CLASSES)
        for slot, heads in enumerate(self.heads, start=len(CLASSES)):
            for name, head in heads.items():  # type: ignore[operator]
                total = total + 0.3 * F.cross_entropy(head(rows[:, slot]), targets[:, names.index(name)])
        return total


class Anchor:
    """A trained encoder whose rows must keep their meaning, because a DiT was trained on them."""

    def __init__(self, encoder: WordTextEncoder, *, seed: int, num_prompts: int = 3072) -> None:
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.centres = self._class_means(Prompts(seed), num_prompts)

    @torch.no_grad()
    def _class_means(self, stream: Prompts, num_prompts: int) -> list[Tensor]:
        """Mean row of every class of every labelled slot; zeros for a class that never occurs."""
        batches = [stream.batch(256) for _ in range(-(-num_prompts // 256))]
        rows = torch.cat([self.encoder.encode(prompts).emb for prompts, _ in batches])
        targets = torch.cat([target for _, target in batches])
        means = []
        for slot, classes in enumerate(CLASSES.values()):
            member = F.one_hot(targets[:, slot], len(classes)).float()
            means.append(member.T @ rows[:, slot] / member.sum(0).clamp_min(1)[:, None])
        return means

    @torch.no_grad()
    def freeze_prototypes(self, readers: Readers) -> None:
        """Make the mean rows the prototypes, for good."""
        for prototype, centre in zip(readers.prototypes, self.centres, strict=True):
            prototype.copy_(centre)
            prototype.requires_grad_(False)

    def summary_loss(self, readers: Readers, rows: Tensor, ids: Tensor, valid: Tensor, targets: Tensor) -> Tensor:
        """Squared distance of the summary rows from the anchor's, over prompts that the anchor reads rightly."""
        with torch.no_grad():
            old = self.encoder(ids, valid)
            wrong = [logits.argmax(1) != targets[:, slot] for slot, logits in enumerate(readers.logits(old))]
            right = (~torch.stack(wrong).any(0)).float()
        error = (rows[:, len(CLASSES) :] - old[:, len(CLASSES) :]).square().mean((1, 2))
        return (error * right).sum() / right.sum().clamp_min(1)


@torch.no_grad()
def accuracy(
    encoder: WordTextEncoder, readers: Readers, count: int, seed: int, *, pair_share: float = 0.0
) -> dict[str, float]:
    """Share of prompts of the test split whose fact each slot says rightly, per label."""
    stream = Prompts(seed, "test", pair_share=pair_share)
    right = torch.zeros(len(CLASSES))
    for _ in range(-(-count // 256)):
        prompts, targets = stream.batch(256)
        for slot, logits in enumerate(readers.logits(encoder.encode(prompts).emb)):
            right[slot] += (logits.argmax(1) == targets[:, slot]).float().sum()
    total = 256 * -(-count // 256)
    return {name: float(right[slot]) / total for slot, name in enumerate(CLASSES)}


def train(
    encoder: WordTextEncoder,
    *,
    steps: int,
    seed: int,
    batch: int = 64,
    log_every: int = 100,
    anchor: Anchor | None = None,
) -> Readers:
    """Train in place and return the readers. Peak learning rate 2e-3, warm-up, cosine to zero.

    With an ``anchor`` the rows of every class stay where they are; only the reading of prompts improves.
    """
    torch.manual_seed(seed)
    readers = Readers(encoder.config.text_dim)
    if anchor is not None:
        anchor.freeze_prototypes(readers)
    parameters = [p for p in (*encoder.parameters(), *readers.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(steps, 2), pct_start=0.08)
    stream = Prompts(seed + 1, pair_share=0.7 if anchor else 0.0)
    began = time.perf_counter()
    for step in range(1, steps + 1):
        prompts, targets = stream.batch(batch)
        ids, valid, _ = encoder.tokenize(prompts)
        rows = encoder(ids, valid)
        loss = readers.loss(rows, targets)
        if anchor is not None:
            loss = loss + len(SUMMARIES) * anchor.summary_loss(readers, rows, ids, valid, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % log_every == 0 or step == steps:
            print(f"step {step}/{steps} loss {loss.item():.4f} {time.perf_counter() - began:.0f} s", flush=True)
    return readers


def save(encoder: WordTextEncoder, folder: Path) -> None:
    """Write weights (with the config in their metadata) and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(encoder.state_dict(), folder / WEIGHTS_FILE, {"config": json.dumps(asdict(encoder.config))})
    encoder.tokenizer.save(str(folder / TOKENIZER_FILE))


def load(folder: Path) -> WordTextEncoder:
    """Read what ``save`` wrote."""
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        config = WordTextConfig(**json.loads(file.metadata()["config"]))
    encoder = WordTextEncoder(config, Tokenizer.from_file(str(folder / TOKENIZER_FILE)))
    encoder.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return encoder.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.text", description="Train the small text encoder.")
    parser.add_argument("--out", type=Path, required=True, help="folder for text.safetensors and tokenizer.json")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="polish the encoder in this folder; its rows keep their meaning")
    options = parser.parse_args(arguments)
    anchor = None
    if options.resume:
        encoder = load(options.resume)
        anchor = Anchor(encoder, seed=options.seed + 3)
    else:
        torch.manual_seed(options.seed)
        tokenizer = build_tokenizer(vocabulary())
        config = WordTextConfig(vocab=tokenizer.get_vocab_size(), num_slots=len(CLASSES) + len(SUMMARIES))
        encoder = WordTextEncoder(config, tokenizer)
    print(f"{encoder.config.vocab} words, {sum(p.numel() for p in encoder.parameters())} parameters")
    readers = train(encoder, steps=options.steps, seed=options.seed, anchor=anchor)
    plain = accuracy(encoder.eval(), readers, 4096, options.seed + 2)
    pairs = accuracy(encoder, readers, 2048, options.seed + 2, pair_share=1.0)
    for name in CLASSES:
        print(f"held-out {name:18s} {plain[name]:.4f}   stories of two {pairs[name]:.4f}")
    save(encoder, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
