"""Compiling and running the C# sources with Mono, where it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "engine_bridge/unity/com.shotstream.bridge"
PROGRAMS = Path(__file__).parent

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


def mono(program, *arguments, library=None, **environment):
    """A running program; ``library`` is the folder of libshotstream_bridge."""
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    command = ["mono", "--debug", str(program), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
