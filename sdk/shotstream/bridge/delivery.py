"""What waits for one client: a slot of one frame, a short queue, or a spool, emptied against the client's credit.

The programme never waits for a client here; a frame that a slow client leaves no room for is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from .messages import MAX_WINDOW, Mode

F = TypeVar("F")


class Outbox(Generic[F]):
    """Frames of one stream that wait for credit.

    Args:
        mode: "latest" keeps the newest frame; "queue" keeps the newest ``limit``; "lossless" keeps ``limit`` and then
            refuses new ones, so that what it has kept stays without holes.
        limit: frames, at least 1; passed over by "latest".
        window: most credit that can add up.
    """

    def __init__(self, mode: Mode, *, limit: int = 1, window: int = 1) -> None:
        self.mode: Mode = mode
        self._limit = 1 if mode == "latest" else max(1, limit)
        self._window = min(max(1, window), MAX_WINDOW)
        self._waiting: deque[F] = deque()
        self._credit = 0
        self.sent = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """One more frame fits without a loss."""
        return len(self._waiting) < self._limit

    @property
    def has_credit(self) -> bool:
        return self._credit > 0

    def grant(self, num: int) -> None:
        """Add credit, up to the window."""
        self._credit = min(self._window, self._credit + num)

    def offer(self, frame: F) -> bool:
        """Put a frame in; False when a frame was lost by it."""
        if self.has_room:
            self._waiting.append(frame)
            return True
        self.dropped += 1
        if self.mode != "lossless":
            self._waiting.popleft()
            self._waiting.append(frame)
        return False

    def take(self) -> F | None:
        """The next frame if one waits and there is credit for it."""
        if not self._waiting or self._credit == 0:
            return None
        self._credit -= 1
        self.sent += 1
        return self._waiting.popleft()
