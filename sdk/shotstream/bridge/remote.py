"""What a client gets from a server: frames, and receipts that follow its commands there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import BridgeError
from .messages import CommandState, Flag, Location, OriginName, PixelFormatName, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
else:
    Image = Any

_ORDER: tuple[CommandState, ...] = ("queued", "started", "generated", "on_air", "presented")


class RemoteFrame(msgspec.Struct, frozen=True, kw_only=True, eq=False):  # a Struct: made for every frame in 1 us
    """One frame as it came from the server.

    Attributes:
        planes: uint8 arrays, read-only, safe to keep: ``(height, width, 3 or 4)``, or for NV12 luma
            ``(height, width)`` and chroma ``(height / 2, width / 2, 2)``. Rows are in memory order. With
            ``frames(copy=False)`` they may be lent; see ``is_whole``.
        format, origin: as asked for.
        index: number of the frame for this client. It never goes back, also when the film goes back to a checkpoint or
            the server is restarted; the number after it is missing when a frame was dropped.
        source: number of the frame in the film, ``Frame.index``.
        shot, block, frame_in_shot, revision, seed, time_s: as in ``Frame``.
        command: number of the newest command that first shows here, 0 for none; see ``RemoteReceipt.command``.
        flags: what is special about it.
        dropped: frames left out for this client since the one before.
        age_ms: from its release at the server to its arrival here.
        due_ns: when the server released it, on the server's clock; see ``Client.server_ns``.
        epoch: of the server that sent it.
        location: how the pixels came, "inline" or "shm".
        still_whole: asks the ring that a lent frame lies in; None for one that is safe to keep.
    """

    planes: tuple[Image, ...]
    format: PixelFormatName
    origin: OriginName
    index: int
    source: int
    shot: int
    block: int
    frame_in_shot: int
    revision: int
    seed: int
    time_s: float
    command: int
    flags: Flag
    dropped: int
    age_ms: float
    due_ns: int
    epoch: int
    location: Location = "inline"
    still_whole: Callable[[], bool] | None = None

    def is_whole(self) -> bool:
        """What was read of the pixels up to now is this frame. Always True for one that is safe to keep; a frame that
        is lent (``frames(copy=False)``) is overwritten by later ones some time."""
        return self.still_whole is None or self.still_whole()

    def __repr__(self) -> str:
        return f"<RemoteFrame {self.index}: shot {self.shot}, frame {self.frame_in_shot}, {self.flags!r}>"

    @property
    def image(self) -> Image:
        """The first plane: RGB, RGBA or BGRA, or the luma of NV12."""
        return self.planes[0]

    @property
    def is_cut(self) -> bool:
        """First frame of a shot."""
        return bool(self.flags & Flag.SHOT_START)


class RemoteReceipt:
    """Follows one command on the server; safe to read from any thread.

    Attributes:
        command: its number in the film; frames carry it. 0 while a beat waits for its turn.
        kind: "cut", "prompt", "hold" or "beat".

    States: *queued*; *started*, the engine works on the first block that it affects; *generated*; *on_air*, the server
    has released the first frame that shows it; *presented*, a client has shown that frame. Or *failed*, or
    *superseded*.
    """

    def __init__(self, kind: str, command: int, changed: threading.Condition) -> None:
        self.kind, self.command = kind, command
        self.state: CommandState = "queued"
        self.frame: int | None = None
        """Index of the first frame that it affects."""
        self.times_ms: dict[CommandState, float] = {}
        """Milliseconds from the request's arrival at the server to each state."""
        self.note = ""
        self.error: BridgeError | None = None
        self._changed = changed

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from the request's arrival at the server to the first frame on screen; None before it."""
        return self.times_ms.get("presented")

    @property
    def final(self) -> bool:
        """No further change will come."""
        return self.state in ("presented", "failed", "superseded")

    def wait(self, state: CommandState = "presented", timeout: float | None = None) -> bool:
        """Wait until ``state`` is reached. False after ``timeout`` seconds, or when it cannot be reached any more.

        Raises:
            BridgeError: the server that had the command is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.reached(state) or self.final or self.error is not None, timeout)
            if not self.reached(state) and self.error is not None:
                raise self.error
            return self.reached(state)

    def reached(self, state: CommandState) -> bool:
        """The command has been in ``state``."""
        if state in _ORDER and self.state in _ORDER:
            return _ORDER.index(self.state) >= _ORDER.index(state)
        return self.state == state or state in self.times_ms

    def move(self, message: State) -> None:
        """Take a report of the server over; for the client, under its lock."""
        self.state = message.state
        self.command = message.cmd or self.command
        self.times_ms = dict(message.lat)
        self.frame = message.frame if message.frame >= 0 else self.frame
        self.note = message.text or self.note

    def __repr__(self) -> str:
        frame = f" at frame {self.frame}" if self.frame is not None else ""
        return f"<RemoteReceipt {self.command} {self.kind} {self.state}{frame}>"
