"""The story: shots and cuts as plain values, the files they come from, and the director who decides what is next."""

from __future__ import annotations

import os

from .shot import Cut, PromptEdit, Shot, Story, When

__all__ = ["Cut", "PromptEdit", "Shot", "Story", "When", "load_story"]


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
