"""Texts with named gaps: ``"{mia} walks to {place}"``. Names only: no expressions, attributes, formats or nesting.

Values are put in once, from left to right, and never read again, so braces in a value are just characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ScriptError
from .variables import NAME, plain_text, shorten

_GAP = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """A parsed text.

    Attributes:
        literals: the texts around the gaps; one more than there are gaps.
        names: the name in each gap, in order.
    """

    literals: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: object, what: str = "text") -> Template:
        """Read a text with gaps.

        Raises:
            ScriptError: not text, too long, empty, a brace without its partner, or a gap that holds no plain name.
        """
        pieces = _GAP.split(plain_text(text, what))
        literals, names = tuple(pieces[::2]), tuple(pieces[1::2])
        for name in names:
            if not NAME.fullmatch(name):
                raise ScriptError(
                    f"{what}: the gap {shorten('{' + name + '}')} is not accepted; expected a name such as {{place}}; "
                    "attributes and formats are not read; write the name alone"
                )
        if any("{" in literal or "}" in literal for literal in literals):
            raise ScriptError(f"{what}: a brace stands alone in {shorten(text)}; expected gaps as {{name}}; remove it")
        return cls(literals, names)

    @property
    def only_gap(self) -> str:
        """The name, if the text is one gap and nothing else; else ""."""
        return self.names[0] if len(self.names) == 1 and not any(self.literals) else ""

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its gaps filled. Raises ScriptError when a value is missing."""
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            if name not in values:
                known = ", ".join(sorted(values)) or "none"
                raise ScriptError(f"the gap {{{name}}} has no value; there are values for {known}; declare {name!r}")
            parts += [values[name], literal]
        return "".join(parts)
