"""The window on a server's frames, on SDL's dummy display."""

import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import shotstream as ss
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from shotstream.watch import _Window, fitted, watch

pygame = pytest.importorskip("pygame", reason="pygame is not installed; the extra [stage] brings it")
FAST = ss.VideoSpec(width_px=160, height_px=96, fps=200.0)


@pytest.fixture(autouse=True)
def dummy_display(monkeypatch, tmp_path):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SHOTSTREAM_RUNTIME", str(tmp_path / "runtime"))


@pytest.fixture
def server():
    with Server(ss.open("test-chart", engine=FakeEngine(FAST), ahead=1), ServerConfig()) as server:
        yield server


def press(key):
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def picture_of(path):
    """The picture in the window, at the size of the stream."""
    window = np.asarray(Image.open(path).convert("RGB"))
    return window[:: window.shape[0] // FAST.height_px, :: window.shape[1] // FAST.width_px]


def test_every_frame_is_shown_and_the_last_one_is_in_the_picture(run, tmp_path):
    with Server(ss.open("test-chart", engine=FakeEngine(FAST), ahead=1), ServerConfig(clock="demand")):
        with ss.connect() as director:
            director.cut("a fox", frames=30)
        arguments = ("--mode", "lossless", "--frames", 30, "--screenshot", "deep/window.png")
        assert run("watch", *arguments) == (0, "30 frames shown, 0 left out\n", "")
    window = Image.open(tmp_path / "deep/window.png")
    assert window.size == (640, 384)
    with ss.open("test-chart") as film:
        film.cut("a fox", frames=30)
        *_, last = film.frames()
    shown = picture_of(tmp_path / "deep/window.png")
    assert (shown[48:] == last.image[48:]).all(), "the lower half, below the figures"
    assert (shown[:16, :80] != last.image[:16, :80]).any(), "the figures"


def test_the_figures_come_and_go(server):
    with ss.connect(role="director") as client:
        client.cut("a fox")
        stream = client.open_stream()
        window = _Window(client, pygame)
        assert window._lines() == ("waiting for the first frame",)
        wait_for(lambda: stream.ready)
        window.show(stream.take())
        assert any("frames/s" in line for line in window._lines())
        press(pygame.K_h)
        assert window.handle_events() and window._lines() == ()
        window.close()


def test_space_needs_the_operator(server):
    with ss.connect(role="viewer") as client:
        window = _Window(client, pygame)
        press(pygame.K_SPACE)
        assert window.handle_events()
        assert any("needs the role operator" in line for line in window._lines())
        window.close()
    assert not server.film.held


def test_keys_hold_resume_and_quit(server, monkeypatch):
    frames, shown, show = [], [], _Window.show
    monkeypatch.setattr(_Window, "show", lambda window, frame: (show(window, frame), frames.append(frame)))
    with ss.connect() as client:
        client.cut("a fox")
        thread = threading.Thread(target=lambda: shown.append(watch(client)))
        thread.start()
        wait_for(lambda: frames)
        press(pygame.K_SPACE)
        wait_for(lambda: server.film.held)
        press(pygame.K_ESCAPE)
        thread.join(30)
    assert shown[0].frames > 0


def test_the_picture_stays_when_the_server_goes(server):
    with ss.connect(role="director") as client:
        client.cut("a fox")
        stream = client.open_stream()
        window = _Window(client, pygame)
        wait_for(lambda: stream.ready)
        window.show(stream.take())
        server.close()
        wait_for(lambda: not client.connected)
        window.draw()
        assert any("no connection" in line for line in window._lines())
        assert pygame.surfarray.array3d(pygame.display.get_surface())[320:].any()
        window.close()


@pytest.mark.parametrize(
    ("window", "area"),
    [
        ((640, 384), (0, 0, 640, 384)),
        ((640, 640), (0, 128, 640, 384)),
        ((1000, 96), (420, 0, 160, 96)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_the_shape_of_the_picture_is_kept(window, area):
    assert fitted((160, 96), window) == area


def test_without_a_server_it_says_how_to_start_one(run, monkeypatch):
    import shotstream.bridge

    connect = shotstream.bridge.connect
    monkeypatch.setattr(shotstream.bridge, "connect", lambda *args, **options: connect(*args, **options, timeout=0.2))
    code, _, err = run("watch")
    assert code == 2 and "shotstream serve" in err


def test_missing_pygame_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    code, _, err = run("watch")
    assert code == 2 and "shotstream[stage]" in err


def test_a_picture_that_cannot_be_written_is_named(server, run):
    with ss.connect() as client:
        client.cut("a fox")
        code, _, err = run("watch", "--frames", 1, "--screenshot", "/proc/x/window.png")
    assert code == 2 and "/proc/x/window.png cannot be written" in err
