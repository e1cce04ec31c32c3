"""What a narrator knows, as plain values for a save-game: facts, cooldowns, and the beats that wait or run.

A beat is kept by its name, its parameters and the facts it was triggered under, never by its captions: a save-game that
somebody has changed can say nothing that the book does not say.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..errors import ScriptError
from .beats import MAX_BEATS, MAX_COOLDOWN_S
from .variables import MAX_TEXT_CHARS, NAME

VERSION = 1
MAX_WAITING = 64
"""Most beats that wait."""

_Name = Annotated[str, Meta(pattern=f"^{NAME.pattern}$")]
_Value = bool | float | Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
_Values = Annotated[dict[_Name, _Value], Meta(max_length=MAX_BEATS)]


class SavedBeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trigger. ``tickets`` are the numbers that its cuts had in the film."""

    name: _Name
    params: _Values = {}
    facts: _Values = {}
    tickets: tuple[Annotated[int, Meta(ge=0)], ...] = ()


class NarratorState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a narrator knows; ``cooldowns_s`` are the seconds that are left of each."""

    version: int = VERSION
    facts: _Values = {}
    cooldowns_s: Annotated[
        dict[_Name, Annotated[float, Meta(ge=0, le=MAX_COOLDOWN_S)]], Meta(max_length=MAX_BEATS)
    ] = {}
    waiting: Annotated[tuple[SavedBeat, ...], Meta(max_length=MAX_WAITING)] = ()
    current: SavedBeat | None = None
    running: bool = False
    """The film has cuts of ``current`` that were not on screen yet."""
    before: SavedBeat | None = None
    """Whose last shot ``current`` waits for."""


def check_state(state: object) -> NarratorState:
    """The values in what ``Narrator.state`` returned, in whatever form it was kept (JSON, msgpack).

    Raises:
        ScriptError: it is something else, or of another version.
    """
    try:
        checked = msgspec.convert(state, NarratorState, strict=True)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        text = str(error)[:200]
        raise ScriptError(f"this is no state of a narrator ({text}); give what Narrator.state() returned") from None
    if checked.version != VERSION:
        raise ScriptError(
            f"the narrator's state is of version {checked.version}; this program reads version {VERSION}; "
            "use a save-game of this program"
        )
    return checked


def as_dict(state: NarratorState) -> dict[str, Any]:
    """Plain dicts, lists and scalars."""
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return plain
