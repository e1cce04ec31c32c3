"""Weights of a graph under the names of the bundle."""

import copy

import onnx
import pytest
import torch
from onnx import numpy_helper

from shotstream.errors import ConfigError
from shotstream.export.runners import RuntimeGraph
from shotstream.export.weight_names import refit_weights


def test_every_matrix_of_the_step_has_its_name(graphs, dit):
    model = onnx.load(graphs("native") / "step.onnx")
    stored = {one.name: one for one in model.graph.initializer}
    matrices = {name: value for name, value in dit.named_parameters() if value.dim() == 2 and "blocks" in name}
    used = {
        name: value for name, value in matrices.items() if not name.split("cross_attn.")[-1].startswith(("k.", "v."))
    }
    assert len(used) >= 8 * dit.config.num_layers
    weights = refit_weights(list(stored), used)
    for name, value in weights.items():
        assert torch.equal(torch.from_numpy(numpy_helper.to_array(stored[name]).copy()), value), name


def test_a_graph_with_other_weights_computes_as_the_network_with_them(graphs, dit, tmp_path):
    """What refitting an engine does, done to the file."""
    other = copy.deepcopy(dit)
    weight = other.blocks[0].cross_attn.v.weight
    weight.mul_(2)
    model = onnx.load(graphs("native") / "captions.onnx")
    weights = refit_weights([one.name for one in model.graph.initializer], {"blocks.0.cross_attn.v.weight": weight})
    for one in model.graph.initializer:
        if one.name in weights:
            one.CopyFrom(numpy_helper.from_array(weights[one.name].numpy(), one.name))
    onnx.save(model, tmp_path / "captions.onnx")
    text = torch.randn(1, dit.config.text_len, dit.config.text_dim)
    got = RuntimeGraph(tmp_path / "captions.onnx")({"text": text})
    want, before = (network.encode_captions(text).layers[0][1] for network in (other, dit))
    torch.testing.assert_close(got[1], want)
    assert not torch.allclose(got[1], before, atol=1e-3)


def test_an_unknown_weight_is_named():
    with pytest.raises(ConfigError, match=r"no weight 'blocks\.9\.q'"):
        refit_weights(["dit.blocks.0.q.T"], {"blocks.9.q": torch.zeros(1, 1)})
