"""The programme: a thread that takes frames from a film and releases each when it is due.

In real time the film runs at its own rate whether anybody watches or not. On demand a frame is taken only when somebody
has room for it, which a recorder uses to get every frame of a slow engine, and a test to get the same ones on every
run.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from ..errors import ClosedError, ScriptError
from ..film import Film
from ..frames import Frame
from .clock import Clock, Pacer, steady_ns

log = logging.getLogger("shotstream.bridge")

SessionClock = Literal["realtime", "demand"]
P = TypeVar("P")

AHEAD_NS = 4_000_000
"""Before a frame is due: enough to pack it, and late enough to know who will take it."""
FETCH_NS = 8_000_000
"""Before a frame is due it is taken from the film, and no sooner: a prepared shot that is taken until then comes with
this frame. A judge of pictures needs longer, so then it is taken at once."""
PAUSE_NS = 2_000_000
"""After a frame was due, this thread leaves the processor to its way out; at most a quarter of a period."""


class Program(Generic[P]):
    """Runs until ``close``.

    Args:
        film: read by this thread only, as far as frames go; the caller closes it first.
        pack: called in this thread with each frame and when it is due, up to ``AHEAD_NS`` before that.
        release: called in this thread right after, with what ``pack`` made of it. The frame goes out when it is due,
            which whoever is called here sees to: to be woken for it by this thread would cost time.
        failed: called in this thread when a shot was refused, or the engine stopped for good.
        look: called in this thread with each frame before it is due; returns the frame to show.
    """

    def __init__(
        self,
        film: Film,
        *,
        clock: SessionClock,
        pack: Callable[[Frame, int], P],
        release: Callable[[Frame, P, int], None],
        failed: Callable[[Exception], None],
        look: Callable[[Frame], Frame] | None = None,
        now: Clock = steady_ns,
    ) -> None:
        self._film = film
        self._on_demand = clock == "demand"
        self._pack, self._release, self._failed = pack, release, failed
        self._look, self._now = look, now
        self._pacer = Pacer(film.spec.fps, clock=now)
        self._pause_ns = min(PAUSE_NS, round(0.25e9 / film.spec.fps))
        self._closing = threading.Event()
        self._wanted = threading.Semaphore(0)
        self._released: deque[int] = deque(maxlen=64)
        self._thread = threading.Thread(target=self._run, name="shotstream-program", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def late(self) -> int:
        """Times a frame was not ready when it was due."""
        return self._pacer.late

    def fps(self) -> float:
        """Frames a second over the last 64 frames, 0 when none came in the last two seconds."""
        times = list(self._released)
        if len(times) < 2 or self._now() - times[-1] > 2e9:
            return 0.0
        return (len(times) - 1) / max(1e-9, (times[-1] - times[0]) / 1e9)

    def ask(self) -> None:
        """On demand: one more frame is wanted."""
        self._wanted.release()

    def close(self) -> None:
        """Stop the thread. The film must have been closed, since only that ends a wait for its next frame."""
        self._closing.set()
        self._wanted.release()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def _run(self) -> None:
        told: Exception | None = None
        while not self._closing.is_set():
            try:
                self._take_frames()
            except ScriptError as error:  # one shot was refused; the film goes on
                if error is told:  # or it does not: a film whose engine has stopped raises the same for ever
                    log.error("the engine stopped: %s", error)
                    return
                told = error
                self._failed(error)
                if self._on_demand:
                    self._wanted.release()
            except ClosedError:
                return
            except Exception as error:
                if not self._closing.is_set():
                    log.error("the engine stopped: %s", error)
                    self._failed(error)
                return

    def _take_frames(self) -> None:
        frames = self._film.frames(wait=True)
        while True:
            if self._on_demand:
                self._wanted.acquire()
            elif self._look is None and self._wait_until(self._pacer.upcoming - FETCH_NS):
                return
            if self._closing.is_set():
                return
            frame = next(frames)
            if self._look is not None:
                frame = self._look(frame)
            due = self._now() if self._on_demand else self._pacer.next_due()
            if self._wait_until(due - AHEAD_NS):
                return
            self._release(frame, self._pack(frame, due), due)
            if not self._on_demand and self._wait_until(due + self._pause_ns):
                return
            self._released.append(due)

    def _wait_until(self, at_ns: int) -> bool:
        """True when the programme was closed meanwhile."""
        return self._closing.wait(max(0.0, (at_ns - self._now()) / 1e9))
