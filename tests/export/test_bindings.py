"""Where an engine's tensors lie, and which profile takes them."""

import dataclasses

import pytest
import torch

from shotstream.engine.bindings import EngineInfo, TensorInfo, cache_pairs, choose_profile, describe_engine
from shotstream.errors import ConfigError
from shotstream.export.step import pass_profiles
from tests.export import stand_in


def tensor(name, shape, *, ranges=(), same_as="", is_input=True):
    return TensorInfo(
        name=name, is_input=is_input, dtype=torch.float32, shape=shape, ranges=tuple(ranges), same_as=same_as
    )


def engine(*, same_as="cache_k_0", written=(1, 2, 8, 4)):
    block, context = ((1, 3), (1, 3)), ((1, 6), (1, 6))
    return EngineInfo(
        inputs={
            "rows": tensor("rows", (1, -1), ranges=[block, context]),
            "cache_k_0": tensor("cache_k_0", (1, 2, 8, 4), ranges=[((1, 2, 8, 4),) * 2] * 2),
        },
        outputs={
            "velocity": tensor("velocity", (1, -1), is_input=False),
            "written_k_0": tensor("written_k_0", written, same_as=same_as, is_input=False),
        },
        num_profiles=2,
    )


def test_the_description_of_a_real_graph(graphs, dit, spec):
    path = graphs("native") / "step.onnx"
    info = describe_engine(stand_in.trt, stand_in.Engine(path, pass_profiles(dit.config, spec)))
    assert info.num_profiles == 2
    assert info.inputs["write_row"].dtype == torch.int64
    assert info.inputs["latent"].ranges[0][0][1] == spec.block_lat
    assert info.inputs["latent"].ranges[1][0][1] == spec.context_lat
    assert cache_pairs(info) == {
        f"written_{kind}_{layer}": f"cache_{kind}_{layer}" for layer in range(dit.config.num_layers) for kind in "kv"
    }


def test_a_number_type_without_counterpart_is_named(graphs, monkeypatch):
    other = stand_in.Engine(graphs("native") / "slide.onnx")
    monkeypatch.setattr(other, "get_tensor_dtype", lambda name: type("Kind", (), {"name": "FP4"}))
    with pytest.raises(ConfigError, match="FP4"):
        describe_engine(stand_in.trt, other)


def test_caches_are_bound_in_place():
    assert cache_pairs(engine()) == {"written_k_0": "cache_k_0"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"same_as": ""}, "would copy the cache"),
        ({"same_as": "rows"}, "would copy the cache"),
        ({"written": (1, 2, 9, 4)}, "no cache_k_0 of that shape"),
    ],
)
def test_an_engine_that_copies_its_cache_is_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        cache_pairs(engine(**changed))


def test_each_pass_finds_its_profile():
    cache = (1, 2, 8, 4)
    assert choose_profile(engine(), {"rows": (1, 3), "cache_k_0": cache}) == 0
    assert choose_profile(engine(), {"rows": (1, 6), "cache_k_0": cache}) == 1


@pytest.mark.parametrize("rows", [(1, 4), (1, 7), (1,), (1, 3, 1)])
def test_a_shape_without_profile_is_named_with_what_fits(rows):
    with pytest.raises(ConfigError, match=r"rows .*profile 1: \[1, 6\] to \[1, 6\]"):
        choose_profile(engine(), {"rows": rows, "cache_k_0": (1, 2, 8, 4)})


def test_a_missing_input_is_named():
    info = dataclasses.replace(engine(), inputs=engine().inputs | {"sin": tensor("sin", (1,))})
    with pytest.raises(ConfigError, match="'sin' that was not given"):
        choose_profile(info, {"rows": (1, 3), "cache_k_0": (1, 2, 8, 4)})
