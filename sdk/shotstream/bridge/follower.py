"""What became of the commands of clients, told back in milliseconds and in the server's numbers of frames."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..receipts import Receipt
from .beat_receipt import BeatReceipt
from .clock import Clock, steady_ns
from .messages import CommandState, State
from .sessions import Released

_MAX_FOLLOWED = 1024
_FOLLOW_AFTER_AIR_NS = 30_000_000_000


@dataclass(kw_only=True)
class _Followed:
    session: int
    request: int
    receipt: Receipt | BeatReceipt
    arrived_ns: int
    reached: dict[CommandState, float] = field(default_factory=dict)
    """Milliseconds from arrival."""
    on_air_ns: int | None = None
    frame: int = -1
    """Number of the first frame that it affects, once that is on air."""
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
        self._offset = 0
        """Number of a frame on the server minus its index in the film; changes when the film goes back."""
        self._followed: deque[_Followed] = deque(maxlen=_MAX_FOLLOWED)
        self._shown, self._shown_ns = -1, 0
        self._aired: OrderedDict[int, Released] = OrderedDict()
        """The first frames of commands, also of those that are not followed yet: others than the bridge thread make
        them."""
        self.cut_to_air_ms: deque[float] = deque(maxlen=256)

    def __len__(self) -> int:
        return len(self._followed)

    def add(self, *, session: int, request: int, receipt: Receipt | BeatReceipt, arrived_ns: int) -> None:
        """Follow a command."""
        self._followed.append(_Followed(session=session, request=request, receipt=receipt, arrived_ns=arrived_ns))

    def released(self, released: Released) -> None:
        """The server let a frame out."""
        self._offset = released.number - released.frame.index
        for command in released.frame.receipts:
            self._aired[command] = released
            while len(self._aired) > _MAX_FOLLOWED:
                self._aired.popitem(last=False)

    def presented(self, number: int, at_ns: int) -> Iterator[tuple[int, State]]:
        """A client showed a frame at ``at_ns``; (session, state) of what that completes."""
        if number > self._shown:
            self._shown, self._shown_ns = number, at_ns
        yield from self.changes()

    def changes(self) -> Iterator[tuple[int, State]]:
        """(session, state) of every state entered since the last call."""
        for one in list(self._followed):
            yield from self._changes_of(one)
        self._drop()

    def _changes_of(self, one: _Followed) -> Iterator[tuple[int, State]]:
        receipt = one.receipt
        final, times = receipt.state, dict(receipt.times)
        states: tuple[CommandState, ...] = ("queued", "started", "generated")
        for state in states:
            if state in times and state not in one.reached:
                yield self._enter(one, state, times[state] * 1e9)
        if one.on_air_ns is None and receipt.kind == "hold" and "delivered" in times:
            # A hold shows itself by the frame that stays, which has been released before.
            one.on_air_ns = round(times["delivered"] * 1e9)
            one.frame = -1 if receipt.frame is None else receipt.frame + self._offset
        released = self._aired.get(receipt.id) if one.on_air_ns is None else None
        if released is not None:
            one.on_air_ns, one.frame = released.due_ns, released.number
            if receipt.kind == "cut":
                self.cut_to_air_ms.append(one.ms(released.due_ns))
        if one.on_air_ns is not None and "on_air" not in one.reached:
            yield self._enter(one, "on_air", one.on_air_ns)
        if one.on_air_ns is not None and 0 <= one.frame <= self._shown:
            one.done = True
            # What a hold stays on was shown before the hold.
            shown_ns = one.on_air_ns if receipt.kind == "hold" else max(self._shown_ns, one.on_air_ns)
            yield self._enter(one, "presented", shown_ns)
        if final == "failed" or final == "superseded":
            one.done = True
            text = str(receipt.error) if receipt.error is not None else receipt.note
            yield self._enter(one, final, times[final] * 1e9 if final in times else self._now(), text)

    def _enter(self, one: _Followed, state: CommandState, at_ns: float, text: str = "") -> tuple[int, State]:
        one.reached[state] = one.ms(at_ns)
        note = text or one.receipt.note
        return one.session, State(
            id=one.request, cmd=one.receipt.id, state=state, frame=one.frame, lat=dict(one.reached), text=note
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
