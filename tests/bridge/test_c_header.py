"""The header of the C interface: it compiles as C99 and C++11, and its structs keep their sizes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "engine_bridge/include/shotstream.h"
CC = shutil.which(os.environ.get("CC", "cc"))
CXX = shutil.which(os.environ.get("CXX", "c++"))
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{HEADER.parent}"]

SIZES = {
    "sizeof(shs_frame)": 192,
    "offsetof(shs_frame, frame_id)": 8,
    "offsetof(shs_frame, shot_id)": 64,
    "offsetof(shs_frame, width)": 88,
    "offsetof(shs_frame, timecode)": 120,
    "offsetof(shs_frame, data_size)": 136,
    "offsetof(shs_frame, data)": 152,
    "offsetof(shs_frame, dropped)": 160,
    "sizeof(shs_event)": 384,
    "offsetof(shs_event, request_id)": 32,
    "offsetof(shs_event, latency_ms)": 48,
    "offsetof(shs_event, name)": 88,
    "offsetof(shs_event, text)": 160,
    "sizeof(shs_param)": 40,
    "sizeof(shs_client_config)": 104,
    "sizeof(shs_stats)": 176,
}
"""On 64-bit machines. Other languages have these numbers too; they may grow at the end with a new minor version."""


def compile_text(tmp_path, compiler, text, suffix, *options):
    source = tmp_path / f"header{suffix}"
    source.write_text(text)
    command = [compiler, *STRICT, *options, "-c", source, "-o", tmp_path / "header.o"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(CC is None, reason="no C compiler; install gcc or set CC")
def test_the_header_is_c99_without_hidden_padding(tmp_path):
    built = compile_text(tmp_path, CC, '#include "shotstream.h"\n', ".c", "-std=c99", "-Wpadded")
    assert built.returncode == 0, built.stderr


@pytest.mark.skipif(CXX is None, reason="no C++ compiler; install g++ or set CXX")
def test_the_header_is_cxx11(tmp_path):
    built = compile_text(tmp_path, CXX, '#include "shotstream.h"\n', ".cpp", "-std=c++11")
    assert built.returncode == 0, built.stderr


@pytest.mark.skipif(CC is None, reason="no C compiler; install gcc or set CC")
def test_structs_keep_their_sizes(tmp_path):
    checks = "".join(f'_Static_assert({what} == {size}, "{what}");\n' for what, size in SIZES.items())
    text = f'#include <stddef.h>\n#include "shotstream.h"\n#include "shotstream/frame_ring.h"\n{checks}'
    text += '_Static_assert(offsetof(shs_frame, data) == offsetof(shs_ring_frame, data_offset), "ring");\n'
    built = compile_text(tmp_path, CC, text, ".c", "-std=c11", f"-I{ROOT}/csrc/include")
    assert built.returncode == 0, built.stderr
