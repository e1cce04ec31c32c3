"""Networks to ONNX files."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from ..errors import ConfigError
from ..frames import VideoSpec
from ..model.codec import Codec
from ..model.dit import DiT
from ..model.text_types import TextEncoder
from .manifest import OPSET
from .memory import DOMAIN
from .step import CaptionStep, Flavour, NativeSlide, NativeStep, PluginStep, example_inputs
from .text import text_graph
from .video import decoder_graphs, encoder_graph
from .weight_names import name_weights

MAX_FRAMES = 64
MAX_CAPTIONS = 64


def write_dit(dit: DiT, spec: VideoSpec, flavour: Flavour, folder: Path) -> list[Path]:
    """Write ``captions.onnx`` and ``step.onnx``, and for the native flavour ``slide.onnx``.

    Raises:
        ConfigError: an operator of the network has no counterpart.
    """
    written = [write_step(dit, spec, flavour, folder), write_captions(dit, folder)]
    return [*written, write_slide(dit, spec, folder)] if flavour == "native" else written


def write_step(dit: DiT, spec: VideoSpec, flavour: Flavour, folder: Path) -> Path:
    """Write ``step.onnx``: a pass of the transformer.

    The number of latent frames of a pass and of captions stay open, so one graph, and one engine with two profiles,
    serves blocks and context.
    """
    num_layers = dit.config.num_layers
    frames = torch.export.Dim("frames", min=2, max=MAX_FRAMES)
    captions = torch.export.Dim("captions", min=1, max=MAX_CAPTIONS)
    tokens = spec.tokens_per_lat * frames
    caption_dims = [({0: captions}, {0: captions}) for _ in range(num_layers)]
    names, inputs = example_inputs(dit, spec, flavour, num_lat=spec.block_lat, num_captions=2)
    always: tuple[Any, ...] = ({1: frames}, None, None)
    if flavour == "native":
        cache_dims: list[tuple[dict[int, Any], dict[int, Any]]] = [({}, {}) for _ in range(num_layers)]
        dims = (*always, {1: tokens}, {1: tokens}, None, None, {1: frames}, caption_dims, cache_dims)
        step: nn.Module = NativeStep(dit)
        outputs = ["velocity", *(f"written_{kind}_{layer}" for layer in range(num_layers) for kind in "kv")]
    else:
        dims = (*always, {1: tokens}, None, None, {1: frames}, caption_dims)
        step, outputs = PluginStep(dit), ["velocity"]
    return write_graph(step, inputs, names, outputs, dims, folder / "step.onnx")


def write_captions(dit: DiT, folder: Path) -> Path:
    """Write ``captions.onnx``: embedded captions to keys and values of all layers."""
    config = dit.config
    captions = torch.export.Dim("captions", min=1, max=MAX_CAPTIONS)
    text = torch.zeros(2, config.text_len, config.text_dim, dtype=dit.dtype)
    outputs = [f"caption_{kind}_{layer}" for layer in range(config.num_layers) for kind in "kv"]
    return write_graph(CaptionStep(dit), (text,), ["text"], outputs, ({0: captions},), folder / "captions.onnx")


def write_slide(dit: DiT, spec: VideoSpec, folder: Path) -> Path:
    """Write ``slide.onnx``: the context's keys turned when the window slides; of the native flavour alone."""
    config = dit.config
    context = spec.context_lat * spec.tokens_per_lat
    rows = context + spec.window_lat * spec.tokens_per_lat

    def keys(num: int) -> list[Tensor]:
        shape = (1, config.num_heads, num, config.head_dim)
        return [torch.zeros(shape, dtype=dit.dtype) for _ in range(config.num_layers)]

    angles = [torch.zeros(1, context, config.head_dim // 2) for _ in range(2)]
    names = ["cos", "sin"]
    names += [f"{word}_{layer}" for word in ("pristine", "cache_k") for layer in range(config.num_layers)]
    outputs = [f"written_k_{layer}" for layer in range(config.num_layers)]
    return write_graph(NativeSlide(), (*angles, keys(context), keys(rows)), names, outputs, None, folder / "slide.onnx")


def write_decoder(codec: Codec, spec: VideoSpec, folder: Path) -> list[Path]:
    """Write ``decode.onnx``, and ``decode_first.onnx`` for a Wan codec (see ``video``)."""
    written = []
    for name, graph in decoder_graphs(codec, spec).items():
        latents, *memory = graph.inputs.values()
        inputs = (latents, memory) if memory else (latents,)
        written += [write_graph(graph.module, inputs, [*graph.inputs], graph.outputs, None, folder / f"{name}.onnx")]
    return written


def write_encoder(codec: Codec, spec: VideoSpec, folder: Path) -> Path:
    """Write ``encode.onnx``: lone frames to latents."""
    graph = encoder_graph(codec, spec)
    dims = ({0: torch.export.Dim("frames", min=1, max=MAX_FRAMES)},)
    inputs = tuple(graph.inputs.values())
    return write_graph(graph.module, inputs, [*graph.inputs], graph.outputs, dims, folder / "encode.onnx")


def write_text(encoder: TextEncoder, folder: Path) -> Path:
    """Write ``text.onnx``: token ids to caption rows (see ``text``)."""
    module, inputs = text_graph(encoder)
    return write_graph(module, tuple(inputs.values()), list(inputs), ["embedded_text"], None, folder / "text.onnx")


def write_graph(
    module: nn.Module,
    inputs: tuple[object, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    dims: tuple[Any, ...] | None,
    path: Path,
) -> Path:
    """Trace a network and write it.

    Args:
        module: in evaluation mode, without gradients.
        inputs: examples for its ``forward``; no tensor twice, for the exporter would make one input of both.
        names, outputs: of the graph's inputs and outputs, nested examples flattened.
        dims: which sizes stay open, as ``torch.export`` wants it; None when all are fixed.

    Raises:
        ConfigError: an operator of the network has no counterpart, or its flow depends on numbers.
    """
    with warnings.catch_warnings():
        # The exporter warns about its own deprecated helpers and about packages that it does not need.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            traced = torch.export.export(module.eval(), inputs, dynamic_shapes=dims, strict=False)
        except Exception as error:  # torch.export raises exceptions of many kinds
            raise ConfigError(
                f"{path.name}: {type(module).__name__} cannot be traced ({first_line(error)}); "
                "what depends on numbers must be an input of the graph"
            ) from error
        try:
            program = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(names),
                output_names=list(outputs),
                verbose=False,
            )
        except OnnxExporterError as error:
            raise ConfigError(f"{path.name}: {_unsupported(traced, error)}") from error
    assert program is not None
    name_weights(program.model, dict(module.named_parameters()))
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path))
    check_operators(path)
    return path


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200]


_CULPRIT = re.compile(r"call_function\[target=(?:torch\.ops\.)?([\w.]+)\]")


def _unsupported(traced: torch.export.ExportedProgram, error: BaseException) -> str:
    """Which operator of which part of the network stood in the way."""
    cause: BaseException | None = error
    while cause is not None:
        if found := _CULPRIT.search(str(cause)):
            operator = found[1]
            stacks = [node.meta.get("nn_module_stack") for node in traced.graph.nodes if str(node.target) == operator]
            paths = [path for path, _ in stacks[0].values()] if stacks and stacks[0] else []
            where = f"the module {paths[-1]!r}" if paths and paths[-1] else "the outermost module"
            return f"ONNX has no counterpart of {operator} in {where}; express it by other operations"
        cause = cause.__cause__
    return f"cannot be expressed in ONNX ({first_line(error)}); express the operation by other ones"


def check_operators(path: Path) -> None:
    """Raise ConfigError when a graph has a node that is neither standard ONNX nor one of ours."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    strange = {f"{node.domain}::{node.op_type}" for node in model.graph.node if node.domain not in ("", DOMAIN)}
    if strange:
        raise ConfigError(f"{path.name}: no runtime knows {', '.join(sorted(strange))}; they came out of the exporter")
