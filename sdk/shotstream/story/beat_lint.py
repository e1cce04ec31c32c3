"""What a beats file that reads well can still have wrong: beats nobody can see, captions the model cannot take in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .beats import FOLLOW_UP, Beat, BeatBook, BeatShot
from .conditions import Condition
from .grammar import ShotForm, Style
from .located import Key
from .variables import Value, Variable, words_of

_MAX_CASES = 5000
_CHARS_PER_WORD = 5
"""How many characters of a text parameter are reckoned as one token."""
_FILLER = "a"


@dataclass(frozen=True)
class Finding:
    """One remark. An error is something that cannot be meant; ``keys`` lead to its place in the file."""

    level: Literal["error", "warning"]
    keys: tuple[Key, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a bundle reads text.

    Attributes:
        limit: tokens it takes of a prompt, global caption included.
        count: tokens of a text.
        unknown: words of a text that it does not know.
        captions: the phrasing it was trained on.
    """

    limit: int
    count: Callable[[str], int]
    unknown: Callable[[str], Sequence[str]]
    captions: Style


def lint(book: BeatBook, reader: Reader | None = None) -> list[Finding]:
    """All remarks on a book, errors first; with ``reader`` also on what its bundle makes of the captions."""
    found = [*_conditions(book), *_follow_ups(book), *_cycles(book), *_unused(book), *_left_out(book)]
    if reader is not None:
        found += _captions(book, reader)
    return sorted(found, key=lambda finding: finding.level)


# --- what can happen --------------------------------------------------------------------------------------------


def _conditions(book: BeatBook) -> Iterator[Finding]:
    for name, beat in book.beats.items():
        if beat.condition is not None and never_holds(beat.condition, book.variables):
            yield Finding(
                "error",
                ("beats", name, "when"),
                f"{beat.condition.source!r} holds for no values of its variables; the beat is never seen; correct it",
            )


def never_holds(condition: Condition, variables: Mapping[str, Variable]) -> bool:
    """Whether no values make it true. False also when there are too many cases to be sure."""
    names = sorted(condition.names)
    if sum(variables[name].kind in ("number", "text") for name in names) > 2:
        return False  # two values per gap between literals settle the order of two variables, not of three
    numbers = {value for value in condition.literals if isinstance(value, float)}
    for name in names:
        if variables[name].kind == "number":
            numbers |= {variables[name].lowest, variables[name].highest}
    texts = [value for value in condition.literals if isinstance(value, str)]
    cases = [_values(variables[name], numbers, texts) for name in names]
    num_cases = 1
    for values in cases:
        num_cases *= len(values)
    if num_cases > _MAX_CASES:
        return False
    return not any(condition.holds(dict(zip(names, case, strict=True))) for case in itertools.product(*cases))


def _values(variable: Variable, numbers: set[float], texts: list[str]) -> Sequence[Value]:
    """Values of a variable that can tell cases apart: the ones named, and some between and beside them."""
    if variable.kind == "bool":
        return (False, True)
    if variable.kind == "choice":
        return variable.values
    if variable.kind == "text":
        return (*texts, "one other", "another one")
    ordered = sorted(numbers)
    between = [low + (high - low) * part for low, high in itertools.pairwise(ordered) for part in (1 / 3, 2 / 3)]
    return [value for value in (*ordered, *between) if variable.lowest <= value <= variable.highest]


def _follow_ups(book: BeatBook) -> Iterator[Finding]:
    reached = [name for name, beat in book.beats.items() if beat.role != FOLLOW_UP]
    seen = set(reached)
    while reached:
        for name in book.beats[reached.pop()].then:
            if name not in seen:
                seen.add(name)
                reached.append(name)
    for name in book.beats:
        if name not in seen:
            yield Finding(
                "error",
                ("beats", name),
                "is a follow-up, and no beat that can be triggered leads to it; name it in a 'then', or give it a role",
            )
    for name, beat in book.beats.items():
        for number, follower in enumerate(beat.then[:-1]):
            if _always(book.beats[follower]):
                yield Finding(
                    "error",
                    ("beats", name, "then", number + 1),
                    f"{beat.then[number + 1]} is never reached, because {follower} before it is always possible; "
                    f"give {follower} a condition or put it last",
                )
                break


def _always(beat: Beat) -> bool:
    return beat.condition is None and beat.cooldown_s == 0


def _cycles(book: BeatBook) -> Iterator[Finding]:
    """Rounds of beats that go on by themselves; those that wait behind them would do so for ever."""
    # Any other follow-up before it is a way out of the round.
    follower = {
        name: beat.then[0] if beat.then and _always(book.beats[beat.then[0]]) else None
        for name, beat in book.beats.items()
    }
    told: set[str] = set()
    for start in book.beats:
        path: list[str] = []
        name: str | None = start
        while name is not None and name not in path and name not in told:
            path.append(name)
            name = follower[name]
        if name is not None and name in path:
            cycle = path[path.index(name) :]
            rank = min(book.beats[name].priority for name in cycle)
            kept_out = [
                name
                for name, beat in book.beats.items()
                if beat.shots and beat.role != FOLLOW_UP and name not in cycle and beat.priority <= rank
            ]
            yield Finding(
                "error" if kept_out else "warning",
                ("beats", cycle[0], "then"),
                f"{' -> '.join([*cycle, cycle[0]])} goes round for ever"
                + (
                    f", and {kept_out[0]} of priority {book.beats[kept_out[0]].priority} never comes"
                    if kept_out
                    else ""
                )
                + "; give one of them a condition or a cooldown",
            )
        told |= set(path)


