"""What TensorRT says about a plan it does not take, and what the user reads."""

import pytest

from shotstream.engine.plan_errors import explain_failure, names_of_flags
from shotstream.engine.tensorrt_graph import load_engine, load_tensorrt
from shotstream.errors import CapacityError, DeviceError, WeightsError
from shotstream.export import rtx


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        ("The engine plan file is not compatible with this version of TensorRT, expecting library version 11.4.0 got "
         "10.15.1, please rebuild.", DeviceError, "another version of TensorRT"),
        ("VERSION_MISMATCH", DeviceError, "another version of TensorRT"),
        ("The engine plan file is generated on an incompatible device, expecting compute 9.0 got compute 8.9",
         DeviceError, "another kind of GPU"),
        ("UNSUPPORTED_CC", DeviceError, "another kind of GPU"),
        ("Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed", WeightsError, "damaged"),
        ("MALFORMED_ENGINE", WeightsError, "damaged"),
        ("Could not find plugin: RopeCacheWrite, version: 1, namespace: shotstream", DeviceError, "libshotstream_trt"),
        ("catchCudaError (cudaError 35: CUDA driver version is insufficient for CUDA runtime version)", DeviceError,
         "driver"),
        ("Cuda Runtime (out of memory)", CapacityError, "free memory"),
        ("something new", DeviceError, "something new"),
    ],
)  # fmt: skip
def test_the_reason_decides_the_error(said, kind, remedy):
    error = explain_failure([said], "step.plan")
    assert type(error) is kind
    assert str(error).startswith("step.plan") and remedy in str(error)


def test_silence_is_explained_too():
    assert "no reason given" in str(explain_failure([], "step.plan"))


def test_flags_have_names():
    assert names_of_flags(5, [("ONE", 1), ("TWO", 2), ("FOUR", 4)]) == ["ONE", "FOUR"]


@pytest.fixture
def trt():
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    return load_tensorrt("tensorrt-rtx")


def test_the_real_runtime_calls_rubbish_damaged(trt):
    with pytest.raises(WeightsError, match=r"step\.plan: it is damaged"):
        load_engine(trt, b"no plan at all" * 20, "step.plan")


def test_the_real_runtime_misses_a_gpu(trt, graphs, dit, spec):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    plan = rtx.build_engine(graphs("native") / "slide.onnx", [], "SM89").plan
    with pytest.raises(DeviceError, match=r"slide\.plan: .*driver"):
        load_engine(trt, plan, "slide.plan")


def test_without_the_package_the_command_is_named(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(DeviceError, match="pip install tensorrt-cu13"):
        load_tensorrt("tensorrt")
    with pytest.raises(DeviceError, match="pip install tensorrt-rtx"):
        load_tensorrt("tensorrt-rtx")
