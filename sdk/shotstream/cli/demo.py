"""``shotstream demo``: a five-shot story, and two changes to it while it runs."""

from __future__ import annotations

from pathlib import Path

import typer

from ..film import Film, open
from ..frames import Frame
from ..receipts import Receipt
from ..recording import FrameFiles, Recorder
from ..story import Shot, Story
from .record import record

DEMO_STORY = Story(
    world="A red fox with a scarf.",
    shots=(
        Shot(prompt="wide shot: a red fox walks through a snowy forest by day", frames=57),
        Shot(prompt="medium shot: the fox stands in a meadow at dusk", frames=57),
        Shot(prompt="medium shot: the fox sits on the beach at sunset", frames=57),
        Shot(prompt="medium shot: the fox dances in the city at night", frames=57),
        Shot(prompt="close-up: the fox looks up at the stars on the moon", frames=57),
    ),
)


class LiveChanges:
    """Issues an in-shot change in the second shot and a cut in the third, from the frames it sees go by."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self.prompt: Receipt | None = None
        self.cut: Receipt | None = None

    def __call__(self, frame: Frame) -> None:
        if self.prompt is None and frame.shot == 1 and frame.frame_in_shot >= 16:
            self.prompt = self._film.prompt("medium shot: the fox jumps in a meadow at dusk")
        if self.cut is None and frame.shot == 2 and frame.frame_in_shot >= 16:
            self.cut = self._film.cut("close-up: a purple owl waves in front of the castle at night", frames=45)


def demo(*, bundle: str, seed: int, out: Path, frames: FrameFiles, device: str) -> None:
    """Record the story with its changes and print what was measured."""
    with open(bundle, seed=seed, device=device) as film, Recorder(out, film.spec, frames=frames) as recorder:
        changes = LiveChanges(film)
        film.play(DEMO_STORY)
        report = record(film, recorder, total=DEMO_STORY.num_frames, on_frame=changes)
    typer.echo(f"{report['frames']} frames of {report['shots']} shots at {report['size']} in {out}")
    typer.echo(f"made at         {report['fps']} frames/s ({report['bundle']}, {report['device']}, {report['dtype']})")
    typer.echo(f"first frame     {report['first_frame_ms']} ms after the first cut")
    for what, receipt in (("live cut", changes.cut), ("in-shot change", changes.prompt)):
        typer.echo(f"{what:<15} {_outcome(receipt)}")


def _outcome(receipt: Receipt | None) -> str:
    if receipt is None:
        return "not issued: the film was shorter than planned"
    if receipt.latency_ms is None:
        return f"{receipt.state}: {receipt.note or receipt.error}"
    return f"on screen after {receipt.latency_ms:.0f} ms, from frame {receipt.frame}"
