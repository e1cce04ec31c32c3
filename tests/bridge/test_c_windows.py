"""The C library for Windows: compiled and linked by mingw-w64. libzmq and msgpack-c for Windows are not at hand, so it
is linked with import libraries made from the names it uses, and nothing is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .c_library import ROOT, SOURCE

PREFIX = "x86_64-w64-mingw32-"
HEADERS = Path("/usr/include")


def missing():
    """Why this cannot be done here; None when it can."""
    tools = [PREFIX + tool for tool in ("gcc", "g++", "dlltool", "nm") if shutil.which(PREFIX + tool) is None]
    if tools:
        return f"no {', '.join(tools)}; install gcc-mingw-w64-x86-64 and g++-mingw-w64-x86-64"
    headers = [name for name in ("zmq.h", "msgpack.h") if not (HEADERS / name).exists()]
    return f"no {HEADERS}/{headers[0]}; install libzmq3-dev and libmsgpack-dev" if headers else None


REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no build for Windows: {REASON}")
STRICT = ["-O1", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def includes(tmp_path_factory):
    """A folder with the two libraries' headers and none of this system's; both are written for Windows as well."""
    folder = tmp_path_factory.mktemp("headers")
    for name in ("zmq.h", "zmq_utils.h", "msgpack.h", "msgpack"):
        if (HEADERS / name).exists():
            (folder / name).symlink_to(HEADERS / name)
    ours = (SOURCE / "include", SOURCE / "core", ROOT / "csrc/include", folder)
    return [f"-I{one}" for one in ours]


@pytest.fixture(scope="module")
def library(includes, tmp_path_factory):
    """(import library, DLL)."""
    folder = tmp_path_factory.mktemp("windows")
    objects = []
    for source in sorted((SOURCE / "core").glob("*.c")):
        if source.name == "os_posix.c":
            continue
        objects.append(folder / f"{source.stem}.o")
        options = ["-std=c99", "-DSHS_BUILDING_LIBRARY", *STRICT, *includes]
        run(PREFIX + "gcc", *options, "-c", source, "-o", objects[-1])
    objects.append(folder / "frame_ring.o")
    options = ["-std=c++17", "-fno-exceptions", "-fno-rtti", *STRICT, *includes]
    run(PREFIX + "g++", *options, "-c", ROOT / "csrc/cpu/frame_ring.cpp", "-o", objects[-1])
    unresolved = {line.split()[-1] for line in run(PREFIX + "nm", "-u", *objects).splitlines() if " U " in line}
    libraries = []
    for dll, start in (("libzmq.dll", "zmq_"), ("libmsgpackc.dll", "msgpack_")):
        names = sorted(name.removeprefix("__imp_") for name in unresolved if start in name)
        assert names, dll
        definition = folder / f"{dll}.def"
        definition.write_text(f"LIBRARY {dll}\nEXPORTS\n" + "".join(f"  {name}\n" for name in names))
        libraries.append(folder / f"{dll}.a")
        run(PREFIX + "dlltool", "-d", definition, "-D", dll, "-l", libraries[-1])
    made = folder / "shotstream_bridge.dll.a", folder / "shotstream_bridge.dll"
    run(PREFIX + "gcc", "-shared", *objects, *libraries, "-o", made[1], f"-Wl,--out-implib,{made[0]}")
    return made


def test_the_library_links_and_exports_its_interface_alone(library):
    from .test_c_native import EXPORTED

    text = run(PREFIX + "objdump", "-p", library[1])
    exported = {
        line.split()[-1] for line in text.split("[Ordinal/Name Pointer] Table")[1].splitlines() if "shs_" in line
    }
    assert exported == {f"shs_{name}" for name in EXPORTED.split()}
    assert "libstdc++" not in text and "libzmq.dll" in text


@pytest.mark.parametrize(
    "source",
    [
        "engine_bridge/tests/lonely_checks.c",
        "engine_bridge/tests/story_of_a_client.c",
        "samples/hello_film/hello_film.c",
    ],
)
def test_programs_link(library, includes, source, tmp_path):
    system = [SOURCE / "core/os_windows.c"] if "story" in source else []
    program = tmp_path / "program.exe"
    run(PREFIX + "gcc", "-std=c99", *STRICT, *includes, ROOT / source, *system, library[0], "-o", program)
    assert program.read_bytes()[:2] == b"MZ"
