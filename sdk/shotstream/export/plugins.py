"""TensorRT plugins for the nodes ``shotstream::RopeCacheWrite`` and ``shotstream::CacheAttention``, in Python.

Thin over launch functions that take addresses. TensorRT calls ``enqueue`` once for each node while a CUDA graph is
captured, and not at all when it is replayed. An engine with these plugins is deserialised in a process that called
:func:`register` before; ``libshotstream_trt`` has the same plugins in C++.

Shape legend: L tokens of the call, N heads, D head size, E = N * D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError
from .memory import DOMAIN, DOMAIN_VERSION

Launch = Callable[..., int]


@dataclass(frozen=True, kw_only=True)
class Launchers:
    """What runs a node; arguments as ``launch_rope_cache_write`` and ``launch_cache_attention`` of ``_native``."""

    rope_cache_write: Launch
    cache_attention: Launch


def cuda_launchers() -> Launchers:
    """The CUDA kernels of this build.

    Raises:
        DeviceError: it has none.
    """
    native = _native()
    if not native.built_with_cuda:
        raise DeviceError(
            "this build of shotstream has no CUDA kernels, which TensorRT plugins launch; install it again with a CUDA "
            "compiler: CMAKE_ARGS=-DSHOTSTREAM_CUDA=ON pip install ."
        )
    return Launchers(rope_cache_write=native.launch_rope_cache_write, cache_attention=native.launch_cache_attention)


def host_launchers() -> Launchers:
    """The same kernels replayed on the host, over host addresses. For tests: very slow, and the stream is ignored."""
    native = _native()
    return Launchers(rope_cache_write=native.replay_rope_cache_write, cache_attention=native.replay_cache_attention)


def _native() -> Any:
    try:
        from shotstream import _native as native
    except ImportError as error:
        raise DeviceError(f"shotstream was not compiled ({error}); run: pip install .") from error
    return native


def register(trt: Any, launchers: Launchers | None = None) -> list[Any]:
    """Make the plugins known to TensorRT in this process; once is enough, more does no harm.

    Args:
        trt: the module ``tensorrt``.
        launchers: None for the CUDA kernels.

    Returns:
        the creators that were added; the registry points to them, and this module keeps them alive.

    Raises:
        DeviceError: no launchers, or no registry.
    """
    registry = trt.get_plugin_registry()
    if registry is None:
        raise DeviceError("TensorRT has no plugin registry: its libraries are missing or of another version")
    known = {(one.name, one.plugin_version, one.plugin_namespace) for one in registry.all_creators}
    made = creators(trt, launchers or cuda_launchers())
    added = [one for one in made if (one.name, one.plugin_version, one.plugin_namespace) not in known]
    for creator in added:
        if not registry.register_creator(creator, DOMAIN):
            raise DeviceError(
                f"TensorRT did not accept the plugin {creator.name}; is libshotstream_trt loaded as well?"
            )
    _kept_alive.extend(added)
    return added


_kept_alive: list[Any] = []


class _Node:
    """What both plugins have in common; the bases of TensorRT join in :func:`creators`."""

    NAME: str
    FIELDS: dict[str, type]
    """Scalars of the node; they are stored in the engine."""
    TYPES: tuple[str | None, ...]
    """Type of each input and output; None: that of the first input, which may be float32, float16 or bfloat16."""
    NUM_OUTPUTS: int

    trt: Any
    launchers: Launchers
    values: dict[str, int | float]
    _owned: list[Any]

    def _check(self) -> None:
        if self.values["layer"] < 0 or self.values["num_heads"] < 1 or self.values.get("eps", 1.0) <= 0:
            raise ConfigError(f"{self.NAME}: {self.values} cannot be; layer >= 0, num_heads >= 1, eps > 0 are needed")

    def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
        return [input_types[0]] * self.NUM_OUTPUTS

    def supports_format_combination(self, pos: int, in_out: Sequence[Any], num_inputs: int) -> bool:
        # TensorRT asks in the order of ``pos``, so those before it are settled.
        types = self.trt.DataType
        wanted = self.TYPES[pos]
        if wanted is not None:
            allowed = [getattr(types, wanted)]
        elif pos == 0:
            allowed = [types.FLOAT, types.HALF, types.BF16]
        else:
            allowed = [in_out[0].desc.type]
        return in_out[pos].desc.type in allowed and in_out[pos].desc.format == self.trt.TensorFormat.LINEAR

    def configure_plugin(self, inp: Sequence[Any], out: Sequence[Any]) -> None:
        """Nothing depends on sizes before they are final."""

    def on_shape_change(self, inp: Sequence[Any], out: Sequence[Any]) -> None:
        """Sizes are read from the descriptions that come with every call."""

    def set_tactic(self, tactic: int) -> None:
        """There is one."""

    def get_valid_tactics(self) -> list[int]:
        return []

    def get_workspace_size(self, inp: Sequence[Any], out: Sequence[Any]) -> int:
        return 0

    def get_fields_to_serialize(self) -> Any:
        collection, self._owned = _fields(self.trt, self.FIELDS, self.values)
        return collection

    def get_capability_interface(self, type: Any) -> Any:
        return self

    def attach_to_context(self, resource_context: Any) -> Any:
        return self.clone()

    def clone(self) -> Any:
        return type(self)(self.values)  # type: ignore[call-arg]

    def destroy(self) -> None:
        """Python owns nothing that TensorRT would have to free."""

    def _element(self, desc: Any) -> int:
        native, types = _native(), self.trt.DataType
        elements: dict[Any, int] = {
            types.FLOAT: native.FLOAT32,
            types.HALF: native.FLOAT16,
            types.BF16: native.BFLOAT16,
        }
        return elements[desc.type]

    def _layer_address(self, descriptor: int) -> int:
        """Of this layer's row of the descriptor, two int64."""
        return descriptor + 16 * int(self.values["layer"])

    def _done(self, code: int) -> None:
        if code:
            raise DeviceError(f"{self.NAME} of layer {self.values['layer']} was not launched: CUDA error {code}")


