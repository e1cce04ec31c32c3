"""TensorRT on this machine, as ``verify`` drives it. Not run on a GPU yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..export import rtx
from ..export.plan import BuildOptions, build_plan
from ..export.step import FLAVOURS, Flavour
from .cuda_stream import CudaStream
from .graphs import Graph
from .tensorrt_graph import Runtime, TensorRTGraph, load_engine, load_tensorrt


class TensorRTExecutor:
    """Implements ``verify.Executor``.

    Raises:
        DeviceError: TensorRT, a GPU, its driver, cuda-python or the plugins' kernels are missing.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._trt = load_tensorrt(runtime)
        self.name = f"{runtime} {self._trt.__version__}"
        self.device = torch.device("cuda")
        self._stream = CudaStream(self.device)
        self._for_rtx = runtime == "tensorrt-rtx"
        self.flavours: tuple[Flavour, ...] = ("native",) if self._for_rtx else FLAVOURS
        if not self._for_rtx:
            from ..export.plugins import register

            register(self._trt)

    def open(self, path: Path, flavour: Flavour, profiles: list[Any]) -> Graph:
        """See :meth:`Executor.open`."""
        if self._for_rtx:
            major, minor = torch.cuda.get_device_capability(self.device)
            plan = rtx.build_engine(path, profiles, f"SM{major}{minor}").plan
        else:
            plan = build_plan(self._trt, path, profiles, options=BuildOptions()).plan
        loaded = load_engine(self._trt, plan, path.name)
        captured = (0,) if path.stem == "step" else ()
        return TensorRTGraph(loaded, device=self.device, stream=self._stream, captured=captured, name=path.name)

    def layers(self, graph: Graph) -> str:
        """See :meth:`Executor.layers`."""
        assert isinstance(graph, TensorRTGraph)
        return graph.layers()

    def wait(self) -> None:
        """See :meth:`Executor.wait`."""
        torch.cuda.synchronize(self.device)
