"""A bundle to a folder of graphs and engines, step by step.

Each step writes into a scratch folder beside the result, its files are moved into place and then listed in the
manifest. A step whose files are listed and whole is not done again, so work that was cut off goes on where it was.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec

from .. import __version__
from ..bundle import Bundle
from ..disk import check_space, is_disk_full, make_folder
from ..errors import CapacityError, ConfigError, WeightsError
from ..model.codec import Codec
from ..model.config import WanVAEConfig
from ..model.dit import DiT
from ..model.schedule import Schedule
from ..model.text_types import TextEncoder
from ..model.times import save_times
from . import manifest as manifests
from . import rtx, trtexec, writer
from .manifest import Engine, Graph, Manifest, Profile, Target
from .step import Flavour, pass_profiles

SPARE_BYTES = 64 << 20
"""Disk space left free beside the export; also what graphs and engines take beside their weights."""

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
TIMES = "time.safetensors"
GRAPHS = ("step", "captions", "slide", "decode", "encode", "text")
"""Steps that write a graph of their own name."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """How to load the networks of a bundle, on the CPU, in the dtype of the export. Each is loaded when it is needed
    and let go afterwards, for together they may not fit into memory."""

    dit: Callable[[], DiT]
    codec: Callable[[], Codec]
    text: Callable[[], TextEncoder]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One piece of the work: ``run`` writes files into a folder; ``engine`` names the (graph, GPU) that it builds."""

    name: str
    run: Callable[[Path], object]
    engine: tuple[str, str] | None = None


