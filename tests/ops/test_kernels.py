"""The CUDA kernels: their arithmetic and schedule replayed on the host, and what the CUDA compiler makes of them.

Nothing here runs on a GPU.
"""

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shotstream import _native
from shotstream.ops import CacheState, reference

EPS = 1e-6
ELEMENTS = {torch.float32: _native.FLOAT32, torch.float16: _native.FLOAT16, torch.bfloat16: _native.BFLOAT16}
CUDA_SOURCES = Path(__file__).parents[2] / "csrc"


def random_call(seed, dtype, head_dim=None):
    """Tensors and state of a call whose sizes, rows and contents all vary with the seed."""
    rng = torch.Generator().manual_seed(seed)

    def randint(low, high):
        return int(torch.randint(low, high + 1, (), generator=rng))

    def randn(*shape):
        return torch.randn(shape, generator=rng).to(dtype)

    heads, head_dim = randint(1, 3), head_dim or 2 * randint(1, 64)
    tokens, capacity, slots = randint(1, 70), randint(0, 70), randint(1, 3)
    slot = randint(0, slots - 1)
    state = CacheState(
        write_tok=capacity + slot * tokens,
        context_tok=randint(0, capacity),
        local_start_tok=capacity,
        local_tok=randint(slot + 1, slots) * tokens,
        split=bool(randint(0, 1)),
    )
    angles = torch.rand(2, tokens, head_dim // 2, generator=rng) * 2 * math.pi
    width = heads * head_dim
    tensors = {
        **{name: randn(tokens, width) for name in ("q", "k", "v")},
        **{name: 1 + 0.2 * randn(width) for name in ("weight_q", "weight_k")},
        "cache": randn(2, capacity + slots * tokens, heads, head_dim),
        "table": torch.stack([angles.cos(), angles.sin()], dim=-1),
    }
    return tensors, state


def replay(tensors, state, *, descriptor=None, with_queries=True):
    """(q_local, q_context, out, cache) of the kernels."""
    cache = tensors["cache"].clone()
    k = tensors["k"]
    heads, head_dim = cache.shape[2:]
    q_local, q_context, out = (torch.full((len(k), heads, head_dim), 7.0, dtype=k.dtype) for _ in range(3))
    addresses = torch.tensor([part.data_ptr() for part in cache] if descriptor is None else descriptor)
    common = {
        "descriptor": addresses.data_ptr(),
        "state": (rows := state.tensor()).data_ptr(),
        "num_tokens": len(k),
        "num_heads": heads,
        "head_dim": head_dim,
        "element": ELEMENTS[k.dtype],
        "stream": 0,
    }
    inputs = {name: tensors[name].data_ptr() for name in ("q", "k", "v", "weight_q", "weight_k", "table")}
    outputs = {"q_local": q_local.data_ptr(), "q_context": q_context.data_ptr()}
    absent = {} if with_queries else {"q": 0, "q_local": 0}
    assert _native.replay_rope_cache_write(**inputs | outputs | common | absent, eps=EPS) == 0
    assert _native.replay_cache_attention(**outputs, out=out.data_ptr(), scale=head_dim**-0.5, **common) == 0
    assert torch.equal(rows, state.tensor())
    return q_local, q_context, out, cache


def plain(tensors, state, dtype):
    cast = {name: tensor if name == "table" else tensor.to(dtype) for name, tensor in tensors.items()}
    cache = cast.pop("cache").clone()
    q_local, q_context = reference.rope_cache_write(**cast, cache=cache, state=state, eps=EPS)
    out = reference.cache_attention(q_local, q_context, cache, state, cache.shape[-1] ** -0.5)
    return q_local, q_context, out, cache


@pytest.mark.parametrize("dtype", ELEMENTS, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_replayed_kernels_equal_the_plain_ops(seed, dtype):
    tensors, state = random_call(seed, dtype)
    got, want = replay(tensors, state), plain(tensors, state, dtype)
    step = torch.finfo(dtype).eps
    for name, one, other in zip(("q_local", "q_context", "out", "cache"), got, want, strict=True):
        if name == "q_context" and not state.split:
            assert (one == 7.0).all(), "written although nothing reads it"
            continue
        # One rounding apart at most: sums have another order.
        torch.testing.assert_close(one.float(), other.float(), rtol=8 * step, atol=8 * step, msg=name)


@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_rows_that_do_not_count_are_not_read(head_dim):
    tensors, state = random_call(3, torch.float32, head_dim)
    valid = torch.zeros(tensors["cache"].shape[1], dtype=torch.bool)
    valid[: state.context_tok] = True
    valid[state.local_start_tok : state.local_start_tok + state.local_tok] = True
    assert not valid.all()
    tensors["cache"][:, ~valid] = float("nan")
    out, cache = replay(tensors, state)[2:]
    assert out.isfinite().all() and cache[:, ~valid].isnan().all()


def test_keys_alone_leave_the_same_cache():
    tensors, state = random_call(5, torch.bfloat16)
    assert torch.equal(replay(tensors, state)[3], replay(tensors, state, with_queries=False)[3])


def test_without_a_cache_only_outputs_are_written():
    tensors, state = random_call(4, torch.float32)
    q_local, _, out, _ = replay(tensors, state, descriptor=[0, 0])
    torch.testing.assert_close(q_local, plain(tensors, state, torch.float32)[0], rtol=1e-5, atol=1e-6)
    assert out.isnan().all()


@pytest.mark.parametrize(
    "change",
    [
        {"write_tok": -1},
        {"write_tok": 10_000},
        {"context_tok": 10_000},
        {"context_tok": -1},
        {"local_tok": 10_000},
        {"local_start_tok": -5},
    ],
    ids=str,
)
def test_rows_outside_the_cache_are_not_touched(change):
    tensors, state = random_call(6, torch.float32)
    odd = CacheState(**{name: getattr(state, name) for name in CacheState.__dataclass_fields__} | change)
    _, _, out, cache = replay(tensors, odd)
    assert out.isnan().all() and torch.equal(cache, tensors["cache"])


def test_sizes_that_the_kernels_do_not_take_are_refused():
    tensors, _ = random_call(7, torch.float32, head_dim=128)
    fine = {"num_tokens": 1, "num_heads": 1, "head_dim": 128, "element": _native.FLOAT32, "stream": 0}
    addresses = dict.fromkeys(("q_local", "q_context", "descriptor", "state", "out"), tensors["k"].data_ptr())
    for wrong in ({"head_dim": 130}, {"head_dim": 7}, {"num_heads": 0}, {"num_tokens": -1}, {"element": 9}):
        assert _native.replay_cache_attention(**addresses, scale=1.0, **fine | wrong) != 0
    with pytest.raises(ValueError, match="null"):
        _native.replay_cache_attention(**addresses | {"state": 0}, scale=1.0, **fine)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_narrow_floats_round_as_torch_does(dtype):
    """Every finite value as a norm weight, then turned: products reach subnormal numbers and infinity."""
    weights = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(dtype)
    weights = weights[weights.isfinite()]
    width = len(weights)
    row, state = (
        torch.ones(1, width, dtype=dtype),
        CacheState(write_tok=0, context_tok=0, local_start_tok=0, local_tok=1),
    )
    tensors = {"q": row, "k": row, "v": row, "weight_q": weights, "weight_k": weights}
    tensors["table"] = torch.tensor([1.3, 0.6]).expand(2, 1, width // 2, 2).contiguous()
    q_local = torch.zeros(1, 1, width, dtype=dtype)
    nowhere = torch.zeros(2, dtype=torch.int64)
    rows = state.tensor()
    _native.replay_rope_cache_write(
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
        q_local=q_local.data_ptr(), q_context=q_local.data_ptr(), descriptor=nowhere.data_ptr(), state=rows.data_ptr(),
        num_tokens=1, num_heads=1, head_dim=width, eps=EPS, element=ELEMENTS[dtype], stream=0,
    )  # fmt: skip
    cache = torch.zeros(2, 1, 1, width, dtype=dtype)
    want, _ = reference.rope_cache_write(**tensors, cache=cache, state=state, eps=EPS)
    assert want.isinf().any() and (want.abs().float() < torch.finfo(dtype).tiny).sum() > 100
    torch.testing.assert_close(q_local, want, rtol=0, atol=0, equal_nan=True)


def compiler():
    """nvcc of the machine or of NVIDIA's packages for Python, or None."""
    wheels = [Path(folder) / "nvidia" / "cu13" / "bin" for folder in sys.path]
    return shutil.which("nvcc", path=os.pathsep.join(map(str, [os.environ.get("PATH", ""), *wheels])))


@pytest.mark.skipif(compiler() is None, reason="nvcc is not installed: the kernels were not compiled")
@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
def test_kernels_compile_without_spills(target, tmp_path):
    command = [compiler(), "-std=c++17", "-O3", "-cubin", f"-arch={target}", "-Xptxas", "-v"]
    command += ["-I", str(CUDA_SOURCES / "include"), str(CUDA_SOURCES / "cuda" / "launch.cu"), "-o", "kernels.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills == [("0", "0")] * 12, done.stderr
    assert "warning" not in done.stderr
