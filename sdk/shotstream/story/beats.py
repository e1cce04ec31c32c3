"""Beats: named story events with parameters, and the book that holds them. Values only; see ``narrator`` for the play.

A beat is a few shots, or one change of words. Its texts have gaps for parameters, for variables of the blackboard and
for characters; that every gap has a value is checked when the book is made, never while a film runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import ScriptError
from .conditions import Condition
from .grammar import Caption, ShotForm, Style, check_style
from .limits import DEFAULT_SHOT_FRAMES
from .shot import Cut, Shot, When
from .templates import Template
from .variables import Value, Variable, check_name, plain_text, shorten, words_of

Role = Literal["viewer", "trigger", "director", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Who may do what, in rising order."""

FOLLOW_UP = "follow-up"
"""In place of a role: nobody triggers this beat, it only follows another."""

MAX_BEATS = 1000
MAX_BEAT_SHOTS = 32
MAX_PRIORITY = 100
MAX_COOLDOWN_S = 86_400.0
_RESERVED = ("role",)  # a keyword of Narrator.trigger
_OPEN_END = "only the last shot of a beat may be open"


@dataclass(frozen=True, kw_only=True)
class BeatShot:
    """One shot of a beat: its words, as fields or as free text, and its length (None is open-ended)."""

    words: ShotForm | Template
    frames: int | None = DEFAULT_SHOT_FRAMES
    seed: int | None = None

    @property
    def texts(self) -> dict[str, Template]:
        """All texts with gaps, by field."""
        return self.words.texts if isinstance(self.words, ShotForm) else {"text": self.words}

    def caption(self, values: Mapping[str, str], style: Style) -> Caption:
        """The words with their gaps filled."""
        if isinstance(self.words, ShotForm):
            return self.words.caption(values, style)
        return Caption(plain_text(self.words.fill(values), "the caption"))


@dataclass(frozen=True, kw_only=True)
class Beat:
    """One story event.

    Attributes:
        shots: what it shows, 1..32; empty for an ``edit``.
        edit: words for the shot on screen instead of shots of its own.
        params: what a trigger must hand in; a default makes one optional.
        condition: when it may happen; None is always.
        cut: how its first shot begins; the others follow at each shot's end.
        priority: 0..100; a higher one interrupts a lower one, others wait.
        cooldown_s: seconds from one trigger to the next.
        then: beats that may follow it; the first whose condition holds does.
        role: the lowest role that may trigger it, or "follow-up".
    """

    name: str
    shots: tuple[BeatShot, ...] = ()
    edit: Template | None = None
    params: Mapping[str, Variable] = field(default_factory=dict)
    condition: Condition | None = None
    cut: When = "block"
    priority: int = 50
    cooldown_s: float = 0.0
    then: tuple[str, ...] = ()
    role: str = "trigger"

    def __post_init__(self) -> None:
        check_name(self.name, "beat")
        if bool(self.shots) == (self.edit is not None) or len(self.shots) > MAX_BEAT_SHOTS:
            raise ScriptError(
                f"beat {self.name} has {len(self.shots)} shots and {'an' if self.edit else 'no'} edit; "
                f"expected 1..{MAX_BEAT_SHOTS} shots, or one edit; write one of them"
            )
        if any(shot.frames is None for shot in self.shots[:-1]):
            raise ScriptError(f"beat {self.name}: {_OPEN_END}; give the others a number of frames")
        if self.cut not in get_args(When):
            raise ScriptError(f"cut={shorten(self.cut)} is unknown; use one of {', '.join(get_args(When))}")
        if not 0 <= self.priority <= MAX_PRIORITY:
            raise ScriptError(f"priority={shorten(self.priority)} is outside 0..{MAX_PRIORITY}; use 50 for most beats")
        if not 0 <= self.cooldown_s <= MAX_COOLDOWN_S:
            raise ScriptError(f"cooldown_s={self.cooldown_s:g} is outside 0..{MAX_COOLDOWN_S:g}; give seconds")
        if self.role not in (*ROLES, FOLLOW_UP):
            raise ScriptError(f"role={shorten(self.role)} is unknown; use one of {', '.join((*ROLES, FOLLOW_UP))}")
        if self.edit is not None and (self.then or self.role == FOLLOW_UP):
            raise ScriptError(
                f"beat {self.name}: an edit takes no time, so it neither has nor is a follow-up; use shots"
            )

    @property
    def texts(self) -> dict[str, Template]:
        """All texts with gaps, by place, such as "shots[0].action"."""
        if self.edit is not None:
            return {"edit": self.edit}
        return {
            f"shots[{number}].{name}": text
            for number, shot in enumerate(self.shots)
            for name, text in shot.texts.items()
        }

    def arguments(self, params: Mapping[str, object]) -> dict[str, Value]:
        """Checked values for all parameters.

        Raises:
            ScriptError: an unknown or missing parameter, or a value of another type.
        """
        known = ", ".join(self.params) or "none"
        for name in params:
            if name not in self.params:
                raise ScriptError(f"beat {self.name} has no parameter {shorten(name)}; it has {known}; leave it out")
        values: dict[str, Value] = {}
        for name, variable in self.params.items():
            if name in params:
                values[name] = variable.check(params[name], f"{self.name}.{name}")
            elif variable.default is not None:
                values[name] = variable.default
            else:
                raise ScriptError(f"beat {self.name} needs the parameter {name!r}; its parameters are {known}; add it")
        return values


@dataclass(frozen=True, kw_only=True)
class Cue:
    """A beat with all its gaps filled, ready for a film: cuts in order, or one edit.

    ``left_out`` lists the fields that the caption style has no words for.
    """

    beat: str
    cuts: tuple[Cut, ...] = ()
    edit: str | None = None
    left_out: tuple[str, ...] = ()

    @property
    def captions(self) -> tuple[str, ...]:
        """What the model reads, in order."""
        return tuple(cut.shot.prompt for cut in self.cuts) if self.edit is None else (self.edit,)


