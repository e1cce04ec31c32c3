"""The Python plugins against TensorRT's real Python bindings, whose shared libraries are replaced by empty ones.

So names, base classes, signatures and enums are the vendor's; no engine is built, and nothing runs on a GPU.
"""

import ctypes
import gc
import importlib
import importlib.util
import inspect
import shutil
import subprocess

import onnx
import pytest
import torch

from shotstream.errors import ConfigError, DeviceError
from shotstream.export import plugins
from shotstream.export.memory import DOMAIN
from shotstream.ops import CacheState, reference

NODES = {"RopeCacheWrite": plugins._RopeCacheWrite, "CacheAttention": plugins._CacheAttention}
EPS = 1e-6

LIBRARY = """
#define NOTHING(name) void* name(void) { return 0; }
NOTHING(createInferBuilder_INTERNAL)
NOTHING(createInferRefitter_INTERNAL)
NOTHING(createInferRuntime_INTERNAL)
NOTHING(createNvOnnxParser_INTERNAL)
NOTHING(createNvOnnxParserRefitter_INTERNAL)
NOTHING(getBuilderPluginRegistry)
NOTHING(getPluginRegistry)
NOTHING(getNvOnnxParserVersion)
NOTHING(initLibNvInferPlugins)
"""


@pytest.fixture(scope="module")
def trt(tmp_path_factory):
    """The bindings, over libraries that answer every question with nothing unless TensorRT's own are there."""
    if importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("tensorrt-cu13-bindings is not installed: the plugins were not compared with TensorRT's bindings")
    if importlib.util.find_spec("tensorrt_libs") is None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler: the plugins were not compared with TensorRT's bindings")
        folder = tmp_path_factory.mktemp("tensorrt")
        (folder / "nothing.c").write_text(LIBRARY)
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            path = folder / f"lib{name}.so.11"
            command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), "nothing.c"]
            subprocess.run(command, check=True, timeout=60, cwd=folder)
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return importlib.import_module("tensorrt_bindings")


@pytest.fixture(scope="module")
def creators(trt):
    return {one.name: one for one in plugins.creators(trt, plugins.host_launchers())}


def fields(trt, creator, **values):
    collection, _owned = plugins._fields(trt, {name: type(value) for name, value in values.items()}, values)
    # TensorRT hands over its own kind of collection, not the list that Python makes.
    return creator.create_plugin("node", trt.PluginFieldCollection_(collection), trt.TensorRTPhase.BUILD)


@pytest.fixture(scope="module")
def rope(trt, creators):
    return fields(trt, creators["RopeCacheWrite"], layer=1, num_heads=2, eps=EPS)


@pytest.fixture(scope="module")
def attention(trt, creators):
    return fields(trt, creators["CacheAttention"], layer=1, num_heads=2)


def test_plugins_are_what_tensorrt_expects(trt, creators, rope, attention):
    for plugin, outputs in ((rope, 2), (attention, 1)):
        for base in (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime):
            assert isinstance(plugin, base)
        for kind in trt.PluginCapabilityType.__members__.values():
            assert plugin.get_capability_interface(kind) is plugin
        assert [one.name for one in creators[plugin.plugin_name].field_names] == list(plugin.FIELDS)
        assert (plugin.plugin_version, plugin.plugin_namespace, plugin.num_outputs) == ("1", DOMAIN, outputs)
        assert plugin.get_workspace_size([], []) == 0 and plugin.get_valid_tactics() == []


def test_every_method_overrides_one_of_the_vendor_with_as_many_arguments(trt, rope):
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)
    own = {name: method for name, method in inspect.getmembers(rope, inspect.ismethod) if name[0] != "_"}
    vendor = {name: getattr(base, name) for base in bases for name in own if hasattr(base, name)}
    assert set(vendor) == set(own) and len(own) == 14
    for name, method in own.items():
        first_line = vendor[name].__doc__.split("->")[0]
        assert len(inspect.signature(method).parameters) == first_line.count(": ") - 1, first_line


def test_a_graph_has_every_field_that_a_plugin_asks_for(trt, creators, graphs):
    nodes = [node for node in onnx.load(graphs("plugin") / "step.onnx").graph.node if node.domain == DOMAIN]
    assert {node.op_type for node in nodes} == set(creators)
    for node in nodes:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        asked = {name: attributes[name] for name in NODES[node.op_type].FIELDS}
        made = fields(trt, creators[node.op_type], **asked)
        assert len(node.output) == made.num_outputs and len(node.input) + len(node.output) == len(made.TYPES)


def test_fields_survive_an_engine_file(trt, creators, rope, attention):
    for name, plugin in (("RopeCacheWrite", rope), ("CacheAttention", attention)):
        stored = trt.PluginFieldCollection_(plugin.get_fields_to_serialize())
        gc.collect()  # TensorRT reads the fields after the call returned
        read = creators[name].create_plugin(name, stored, trt.TensorRTPhase.RUNTIME)
        assert read.values == pytest.approx(plugin.values) and set(read.values) == set(plugin.FIELDS)
        assert isinstance(read.values["layer"], int)


