"""The training loop of the DiT stages: batches, steps, averages, checkpoints, contact sheets.

One loop serves ``frames``, ``clips`` and ``finish``; they differ in data and in whether the past is the model's own.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shotstream.model.dit import DiT
from shotstream.model.schedule import Schedule

from . import checkpoint, parallel
from .conditions import RowMaker, TextTable
from .data import Clips, Pictures
from .optim import Optimizers, WeightAverage, warm_constant_cool
from .recipes import Recipe, StageRecipe
from .student import Batch, StudentLoss, channel_weights, clip_batch, init_weights, picture_batch

log = logging.getLogger(__name__)

STAGES = ("frames", "clips", "finish")
LOG_EVERY = 20
CLIP_EVERY = 4
SAVE_EVERY_S = 120
Report = Callable[[dict[str, Any]], None]


def stage_recipe(recipe: Recipe, stage: str) -> StageRecipe:
    """The part of a recipe that belongs to a DiT stage."""
    part: StageRecipe = getattr(recipe, stage)
    return part


@dataclass
class Progress:
    """What a run has behind it, over all stages; goes into the card of the bundle."""

    step: int = 0
    sequences: int = 0
    seconds: float = 0.0
    earlier: dict[str, dict[str, float]] | None = None


class StudentTrainer:
    """Model, optimizers, weight average and random state of one stage."""

    def __init__(self, recipe: Recipe, stage: str, codec_scale: Tensor) -> None:
        self.recipe, self.stage = recipe, stage
        self.part = stage_recipe(recipe, stage)
        self.model = DiT(recipe.dit)
        init_weights(self.model, recipe.seed)
        self.loss = StudentLoss(self.model, recipe.video, Schedule(recipe.schedule), channel_weights(codec_scale))
        self.optimizers = Optimizers(self.model, self.part.lr)
        self.average = WeightAverage(self.model, recipe.ema)
        self.generator = torch.Generator().manual_seed(recipe.seed + STAGES.index(stage))
        self.progress = Progress(earlier={})
        self._part_ways()

    def start_from(self, state: dict[str, Any]) -> None:
        """Begin this stage with the averaged weights of the stage before it."""
        self.model.load_state_dict(state["average"]["values"])
        self.average = WeightAverage(self.model, self.recipe.ema)
        self.progress.earlier = {**state["earlier"], state["stage"]: state["counts"]}

    def _part_ways(self) -> None:
        """Workers other than the first draw batches of their own."""
        if parallel.rank():
            self.generator.manual_seed(hash((self.recipe.seed, parallel.rank(), self.progress.step)))

    def train_step(self, batch: Batch, fraction: float) -> float:
        """One optimizer step at ``fraction`` of the learning rate; returns the loss."""
        begun = time.monotonic()
        loss = self.loss(batch, self.generator, own_past=self.stage == "finish")
        loss.backward()
        parallel.average_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizers.step(fraction)
        self.average.update(self.model)
        self.progress.step += 1
        self.progress.sequences += len(batch.clean) * parallel.num_workers()
        self.progress.seconds += time.monotonic() - begun
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        done = self.progress
        return {
            "stage": self.stage,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "generator": self.generator.get_state(),
            "counts": {"steps": done.step, "sequences": done.sequences, "seconds": round(done.seconds, 1)},
            "earlier": done.earlier or {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.generator.set_state(state["generator"])
        counts = state["counts"]
        self.progress = Progress(counts["steps"], counts["sequences"], counts["seconds"], state["earlier"])
        self._part_ways()


class Sampler:
    """Draws batches of a stage from its data, with a trainer's generator.

    With clips, three of four steps still train pictures: they teach what things look like for a quarter of the cost.
    """

    def __init__(self, trainer: StudentTrainer, pictures: Pictures, clips: Clips | None, rows: RowMaker) -> None:
        self.trainer, self.pictures, self.clips = trainer, pictures, clips
        self._picture_text = TextTable.build(pictures.phrasings, rows)
        if clips is not None:
            self._clip_text = TextTable.build(clips.phrasings, rows)
            opens = clips.first_blocks == 0
            self._opening, self._later = torch.nonzero(opens)[:, 0], torch.nonzero(~opens)[:, 0]

    def draw(self) -> Batch:
        """The next batch; clips that open their shot and later ones take turns."""
        trainer, generator = self.trainer, self.trainer.generator
        spec, step = trainer.recipe.video, trainer.progress.step
        if self.clips is None or step % CLIP_EVERY:
            chosen = torch.randint(len(self.pictures), (trainer.recipe.frames.batch,), generator=generator)
            return picture_batch(self.pictures, self._picture_text, chosen, spec, generator)
        opening = len(self._later) == 0 or (len(self._opening) > 0 and step % (2 * CLIP_EVERY) == 0)
        pool = self._opening if opening else self._later
        chosen = pool[torch.randint(len(pool), (trainer.part.batch,), generator=generator)]
        return clip_batch(self.clips, self._clip_text, chosen, spec, generator, opening=opening)


def fit(
    trainer: StudentTrainer,
    sampler: Sampler,
    out: Path,
    *,
    minutes: float = math.inf,
    report: Report = lambda entry: None,
    on_save: Callable[[StudentTrainer], None] = lambda trainer: None,
) -> list[float]:
    """Train until the stage's steps are done or ``minutes`` have passed; writes ``<stage>.pt``; returns recent losses.

    The learning rate cools down over the last part of whichever limit is nearer.
    """
    path = out / f"{trainer.stage}.pt"
    part, begun = trainer.part, time.monotonic()
    saved, losses = begun, []
    kinds: dict[str, list[float]] = {"pictures": [], "clips": []}
    while trainer.progress.step < part.steps:
        spent = float(parallel.agree(torch.tensor((time.monotonic() - begun) / 60 / minutes)))
        if spent >= 1:
            break
        progress = max(trainer.progress.step / part.steps, spent)
        fraction = warm_constant_cool(
            progress, trainer.progress.step, part.cooldown, warmup_steps=max(1, min(60, part.steps // 20))
        )
        batch = sampler.draw()
        losses.append(trainer.train_step(batch, fraction))
        kinds["pictures" if batch.mask is None else "clips"].append(losses[-1])
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"{trainer.stage}: loss is {losses[-1]} at step {trainer.progress.step}; lower lr={part.lr}"
            )
        if parallel.rank():
            continue
        if trainer.progress.step % LOG_EVERY == 0:
            done = trainer.progress
            means = {f"loss_{kind}": round(sum(some) / len(some), 4) for kind, some in kinds.items() if some}
            kinds = {kind: [] for kind in kinds}
            report({"stage": trainer.stage, "step": done.step, **means,
                    "sequences": done.sequences, "seconds": round(done.seconds, 1)})  # fmt: skip
        if time.monotonic() - saved > SAVE_EVERY_S:
            checkpoint.save(path, trainer.state_dict())
            on_save(trainer)
            saved = time.monotonic()
    if not parallel.rank():
        checkpoint.save(path, trainer.state_dict())
        on_save(trainer)
    return losses
