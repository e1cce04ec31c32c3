"""Time on both sides of the bridge: a steady clock, the pace of the programme, the offset between two machines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], int]
"""Nanoseconds that never go back; the zero is arbitrary."""


def steady_ns() -> int:
    """The clock of this process, the same that receipts and frames of a film are stamped with."""
    return time.perf_counter_ns()


class Pacer:
    """When the next frame is due: at absolute times ``start + n / fps``, so that errors do not add up.

    A frame that is ready more than ``slack`` periods late moves the whole grid: the picture held meanwhile, and
    catching up would only show the next frames too fast.

    Args:
        fps: frames per second, above 0.
        slack: periods of lateness that are caught up.
    """

    def __init__(self, fps: float, *, clock: Clock = steady_ns, slack: float = 1.0) -> None:
        self._period_ns = 1e9 / fps
        self._slack_ns = slack * self._period_ns
        self._clock = clock
        self._start_ns: float | None = None
        self._num = 0
        self.late = 0
        """Times the grid had to move."""

    @property
    def upcoming(self) -> int:
        """Clock reading at which the next frame is due if it is ready by then; now, before the first."""
        return round(self._clock() if self._start_ns is None else self._start_ns + self._num * self._period_ns)

    def next_due(self) -> int:
        """Clock reading at which the frame that is ready now goes out; in the past when it is a little late."""
        now = self._clock()
        if self._start_ns is None:
            self._start_ns = now
        due = self._start_ns + self._num * self._period_ns
        if now - due > self._slack_ns:
            self.late += 1
            self._start_ns, self._num, due = now, 0, now
        self._num += 1
        return round(due)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One exchange of clock readings: the other's clock minus ours, and the round trip, in nanoseconds."""

    offset_ns: int
    rtt_ns: int


class Offset:
    """How far the server's clock is ahead of ours, from the exchange with the shortest round trip of the latest 16.

    Source: the clock filter of NTP (RFC 5905, section 10), without its drift model.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=16)
        self.best = Sample(offset_ns=0, rtt_ns=0)
        """The exchange that counts; its error is at most half its round trip. Zeros before the first."""

    def add(self, *, c0: int, s1: int, s2: int, c1: int) -> None:
        """Client sent at ``c0``, server received at ``s1`` and answered at ``s2``, client received at ``c1``. Passed
        over when it cannot have been so."""
        if not 0 <= s2 - s1 <= c1 - c0 or not 0 <= s2 < 2**62:
            return
        rtt = (c1 - c0) - (s2 - s1)
        self._samples.append(Sample(offset_ns=((s1 - c0) + (s2 - c1)) // 2, rtt_ns=rtt))
        self.best = min(self._samples, key=lambda sample: sample.rtt_ns)

    def clear(self) -> None:
        """Forget everything: it is another server now."""
        self._samples.clear()
        self.best = Sample(offset_ns=0, rtt_ns=0)
