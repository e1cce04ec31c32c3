"""What is wrong with a plan that TensorRT does not take, from what it says about it. No GPU is needed here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import CapacityError, DeviceError, ShotstreamError, WeightsError

_REBUILD = "build it on this machine with 'shotstream export', which takes the graphs that lie beside it"

_FAULTS: tuple[tuple[str, type[ShotstreamError], str], ...] = (
    (
        r"cuda ?error 35|driver version is insufficient|no CUDA-capable device|OLD_CUDA_(DRIVER|RUNTIME)",
        DeviceError,
        "there is no usable NVIDIA driver, or one that is too old; install the driver that this TensorRT asks for",
    ),
    (
        r"could not find plugin|plugin ?creator not found|cannot find plugin|getPluginCreator",
        DeviceError,
        "it needs the plugins of shotstream; load libshotstream_trt, or let 'shotstream' open it, which registers them",
    ),
    (
        r"incompatible device|different (gpu|device)|compute capability|UNSUPPORTED_CC",
        DeviceError,
        f"it was built for another kind of GPU; {_REBUILD}",
    ),
    (
        r"not compatible with this version|library version|version tag|VERSION_MISMATCH",
        DeviceError,
        f"it was built by another version of TensorRT; {_REBUILD}",
    ),
    (
        r"out of memory|outofmemory|INSUFFICIENT_GPU_MEMORY",
        CapacityError,
        "the GPU has too little free memory; close other programs, or export smaller sizes",
    ),
    (
        r"magictag|magic tag|serialization assertion|malformed|corrupt|MALFORMED_ENGINE|size mismatch|truncated",
        WeightsError,
        f"it is damaged or no plan; {_REBUILD}",
    ),
)
"""Pattern of the message, kind of error, what to do; the first that matches counts."""


def explain_failure(messages: Sequence[str], name: str) -> ShotstreamError:
    """The error that stands for what TensorRT said.

    Args:
        messages: errors of its log, oldest first, or names of its diagnostics.
        name: of the plan.
    """
    said = "; ".join(messages) or "no reason given"
    for pattern, kind, remedy in _FAULTS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{name}: {remedy} ({said[:300]})")
    return DeviceError(f"{name}: TensorRT does not take this plan ({said[:300]}); {_REBUILD}")


def names_of_flags(flags: int, members: Sequence[tuple[str, int]]) -> list[str]:
    """Names of the bits that are set."""
    return [name for name, bit in members if flags & bit]
