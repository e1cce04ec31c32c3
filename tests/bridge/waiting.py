"""Waiting for conditions, and how late the machine itself was meanwhile."""

import os
import signal
import threading
import time
from pathlib import Path

PATIENCE_S = 30
"""Longer than any loaded machine needs; nobody waits for it when things work."""


def wait_until(condition, seconds=PATIENCE_S):
    """Return what ``condition`` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
    return found


def halt(pid):
    """Stop a process with SIGSTOP, and wait until none of its threads runs: the signal reaches them one by one."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait_until(lambda: all(" T " in (task / "stat").read_text() for task in tasks.iterdir()))


class Stalls:
    """How long this process did not get to run: ``late_s``, the longest of it in seconds, from ``with`` on.

    A bound such as "2.5 s" is one of ours; what the machine adds by running something else is not.
    """

    def __enter__(self):
        self._stalls, self._stop = [(0.0, 0.0)], threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()
        return self

    def _measure(self):
        before = time.monotonic()
        while not self._stop.wait(0.01):
            now = time.monotonic()
            if now - before > 0.05:
                self._stalls.append((now, now - before - 0.01))
            before = now

    @property
    def late_s(self):
        return max(late for _, late in self._stalls)

    def late_since(self, began):
        """All of it together since ``began``, a reading of ``time.monotonic``."""
        return sum(late for at, late in self._stalls if at >= began)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
