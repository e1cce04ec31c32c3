"""Compiled hot path (see ``csrc/bindings/module.cpp``). Addresses are integers; callers keep the memory alive."""

__version__: str
built_with_cuda: bool

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