class _RopeCacheWrite(_Node):
    NAME = "RopeCacheWrite"
    FIELDS = {"layer": int, "num_heads": int, "eps": float}  # noqa: RUF012
    TYPES = (None, None, None, None, None, "FLOAT", "INT64", "INT32", None, None)
    NUM_OUTPUTS = 2

    def get_output_shapes(self, inputs: Sequence[Any], shape_inputs: Sequence[Any], expr_builder: Any) -> list[Any]:
        tokens, width = inputs[0]
        heads = expr_builder.constant(int(self.values["num_heads"]))
        head_dim = expr_builder.operation(self.trt.DimensionOperation.FLOOR_DIV, width, heads)
        return [self.trt.DimsExprs([tokens, heads, head_dim]) for _ in range(self.NUM_OUTPUTS)]

    def enqueue(
        self,
        input_desc: Sequence[Any],
        output_desc: Sequence[Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        workspace: int,
        stream: int,
    ) -> None:
        q, k, v, weight_q, weight_k, table, descriptor, state = inputs
        num_tokens, num_heads, head_dim = output_desc[0].dims
        self._done(
            self.launchers.rope_cache_write(
                q=q,
                k=k,
                v=v,
                weight_q=weight_q,
                weight_k=weight_k,
                table=table,
                descriptor=self._layer_address(descriptor),
                state=state,
                q_local=outputs[0],
                q_context=outputs[1],
                num_tokens=num_tokens,
                num_heads=num_heads,
                head_dim=head_dim,
                eps=float(self.values["eps"]),
                element=self._element(input_desc[0]),
                stream=stream,
            )
        )


class _CacheAttention(_Node):
    NAME = "CacheAttention"
    FIELDS = {"layer": int, "num_heads": int}  # noqa: RUF012
    TYPES = (None, None, "INT64", "INT32", None)
    NUM_OUTPUTS = 1

    def get_output_shapes(self, inputs: Sequence[Any], shape_inputs: Sequence[Any], expr_builder: Any) -> list[Any]:
        return [self.trt.DimsExprs(list(inputs[0]))]

    def enqueue(
        self,
        input_desc: Sequence[Any],
        output_desc: Sequence[Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        workspace: int,
        stream: int,
    ) -> None:
        q_local, q_context, descriptor, state = inputs
        num_tokens, num_heads, head_dim = input_desc[0].dims
        self._done(
            self.launchers.cache_attention(
                q_local=q_local,
                q_context=q_context,
                descriptor=self._layer_address(descriptor),
                state=state,
                out=outputs[0],
                num_tokens=num_tokens,
                num_heads=num_heads,
                head_dim=head_dim,
                scale=head_dim**-0.5,
                element=self._element(input_desc[0]),
                stream=stream,
            )
        )


def creators(trt: Any, launchers: Launchers) -> list[Any]:
    """One creator for each kind of node, over the classes of this ``tensorrt`` module."""
    return [_creator(trt, _plugin_class(trt, node, launchers)) for node in (_RopeCacheWrite, _CacheAttention)]


def _plugin_class(trt: Any, node: type[_Node], launchers: Launchers) -> Any:
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)

    def __init__(self: Any, values: dict[str, int | float]) -> None:
        for base in bases:
            base.__init__(self)
        self.plugin_name, self.plugin_version, self.plugin_namespace = node.NAME, str(DOMAIN_VERSION), DOMAIN
        self.num_outputs = node.NUM_OUTPUTS
        self.values = dict(values)
        self._check()

    return type(node.NAME, (node, *bases), {"__init__": __init__, "trt": trt, "launchers": launchers})


def _creator(trt: Any, plugin_class: Any) -> Any:
    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = plugin_class.NAME, str(DOMAIN_VERSION), DOMAIN
            self.field_names, self._owned = _fields(trt, plugin_class.FIELDS, None)

        def create_plugin(self, name: str, field_collection: Any, phase: Any) -> Any:
            given = {field.name: np.asarray(field.data).ravel() for field in field_collection}
            missing = [field for field in plugin_class.FIELDS if len(given.get(field, ())) != 1]
            if missing:
                raise ConfigError(f"{self.name} {name!r}: needs one number each for {', '.join(missing)}")
            return plugin_class({field: kind(given[field][0]) for field, kind in plugin_class.FIELDS.items()})

    return Creator()


def _fields(trt: Any, kinds: dict[str, type], values: dict[str, int | float] | None) -> tuple[Any, list[Any]]:
    """Collection of fields with values, or with names and types alone, and the objects that must outlive its use.

    TensorRT copies bare addresses out of collection and fields, so whoever passes the collection on keeps all of them.
    """
    formats = {int: (np.int32, trt.PluginFieldType.INT32), float: (np.float32, trt.PluginFieldType.FLOAT32)}
    owned: list[Any] = []
    for name, kind in kinds.items():
        dtype, field_type = formats[kind]
        data = np.array([] if values is None else [values[name]], dtype)
        owned += [name, data, trt.PluginField(name, data, field_type)]
    collection = trt.PluginFieldCollection(owned[2::3])
    return collection, [*owned, collection]
