"""``hello_film`` says the same in every language, each against a server of its own."""

import re
import shutil
import zlib

import numpy as np
import pytest

import shotstream as ss
from tests.samples.conftest import SAMPLES

FOLDER = SAMPLES / "hello_film"
ROOT = SAMPLES.parent
PROMPT = "wide shot: a red fox walks through a snowy forest"


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def c_command(run_program, folder):
    need("cmake", "cc", "pkg-config")
    library = build_library(run_program, folder)
    program = folder / "hello_film"
    run_program(
        "cc", "-std=c99", FOLDER / "hello_film.c", "-I", ROOT / "engine_bridge/include", "-o", program,
        "-L", library, f"-Wl,-rpath,{library}", "-lshotstream_bridge",
    )  # fmt: skip
    return [program], {}


def csharp_command(run_program, folder):
    need("mcs", "mono", "cmake", "pkg-config")
    library = build_library(run_program, folder)
    core = sorted((ROOT / "engine_bridge/unity/com.shotstream.bridge/Runtime/Core").glob("*.cs"))
    program = folder / "hello_film.exe"
    run_program("mcs", "-langversion:7.2", "-unsafe", f"-out:{program}", FOLDER / "hello_film.cs", *core)
    return ["mono", program], {"LD_LIBRARY_PATH": str(library)}


def gdscript_command(run_program, folder):
    need("godot3-server")
    return ["godot3-server", "--path", ROOT / "engine_bridge/godot", "-s", FOLDER / "hello_film.gd"], {}


def build_library(run_program, folder):
    """The folder with ``libshotstream_bridge``, built from the sources."""
    if not (ROOT / "engine_bridge/CMakeLists.txt").exists():
        pytest.skip("the C library is not in this tree")
    made = folder / "engine_bridge"
    run_program("cmake", "-S", ROOT / "engine_bridge", "-B", made, "-DCMAKE_BUILD_TYPE=Release")
    run_program("cmake", "--build", made, "--target", "shotstream_bridge")
    return next(made.rglob("libshotstream_bridge.so")).parent


OTHERS = {"hello_film.c": c_command, "hello_film.cs": csharp_command, "hello_film.gd": gdscript_command}


@pytest.fixture(scope="module")
def expected():
    """What every language must print, from the film itself, without a bridge."""
    with ss.open("test-chart") as film:
        film.cut(PROMPT, seed=7, frames=48)
        pixels = np.stack([frame.image for frame in film.frames()])
        width, height = film.spec.width_px, film.spec.height_px
    return f"shot 0 at frame 0\n48 frames {width}x{height} crc32 {zlib.crc32(pixels.tobytes()):08x}\n"


def test_python_prints_what_the_film_is(serve, python, expected):
    assert re.fullmatch(r"shot 0 at frame 0\n48 frames 160x96 crc32 [0-9a-f]{8}\n", expected)
    assert python("hello_film/hello_film.py", server=serve("--clock", "demand")) == expected


@pytest.mark.parametrize("name", OTHERS)
def test_other_languages_print_the_same(name, serve, run_program, tmp_path, expected):
    if not (FOLDER / name).exists():
        pytest.skip(f"samples/hello_film/{name} is not in this tree")
    command, environment = OTHERS[name](run_program, tmp_path)
    out = run_program(*command, server=serve("--clock", "demand"), **environment)
    lines = [line for line in out.splitlines(keepends=True) if line.startswith(("shot ", "48 frames "))]
    assert "".join(lines) == expected, out
