"""Networks to ONNX files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..frames import VideoSpec
from ..model.dit import DiT
from .memory import DOMAIN, OPSET
from .step import CaptionStep, Flavour, NativeSlide, NativeStep, PluginStep, example_inputs

MAX_FRAMES = 64
MAX_CAPTIONS = 64


def write_dit(dit: DiT, spec: VideoSpec, flavour: Flavour, folder: Path) -> list[Path]:
    """Write ``captions.onnx`` and ``step.onnx``, and for the native flavour ``slide.onnx``.

    The number of latent frames of a pass and of captions stay open, so one graph, and one engine with two profiles,
    serves blocks and context.

    Raises:
        ConfigError: an operator of the network has no counterpart.
    """
    config = dit.config
    frames = torch.export.Dim("frames", min=2, max=MAX_FRAMES)
    captions = torch.export.Dim("captions", min=1, max=MAX_CAPTIONS)
    tokens = spec.tokens_per_lat * frames
    caption_dims = [({0: captions}, {0: captions}) for _ in range(config.num_layers)]
    names, inputs = example_inputs(dit, spec, flavour, num_lat=spec.block_lat, num_captions=2)
    always: tuple[Any, ...] = ({1: frames}, None, None)
    if flavour == "native":
        cache_dims: list[tuple[dict[int, Any], dict[int, Any]]] = [({}, {}) for _ in range(config.num_layers)]
        dims = (*always, {1: tokens}, {1: tokens}, None, None, {1: frames}, caption_dims, cache_dims)
        step: nn.Module = NativeStep(dit)
        outputs = ["velocity", *(f"written_{kind}_{layer}" for layer in range(config.num_layers) for kind in "kv")]
    else:
        dims = (*always, {1: tokens}, None, None, {1: frames}, caption_dims)
        step, outputs = PluginStep(dit), ["velocity"]
    written = [_write(step, inputs, names, outputs, dims, folder / "step.onnx")]

    text = torch.zeros(2, config.text_len, config.text_dim, dtype=dit.dtype)
    outputs = [f"caption_{kind}_{layer}" for layer in range(config.num_layers) for kind in "kv"]
    written += [_write(CaptionStep(dit), (text,), ["text"], outputs, ({0: captions},), folder / "captions.onnx")]
    if flavour == "native":
        written += [_write_slide(dit, spec, folder / "slide.onnx")]
    return written


def _write_slide(dit: DiT, spec: VideoSpec, path: Path) -> Path:
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
    return _write(NativeSlide(), (*angles, keys(context), keys(rows)), names, outputs, None, path)


def _write(
    module: nn.Module,
    inputs: tuple[object, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    dims: tuple[Any, ...] | None,
    path: Path,
) -> Path:
    with warnings.catch_warnings():
        # The exporter warns about its own deprecated helpers and about packages that it does not need.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=dims,
            verbose=False,
        )
    assert program is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path))
    check_operators(path)
    return path


def check_operators(path: Path) -> None:
    """Raise ConfigError when a graph has a node that is neither standard ONNX nor one of ours."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    strange = {f"{node.domain}::{node.op_type}" for node in model.graph.node if node.domain not in ("", DOMAIN)}
    if strange:
        raise ConfigError(f"{path.name}: no runtime knows {', '.join(sorted(strange))}; they came out of the exporter")
