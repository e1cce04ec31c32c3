"""The Unity components, with stubs for an engine, under Mono against the real server: what a scene with them does."""

import os
from pathlib import Path

import numpy as np
import pytest

import shotstream as ss
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.bridge.server import Server, ServerConfig
from shotstream.story.beat_files import parse_beats
from shotstream.testing import FakeEngine, draw_chart
from tests.bridge.c_library import needs_library
from tests.bridge.csharp import PROGRAMS, compile_csharp, compile_scripts, lines_of, needs_mcs, needs_mono, running
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.story.test_beats import BOOK

pytestmark = [needs_mcs, needs_mono, needs_library]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unity")
    return compile_csharp(folder / "Play.exe", PROGRAMS / "Play.cs", uses=compile_scripts(folder))


@pytest.fixture
def start(scenes, c_library, ends):
    """Starts a scene; it is ended with the test."""
    return lambda *words: ends.enter_context(running(scenes, *words, library=Path(c_library._name).parent))


@pytest.fixture
def serve_story(ends):
    """Starts servers with the beats of ``BOOK``."""

    def start():
        film = ss.open("test-chart", engine=FakeEngine(), ahead=0)
        book = parse_beats(BOOK, "beats.yaml").book
        return ends.enter_context(Server(film, ServerConfig(clock="demand"), book=book))

    return start


def test_the_film_is_on_the_texture_with_its_bottom_row_first(serve, start, tmp_path):
    server = serve()
    lines = lines_of(start("film", tmp_path / "shown"))
    spec = server.film.spec
    layout = PixelLayout(
        width_px=spec.width_px, height_px=spec.height_px, format=PixelFormat.RGBA8, origin=Origin.BOTTOM_LEFT
    )
    shown = [line.split() for line in lines if line.startswith("shown ")]
    pixels = np.fromfile(tmp_path / "shown", np.uint8).reshape(12, -1)
    assert len(shown) == 12 and lines[0] == "connected" and "shot 0" in lines
    for (_, frame, block, size, held), picture in zip(shown, pixels, strict=True):
        chart = draw_chart(spec, shot=0, block=int(block), frame=int(frame), caption="a fox", seed=server.film.seed)
        np.testing.assert_array_equal(picture, np.frombuffer(layout.pack(chart), np.uint8))
        assert (size, held) == ("160x96", "False")
    assert lines[-4:] == ["on renderer True", "on image True", "kept True", "freed True"]


def test_the_client_leaves_before_scripts_are_reloaded_and_when_play_ends(serve, start):
    serve()
    lines = lines_of(start("leave"))
    assert [line for line in lines if line != "connected"] == ["reload True", "play True", "stop True"]


def test_without_the_library_the_component_says_so_and_the_game_goes_on(scenes):
    with running(scenes, "alone", library=os.devnull) as process:
        lines = lines_of(process)
    assert lines[0].startswith("error shotstream: ") and "shotstream_bridge" in lines[0]
    assert lines[1] == "problem True connection True" and lines[-1] == "sent False"
    assert any(line.startswith("trouble ") for line in lines)


def test_beats_are_triggered_by_call_nearness_touch_and_time(serve_story, start):
    serve_story()
    lines = lines_of(start("beats"))
    assert lines[0].startswith("walk failed")  # nobody had connected
    for beat in ("walk", "low", "also"):
        assert lines.index(f"{beat} accepted") < lines.index(f"{beat} on air")
    (failed,) = (line for line in lines if line.startswith("danger failed"))
    assert "threat > 0.5" in failed and "danger accepted" not in lines
    assert lines[-1] == "touched 1"


def test_variables_follow_the_game_also_to_a_server_that_was_restarted(serve_story, start, connect):
    wanted = {"weather": "rain", "threat": 0.75}
    first = serve_story()
    process = start("variables")
    viewer = connect(role="viewer")
    wait_until(lambda: viewer.variables() == wanted)
    first.close()
    serve_story()
    wait_until(lambda: connect(role="viewer").variables() == wanted)
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