def export(
    bundle: Bundle,
    networks: Networks,
    out: Path,
    *,
    target: Target,
    dtype: str,
    gpus: tuple[str, ...] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write everything that a runtime needs of a bundle.

    Args:
        bundle: what is exported.
        networks: its networks, in ``dtype``.
        out: folder; a finished export in it is in the way, an interrupted one of the same work is continued.
        target: "onnx" and "tensorrt" write graphs (native, or with plugin nodes), "tensorrt-rtx" also builds engines.
        dtype: "float32", "bfloat16" or "float16".
        gpus: compute capabilities to build for, with "tensorrt-rtx" alone.
        force: begin anew where an export is in the way.
        progress: see ``Progress``.

    Raises:
        ConfigError: an option, or ``out``, cannot be used; or a network cannot be expressed or built.
        CapacityError: disk or memory is too small.
        DeviceError: a package is missing.
        WeightsError: weights are damaged, or ``out`` holds something unreadable.
    """
    _check_options(target, dtype, gpus)
    flavour: Flavour = "plugin" if target == "tensorrt" else "native"
    work = _Work(bundle, networks, out, target=target, flavour=flavour, dtype=dtype, gpus=gpus)
    return work.run(force=force, progress=progress or (lambda what, done, total: None))


def _check_options(target: str, dtype: str, gpus: tuple[str, ...]) -> None:
    if target not in get_args(Target):
        raise ConfigError(f"target={target!r} must be one of {', '.join(get_args(Target))}")
    if dtype not in SIZES:
        raise ConfigError(f"dtype={dtype!r} must be one of {', '.join(SIZES)}")
    if target != "tensorrt-rtx":
        if gpus:
            raise ConfigError(f"engines for {gpus[0]} are built with target 'tensorrt-rtx' only, and not {target!r}")
        return
    if not gpus:
        raise ConfigError("no GPU to build for; name at least one, such as SM89")
    for gpu in gpus:
        if gpu not in rtx.TARGETS:
            raise ConfigError(f"gpu={gpu!r} must be one of {', '.join(rtx.TARGETS)}")
    rtx.tensorrt_rtx()


class _Work:
    """An export under way."""

    def __init__(
        self,
        bundle: Bundle,
        networks: Networks,
        out: Path,
        *,
        target: Target,
        flavour: Flavour,
        dtype: str,
        gpus: tuple[str, ...],
    ) -> None:
        self.bundle, self.networks, self.out = bundle, networks, out
        self.flavour, self.gpus = flavour, gpus
        schedule = Schedule(bundle.schedule)
        timesteps = [0.0, *(step.timestep for step in schedule.steps)]
        self.manifest = Manifest(
            format=manifests.FORMAT,
            finished=False,
            target=target,
            flavour=flavour,
            dtype=dtype,
            opset=manifests.OPSET,
            bundle=bundle.name,
            fingerprint=bundle.fingerprint,
            video=dataclasses.asdict(bundle.spec),
            timesteps=timesteps,
            versions=_versions(target),
            gpus=list(gpus),
            graphs={},
            stages={},
        )

    def run(self, *, force: bool, progress: Progress) -> Manifest:
        make_folder(self.out)
        self._take_over(force)
        steps = self._steps()
        left = [step for step in steps if step.name not in self.manifest.stages]
        self._check_capacity()
        scratch = self.out / ".unfinished"
        for number, step in enumerate(steps):
            progress(step.name, number, len(steps))
            if step not in left:
                continue
            try:
                self._do(step, scratch)
            except OSError as error:
                if is_disk_full(error):
                    raise CapacityError(
                        f"{self.out}: the disk is full; finished steps are kept, free space and run it again"
                    ) from error
                raise ConfigError(f"{self.out}: cannot be written ({error}); give a folder that can") from error
            except (MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # torch's own words
                    raise
                raise CapacityError(
                    f"{step.name}: not enough memory; close other programs or use a machine with more"
                ) from error
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        self._save(finished=True)
        progress("finished", len(steps), len(steps))
        return self.manifest

    def _take_over(self, force: bool) -> None:
        """Look at what is in the folder already: keep what an interrupted run finished, or clear the way."""
        if not any(self.out.iterdir()):
            return
        shutil.rmtree(self.out / ".unfinished", ignore_errors=True)
        if not (self.out / manifests.NAME).is_file():
            if any(self.out.iterdir()):
                raise ConfigError(f"{self.out}: holds something else than an export; give another folder")
            return
        try:
            old = manifests.load(self.out)
        except WeightsError as error:
            raise ConfigError(f"{error}; or remove the folder") from error
        ours = msgspec.structs.replace(self.manifest, graphs=old.graphs, stages=old.stages)
        if force:
            for entry in old.files:
                (self.out / entry.path).unlink(missing_ok=True)
            (self.out / manifests.NAME).unlink()
        elif old.finished:
            raise ConfigError(f"{self.out}: already holds an export of {old.bundle}; use --force to replace it")
        elif old != ours:
            changed = [name for name in old.__struct_fields__ if getattr(old, name) != getattr(ours, name)]
            raise ConfigError(
                f"{self.out}: holds an unfinished export that differs in {', '.join(changed)}; "
                "use --force to begin anew, or give another folder"
            )
        else:
            whole = {
                name: entries
                for name, entries in old.stages.items()
                if not any(manifests.check_file(self.out, entry) for entry in entries)
            }
            self.manifest = msgspec.structs.replace(ours, stages=whole)

    def _steps(self) -> list[_Step]:
        bundle, spec, networks = self.bundle, self.bundle.spec, self.networks
        steps = [
            _Step(name="step", run=lambda to: writer.write_step(networks.dit(), spec, self.flavour, to)),
            _Step(name="captions", run=lambda to: writer.write_captions(networks.dit(), to)),
        ]
        if self.flavour == "native":
            steps += [_Step(name="slide", run=lambda to: writer.write_slide(networks.dit(), spec, to))]
        steps += [_Step(name="decode", run=lambda to: writer.write_decoder(networks.codec(), spec, to))]
        if getattr(bundle.vae, "encoder", "") != "none":
            steps += [_Step(name="encode", run=lambda to: writer.write_encoder(networks.codec(), spec, to))]
        steps += [
            _Step(name="text", run=lambda to: writer.write_text(networks.text(), to)),
            _Step(name="time", run=lambda to: save_times(networks.dit(), self.manifest.timesteps, to / TIMES)),
            _Step(name="tokenizer", run=self._copy_tokenizer),
            _Step(name="description", run=self._copy_description),
        ]
        if self.manifest.target == "tensorrt":
            steps += [_Step(name="trtexec", run=lambda to: trtexec.write_script(self.manifest.graphs, to))]
        for gpu in self.gpus:
            for graph in [step.name for step in steps if step.name in GRAPHS] + self._further_graphs():
                steps += [_Step(name=f"{graph} for {gpu}", run=lambda to: None, engine=(graph, gpu))]
        return steps

    def _further_graphs(self) -> list[str]:
        """Graphs that a step writes beside the one of its own name."""
        return ["decode_first"] if isinstance(self.bundle.vae, WanVAEConfig) else []

    def _do(self, step: _Step, scratch: Path) -> None:
        """Run one step and list its files."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        graphs = dict(self.manifest.graphs)
        if step.engine is not None:
            name, gpu = step.engine
            engine = self._build(name, gpu, scratch)
            graphs[name] = msgspec.structs.replace(graphs[name], engines={**graphs[name].engines, gpu: engine})
        else:
            step.run(scratch)
        entries = [manifests.describe(scratch, path) for path in sorted(scratch.rglob("*")) if path.is_file()]
        for entry in entries:
            (self.out / entry.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / entry.path, self.out / entry.path)
            if entry.path.endswith(".onnx"):
                name = entry.path.removesuffix(".onnx")
                graphs[name] = Graph(file=entry.path, profiles=self._profiles(name))
        stages = {**self.manifest.stages, step.name: entries}
        self.manifest = msgspec.structs.replace(self.manifest, graphs=graphs, stages=stages)
        self._save(finished=False)

    def _build(self, graph: str, gpu: str, scratch: Path) -> Engine:
        found = self.manifest.graphs[graph]
        began = time.monotonic()
        built = rtx.build_engine(self.out / found.file, list(found.profiles), gpu)
        path = scratch / "engines" / gpu / f"{graph}.engine"
        path.parent.mkdir(parents=True)
        path.write_bytes(built.plan)
        return Engine(
            file=path.relative_to(scratch).as_posix(),
            gpu=gpu,
            runtime=self.manifest.versions["tensorrt-rtx"],
            num_layers=built.num_layers,
            build_s=round(time.monotonic() - began, 1),
        )

    def _profiles(self, graph: str) -> list[Profile]:
        """Which sizes a graph is used with."""
        spec, dit = self.bundle.spec, self.bundle.dit
        if graph == "step":
            return pass_profiles(dit, spec, self.flavour)
        rows = {
            "captions": ("text", (dit.text_len, dit.text_dim)),
            "encode": ("frames", (3, spec.height_px, spec.width_px)),
        }
        if graph not in rows:
            return []
        name, shape = rows[graph]
        return [{name: ((1, *shape), (1, *shape), (spec.context_lat, *shape))}]

    def _copy_tokenizer(self, to: Path) -> None:
        source = self.bundle.file("tokenizer")
        if source.is_dir():
            shutil.copytree(source, to / "tokenizer")
        else:
            shutil.copyfile(source, to / "tokenizer.json")

    def _copy_description(self, to: Path) -> None:
        shutil.copyfile(self.bundle.path / "bundle.toml", to / manifests.DESCRIPTION)

    def _check_capacity(self) -> None:
        """Refuse before hours of work what cannot end well."""
        size = SIZES[self.manifest.dtype]
        weights = sum(
            self.bundle.files[role].bytes * size // SIZES[self.bundle.dtype] for role in ("dit", "vae", "text")
        )
        # Engines hold the weights once more, and each decoder of a Wan codec once.
        needed = weights * (1 + len(self.gpus)) - sum(entry.bytes for entry in self.manifest.files)
        check_space(self.out, max(needed, 0) + SPARE_BYTES, what=f"the export of {self.bundle.name}")

    def _save(self, *, finished: bool) -> None:
        self.manifest = msgspec.structs.replace(self.manifest, finished=finished)
        manifests.write(self.out, self.manifest)


def _versions(target: Target) -> dict[str, str]:
    packages = ["torch", "onnx", "onnxscript"]
    versions = {"shotstream": __version__} | {name: importlib.metadata.version(name) for name in packages}
    if target == "tensorrt-rtx":
        versions["tensorrt-rtx"] = str(rtx.tensorrt_rtx().__version__)
    return versions
