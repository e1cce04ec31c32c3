"""Plain data that remembers on which line of its file each part stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Key = str | int


@dataclass(frozen=True)
class Located:
    """Plain data and the line of each key path, where known."""

    data: Any
    lines: dict[tuple[Key, ...], int]

    def line(self, keys: Sequence[Key]) -> str:
        """ ":12" for the innermost place of ``keys`` whose line is known, else ""."""
        for length in range(len(keys), -1, -1):
            if tuple(keys[:length]) in self.lines:
                return f":{self.lines[tuple(keys[:length])]}"
        return ""

    def value(self, keys: Sequence[Key]) -> Any:
        """What stands at ``keys``."""
        value = self.data
        for key in keys:
            if not isinstance(value, (dict, list)):
                break
            try:
                value = value[key]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                break
        return value
