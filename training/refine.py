"""Teaches the decoder what the trained student's latents look like.

A student's latents are softer than true ones. Here every training clip is noised to the last denoising step and
predicted back by the student; the decoder then learns to draw the true clip from that.

Shape legend: N clips, F latent frames, C channels, h w latent size.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shotstream.frames import VideoSpec
from shotstream.model.dit import DiT
from shotstream.model.rope import rotary_table
from shotstream.model.schedule import Schedule, add_noise, clean_from_velocity
from shotstream.model.tiny_vae import TinyVAE

from . import checkpoint
from .codec import CODEC_FILE, DecoderTrainer, fit_synthesis, load_codec, run_decoder_training, silence, to_float
from .conditions import RowMaker
from .data import Phrasing, as_opening
from .export import last_stage
from .recipes import CodecRecipe, Recipe
from .storyworld.render import render_shot
from .storyworld.world import sample_story


def told_clips(recipe: CodecRecipe, spec: VideoSpec, rows: RowMaker, *, seed: int, split: str) -> tuple[Tensor, Tensor]:
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
    recipe: Recipe,
    out: Path,
    rows: RowMaker,
    *,
    minutes: float,
    resume: bool,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Train the decoder of a run on the predictions of its last stage; replaces ``codec.pt``.

    Args:
        resume: go on with the decoder as it is; otherwise the linear way back is fitted anew, and the convolutions,
            which corrected another one, start from a zero picture again.
    """
    path = out / CODEC_FILE
    state = checkpoint.load(path)
    codec = load_codec(recipe, state)
    model = DiT(recipe.dit)
    model.load_state_dict(last_stage(out)["average"]["values"])

    def told(num_clips: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
        clips, text = told_clips(replace(recipe.codec, num_clips=num_clips), recipe.video, rows, seed=seed, split=split)
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for some, its_text in zip(clips.split(20), text.split(20), strict=True):
            latents = codec.encode(to_float(some))
            parts.append(
                predicted_latents(model, recipe.video, Schedule(recipe.schedule), latents, its_text, generator)
            )
        return clips, torch.cat(parts)

    clips, predicted = told(recipe.codec.num_clips, recipe.seed, "train")
    held_out, held_predicted = told(min(16, recipe.codec.num_clips), 1, "test")

    def note(step: int, codec: TinyVAE) -> None:
        report({"stage": "refine", "step": step, "psnr_predicted": round(psnr_of(codec, held_predicted, held_out), 2)})

    note(0, codec)
    if not resume:
        silence(codec.decoder)
        fit_synthesis(codec, clips, latent_noise=0.0, seed=recipe.seed, latents_of=predicted)
        note(0, codec)
    trainer = DecoderTrainer(codec, recipe.codec, clips, recipe.seed + 1, predicted=predicted)
    if resume and state["training"]:
        trainer.load_state_dict(state["training"])
    note(trainer.step, run_decoder_training(trainer, path, held_out, minutes=minutes, report=report))


@torch.no_grad()
def psnr_of(codec: TinyVAE, latents: Tensor, clips: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of decoded ``latents`` against clips ``(N, T, 3, H, W)`` uint8."""
    error = (codec.decode(latents) - to_float(clips)).square().mean()
    return float(10 * torch.log10(4 / error))
