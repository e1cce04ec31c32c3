"""What a session counts and times while it runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

_KEPT_TIMES = 4096
_KEPT_NOTES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTimes:
    """What one block cost, in milliseconds; ``block_ms`` is the wall time of the whole call."""

    shot: int
    block: int
    num_frames: int
    block_ms: float
    denoise_ms: float
    decode_ms: float
    context_ms: float


@dataclass(kw_only=True)
class SessionStats:
    """Counters since the start; the lists of times keep the latest few thousand entries.

    ``notes`` says once per shot which of its words were lost: not known to the bundle, or beyond what it takes.
    """

    blocks_made: int = 0
    blocks_aborted: int = 0
    frames_made: int = 0
    frames_delivered: int = 0
    first_command_at: float | None = None
    first_frame_at: float | None = None
    last_frame_at: float | None = None
    notes: list[str] = field(default_factory=list)
    blocks: deque[BlockTimes] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))
    cut_to_frame_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    @property
    def first_frame_ms(self) -> float | None:
        """From the first cut to the delivery of the first frame."""
        if self.first_command_at is None or self.first_frame_at is None:
            return None
        return (self.first_frame_at - self.first_command_at) * 1e3

    def remember(self, note: str) -> None:
        """Keep a note once."""
        if note not in self.notes and len(self.notes) < _KEPT_NOTES:
            self.notes.append(note)

    def copy(self) -> SessionStats:
        return replace(
            self, notes=self.notes.copy(), blocks=self.blocks.copy(), cut_to_frame_ms=self.cut_to_frame_ms.copy()
        )
