"""Which memory an engine's tensors take, decided from its description alone: no GPU and no TensorRT are needed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import ConfigError

DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT64": torch.int64,
    "INT32": torch.int32,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "BOOL": torch.bool,
}
"""TensorRT's names of number types."""

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One input or output of an engine.

    Attributes:
        shape: open sizes are -1.
        ranges: per profile smallest and largest shape; empty for outputs.
        same_as: of an output, the input whose memory it takes over; "" for memory of its own.
        on_host: the engine reads it on the CPU, as it does sizes of other tensors.
    """

    name: str
    is_input: bool
    dtype: torch.dtype
    shape: Shape
    ranges: tuple[tuple[Shape, Shape], ...] = ()
    same_as: str = ""
    on_host: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """Inputs and outputs of an engine, in its order, and its number of profiles."""

    inputs: dict[str, TensorInfo] = field(default_factory=dict)
    outputs: dict[str, TensorInfo] = field(default_factory=dict)
    num_profiles: int = 1


def describe_engine(trt: Any, engine: Any) -> EngineInfo:
    """Read an engine's description through either binding.

    Raises:
        ConfigError: a number type that this project has no use for.
    """
    inputs: dict[str, TensorInfo] = {}
    outputs: dict[str, TensorInfo] = {}
    profiles = range(engine.num_optimization_profiles)
    for number in range(engine.num_io_tensors):
        name = engine.get_tensor_name(number)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        kind = engine.get_tensor_dtype(name).name
        if kind not in DTYPES:
            raise ConfigError(f"{name}: number type {kind} cannot be bound; export with float32, float16 or bfloat16")
        on_host = engine.get_tensor_location(name) == trt.TensorLocation.HOST
        limits = [engine.get_tensor_profile_shape(name, one) for one in profiles] if is_input else []
        target = inputs if is_input else outputs
        target[name] = TensorInfo(
            name=name,
            is_input=is_input,
            dtype=DTYPES[kind],
            shape=tuple(engine.get_tensor_shape(name)),
            ranges=tuple((tuple(smallest), tuple(largest)) for smallest, _, largest in limits),
            same_as="" if is_input else engine.get_aliased_input_tensor(name) or "",
            on_host=on_host,
        )
    return EngineInfo(inputs=inputs, outputs=outputs, num_profiles=len(profiles))


def cache_pairs(info: EngineInfo) -> dict[str, str]:
    """Outputs of the student's graphs that must lie where an input lies: ``written_k_3`` in ``cache_k_3``.

    Raises:
        ConfigError: the engine would write one of them elsewhere, which copies the whole cache in each pass.
    """
    pairs = {name: name.replace("written_", "cache_", 1) for name in info.outputs if name.startswith("written_")}
    for output, given in pairs.items():
        tensor, cache = info.outputs[output], info.inputs.get(given)
        if cache is None or (tensor.shape, tensor.dtype) != (cache.shape, cache.dtype):
            raise ConfigError(f"the engine writes {output} but has no {given} of that shape and type; export again")
        if tensor.same_as != given:
            raise ConfigError(
                f"the engine does not write {output} into {given} in place and would copy the cache in every pass; "
                "build it from the graphs of 'shotstream export' with a TensorRT that has KV cache updates (10.15 on)"
            )
    return pairs


def choose_profile(info: EngineInfo, shapes: Mapping[str, Sequence[int]]) -> int:
    """The first profile that takes these inputs.

    Raises:
        ConfigError: an input is missing, or no profile takes its shape.
    """
    if lacking := [name for name in info.inputs if name not in shapes]:
        raise ConfigError(f"the engine wants an input {lacking[0]!r} that was not given; export again")
    misfit = ""
    for profile in range(info.num_profiles):
        misfit = _misfit(info, shapes, profile)
        if not misfit:
            return profile
    raise ConfigError(f"no profile of the engine takes {misfit}; export the bundle again with these sizes")


def _misfit(info: EngineInfo, shapes: Mapping[str, Sequence[int]], profile: int) -> str:
    for name, tensor in info.inputs.items():
        shape = tuple(shapes[name])
        smallest, largest = tensor.ranges[profile]
        fits = len(shape) == len(smallest) and all(
            low <= size <= high for low, size, high in zip(smallest, shape, largest, strict=True)
        )
        if not fits:
            return f"{name} {list(shape)} (profile {profile}: {list(smallest)} to {list(largest)})"
    return ""
