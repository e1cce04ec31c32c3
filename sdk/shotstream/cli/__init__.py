"""The command line: thin commands over the public names. ``shotstream --help`` lists them."""

from __future__ import annotations

import sys

from ..errors import ShotstreamError

EXIT_ERROR = 2


def main() -> None:
    """Run the command in ``sys.argv``.

    Exit codes: 0 done; 2 bad input (one line on stderr says what, what was expected, and the remedy); 130 or 143 after
    Ctrl-C or SIGTERM, with valid files.
    """
    from .app import app

    try:
        app()
    except ShotstreamError as error:
        print_error(error)
        sys.exit(EXIT_ERROR)


def print_error(error: BaseException) -> None:
    """One red line on stderr (plain when stderr is no terminal)."""
    from rich.console import Console
    from rich.text import Text

    line = " ".join(f"error: {error}".split())
    # Control characters of a bad input must not reach the terminal.
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    Console(stderr=True).print(Text(shown, style="bold red"), soft_wrap=True)
