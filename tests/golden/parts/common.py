"""What all parts share: cases, errors, and networks built from the recorded sizes and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from shotstream.frames import VideoSpec
from shotstream.model.config import DiTConfig, ScheduleConfig, WanVAEConfig
from shotstream.model.dit import CaptionKV, DiT
from shotstream.model.schedule import Schedule
from shotstream.model.vae import WanVAE
from shotstream.model.weights import load_strict

LIMIT = 1e-4
TABLE_LIMIT = 1e-6
SCALAR_LIMIT = 1e-5
BF16_FACTOR = 1.5

SPACE_FACTOR = 8


class GoldenError(Exception):
    """The folder cannot be checked: something is missing, damaged or of another version."""


@dataclass(frozen=True)
class Case:
    """One comparison: it passes when ``error <= bound``."""

    name: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.error <= self.bound  # False for NaN


@dataclass(frozen=True)
class Part:
    """A recorded part: its JSON and its tensors, and the noise schedule that all parts of a folder share."""

    name: str
    info: Mapping[str, Any]
    schedule_config: ScheduleConfig
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.schedule_config)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise GoldenError(f"{self.name}.safetensors: tensor {name} is missing; copy the folder again")
        return self.tensors[name]

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under ``prefix/``, widened to float32 (the stored float16 values are exact)."""
        start = prefix + "/"
        return {
            name.removeprefix(start): value.float() for name, value in self.tensors.items() if name.startswith(start)
        }


def max_error(got: Tensor, want: Tensor) -> float:
    """Largest difference, relative to the root mean square of what was recorded."""
    if got.shape != want.shape:
        raise AssertionError(f"shape {tuple(got.shape)}, recorded {tuple(want.shape)}")
    difference = (got.double() - want.double()).abs().max().item()
    scale = want.double().square().mean().sqrt().item()
    return difference / scale if scale else difference


def rms_error(got: Tensor, want: Tensor) -> float:
    """Root mean square of the difference, relative to that of what was recorded."""
    difference, wide = got.double() - want.double(), want.double()
    return (difference.square().mean().sqrt() / wide.square().mean().sqrt()).item()


def close(name: str, got: Tensor, want: Tensor, bound: float = LIMIT) -> Case:
    return Case(name, max_error(got, want), bound)


def close_scalar(name: str, got: float, want: float, bound: float = SCALAR_LIMIT) -> Case:
    return Case(name, abs(got - want) / abs(want) if want else abs(got), bound)


def equal(name: str, got: Any, want: Any) -> Case:
    """Exact equality of plain values; the error is 0 or 1."""
    return Case(name, float(got != want), 0.0)


def bf16_case(name: str, got: Tensor, want: Tensor, measured: float) -> Case:
    """A bfloat16 result is judged by the size of its error, compared with that of the recorded bfloat16 run."""
    return Case(f"{name} (bfloat16)", rms_error(got, want), BF16_FACTOR * measured)


def dit_config(config: Mapping[str, Any]) -> DiTConfig:
    names = (
        "dim",
        "ffn_dim",
        "freq_dim",
        "text_dim",
        "text_len",
        "num_heads",
        "num_layers",
        "in_dim",
        "out_dim",
        "eps",
    )
    return DiTConfig(patch=config["patch_size"][-1], **{name: config[name] for name in names})


def build_dit(part: Part, prefix: str) -> DiT:
    dit = DiT(dit_config(part.info["config"]))
    load_strict(dit, part.weights(prefix), f"{part.name}: {prefix}")
    return dit.eval()


def rope_split(part: Part) -> Case:
    """The split of a head into rotary pairs."""
    config = part.info["config"]
    return equal("rotary pairs of time, rows, columns", list(dit_config(config).rope_pairs), config["rope_pairs_t_h_w"])


def build_vae(config: Mapping[str, Any], weights: dict[str, Tensor], **scale: tuple[float, ...]) -> WanVAE:
    vae = WanVAE(
        WanVAEConfig(
            dim=config["dim"],
            dim_mult=tuple(config["dim_mult"]),
            z_dim=config["z_dim"],
            num_res_blocks=config["num_res_blocks"],
            temporal_downsample=tuple(config["temporal_downsample"]),
            **scale,
        )
    )
    load_strict(vae, weights, "vae")
    return vae.eval()


def video_spec(part: Part, *, num_blocks: int, context_lat: int) -> VideoSpec:
    """Sizes of a part as the engine wants them; the window holds all recorded blocks."""
    rows, columns = part.info["latent_grid"]
    block = part.info["frames_per_block"]
    return VideoSpec(
        width_px=columns * SPACE_FACTOR,
        height_px=rows * SPACE_FACTOR,
        latent_channels=part.info["config"]["in_dim"],
        patch=part.info["config"]["patch_size"][-1],
        block_lat=block,
        window_lat=num_blocks * block,
        context_lat=context_lat,
    )


def caption_row(flag: int, num_captions: int) -> int:
    """A frame's caption is the one its shot flag names; a lone caption serves all frames."""
    return flag if num_captions > 1 else 0


def caption_of(captions: CaptionKV, row: int) -> CaptionKV:
    return CaptionKV(tuple((k[row : row + 1], v[row : row + 1]) for k, v in captions.layers))


def constant_time(timestep: float) -> Tensor:
    """One timestep for all frames, ``(1, 1)``."""
    return torch.full((1, 1), timestep)


Cases = Iterator[Case]
