"""The engines of an export folder on this machine: read, or built once and kept. Not run on a GPU yet."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from ..bundle import bundle_home
from ..errors import DeviceError
from ..export import manifest as manifests
from ..export.manifest import Manifest
from ..export.plan import BuildOptions, build_plan
from .cuda_stream import CudaStream, Stream
from .plan_cache import Machine, PlanCache, plan_key
from .tensorrt_graph import LoadedEngine, TensorRTGraph, load_engine, load_tensorrt

log = logging.getLogger(__name__)

BLOCK_PROFILE = 0
"""Of the step's engine: the first profile takes blocks, the second the context pass (``export.step``)."""


def engine_opener(folder: Path, manifest: Manifest, device: torch.device) -> Callable[[str], TensorRTGraph]:
    """What opens the engines of a folder by the names of their graphs.

    Raises:
        DeviceError: TensorRT, a driver or the plugins are missing.
    """
    stream = CudaStream(device)
    if manifest.target == "tensorrt-rtx":
        return lambda name: _graph(_read_rtx(folder, manifest, device, name), name, device, stream)
    trt = load_tensorrt("tensorrt")
    from ..export.plugins import register

    register(trt)
    machine = this_machine(device, f"tensorrt {trt.__version__}", plugins_sha256())
    cache = PlanCache(bundle_home().parent / "plans")

    def open_graph(name: str) -> TensorRTGraph:
        given = folder / f"{name}.engine"  # from the trtexec.sh of the folder
        plan = given.read_bytes() if given.is_file() else kept_plan(cache, machine, folder, manifest, name, trt)
        return _graph(load_engine(trt, plan, name), name, device, stream)

    return open_graph


def kept_plan(cache: PlanCache, machine: Machine, folder: Path, manifest: Manifest, name: str, trt: object) -> bytes:
    """The plan of a graph on this machine; built, which takes minutes, when there is none yet."""
    graph = manifest.graphs[name]
    options = BuildOptions(refit=name == "step")
    sha256 = next(entry.sha256 for entry in manifest.files if entry.path == graph.file)
    key = plan_key(machine, sha256, options.described())
    plan = cache.find(key)
    if plan is None:
        log.info("building the engine of %s for %s; it is kept in %s", name, machine.gpu, cache.folder)
        built = build_plan(
            trt, folder / graph.file, list(graph.profiles), options=options, timings=cache.timings(machine)
        )
        plan = built.plan
        cache.put(key, plan)
        cache.put_timings(machine, built.timings)
    return plan


def this_machine(device: torch.device, runtime: str, plugins: str) -> Machine:
    """What plans depend on here."""
    from cuda.bindings import runtime as cuda

    error, driver = cuda.cudaDriverGetVersion()
    if int(error) != 0:
        raise DeviceError(f"CUDA failed: {error.name}; see 'shotstream doctor'")
    major, minor = torch.cuda.get_device_capability(device)
    return Machine(
        gpu=torch.cuda.get_device_name(device),
        compute_capability=f"{major}.{minor}",
        driver=f"{driver // 1000}.{driver % 1000 // 10}",
        runtime=runtime,
        plugins=plugins,
    )


def plugins_sha256() -> str:
    """Of the code that the plugins run: our version and the compiled module."""
    found = importlib.util.find_spec("shotstream._native")
    code = b"" if found is None or found.origin is None else Path(found.origin).read_bytes()
    return hashlib.sha256(importlib.metadata.version("shotstream").encode() + code).hexdigest()


def _read_rtx(folder: Path, manifest: Manifest, device: torch.device, name: str) -> LoadedEngine:
    trt = load_tensorrt("tensorrt-rtx")
    major, minor = torch.cuda.get_device_capability(device)
    path = manifests.engine_file(folder, manifest, name, gpu=f"SM{major}{minor}", runtime=trt.__version__)
    return load_engine(trt, path.read_bytes(), path.name)


def _graph(loaded: LoadedEngine, name: str, device: torch.device, stream: Stream) -> TensorRTGraph:
    captured = (BLOCK_PROFILE,) if name == "step" else ()
    return TensorRTGraph(loaded, device=device, stream=stream, captured=captured, name=name)
