"""Training of the linear codec: principal components first, then the decoder that sharpens what they lose.

Shape legend: N clips, T frames, F latent frames, C latent channels, H W frame size, h w latent size.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shotstream.frames import VideoSpec
from shotstream.model.config import TinyVAEConfig
from shotstream.model.tiny_vae import SPACE_FACTOR, TRIM, MemBlock, TinyVAE

from . import checkpoint
from .optim import WeightAverage, warm_constant_cool
from .recipes import CodecRecipe, Recipe
from .storyworld.render import render_shot
from .storyworld.world import sample_story

log = logging.getLogger(__name__)

PCA_PATCHES = 120_000
GRADIENT_WEIGHT = 1.0
LOG_EVERY = 50
PREDICTED_SHARE = 0.7
CODEC_FILE = "codec.pt"


def render_training_clips(recipe: CodecRecipe, spec: VideoSpec, *, seed: int, split: str = "train") -> Tensor:
    """Stretches of random shots, uint8 ``(N, T, 3, H, W)`` with ``T = 1 + 4 (clip_lat - 1)``."""
    rng = random.Random(f"codec-{split}-{seed}")
    length = spec.frames_from_latents(recipe.clip_lat)
    clips = []
    for _ in range(recipe.num_clips):
        story = sample_story(rng.randrange(2**62), split)
        shot = rng.choice(story.shots)
        start = rng.randrange(max(1, shot.num_frames - length))
        frames = render_shot(shot, range(start, start + length), width_px=spec.width_px, height_px=spec.height_px)
        clips.append(torch.from_numpy(frames).permute(0, 3, 1, 2))
    return torch.stack(clips)


def to_float(clips: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return clips.float() / 127.5 - 1


def groups_of_four(video: Tensor) -> Tensor:
    """Video ``(N, T, 3, H, W)`` -> ``(N * F, 12, H, W)``; the first frame stands four times."""
    full = torch.cat([video[:, :1].expand(-1, TRIM, -1, -1, -1), video], 1)
    return full.reshape(-1, 12, *video.shape[-2:])


def fit_pca(clips: Tensor, config: TinyVAEConfig, *, seed: int) -> TinyVAE:
    """A codec whose linear part holds the principal components of the clips' patches.

    Shift and scale of its configuration make every latent channel zero-mean, unit-variance over the clips.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for clip in clips:
        groups = groups_of_four(to_float(clip[None]))
        patches = functional.unfold(groups, SPACE_FACTOR, stride=SPACE_FACTOR).transpose(1, 2).flatten(0, 1)
        keep = max(1, PCA_PATCHES // len(clips))
        parts.append(patches[torch.randperm(len(patches), generator=generator)[:keep]])
    patches = torch.cat(parts)
    mean = patches.mean(0)
    centred = patches - mean
    values, vectors = torch.linalg.eigh((centred.T @ centred).double() / len(centred))
    components = vectors.flip(1)[:, : config.latent_channels].T.float()
    spread = values.flip(0)[: config.latent_channels].clamp_min(1e-8).sqrt().float()
    log.info("pca: %d channels hold %.2f %% of the variance",
             config.latent_channels, 100 * float(spread.square().sum() / values.sum()))  # fmt: skip
    codec = TinyVAE(replace(config, shift=(0.0,) * len(spread), scale=tuple(round(float(s), 6) for s in spread)))
    assert codec.linear is not None
    codec.linear.set_components(components.reshape(codec.linear.weight.shape), mean.reshape(codec.linear.mean.shape))
    init_decoder(codec.decoder, generator)
    return codec


def noise_profile(codec: TinyVAE) -> Tensor:
    """How strongly each latent channel is disturbed in training, ``(C, 1, 1)``, 1 for the strongest component.

    A DiT errs least, relative to their spread, in the strong components.
    """
    return (codec.scale.max() / codec.scale).sqrt()


@torch.no_grad()
def fit_synthesis(
    codec: TinyVAE, clips: Tensor, *, latent_noise: float, seed: int, latents_of: Tensor | None = None
) -> None:
    """Least-squares way back from noised components and their neighbours to patches, in closed form.

    Args:
        latent_noise: standard deviation of the noise in the strongest component.
        latents_of: ``(N, F, C, h, w)`` to rebuild the clips from, instead of their true latents.
    """
    assert codec.linear is not None
    generator = torch.Generator().manual_seed(seed)
    channels = codec.config.latent_channels
    gram, cross = torch.zeros(channels * 9, channels * 9).double(), torch.zeros(channels * 9, 768).double()
    for number, clip in enumerate(clips):
        video = to_float(clip[None])
        latents = codec.encode(video)[0] if latents_of is None else latents_of[number]
        latents = latents + latent_noise * noise_profile(codec) * torch.randn(latents.shape, generator=generator)
        seen = functional.unfold(latents * codec.scale + codec.shift, 3, padding=1).transpose(1, 2).flatten(0, 1)
        patches = functional.unfold(groups_of_four(video), SPACE_FACTOR, stride=SPACE_FACTOR)
        wanted = patches.transpose(1, 2).flatten(0, 1)
        gram += (seen.T @ seen).double()
        cross += (seen.T @ (wanted - codec.linear.mean.flatten())).double()
    solved = torch.linalg.solve(gram + 1e-6 * gram.diagonal().mean() * torch.eye(len(gram)), cross)
    codec.linear.synthesis.copy_(solved.T.reshape(codec.linear.synthesis.shape))


@torch.no_grad()
def init_decoder(decoder: nn.Sequential, generator: torch.Generator) -> None:
    """Weights that keep the signal's size from layer to layer; residual branches start small, the picture at zero."""
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.normal_(std=module.weight[0].numel() ** -0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
    for module in decoder.modules():
        if isinstance(module, MemBlock):
            for index, gain in ((0, 2**0.5), (2, 2**0.5), (4, 0.3)):
                conv = module.conv[index]
                assert isinstance(conv, nn.Conv2d)
                conv.weight.mul_(gain)
    silence(decoder)


@torch.no_grad()
def silence(decoder: nn.Sequential) -> None:
    """Make a decoder's picture zero, so that only the linear part is left; its last layer then learns anew."""
    last = decoder[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    last.weight.zero_()
    last.bias.zero_()


def reconstruction_loss(pictures: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the values, and of their differences to the right and to below (edges stay sharp)."""
    error = pictures - target
    across, down = error.diff(dim=-1).abs().mean(), error.diff(dim=-2).abs().mean()
    return error.abs().mean() + GRADIENT_WEIGHT * (across + down)


@torch.inference_mode()
def psnr(codec: TinyVAE, clips: Tensor, *, latent_noise: float = 0.0, seed: int = 0) -> float:
    """Peak signal-to-noise ratio in dB of encode-decode over clips ``(N, T, 3, H, W)`` uint8."""
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for clip in clips:
        video = to_float(clip[None])
        latents = codec.encode(video)
        latents = latents + latent_noise * torch.randn(latents.shape, generator=generator)
        errors.append(float((codec.decode(latents) - video).square().mean()))
    return 10 * math.log10(4 / (sum(errors) / len(errors)))


def train_codec(
    recipe: Recipe,
    out: Path,
    *,
    minutes: float = math.inf,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> TinyVAE:
    """Fit the components, then train the decoder; writes ``codec.pt`` into ``out`` at once and every minute.

    The encoder half is final as soon as the file exists: latents may be made while the decoder still learns.
    """
    path = out / CODEC_FILE
    clips = render_training_clips(recipe.codec, recipe.video, seed=recipe.seed)
    few = replace(recipe.codec, num_clips=min(24, len(clips)))
    held_out = render_training_clips(few, recipe.video, seed=1, split="test")
    state = checkpoint.load(path) if resume and path.is_file() else None
    codec = load_codec(recipe, state) if state else fit_pca(clips, recipe.vae, seed=recipe.seed)
    if state is None:
        transposed = psnr(codec, held_out)
        fit_synthesis(codec, clips, latent_noise=recipe.codec.max_latent_noise / 2, seed=recipe.seed)
        save_codec(path, codec, codec.state_dict(), {})
        report({"stage": "codec", "step": 0, "psnr_components": round(transposed, 2),
                "psnr_linear": round(psnr(codec, held_out), 2)})  # fmt: skip
    trainer = DecoderTrainer(codec, recipe.codec, clips, recipe.seed)
    if state and state["training"]:
        trainer.load_state_dict(state["training"])
    return run_decoder_training(trainer, path, held_out, minutes=minutes, report=report)


def run_decoder_training(
    trainer: DecoderTrainer,
    path: Path,
    held_out: Tensor,
    *,
    minutes: float,
    report: Callable[[dict[str, Any]], None],
) -> TinyVAE:
    """Train until the recipe's steps are done or ``minutes`` have passed; returns the averaged codec."""
    recipe, codec = trainer.recipe, trainer.codec
    begun = saved = time.monotonic()
    losses: list[float] = []
    while trainer.step < recipe.steps and time.monotonic() - begun < 60 * minutes:
        progress = max(trainer.step / recipe.steps, (time.monotonic() - begun) / 60 / minutes)
        losses.append(trainer.train_step(min(1.0, progress)))
        if trainer.step % LOG_EVERY == 0:
            report({"stage": "codec", "step": trainer.step, "loss": round(sum(losses) / len(losses), 5),
                    "seconds": round(trainer.seconds, 1)})  # fmt: skip
            losses = []
        if time.monotonic() - saved > 60:
            save_codec(path, codec, trainer.averaged(), trainer.state_dict())
            saved = time.monotonic()
    averaged = trainer.averaged()
    save_codec(path, codec, averaged, trainer.state_dict())
    result = TinyVAE(codec.config)
    result.load_state_dict(averaged)
    result.eval().requires_grad_(False)
    report({"stage": "codec", "step": trainer.step, "psnr": round(psnr(result, held_out), 2),
            "psnr_noised": round(psnr(result, held_out, latent_noise=0.15), 2)})  # fmt: skip
    return result


class DecoderTrainer:
    """Decoder, its optimizer, its average, and the generator that draws crops and noise.

    Args:
        clips: uint8 ``(N, T, 3, H, W)``.
        predicted: a DiT's version of the clips' latents, ``(N, F, C, h, w)``; most crops are then decoded from it.
    """

    def __init__(
        self, codec: TinyVAE, recipe: CodecRecipe, clips: Tensor, seed: int, *, predicted: Tensor | None = None
    ) -> None:
        self.codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe = recipe
        self.clips, self.predicted = clips, predicted
        self.generator = torch.Generator().manual_seed(seed)
        parameters = codec.decoder.parameters()
        self.optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = WeightAverage(codec.decoder, 0.995)
        self.profile = noise_profile(codec)
        self.step = 0
        self.seconds = 0.0

    def train_step(self, progress: float) -> float:
        """One step on random crops; returns the loss."""
        begun = time.monotonic()
        pairs = [self._crop() for _ in range(self.recipe.batch)]
        video, latents = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        pictures, _ = self.codec._pictures(latents, None)
        loss = reconstruction_loss(pictures[:, TRIM:], video)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.codec.decoder.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * warm_constant_cool(
                progress, self.step, 0.4, warmup_steps=max(1, self.recipe.steps // 20)
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.codec.decoder)
        self.step += 1
        self.seconds += time.monotonic() - begun
        return float(loss.detach())

    @torch.no_grad()
    def _crop(self) -> tuple[Tensor, Tensor]:
        """A random crop ``(1, T, 3, H', W')`` in [-1, 1], and latents to decode it from."""
        number = self._draw(len(self.clips))
        height, width = (side // SPACE_FACTOR for side in self.clips.shape[-2:])
        rows, columns = min(self.recipe.crop_lat, height), min(self.recipe.crop_lat, width)
        top, left = self._draw(height - rows + 1), self._draw(width - columns + 1)
        high = slice(top * SPACE_FACTOR, (top + rows) * SPACE_FACTOR)
        wide = slice(left * SPACE_FACTOR, (left + columns) * SPACE_FACTOR)
        video = to_float(self.clips[number : number + 1, ..., high, wide])
        if self.predicted is not None and float(torch.rand((), generator=self.generator)) < PREDICTED_SHARE:
            return video, self.predicted[number : number + 1, ..., top : top + rows, left : left + columns]
        latents = self.codec.encode(video)
        level = torch.rand((), generator=self.generator) * self.recipe.max_latent_noise
        return video, latents + level * self.profile * torch.randn(latents.shape, generator=self.generator)

    def _draw(self, bound: int) -> int:
        return int(torch.randint(bound, (), generator=self.generator))

    def averaged(self) -> dict[str, Tensor]:
        """State dict of the codec with the averaged decoder."""
        state = {name: value.detach().clone() for name, value in self.codec.state_dict().items()}
        return state | {f"decoder.{name}": value.clone() for name, value in self.average.values.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "decoder": self.codec.decoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.codec.decoder.load_state_dict(state["decoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]


def save_codec(path: Path, codec: TinyVAE, weights: dict[str, Tensor], training: dict[str, Any]) -> None:
    """Write weights, normalisation and (maybe empty) training state."""
    config = codec.config
    normalisation = {"shift": list(config.shift), "scale": list(config.scale)}
    checkpoint.save(path, {"weights": weights, **normalisation, "training": training})


def load_codec(recipe: Recipe, state: dict[str, Any]) -> TinyVAE:
    """The codec of a checkpoint, ready for inference."""
    codec = TinyVAE(replace(recipe.vae, shift=tuple(state["shift"]), scale=tuple(state["scale"])))
    codec.load_state_dict(state["weights"])
    return codec
