"""A beat as a command of a client: it waits, and then fares as its first shot or its edit does."""

from __future__ import annotations

from typing import Literal

from ..receipts import Receipt, State
from ..story.fired import Fired


class BeatReceipt:
    """What ``Follower`` reads of a ``Receipt``, for a beat. ``id`` is 0 while the beat waits for its turn."""

    kind = "beat"

    def __init__(self, fired: Fired) -> None:
        self._fired = fired

    @property
    def _first(self) -> Receipt | None:
        tickets = self._fired.tickets
        return tickets[0] if tickets and isinstance(tickets[0], Receipt) else None

    @property
    def id(self) -> int:
        return self._first.id if self._first is not None else 0

    @property
    def state(self) -> State:
        if self._first is not None:
            return self._first.state
        return self._dropped if self._fired.dropped_at is not None else "queued"

    @property
    def times(self) -> dict[str, float]:
        """``time.perf_counter`` seconds at which each state was reached."""
        times = dict(self._first.times) if self._first is not None else {}
        times["queued"] = self._fired.fired_at
        if self._first is None and self._fired.dropped_at is not None:
            times[self._dropped] = self._fired.dropped_at
        return times

    @property
    def frame(self) -> int | None:
        return self._first.frame if self._first is not None else None

    @property
    def error(self) -> Exception | None:
        return self._first.error if self._first is not None else None

    @property
    def note(self) -> str:
        return self._fired.reason or (self._first.note if self._first is not None else "")

    @property
    def _dropped(self) -> Literal["failed", "superseded"]:
        return "failed" if self._fired.failed else "superseded"
