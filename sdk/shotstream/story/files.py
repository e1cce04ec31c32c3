"""Story files: our YAML, and the layout of the published demo (JSON captions, CSV list of stories).

YAML, or the same keys as JSON::

    global: soft evening light, storybook style
    characters:
      Mia: a red fox with a blue scarf
    shots:
      - prompt: "wide shot: Mia walks through a snowy forest"
        frames: 81
        seed: 3                       # optional; else the seed of the film
        edits:                        # optional: changes of words inside the shot
          - {at: 41, prompt: "Mia looks up at the stars"}

Demo JSON: ``global_caption`` and ``shot1`` .. ``shotN``. Demo CSV: ``json_path`` and ``frame_number``, a list of
frame windows such as ``[[0,81],[81,162]]``, one per shot; it may use fewer shots than the JSON holds.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ScriptError
from .limits import DEFAULT_SHOT_FRAMES
from .located import Located
from .shot import MAX_SHOTS, PromptEdit, Shot, Story
from .yaml_text import read_yaml

MAX_FILE_BYTES = 1_000_000
_CSV_COLUMNS = ("json_path", "frame_number", "shot_num_from_caption", "video_path")


class _Edit(msgspec.Struct, forbid_unknown_fields=True):
    at: int
    prompt: str


class _Shot(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str
    frames: int = DEFAULT_SHOT_FRAMES
    seed: int | None = None
    edits: list[_Edit] = []


class _Story(msgspec.Struct, forbid_unknown_fields=True, rename={"world": "global"}):
    shots: list[_Shot]
    world: str = ""
    characters: dict[str, str] = {}


_KEYS = {
    "": ("global", "characters", "shots"),
    "shots": ("prompt", "frames", "seed", "edits"),
    "edits": ("at", "prompt"),
}


def read_story(path: str | PathLike[str], *, row: int | None = None) -> Story:
    """See ``story.load_story``."""
    file = Path(path)
    kind = file.suffix.lower()
    if row is not None and kind != ".csv":
        raise ScriptError(
            f"{file}: row={row} is for .csv files; this is {kind or 'a file without ending'}; leave it out"
        )
    if kind in (".yaml", ".yml"):
        return _story_from_tree(file, read_yaml(_read(file), str(file)))
    if kind == ".json":
        data = _read_json(file)
        return _story_from_tree(file, Located(data, {})) if "shots" in data else _story_from_demo(file, data)
    if kind == ".csv":
        return _story_from_csv(file, row)
    raise ScriptError(
        f"{file}: the ending {kind!r} is unknown; expected a story file ending in .yaml, .yml, .json or .csv"
    )


def _read(file: Path) -> str:
    try:
        if file.is_fifo():  # opening one waits until somebody writes
            raise ScriptError(f"{file}: a pipe; expected a file; write the story to a file first")
        # One byte more than allowed: enough to know, whatever the file claims to be.
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ScriptError(f"{file}: no such file; give the path of a story (.yaml, .json or .csv)") from error
    except OSError as error:
        raise ScriptError(
            f"{file}: cannot be read ({error.strerror}); give the path of a readable story file"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise ScriptError(
            f"{file}: more than {MAX_FILE_BYTES} bytes; a story file has at most that; split it or shorten the prompts"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScriptError(f"{file}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error


# --- our own layout ----------------------------------------------------------------------------------------------


def _story_from_tree(file: Path, tree: Located) -> Story:
    try:
        parsed = msgspec.convert(tree.data, _Story, strict=True)
    except msgspec.ValidationError as error:
        raise ScriptError(_explain(file, tree, str(error))) from error
    shots = []
    for number, shot in enumerate(parsed.shots):
        try:
            edits = tuple(PromptEdit(at=edit.at, prompt=edit.prompt) for edit in shot.edits)
            shots.append(Shot(prompt=shot.prompt, frames=shot.frames, seed=shot.seed, edits=edits))
        except ScriptError as error:
            raise ScriptError(f"{file}{tree.line(('shots', number))}: shots[{number}]: {error}") from error
    try:
        return Story(shots=tuple(shots), world=parsed.world, characters=parsed.characters)
    except ScriptError as error:
        raise ScriptError(f"{file}: {error}") from error


def _explain(file: Path, tree: Located, message: str) -> str:
    """msgspec's sentence with the line, the value and the remedy added."""
    reason, _, where = message.partition(" - at `")
    keys: tuple[str | int, ...] = ()
    for name, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", where):
        keys += (name,) if name else (int(index),)
    place = ".".join(f"{key}" if isinstance(key, str) else f"[{key}]" for key in keys).replace(".[", "[")
    unknown = re.search(r"unknown field `(.*)`", reason)
    if unknown:
        level = next((key for key in reversed(keys) if isinstance(key, str)), "")
        known = _KEYS.get(level, ())
        close = difflib.get_close_matches(unknown[1], known, 1)
        hint = f"did you mean {close[0]!r}?" if close else "remove it"
        where_line = tree.line((*keys, unknown[1]))
        inside = place or "the story"
        return f"{file}{where_line}: unknown key {unknown[1]!r} in {inside}; known are {', '.join(known)}; {hint}"
    missing = re.search(r"missing required field `(.*)`", reason)
    if missing:
        return f"{file}{tree.line(keys)}: {place or 'the story'} has no {missing[1]!r}; expected one; add it"
    shown = repr(tree.value(keys))
    shown = shown if len(shown) < 60 else shown[:57] + "..."
    return f"{file}{tree.line(keys)}: {place or 'the story'}={shown}: {reason.lower()}; change the value"


# --- the published demo ------------------------------------------------------------------------------------------


