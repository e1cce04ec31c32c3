"""The words of a film as values: a story is a list of shots; cuts and prompt edits are what a user asks for live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import ScriptError
from .limits import check_frames, check_seed, clean_prompt

When = Literal["block", "shot_end", "now"]
"""When a cut takes effect: at the next block boundary, when the shot before has its length, or by giving up the block
in work."""

MAX_SHOTS = 1000


@dataclass(frozen=True, kw_only=True)
class PromptEdit:
    """A change of words inside a shot: no cut, no reset of what the shot has built up.

    Attributes:
        prompt: what the shot shows from then on.
        at: frame of the shot, from 1. The edit takes effect with the first block that begins at or after it.
    """

    prompt: str
    at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", clean_prompt(self.prompt, "edit prompt"))
        check_frames(self.at, "edit at")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What lies between two cuts.

    Attributes:
        prompt: what the shot shows.
        frames: its length, exactly; None is open-ended.
        seed: noise seed of this shot; None takes that of the film.
        edits: changes of words at given frames, in rising order.
    """

    prompt: str
    frames: int | None = None
    seed: int | None = None
    edits: tuple[PromptEdit, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", clean_prompt(self.prompt))
        object.__setattr__(self, "edits", tuple(self.edits))
        if self.frames is not None:
            check_frames(self.frames)
        if self.seed is not None:
            check_seed(self.seed)
        positions = [edit.at for edit in self.edits]
        if positions != sorted(set(positions)):
            raise ScriptError(f"edits at frames {positions} must rise strictly; sort them and keep one per frame")
        if self.frames is not None and positions and positions[-1] >= self.frames:
            raise ScriptError(
                f"edit at={positions[-1]} is not inside a shot of frames={self.frames}; use a smaller frame"
            )


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A request for a new shot.

    Attributes:
        shot: the shot to open.
        when: see ``When``.
        world: global caption of this shot and those after it; None keeps the one in force.
    """

    shot: Shot
    when: When = "block"
    world: str | None = None

    def __post_init__(self) -> None:
        if self.world is not None:
            object.__setattr__(self, "world", clean_prompt(self.world, "global caption", empty_ok=True))
        if self.when not in get_args(When):
            raise ScriptError(f"when={self.when!r} is unknown; use one of {', '.join(map(repr, get_args(When)))}")


@dataclass(frozen=True, kw_only=True)
class Story:
    """Shots in order, and what they have in common.

    Attributes:
        shots: 1 to ``MAX_SHOTS``.
        world: the global caption: setting and style; may be empty.
        characters: name to description; joined to the world in the caption that the model reads.
    """

    shots: tuple[Shot, ...]
    world: str = ""
    characters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shots", tuple(self.shots))
        object.__setattr__(self, "world", clean_prompt(self.world, "global caption", empty_ok=True))
        if not 1 <= len(self.shots) <= MAX_SHOTS:
            raise ScriptError(f"the story has {len(self.shots)} shots; expected 1..{MAX_SHOTS}; add or remove shots")
        clean_prompt(self.global_caption, "global caption with characters", empty_ok=True)

    @property
    def global_caption(self) -> str:
        """World and characters as one text."""
        people = (
            f"{clean_prompt(name, 'character name')}: {clean_prompt(look, f'character {name!r}')}."
            for name, look in self.characters.items()
        )
        return " ".join(part for part in (self.world, *people) if part)

    @property
    def num_frames(self) -> int | None:
        """Frames of the whole story, or None when a shot is open-ended."""
        lengths = [shot.frames for shot in self.shots]
        return None if None in lengths else sum(length for length in lengths if length is not None)
