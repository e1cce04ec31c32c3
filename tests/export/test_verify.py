"""The procedure of ``shotstream verify``, over programs that run here; with TensorRT it was not run."""

import json

import pytest
import torch
from typer.testing import CliRunner

from shotstream.cli.app import app
from shotstream.engine import verify as procedure
from shotstream.errors import DeviceError, ShotstreamError
from shotstream.export.runners import EvaluatorGraph, RuntimeGraph
from tests.micro import micro_dit, micro_spec

LAYERS = {
    "Layers": [
        {"Name": "__myl_Fc_12", "LayerType": "gemm"},
        {"Name": "Reformatting CopyNode for Input Tensor 0", "LayerType": "Reformat"},
        {"Name": "__myl_Softmax_3", "LayerType": "kgen"},
    ]
}


class Hosts:
    """Runs the native graphs in ONNX Runtime and those with plugins in ONNX's evaluator."""

    name, device, wrong = "hosts", torch.device("cpu"), 0.0

    def open(self, path, flavour, profiles):
        if path.stem != "step":
            return RuntimeGraph(path)
        graph = (RuntimeGraph if flavour == "native" else EvaluatorGraph)(path)
        return lambda inputs: [one + self.wrong if number == 0 else one for number, one in enumerate(graph(inputs))]

    def layers(self, graph):
        return json.dumps(LAYERS)

    def wait(self):
        pass


@pytest.fixture
def run(tmp_path, graphs, monkeypatch):
    """The procedure over graphs that are written already."""
    monkeypatch.setattr(procedure, "write_dit", lambda dit, spec, flavour, to: to.symlink_to(graphs(flavour)))

    def run(executor):
        return procedure.verify(executor, tmp_path, dit=micro_dit(), spec=micro_spec(), dtype=torch.float32)

    return run


def test_both_flavours_are_compared_and_timed(run):
    report = run(Hosts())
    assert report.equal and [one.flavour for one in report.flavours] == ["native", "plugin"]
    for one in report.flavours:
        assert 0 < one.relative_error < 1e-4 and one.block_ms > 0
        assert one.reformats == ("Reformatting CopyNode for Input Tensor 0",)
        assert one.unfused == ("__myl_Softmax_3",)


def test_a_wrong_engine_is_noticed(run, monkeypatch):
    monkeypatch.setattr(Hosts, "wrong", 0.05)
    assert not run(Hosts()).equal


@pytest.mark.parametrize("described", ["", "{}", '{"Layers": []}'])
def test_an_engine_may_have_nothing_to_tell(described):
    assert procedure.notable_layers(described) == ((), ())


def test_layers_may_be_names_alone():
    described = '{"Layers": ["reformat_1", "gemm"]}'
    assert procedure.notable_layers(described) == (("reformat_1",), ())


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx"])
def test_without_a_gpu_the_command_says_what_is_missing(target):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = CliRunner().invoke(app, ["verify", target, "--json"])
    assert isinstance(result.exception, DeviceError) and isinstance(result.exception, ShotstreamError)
    assert any(word in str(result.exception) for word in ("pip install", "NVIDIA GPU"))


def test_the_small_student_is_one_that_gpus_have_kernels_for():
    dit, spec = procedure.small_student()
    assert dit.config.head_dim == 128 and spec.window_lat // spec.block_lat == procedure.NUM_BLOCKS
