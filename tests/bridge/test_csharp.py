"""The C# core under Mono, over the real C library, against the real server."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from shotstream.bridge import auth
from shotstream.bridge.child import ServerProcess
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.testing import draw_chart
from tests.bridge.c_library import needs_library
from tests.bridge.csharp import (
    PACKAGE,
    PROGRAMS,
    STUBS,
    compile_core,
    compile_csharp,
    lines_of,
    needs_mcs,
    needs_mono,
    read_until,
    running,
)
from tests.bridge.waiting import PATIENCE_S, halt

PROMPT = "ein roter Fuchs im Schnee: 雪"
pytestmark = [needs_mcs, needs_mono, needs_library]


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    return compile_core(tmp_path_factory.mktemp("csharp"))


@pytest.fixture(scope="module")
def scenarios(core):
    return compile_csharp(core.parent / "Scenarios.exe", PROGRAMS / "Scenarios.cs", uses=[core])


@pytest.fixture
def start(scenarios, c_library, ends):
    """Starts a scenario; it is ended with the test."""
    return lambda *words: ends.enter_context(running(scenarios, *words, library=Path(c_library._name).parent))


@pytest.fixture
def play(start):
    """Runs a scenario; its lines."""
    return lambda *words, code=0: lines_of(start(*words), code)


def test_hello_tells_what_there_is(serve, play):
    server = serve()
    before = steady_ns()
    lines = play("hello")
    assert lines[0] == "connected True 1 test-chart 160x96 16 Trigger"
    assert lines[1] == f"epoch {server.epoch}"
    assert before - 1e9 < int(lines[2].split()[1]) < steady_ns() + 1e9
    assert lines[3] == "error ''"
    answer = json.loads(lines[4].removeprefix("answer "))
    assert answer["status"]["bundle"] == "test-chart" and answer["status"]["viewers"][0]["client"] == "scenarios"


@pytest.mark.parametrize("memory", ["inline", "shared"])
@pytest.mark.parametrize(
    ("format", "origin"),
    [("Rgb8", "TopLeft"), ("Rgba8", "BottomLeft"), ("Bgra8", "TopLeft"), ("Nv12", "TopLeft")],
)
def test_frames_are_those_of_the_film_bit_for_bit(serve, play, tmp_path, format, origin, memory):
    server = serve(clock="demand")
    lines = play("frames", format, origin, memory, tmp_path / "pixels")
    spec = server.film.spec
    layout = PixelLayout(
        width_px=spec.width_px,
        height_px=spec.height_px,
        format=PixelFormat(format.lower()),
        origin=Origin(re.sub(r"(?<!^)(?=[A-Z])", "_", origin).lower()),
    )
    pixels = np.fromfile(tmp_path / "pixels", np.uint8).reshape(48, -1)
    assert len(lines) == 50 and lines[48:] == ["too small TooLarge", "held False 0"]
    for number, line in enumerate(lines[:48]):
        words = line.split()
        block = int(words[5])
        cut = number == 0
        assert words[:5] == ["frame", str(number), str(number), "0", str(number)]
        assert words[6:] == [
            str(cut),
            str(cut),
            "0",
            "5",
            f"{number / 16:.15g}",
            "Shm" if memory == "shared" else "Inline",
        ]
        chart = draw_chart(spec, shot=0, block=block, frame=number, caption=PROMPT, seed=5)
        np.testing.assert_array_equal(pixels[number], np.frombuffer(layout.pack(chart), np.uint8))


def test_a_command_goes_through_its_states(serve, play):
    serve(clock="demand")
    lines = play("states")
    assert lines[0] == "cut Presented command 1 frame 0 changes True"
    latency = {words[1]: float(words[2]) for words in map(str.split, lines) if words[0] == "latency"}
    passed = [latency[state] for state in ("Queued", "Started", "Generated", "OnAir", "Presented")]
    assert passed == sorted(passed) and passed[-1] > 0 and latency["Failed"] == latency["Superseded"] == -1
    for name in ("world", "hold", "resume", "clear"):
        assert f"{name} accepted True" in lines
    assert {"Connected", "ShotStart"} <= set(lines[-1].split())


def test_a_save_file_brings_the_film_back_and_a_prepared_shot_is_taken(serve, play):
    serve(ahead=0)
    assert play("saves") == [
        "checkpoint accepted True",
        "download accepted True",
        "whole True shot 0",
        "forget accepted True",
        "refused SHS_E_INVALID True",
        "upload accepted True",
        "restore accepted True",
        "back True True",
        "owl 1 9 True",
    ]


def test_refusals_are_exceptions_with_their_code(serve, play):
    serve()
    assert play("refusals") == [
        "refused SHS_E_DENIED True",
        "refused SHS_E_INVALID True",
        "refused SHS_E_INVALID True",
        "refused ArgumentException",
        "refused ArgumentException",
        "error 'True'",
        "refused SHS_E_INVALID True",
        "refused SHS_E_INVALID True",
        "refused SHS_E_CONNECT True",
        "refused SHS_E_TIMEOUT True",
        "refused ObjectDisposedException",
    ]


def test_a_wrong_token_is_refused_as_that(serve, play):
    server = serve()
    (line,) = play("token", server.ctl, "0" * 64, code=3)
    assert line.startswith("refused Auth SHS_E_AUTH ")
    token = auth.read_connection(server.connection_file).tokens["director"]
    assert play("token", server.ctl, token) == ["connected"]


def test_it_comes_back_after_a_restart_of_the_server(serve, start):
    first = serve()
    process = start("restart")
    assert read_until(process, r"connected (\d+)")[1] == "1"
    last = int(read_until(process, r"frame (\d+) [1-9]\d*")[1])
    first.close()
    read_until(process, r"disconnected \w+")
    serve()
    assert read_until(process, r"before (\w+)")[1] == "Stale"
    assert read_until(process, r"connected (\d+)")[1] == "2"
    assert int(read_until(process, r"frame (\d+) \d+")[1]) > last
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0


def test_leaving_a_server_that_hangs_takes_no_longer(start, monkeypatch):
    with ServerProcess("--bundle", "test-chart") as server:
        server.connect(role="viewer").close()
        monkeypatch.setenv("SHOTSTREAM_RUNTIME", str(server.runtime))
        process = start("dispose")
        read_until(process, "ready")
        halt(server.process.pid)
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            took_ms = int(read_until(process, r"disposed (\d+)")[1])
            assert read_until(process, r"released (\w+)")[1] == "False"
            assert process.wait(PATIENCE_S) == 0
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert took_ms < 5000


def test_the_tests_of_the_package_pass(core, c_library):
    folder = core.parent
    runner = compile_csharp(folder / "NUnit.exe", STUBS / "NUnit.cs")
    tests = compile_csharp(folder / "Tests.dll", *sorted((PACKAGE / "Tests/Runtime").glob("*.cs")), uses=[runner, core])
    with running(runner, tests, library=Path(c_library._name).parent) as process:
        lines = lines_of(process)
    assert len(lines) > 3 and all(line.startswith("passed ") for line in lines), lines
