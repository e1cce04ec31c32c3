"""Does this machine's TensorRT compute what PyTorch computes? A small student, built, run, compared and timed.

Whoever runs the graphs is an argument, so the whole procedure also runs where there is no TensorRT. Until a GPU has run
it with TensorRT, nobody has: "not run".
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..export.step import FLAVOURS, Flavour, pass_profiles
from ..export.writer import write_dit
from ..frames import VideoSpec
from ..model.config import DiTConfig, ScheduleConfig
from ..model.dit import DiT
from ..model.schedule import Schedule
from .graphs import Graph, GraphDenoiser, NativeCache
from .kv_cache import KVCache
from .noise import CounterNoise
from .rollout import Cache, Context, ShotRollout

NUM_BLOCKS = 3
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 1e-2}
"""Largest relative difference to eager; TF32 products are allowed in float32."""


class Executor(Protocol):
    """Builds graphs and runs them.

    Attributes:
        name: program and version. device: where it runs.
    """

    name: str
    device: torch.device

    def open(self, path: Path, flavour: Flavour, profiles: list[Any]) -> Graph:
        """Build one graph."""

    def layers(self, graph: Graph) -> str:
        """The inspector's description of an engine, as JSON; empty when there is none."""

    def wait(self) -> None:
        """Until all work is done."""


@dataclass(frozen=True, kw_only=True)
class FlavourReport:
    """One way for attention to reach the cache.

    Attributes:
        relative_error: largest of the blocks, against eager.
        equal: it is within the tolerance.
        build_s: seconds of building.
        block_ms: median time of a block; NUM_BLOCKS blocks.
        reformats, unfused: layers that only move data, and attention that no single kernel does.
    """

    flavour: str
    relative_error: float
    equal: bool
    build_s: float
    block_ms: float
    reformats: tuple[str, ...]
    unfused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found; ``executor`` and ``device`` say where."""

    executor: str
    device: str
    dtype: str
    tolerance: float
    flavours: tuple[FlavourReport, ...]

    @property
    def equal(self) -> bool:
        return all(flavour.equal for flavour in self.flavours)


def small_student() -> tuple[DiT, VideoSpec]:
    """Two layers with heads of the usual size, so that the fused kernels are used; random weights."""
    torch.manual_seed(0)
    config = DiTConfig(
        dim=256, ffn_dim=512, freq_dim=64, text_dim=64, text_len=16, num_heads=2, num_layers=2, in_dim=16, out_dim=16
    )
    spec = VideoSpec(width_px=128, height_px=64, window_lat=9)
    return DiT(config).eval().requires_grad_(False), spec


def verify(
    executor: Executor,
    folder: Path,
    *,
    dit: DiT,
    spec: VideoSpec,
    dtype: torch.dtype,
    flavours: Sequence[Flavour] = FLAVOURS,
) -> Report:
    """Compare a student's graphs with the student.

    Args:
        executor: runs the graphs.
        folder: for the graphs; may be deleted afterwards.
        dit: on the CPU.
        dtype: of weights, latents and caches.

    Raises:
        ConfigError, DeviceError: a graph cannot be built or run.
    """
    network = dit.to(dtype)
    eager = _play(network.to(executor.device), None, spec, executor)[0]
    reports = []
    for flavour in flavours:
        write_dit(network.cpu(), spec, flavour, folder / flavour)
        began = time.monotonic()
        model, cache, step = _open(executor, folder / flavour, network, spec, flavour)
        build_s = time.monotonic() - began
        _play(model, cache, spec, executor)  # the first passes make contexts and CUDA graphs
        latents, times = _play(model, cache, spec, executor)
        error = max(float((one - other).norm() / one.norm()) for one, other in zip(eager, latents, strict=True))
        reformats, unfused = notable_layers(executor.layers(step))
        reports.append(
            FlavourReport(
                flavour=flavour,
                relative_error=error,
                equal=error <= TOLERANCES[dtype],
                build_s=build_s,
                block_ms=statistics.median(times) * 1000,
                reformats=reformats,
                unfused=unfused,
            )
        )
    return Report(
        executor=executor.name,
        device=str(executor.device),
        dtype=str(dtype).removeprefix("torch."),
        tolerance=TOLERANCES[dtype],
        flavours=tuple(reports),
    )


def notable_layers(described: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of layers that only move data, and of attention in pieces (a softmax of its own), from inspector JSON."""
    layers = json.loads(described or "{}").get("Layers", [])
    # Without detailed verbosity a layer is its name alone.
    named = [(one, "") if isinstance(one, str) else (one["Name"], one.get("LayerType", "")) for one in layers]
    reformats = tuple(name for name, kind in named if "reformat" in f"{name} {kind}".lower())
    unfused = tuple(name for name, kind in named if "softmax" in f"{name} {kind}".lower())
    return reformats, unfused


def _open(
    executor: Executor, folder: Path, network: DiT, spec: VideoSpec, flavour: Flavour
) -> tuple[GraphDenoiser, Cache, Graph]:
    config = network.config
    text = [(n, config.text_len, config.text_dim) for n in (1, 1, spec.context_lat)]
    step = executor.open(folder / "step.onnx", flavour, pass_profiles(config, spec, flavour))
    captions = executor.open(folder / "captions.onnx", flavour, [{"text": tuple(text)}])
    needed = (0.0, *(one.timestep for one in _schedule().steps))
    times = {t: network.encode_time(torch.full((1, 1), t)).to(executor.device) for t in needed}
    model = GraphDenoiser(config, dtype=network.dtype, times=times, step=step, captions=captions)
    if flavour == "plugin":
        return model, KVCache(config, spec, device=executor.device, dtype=network.dtype), step
    slide = executor.open(folder / "slide.onnx", flavour, [])
    return model, NativeCache(config, spec, slide, dtype=network.dtype, device=executor.device), step


def _play(
    model: DiT | GraphDenoiser, cache: Cache | None, spec: VideoSpec, executor: Executor
) -> tuple[list[Tensor], list[float]]:
    """A context pass and blocks with their clean passes: latents, and seconds of each block."""
    generator = torch.Generator().manual_seed(1)
    size = (spec.latent_channels, spec.latent_height, spec.latent_width)
    text = torch.randn(1, model.config.text_len, model.config.text_dim, generator=generator)
    context = torch.randn(spec.context_lat, *size, generator=generator)
    rollout = ShotRollout(model, _schedule(), spec, device=executor.device, cache=cache)
    caption = model.encode_captions(text.to(executor.device))
    rows = [0] * spec.context_lat
    rollout.open(Context(latent=context, flags=rows, caption_kv=caption, captions=rows))
    noise = CounterNoise(1, (spec.block_lat, *size))
    latents, times = [], []
    for block in range(NUM_BLOCKS + 1):  # one more, so that the last counted block has had its clean pass
        executor.wait()
        began = time.perf_counter()
        latent = rollout.next_latent(0, block, caption, noise)
        executor.wait()
        times.append(time.perf_counter() - began)
        latents.append(latent.float().cpu())
    return latents, times


def _schedule() -> Schedule:
    return Schedule(ScheduleConfig())
