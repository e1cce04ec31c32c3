"""What the C# core believes of ``shotstream.h`` is so: sizes, offsets, constants and functions."""

import os
import re
import shutil
import subprocess

import pytest

from tests.bridge.csharp import PROGRAMS, ROOT, compile_core, compile_csharp, lines_of, needs_mcs, needs_mono, running

INCLUDE = ROOT / "engine_bridge/include"
CC = shutil.which(os.environ.get("CC", "cc"))
pytestmark = [needs_mcs, needs_mono]

LEFT_OUT = {"shs_request"}
"""Functions that C# does not have: its callers have no msgpack."""


@pytest.fixture(scope="module")
def believed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    program = compile_csharp(folder / "Layout.exe", PROGRAMS / "Layout.cs", uses=[compile_core(folder)])
    with running(program) as process:
        return lines_of(process)


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def expression(line):
    """The C expression that has the number at the end of ``line``."""
    kind, *words, _ = line.split()
    struct = "shs_client_config" if words[0] == "Config" else f"shs_{snake(words[0])}"
    if kind == "struct":
        return f"sizeof({struct})"
    if kind == "field":
        return f"offsetof({struct}, {snake(words[1])})"
    return f"SHS_{snake(words[0]).upper()}"


@pytest.mark.skipif(CC is None, reason="no C compiler; install gcc or set CC")
def test_structs_and_constants_are_those_of_the_header(believed, tmp_path):
    lines = [line for line in believed if not line.startswith("import ")]
    assert sum(line.startswith("struct ") for line in lines) == 5 and any("EventConnected" in line for line in lines)
    prints = "".join(
        f'printf("%s %lld\\n", "{line.rsplit(" ", 1)[0]}", (long long)({expression(line)}));\n' for line in lines
    )
    source = tmp_path / "layout.c"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "shotstream.h"\nint main(void) {{\n{prints}return 0;\n}}\n'
    )
    subprocess.run([CC, "-std=c99", f"-I{INCLUDE}", source, "-o", tmp_path / "layout"], check=True, timeout=120)
    real = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert lines == real.splitlines()


def test_every_function_is_imported(believed):
    imported = {line.split()[1] for line in believed if line.startswith("import ")}
    declared = set(re.findall(r"^SHS_API [^(]*?(shs_\w+)\(", (INCLUDE / "shotstream.h").read_text(), re.M))
    assert len(declared) > 20 and declared - imported == LEFT_OUT and imported <= declared
