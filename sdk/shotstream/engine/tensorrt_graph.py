"""Exported graphs run by TensorRT or TensorRT for RTX; implements ``engine.graphs.Graph``.

Two ways to run one: *direct*, where inputs are bound where they lie and outputs are new, and *captured*, where a CUDA
graph replays the launches over fixed memory. Caches are bound in place in both: what the engine writes lies where it
was given, and nothing is copied.

Nothing in this module has been run on a GPU yet: "not run". Its control flow is tested over a stand-in of the runtime.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import ConfigError, DeviceError
from ..export.rtx import message_log, tensorrt_rtx
from .bindings import DTYPES, EngineInfo, Shape, TensorInfo, cache_pairs, choose_profile, describe_engine
from .cuda_stream import Stream
from .plan_errors import explain_failure, names_of_flags

Runtime = Literal["tensorrt", "tensorrt-rtx"]

MAX_RECORDINGS = 2
"""CUDA graphs kept of an engine: one over the cache of the film, and one over that of a prepared shot."""

CONSTANT = "caption_"
"""Inputs that begin so are the same tensor for a whole shot, and are copied only when another one is given."""


def load_tensorrt(runtime: Runtime) -> Any:
    """The bindings.

    Raises:
        DeviceError: they are not installed, or their libraries cannot be loaded.
    """
    if runtime == "tensorrt-rtx":
        return tensorrt_rtx()
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise DeviceError(f"TensorRT cannot be loaded ({error}); run: pip install tensorrt-cu13") from error


@dataclass(frozen=True, kw_only=True)
class LoadedEngine:
    """An engine with the runtime and the log that it needs to live."""

    trt: Any
    engine: Any
    runtime: Any
    log: Any


def load_engine(trt: Any, plan: bytes, name: str) -> LoadedEngine:
    """Deserialise a plan.

    Raises:
        DeviceError: for another GPU or version, without its plugins, or without a driver.
        WeightsError: damaged.
        CapacityError: too little GPU memory.
    """
    log = message_log(trt)
    runtime = trt.Runtime(log)
    if hasattr(runtime, "get_engine_validity"):  # TensorRT for RTX alone answers this
        validity, flags = runtime.get_engine_validity(plan)
        if validity == trt.EngineValidity.INVALID:
            members = [(key, int(value)) for key, value in trt.EngineInvalidityDiagnostics.__members__.items()]
            raise explain_failure(names_of_flags(int(flags), members) or log.errors, name)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise explain_failure(log.errors, name)
    return LoadedEngine(trt=trt, engine=engine, runtime=runtime, log=log)


@dataclass
class _Recording:
    """Fixed memory of one use of an engine, and how to run it again."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    given: dict[str, Tensor] = field(default_factory=dict)
    replay: Callable[[], None] | None = None


