"""The C library from outside: its own test programs, plain and under sanitizers; what it exports and installs; the
program in its header."""

import json
import os
import re
import shutil
import subprocess

import pytest

import shotstream as ss
from shotstream.bridge import messages as m
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine

from .c_library import ROOT, SANITIZERS, SOURCE, K, build, needs_library

pytestmark = needs_library
GOLDEN = ROOT / "tests/golden/bridge"
EXPORTED = """
    abi_version answer_read branch checkpoint client_config_init client_create client_destroy client_last_error
    client_reconnect client_stats control cut download event_next forget frame_acquire frame_copy frame_release now_ns
    prepare prompt query request restore result_name set_variables trigger upload world
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A build with its test programs."""
    return build(tmp_path_factory.mktemp("c_plain"))


@pytest.fixture
def story():
    """Runs ``story_of_a_client`` of a build against a server; its output."""

    def tell(folder, **environment):
        film = ss.open("test-chart", engine=FakeEngine(), ahead=1)
        with Server(film, ServerConfig(clock="demand", rate_hz=10_000, burst=10_000)):
            return run(folder / "tests/story_of_a_client", 200, env={**os.environ, **environment})

    return tell


# --- test programs -----------------------------------------------------------------------------------------------


def test_the_story_of_a_client(plain, story):
    story(plain)


def test_a_client_without_a_server(plain):
    run(plain / "tests/lonely_checks")


def number_of(kind, word):
    return K[f"{kind}_{word.upper()}"]


def test_golden_examples_are_read_field_by_field(plain):
    found = {}
    for line in run(plain / "tests/wire_checks", GOLDEN).splitlines():
        fields = json.loads(line)
        found[fields.pop("name")] = fields
    for name, fields in found.items():
        wanted = json.loads((GOLDEN / "messages.json").read_text())[name]
        assert fields == expected_of(name, wanted), name
    assert len(found) == 16


def expected_of(name, wanted):
    """What the C side should say of a golden example."""
    kind = wanted.pop("t")
    if kind == "welcome":
        keys = ("proto", "epoch", "session", "frm_port", "lease_ms", "c0", "s1", "s2")
        plain = {key: wanted[key] for key in keys}
        stream = wanted["stream"]
        plain |= {"id": 0, "role": number_of("ROLE", wanted["role"]), "window": wanted["limits"]["window"]}
        plain |= {"w": stream["w"], "h": stream["h"], "rate_num": stream["rate"][0], "rate_den": stream["rate"][1]}
        return plain | {"resumed": 1, "bundle": stream["bundle"]}
    if kind == "result":
        return {"id": wanted.pop("id"), "json": wanted}
    if kind == "state":
        times = {"queued": -1, "started": -1, "on_air": -1} | wanted.pop("lat")
        return wanted | times | {"state": number_of("STATE", wanted["state"])}
    if kind == "subscribed":
        shared = wanted.get("shm") or {"slots": 0, "stride": 0}
        plain = {key: wanted[key] for key in ("id", "st", "window", "frame_bytes")}
        name = {"shm": shared["name"]} if "name" in shared else {}
        return plain | {"slots": shared["slots"], "stride": shared["stride"]} | name
    if kind == "saved":
        return {"slug" if key == "name" else key: value for key, value in wanted.items()}
    if kind == "chunk":
        return {"id": wanted["id"], "offset": 0, "total": 5, "size": 5, "last": ord("A")}
    if kind == "event":
        empty = {"id": 0, "frame": -1, "shot": -1, "count": 0, "text": ""}
        rest = {key: wanted[key] for key in ("frame", "shot", "count", "text") if key in wanted}
        return empty | rest | {"event": number_of("EVENT", wanted["kind"]), "beat": wanted.get("name", "")}
    if kind == "frame":
        plain = {"slot": 0, "seq": 0, "drop": 0, "org": "top_left", "loc": "inline"} | wanted
        plain |= {"fmt": number_of("FORMAT", plain["fmt"]), "org": number_of("ORIGIN", plain["org"]), "cs": 1}
        return plain | {"loc": number_of("LOCATION", plain["loc"]), "size": plain["str"] * plain["h"]}
    defaults = {"reject": {"id": 0, "retry_ms": 0}, "error": {}, "ack": {}, "pong": {"id": 0}}[kind]
    wanted.pop("proto_min", None), wanted.pop("proto_max", None)
    return defaults | wanted


