"""What every engine can do: open a shot, make the next block, and save or restore the story so far.

An engine is driven by one thread. It knows nothing of clocks, commands or files. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..frames import Image, VideoSpec


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A memory that must stay in the context while the budget allows: a whole shot, or one frame of it.

    A pinned frame takes one context slot for itself before the others are shared out; ``frame=None`` pins the first
    frame of the shot. Pins beyond ``context_lat - 1`` are refused, so that the newest shot always keeps a slot.
    """

    shot: int
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class ShotPlan:
    """Everything an engine needs to begin a shot.

    Attributes:
        shot: index in the film, from 0, without gaps.
        caption: what this shot shows.
        global_caption: what all shots share (characters, setting, style); may be empty.
        seed: seed of the noise of this shot.
        pins: memories that must stay in the context.
        num_frames: planned length in frames, or None when open-ended. Frames of its last block beyond that length are
            made, but are no part of the film: later contexts never see them. It does not end the shot.
        made_as: number under which its noise is drawn and its caption read, where that is not ``shot``: a shot that was
            prepared keeps the number that was next then.
    """

    shot: int
    caption: str
    global_caption: str = ""
    seed: int = 0
    pins: tuple[Pin, ...] = ()
    num_frames: int | None = None
    made_as: int | None = None

    @property
    def number(self) -> int:
        """The number that the model knows the shot by."""
        return self.shot if self.made_as is None else self.made_as


@dataclass(frozen=True, kw_only=True)
class Block:
    """Frames of one generated block.

    Attributes:
        images: one uint8 ``(height, width, 3)`` RGB array per frame, owned by the block.
        shot, block: where it stands.
        denoise_ms, decode_ms, context_ms: time spent in each part (context only in the first block of a shot).
        caption_tokens: tokens of the caption in force; caption_truncated: the text encoder could not take all of it.
        unknown_words: words of the caption that the text encoder does not know (empty for subword tokenizers).
    """

    images: tuple[Image, ...]
    shot: int
    block: int
    denoise_ms: float = 0.0
    decode_ms: float = 0.0
    context_ms: float = 0.0
    caption_tokens: int = 0
    caption_truncated: bool = False
    unknown_words: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A shot whose first block was made while another one runs. Engines add what they need to go on from there.

    Attributes:
        plan: as given to ``prepare``.
        block: its first block.
    """

    plan: ShotPlan
    block: Block


@runtime_checkable
class Engine(Protocol):
    """An executor of the model.

    Attributes:
        spec: sizes of the stream.
        name: bundle name.
        device: such as "cpu" or "cuda:0".
        dtype: such as "float32".
    """

    spec: VideoSpec
    name: str
    device: str
    dtype: str

    def open_shot(self, plan: ShotPlan) -> None:
        """Begin a shot. The shot before it ends where its last completed block ended.

        Raises:
            ScriptError: empty caption, or a pin that names no kept frame.
        """

    def next_block(self, *, caption: str | None = None, abort: Callable[[], bool] | None = None) -> Block:
        """Generate the next block of the open shot.

        Args:
            caption: from this block on, the shot shows this instead; caches stay (an in-shot change).
            abort: asked between denoising steps; when it answers True the block is abandoned.

        Raises:
            Aborted: ``abort`` answered True. The engine is as it was before the call; call again, or open a shot.
        """

    def prepare(self, plan: ShotPlan, *, abort: Callable[[], bool] | None = None) -> Prepared:
        """Make the first block of a shot aside: the same as ``open_shot`` and ``next_block`` would give now. The open
        shot goes on afterwards as if nothing had been.

        Raises:
            ScriptError: as in ``open_shot``.
            Aborted: ``abort`` answered True; nothing was prepared.
        """

    def adopt(self, prepared: Prepared, *, shot: int, frames: int | None, pins: tuple[Pin, ...] = ()) -> None:
        """Open a prepared shot: its second block is the next one. Once for each ``Prepared``.

        Args:
            prepared: of this engine.
            shot: its number in the film. Shots from that number on are forgotten, since nobody saw them.
            frames: as many of the shot before it were seen, the others are forgotten; None for all.
            pins: memories that must stay for the shots after it.
        """

    def snapshot(self) -> bytes:
        """Story state (plans, latents, context frames; no KV cache, no weights) as a few megabytes."""

    def restore(self, state: bytes, *, seed: int | None = None) -> None:
        """Return to a snapshot of an engine with the same bundle: the next blocks equal those that followed it.

        Args:
            state: what ``snapshot`` returned.
            seed: of the noise of the open shot from here on, so that the next blocks differ; None keeps its own.

        Raises:
            ScriptError: the bytes are no snapshot, damaged, or of another bundle.
        """

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
