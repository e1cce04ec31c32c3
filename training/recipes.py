"""Complete training recipes as values: one function per recipe, a variant calls another and replaces fields.

A recipe fixes everything that decides the result except the time given to it. Stages, in order: ``codec`` (latents and
their decoder), ``frames`` (single latent frames: from caption to picture), ``clips`` (blocks that follow a past and a
context), ``finish`` (the same, where past and context are the model's own predictions), ``export``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from shotstream.errors import ConfigError
from shotstream.frames import VideoSpec
from shotstream.model.config import DiTConfig, ScheduleConfig, TinyVAEConfig


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """Patch PCA and decoder.

    Attributes:
        num_clips: rendered clips to learn from; clip_lat: latents of each.
        steps, batch, lr: of the decoder.
        crop_lat: side of the square of latent cells that a step trains on.
        max_latent_noise: the strongest component is disturbed by up to this standard deviation, weaker ones by more, as
            the predictions of a DiT are.
    """

    num_clips: int
    clip_lat: int
    steps: int
    batch: int
    lr: float
    crop_lat: int
    max_latent_noise: float


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """One stage of the DiT.

    Attributes:
        num_samples: rendered training samples (each is used many times).
        steps, batch: optimizer steps, sequences per step and worker.
        lr: step size of matrices (orthogonalised momentum); all other parameters take a tenth of it.
        cooldown: last fraction of the stage, over which the step size falls linearly to a twentieth.
    """

    num_samples: int
    steps: int
    batch: int
    lr: float
    cooldown: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything needed to train one bundle."""

    name: str
    seed: int
    video: VideoSpec
    vae: TinyVAEConfig
    dit: DiTConfig
    schedule: ScheduleConfig
    codec: CodecRecipe
    frames: StageRecipe
    clips: StageRecipe
    finish: StageRecipe
    ema: float = 0.998
    phrasings: int = 4

    def __post_init__(self) -> None:
        channels = {self.video.latent_channels, self.vae.latent_channels, self.dit.in_dim, self.dit.out_dim}
        if len(channels) != 1:
            raise ConfigError(f"recipe {self.name}: latent channels of video, codec and DiT differ: {sorted(channels)}")
        if self.video.window_lat != 2 * self.video.block_lat:
            raise ConfigError(
                f"recipe {self.name}: window_lat={self.video.window_lat} is not two blocks of {self.video.block_lat}; "
                "training lays out one past block and one current block"
            )


def storyworld_tiny() -> Recipe:
    """The embedded bundle: 160x96 pixels, for two CPU cores."""
    channels = 16
    return Recipe(
        name="storyworld-tiny",
        seed=20,
        video=VideoSpec(width_px=160, height_px=96, latent_channels=channels, window_lat=6),
        vae=TinyVAEConfig(latent_channels=channels, widths=(64, 32, 16, 16), blocks_per_stage=2, encoder="linear"),
        dit=DiTConfig(
            dim=160, ffn_dim=640, freq_dim=64, text_dim=96, text_len=16, num_heads=5, num_layers=6,
            in_dim=channels, out_dim=channels,
        ),
        schedule=ScheduleConfig(shift=3.0, steps=(1000, 750, 500, 250)),
        codec=CodecRecipe(
            num_clips=300, clip_lat=4, steps=1500, batch=2, lr=8e-4, crop_lat=10, max_latent_noise=0.12
        ),
        frames=StageRecipe(num_samples=8000, steps=6000, batch=32, lr=0.02),
        clips=StageRecipe(num_samples=3000, steps=3000, batch=6, lr=0.015),
        finish=StageRecipe(num_samples=3000, steps=2000, batch=6, lr=0.01, cooldown=0.8),
    )  # fmt: skip


def storyworld_micro() -> Recipe:
    """The same in miniature: every code path in seconds, no useful picture. For tests."""
    tiny = storyworld_tiny()
    channels = 8
    return replace(
        tiny,
        name="storyworld-micro",
        video=VideoSpec(width_px=64, height_px=32, latent_channels=channels, window_lat=6),
        vae=TinyVAEConfig(latent_channels=channels, widths=(12, 8, 8, 4), blocks_per_stage=1, encoder="linear"),
        dit=DiTConfig(
            dim=48, ffn_dim=96, freq_dim=32, text_dim=96, text_len=16, num_heads=2, num_layers=2,
            in_dim=channels, out_dim=channels,
        ),
        codec=CodecRecipe(num_clips=6, clip_lat=2, steps=40, batch=2, lr=4e-3, crop_lat=4, max_latent_noise=0.12),
        frames=StageRecipe(num_samples=12, steps=30, batch=8, lr=0.02),
        clips=StageRecipe(num_samples=6, steps=24, batch=4, lr=0.02),
        finish=StageRecipe(num_samples=6, steps=4, batch=2, lr=0.01),
        phrasings=2,
    )  # fmt: skip


RECIPES: dict[str, Callable[[], Recipe]] = {"storyworld-tiny": storyworld_tiny, "storyworld-micro": storyworld_micro}


def recipe_by_name(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ConfigError: no such recipe.
    """
    if name not in RECIPES:
        raise ConfigError(f"recipe {name!r} is unknown; use one of {', '.join(RECIPES)}")
    return RECIPES[name]()
