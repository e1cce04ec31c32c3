"""The C++ of packing and of the ring under sanitizers, and its header as C99."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CXX = shutil.which(os.environ.get("CXX", "c++"))
CC = shutil.which(os.environ.get("CC", "cc"))


@pytest.mark.skipif(CXX is None, reason="no C++ compiler; install g++ or set CXX")
def test_sanitizers_find_nothing_in_packing_and_ring(tmp_path):
    program = tmp_path / "native_checks"
    sources = [ROOT / "tests/bridge/native_checks.cpp"]
    sources += [ROOT / "csrc/cpu" / name for name in ("pack.cpp", "pixels.cpp", "frame_ring.cpp")]
    options = [
        "-std=c++17",
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-ffp-contract=off",
    ]
    command = [CXX, *options, "-Wall", "-Wextra", f"-I{ROOT}/csrc/include", *map(str, sources), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0 and "warning" not in built.stderr, built.stderr
    done = subprocess.run([program, "100000"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    words = done.stdout.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert counts["packed"] == 2 * (3 * 67 + 33) + 67 and min(counts.values()) > 500, counts


@pytest.mark.skipif(CC is None, reason="no C compiler; install gcc or set CC")
def test_the_layout_is_c99_without_hidden_padding(tmp_path):
    source = tmp_path / "layout.c"
    source.write_text(
        '#include <stddef.h>\n#include "shotstream/frame_ring.h"\n'
        "typedef char frame_has_192_bytes[sizeof(shs_ring_frame) == 192 ? 1 : -1];\n"
        "typedef char counter_at_160[offsetof(shs_ring_header, num_written) == 160 ? 1 : -1];\n"
        "typedef char frame_at_64[offsetof(shs_ring_slot, frame) == 64 ? 1 : -1];\n"
    )
    options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wpadded", "-Werror", f"-I{ROOT}/csrc/include"]
    built = subprocess.run([CC, *options, "-c", source, "-o", tmp_path / "layout.o"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
