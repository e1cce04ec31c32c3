"""Requests of clients as commands of a film, and what became of each, told back in milliseconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..film import Film
from ..frames import Frame
from ..receipts import Receipt
from .clock import Clock, steady_ns
from .messages import (
    ClearRequest,
    CommandState,
    CutRequest,
    HoldRequest,
    PinRequest,
    PromptRequest,
    QueryRequest,
    Request,
    ResumeRequest,
    Role,
    State,
    SubscribeRequest,
    UnpinRequest,
    UnsubscribeRequest,
    WorldRequest,
)

NEEDED_ROLE: dict[type[Request], Role] = {
    QueryRequest: "viewer",
    SubscribeRequest: "viewer",
    UnsubscribeRequest: "viewer",
    CutRequest: "director",
    PromptRequest: "director",
    WorldRequest: "director",
    ClearRequest: "director",
    PinRequest: "director",
    UnpinRequest: "director",
    HoldRequest: "operator",
    ResumeRequest: "operator",
}
"""The least role for each request. Whoever cannot be found here cannot be asked for."""

_MAX_FOLLOWED = 1024
_FOLLOW_AFTER_AIR_NS = 30_000_000_000


def apply(film: Film, request: Request) -> Receipt | None:
    """Give a command to the film; None when it is done with that. Raises what the film raises."""
    if isinstance(request, CutRequest):
        return film.cut(request.text, when=request.when, frames=request.frames, seed=request.seed)
    if isinstance(request, PromptRequest):
        return film.prompt(request.text)
    if isinstance(request, HoldRequest):
        return film.hold()
    if isinstance(request, ResumeRequest):
        film.resume()
    elif isinstance(request, ClearRequest):
        film.clear()
    elif isinstance(request, WorldRequest):
        film.world(request.text)
    elif isinstance(request, PinRequest):
        film.pin(request.shot, request.frame)
    elif isinstance(request, UnpinRequest):
        film.unpin(request.shot, request.frame)
    else:
        raise AssertionError(f"{type(request).__name__} is no command of a film")
    return None


@dataclass(kw_only=True)
class _Followed:
    session: int
    request: int
    receipt: Receipt
    arrived_ns: int
    reached: dict[CommandState, float] = field(default_factory=dict)
    """Milliseconds from arrival."""
    on_air_ns: int | None = None
    done: bool = False

    def ms(self, at_ns: float) -> float:
        return round((at_ns - self.arrived_ns) / 1e6, 3)


class Follower:
    """Follows the commands of all clients from *queued* to *presented*.

    A command is on air when the server releases the first frame that it affects, and presented when a client has
    reported that frame, or one after it, as shown. A film's receipts are read here, not waited for.
    """

    def __init__(self, *, now: Clock = steady_ns) -> None:
        self._now = now
        self._followed: deque[_Followed] = deque(maxlen=_MAX_FOLLOWED)
        self._shown = -1
        self.cut_to_air_ms: deque[float] = deque(maxlen=256)

    def __len__(self) -> int:
        return len(self._followed)

    def add(self, *, session: int, request: int, receipt: Receipt, arrived_ns: int) -> None:
        """Follow a command."""
        self._followed.append(_Followed(session=session, request=request, receipt=receipt, arrived_ns=arrived_ns))

    def released(self, frame: Frame, due_ns: int) -> None:
        """The server let ``frame`` out at ``due_ns``."""
        for one in self._followed if frame.receipts else ():
            if one.receipt.id in frame.receipts and one.on_air_ns is None:
                one.on_air_ns = due_ns
                if one.receipt.kind == "cut":
                    self.cut_to_air_ms.append(one.ms(due_ns))

    def presented(self, frame_index: int, at_ns: int) -> Iterator[tuple[int, State]]:
        """A client showed a frame at ``at_ns``; (session, state) of what that completes."""
        self._shown = max(self._shown, frame_index)
        yield from self.changes()
        for one in self._followed:
            first = one.receipt.frame
            if one.on_air_ns is not None and first is not None and first <= frame_index and not one.done:
                one.done = True
                yield self._enter(one, "presented", max(at_ns, one.on_air_ns))
        self._drop()

    def changes(self) -> Iterator[tuple[int, State]]:
        """(session, state) of every state entered since the last call."""
        for one in list(self._followed):
            yield from self._changes_of(one)
        self._drop()

    def _changes_of(self, one: _Followed) -> Iterator[tuple[int, State]]:
        receipt = one.receipt
        times = dict(receipt.times)
        states: tuple[CommandState, ...] = ("queued", "started", "generated")
        for state in states:
            if state in times and state not in one.reached:
                yield self._enter(one, state, times[state] * 1e9)
        if one.on_air_ns is None and receipt.kind == "hold" and "delivered" in times:
            # A hold shows itself by the frame that stays, which has been released before.
            one.on_air_ns = round(times["delivered"] * 1e9)
        if one.on_air_ns is not None and "on_air" not in one.reached:
            yield self._enter(one, "on_air", one.on_air_ns)
            if receipt.kind == "hold" and receipt.frame is not None and receipt.frame <= self._shown:
                one.done = True
                yield self._enter(one, "presented", one.on_air_ns)
        if receipt.state == "failed" or receipt.state == "superseded":
            one.done = True
            text = str(receipt.error) if receipt.error is not None else receipt.note
            yield self._enter(one, receipt.state, times[receipt.state] * 1e9, text)

    def _enter(self, one: _Followed, state: CommandState, at_ns: float, text: str = "") -> tuple[int, State]:
        one.reached[state] = one.ms(at_ns)
        frame = -1 if one.receipt.frame is None else one.receipt.frame
        note = text or one.receipt.note
        return one.session, State(
            id=one.request, cmd=one.receipt.id, state=state, frame=frame, lat=dict(one.reached), text=note
        )

    def _drop(self) -> None:
        now = self._now()
        keep = [
            one
            for one in self._followed
            if not one.done and (one.on_air_ns is None or now - one.on_air_ns < _FOLLOW_AFTER_AIR_NS)
        ]
        if len(keep) != len(self._followed):
            self._followed = deque(keep, maxlen=_MAX_FOLLOWED)
