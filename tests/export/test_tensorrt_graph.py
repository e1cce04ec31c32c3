"""How engines of TensorRT are driven: over a stand-in of its runtime, and its names against the real bindings."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from shotstream.engine import bindings, cuda_stream, tensorrt_graph
from shotstream.engine.cuda_stream import CudaStream
from shotstream.engine.graph_engine import StudentGraphs, open_graph_engine
from shotstream.engine.tensorrt_graph import MAX_RECORDINGS, TensorRTGraph, check_refit, refit
from shotstream.errors import ConfigError, DeviceError
from shotstream.export import plan
from shotstream.export.step import pass_profiles
from shotstream.model.schedule import Schedule
from tests.export import stand_in
from tests.export.test_graph_engine import film_of
from tests.micro import HashText, micro_bundle, micro_codec, micro_engine

CPU = torch.device("cpu")


@pytest.fixture
def step_graph(graphs, dit, spec):
    """Makes the step's engine over the stand-in, and its stream."""

    def make(captured):
        stream = stand_in.StandInStream()
        loaded = stand_in.loaded(graphs("native") / "step.onnx", pass_profiles(dit.config, spec))
        return TensorRTGraph(loaded, device=CPU, stream=stream, captured=captured, name="step"), loaded.engine, stream

    return make


@pytest.mark.parametrize("captured", [(), (0,)], ids=["direct", "captured"])
def test_a_film_through_bound_engines_equals_that_of_the_networks(captured, step_graph, graphs, dit, spec):
    step, engine, stream = step_graph(captured)
    bundle, folder = micro_bundle(spec), graphs("native")
    text = [(n, dit.config.text_len, dit.config.text_dim) for n in (1, 1, spec.context_lat)]
    captions = stand_in.loaded(folder / "captions.onnx", [{"text": tuple(text)}])
    slide = stand_in.loaded(folder / "slide.onnx")
    needed = (0.0, *(one.timestep for one in Schedule(bundle.schedule).steps))
    student = StudentGraphs(
        step=step,
        captions=TensorRTGraph(captions, device=CPU, stream=stream),
        slide=TensorRTGraph(slide, device=CPU, stream=stream),
        times={t: dit.encode_time(torch.full((1, 1), t)) for t in needed},
    )
    made = open_graph_engine(bundle, student, codec=micro_codec(), text_encoder=HashText(), device=CPU)
    want, got = film_of(micro_engine()), film_of(made)
    assert np.abs(want - got).max() <= 1
    assert {context.profile for context in engine.contexts} == {0, 1}
    assert stream.captures == (1 if captured else 0), "one CUDA graph for all blocks of all shots"


def inputs_of(graph, spec, *, seed=0, num_lat=None):
    generator = torch.Generator().manual_seed(seed)
    profile = 0 if num_lat in (None, spec.block_lat) else 1
    inputs = {}
    for name, info in graph.info.inputs.items():
        shape = info.ranges[profile][0]
        if info.dtype == torch.int64:
            inputs[name] = torch.full(shape, 30 if name == "valid_rows" else 0)
        else:
            inputs[name] = torch.randn(shape, generator=generator, dtype=info.dtype)
    return inputs


def test_outputs_belong_to_the_caller_and_caches_stay_where_they_lie(step_graph, spec):
    graph, _, _ = step_graph((0,))
    inputs = inputs_of(graph, spec)
    first = dict(zip(graph.info.outputs, graph(inputs), strict=True))
    assert first["written_k_0"] is inputs["cache_k_0"]
    kept = first["velocity"].clone()
    graph({**inputs, "latent": inputs["latent"] + 1})
    torch.testing.assert_close(first["velocity"], kept, rtol=0, atol=0)


def test_a_replay_sees_new_inputs_and_a_new_caption(step_graph, spec):
    graph, _, stream = step_graph((0,))
    direct, _, _ = step_graph(())
    inputs = inputs_of(graph, spec)
    graph(inputs)
    others = inputs_of(graph, spec, seed=1)
    changed = {name: others[name] if not name.startswith("cache") else inputs[name] for name in inputs}
    want = direct({name: value.clone() for name, value in changed.items()})[0]
    torch.testing.assert_close(graph(changed)[0], want, rtol=0, atol=0)
    assert stream.captures == 1


def test_recordings_are_few(step_graph, spec):
    graph, _, stream = step_graph((0,))
    kept = []
    for _ in range(MAX_RECORDINGS + 1):
        kept.append(inputs_of(graph, spec))
        graph(kept[-1])
    graph(kept[-1])
    assert stream.captures == MAX_RECORDINGS + 1
    graph(kept[0])
    assert stream.captures == MAX_RECORDINGS + 2, "the oldest was given up"


def test_a_failing_pass_says_what_the_log_says(step_graph, spec):
    graph, engine, _ = step_graph(())
    inputs = inputs_of(graph, spec)
    graph(inputs)
    engine.contexts[0].fails = True
    with pytest.raises(DeviceError, match=r"step: .*it broke"):
        graph(inputs)


