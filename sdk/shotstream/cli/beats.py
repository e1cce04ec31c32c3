"""``shotstream beats``: commands about beats files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import WeightsError

if TYPE_CHECKING:
    from ..story.beat_lint import Reader

app = typer.Typer(help="Story events as data: see docs/beats.md.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Commands about beats files."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Beats in YAML.", show_default=False)],
    bundle: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Also check the captions against what this bundle can read.", show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """List everything that is wrong with a beats file. Exit code 2 when there is an error."""
    from ..story.beat_files import parse_beats, read_file
    from ..story.beat_lint import lint

    parsed = parse_beats(read_file(file), str(file))
    lines = [("error", problem) for problem in parsed.problems]
    if parsed.book is not None:
        for finding in lint(parsed.book, None if bundle is None else reader_of(bundle)):
            place = ".".join(map(str, finding.keys))
            lines.append((finding.level, f"{file}{parsed.tree.line(finding.keys)}: {place}: {finding.text}"))
    for level, text in lines:
        shown = " ".join(text.split())
        # Control characters of a bad file must not reach the terminal.
        typer.echo(f"{level}: {''.join(char if char.isprintable() else '?' for char in shown)}")
    num_errors = sum(level == "error" for level, _ in lines)
    beats = f"{len(parsed.book.beats)} beats, " if parsed.book is not None else ""
    typer.echo(f"{beats}{num_errors} errors, {len(lines) - num_errors} warnings")
    if num_errors or (strict and lines):
        raise typer.Exit(2)


def reader_of(bundle: str) -> Reader:
    """How a bundle reads captions, from its tokenizer alone.

    Raises:
        WeightsError: the bundle or its tokenizer cannot be read.
    """
    from tokenizers import Tokenizer

    from ..bundle import load_bundle
    from ..story.beat_lint import Reader
    from ..story.grammar import style_for

    loaded = load_bundle(bundle)
    path = loaded.file("tokenizer")
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer: Any = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception for every kind of damage
        raise WeightsError(f"{file}: not a readable tokenizer ({error}); copy or fetch the bundle again") from error
    tokenizer.no_truncation()
    sizes = dataclasses.asdict(loaded.text)
    by_word = "max_words" in sizes

    def unknown(text: str) -> list[str]:
        if not by_word:
            return []  # pieces of words cover every text
        encoding = tokenizer.encode(text, add_special_tokens=False)
        missing = tokenizer.token_to_id("[UNK]")
        words = [
            text[start:end]
            for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token == missing
        ]
        return [word for word in words if any(map(str.isalnum, word))]

    return Reader(
        limit=sizes["max_words"] if by_word else sizes["text_len"],
        count=lambda text: len(tokenizer.encode(text).ids),
        unknown=unknown,
        captions=style_for(loaded.caption_style),
    )
