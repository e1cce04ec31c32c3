"""Native graphs to TensorRT for RTX engines. Building needs no GPU; running one does.

The parser passes over attention's key lengths without an error (TensorRT for RTX 1.7), and an engine built like that
would attend to stale rows of the cache. So the lengths are put back on the parsed layers here, and whatever the builder
then calls unused is an error.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DeviceError
from .manifest import Profile

TARGETS = ("SM75", "SM80", "SM86", "SM89", "SM120")
"""Compute capabilities that TensorRT for RTX builds for."""

_USELESS = re.compile(r"unused|not used|used only at compile-time", re.IGNORECASE)
_HARMLESS = re.compile(r"Make sure input \w+ has Int64 binding")


@dataclass(frozen=True, kw_only=True)
class BuiltEngine:
    """A serialised engine.

    Attributes:
        plan: its bytes.
        target: compute capability it was built for.
        num_layers: layers of the parsed network.
        warnings: what the builder said beside errors.
    """

    plan: bytes
    target: str
    num_layers: int
    warnings: tuple[str, ...]


def tensorrt_rtx() -> Any:
    """The bindings of TensorRT for RTX.

    Raises:
        DeviceError: they are not installed.
    """
    try:
        return importlib.import_module("tensorrt_rtx_bindings")
    except ImportError as error:
        raise DeviceError(
            f"TensorRT for RTX cannot be loaded ({error}); run: pip install tensorrt-rtx-cu13-libs "
            "tensorrt-rtx-cu13-bindings"
        ) from error


def build_engine(path: Path, profiles: list[Profile], target: str) -> BuiltEngine:
    """Build one graph for one kind of GPU.

    Args:
        path: an ONNX file of the native flavour.
        profiles: an optimisation profile for each use; empty when every size is fixed.
        target: one of ``TARGETS``.

    Raises:
        ConfigError: the graph cannot be built, with the builder's own words.
    """
    trt = tensorrt_rtx()
    if target not in TARGETS:
        raise ConfigError(f"target={target!r} is not one of {', '.join(TARGETS)}")
    logger = message_log(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        found = [parser.get_error(number) for number in range(parser.num_errors)]
        errors = "; ".join(f"{one.node_operator()} {one.node_name()}: {one.desc()}".strip() for one in found[:3])
        raise ConfigError(f"{path.name}: TensorRT cannot read it: {errors}")
    set_key_lengths(trt, network)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (smallest, usual, largest) in shapes.items():
            profile.set_shape(name, smallest, usual, largest)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ConfigError(f"{path.name}: TensorRT cannot build it for {target}: {'; '.join(logger.errors[-3:])}")
    refuse_ignored_inputs(path, logger.warnings)
    return BuiltEngine(
        plan=bytes(plan), target=target, num_layers=network.num_layers, warnings=tuple(dict.fromkeys(logger.warnings))
    )


def refuse_ignored_inputs(path: Path, warnings: list[str]) -> None:
    """Raise ConfigError when the builder says that it has no use for an input."""
    ignored = [text for text in warnings if _USELESS.search(text)]
    if ignored:
        raise ConfigError(f"{path.name}: the engine would ignore an input: {'; '.join(ignored)}")


def set_key_lengths(trt: Any, network: Any) -> None:
    """Give every attention over the cache the number of its valid rows, and let unusual head sizes be decomposed."""
    inputs = {network.get_input(number).name: network.get_input(number) for number in range(network.num_inputs)}
    lengths = network.add_cast(inputs["valid_rows"], trt.int32).get_output(0) if "valid_rows" in inputs else None
    cached = {}
    for number in range(network.num_layers):
        if network.get_layer(number).type == trt.LayerType.KV_CACHE_UPDATE:
            written = network.get_layer(number).get_output(0)
            cached[written.name] = written
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer
            attention = layer.attention
            attention.decomposable = True  # there is a fused kernel for usual head sizes only
            values = attention.get_input(2).name
            if values in cached:
                # The parser puts half of the scale, which is 1 here, between cache and attention: a pass over all keys.
                attention.set_input(1, cached[values.replace("written_v", "written_k")])
                attention.key_value_lengths = lengths


def message_log(trt: Any) -> Any:
    """A logger of either binding that keeps ``errors`` and ``warnings``."""

    class Logger(trt.ILogger):  # type: ignore[misc, unused-ignore]
        """Keeps what was said; nothing is printed."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(text[:500])
            elif severity == trt.ILogger.WARNING and not _HARMLESS.search(text):
                self.warnings.append(text[:500])

    return Logger()
