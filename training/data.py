"""Training samples: rendered stories as latents, with their captions.

Shape legend: N samples, K context frames, F latent frames of a sample, C channels, h w latent size, V phrasings.

Rendering and encoding happen once; what is kept are float16 latents and prompts. Two kinds of sample:

* a *picture*: one latent frame at position ``g`` of a shot (mostly the first), without past or context;
* a *clip*: two neighbouring blocks of a shot (the first two, or a later pair) with the context frames that the shot
  would be given at inference: sampled from the shots before it, each encoded as a one-frame video.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shotstream.engine.context import context_frames
from shotstream.frames import VideoSpec
from shotstream.model.codec import Codec

from .storyworld.captions import describe
from .storyworld.render import render_shot
from .storyworld.world import Shot, Story, sample_story

FIRST_FRAME_SHARE = 0.6
OPENING_SHARE = 0.3
FIRST_BLOCK_SHARE = 0.5
CLIP_BLOCKS = 2


def video_tensor(frames: np.ndarray) -> Tensor:
    """uint8 ``(T, H, W, 3)`` -> float32 ``(T, 3, H, W)`` in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class Phrasing:
    """One way to tell a story up to a shot: the prompt of each shot as the sampler builds it, and what it says."""

    prompts: list[str]
    said: list[dict[str, str]]

    @classmethod
    def draw(cls, story: Story, last_shot: int, seed: int) -> Phrasing:
        described = describe(story, seed)
        shots = range(last_shot + 1)
        return cls([described.prompt(k) for k in shots], [described.said[k] for k in shots])


def as_opening(story: Story, index: int) -> Story:
    """A story of that one shot: its captions then say everything, since nothing came before."""
    return Story(shots=(story.shots[index],), seed=story.seed)


def frame_numbers(first_lat: int, num_lat: int, spec: VideoSpec) -> range:
    """Frames of a shot that latents ``first_lat .. first_lat + num_lat - 1`` stand for."""
    return range(spec.frames_from_latents(first_lat), spec.frames_from_latents(first_lat + num_lat))


@torch.inference_mode()
def encode_span(codec: Codec, shot: Shot, first_lat: int, num_lat: int, spec: VideoSpec) -> Tensor:
    """Latents ``(num_lat, C, h, w)`` of a stretch of a shot, rendering only the frames it needs."""
    numbers = frame_numbers(first_lat, num_lat, spec)
    frames = video_tensor(render_shot(shot, numbers, width_px=spec.width_px, height_px=spec.height_px))
    if first_lat == 0:
        return codec.encode(frames[None])[0]
    # The codec's groups begin after a lone frame; put one in front and drop its latent.
    return codec.encode(torch.cat([frames[:1], frames])[None])[0, 1:]


@dataclass
class Pictures:
    """Single latent frames. ``phrasings[n][v]`` tells a story of one shot."""

    latents: Tensor  # (N, C, h, w) float16
    positions: Tensor  # (N,) int64, latent frame within the shot
    phrasings: list[list[Phrasing]]

    def __len__(self) -> int:
        return len(self.latents)


@dataclass
class Clips:
    """Pairs of blocks with context. ``phrasings[n][v]`` tells the story up to the clip's shot."""

    latents: Tensor  # (N, F, C, h, w) float16, F = two blocks
    first_blocks: Tensor  # (N,) int64, block number of the first of the two
    context: Tensor  # (N, K, C, h, w) float16, zeros for the first shot
    context_flags: Tensor  # (N, K) int64
    shots: Tensor  # (N,) int64
    phrasings: list[list[Phrasing]]

    def __len__(self) -> int:
        return len(self.latents)


def render_pictures(codec: Codec, spec: VideoSpec, *, num: int, seed: int, phrasings: int) -> Pictures:
    """Draw ``num`` pictures from training stories; at most two shots per story, so that compositions vary."""
    rng = random.Random(f"pictures-{seed}")
    latents, positions, told = [], [], []
    for story_seed in _story_seeds(rng):
        story = sample_story(story_seed, "train")
        for index in rng.sample(range(len(story.shots)), min(2, len(story.shots))):
            shot = story.shots[index]
            position = 0 if rng.random() < FIRST_FRAME_SHARE else rng.randrange(1, 2 * spec.block_lat)
            latents.append(encode_span(codec, shot, position, 1, spec)[0].half())
            positions.append(position)
            told.append([Phrasing.draw(as_opening(story, index), 0, rng.randrange(2**31)) for _ in range(phrasings)])
        if len(latents) >= num:
            break
    return Pictures(torch.stack(latents[:num]), torch.tensor(positions[:num]), told[:num])