def test_a_clone_is_equal_and_independent(rope):
    for copy in (rope.clone(), rope.attach_to_context(None)):
        assert type(copy) is type(rope) and copy is not rope and copy.values == rope.values
        copy.values["layer"] = 7
        assert rope.values["layer"] == 1
        assert copy.plugin_name == "RopeCacheWrite" and copy.num_outputs == 2


def test_missing_or_wrong_fields_are_named(trt, creators):
    with pytest.raises(ConfigError, match="num_heads, eps"):
        fields(trt, creators["RopeCacheWrite"], layer=0)
    with pytest.raises(ConfigError, match="num_heads >= 1"):
        fields(trt, creators["CacheAttention"], layer=0, num_heads=0)


def described(trt, dims, dtype, layout="LINEAR"):
    desc = trt.PluginTensorDesc()
    desc.dims, desc.type, desc.format = trt.Dims(list(dims)), dtype, getattr(trt.TensorFormat, layout)
    return desc


def dynamic(trt, dtype, layout="LINEAR"):
    desc = trt.DynamicPluginTensorDesc()
    desc.desc = described(trt, (1,), dtype, layout)
    return desc


@pytest.mark.parametrize("name", ["rope", "attention"])
def test_format_combinations(trt, request, name):
    plugin = request.getfixturevalue(name)
    types = trt.DataType
    num_inputs = len(plugin.TYPES) - plugin.num_outputs
    for first in (types.FLOAT, types.HALF, types.BF16):
        right = [dynamic(trt, first if kind is None else getattr(types, kind)) for kind in plugin.TYPES]
        assert all(plugin.supports_format_combination(pos, right, num_inputs) for pos in range(len(right)))
        for pos in range(len(right)):
            for odd in (dynamic(trt, types.FP8), dynamic(trt, right[pos].desc.type, "CHW32")):
                wrong = [*right[:pos], odd, *right[pos + 1 :]]
                assert not plugin.supports_format_combination(pos, wrong, num_inputs)
            if pos and plugin.TYPES[pos] is None:
                other = types.HALF if first == types.FLOAT else types.FLOAT
                mixed = [*right[:pos], dynamic(trt, other), *right[pos + 1 :]]
                assert not plugin.supports_format_combination(pos, mixed, num_inputs)


class Numbers:
    """Stands in for TensorRT's expression builder, which only a network has; numbers are expressions."""

    DimsExprs = list

    def __init__(self, trt):
        self.DimensionOperation = trt.DimensionOperation

    def constant(self, value):
        return value

    def operation(self, kind, one, other):
        assert kind == self.DimensionOperation.FLOOR_DIV
        return one // other


class Unknown:
    """An expression builder that knows nothing."""

    def constant(self, value):
        return None

    def operation(self, kind, one, other):
        return None


def test_output_types_and_shapes(trt, rope, attention, monkeypatch):
    assert {"constant", "operation"} <= set(dir(trt.IExprBuilder))
    assert rope.get_output_data_types([trt.DataType.BF16] * 5) == [trt.DataType.BF16] * 2
    assert attention.get_output_data_types([trt.DataType.HALF] * 2) == [trt.DataType.HALF]
    real = rope.get_output_shapes([(None, None)], [], Unknown()) + attention.get_output_shapes([(None,) * 3], [], None)
    assert [(type(one), len(one)) for one in real] == [(trt.DimsExprs, 3)] * 3
    numbers = Numbers(trt)
    for plugin in (rope, attention):
        monkeypatch.setattr(type(plugin), "trt", numbers)
    assert rope.get_output_shapes([(12, 32)], [], numbers) == [[12, 2, 16]] * 2
    assert attention.get_output_shapes([(12, 2, 16)], [], numbers) == [[12, 2, 16]]


TOKENS, HEADS, HEAD_DIM, CONTEXT, SLOTS = 6, 2, 16, 12, 3


