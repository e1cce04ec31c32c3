"""Engines of TensorRT for RTX are really built here; running them needs a GPU."""

import pytest

from shotstream.errors import ConfigError
from shotstream.export import rtx
from shotstream.export.step import pass_profiles

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")


@pytest.mark.parametrize("target", ["SM89", "SM120"])
def test_every_graph_is_built(target, graphs, dit, spec):
    folder = graphs("native")
    step = rtx.build_engine(folder / "step.onnx", pass_profiles(dit.config, spec), target)
    assert len(step.plan) > 10_000 and step.num_layers > 100
    assert rtx.build_engine(folder / "slide.onnx", [], target).plan
    text = [(n, dit.config.text_len, dit.config.text_dim) for n in (1, 1, spec.context_lat)]
    assert rtx.build_engine(folder / "captions.onnx", [{"text": tuple(text)}], target).plan


def test_an_engine_that_would_see_stale_rows_is_refused(graphs, dit, spec, monkeypatch):
    monkeypatch.setattr(rtx, "set_key_lengths", lambda trt, network: decompose_only(trt, network))
    with pytest.raises(ConfigError, match=r"ignore an input.*valid_rows"):
        rtx.build_engine(graphs("native") / "step.onnx", pass_profiles(dit.config, spec), "SM89")


def decompose_only(trt, network):
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True


def test_what_cannot_be_built_is_said(graphs, tmp_path):
    with pytest.raises(ConfigError, match="SM99"):
        rtx.build_engine(graphs("native") / "slide.onnx", [], "SM99")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigError, match="cannot read it"):
        rtx.build_engine(tmp_path / "broken.onnx", [], "SM89")


def test_plugin_graphs_are_not_for_this_builder(graphs, dit, spec):
    with pytest.raises(ConfigError, match="RopeCacheWrite"):
        rtx.build_engine(graphs("plugin") / "step.onnx", [], "SM89")
