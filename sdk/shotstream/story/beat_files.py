"""Beats files (YAML): typed, bounded, unknown keys refused with their line. See ``docs/beats.md`` for the layout."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from ..errors import ScriptError
from .beats import Beat, BeatBook, BeatShot, check_characters, problems_of
from .conditions import Condition
from .grammar import ShotForm, check_style
from .limits import DEFAULT_SHOT_FRAMES, check_frames, check_seed
from .located import Key, Located
from .shot import When
from .templates import Template
from .variables import MAX_NUMBER, Blackboard, Variable, check_name, plain_text, shorten
from .yaml_text import read_yaml

VERSION = 1
MAX_FILE_BYTES = 1_000_000

T = TypeVar("T", bound=msgspec.Struct)


class _Variable(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text", "number", "bool", "choice"]
    default: bool | int | float | str | None = None
    values: list[str] = []
    min: float = -MAX_NUMBER
    max: float = MAX_NUMBER
    max_chars: int = 80


class _Shot(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    subjects: list[str] | None = None
    action: str | None = None
    place: str | None = None
    framing: str | None = None
    lens_height: str | None = None
    light: str | None = None
    weather: str | None = None
    camera: str | None = None
    frames: int | Literal["open"] = DEFAULT_SHOT_FRAMES
    seed: int | None = None


class _Beat(msgspec.Struct, forbid_unknown_fields=True):
    shots: list[Any] = []
    edit: str | None = None
    params: dict[str, Any] = {}
    when: str | None = None
    cut: When = "block"
    priority: int = 50
    cooldown_s: float = 0.0
    then: list[str] = []
    role: str = "trigger"


class _Book(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    beats: dict[str, Any]
    captions: str = "prose"
    style: str = ""
    characters: dict[str, str] = {}
    variables: dict[str, Any] = {}


@dataclass
class Parsed:
    """A file as far as it could be read.

    Attributes:
        book: the beats; None when there are problems.
        problems: every one that was found, each with file, line, value and remedy.
        tree: the plain data, with line numbers.
    """

    tree: Located
    book: BeatBook | None = None
    problems: list[str] = field(default_factory=list)


def read_beats(path: str | PathLike[str]) -> BeatBook:
    """See ``story.load_beats``."""
    parsed = parse_beats(read_file(path), str(path))
    if parsed.book is None:
        more = len(parsed.problems) - 1
        hint = f" (and {more} more; 'shotstream beats check' lists all)" if more else ""
        raise ScriptError(parsed.problems[0] + hint)
    return parsed.book


def read_file(path: str | PathLike[str]) -> str:
    """Text of a beats file. Raises ScriptError when it cannot be read or is larger than ``MAX_FILE_BYTES``."""
    file = Path(path)
    try:
        if file.is_fifo():  # opening one waits until somebody writes
            raise ScriptError(f"{file}: a pipe; expected a file; write the beats to a file first")
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)  # one more than allowed: enough to know
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise ScriptError(f"{file}: cannot be read ({why}); give the path of a beats file in YAML") from error
    if len(data) > MAX_FILE_BYTES:
        raise ScriptError(f"{file}: more than {MAX_FILE_BYTES} bytes; a beats file has at most that; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScriptError(f"{file}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error


def parse_beats(text: str, name: str) -> Parsed:
    """Read beats from text; ``name`` stands for the file in messages.

    Raises:
        ScriptError: not YAML at all. Everything else is collected in ``problems``.
    """
    if not re.search(r"^[ \t]*[^\s#]", text, re.MULTILINE):
        raise ScriptError(f"{name}: the file is empty; expected 'version: {VERSION}' and 'beats'; write them")
    reader = _Reader(read_yaml(text, name), name)
    with reader.at():
        reader.parsed.book = reader.book()
    if reader.parsed.problems:
        reader.parsed.book = None
    return reader.parsed


class _Incomplete(ScriptError):
    """A part is missing because of problems inside it, which are noted already."""


class _Reader:
    """Builds a book and notes what is wrong on the way."""

    def __init__(self, tree: Located, name: str) -> None:
        self.tree, self.name = tree, name
        self.parsed = Parsed(tree)

    @contextlib.contextmanager
    def at(self, *keys: Key) -> Iterator[None]:
        """Note a ScriptError as a problem at ``keys`` and go on behind the block."""
        try:
            yield
        except _Incomplete:
            pass
        except ScriptError as error:
            self.note(keys, str(error))

    def note(self, keys: tuple[Key, ...], problem: str) -> None:
        place = f"{_place(keys)}: " if keys else ""
        self.parsed.problems.append(f"{self.name}{self.tree.line(keys)}: {place}{problem}")

    def typed(self, kind: type[T], *keys: Key) -> T:
        """The part at ``keys`` as ``kind``."""
        data = self.tree.value(keys)
        try:
            return msgspec.convert(data, kind, strict=True)
        except msgspec.ValidationError as error:
            raise ScriptError(self._explain(kind, keys, str(error))) from error

    def _explain(self, kind: type[msgspec.Struct], keys: tuple[Key, ...], message: str) -> str:
        """msgspec's sentence with value and remedy."""
        reason, _, where = message.partition(" - at `")
        known = kind.__struct_fields__
        unknown = re.search(r"unknown field `(.*)`", reason, re.DOTALL)
        if unknown:
            close = difflib.get_close_matches(unknown[1][:60], known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
            return f"unknown key {shorten(unknown[1])}; known are {', '.join(known)}; {hint}"
        missing = re.search(r"missing required field `(.*)`", reason)
        if missing:
            return f"{missing[1]!r} is missing; expected one; add it"
        inner = [name or int(index) for name, index in re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", where)]
        value = self.tree.value((*keys, *inner))
        return f"{_place(inner) or 'it'} is {shorten(value)}: {reason.lower()}; change the value"

    def book(self) -> BeatBook | None:
        raw = self.typed(_Book)
        if raw.version != VERSION:
            raise ScriptError(f"version={shorten(raw.version)}; this release reads version {VERSION}; change it")
        with self.at("captions"):
            check_style(raw.captions)
        with self.at("style"):
            raw.style = plain_text(raw.style, "style") if raw.style else ""
        variables = self.variables(raw.variables, "variables")
        with self.at("variables"):
            Blackboard(variables)  # refuses variables without a default
        with self.at("characters"):
            raw.characters = dict(check_characters(raw.characters, variables))
        beats: dict[str, Beat] = {}
        for name in raw.beats:
            with self.at("beats", name):
                beats[name] = self.beat(name, variables, raw.characters)
        names: dict[str, object] = {**raw.beats, **beats}
        for name, beat in beats.items():
            with self.at("beats", name):
                for place, problem in problems_of(beat, names, variables, raw.characters):
                    # ".shots[0].action" to keys, for the line
                    inner = [key or int(index) for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", place)]
                    self.note(("beats", name, *inner), problem)
        if self.parsed.problems:
            return None
        return BeatBook(
            beats=beats,
            variables=variables,
            characters=raw.characters,
            style=raw.style,
            captions=check_style(raw.captions),
        )

    def variables(self, raw: dict[str, Any], *keys: Key) -> dict[str, Variable]:
        found = {}
        for name in raw:
            with self.at(*keys, name):
                check_name(name, "the name")
                fields = self.typed(_Variable, *keys, name)
                found[name] = Variable(
                    kind=fields.type,
                    default=fields.default,
                    values=tuple(fields.values),
                    lowest=fields.min,
                    highest=fields.max,
                    max_chars=fields.max_chars,
                )
        return found

    def beat(self, name: str, variables: dict[str, Variable], characters: dict[str, str]) -> Beat:
        raw = self.typed(_Beat, "beats", name)
        shots = []
        for number in range(len(raw.shots)):
            with self.at("beats", name, "shots", number):
                shots.append(self.shot(characters, "beats", name, "shots", number))
        params = self.variables(raw.params, "beats", name, "params")
        if len(shots) < len(raw.shots) or len(params) < len(raw.params):
            raise _Incomplete
        return Beat(
            name=name,
            shots=tuple(shots),
            edit=None if raw.edit is None else Template.parse(raw.edit, "edit"),
            params=params,
            condition=None if raw.when is None else Condition.parse(raw.when, variables),
            cut=raw.cut,
            priority=raw.priority,
            cooldown_s=raw.cooldown_s,
            then=tuple(raw.then),
            role=raw.role,
        )

    def shot(self, characters: dict[str, str], *keys: Key) -> BeatShot:
        raw = self.typed(_Shot, *keys)
        fields = {name: getattr(raw, name) for name in raw.__struct_fields__ if name not in ("text", "frames", "seed")}
        fields = {name: value for name, value in fields.items() if value is not None}
        if (raw.text is not None) == bool(fields):
            given = f"'text' and {', '.join(map(repr, fields))}" if fields else "neither"
            raise ScriptError(f"has {given}; expected 'text' or fields such as 'subjects'; write one of the two")
        words: ShotForm | Template
        if raw.text is not None:
            words = Template.parse(raw.text)
        else:
            # a subject that is a character's name needs no braces
            fields["subjects"] = [f"{{{who}}}" if who in characters else who for who in raw.subjects or ()]
            words = ShotForm.parse(fields)
        frames = None if raw.frames == "open" else check_frames(raw.frames)
        return BeatShot(words=words, frames=frames, seed=None if raw.seed is None else check_seed(raw.seed))


def _place(keys: tuple[Key, ...] | list[Any]) -> str:
    return ".".join(f"[{key}]" if isinstance(key, int) else str(key)[:60] for key in keys).replace(".[", "[")
