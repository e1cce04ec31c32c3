"""From an export folder to a running engine: ONNX Runtime on a CPU, TensorRT on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..bundle import HASH_ON_OPEN_BYTES, Bundle, read_description
from ..errors import ConfigError, DeviceError, WeightsError
from ..export import manifest as manifests
from ..export.manifest import Manifest
from ..export.runners import RuntimeGraph
from ..model.codec import StreamingDecoder
from ..model.config import UMT5Config, WanVAEConfig
from ..model.text import UMT5Reader, read_tokenizer
from ..model.times import load_times
from ..model.word_text import WordReader
from .graph_engine import GraphCodec, GraphText, PromptReader, StudentGraphs, open_graph_engine
from .graphs import Graph, GraphDecoder
from .loader import DTYPES, pick_device
from .torch_engine import TorchEngine


class OpenGraph(Graph, Protocol):
    """A graph that tells what it takes.

    Attributes:
        names: of its inputs.
    """

    @property
    def names(self) -> list[str]: ...

    def zeros(self, name: str) -> Tensor:
        """What an input of fixed size wants when there is nothing to say yet."""


OpenByName = Callable[[str], OpenGraph]


def open_exported(folder: Path, *, device: str = "auto") -> TorchEngine:
    """Open what ``shotstream export`` wrote.

    Args:
        device: "auto" takes what the export is for; "cpu" runs the graphs of an ``onnx`` or ``tensorrt-rtx`` export in
            ONNX Runtime; "cuda" or "cuda:N" runs engines.

    Raises:
        WeightsError: the folder is unfinished or damaged.
        DeviceError: the machine lacks what the export is for.
        ConfigError: the export cannot be run that way.
    """
    manifest = manifests.read(folder, hash_files=False)
    # As with bundles: whoever moved large files across machines can hash them with manifest.read().
    for entry in manifest.files:
        problem = manifests.check_file(folder, entry, hash_it=entry.bytes <= HASH_ON_OPEN_BYTES)
        if problem:
            raise WeightsError(f"{folder / entry.path}: {problem}; export the bundle again with --force")
    bundle = read_description(folder / manifests.DESCRIPTION)
    if bundle.fingerprint != manifest.fingerprint:
        raise WeightsError(
            f"{folder}: {manifests.DESCRIPTION} describes weights {bundle.fingerprint}, the graphs hold "
            f"{manifest.fingerprint}; export the bundle again with --force"
        )
    target = device_of(manifest, device)
    if target.type == "cpu":
        return _assemble(
            folder, manifest, bundle, target, lambda name: RuntimeGraph(_graph_file(folder, manifest, name))
        )
    from .tensorrt_folder import engine_opener

    return _assemble(folder, manifest, bundle, target, engine_opener(folder, manifest, target))


def device_of(manifest: Manifest, device: str) -> torch.device:
    """The device that an export runs on.

    Raises:
        DeviceError, ConfigError: as :func:`open_exported`.
    """
    if device == "auto":
        device = "cpu" if manifest.target == "onnx" else "cuda"
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                f"this export is for {manifest.target} and no GPU can be used here; open the bundle "
                f"{manifest.bundle!r} itself, or an export with --target onnx, on the CPU"
            )
    target = pick_device(device)
    if target.type == "cuda" and manifest.target == "onnx":
        raise ConfigError("this export is for ONNX Runtime on the CPU; for a GPU export with --target tensorrt-rtx")
    if target.type == "cpu" and manifest.flavour == "plugin":
        raise ConfigError("the plugins of this export need a GPU; for the CPU export with --target onnx")
    if target.type == "cpu" and manifest.dtype == "bfloat16":
        raise ConfigError("ONNX Runtime has no bfloat16 on a CPU; export with --dtype fp32")
    return target


def _graph_file(folder: Path, manifest: Manifest, name: str) -> Path:
    if name not in manifest.graphs:
        raise ConfigError(
            f"{folder}: no graph {name!r}; there are {', '.join(manifest.graphs)}; export the bundle again"
        )
    return folder / manifest.graphs[name].file


def _assemble(
    folder: Path, manifest: Manifest, bundle: Bundle, device: torch.device, open_graph: OpenByName
) -> TorchEngine:
    dtype = DTYPES[manifest.dtype]
    student = StudentGraphs(
        step=open_graph("step"),
        captions=open_graph("captions"),
        slide=open_graph("slide") if manifest.flavour == "native" else None,
        times={t: vectors.to(device) for t, vectors in load_times(folder / "time.safetensors").items()},
    )
    return open_graph_engine(
        bundle,
        student,
        codec=GraphCodec(open_graph("encode"), _decoders(bundle, open_graph)),
        text_encoder=_text(folder, bundle, open_graph),
        device=device,
        dtype=dtype,
    )


def _decoders(bundle: Bundle, open_graph: OpenByName) -> Callable[[], StreamingDecoder]:
    decode = open_graph("decode")
    memory: list[Tensor] = []
    while (name := f"memory_{len(memory)}") in decode.names:
        memory.append(decode.zeros(name))
    if isinstance(bundle.vae, WanVAEConfig):
        first = open_graph("decode_first")
        return lambda: GraphDecoder(decode, memory, num_lat=1, first=first)
    return lambda: GraphDecoder(decode, memory, num_lat=bundle.spec.block_lat)


def _text(folder: Path, bundle: Bundle, open_graph: OpenByName) -> GraphText:
    place = folder / "tokenizer"
    tokenizer = read_tokenizer(place if place.is_dir() else folder / "tokenizer.json")
    if isinstance(bundle.text, UMT5Config):
        reader: PromptReader = UMT5Reader(bundle.text, tokenizer)
        return GraphText(open_graph("text"), reader, bundle.text.text_len)
    return GraphText(open_graph("text"), WordReader(bundle.text, tokenizer), bundle.text.max_words)