# --- what is said -----------------------------------------------------------------------------------------------


def _unused(book: BeatBook) -> Iterator[Finding]:
    used = {gap for beat in book.beats.values() for text in beat.texts.values() for gap in text.names}
    for name in book.characters:
        if name not in used:
            yield Finding("warning", ("characters", name), "is in no caption; use it or remove it")
    used |= {name for beat in book.beats.values() if beat.condition for name in beat.condition.names}
    for name in book.variables:
        if name not in used:
            yield Finding("warning", ("variables", name), "is in no caption and no condition; use it or remove it")
    for beat in book.beats.values():
        inside = {gap for text in beat.texts.values() for gap in text.names}
        for name in beat.params:
            if name not in inside:
                yield Finding("warning", ("beats", beat.name, "params", name), "is in no caption; use it or remove it")


def _left_out(book: BeatBook) -> Iterator[Finding]:
    for beat, number, shot in _shots(book):
        if not isinstance(shot.words, ShotForm):
            continue
        lost: dict[str, None] = {}
        for values in _fillings(book, beat, shot, lambda words: max(words, key=len)):
            lost |= dict.fromkeys(shot.caption(values, book.captions).left_out)
        for field in lost:
            yield Finding(
                "warning",
                ("beats", beat.name, "shots", number, field.partition("=")[0]),
                f"{field} has no words in captions of style {book.captions!r} and is left out; say it in 'action' or "
                "'place', or leave it",
            )


def _captions(book: BeatBook, reader: Reader) -> Iterator[Finding]:
    if book.captions != reader.captions:
        yield Finding(
            "warning",
            ("captions",),
            f"{book.captions!r} is not how the bundle's captions were phrased in training; use {reader.captions!r}",
        )
    filler = set(reader.unknown(_FILLER))

    def unknown(keys: tuple[Key, ...], text: str) -> Iterator[Finding]:
        if words := [word for word in dict.fromkeys(reader.unknown(text)) if word not in filler]:
            yield Finding(
                "warning", keys, f"the bundle does not know {', '.join(map(repr, words[:8]))}; use other words"
            )

    yield from unknown(("style",), book.style)
    for name, look in book.characters.items():
        yield from unknown(("characters", name), look)
    for name, variable in book.variables.items():
        if any(name in text.names for beat in book.beats.values() for text in beat.texts.values()):
            yield from unknown(("variables", name), ", ".join(variable.values))
    for beat in book.beats.values():
        for name, variable in beat.params.items():
            yield from unknown(("beats", beat.name, "params", name), ", ".join(variable.values))
    for beat, keys, captions, spare in _made(book, reader):
        yield from unknown(keys, " ".join(captions))
        tokens = max(reader.count(f"{book.style}shot99:{caption}") for caption in captions) + spare
        if tokens > reader.limit:
            yield Finding(
                "error",
                keys,
                f"may have {tokens} tokens with the style; the bundle reads {reader.limit} and loses the rest; "
                f"shorten the texts of {beat.name}, or max_chars of its parameters",
            )


def _made(book: BeatBook, reader: Reader) -> Iterator[tuple[Beat, tuple[Key, ...], list[str], int]]:
    """Longest captions of every shot and edit: (beat, place, captions, tokens that text parameters may add)."""

    def longest(values: Iterable[str]) -> str:
        return max(values, key=reader.count)

    for beat, number, shot in _shots(book):
        captions = [shot.caption(values, book.captions).text for values in _fillings(book, beat, shot, longest)]
        place: tuple[Key, ...] = ("beats", beat.name) + (("edit",) if beat.edit is not None else ("shots", number))
        gaps = [name for text in shot.texts.values() for name in text.names]
        texts = [found for name in gaps if (found := _variable(book, beat, name)) and found.kind == "text"]
        yield beat, place, captions, sum(-(-found.max_chars // _CHARS_PER_WORD) - 1 for found in texts)


def _shots(book: BeatBook) -> Iterator[tuple[Beat, int, BeatShot]]:
    """All shots with their number; an edit counts as a shot."""
    for beat in book.beats.values():
        shots = beat.shots if beat.edit is None else (BeatShot(words=beat.edit),)
        for number, shot in enumerate(shots):
            yield beat, number, shot


def _variable(book: BeatBook, beat: Beat, name: str) -> Variable | None:
    return beat.params.get(name) or book.variables.get(name)


def _fillings(
    book: BeatBook, beat: Beat, shot: BeatShot, longest: Callable[[Iterable[str]], str]
) -> Iterator[dict[str, str]]:
    """Values for the gaps of a shot: the longest ones, then each word of each field of fixed words."""
    values = dict(book.characters)
    fixed: dict[str, tuple[str, ...]] = {}
    for field, text in shot.texts.items():
        for name in text.names:
            variable = _variable(book, beat, name)
            if variable is None:
                continue
            if variable.kind == "number":
                values[name] = longest([words_of(variable.lowest), words_of(variable.highest)])
            elif variable.kind == "choice":
                values[name] = longest(variable.values)
                if isinstance(shot.words, ShotForm) and text.only_gap and "[" not in field:
                    fixed[name] = variable.values
            else:
                values[name] = _FILLER
    yield values
    for name, words in fixed.items():
        for word in words:
            yield {**values, name: word}