def render_clips(codec: Codec, spec: VideoSpec, *, num: int, seed: int, phrasings: int) -> Clips:
    """Draw ``num`` clips from training stories, of them a share as the first shot of a film, without context."""
    rng = random.Random(f"clips-{seed}")
    samples: list[tuple[Tensor, int, Tensor, list[int], int]] = []
    told = []
    for story_seed in _story_seeds(rng):
        if len(samples) >= num:
            break
        story = sample_story(story_seed, "train")
        index = rng.randrange(1, len(story.shots))
        if rng.random() < OPENING_SHARE:
            story, index = as_opening(story, index), 0
        shot = story.shots[index]
        num_blocks = spec.blocks_for_frames(shot.num_frames)
        later = num_blocks > CLIP_BLOCKS and rng.random() >= FIRST_BLOCK_SHARE
        first = rng.randrange(1, num_blocks - 1) if later else 0
        latents = encode_span(codec, shot, first * spec.block_lat, CLIP_BLOCKS * spec.block_lat, spec)
        context, flags = story_context(codec, story, index, spec, latents.shape[1:])
        samples.append((latents.half(), first, context.half(), flags, index))
        told.append([Phrasing.draw(story, index, rng.randrange(2**31)) for _ in range(phrasings)])
    blocks, firsts, contexts, flag_rows, shots = zip(*samples, strict=True)
    return Clips(
        torch.stack(blocks), torch.tensor(firsts), torch.stack(contexts), torch.tensor(flag_rows), torch.tensor(shots),
        told,
    )  # fmt: skip


@torch.inference_mode()
def story_context(
    codec: Codec, story: Story, index: int, spec: VideoSpec, shape: torch.Size
) -> tuple[Tensor, list[int]]:
    """Context ``(K, C, h, w)`` and flags of shot ``index``: sampled frames of the true earlier shots, zeros if none."""
    if index == 0:
        return torch.zeros(spec.context_lat, *shape), [0] * spec.context_lat
    # A generated shot has whole blocks, so that is where its last frame is.
    lengths = [
        spec.frames_from_latents(spec.blocks_for_frames(shot.num_frames) * spec.block_lat)
        for shot in story.shots[:index]
    ]
    frames, flags = [], []
    for number, picks in enumerate(context_frames(lengths, spec.context_lat)):
        if picks:
            frames.append(render_shot(story.shots[number], picks, width_px=spec.width_px, height_px=spec.height_px))
            flags += [number] * len(picks)
    return codec.encode_frames(video_tensor(np.concatenate(frames))), flags


def _story_seeds(rng: random.Random) -> Iterator[int]:
    while True:
        yield rng.randrange(2**62)


def save(samples: Pictures | Clips, path: Path) -> None:
    """Write samples to one ``.npz`` file (atomically)."""
    arrays: dict[str, Any] = {}
    texts: list[object] = []
    for field in fields(samples):
        value = getattr(samples, field.name)
        if isinstance(value, Tensor):
            arrays[field.name] = value.numpy()
        else:
            texts = [[[p.prompts, p.said] for p in phrasings] for phrasings in value]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8), **arrays)
    partial.replace(path)


def load_pictures(paths: list[Path]) -> Pictures:
    """Read and join files of pictures."""
    tensors, phrasings = _read(paths, ("latents", "positions"))
    return Pictures(tensors[0], tensors[1], phrasings)


def load_clips(paths: list[Path]) -> Clips:
    """Read and join files of clips."""
    tensors, phrasings = _read(paths, ("latents", "first_blocks", "context", "context_flags", "shots"))
    return Clips(tensors[0], tensors[1], tensors[2], tensors[3], tensors[4], phrasings)


def _read(paths: list[Path], names: tuple[str, ...]) -> tuple[list[Tensor], list[list[Phrasing]]]:
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    phrasings: list[list[Phrasing]] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            phrasings += [[Phrasing(*told) for told in sample] for sample in json.loads(bytes(file["texts"]).decode())]
            for name in names:
                parts[name].append(torch.from_numpy(file[name]))
    return [torch.cat(parts[name]) for name in names], phrasings
