"""Film to files, with a progress bar, stopping cleanly on Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from ..errors import ClosedError
from ..film import open
from ..frames import Frame
from ..recording import FrameFiles, Recorder, film_report
from ..story import load_story
from .progress import frame_progress


def generate(
    story: Path, *, bundle: str, seed: int, out: Path, frames: FrameFiles, device: str, row: int | None
) -> None:
    """``shotstream generate``."""
    parsed = load_story(story, row=row)
    with open(bundle, seed=seed, device=device) as film, Recorder(out, film.spec, frames=frames) as recorder:
        film.play(parsed)
        record(
            film.frames(),
            recorder,
            stop=film.close,
            report=lambda stopped_by: film_report(film, recorder=recorder, stopped_by=stopped_by),
            total=parsed.num_frames,
        )
    typer.echo(f"{recorder.num_frames} frames in {out}")


class StopRequest:
    """Which signal asked the film to stop, if any."""

    number = 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number else ""


@contextlib.contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[StopRequest]:
    """Let Ctrl-C and SIGTERM call ``stop`` from a thread, instead of striking at an arbitrary line.

    A second signal is ignored, so that the files can be finished.
    """
    request = StopRequest()

    def on_signal(number: int, _: FrameType | None) -> None:
        if not request.number:
            request.number = number
            # Not here: the main thread may hold the film's lock at this moment.
            threading.Thread(target=stop, name="shotstream-stop", daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers; whoever runs us elsewhere has their own
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def record(
    frames: Iterable[Frame],
    recorder: Recorder,
    *,
    stop: Callable[[], None],
    report: Callable[[str], dict[str, Any]],
    total: int | None = None,
) -> dict[str, Any]:
    """Record all frames and finish the files, also when stopped or failing.

    Args:
        stop: makes ``frames`` raise ClosedError soon; called from a thread on Ctrl-C or SIGTERM.
        report: ``report.json``, given what cut the film short ("" at its end).
        total: frames to expect, for the progress bar.

    Returns:
        what went into ``report.json``.

    Raises:
        typer.Exit: stopped by a signal; with 128 + its number.
    """
    stopped_by = ""
    try:
        with stopping(stop) as request, frame_progress(total) as advance:
            try:
                for frame in frames:
                    recorder.add(frame)
                    advance(frame)
            except BaseException as error:
                if not (isinstance(error, ClosedError) and request.number):
                    stopped_by = f"{type(error).__name__}: {error}"
                    raise
            stopped_by = request.name
            facts = report(stopped_by)
            recorder.close(facts)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error says more than what follows from it
            recorder.close(report(stopped_by))
        raise
    for note in facts.get("notes", ()):
        typer.echo(f"note: {note}", err=True)
    if request.number:
        typer.echo(f"stopped by {request.name}: {recorder.num_frames} frames kept in {recorder.out_dir}", err=True)
        raise typer.Exit(128 + request.number)
    return facts
