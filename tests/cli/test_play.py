"""The window, on SDL's dummy display."""

import sys
import threading

import pytest

import shotstream as ss
from shotstream.play import play
from shotstream.testing import FakeEngine

FAST = ss.VideoSpec(width_px=160, height_px=96, fps=500.0)


@pytest.fixture(autouse=True)
def dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_every_frame_is_shown():
    with ss.open(engine=FakeEngine(FAST)) as film:
        film.cut("a", frames=30)
        assert play(film, scale=2).frames == 30


def test_slow_engine_keeps_the_last_frame_up():
    with ss.open(engine=FakeEngine(FAST, step_ms=10)) as film:
        film.cut("a", frames=20)
        shown = play(film, scale=1)
    assert shown.frames == 20 and shown.late > 0


def press(key):
    import pygame

    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def test_escape_quits_and_space_holds():
    import pygame

    with ss.open(engine=FakeEngine(FAST)) as film:
        film.cut("a")
        timers = [threading.Timer(0.3, press, [pygame.K_SPACE]), threading.Timer(1.0, press, [pygame.K_ESCAPE])]
        for timer in timers:
            timer.start()
        play(film, scale=1)
        assert film.held


def test_engine_error_reaches_the_caller():
    with ss.open(engine=FakeEngine(FAST, fail_at={(0, 1): RuntimeError("boom")})) as film:
        film.cut("a")
        with pytest.raises(RuntimeError, match="boom"):
            play(film, scale=1)


def test_missing_pygame_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with ss.open("test-chart") as film:
        film.cut("a", frames=1)
        with pytest.raises(ss.DeviceError, match=r"shotstream\[stage\]"):
            play(film)


def test_missing_display_names_the_remedy(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    with ss.open("test-chart") as film:
        film.cut("a", frames=1)
        with pytest.raises(ss.DeviceError, match="shotstream generate"):
            play(film)
