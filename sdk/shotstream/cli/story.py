"""``shotstream trigger``, and the beats file of ``shotstream serve``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import ScriptError

if TYPE_CHECKING:
    from rich.table import Table

    from ..bridge.client import Client
    from ..bridge.messages import CommandState, Param, Scalar
    from ..bridge.server import Server
    from ..story.beats import BeatBook


class BookFile:
    """A beats file that may be edited while it is played.

    Raises:
        ScriptError: it cannot be read, or something in it is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._stamp()
        self.book = self._read()

    def follow(self, server: Server) -> None:
        """Play the file's newer edition, if there is one. With an error in it, the old one goes on."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            left_out = server.load_beats(self._read())
        except ScriptError as error:
            typer.echo(f"{self.path} has changed and is not used: {error}", err=True)
            return
        typer.echo(f"{self.path} has changed and is played from now on")
        for reason in left_out:
            typer.echo(f"left out: {reason}", err=True)

    def _read(self) -> BeatBook:
        from ..story import load_beats

        return load_beats(self.path)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def trigger(client: Client, beat: str, params: list[str], wait: CommandState | None, timeout_s: float) -> None:
    """Trigger a beat and print what becomes of it.

    Raises:
        ScriptError: the beat is refused, or does not reach the state ``wait``.
    """
    known = next((one.params for one in client.beats() if one.name == beat), {})
    values = {name: _value(text, known[name].type if name in known else "text") for name, text in _pairs(params)}
    receipt = client.trigger(beat, values)
    if wait is None:
        typer.echo(f"{beat}: taken")
        return
    if not receipt.wait(wait, timeout_s):
        why = f": {receipt.note}" if receipt.note else ""
        late = "" if receipt.final else f" within {timeout_s:g} s"
        raise ScriptError(f"{beat}: {receipt.state}, not {wait}{late}{why}")
    at = "" if receipt.frame is None else f", frame {receipt.frame}"
    typer.echo(f"{beat}: {wait} after {receipt.times_ms[wait]:.0f} ms{at}")


def set_variables(client: Client, pairs: list[str]) -> None:
    """Set variables of the story, given as ``name=value``."""
    kinds = {name: _kind(value) for name, value in client.variables().items()}
    client.set({name: _value(text, kinds.get(name, "text")) for name, text in _pairs(pairs)})


def show(client: Client) -> Table:
    """The beats that the client may trigger, and the variables."""
    from rich.table import Table
    from rich.text import Text

    facts = ", ".join(f"{name}={_shown(value)}" for name, value in client.variables().items())
    made = Table("beat", "parameters", "now", title=Text(facts or "no variables"))
    for beat in client.beats():
        made.add_row(Text(beat.name), Text(_params(beat.params)), Text("ready" if beat.ready else beat.why))
    return made


def _params(params: Mapping[str, Param]) -> str:
    return ", ".join(
        f"{name}: {'|'.join(param.values) or param.type}"
        + ("" if param.default is None else f" = {_shown(param.default)}")
        for name, param in params.items()
    )


def _pairs(pairs: list[str]) -> list[tuple[str, str]]:
    found = [(name, text) for name, sign, text in (pair.partition("=") for pair in pairs) if sign and name]
    if len(found) < len(pairs):
        raise ScriptError(f"{' '.join(pairs)!r} is not understood; write name=value, such as place='in the city'")
    return found


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "number"


def _value(text: str, kind: str) -> Scalar:
    if kind == "bool" and text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            pass
    return text  # the server says what is wrong with it


def _shown(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
