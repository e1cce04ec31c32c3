"""Graphs to plans of TensorRT, built for the GPU of this machine. Not run yet: it needs one.

``rtx`` is its counterpart for TensorRT for RTX, which builds for a GPU that is elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .manifest import Profile
from .rtx import message_log, refuse_ignored_inputs, set_key_lengths


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How a plan is built.

    Attributes:
        refit: its weights can be replaced later; some fusions may be lost.
        strip: it holds no weights, so that it can be given away; they are refitted when it is opened.
    """

    refit: bool = False
    strip: bool = False

    def described(self) -> dict[str, str | int | bool]:
        """For the key of a kept plan."""
        return dict(asdict(self))


@dataclass(frozen=True, kw_only=True)
class BuiltPlan:
    """A plan, and what the builder measured on the way, which makes the next build quicker and equal."""

    plan: bytes
    timings: bytes


def flags_of(trt: Any, options: BuildOptions) -> list[Any]:
    """The builder's flags."""
    flags = [trt.BuilderFlag.REFIT] if options.refit or options.strip else []
    return [*flags, trt.BuilderFlag.STRIP_PLAN] if options.strip else flags


def build_plan(
    trt: Any, path: Path, profiles: list[Profile], *, options: BuildOptions, timings: bytes = b""
) -> BuiltPlan:
    """Build one graph.

    Args:
        trt: the module ``tensorrt``, with the plugins registered.
        path: an ONNX file.
        profiles: sizes of each use.
        timings: of an earlier build on this machine.

    Raises:
        ConfigError: the graph cannot be built, with the builder's own words.
    """
    logger = message_log(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        errors = "; ".join(parser.get_error(number).desc() for number in range(min(3, parser.num_errors)))
        raise ConfigError(f"{path.name}: TensorRT cannot read it: {errors}")
    set_key_lengths(trt, network)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for flag in flags_of(trt, options):
        config.set_flag(flag)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (smallest, usual, largest) in shapes.items():
            profile.set_shape(name, smallest, usual, largest)
        config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timings)
    config.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ConfigError(f"{path.name}: TensorRT cannot build it: {'; '.join(logger.errors[-3:])}")
    refuse_ignored_inputs(path, logger.warnings)
    return BuiltPlan(plan=bytes(plan), timings=bytes(config.get_timing_cache().serialize()))
