"""``shotstream bench --bridge`` and ``--soak``: tables of what ``bridge.bench`` and ``bridge.soak`` measure."""

from __future__ import annotations

from typing import Any

import typer

from ..bridge import bench, soak
from ..frames import VideoSpec
from ..recording import versions
from .bench import machine

SPEC = VideoSpec(width_px=832, height_px=480, fps=60)
MEANING = (
    "milliseconds from the moment a frame is due at the server to the moment the consumer's program has its pixels "
    "(control: from a request to its answer); RGBA; server and consumer in processes of their own"
)


def bench_bridge(*, seconds: float, spec: VideoSpec = SPEC) -> dict[str, Any]:
    """Measure every case, print a line for each as it comes, and return plain values."""
    before = machine()
    typer.echo(f"{spec.width_px}x{spec.height_px} at {spec.fps:g} frames/s, {seconds:g} s a case; {MEANING}")
    typer.echo(f"{'case':36}{'frames':>7}{'p50':>10}{'p99':>10}{'max':>10}{'server':>8}  bound")
    rows = bench.measure(spec, seconds=seconds, report=lambda row: typer.echo(_line(row)))
    ratios = bench.ratios(rows)
    for name, ratio in ratios.items():
        typer.echo(f"{name}: plain PUB/SUB is {ratio:g} times as old")
    return {
        "size": f"{spec.width_px}x{spec.height_px}",
        "fps": spec.fps,
        "format": "rgba8",
        "seconds": seconds,
        "meaning": MEANING,
        "rows": [bench.as_dict(row) for row in rows],
        "plain_pub_sub_is_older_by": ratios,
        "machine": before,
        "versions": versions(),
    }


def _line(row: bench.Row) -> str:
    bounds = ", ".join(f"{name} <= {bound:g}" for name, bound in row.bounds_ms.items())
    verdict = {None: "", True: " kept", False: " NOT KEPT"}[row.within]
    figures = "".join(f"{value:10.2f}" for value in (row.p50, row.p99, row.max))
    return f"{row.name:36}{row.count:7}{figures}{row.server_cpu:8.0%}  {bounds}{verdict}"


def bench_soak(*, minutes: float, spec: VideoSpec = SPEC, every_s: float = soak.REPORT_EVERY_S) -> dict[str, Any]:
    """Run the soak, print a line a minute, and return plain values."""
    before = machine()
    typer.echo(f"{spec.width_px}x{spec.height_px} at {spec.fps:g} frames/s under {len(soak.READERS)} clients")
    figures = soak.soak(spec, seconds=minutes * 60, every_s=every_s, report=lambda one: typer.echo(_minute(one)))
    lossless = figures["readers"]["lossless"]
    verdict = "kept" if figures["within"] else "NOT KEPT"
    typer.echo(
        f"memory grew by {figures['growth']:.1%} (bound {soak.MAX_GROWTH:.0%}); "
        f"{lossless['lost']} of {lossless['frames']} frames lost in lossless (bound 0): {verdict}"
    )
    return {**figures, "size": f"{spec.width_px}x{spec.height_px}", "fps": spec.fps, "machine": before}


def _minute(one: soak.Minute) -> str:
    seen = "; ".join(
        f"{tally.reader}: {tally.frames} frames, {tally.lost} left out, age {tally.p50_ms:.1f} / {tally.p99_ms:.1f} ms"
        for tally in one.tallies
    )
    return f"{one.at_s / 60:6.1f} min  server {one.rss_mb:.1f} MB  {seen}"
