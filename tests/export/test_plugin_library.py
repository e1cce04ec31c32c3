"""The C++ plugins, compiled against TensorRT's public headers and called through them with replayed kernels.

The headers are not part of this repository: the checks run where TENSORRT_INCLUDE_DIR names their folder, the one
called ``include`` in github.com/NVIDIA/TensorRT or that of an installed TensorRT.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "csrc"


def include_folder(header, *candidates):
    """The first folder that has a header."""
    return next((str(folder) for folder in candidates if folder and (Path(folder) / header).is_file()), None)


TENSORRT = include_folder(
    "NvInferRuntime.h", os.environ.get("TENSORRT_INCLUDE_DIR"), "/usr/include/x86_64-linux-gnu", "/usr/include"
)
CUDA = include_folder(
    "cuda_runtime_api.h",
    "/usr/local/cuda/include",
    *(Path(os.path.realpath(nvcc)).parents[1] / "include" for nvcc in [shutil.which("nvcc")] if nvcc),
    *(Path(folder) / "nvidia" / "cu13" / "include" for folder in sys.path),
)


@pytest.mark.skipif(TENSORRT is None, reason="TENSORRT_INCLUDE_DIR is not set: the plugin library was not compiled")
@pytest.mark.skipif(CUDA is None, reason="no cuda_runtime_api.h: the plugin library was not compiled")
def test_the_plugin_library_does_what_tensorrt_asks(tmp_path):
    library, program = tmp_path / "libshotstream_trt.so", tmp_path / "checks"
    compiler = [shutil.which("c++") or "g++", "-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror"]
    compiler += ["-fsanitize=address,undefined", "-I", str(SOURCES / "include"), "-isystem", TENSORRT, "-isystem", CUDA]
    # The library finds the launch functions in the program, where they replay the kernels.
    parts = {
        library: ["-shared", "-fPIC", "-fvisibility=hidden", SOURCES / "trt" / "plugins.cpp"],
        program: ["-rdynamic", SOURCES / "trt" / "checks.cpp", SOURCES / "cuda" / "replay.cpp", library],
    }
    for made, arguments in parts.items():
        command = [*compiler, *map(str, arguments), "-o", str(made)]
        built = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "plugins: all checks passed\n"
