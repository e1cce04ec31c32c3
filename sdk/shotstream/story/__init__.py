"""The story: shots and cuts as plain values, the files they come from, and the director who decides what is next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .shot import Cut, PromptEdit, Shot, Story, When

if TYPE_CHECKING:
    from .beats import BeatBook

__all__ = ["Cut", "PromptEdit", "Shot", "Story", "When", "load_beats", "load_story"]


def load_story(path: str | os.PathLike[str], *, row: int | None = None) -> Story:
    """Read a story file; the ending says which kind: .yaml .yml .json .csv (see ``story.files`` for the layouts).

    Args:
        path: the file.
        row: for a CSV with several stories, which one, from 0.

    Raises:
        ScriptError: the file cannot be read or holds something else; the message names file, place, value and remedy.
    """
    from .files import read_story  # its parsers are slow to import, and a live film needs none

    return read_story(path, row=row)


def load_beats(path: str | os.PathLike[str]) -> BeatBook:
    """Read a beats file: story events with parameters, for a ``story.narrator.Narrator`` to play.

    Raises:
        ScriptError: the file cannot be read or something in it is wrong; the message names file, line, value and
            remedy, and how many more problems there are.
    """
    from .beat_files import read_beats  # as above

    return read_beats(path)