@dataclass(frozen=True, kw_only=True)
class BeatBook:
    """All beats of a game.

    Attributes:
        beats: by name, in the order of the file.
        variables: the blackboard's, each with a default.
        characters: name to description; the name is a gap in every text.
        style: what all shots share; a film takes it as its global caption.
        captions: how fields are phrased, "short" or "prose".

    Raises:
        ScriptError: two things of one name, a gap without a value, a follow-up that does not exist, and the like.
    """

    beats: Mapping[str, Beat]
    variables: Mapping[str, Variable] = field(default_factory=dict)
    characters: Mapping[str, str] = field(default_factory=dict)
    style: str = ""
    captions: Style = "prose"

    def __post_init__(self) -> None:
        check_style(self.captions)
        if not 1 <= len(self.beats) <= MAX_BEATS:
            raise ScriptError(f"the book has {len(self.beats)} beats; expected 1..{MAX_BEATS}; add or remove beats")
        style = plain_text(self.style, "style") if self.style else ""
        object.__setattr__(self, "style", style)
        object.__setattr__(self, "characters", dict(check_characters(self.characters, self.variables)))
        for name, beat in self.beats.items():
            for place, problem in problems_of(beat, self.beats, self.variables, self.characters):
                raise ScriptError(f"beat {name}{place}: {problem}")

    def beat(self, name: object) -> Beat:
        """The beat of that name. Raises ScriptError when there is none."""
        if isinstance(name, str) and name in self.beats:
            return self.beats[name]
        close = difflib.get_close_matches(name[:60], self.beats, 1) if isinstance(name, str) else []
        known = ", ".join(list(self.beats)[:8]) + (", ..." if len(self.beats) > 8 else "")
        hint = f"did you mean {close[0]!r}?" if close else "use one of these"
        raise ScriptError(f"beat {shorten(name)} is unknown; there are {known}; {hint}")

    def cue(self, name: str, params: Mapping[str, object], facts: Mapping[str, Value]) -> Cue:
        """A beat with its gaps filled from ``params``, the blackboard's ``facts``, and the characters.

        Raises:
            ScriptError: no such beat, a wrong parameter, or a caption that came out too long.
        """
        beat = self.beat(name)
        known = {**facts, **beat.arguments(params)}
        values = {**self.characters, **{key: words_of(value) for key, value in known.items()}}
        try:
            if beat.edit is not None:
                return Cue(beat=beat.name, edit=plain_text(beat.edit.fill(values), "the caption"))
            made = [shot.caption(values, self.captions) for shot in beat.shots]
        except ScriptError as error:
            raise ScriptError(f"beat {beat.name}: {error}") from error
        cuts = tuple(
            Cut(
                shot=Shot(prompt=caption.text, frames=shot.frames, seed=shot.seed),
                when=beat.cut if number == 0 else "shot_end",
            )
            for number, (shot, caption) in enumerate(zip(beat.shots, made, strict=True))
        )
        left_out = tuple(f"shots[{n}].{name}" for n, caption in enumerate(made) for name in caption.left_out)
        return Cue(beat=beat.name, cuts=cuts, left_out=left_out)


def check_characters(characters: Mapping[str, str], variables: Mapping[str, Variable]) -> Iterator[tuple[str, str]]:
    """Names and cleaned descriptions. Raises ScriptError for a wrong one, or one that is a variable too."""
    for name, look in characters.items():
        check_name(name, "character")
        if name in variables:
            raise ScriptError(f"{name} is a character and a variable; expected one meaning per name; rename one")
        yield name, plain_text(look, f"character {name}")


def problems_of(
    beat: Beat, names: Mapping[str, object], variables: Mapping[str, Variable], characters: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """All that is wrong with a beat among its fellows: (place such as ".shots[0].action", sentence)."""
    for param, variable in beat.params.items():
        if param in variables or param in characters or param in _RESERVED:
            yield f".params.{param}", "the name is taken (by a variable, a character, or 'role'); rename the parameter"
        check_name(param, "parameter")
        if beat.role == FOLLOW_UP and variable.default is None:
            yield f".params.{param}", "a follow-up is triggered without parameters; give it a default"
    gaps: dict[str, Variable | None] = {**dict.fromkeys(characters), **variables, **beat.params}
    for place, text in beat.texts.items():
        for name in text.names:
            found = gaps.get(name)
            if name not in gaps:
                known = ", ".join(gaps) or "none"
                yield f".{place}", f"{{{name}}} is unknown; there are {known}; declare it or correct the name"
            elif found is not None and found.kind == "bool":
                yield f".{place}", f"{{{name}}} is a yes or no, which says nothing in a caption; use a choice"
    typed = {name: variable for name, variable in gaps.items() if variable is not None}
    for number, shot in enumerate(beat.shots):
        if isinstance(shot.words, ShotForm):
            try:
                shot.words.check_gaps(typed)
            except ScriptError as error:
                yield f".shots[{number}]", str(error)
    for follower in beat.then:
        other = names.get(follower)
        if other is None:
            yield ".then", f"{shorten(follower)} is no beat; there are {', '.join(list(names)[:8])}; correct the name"
        elif isinstance(other, Beat) and other.edit is not None:
            yield ".then", f"{follower} is an edit, which takes no time; a follow-up has shots; use another beat"
        elif isinstance(other, Beat) and any(param.default is None for param in other.params.values()):
            yield ".then", f"{follower} has a parameter without default; a follow-up gets none; give it one"
