"""Waiting for conditions, and how late the machine itself was meanwhile."""

import threading
import time

PATIENCE_S = 30
"""Longer than any loaded machine needs; nobody waits for it when things work."""


def wait_until(condition, seconds=PATIENCE_S):
    """Return what ``condition`` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
    return found


class Stalls:
    """The longest time for which this process did not get to run, in seconds: ``late_s`` after the ``with``.

    A bound such as "2.5 s" is one of ours; what the machine adds by running something else is not.
    """

    def __enter__(self):
        self.late_s, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()
        return self

    def _measure(self):
        before = time.monotonic()
        while not self._stop.wait(0.01):
            now = time.monotonic()
            self.late_s = max(self.late_s, now - before - 0.01)
            before = now

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
