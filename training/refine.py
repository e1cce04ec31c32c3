"""Teaches the decoder what the trained student's latents look like.

A student's latents are softer than true ones. Here every training clip is noised to the last denoising step and
predicted back by the student; the decoder then learns to draw the true clip from that.

Shape legend: N clips, F latent frames, C channels, h w latent size.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shotstream.frames import VideoSpec
from shotstream.model.dit import DiT
from shotstream.model.rope import rotary_table
from shotstream.model.schedule import Schedule, add_noise, clean_from_velocity

from . import checkpoint
from .codec import (
    CODEC_FILE,
    DecoderTrainer,
    fit_synthesis,
    load_codec,
    run_decoder_training,
    to_float,
)  # fmt: skip
from .conditions import RowMaker
from .data import Phrasing, as_opening
from .export import last_stage
from .recipes import CodecRecipe, Recipe
from .storyworld.render import render_shot
from .storyworld.world import sample_story


def told_clips(
    recipe: CodecRecipe, spec: VideoSpec, rows: RowMaker, *, seed: int, split: str
) -> tuple[Tensor, Tensor]:
    """Beginnings of random shots, uint8 ``(N, T, 3, H, W)``, and text rows ``(N, rows, D)`` that describe them."""
    rng = random.Random(f"told-{split}-{seed}")
    clips, pairs = [], []
    for _ in range(recipe.num_clips):
        story = sample_story(rng.randrange(2**62), split)
        opening = as_opening(story, rng.randrange(len(story.shots)))
        numbers = range(spec.frames_from_latents(recipe.clip_lat))
        frames = render_shot(opening.shots[0], numbers, width_px=spec.width_px, height_px=spec.height_px)
        clips.append(torch.from_numpy(frames).permute(0, 3, 1, 2))
        told = Phrasing.draw(opening, 0, rng.randrange(2**31))
        pairs.append((told.prompts[0], told.said[0]))
    return torch.stack(clips), rows(pairs)


@torch.no_grad()
def predicted_latents(
    model: DiT, spec: VideoSpec, schedule: Schedule, latents: Tensor, text: Tensor, generator: torch.Generator
) -> Tensor:
    """True latents ``(N, F, C, h, w)`` as the student's last denoising step would leave them, frame by frame."""
    step = schedule.steps[-1]
    num, frames = latents.shape[:2]
    captions = torch.arange(num)[:, None]
    predicted = []
    for frame in range(frames):
        positions = torch.full((num, 1), spec.context_lat + frame)
        rope = rotary_table(model.config, spec.grid, positions, torch.ones(num, 1))
        clean = latents[:, frame : frame + 1]
        noised = add_noise(clean, torch.randn(clean.shape, generator=generator), step.sigma)
        velocity = model(noised, torch.full((num, 1), step.timestep), text, rope=rope, captions=captions)
        predicted.append(clean_from_velocity(noised, velocity, step.sigma))
    return torch.cat(predicted, 1)


def refine_codec(
    recipe: Recipe, out: Path, rows: RowMaker, *, minutes: float, report: Callable[[dict[str, Any]], None]
) -> None:
    """Train the decoder of a run on the predictions of its last stage; replaces ``codec.pt``."""
    path = out / CODEC_FILE
    state = checkpoint.load(path)
    codec = load_codec(recipe, state)
    model = DiT(recipe.dit)
    model.load_state_dict(last_stage(out)["average"]["values"])
    generator = torch.Generator().manual_seed(recipe.seed)
    clips, text = told_clips(recipe.codec, recipe.video, rows, seed=recipe.seed, split="train")
    parts = []
    for start in range(0, len(clips), 20):
        with torch.no_grad():
            latents = codec.encode(to_float(clips[start : start + 20]))
        parts.append(
            predicted_latents(
                model, recipe.video, Schedule(recipe.schedule), latents, text[start : start + 20], generator
            )
        )
    predicted = torch.cat(parts)
    held_out, _ = told_clips(recipe.codec, recipe.video, rows, seed=1, split="test")
    fit_synthesis(codec, clips, latent_noise=0.0, seed=recipe.seed, latents_of=predicted)
    trainer = DecoderTrainer(codec, recipe.codec, clips, recipe.seed + 1, predicted=predicted)
    run_decoder_training(trainer, path, held_out[:16], minutes=minutes, report=report)