class TensorRTGraph:
    """One engine.

    Args:
        loaded: from :func:`load_engine`.
        device: where its memory lies.
        stream: where its work goes; never the default stream, on which nothing can be captured.
        captured: profiles to replay as CUDA graphs: those called with the same shapes again and again, as a block's
            is. A context pass has another number of captions each time, and runs directly.
        name: of the plan, for messages.

    Raises:
        ConfigError: the engine would copy its caches, or cannot be captured.
    """

    def __init__(
        self,
        loaded: LoadedEngine,
        *,
        device: torch.device,
        stream: Stream,
        captured: Sequence[int] = (),
        name: str = "plan",
    ) -> None:
        self.name = name
        self.info: EngineInfo = describe_engine(loaded.trt, loaded.engine)
        self._loaded, self._device, self._stream = loaded, device, stream
        self._pairs = cache_pairs(self.info)
        self._contexts: dict[int, Any] = {}
        self._captured = frozenset(captured)
        self._recordings: OrderedDict[tuple[object, ...], _Recording] = OrderedDict()
        if captured and (read := [one.name for one in self.info.inputs.values() if one.on_host]):
            raise ConfigError(f"{name}: the engine reads {read[0]} on the CPU and cannot be captured; export again")

    @property
    def names(self) -> list[str]:
        """Of the inputs."""
        return list(self.info.inputs)

    def zeros(self, name: str) -> Tensor:
        """An input of fixed size that has nothing to say."""
        info = self.info.inputs[name]
        return torch.zeros(info.shape, dtype=info.dtype, device=self._device)

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Outputs in the engine's order; caches are the very tensors that were given."""
        profile = choose_profile(self.info, {name: tuple(tensor.shape) for name, tensor in inputs.items()})
        in_place = {output: self._cache(inputs[given]) for output, given in self._pairs.items()}
        run = self._run_captured if profile in self._captured else self._run_direct
        own = run(profile, inputs)
        return [in_place[name] if name in in_place else own[name] for name in self.info.outputs]

    def layers(self) -> str:
        """What the inspector tells of the engine's layers, as JSON."""
        inspector = self._loaded.engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._loaded.trt.LayerInformationFormat.JSON))

    def _run_direct(self, profile: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        bound = {name: self._placed(inputs[name], tensor) for name, tensor in self.info.inputs.items()}
        self._stream.follow_caller()
        outputs = self._bind(profile, bound)
        self._execute(profile)
        self._stream.lead_caller()
        return outputs

    def _run_captured(self, profile: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        caches = {name: self._cache(inputs[name]) for name in self._pairs.values()}
        shapes = tuple(tuple(inputs[name].shape) for name in self.info.inputs)
        key = (profile, shapes, tuple(cache.data_ptr() for cache in caches.values()))
        recording = self._recordings.pop(key, None) or self._new_recording(inputs)
        self._recordings[key] = recording
        if len(self._recordings) > MAX_RECORDINGS:
            self._recordings.popitem(last=False)
        self._stream.follow_caller()
        with self._stream.entered():
            for name, memory in recording.inputs.items():
                constant = name.startswith(CONSTANT)
                if not (constant and recording.given.get(name) is inputs[name]):
                    memory.copy_(inputs[name], non_blocking=True)
                    if constant:
                        recording.given[name] = inputs[name]
            if recording.replay is None:
                recording.outputs = self._bind(profile, recording.inputs | caches)
                # The first call of a context with new shapes allocates, which must not happen while capturing.
                self._execute(profile)
                recording.replay = self._stream.capture(lambda: self._execute(profile))
            else:
                recording.replay()
            outputs = {name: memory.clone() for name, memory in recording.outputs.items()}
        self._stream.lead_caller()
        return outputs

    def _new_recording(self, inputs: Mapping[str, Tensor]) -> _Recording:
        # Caches are known by their addresses alone, so that nothing here keeps that of a prepared shot alive.
        memory = {
            name: torch.empty(inputs[name].shape, dtype=tensor.dtype, device=self._device)
            for name, tensor in self.info.inputs.items()
            if name not in self._pairs.values()
        }
        return _Recording(inputs=memory, outputs={})

    def _bind(self, profile: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tell the context where everything lies; returns the new memory of the outputs that are no caches."""
        context = self._context(profile)
        for name, tensor in inputs.items():
            self._must(context.set_input_shape(name, tuple(tensor.shape)))
            self._must(context.set_tensor_address(name, tensor.data_ptr()))
        outputs: dict[str, Tensor] = {}
        for name, info in self.info.outputs.items():
            if name in self._pairs:
                self._must(context.set_tensor_address(name, inputs[self._pairs[name]].data_ptr()))
                continue
            shape: Shape = tuple(context.get_tensor_shape(name))
            outputs[name] = torch.empty(shape, dtype=info.dtype, device=self._device)
            self._must(context.set_tensor_address(name, outputs[name].data_ptr()))
        return outputs

    def _execute(self, profile: int) -> None:
        self._must(self._context(profile).execute_async_v3(self._stream.handle))

    def _context(self, profile: int) -> Any:
        """One context per profile: switching a context's profile costs a copy, and forgets what was captured."""
        if profile not in self._contexts:
            context = self._loaded.engine.create_execution_context()
            if context is None:
                raise explain_failure(self._loaded.log.errors, self.name)
            self._must(context.set_optimization_profile_async(profile, self._stream.handle))
            self._contexts[profile] = context
        return self._contexts[profile]

    def _placed(self, tensor: Tensor, info: TensorInfo) -> Tensor:
        """An input where the engine can read it; itself if it already lies there."""
        if info.name in self._pairs.values():
            return self._cache(tensor)
        device = torch.device("cpu") if info.on_host else self._device
        return tensor.to(device, info.dtype).contiguous()

    def _cache(self, tensor: Tensor) -> Tensor:
        if tensor.device.type != self._device.type or not tensor.is_contiguous():
            raise ConfigError(f"{self.name}: a cache must lie in one piece on {self._device}; this one is elsewhere")
        return tensor

    def _must(self, done: bool) -> None:
        if not done:
            said = "; ".join(self._loaded.log.errors[-2:]) or "no reason given"
            raise DeviceError(f"{self.name}: TensorRT could not run it ({said}); export the bundle again")


def refit(loaded: LoadedEngine, weights: Mapping[str, Tensor], name: str = "plan") -> None:
    """Give an engine other weights, such as those of a merged LoRA, or those that a stripped plan lacks.

    No pass may be under way. CUDA graphs that were captured stay valid: the weights stay where they lie.

    Args:
        weights: by the names that they have in the graph, on the CPU, in the engine's number types.

    Raises:
        ConfigError: the engine cannot be refitted, a name or size is unknown to it, or others must change as well.
        DeviceError: TensorRT failed.
    """
    trt, engine = loaded.trt, loaded.engine
    if not engine.refittable:
        raise ConfigError(f"{name}: this engine keeps its weights; build it with refit")
    refitter = trt.Refitter(engine, loaded.log)
    check_refit(refitter.get_all_weights(), list(weights), name)
    kept = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    for key, value in kept.items():
        wanted = refitter.get_weights_prototype(key)
        if DTYPES.get(wanted.dtype.name) != value.dtype or wanted.size != value.numel():
            raise ConfigError(
                f"{name}: {key} holds {value.numel()} x {value.dtype}, the engine wants {wanted.size} x "
                f"{wanted.dtype.name}; use weights of the same bundle"
            )
        if not refitter.set_named_weights(key, trt.Weights(wanted.dtype, value.data_ptr(), value.numel())):
            raise ConfigError(f"{name}: TensorRT refuses the weights {key}: {'; '.join(loaded.log.errors[-1:])}")
    if missing := refitter.get_missing_weights():
        raise ConfigError(f"{name}: {missing[0]} was merged with what you changed; give it as well")
    if not refitter.refit_cuda_engine():
        raise DeviceError(f"{name}: refitting failed: {'; '.join(loaded.log.errors[-2:])}; open the engine again")


def check_refit(known: list[str], given: list[str], name: str) -> None:
    """Raise ConfigError when a weight is unknown to an engine."""
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(
            f"{name}: no weights {unknown[0]!r} among the {len(known)} of the engine; use the names of its graph"
        )