def test_a_cache_in_pieces_is_refused(step_graph, spec):
    graph, _, _ = step_graph(())
    inputs = inputs_of(graph, spec)
    inputs["cache_k_0"] = inputs["cache_k_0"].transpose(2, 3).contiguous().transpose(2, 3)
    with pytest.raises(ConfigError, match="in one piece"):
        graph(inputs)


def test_an_engine_that_reads_on_the_host_is_not_captured(graphs):
    loaded = stand_in.loaded(graphs("native") / "slide.onnx")
    loaded.engine.host = {"cos"}
    with pytest.raises(ConfigError, match="cos on the CPU"):
        TensorRTGraph(loaded, device=CPU, stream=stand_in.StandInStream(), captured=(0,))


def test_no_stream_without_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="shotstream doctor"):
        CudaStream(CPU)


class Refitter:
    """Stands for the real one; a weight named "pair.*" was merged with its partner."""

    def __init__(self, engine, log):
        self.engine, self.set = engine, {}

    def get_all_weights(self):
        return list(self.engine.weights)

    def get_weights_prototype(self, name):
        weight = self.engine.weights[name]
        return type("Weights", (), {"dtype": stand_in.DataType.FLOAT, "size": weight.numel()})

    def set_named_weights(self, name, weights):
        self.set[name] = weights
        return True

    def get_missing_weights(self):
        merged = {"pair.b", "pair.c"}
        return sorted(merged - set(self.set)) if merged & set(self.set) else []

    def refit_cuda_engine(self):
        for name, (_, address, count) in self.set.items():
            self.engine.weights[name] = torch.from_numpy(stand_in.at(address, (count,), np.float32).copy())
        return True


@pytest.fixture
def refittable(monkeypatch):
    monkeypatch.setattr(stand_in.trt, "Refitter", Refitter, raising=False)
    monkeypatch.setattr(stand_in.trt, "Weights", lambda *given: given, raising=False)
    weights = {"a": torch.zeros(3), "pair.b": torch.zeros(2), "pair.c": torch.zeros(2)}
    engine = type("Engine", (), {"refittable": True, "weights": weights})()
    log = type("Log", (), {"errors": []})
    return tensorrt_graph.LoadedEngine(trt=stand_in.trt, engine=engine, runtime=None, log=log)


def test_weights_are_refitted(refittable):
    new = {"pair.b": torch.ones(2), "pair.c": torch.full((2,), 2.0)}
    refit(refittable, new)
    assert torch.equal(refittable.engine.weights["pair.c"], new["pair.c"])
    assert not refittable.engine.weights["a"].any()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"z": torch.zeros(1)}, "'z' among the 3"),
        ({"a": torch.zeros(4)}, r"a holds 4 x torch\.float32, the engine wants 3"),
        ({"a": torch.zeros(3, dtype=torch.float16)}, r"a holds 3 x torch\.float16"),
        ({"pair.b": torch.zeros(2)}, r"merged with what you changed"),
    ],
)
def test_weights_that_do_not_fit_are_named(refittable, weights, message):
    with pytest.raises(ConfigError, match=message):
        refit(refittable, weights)


def test_an_engine_that_keeps_its_weights_says_so(refittable):
    refittable.engine.refittable = False
    with pytest.raises(ConfigError, match="build it with refit"):
        refit(refittable, {"a": torch.ones(3)})


def test_known_names_pass():
    check_refit(["a", "b"], ["b"], "plan")


CALLS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "inspector": "EngineInspector",
    "self._loaded.trt": None,
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "refitter": "Refitter",
    "runtime": "Runtime",
    "self._loaded.engine": "ICudaEngine",
    "self._context(profile)": "IExecutionContext",
}


def used_names():
    """(class of the bindings, member) for every call of TensorRT in our source; (None, member) for the module."""
    found = set()
    for module in (bindings, tensorrt_graph, plan):
        source = Path(inspect.getsourcefile(module)).read_text(encoding="utf-8")
        for variable, kind in CALLS.items():
            found |= {(kind, name) for name in re.findall(rf"(?<![\w.`]){re.escape(variable)}\.(\w+)", source)}
        found |= {(None, name) for name in re.findall(r"(?<![\w.])trt\.([\w.]+)", source)}
    return sorted(found, key=str)


def test_every_name_of_tensorrt_exists_in_its_bindings():
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    names = used_names()
    assert len(names) > 40
    for kind, name in names:
        owner = trt if kind is None else getattr(trt, kind)
        for part in name.split("."):
            assert hasattr(owner, part), f"{kind or 'trt'}.{name}"
            owner = getattr(owner, part)


def test_every_name_of_cuda_exists_in_its_bindings():
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    source = Path(inspect.getsourcefile(cuda_stream)).read_text(encoding="utf-8")
    names = re.findall(r"cuda\.(cuda[\w.]+)", source)
    assert len(names) >= 6
    for name in names:
        owner = runtime
        for part in name.split("."):
            owner = getattr(owner, part)


def test_cuda_without_a_driver_is_an_error_of_ours():
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match=r"cudaErrorInsufficientDriver|cudaErrorNoDevice"):
        cuda_stream._check(runtime.cudaGetDeviceCount())
