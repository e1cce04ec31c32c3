"""What an export folder says about itself: ``manifest.json``, typed and checked against the files.

No torch in here, so that whoever runs engines can check a folder before anything large is loaded.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from ..bundle import digest_of
from ..errors import ConfigError, DeviceError, WeightsError

NAME = "manifest.json"
DESCRIPTION = "model.toml"
"""The bundle's ``bundle.toml`` under another name: a folder with that one would be taken for a bundle."""
FORMAT = 1
OPSET = 24
"""First ONNX version with cache updates (TensorScatter) and key lengths of attention."""
MAX_BYTES = 16 * 2**20
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")

Target = Literal["onnx", "tensorrt", "tensorrt-rtx"]
Shape = tuple[int, ...]
Profile = dict[str, tuple[Shape, Shape, Shape]]
"""Smallest, usual and largest shape of each input with an open size."""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: path inside the folder, SHA-256 (hex) and size."""

    path: str
    sha256: str
    bytes: int


class Engine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph built for one kind of GPU.

    Attributes:
        file: path inside the folder.
        gpu: compute capability, such as SM89.
        runtime: version of TensorRT for RTX that built it, and the only one that can run it.
        num_layers: of the parsed network.
        build_s: seconds that building took.
    """

    file: str
    gpu: str
    runtime: str
    num_layers: int
    build_s: float


class Graph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ONNX file and what was made of it.

    Attributes:
        file: path inside the folder.
        profiles: one for each use; empty when every size is fixed.
        engines: by GPU.
    """

    file: str
    profiles: list[Profile]
    engines: dict[str, Engine] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides whether a folder's files can be used.

    Attributes:
        finished: False while the export is under way, or was cut off.
        flavour: how attention reaches the cache, see ``export.memory``.
        dtype: of weights, latents and caches.
        bundle, fingerprint: what was exported.
        video: fields of ``VideoSpec``.
        timesteps: for which there are time vectors.
        versions: of the programs that wrote the graphs.
        graphs: by name.
        stages: files of each finished step of the work.
    """

    format: int
    finished: bool
    target: Target
    flavour: Literal["native", "plugin"]
    dtype: str
    opset: int
    bundle: str
    fingerprint: str
    video: dict[str, int | float]
    timesteps: list[float]
    versions: dict[str, str]
    gpus: list[str]
    graphs: dict[str, Graph]
    stages: dict[str, list[FileEntry]]

    @property
    def files(self) -> list[FileEntry]:
        return [entry for entries in self.stages.values() for entry in entries]


def read(folder: Path, *, hash_files: bool = True) -> Manifest:
    """Read and check a finished export.

    Args:
        hash_files: compare every file's content and not its size alone.

    Raises:
        WeightsError: no export, unfinished, of another version, or a file is missing or damaged.
    """
    manifest = load(folder)
    if not manifest.finished:
        raise WeightsError(f"{folder}: this export was cut off; run the same 'shotstream export' again, it goes on")
    for entry in manifest.files:
        if problem := check_file(folder, entry, hash_it=hash_files):
            raise WeightsError(f"{folder / entry.path}: {problem}; export the bundle again with --force")
    return manifest


def load(folder: Path) -> Manifest:
    """The manifest of a folder, finished or not, without a look at the files.

    Raises:
        WeightsError: there is none, or this version cannot read it.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes, a manifest has at most {MAX_BYTES}")
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).format
        if version != FORMAT:
            raise WeightsError(f"{path}: format={version}, this version reads format={FORMAT}; export the bundle again")
        manifest = msgspec.json.decode(content, type=Manifest)
    except OSError as error:
        raise WeightsError(
            f"{folder}: no export in this folder ({error.strerror}); make one with 'shotstream export'"
        ) from error
    except msgspec.MsgspecError as error:
        raise WeightsError(f"{path}: not a readable manifest ({error}); export the bundle again") from error
    if manifest.opset != OPSET:
        raise WeightsError(
            f"{path}: graphs of ONNX opset {manifest.opset}, this version works with {OPSET}; export the bundle again"
        )
    listed = {entry.path for entry in manifest.files}
    used = {
        file for graph in manifest.graphs.values() for file in (graph.file, *(e.file for e in graph.engines.values()))
    }
    for name in sorted(listed | used):
        if not _PLAIN.fullmatch(name):
            raise WeightsError(f"{path}: file path {name!r} must be a plain name inside the folder")
    if manifest.finished and (left := sorted(used - listed)):
        raise WeightsError(f"{path}: {left[0]} is used but not listed; export the bundle again with --force")
    return manifest


class _Version(msgspec.Struct):
    format: int


def engine_file(folder: Path, manifest: Manifest, graph: str, *, gpu: str, runtime: str) -> Path:
    """Path of a graph's engine.

    Raises:
        ConfigError: the export has no such graph.
        DeviceError: no engine for this GPU, or it was built by another version of TensorRT.
    """
    if graph not in manifest.graphs:
        raise ConfigError(f"{folder}: no graph {graph!r}; there are {', '.join(manifest.graphs)}")
    engines = manifest.graphs[graph].engines
    if gpu not in engines:
        raise DeviceError(
            f"{folder}: its engines are for {', '.join(engines) or 'no GPU'}, this GPU is {gpu}; "
            f"export again with --target tensorrt-rtx --gpu {gpu}"
        )
    engine = engines[gpu]
    if engine.runtime != runtime:
        raise DeviceError(
            f"{folder}: engine of {graph} was built by TensorRT {engine.runtime}, {runtime} is installed; "
            "install that version or export again"
        )
    return folder / engine.file


def check_file(folder: Path, entry: FileEntry, *, hash_it: bool = True) -> str:
    """What is wrong with a file; empty when nothing is."""
    path = folder / entry.path
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size != entry.bytes:
        return f"{size} bytes, {entry.bytes} expected"
    return (
        "its SHA-256 differs from the manifest, it is damaged" if hash_it and digest_of(path)[0] != entry.sha256 else ""
    )


def describe(folder: Path, path: Path) -> FileEntry:
    """The entry of a file below ``folder``."""
    sha256, size = digest_of(path)
    return FileEntry(path=path.relative_to(folder).as_posix(), sha256=sha256, bytes=size)


def write(folder: Path, manifest: Manifest) -> None:
    """Put the manifest in place at once: readers see the old one or the new one."""
    scratch = folder / f".{NAME}"
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    os.replace(scratch, folder / NAME)
