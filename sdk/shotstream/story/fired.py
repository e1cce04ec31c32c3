"""What the narrator hands out and what it needs: the follow-up of a trigger, its refusal, and the film it plays on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, TypeVar

from ..errors import ScriptError
from .beats import Beat, Cue
from .shot import When
from .variables import Value

FiredState = Literal["waiting", "running", "done", "dropped"]


class BeatRefused(ScriptError):
    """A beat may not happen now, or not for this role.

    Attributes:
        denied: the role is too low.
        retry_s: seconds until its cooldown is over; 0 when waiting alone does not help.
    """

    def __init__(self, text: str, *, denied: bool = False, retry_s: float = 0.0) -> None:
        super().__init__(text)
        self.denied, self.retry_s = denied, retry_s


class Ticket(Protocol):
    """What a film answers to a command; ``shotstream.Receipt`` is one."""

    @property
    def id(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def final(self) -> bool: ...


F = TypeVar("F", covariant=True)


class Screen(Protocol[F]):
    """What the narrator needs of a film; ``shotstream.Film`` has it all. ``F`` is its type of frame."""

    def cut(self, prompt: str, when: When = ..., frames: int | None = ..., *, seed: int | None = ...) -> Ticket: ...

    def prompt(self, text: str) -> Ticket: ...

    def clear(self) -> None: ...

    def world(self, text: str) -> None: ...

    def frames(self, *, count: int | None = ..., wait: bool = ...) -> Iterator[F]: ...


class Fired:
    """What became of a trigger. Its narrator changes it; safe to read from any thread.

    Attributes:
        beat: what was triggered, with ``params`` and under ``facts``.
        cue: the beat with its gaps filled: captions, and fields that were left out.
        state: "waiting"; "running", the film has its cuts; "done", its last shot is on screen or its edit is with the
            film; or "dropped".
        reason: why it was dropped.
        failed: it was dropped for what it is, and not for something else that came in its place.
        tickets: the film's receipts of its cuts or edit, in order.
        fired_at, dropped_at: ``time.perf_counter`` seconds.
    """

    def __init__(self, beat: Beat, cue: Cue, *, params: Mapping[str, Value], facts: Mapping[str, Value]) -> None:
        self.beat = beat
        self.cue = cue
        self.params, self.facts = dict(params), dict(facts)
        self.state: FiredState = "waiting"
        self.reason = ""
        self.failed = False
        self.tickets: list[Ticket] = []
        self.fired_at = time.perf_counter()
        self.dropped_at: float | None = None

    def drop(self, reason: str, *, failed: bool = False) -> None:
        """For the narrator: it will not happen, or not to its end."""
        self.reason, self.failed, self.dropped_at = reason, failed, time.perf_counter()
        self.state = "dropped"

    def __repr__(self) -> str:
        return f"<Fired {self.beat.name} {self.state}{': ' + self.reason if self.reason else ''}>"
