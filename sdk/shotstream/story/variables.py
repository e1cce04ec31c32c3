"""Typed values that a game hands to a story: parameters of beats, and a blackboard of facts about the game's world."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ScriptError
from .limits import MAX_PROMPT_CHARS

Value = bool | float | str
Kind = Literal["text", "number", "bool", "choice"]

MAX_NUMBER = 1e9
MAX_TEXT_CHARS = 400
MAX_CHOICES = 64

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
"""Names of beats, parameters, variables and characters."""

_JOINERS = "\u200c\u200d"  # zero-width, but letters of Persian and of emoji need them
_SHOT_MARK = re.compile(r"(shot\s*\d+)[\s:]*:", re.IGNORECASE)


def check_name(name: object, what: str) -> str:
    """A plain name. Raises ScriptError for anything but 1..40 letters, digits and "_", not starting with a digit."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ScriptError(
            f"{what} {shorten(name)} is not a name; expected 1..40 letters, digits or '_', a letter first; rename it"
        )
    return name


def plain_text(text: object, what: str, *, max_chars: int = MAX_PROMPT_CHARS) -> str:
    """Text made harmless for a prompt: compatibility forms unified (NFKC), control and invisible direction characters
    removed, white space folded to single spaces, and nothing that looks like the model's own mark ``shot3:``.

    Raises:
        ScriptError: not text, more than ``max_chars``, or nothing left.
    """
    if not isinstance(text, str):
        raise ScriptError(f"{what}={shorten(text)} is not text; expected 1..{max_chars} characters; put it in quotes")
    if len(text) > MAX_PROMPT_CHARS:
        raise ScriptError(f"{what} has {len(text)} characters; at most {max_chars} are accepted; shorten it")
    visible = "".join(char if _visible(char) else "" for char in text)
    folded = " ".join(unicodedata.normalize("NFKC", visible).split())
    cleaned = " ".join(_SHOT_MARK.sub(r"\1 ", folded).split())
    if not cleaned:
        raise ScriptError(f"{what}={shorten(text)} has nothing to read; expected words; write at least one")
    if len(cleaned) > max_chars:
        raise ScriptError(f"{what} has {len(cleaned)} characters; at most {max_chars} are accepted; shorten it")
    return cleaned


def _visible(char: str) -> bool:
    kind = unicodedata.category(char)
    return char in "\t\n\r" or char in _JOINERS or kind not in ("Cc", "Cf", "Cs")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What values a name may take.

    Attributes:
        kind: "text", "number", "bool" or "choice" (one of ``values``).
        default: the value before anybody sets one; None makes a parameter required.
        values: the choices, 1..64 texts.
        lowest, highest: inclusive bounds of a number.
        max_chars: longest text, 1..400.
    """

    kind: Kind
    default: Value | None = None
    values: tuple[str, ...] = ()
    lowest: float = -MAX_NUMBER
    highest: float = MAX_NUMBER
    max_chars: int = 80

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ScriptError(f"type={shorten(self.kind)} is unknown; use one of {', '.join(get_args(Kind))}")
        values = tuple(plain_text(value, "a choice", max_chars=MAX_TEXT_CHARS) for value in self.values)
        object.__setattr__(self, "values", values)
        if (self.kind == "choice") != bool(values) or len(values) > MAX_CHOICES or len(set(values)) < len(values):
            raise ScriptError(
                f"type={self.kind} with {len(values)} values; a choice has 1..{MAX_CHOICES} different values, "
                "other types have none; correct 'values'"
            )
        if not -MAX_NUMBER <= self.lowest <= self.highest <= MAX_NUMBER:
            raise ScriptError(
                f"min={self.lowest:g} and max={self.highest:g}; expected rising bounds within {MAX_NUMBER:g}; swap them"
            )
        if not 1 <= self.max_chars <= MAX_TEXT_CHARS:
            raise ScriptError(f"max_chars={self.max_chars} is outside 1..{MAX_TEXT_CHARS}; use a smaller text")
        if self.default is not None:
            object.__setattr__(self, "default", self.check(self.default, "default"))

    def check(self, value: object, what: str) -> Value:
        """``value`` as this variable holds it.

        Raises:
            ScriptError: another type, out of bounds, or not one of the choices.
        """
        if self.kind == "text":
            return plain_text(value, what, max_chars=self.max_chars)
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise ScriptError(f"{what}={shorten(value)} is not a yes or no; use true or false")
            return value
        if self.kind == "number":
            return self._number(value, what)
        if not isinstance(value, str) or value not in self.values:
            raise ScriptError(f"{what}={shorten(value)} is no choice; use one of {', '.join(self.values)}")
        return value

    def _number(self, value: object, what: str) -> float:
        wanted = f"use {self.lowest:g}..{self.highest:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ScriptError(f"{what}={shorten(value)} is not a number; {wanted}")
        # Compared before it becomes a float: an int may be too large for one.
        if not (math.isfinite(value) if isinstance(value, float) else True) or not self.lowest <= value <= self.highest:
            raise ScriptError(f"{what}={shorten(value)} is outside the bounds; {wanted}")
        return float(value)


def words_of(value: Value) -> str:
    """A value as it stands in a caption: 3.0 is "3"."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Blackboard:
    """The facts a game keeps up to date, each of a declared type. Not thread-safe: its narrator keeps the lock."""

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self._variables = dict(variables)
        self._values: dict[str, Value] = {}
        for name, variable in self._variables.items():
            check_name(name, "variable")
            if variable.default is None:
                raise ScriptError(f"variable {name} has no default; a film needs a value from its start; add one")
            self._values[name] = variable.default

    @property
    def values(self) -> dict[str, Value]:
        """All values now, as a copy; ``update`` takes it back (for save-games)."""
        return dict(self._values)

    def update(self, values: Mapping[str, object]) -> None:
        """Set several values, or none of them.

        Raises:
            ScriptError: an unknown name or a value of another type.
        """
        checked: dict[str, Value] = {}
        for name, value in values.items():
            if name not in self._variables:
                known = ", ".join(self._variables) or "none"
                raise ScriptError(f"variable {shorten(name)} is unknown; declared are {known}; declare it or rename")
            checked[name] = self._variables[name].check(value, f"variable {name}")
        self._values.update(checked)


def shorten(value: object) -> str:
    """A value for a message: never long, whatever was given."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "a very long whole number"  # its digits would cost time, and past a limit an error
    if isinstance(value, (str, bytes)):
        value = value[:60]
    shown = repr(value) if isinstance(value, (str, bytes, int, float, type(None))) else type(value).__name__
    return shown if len(shown) <= 40 else shown[:37] + "..."