def test_every_message_of_the_server_is_read_or_known_not_to_be():
    read = set(re.findall(r"SHS_T_(\w+), WIRE_", (SOURCE / "core/wire_read.c").read_text()))
    tags = {kind.__struct_config__.tag for kind in m.ServerMessage.__args__}
    assert read == {tag.upper() for tag in tags}


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_sanitizers_find_nothing(tmp_path, story, sanitizer):
    environment = {**os.environ, **SANITIZERS[sanitizer]}
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    made = subprocess.run(["cc", f"-fsanitize={sanitizer}", probe, "-o", tmp_path / "probe"], capture_output=True)
    if made.returncode or subprocess.run([tmp_path / "probe"], env=environment, capture_output=True).returncode:
        pytest.skip(f"this machine cannot run programs built with -fsanitize={sanitizer}")
    folder = build(tmp_path / "build", f"-DSHOTSTREAM_BRIDGE_SANITIZE={sanitizer}", "-DCMAKE_BUILD_TYPE=Debug")
    story(folder, **SANITIZERS[sanitizer])
    run(folder / "tests/lonely_checks", env=environment)
    run(folder / "tests/wire_checks", GOLDEN, env=environment)


# --- what comes out of the build ---------------------------------------------------------------------------------


def test_nothing_but_the_interface_is_exported(plain):
    lines = run("nm", "-D", "--defined-only", plain / "libshotstream_bridge.so").splitlines()
    assert {line.split()[-1] for line in lines} == {f"shs_{name}" for name in EXPORTED.split()}
    declared = set(re.findall(r"SHS_API [\w *]+?(shs_\w+)\(", (SOURCE / "include/shotstream.h").read_text()))
    assert declared == {f"shs_{name}" for name in EXPORTED.split()}
    dynamic = run("readelf", "-d", plain / "libshotstream_bridge.so")
    assert "libshotstream_bridge.so.1" in dynamic and "libstdc++" not in dynamic


def header_program():
    """The program in the comment that opens the header."""
    comment = (SOURCE / "include/shotstream.h").read_text().split("*/")[0]
    lines = [line.removeprefix(" *   ") for line in comment.splitlines() if line.startswith(" *   ")]
    return "\n".join(lines).replace("//", "/*").replace("once a tick", "once a tick */") + "\n"


def test_the_program_in_the_header_runs_with_an_installed_library(plain, serve, tmp_path):
    prefix = tmp_path / "prefix"
    run("cmake", "--install", plain, "--prefix", prefix)
    source = tmp_path / "usage.c"
    source.write_text(header_program())
    library = next(prefix.rglob("libshotstream_bridge.so")).parent
    found = {**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library)}
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(usage C)\nfind_package(shotstream_bridge 1 REQUIRED)\n"
        "add_executable(usage usage.c)\ntarget_link_libraries(usage shotstream::shotstream_bridge)\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "by_cmake", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "by_cmake")
    flags = run("pkg-config", "--cflags", "--libs", "shotstream_bridge", env=found).split()
    moved = [flag.replace("/usr/local", str(prefix)) for flag in flags]
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    run("cc", *strict, source, *moved, "-o", tmp_path / "by_pkg_config", env=found)
    serve(clock="demand")
    for program in (tmp_path / "by_cmake/usage", tmp_path / "by_pkg_config"):
        lines = run(program, env=found).splitlines()
        assert len(lines) == 24 and all(re.fullmatch(r"frame \d+ of shot \d+, red \d+", line) for line in lines)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind; install it")
def test_valgrind_finds_nothing_in_a_client_without_a_server(plain):
    strict = ["--error-exitcode=3", "--leak-check=full", "--errors-for-leak-kinds=definite", "-q"]
    run("valgrind", *strict, plain / "tests/wire_checks", GOLDEN)


# --- fuzzing -----------------------------------------------------------------------------------------------------


def test_twenty_seconds_of_fuzzing_find_nothing(tmp_path):
    if shutil.which("clang") is None:
        pytest.skip("no clang; install clang and its libclang-rt-*-dev for libFuzzer")
    probe = tmp_path / "probe.c"
    probe.write_text("int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { (void)d; (void)n; return 0; }\n")
    made = subprocess.run(["clang", "-fsanitize=fuzzer,address", probe, "-o", tmp_path / "probe"], capture_output=True)
    if made.returncode:
        pytest.skip("clang has no libFuzzer here; install libclang-rt-*-dev of its version")
    options = ["-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++", "-DSHOTSTREAM_BRIDGE_TESTS=OFF"]
    folder = build(tmp_path / "build", "-DSHOTSTREAM_BRIDGE_FUZZ=ON", *options)
    (tmp_path / "found").mkdir()
    limits = ["-max_total_time=20", "-max_len=4096", "-malloc_limit_mb=64"]
    run(folder / "fuzz/fuzz_messages", "-seed=1", *limits, tmp_path / "found", GOLDEN, cwd=tmp_path)
