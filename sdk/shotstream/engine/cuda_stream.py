"""A CUDA stream of its own, and what is captured on it, through cuda-python."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from ..errors import DeviceError


class Stream(Protocol):
    """Work in order beside the caller's own."""

    handle: int

    def entered(self) -> AbstractContextManager[Any]:
        """Copies of PyTorch inside go to this stream."""

    def follow_caller(self) -> None:
        """What comes next waits for what the caller has asked for so far."""

    def lead_caller(self) -> None:
        """What the caller asks for next waits for what is on this stream."""

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record what ``run`` puts on the stream, without doing it; the answer does it, over the same addresses."""


class CudaStream:
    """Implements :class:`Stream` on a GPU.

    Raises:
        DeviceError: no CUDA device, or cuda-python is not installed.
    """

    def __init__(self, device: torch.device) -> None:
        if not torch.cuda.is_available():
            raise DeviceError(
                "TensorRT needs an NVIDIA GPU, its driver and a CUDA build of PyTorch, and one of them is missing; see "
                "'shotstream doctor', or open the bundle itself on the CPU"
            )
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise DeviceError(
                f"TensorRT needs cuda-python ({error}); run: pip install 'shotstream[tensorrt]'"
            ) from error
        self._runtime = runtime
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self.handle = int(self._stream.cuda_stream)

    def entered(self) -> AbstractContextManager[Any]:
        """See :meth:`Stream.entered`."""
        return torch.cuda.stream(self._stream)

    def follow_caller(self) -> None:
        """See :meth:`Stream.follow_caller`."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))

    def lead_caller(self) -> None:
        """See :meth:`Stream.lead_caller`."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """See :meth:`Stream.capture`."""
        cuda = self._runtime
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _check(cuda.cudaStreamBeginCapture(self.handle, mode))
        try:
            run()
        except BaseException:
            cuda.cudaStreamEndCapture(self.handle)  # the stream must not stay in capture
            raise
        graph = _check(cuda.cudaStreamEndCapture(self.handle))
        ready = _check(cuda.cudaGraphInstantiate(graph, 0))
        _check(cuda.cudaGraphDestroy(graph))
        return lambda: _check(cuda.cudaGraphLaunch(ready, self.handle))


def _check(answer: tuple[Any, ...]) -> Any:
    """The value of a call of cuda-python; raises DeviceError when it failed."""
    error, *values = answer
    if int(error) != 0:
        raise DeviceError(f"CUDA failed: {error.name}; see 'shotstream doctor', and restart the program")
    return values[0] if values else None
