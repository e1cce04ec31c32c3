"""Frames between the engine and whoever takes them, whole blocks at a time. For the session, under its lock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .engine.protocol import Block
from .frames import Frame

MAX_LENGTHS = 1024
"""Shots whose length is known, newest first; pins are far more recent."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the frames of a block have in common; see ``Frame``. ``commands`` take effect with the first of them."""

    shot: int
    block: int
    frame_in_shot: int
    revision: int
    seed: int
    prompt: str
    commands: tuple[int, ...]
    block_ms: float


class FrameQueue:
    """Frames that were made and not yet taken.

    Attributes:
        next_index: number that the next frame to be made gets.
        num_blocks: whole blocks of which no frame was taken.
        lengths: frames of the latest shots, as far as this run of the film knows.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._blocks: deque[deque[Frame]] = deque()
        self._taking: deque[Frame] = deque()
        self._went_back = False
        self.next_index = 0
        self.lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._taking) + sum(map(len, self._blocks))

    @property
    def num_blocks(self) -> int:
        return len(self._blocks)

    @property
    def seconds(self) -> float:
        """Film time of what waits."""
        return len(self) / self._fps

    def untaken(self) -> list[Frame]:
        """What waits, in order."""
        return [*self._taking, *(frame for block in self._blocks for frame in block)]

    def take(self) -> Frame | None:
        """The next frame, if there is one."""
        if not self._taking and self._blocks:
            self._taking = self._blocks.popleft()
        return self._taking.popleft() if self._taking else None

    def put(self, block: Block, keep: int, origin: Origin) -> list[Frame]:
        """Queue the first ``keep`` frames of a block, at least one; returns them."""
        now = time.perf_counter()
        frames = [
            Frame(
                image=image,
                index=self.next_index + offset,
                shot=origin.shot,
                block=origin.block,
                frame_in_shot=origin.frame_in_shot + offset,
                time_s=(self.next_index + offset) / self._fps,
                revision=origin.revision,
                seed=origin.seed,
                prompt=origin.prompt,
                is_cut=origin.frame_in_shot + offset == 0,
                is_restored=self._went_back and offset == 0,
                receipts=origin.commands if offset == 0 else (),
                generated_at=now,
                block_ms=origin.block_ms,
            )
            for offset, image in enumerate(block.images[:keep])
        ]
        self._blocks.append(deque(frames))
        self._went_back = False
        self.next_index += len(frames)
        self.lengths[origin.shot] = origin.frame_in_shot + len(frames)
        self.lengths.pop(origin.shot - MAX_LENGTHS, None)
        return frames

    def drop(self, shot: int, length: int | None) -> None:
        """Take back all that waits: the film ends before ``shot``, and the one before it has ``length`` frames, None
        for all that it had."""
        waiting = self.untaken()
        self.next_index -= len(waiting)
        self._went_back = self._went_back or any(frame.is_restored for frame in waiting)
        self._blocks.clear()
        self._taking.clear()
        self.lengths = {number: frames for number, frames in self.lengths.items() if number < shot}
        if length is not None:
            self.lengths[shot - 1] = length

    def go_back(self, frames: Sequence[Frame], *, next_index: int, lengths: dict[int, int]) -> None:
        """Hold ``frames`` and nothing else; the next one to be taken or made is marked as the first after this."""
        self._blocks.clear()
        self._taking = deque(replace(frame, is_restored=frame is frames[0]) for frame in frames)
        self._went_back = not frames
        self.next_index, self.lengths = next_index, lengths