def _read_json(file: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice = next(name for name, count in counts.items() if count > 1)
            raise ScriptError(f"{file}: the key {twice!r} stands twice; expected each key once; remove one")
        return result

    try:
        data = json.loads(_read(file), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ScriptError(
            f"{file}:{error.lineno}: not JSON ({error.msg} at column {error.colno}); correct the line"
        ) from error
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else "a number is too long"
        raise ScriptError(f"{file}: not a story ({what}); simplify it") from error
    if not isinstance(data, dict):
        raise ScriptError(
            f"{file}: holds a {type(data).__name__}; expected an object with 'global_caption' and 'shot1' .. 'shotN'"
        )
    return data


def _story_from_demo(file: Path, data: dict[str, Any], lengths: list[int] | None = None) -> Story:
    numbers = sorted(int(match[1]) for key in data if (match := re.fullmatch(r"shot([1-9]\d{0,4})", key)))
    known = {"global_caption", *(f"shot{number}" for number in numbers)}
    if unknown := sorted(set(data) - known):
        raise ScriptError(
            f"{file}: unknown key {unknown[0]!r}; known are 'global_caption' and 'shot1' .. 'shotN'; remove it"
        )
    if not numbers:
        raise ScriptError(f"{file}: no 'shot1' and no 'shots'; expected one caption per shot; add them")
    if numbers != list(range(1, len(numbers) + 1)):
        missing = next(number for number in range(1, numbers[-1] + 1) if number not in numbers)
        raise ScriptError(
            f"{file}: 'shot{missing}' is missing although there is 'shot{numbers[-1]}'; "
            "number shots from 1 without gaps"
        )
    if len(numbers) > MAX_SHOTS:
        raise ScriptError(f"{file}: {len(numbers)} shots; a story has at most {MAX_SHOTS}; split it")
    if lengths is not None and len(lengths) > len(numbers):
        raise ScriptError(
            f"{file}: has {len(numbers)} shots, but frame_number of the CSV has {len(lengths)} windows; "
            "remove windows or add captions"
        )
    lengths = lengths or [DEFAULT_SHOT_FRAMES] * len(numbers)
    shots = []
    for number, length in enumerate(lengths, start=1):
        try:
            shots.append(Shot(prompt=data[f"shot{number}"], frames=length))
        except ScriptError as error:
            raise ScriptError(f"{file}: shot{number}: {error}") from error
    try:
        return Story(shots=tuple(shots), world=data.get("global_caption", ""))
    except ScriptError as error:
        raise ScriptError(f"{file}: {error}") from error


def _story_from_csv(file: Path, row: int | None) -> Story:
    reader = csv.DictReader(_read(file).splitlines(), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ScriptError(f"{file}:{reader.line_num}: not CSV ({error}); correct the line") from error
    columns = [name or "" for name in reader.fieldnames or ()]
    if unknown := sorted(set(columns) - set(_CSV_COLUMNS)):
        raise ScriptError(f"{file}:1: unknown column {unknown[0]!r}; known are {', '.join(_CSV_COLUMNS)}; remove it")
    for needed in ("json_path", "frame_number"):
        if needed not in columns:
            raise ScriptError(f"{file}:1: column {needed!r} is missing; expected {', '.join(_CSV_COLUMNS[:2])}; add it")
    if not rows:
        raise ScriptError(f"{file}: no story below the header; expected at least one row; add one")
    if row is None and len(rows) > 1:
        raise ScriptError(f"{file}: holds {len(rows)} stories; expected a choice; give row 0..{len(rows) - 1}")
    chosen = row or 0
    if not 0 <= chosen < len(rows):
        raise ScriptError(f"{file}: row={chosen} is outside 0..{len(rows) - 1}; choose one of them")
    entry = rows[chosen]
    if None in entry or None in entry.values():
        wrong = "more" if None in entry else "fewer"
        raise ScriptError(f"{file}: row {chosen} has {wrong} cells than the header; quote cells with commas")
    lengths = _windows(file, chosen, entry["frame_number"])
    captions = _beside(file, chosen, entry["json_path"])
    return _story_from_demo(captions, _read_json(captions), lengths)


def _windows(file: Path, row: int, text: str) -> list[int]:
    """Shot lengths from "[[0,81],[81,162]]"."""
    wanted = "expected windows such as [[0,81],[81,162]]; correct it"
    try:
        windows = msgspec.json.decode(text, type=list[tuple[int, int]])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ScriptError(
            f"{file}: row {row}: frame_number={text[:60]!r} cannot be read ({error}); {wanted}"
        ) from error
    if not 1 <= len(windows) <= MAX_SHOTS:
        raise ScriptError(
            f"{file}: row {row}: frame_number has {len(windows)} windows; expected 1..{MAX_SHOTS}; {wanted}"
        )
    at = 0
    for start, end in windows:
        if start != at or end <= start:
            raise ScriptError(f"{file}: row {row}: window [{start}, {end}] must begin at {at} and end later; {wanted}")
        at = end
    return [end - start for start, end in windows]


def _beside(file: Path, row: int, given: str) -> Path:
    """The JSON that a CSV names, never outside the CSV's folder.

    Published lists name it from the root of their repository (``demo/testdata/01.json``), so leading folders are
    dropped one by one until the file is found.
    """
    folder = file.parent.resolve()
    parts = Path(given.replace("\\", "/")).parts
    if not parts or Path(given).is_absolute() or ".." in parts:
        raise ScriptError(
            f"{file}: row {row}: json_path={given!r} leaves the folder of the CSV; use a relative path below it"
        )
    for skip in range(len(parts)):
        candidate = folder.joinpath(*parts[skip:])
        if candidate.is_file() and candidate.resolve().is_relative_to(folder):
            return candidate
    raise ScriptError(
        f"{file}: row {row}: json_path={given!r} is not below {folder}; put the JSON there or correct the path"
    )
