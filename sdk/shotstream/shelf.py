"""Prepared shots: what waits off air, and which of it is to go on air. For the session, under its lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .engine.protocol import Prepared
from .story.shot import Shot

MAX_PREPARED = 3
"""A prepared shot holds the pictures of its first block and the state of a decoder, so not many are kept."""


@dataclass(eq=False)
class Waiting:
    """A shot that was asked for. ``command`` is the id of its receipt; ``made`` its first block, once there is one."""

    command: int
    shot: Shot
    made: Prepared | None = None
    block_ms: float = 0.0


class Shelf:
    """At most ``MAX_PREPARED`` shots, oldest first, of which one may be wanted on air before it is made."""

    def __init__(self) -> None:
        self._shots: list[Waiting] = []
        self.wanted: Waiting | None = None
        self.take = 0
        """Id of the command that wants it."""

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._shots

    def add(self, waiting: Waiting) -> list[int]:
        """Put a shot there. Returns the ids of commands that end by that: the oldest one must go when there is no
        room."""
        self._shots.append(waiting)
        spare = [one for one in self._shots if one is not self.wanted]
        return self.remove(spare[:1]) if len(self._shots) > MAX_PREPARED else []

    def find(self, command: int) -> Waiting | None:
        return next((one for one in self._shots if one.command == command), None)

    def next_to_make(self) -> Waiting | None:
        """The wanted shot, else the oldest, of those without a block."""
        if self.wanted is not None and self.wanted.made is None:
            return self.wanted
        return next((one for one in self._shots if one.made is None), None)

    def want(self, waiting: Waiting, take: int) -> list[int]:
        """Have a shot on air as soon as it is made. Returns the id of the take that this replaces, if any."""
        gone = self.unwant()
        self.wanted, self.take = waiting, take
        return gone

    def unwant(self) -> list[int]:
        """Nothing is to go on air any more; the shots stay. Returns the id of the take that waited, if any."""
        gone = [self.take] if self.wanted is not None else []
        self.wanted, self.take = None, 0
        return gone

    def remove(self, shots: Iterable[Waiting] | None = None) -> list[int]:
        """Drop shots, None for all. Returns the ids of their commands, and that of a take that waited for one."""
        leaving = list(self._shots if shots is None else shots)
        gone = self.unwant() if self.wanted in leaving else []
        self._shots = [one for one in self._shots if one not in leaving]
        return [one.command for one in leaving] + gone
