"""Which frames of past shots condition the next one, and how their encodings are kept.

Dynamic sparse sampling (docs/model.md, "Memory"): a budget of frames is shared out over the finished shots, the newest
taking what does not divide, and each shot gives evenly spaced frames. Pinned memories take their slots first.

Shape legend: H W pixels, C channels and h w size of a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import ScriptError
from .protocol import Pin

MAX_KEPT_FRAMES = 192
"""Frames kept of an open-ended shot; a longer one is thinned to every 2nd, 4th, ... frame (and its newest)."""


def frames_per_shot(num_shots: int, budget: int) -> list[int]:
    """How many context frames each finished shot gives; the remainder goes to the newest shots."""
    base, remainder = divmod(budget, num_shots)
    return [base + (shot >= num_shots - remainder) for shot in range(num_shots)]


def spaced_frames(first: int, last: int, count: int) -> list[int]:
    """``count`` evenly spaced frame numbers from ``first`` to ``last``: float32 line, halves rounded to even.

    Beyond 2^24 frames (12 days at 16 a second) float32 has no room for every number; the clamp keeps them in range.
    """
    if not count:
        return []
    line = torch.linspace(first, last, count, dtype=torch.float32).round()
    return [min(max(int(x), first), last) for x in line]


def context_frames(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Frame numbers *within each shot* that condition the shot after them.

    Args:
        lengths: decoded frames of each finished shot, oldest first.
        budget: context frames in all.

    Returns:
        one list per shot, together ``budget`` entries; short shots repeat frames.
    """
    picks, start = [], 0
    for length, count in zip(lengths, frames_per_shot(len(lengths), budget), strict=True):
        # The float32 line is drawn in film time, as in the reference; its roundings depend on the offset.
        picks.append([frame - start for frame in spaced_frames(start, start + length - 1, count)])
        start += length
    return picks


@dataclass
class KeptFrame:
    """A frame that a later context may ask for: pixels ``(3, H, W)`` in -1..1, its encoding once made, or both."""

    pixels: Tensor | None
    latent: Tensor | None = None


@dataclass
class ShotMemory:
    """What is kept of one shot.

    Attributes:
        shot: its index in the film.
        start: film frame of its first frame, for the sampling grid.
        captions: (first frame in the shot, full prompt) of each prompt revision.
        length: frames so far.
        frames: kept frames by number within the shot.
        planned: length that the shot will have, or None when it is open-ended.
    """

    shot: int
    start: int
    captions: list[tuple[int, str]]
    length: int = 0
    frames: dict[int, KeptFrame] = field(default_factory=dict)
    stride: int = 1
    planned: int | None = None

    def add(self, pixels: Tensor) -> None:
        """Append decoded frames ``(T, 3, H, W)`` up to the planned length; thins the store when it is full.

        Frames beyond that length are made with the last block, but are no part of the film.
        """
        room = len(pixels) if self.planned is None else max(0, self.planned - self.length)
        for picture in pixels[:room]:
            previous = self.length - 1
            if previous > 0 and previous % self.stride:
                self.frames.pop(previous, None)
            # A copy: a view would keep all frames of its block alive after they are thinned out.
            self.frames[self.length] = KeptFrame(picture.clone())
            self.length += 1
        while len(self.frames) > MAX_KEPT_FRAMES:
            self.stride *= 2
            newest = self.length - 1
            self.frames = {n: f for n, f in self.frames.items() if n % self.stride == 0 or n == newest}

    def cut_to(self, length: int) -> None:
        """Forget frames from ``length`` on: they were generated, but nobody saw them."""
        self.length = min(self.length, length)
        self.frames = {n: f for n, f in self.frames.items() if n < self.length}

    def finish(self, budget: int, pinned: Sequence[int]) -> None:
        """Keep only what any later context can ask for: the picks for 1 .. ``budget`` frames, and the pinned ones."""
        wanted = {self.nearest(n) for n in pinned}
        for count in range(1, budget + 1):
            picks = spaced_frames(self.start, self.start + self.length - 1, count)
            wanted |= {self.nearest(pick - self.start) for pick in picks}
        self.frames = {n: f for n, f in self.frames.items() if n in wanted}

    def nearest(self, number: int) -> int:
        """The kept frame closest to ``number``: itself, unless the shot was thinned, or ended without a pin on it."""
        return number if number in self.frames else min(self.frames, key=lambda n: (abs(n - number), n))

    def caption_at(self, number: int) -> str:
        """The prompt in force at a frame."""
        return next(text for first, text in reversed(self.captions) if first <= number)


