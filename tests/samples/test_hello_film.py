"""``hello_film`` says the same in every language, each against a server of its own."""

import re
import shutil
import subprocess
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


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The folder with ``libshotstream_bridge``, built from the sources."""
    need("cmake", "cc", "pkg-config")
    for names in (("libzmq",), ("msgpack-c", "msgpack")):
        if all(subprocess.run(["pkg-config", "--exists", name]).returncode for name in names):
            pytest.skip(f"the headers of {names[0]} are not installed")
    made = tmp_path_factory.mktemp("engine_bridge")
    for command in (
        ["cmake", "-S", ROOT / "engine_bridge", "-B", made, "-DSHOTSTREAM_BRIDGE_TESTS=OFF"],
        ["cmake", "--build", made, "--target", "shotstream_bridge"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return next(made.rglob("libshotstream_bridge.so")).parent


@pytest.fixture
def c(run_program, library, tmp_path):
    program = tmp_path / "hello_film"
    run_program(
        "cc", "-std=c99", FOLDER / "hello_film.c", "-I", ROOT / "engine_bridge/include", "-o", program,
        "-L", library, f"-Wl,-rpath,{library}", "-lshotstream_bridge",
    )  # fmt: skip
    return [program], {}


@pytest.fixture
def csharp(run_program, library, tmp_path):
    need("mcs", "mono")
    core = sorted((ROOT / "engine_bridge/unity/com.shotstream.bridge/Runtime/Core").glob("*.cs"))
    program = tmp_path / "hello_film.exe"
    run_program("mcs", "-langversion:7.2", "-unsafe", f"-out:{program}", FOLDER / "hello_film.cs", *core)
    return ["mono", program], {"LD_LIBRARY_PATH": str(library)}


@pytest.fixture
def gdscript():
    need("godot3-server")
    return ["godot3-server", "--path", ROOT, "-s", FOLDER / "hello_film.gd"], {}


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


@pytest.mark.parametrize("language", ["c", "csharp", "gdscript"])
def test_other_languages_print_the_same(language, serve, run_program, request, expected):
    command, environment = request.getfixturevalue(language)
    out = run_program(*command, server=serve("--clock", "demand"), **environment)
    # Godot greets with its version before the program starts.
    lines = [line for line in out.splitlines(keepends=True) if line.startswith(("shot ", "48 frames "))]
    assert "".join(lines) == expected, out
