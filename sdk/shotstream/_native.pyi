"""Compiled hot path (see ``csrc/bindings/module.cpp``). Addresses are integers; callers keep the memory alive."""

import numpy as np
from numpy.typing import NDArray

__version__: str
built_with_cuda: bool

FLOAT32: int
FLOAT16: int
BFLOAT16: int

# The kernels replayed on the host over host addresses (for tests); 0 or a CUDA error.
def replay_rope_cache_write(
    *,
    q: int,
    k: int,
    v: int,
    weight_q: int,
    weight_k: int,
    table: int,
    descriptor: int,
    state: int,
    q_local: int,
    q_context: int,
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    eps: float,
    element: int,
    stream: int,
) -> int: ...
def replay_cache_attention(
    *,
    q_local: int,
    q_context: int,
    descriptor: int,
    state: int,
    out: int,
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    scale: float,
    element: int,
    stream: int,
) -> int: ...

# The same on a CUDA stream over device addresses; missing unless ``built_with_cuda``.
def launch_rope_cache_write(
    *,
    q: int,
    k: int,
    v: int,
    weight_q: int,
    weight_k: int,
    table: int,
    descriptor: int,
    state: int,
    q_local: int,
    q_context: int,
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    eps: float,
    element: int,
    stream: int,
) -> int: ...
def launch_cache_attention(
    *,
    q_local: int,
    q_context: int,
    descriptor: int,
    state: int,
    out: int,
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    scale: float,
    element: int,
    stream: int,
) -> int: ...
def rope_cache_write_f32(
    *,
    q: int,
    k: int,
    v: int,
    weight_q: int,
    weight_k: int,
    cache_k: int,
    cache_v: int,
    table: int,
    q_local: int,
    q_context: int,
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    eps: float,
) -> None: ...
def pack_rgb8_f32(*, planes: int, rgb: int, num_frames: int, num_pixels: int) -> None: ...
def pack_pixels(
    *,
    rgb: int,
    rgb_stride: int,
    out: int,
    stride: int,
    width: int,
    height: int,
    format: int,
    origin: int,
    vectorised: bool = True,
) -> None: ...

RING_OK: int
RING_NOT_YET: int
RING_OVERRUN: int

class RingWriter:
    """The writing end of a frame ring. Raises OSError from the operating system, ValueError for what cannot work."""

    def __init__(
        self,
        *,
        name: str,
        num_slots: int,
        width: int,
        height: int,
        stride: int,
        pixel_format: int,
        origin: int,
        color_space: int,
        data_size: int,
        epoch: int,
    ) -> None: ...
    def begin(self) -> tuple[int, NDArray[np.uint8]]: ...
    def commit(self, header: bytes, /) -> int: ...
    def beat(self, now_ns: int) -> None: ...
    def close(self) -> None: ...

class RingReader:
    """The reading end: checks the segment once, then looks at single frames."""

    def __init__(self, name: str) -> None: ...
    @property
    def num_slots(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def pixel_format(self) -> int: ...
    @property
    def origin(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def num_written(self) -> int: ...
    @property
    def heartbeat_ns(self) -> int: ...
    def is_writer_alive(self) -> bool: ...
    def look(self, sequence: int) -> tuple[int, bytes | None, NDArray[np.uint8] | None]: ...
    def is_intact(self, sequence: int) -> bool: ...
    def close(self) -> None: ...

def remove_if_abandoned(name: str, owner_pid: int) -> bool: ...
