"""What this machine can run, and why not the rest. Looks, and changes nothing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import ShotstreamError


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked for.
        ok: it is there and usable.
        found: what there is.
        remedy: what would make it usable.
        needed: the film does not run on a CPU without it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = False


def diagnose() -> list[Check]:
    """All checks, needed ones first."""
    return [
        _python(),
        _package("torch", "torch", needed=True, remedy="pip install torch"),
        _package("video writing (av)", "av", needed=True, remedy="pip install av"),
        _bundle(),
        _disk(),
        _cores(),
        _memory(),
        _native(),
        _cuda(),
        _package("window (pygame)", "pygame", distribution="pygame-ce", remedy="pip install 'shotstream[stage]'"),
        _package("UMT5 text encoder (transformers)", "transformers", remedy="pip install 'shotstream[wan]'"),
        _package("downloads (huggingface_hub)", "huggingface_hub", remedy="pip install 'shotstream[wan]'"),
        _package(
            "flash-attn", "flash_attn", remedy="optional, for CUDA only; PyTorch's own attention is used without it"
        ),
        _package("ONNX export (onnx)", "onnx", remedy="pip install 'shotstream[export]'"),
        _tensorrt("TensorRT", "tensorrt", ("tensorrt", "tensorrt-cu13"), "shotstream verify tensorrt"),
        _tensorrt(
            "TensorRT for RTX",
            "tensorrt_rtx_bindings",
            ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx"),
            "shotstream verify tensorrt-rtx",
        ),
    ]


def cpu_model() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check(name="Python 3.10 or later", ok=sys.version_info >= (3, 10), found=found, needed=True)


def _package(name: str, module: str, *, distribution: str = "", remedy: str = "", needed: bool = False) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(name=name, ok=False, found="not installed", remedy=remedy, needed=needed)
    for candidate in (distribution or module, module):
        try:
            return Check(name=name, ok=True, found=importlib.metadata.version(candidate), needed=needed)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Check(name=name, ok=True, found="installed, version unknown", needed=needed)


def _bundle() -> Check:
    from .bundle import embedded_bundles, load_bundle
    from .film import DEFAULT_BUNDLE

    try:
        found = load_bundle(DEFAULT_BUNDLE).describe()
    except ShotstreamError as error:
        remedy = "install the package again"
        return Check(name="embedded bundle", ok=False, found=str(error), remedy=remedy, needed=True)
    others = [name for name in embedded_bundles() if name != DEFAULT_BUNDLE]
    text = f"{DEFAULT_BUNDLE}, {found['size']} at {found['fps']:g} fps" + (
        f"; also {', '.join(others)}" if others else ""
    )
    return Check(name="embedded bundle", ok=True, found=text, needed=True)


def _disk() -> Check:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    remedy = "an hour of film takes about 0.2 GB at 160x96"
    return Check(name="free disk space here", ok=free_gb > 0.1, found=f"{free_gb:.1f} GB", remedy=remedy)


def _cores() -> Check:
    cores = num_cores()
    remedy = "two or more keep the embedded bundle at real time"
    return Check(name="CPU cores", ok=cores >= 2, found=f"{cores} x {cpu_model()}", remedy=remedy)


def _memory() -> Check:
    import psutil

    available_gb = psutil.virtual_memory().available / 1e9
    remedy = "the embedded bundle takes about 1 GB"
    return Check(name="free memory", ok=available_gb > 1.5, found=f"{available_gb:.1f} GB", remedy=remedy)


def _native() -> Check:
    name = "native module"
    if importlib.util.find_spec("shotstream._native") is None:
        return Check(name=name, ok=False, found="not built", remedy="optional on a CPU; 'pip install .' builds it")
    try:
        importlib.import_module("shotstream._native")
    except ImportError as error:
        return Check(name=name, ok=False, found=str(error), remedy="'pip install .' builds it for this Python")
    return Check(name=name, ok=True, found="loads")


def _cuda() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check(name="CUDA", ok=False, found=f"torch does not import: {error}")
    if torch.version.cuda is None:
        return Check(
            name="CUDA", ok=False, found="this torch is built for the CPU", remedy="install a CUDA build of torch"
        )
    if not torch.cuda.is_available():
        return Check(
            name="CUDA", ok=False, found="no usable GPU or driver", remedy="needs an NVIDIA GPU and its driver"
        )
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return Check(name="CUDA", ok=True, found=f"{torch.version.cuda}: {names}")


def _tensorrt(name: str, module: str, distributions: tuple[str, ...], command: str) -> Check:
    """Never ok: the project has not run an engine on a GPU yet, and says so until a machine has."""
    found = "not run here: package not installed"
    if importlib.util.find_spec(module) is not None:
        found = f"{_version_of(distributions)} found; engines not run by the project yet"
    return Check(name=name, ok=False, found=found, remedy=f"the PyTorch engine is used; '{command}' tries it")


def _version_of(distributions: tuple[str, ...]) -> str:
    for one in distributions:
        try:
            return importlib.metadata.version(one)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "version unknown"
