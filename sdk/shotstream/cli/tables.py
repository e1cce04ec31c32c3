"""Facts and checks for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import typer

from ..doctor import Check


def print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    """Two columns; inner tables become dotted names."""
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    rows = list(_flat(facts))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def print_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """One line per check: yes or no, what was found, and what would help."""
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = Text("yes" if check.ok else "no ", style="green" if check.ok else "red" if check.needed else "yellow")
        remedy = f" ({check.remedy})" if check.remedy and not check.ok else ""
        console.print(mark, Text(f"{check.name:<{width}}  {check.found}{remedy}"), soft_wrap=True)


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "-" if value is None else str(value)
