"""``shotstream verify``: build a small engine on this machine and compare it with PyTorch."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Literal

import typer


def verify(runtime: Literal["tensorrt", "tensorrt-rtx"], *, as_json: bool) -> None:
    """Run the procedure and print what was found; exit code 1 when a flavour differs from PyTorch."""
    import torch

    from ..engine.tensorrt_check import TensorRTExecutor
    from ..engine.verify import small_student, verify

    executor = TensorRTExecutor(runtime)
    dit, spec = small_student()
    with tempfile.TemporaryDirectory() as folder:
        report = verify(executor, Path(folder), dit=dit, spec=spec, dtype=torch.bfloat16, flavours=executor.flavours)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report) | {"equal": report.equal}, indent=1))
    else:
        typer.echo(f"{report.executor} on {report.device}, {report.dtype}, tolerance {report.tolerance:g}")
        for one in report.flavours:
            typer.echo(
                f"{one.flavour}: {'equals' if one.equal else 'DIFFERS FROM'} PyTorch ({one.relative_error:.1e}), "
                f"{one.block_ms:.2f} ms a block, built in {one.build_s:.0f} s, {len(one.reformats)} layers move data, "
                f"{len(one.unfused)} attentions in pieces"
            )
    if not report.equal:
        raise typer.Exit(1)
