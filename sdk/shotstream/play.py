"""A film live in a window, one frame on every tick. Needs pygame, which ``pip install 'shotstream[stage]'`` brings."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass
from typing import Any

from .errors import ClosedError, DeviceError
from .film import Film
from .frames import Frame


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a viewer saw: ``frames`` distinct frames, and ``late`` ticks on which the one before stayed up."""

    frames: int
    late: int


def require_pygame() -> Any:
    """The module pygame. Raises DeviceError when it is missing."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # its greeting would stand in our output
    try:
        import pygame
    except ImportError as error:
        raise DeviceError(
            "a window needs pygame, which is not installed; run pip install 'shotstream[stage]', "
            "or use 'shotstream generate' to write a file"
        ) from error
    return pygame


def play(film: Film, *, scale: int = 4) -> Shown:
    """Show ``film`` until it ends or the window is closed. Space holds and resumes, Esc quits.

    Frames come from a thread of their own, so the window stays responsive while a block is in work.

    Raises:
        DeviceError: no pygame, or no display.
    """
    pygame = require_pygame()
    size = (film.spec.width_px * scale, film.spec.height_px * scale)
    try:
        pygame.display.init()
        window = pygame.display.set_mode(size)
    except pygame.error as error:
        raise DeviceError(f"no window can be opened ({error}); use 'shotstream generate' to write a file") from error
    pygame.display.set_caption(f"shotstream: {film.bundle}")
    feed = _Feed(film)
    clock = pygame.time.Clock()
    frames = late = 0
    held = False
    try:
        while True:
            for event in pygame.event.get():
                key = event.key if event.type == pygame.KEYDOWN else None
                if event.type == pygame.QUIT or key == pygame.K_ESCAPE:
                    return Shown(frames=frames, late=late)
                if key == pygame.K_SPACE:
                    held = not held
                    if held:
                        film.hold()
                    else:
                        film.resume()
            frame = feed.next()
            if frame is None and feed.done and not held:
                return Shown(frames=frames, late=late)
            if frame is None:
                late += not held
            else:
                frames += 1
                picture = pygame.image.frombuffer(frame.image.tobytes(), frame.image.shape[1::-1], "RGB")
                window.blit(pygame.transform.scale(picture, size), (0, 0))
                pygame.display.flip()
            clock.tick(film.spec.fps)
    finally:
        feed.stop()
        pygame.display.quit()


class _Feed:
    """Frames of a film from a thread, a few at most, so that a cut is soon on screen."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._frames: queue.Queue[Frame] = queue.Queue(maxsize=2)
        self._stop = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="shotstream-window", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """No further frame will come unless a hold is lifted."""
        return not self._thread.is_alive() and self._frames.empty()

    def next(self) -> Frame | None:
        """The next frame if there is one. Raises what stopped the film."""
        try:
            return self._frames.get_nowait()
        except queue.Empty:
            if self._error is not None:
                raise self._error from None
            return None

    def stop(self) -> None:
        self._stop = True

    def _run(self) -> None:
        try:
            while not self._stop:
                for frame in self._film.frames():
                    while not self._stop:
                        with contextlib.suppress(queue.Full):
                            self._frames.put(frame, timeout=0.1)
                            break
                    if self._stop:
                        return
                if not self._film.held:
                    return
                threading.Event().wait(0.02)
        except ClosedError:
            return
        except Exception as error:
            self._error = error