def enqueue(trt, plugin, inputs, outputs):
    names = {torch.float32: "FLOAT", torch.bfloat16: "BF16", torch.int64: "INT64", torch.int32: "INT32"}
    descs = [
        [described(trt, x.shape, getattr(trt.DataType, names[x.dtype])) for x in some] for some in (inputs, outputs)
    ]
    plugin.enqueue(*descs, [x.data_ptr() for x in inputs], [x.data_ptr() for x in outputs], 0, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
def test_a_shot_through_the_plugins_equals_the_plain_ops(trt, rope, attention, dtype, tolerance):
    """A context pass, then blocks until the window has slid twice, on the second of two layers' caches."""
    rng = torch.Generator().manual_seed(11)
    caches = [torch.zeros(2, CONTEXT + SLOTS * TOKENS, HEADS, HEAD_DIM, dtype=dtype) for _ in range(2)]
    descriptor = torch.tensor([[part.data_ptr() for part in cache] for cache in caches])
    plain = caches[1].clone()
    weights = [1 + 0.1 * torch.randn(HEADS * HEAD_DIM, generator=rng).to(dtype) for _ in range(2)]
    states = [CacheState(write_tok=0, context_tok=CONTEXT, local_start_tok=CONTEXT, local_tok=0)]
    for block in range(SLOTS + 2):
        slot, valid = block % SLOTS, min(block + 1, SLOTS)
        states.append(
            CacheState(
                write_tok=CONTEXT + slot * TOKENS,
                context_tok=CONTEXT,
                local_start_tok=CONTEXT,
                local_tok=valid * TOKENS,
                split=block >= SLOTS,
            )
        )
    for number, state in enumerate(states):
        tokens = TOKENS if number else CONTEXT
        q, k, v = (torch.randn(tokens, HEADS * HEAD_DIM, generator=rng).to(dtype) for _ in range(3))
        angles = torch.rand(2, tokens, HEAD_DIM // 2, generator=rng) * 6
        table = torch.stack([angles.cos(), angles.sin()], dim=-1)
        q_local, q_context, out = (torch.zeros(tokens, HEADS, HEAD_DIM, dtype=dtype) for _ in range(3))
        rows = state.tensor()
        enqueue(trt, rope, [q, k, v, *weights, table, descriptor, rows], [q_local, q_context])
        enqueue(trt, attention, [q_local, q_context, descriptor, rows], [out])
        queries = reference.rope_cache_write(q, k, v, *weights, plain, table, state, EPS)
        want = reference.cache_attention(*queries, plain, state, HEAD_DIM**-0.5)
        assert (out.float() - want.float()).norm() <= tolerance * want.float().norm(), f"pass {number}"
        assert (caches[1].float() - plain.float()).norm() <= tolerance * plain.float().norm()
    assert not caches[0].any(), "the other layer's cache was touched"


def test_a_builder_that_measures_has_no_cache(trt, rope, attention):
    q_local, q_context, out = (torch.zeros(TOKENS, HEADS, HEAD_DIM) for _ in range(3))
    flat = [torch.ones(TOKENS, HEADS * HEAD_DIM) for _ in range(3)]
    weights = [torch.ones(HEADS * HEAD_DIM) for _ in range(2)]
    place = [torch.zeros(2, 2, dtype=torch.int64), torch.zeros(5, dtype=torch.int32)]
    enqueue(trt, rope, [*flat, *weights, torch.ones(2, TOKENS, HEAD_DIM // 2, 2), *place], [q_local, q_context])
    enqueue(trt, attention, [q_local, q_context, *place], [out])
    assert q_local.any() and out.isnan().all()


def test_a_launch_that_fails_names_its_layer(trt):
    launchers = plugins.Launchers(rope_cache_write=lambda **_: 0, cache_attention=lambda **_: 98)
    creator = plugins.creators(trt, launchers)[1]
    plugin = fields(trt, creator, layer=1, num_heads=2)
    tensor, place = torch.zeros(TOKENS, HEADS, HEAD_DIM), [torch.zeros(2, 2).long(), torch.zeros(5).int()]
    with pytest.raises(DeviceError, match="CacheAttention of layer 1 was not launched: CUDA error 98"):
        enqueue(trt, plugin, [tensor, tensor, *place], [tensor])


def test_without_kernels_or_registry_there_is_a_remedy(trt, monkeypatch):
    assert {"register_creator", "all_creators"} <= set(dir(trt.IPluginRegistry))
    monkeypatch.setattr(trt, "get_plugin_registry", lambda: None)  # as without TensorRT's libraries
    with pytest.raises(DeviceError, match="no plugin registry"):
        plugins.register(trt, plugins.host_launchers())
    monkeypatch.setattr(plugins._native(), "built_with_cuda", False)
    with pytest.raises(DeviceError, match="SHOTSTREAM_CUDA=ON"):
        plugins.cuda_launchers()


class Registry:
    """TensorRT's registry, as far as it is used."""

    def __init__(self):
        self.all_creators = []

    def register_creator(self, creator, plugin_namespace=""):
        assert plugin_namespace == creator.plugin_namespace == DOMAIN
        self.all_creators.append(creator)
        return True


def test_registering_twice_does_no_harm(trt, monkeypatch):
    registry = Registry()
    monkeypatch.setattr(trt, "get_plugin_registry", lambda: registry)
    assert [one.name for one in plugins.register(trt, plugins.host_launchers())] == list(NODES)
    assert plugins.register(trt, plugins.host_launchers()) == [] and len(registry.all_creators) == 2
