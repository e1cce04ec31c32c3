"""Stage directions in a dialogue: the tags of an Ink story and the commands of a Yarn story, as beats.

    shot: boss_reveal place="the pier" speed=2      an Ink tag, as its runtime hands it out
    shot boss_reveal place "the pier" speed 2       a Yarn command
    fact: weather=rain                              variables of the story

The first word says what it is, with or without a colon. After it come, for a shot, the name of a beat, and then
values: ``name=value`` or ``name value``. In quotes a value is text, with ``\\"`` and ``\\\\`` inside; a bare ``true``,
``false`` or number is one; any other bare word is text. Lines that begin with other words are not directions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ScriptError
from .variables import NAME, Value, shorten

MAX_DIRECTION_CHARS = 2000

_TOKEN = re.compile(
    r"""\s*(?: (?P<name>[A-Za-z_]\w*)\s*=\s* )?  (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s"=]+) ) (?=\s|$)""",
    re.VERBOSE | re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})")


@dataclass(frozen=True, kw_only=True)
class Direction:
    """What a line asks for: a ``beat`` with ``values`` as its parameters, or without one, variables to set."""

    beat: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


class Stage(Protocol):
    """Who carries directions out: a ``bridge.client.Client``, or a ``Narrator`` in the same process."""

    def trigger(self, name: str, params: Any = ..., /) -> Any: ...

    def set(self, values: Any = ..., /) -> None: ...


def read_direction(line: str) -> Direction | None:
    """The direction in a tag or command, or None when it is something else.

    Raises:
        ScriptError: it is a direction and cannot be read.
    """
    word = re.match(r"\s*(shot|fact)(?:\s*:|(?=\s)|$)", line)
    if word is None:
        return None
    if len(line) > MAX_DIRECTION_CHARS:
        raise ScriptError(f"a direction of {len(line)} characters; at most {MAX_DIRECTION_CHARS} are read; shorten it")
    beat, rest = None, line[word.end() :]
    if word[1] == "shot":
        name = re.match(rf"\s*({NAME.pattern})(?=\s|$)", rest)
        if name is None:
            raise ScriptError(f"{shorten(line)}: 'shot' needs the name of a beat, such as 'shot arrive'; add it")
        beat, rest = name[1], rest[name.end() :]
    values = _values(rest, line)
    if beat is None and not values:
        raise ScriptError(f"{shorten(line)}: 'fact' needs a variable, such as 'fact weather=rain'; add it")
    return Direction(beat=beat, values=values)


def perform(line: str, stage: Stage) -> Any:
    """Carry out the direction in a tag or command.

    Returns:
        What ``stage.trigger`` returned, for a shot; else None, also when the line is no direction.

    Raises:
        ScriptError: the direction cannot be read, or is refused.
    """
    direction = read_direction(line)
    if direction is None:
        return None
    if direction.beat is not None:
        return stage.trigger(direction.beat, direction.values)
    stage.set(direction.values)
    return None


def _values(text: str, line: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    waiting: str | None = None  # the name of "name value", whose value comes next
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None or (waiting is not None and token["name"]):
            raise ScriptError(f"{shorten(line)}: {shorten(text[at:].strip())} is not read; write name=value")
        at = token.end()
        name = token["name"] or waiting
        if name is None:
            if token["bare"] is None or not NAME.fullmatch(token["bare"]):
                raise ScriptError(f"{shorten(line)}: {shorten(token[0].strip())} is no name; write name=value")
            waiting = token["bare"]
            continue
        if name in values:
            raise ScriptError(f"{shorten(line)}: {shorten(name)} stands twice; leave one out")
        values[name] = _value(token)
        waiting = None
    if waiting is not None:
        raise ScriptError(f"{shorten(line)}: {waiting!r} has no value; write {waiting}=value")
    return values


def _value(token: re.Match[str]) -> Value:
    if token["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", token["quoted"])
    bare = token["bare"]
    if bare in ("true", "false"):
        return bare == "true"
    return float(bare) if _NUMBER.fullmatch(bare) else bare
