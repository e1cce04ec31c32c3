"""Compiling and running the C# sources with Mono, where it is installed."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "engine_bridge/unity/com.shotstream.bridge"
PROGRAMS = Path(__file__).parent
STUBS = PROGRAMS.parent / "unity_stubs"

needs_mcs = pytest.mark.skipif(shutil.which("mcs") is None, reason="no C# compiler; install mono-mcs")
needs_mono = pytest.mark.skipif(shutil.which("mono") is None, reason="no C# runtime; install mono-runtime")


def compile_csharp(out, *sources, uses=(), defines=()):
    """C# 7.2 to ``out``, an .exe or a .dll; a warning is an error."""
    command = ["mcs", "-langversion:7.2", "-unsafe", "-warnaserror", f"-out:{out}"]
    command += [f"-target:{'exe' if out.suffix == '.exe' else 'library'}"]
    command += [f"-r:{one}" for one in uses] + [f"-d:{one}" for one in defines] + [str(one) for one in sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def compile_core(folder):
    """The part of the package that knows nothing of Unity."""
    return compile_csharp(folder / "Shotstream.Core.dll", *sorted((PACKAGE / "Runtime/Core").glob("*.cs")))


def compile_scripts(folder, defines=("UNITY_EDITOR",)):
    """The package's components against the stubs of Unity; all assemblies that are needed to use them."""
    engine = compile_csharp(folder / "UnityEngine.dll", STUBS / "UnityEngine.cs")
    editor = compile_csharp(folder / "UnityEditor.dll", STUBS / "UnityEditor.cs", uses=[engine])
    uses = [engine, compile_core(folder), *([editor] if defines else [])]
    scripts = sorted((PACKAGE / "Runtime").glob("*.cs"))
    return [*uses, compile_csharp(folder / "Shotstream.Runtime.dll", *scripts, uses=uses, defines=defines)]


@contextlib.contextmanager
def running(program, *arguments, library=None):
    """A program under Mono until the end of the ``with``; ``library`` is the folder of libshotstream_bridge."""
    environment = dict(os.environ)
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    command = ["mono", "--debug", str(program), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process, code=0):
    """All that it says, once it has ended with ``code``."""
    out, _ = process.communicate(timeout=240)
    assert process.returncode == code, out
    return out.splitlines()


def read_until(process, pattern):
    """Lines up to the first that fits; the match."""
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.fullmatch(pattern, line.rstrip("\n")):
            return found
    raise AssertionError(f"it ended without {pattern!r}: {''.join(said)}")