@dataclass(frozen=True)
class Pick:
    """One context frame (a kept one): where it is from, its shot flag and the prompt it was generated with."""

    shot: int
    frame: int
    flag: int
    caption: str


class ContextMemory:
    """Finished shots of the film, as far as contexts can still reach them.

    Args:
        budget: context frames per shot (``context_lat``).
        encode: turns one picture ``(3, H, W)`` into its latent ``(C, h, w)``; called once per frame, ever.
    """

    def __init__(self, budget: int, encode: Callable[[Tensor], Tensor]) -> None:
        self.budget = budget
        self.encode = encode
        self.shots: list[ShotMemory] = []

    def begin_shot(self, shot: int, caption: str, planned: int | None = None) -> ShotMemory:
        """Append the memory of a new shot of ``planned`` frames, None for open-ended."""
        start = self.shots[-1].start + self.shots[-1].length if self.shots else 0
        self.shots.append(ShotMemory(shot, start, [(0, caption)], planned=planned))
        return self.shots[-1]

    def end_before(self, shot: int, length: int | None) -> None:
        """Forget the shots from number ``shot`` on, and of the one before it the frames from ``length`` on."""
        self.shots = [memory for memory in self.shots if memory.shot < shot]
        if length is not None and self.shots and self.shots[-1].shot == shot - 1:
            self.shots[-1].cut_to(length)

    def finish_shots(self, pins: Sequence[Pin]) -> None:
        """Drop what no later context can reach: frames between the picks, and shots older than the budget."""
        self.shots = [shot for shot in self.shots if shot.length]
        pinned = {pin.shot for pin in pins}
        self.shots = [s for i, s in enumerate(self.shots) if i >= len(self.shots) - self.budget or s.shot in pinned]
        for memory in self.shots:
            frames = [pin.frame for pin in pins if pin.shot == memory.shot and pin.frame is not None]
            memory.finish(self.budget, frames)

    def check_pins(self, pins: Sequence[Pin]) -> None:
        """Raises:
        ScriptError: more pins than ``budget - 1``, or a pin that names no remembered shot or frame.
        """
        if len(pins) > self.budget - 1:
            raise ScriptError(
                f"{len(pins)} pinned memories exceed the {self.budget - 1} that {self.budget} context frames allow "
                "(one stays with the newest shot); unpin some"
            )
        known = {memory.shot: memory.length for memory in self.shots if memory.length}
        for pin in pins:
            if pin.shot not in known:
                raise ScriptError(
                    f"pin names shot {pin.shot}, but only shots {sorted(known)} are remembered; pin a shot before "
                    f"{self.budget} newer ones have followed it"
                )
            if pin.frame is not None and not 0 <= pin.frame < known[pin.shot]:
                raise ScriptError(f"pin names frame {pin.frame} of shot {pin.shot}, which has {known[pin.shot]} frames")

    def pick(self, shot: int, pins: Sequence[Pin] = ()) -> list[Pick]:
        """Context of shot number ``shot``; empty when no shot has frames yet. The newest shot may still be running: it
        is picked from as if it ended now.

        Pins come first and the rest of the budget is sampled. A pinned frame from further back than the budget keeps
        its picture and caption, but its flag is that of the oldest shot a plain context could reach: the phase between
        shots stays within what the model was trained on.
        """
        known = [memory for memory in self.shots if memory.length]
        if not known:
            return []
        wanted = [(self._memory(pin.shot), pin.frame or 0) for pin in pins]
        recent = known[-self.budget :]
        rest = self.budget - len(wanted)
        for memory, count in zip(recent, frames_per_shot(len(recent), rest), strict=True):
            last = memory.start + memory.length - 1
            wanted += [(memory, n - memory.start) for n in spaced_frames(memory.start, last, count)]
        picks = sorted(((memory, memory.nearest(frame)) for memory, frame in wanted), key=lambda p: (p[0].shot, p[1]))
        oldest = max(shot - self.budget, 0)
        return [Pick(memory.shot, frame, max(memory.shot, oldest), memory.caption_at(frame)) for memory, frame in picks]

    def _memory(self, shot: int) -> ShotMemory:
        return next(memory for memory in self.shots if memory.shot == shot)

    def latent(self, pick: Pick) -> Tensor:
        """Encoding ``(C, h, w)`` of a picked frame, made at most once."""
        return self.latent_of(self._memory(pick.shot), pick.frame)

    def latent_of(self, memory: ShotMemory, frame: int) -> Tensor:
        """Encoding of a kept frame of one shot; pixels are let go once they are encoded."""
        kept = memory.frames[frame]
        if kept.latent is None:
            assert kept.pixels is not None
            kept.latent = self.encode(kept.pixels)
            kept.pixels = None
        return kept.latent
