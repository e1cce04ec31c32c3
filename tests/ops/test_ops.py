"""Every implementation of an op against its plain version, over odd sizes and random cache states."""

import numpy as np
import pytest
import torch

from shotstream import _native, ops
from shotstream.ops import CacheState, reference

EPS = 1e-6


def _case(seed: int) -> tuple[dict[str, torch.Tensor], CacheState, int]:
    """A random call: sizes, cache contents and addressing all vary with the seed."""
    g = torch.Generator().manual_seed(seed)
    pick = lambda *choices: choices[int(torch.randint(len(choices), (1,), generator=g))]  # noqa: E731
    tokens, heads, head_dim = pick(1, 3, 12, 35), pick(1, 2, 5), pick(6, 24, 64)
    context, slots = pick(0, 7, 20), pick(1, 2, 3)
    filled = int(torch.randint(1, slots + 1, (1,), generator=g))
    split = bool(context) and pick(False, True)
    state = CacheState(
        write_tok=context + (filled - 1) * tokens,
        context_tok=context,
        local_start_tok=context,
        local_tok=filled * tokens,
        split=split,
    )
    randn = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    width = heads * head_dim
    angles = randn(2 if split else 1, tokens, head_dim // 2) * 3
    tensors = {
        "q": randn(tokens, width) * 4,
        "k": randn(tokens, width) * 0.1,
        "v": randn(tokens, width),
        "weight_q": randn(width),
        "weight_k": randn(width),
        "cache": randn(2, context + slots * tokens, heads, head_dim),
        "table": torch.stack([angles.cos(), angles.sin()], -1),
    }
    return tensors, state, filled * tokens + context


def _run(tensors: dict[str, torch.Tensor], state: CacheState) -> tuple[torch.Tensor, torch.Tensor]:
    """(attention output, cache) through the registered ops."""
    cache = tensors["cache"].clone()
    rest = {name: tensor for name, tensor in tensors.items() if name != "cache"}
    queries = ops.rope_cache_write(**rest, cache=cache, state=state.tensor(), eps=EPS)
    return ops.cache_attention(*queries, cache, state.tensor(), tensors["table"].shape[2] ** -0.5), cache


def _run_reference(tensors: dict[str, torch.Tensor], state: CacheState) -> tuple[torch.Tensor, torch.Tensor]:
    wide = {name: tensor.double() for name, tensor in tensors.items()}
    cache = wide.pop("cache").clone()
    queries = reference.rope_cache_write(**wide, cache=cache, state=state, eps=EPS)
    return reference.cache_attention(*queries, cache, state, wide["table"].shape[2] ** -0.5), cache


@pytest.mark.parametrize("seed", range(24))
def test_ops_agree_with_the_plain_version(seed: int) -> None:
    tensors, state, _ = _case(seed)
    out, cache = _run(tensors, state)
    want, want_cache = _run_reference(tensors, state)
    torch.testing.assert_close(cache.double(), want_cache, rtol=2e-5, atol=2e-6)
    torch.testing.assert_close(out.double(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_rows_outside_the_valid_range_are_never_read(seed: int) -> None:
    tensors, state, valid = _case(seed)
    tensors["cache"][:, valid:] = float("nan")
    out, cache = _run(tensors, state)
    assert torch.isfinite(out).all()
    assert torch.isnan(cache[:, valid:]).all(), "rows after the written block must stay as they were"


@pytest.mark.parametrize("seed", range(8))
def test_native_and_plain_cache_write_agree(seed: int) -> None:
    tensors, state, _ = _case(seed)
    native_cache, plain_cache = tensors["cache"].clone(), tensors["cache"].clone()
    rest = {name: tensor for name, tensor in tensors.items() if name != "cache"}
    native = ops.rope_cache_write(**rest, cache=native_cache, state=state.tensor(), eps=EPS)
    plain = reference.rope_cache_write(**rest, cache=plain_cache, state=state, eps=EPS)
    torch.testing.assert_close(native_cache, plain_cache, rtol=1e-5, atol=1e-6)
    for got, want in zip(native, plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=2e-6)


def test_keys_only_write_leaves_the_same_cache() -> None:
    tensors, state, _ = _case(3)
    with_query, without = tensors["cache"].clone(), tensors["cache"].clone()
    rest = {name: tensor for name, tensor in tensors.items() if name not in ("cache", "q")}
    ops.rope_cache_write(tensors["q"], **rest, cache=with_query, state=state.tensor(), eps=EPS)
    ops.rope_cache_write(None, **rest, cache=without, state=state.tensor(), eps=EPS)
    assert torch.equal(with_query, without)


def test_bfloat16_takes_the_plain_path_with_bounded_error() -> None:
    tensors, state, _ = _case(5)
    narrow = {name: t.bfloat16() if name != "table" else t for name, t in tensors.items()}
    out, _ = _run(narrow, state)
    want, _ = _run_reference(narrow, state)
    assert (out.double() - want).square().mean().sqrt() < 0.02 * want.square().mean().sqrt()


def test_ops_pass_torchs_own_schema_and_fake_checks() -> None:
    tensors, state, _ = _case(7)
    rest = {name: tensor for name, tensor in tensors.items() if name != "cache"}
    arguments = (*[rest[n] for n in ("q", "k", "v", "weight_q", "weight_k")], tensors["cache"], rest["table"])
    torch.library.opcheck(
        torch.ops.shotstream.rope_cache_write.default,
        (*arguments, state.tensor(), EPS),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_packed_bytes_equal_the_plain_version() -> None:
    g = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, 17, 23, generator=g)
    pixels[0, 0, 0, :6] = torch.tensor([-1.0, 1.0, 0.0, -1.5, 1.5, float("inf")])
    assert np.array_equal(ops.images_from_pixels(pixels), reference.images_from_pixels(pixels))
    assert ops.images_from_pixels(pixels[:0]).shape == (0, 17, 23, 3)


def test_every_byte_value_survives_the_way_through_floats() -> None:
    values = (torch.arange(256).float() + 0.5) / 255 * 2 - 1
    values = values.clamp(-1, 1).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert np.array_equal(ops.images_from_pixels(values)[0, ..., 0].ravel(), np.arange(256))


def test_native_module_refuses_what_would_crash() -> None:
    with pytest.raises(ValueError, match="null"):
        _native.pack_rgb8_f32(planes=0, rgb=0, num_frames=1, num_pixels=1)
    with pytest.raises(ValueError, match="even"):
        _native.rope_cache_write_f32(
            q=0, k=1, v=1, weight_q=1, weight_k=1, cache_k=1, cache_v=1, table=1, q_local=0, q_context=0,
            num_tokens=1, num_heads=1, head_dim=3, eps=EPS,
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(q=t["q"][:-1]),
        lambda t: t.update(v=t["v"][:, :-2].contiguous()),
        lambda t: t.update(k=torch.cat([t["k"], t["k"]])),
        lambda t: t.update(weight_k=t["weight_k"][:-1]),
        lambda t: t.update(table=t["table"][:, :-1].contiguous()),
        lambda t: t.update(table=t["table"][:1]),
        lambda t: t.update(cache=t["cache"][:1]),
        lambda t: t.update(cache=t["cache"][:, :-1].contiguous()),
    ],
)
def test_sizes_that_would_leave_a_tensor_are_refused(change) -> None:
    """Before any kernel sees an address."""
    heads, head_dim, tokens, context = 2, 8, 3, 4
    tensors = {name: torch.zeros(tokens, heads * head_dim) for name in "qkv"}
    tensors.update(weight_q=torch.ones(heads * head_dim), weight_k=torch.ones(heads * head_dim))
    tensors.update(
        cache=torch.zeros(2, context + tokens, heads, head_dim), table=torch.zeros(2, tokens, head_dim // 2, 2)
    )
    state = CacheState(write_tok=context, context_tok=context, local_start_tok=context, local_tok=tokens, split=True)
    ops.rope_cache_write(**tensors, state=state.tensor(), eps=EPS)
    change(tensors)
    with pytest.raises(ValueError, match=r"do not fit|outside the cache"):
        ops.rope_cache_write(**tensors, state=state.tensor(), eps=EPS)


@pytest.mark.parametrize("seed", range(24))
def test_without_a_fused_kernel_the_plain_version_serves(seed: int, monkeypatch) -> None:
    tensors, state, _ = _case(seed)
    with_kernel = _run(tensors, state)[0]
    monkeypatch.setattr(ops, "_gives_lse", lambda q: False)
    torch.testing.assert_close(_run(tensors, state)[0], with_kernel, rtol=1e-4, atol=1e-5)
