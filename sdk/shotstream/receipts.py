"""What became of a command: queued, started, generated, delivered, each with its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Literal

State = Literal["queued", "started", "generated", "delivered", "failed", "superseded"]

_ORDER = ("queued", "started", "generated", "delivered")
_FINAL = ("delivered", "failed", "superseded")


class Receipt:
    """Follows one command of a film. Made by the film; safe to read from any thread.

    Attributes:
        id: number of the command in its film, from 1; frames carry it in ``Frame.receipts``.
        kind: "cut", "prompt", "hold", "prepare" or "take".
        when: for a cut, when it takes effect.
        frame: index of the first frame it affected; None until generated. A hold names the frame that stays.
        times: ``time.perf_counter`` seconds at which each state was reached.
        error: why it failed.
        note: a remark for the user, such as why it was superseded or which words the bundle does not know.

    States: *queued*; *started*, the engine works on the first block it affects; *generated*, that block's pixels are
        ready;
    *delivered*, the consumer has taken the first of them. Or *failed*; or *superseded*, it will never show.
    """

    def __init__(self, id: int, kind: str, *, changed: threading.Condition, when: str = "") -> None:
        self.id = id
        self.kind = kind
        self.when = when
        self.frame: int | None = None
        self.times: dict[str, float] = {"queued": time.perf_counter()}
        self.error: Exception | None = None
        self.note = ""
        self._state: State = "queued"
        self._changed = changed

    @property
    def state(self) -> State:
        return self._state

    @property
    def final(self) -> bool:
        """No further change will come."""
        return self._state in _FINAL

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds to the delivery of the first frame, or None before it.

        Counted from the command, except for a cut at a shot's end: there from the start of its first block.
        """
        if "delivered" not in self.times:
            return None
        since = "started" if self.when == "shot_end" else "queued"
        return (self.times["delivered"] - self.times[since]) * 1e3

    def wait(self, state: State = "delivered", timeout: float | None = None) -> bool:
        """Wait until ``state`` is reached; call it from another thread than the one that takes the frames.

        Returns:
            True when reached; False after ``timeout`` seconds, or when it cannot be reached any more.

        Raises:
            ShotstreamError: the command failed, and another state was asked for.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._reached(state) or self.final, timeout)
            if self._reached(state):
                return True
            if self.error is not None:
                raise self.error
            return False

    def move(self, state: State, *, frame: int | None = None, error: Exception | None = None, note: str = "") -> None:
        """Enter ``state``; for the session, under its lock. A final state stays."""
        if self.final:
            return
        self._state = state
        self.times[state] = time.perf_counter()
        self.frame = frame if frame is not None else self.frame
        self.error = error or self.error
        self.note = "; ".join(part for part in (self.note, note) if part)
        self._changed.notify_all()

    def _reached(self, state: State) -> bool:
        if state in _ORDER and self._state in _ORDER:
            return _ORDER.index(self._state) >= _ORDER.index(state)
        return self._state == state

    def __repr__(self) -> str:
        frame = f" at frame {self.frame}" if self.frame is not None else ""
        latency = f", {self.latency_ms:.0f} ms" if self.latency_ms is not None else ""
        return f"<Receipt {self.id} {self.kind} {self._state}{frame}{latency}>"


class Ledger:
    """The receipts of a film that can still change, by id. For the session, under its lock."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._receipts: dict[int, Receipt] = {}
        self._num_made = 0

    def add(self, kind: str, *, when: str = "") -> Receipt:
        """A new receipt with the next id."""
        self._num_made += 1
        receipt = Receipt(self._num_made, kind, changed=self._changed, when=when)
        self._receipts[receipt.id] = receipt
        return receipt

    def forget(self, command: int) -> None:
        """Drop a receipt that nobody was given."""
        del self._receipts[command]

    def ids(self) -> list[int]:
        return list(self._receipts)

    def receipts(self) -> tuple[Receipt, ...]:
        return tuple(self._receipts.values())

    def move(
        self, command: int, state: State, *, frame: int | None = None, error: Exception | None = None, note: str = ""
    ) -> Receipt | None:
        """Move one receipt on; unknown ids (0, or of commands before a restore) are passed over."""
        receipt = self._receipts.get(command)
        if receipt is None:
            return None
        receipt.move(state, frame=frame, error=error, note=note)
        if receipt.final:
            del self._receipts[command]
        return receipt

    def supersede(self, commands: Iterable[int], why: str) -> None:
        for command in commands:
            self.move(command, "superseded", note=why)
