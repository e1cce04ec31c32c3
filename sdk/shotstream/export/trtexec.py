"""Commands that build the graphs with TensorRT's own program on a machine that has it. Not run by the project yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .manifest import Graph, Shape

SCRIPT = "trtexec.sh"
_HEAD = """#!/bin/sh
# Builds an engine beside each graph. TRTEXEC: the program; PLUGINS: the library with the nodes of shotstream.
set -eu
cd "$(dirname "$0")"
: "${TRTEXEC:=trtexec}"
: "${PLUGINS:?set PLUGINS to the path of libshotstream_trt.so}"
"""


def write_script(graphs: Mapping[str, Graph], folder: Path) -> Path:
    """Write ``trtexec.sh``."""
    path = folder / SCRIPT
    path.write_text(_HEAD + "".join(f"{command(name, graph)}\n" for name, graph in graphs.items()), encoding="utf-8")
    path.chmod(0o755)
    return path


def command(name: str, graph: Graph) -> str:
    """The line for one graph, with its sizes."""
    words = ['"$TRTEXEC"', f"--onnx={graph.file}", f"--saveEngine={name}.engine", "--skipInference"]
    if name == "step":
        words += ['--staticPlugins="$PLUGINS"']
    for number, profile in enumerate(graph.profiles):
        words += [f"--profile={number}"] if len(graph.profiles) > 1 else []
        for place, option in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
            words += [f"{option}={','.join(f'{one}:{_text(shapes[place])}' for one, shapes in profile.items())}"]
    return " ".join(words)


def _text(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
