"""``shotstream demo``: a five-shot story over the bridge, and two changes to it while it runs.

A server makes the film in a process of its own; this one sends the story, records what arrives, and says how long each
command took from here to the frame that shows it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import typer

from ..bridge.child import ServerProcess
from ..bridge.client import Client
from ..bridge.remote import RemoteFrame, RemoteReceipt
from ..errors import BridgeError, ClosedError
from ..frames import Frame, VideoSpec
from ..recording import FrameFiles, Recorder, peak_rss_mb, rounded, versions
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
_PRESENTED_WITHIN_S = 5.0


class DemoFilm:
    """The story on a server: its frames, and the live changes.

    An in-shot change goes out in the second shot and a cut in the third, when the frames here have come that far.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: dict[int, str] = {}
        self.commands: dict[str, RemoteReceipt] = {}
        self.first_frame_at: float | None = None
        self.last_frame_at = 0.0
        self.num_frames = self.num_shots = self.num_dropped = 0
        self.failure = ""
        """What the engine said when it stopped."""

    def frames(self) -> Iterator[Frame]:
        """All frames, with the words that each was asked for with."""
        stop_listening = self._client.listen(self._on_change)
        arriving = self._client.frames(mode="lossless")  # asked for before the first cut, so that none is missed
        self._client.world(DEMO_STORY.global_caption)
        for number, shot in enumerate(DEMO_STORY.shots):
            self._follow(f"shot {number}", shot.prompt, self._client.cut(shot.prompt, "shot_end", shot.frames))
        prompt = ""
        try:
            for remote in arriving:
                prompt = self._told.get(remote.command, prompt)
                self._count(remote)
                yield recorded(remote, prompt)
                self._change(remote)
                if self._is_last(remote):
                    return
        except ClosedError:
            if self.failure:
                raise BridgeError(f"the engine stopped: {self.failure}") from None
            raise
        finally:
            arriving.close()
            stop_listening()

    def _change(self, frame: RemoteFrame) -> None:
        if "in-shot change" not in self.commands and frame.shot == 1 and frame.frame_in_shot >= 16:
            text = "medium shot: the fox jumps in a meadow at dusk"
            self._follow("in-shot change", text, self._client.prompt(text))
        if "live cut" not in self.commands and frame.shot == 2 and frame.frame_in_shot >= 16:
            text = "close-up: a purple owl waves in front of the castle at night"
            self._follow("live cut", text, self._client.cut(text, frames=45))

    def _follow(self, what: str, text: str, receipt: RemoteReceipt) -> None:
        self.commands[what] = receipt
        self._told[receipt.command] = text

    def _is_last(self, frame: RemoteFrame) -> bool:
        num_shots = len(DEMO_STORY.shots) + ("live cut" in self.commands)
        return frame.shot == num_shots - 1 and frame.frame_in_shot == (DEMO_STORY.shots[-1].frames or 0) - 1

    def _count(self, frame: RemoteFrame) -> None:
        self.last_frame_at = time.perf_counter()
        self.first_frame_at = self.first_frame_at or self.last_frame_at
        self.num_frames += 1
        self.num_shots = frame.shot + 1
        self.num_dropped += frame.dropped

    def _on_change(self) -> None:
        for event in self._client.events():
            if event.kind == "engine":
                self.failure = event.text
                self._client.close()

    def report(self, stopped_by: str) -> dict[str, Any]:
        """What ``report.json`` says. Times are milliseconds from the command's arrival at the server."""
        stream = self._client.stream
        seconds = self.last_frame_at - (self.first_frame_at or 0.0)
        figures: dict[str, Any] = {"device": None, "block_ms": None, "headroom": None}
        try:
            for receipt in self.commands.values() if not stopped_by else ():
                receipt.wait("presented", _PRESENTED_WITHIN_S)
            status = self._client.status()
            figures = {name: getattr(status, name) for name in figures}
        except (BridgeError, ClosedError):
            pass  # the server is gone, which the error that brought us here says
        return {
            "bundle": stream.bundle,
            **figures,
            "size": f"{stream.w}x{stream.h}",
            "shots": self.num_shots,
            "frames": self.num_frames,
            "frames_dropped": self.num_dropped,
            "fps": round((self.num_frames - 1) / seconds, 2) if seconds > 0 else None,
            "film_fps": stream.rate[0] / stream.rate[1],
            "commands": {
                what: {"text": self._told[receipt.command], "frame": receipt.frame, "times_ms": receipt.times_ms}
                for what, receipt in self.commands.items()
            },
            "round_trip_ms": rounded(self._client.rtt_ms),
            "rss_mb": rounded(peak_rss_mb()),
            "complete": not stopped_by,
            "stopped_by": stopped_by or None,
            "versions": versions(),
        }


def recorded(frame: RemoteFrame, prompt: str) -> Frame:
    """A frame for the recorder; ``generated_at`` is when the server let it out, on this process's clock."""
    return Frame(
        image=frame.image,
        index=frame.index,
        shot=frame.shot,
        block=frame.block,
        frame_in_shot=frame.frame_in_shot,
        time_s=frame.time_s,
        revision=frame.revision,
        seed=frame.seed,
        prompt=prompt,
        is_cut=frame.is_cut,
        receipts=(frame.command,) if frame.command else (),
        generated_at=time.perf_counter() - frame.age_ms / 1e3,
    )


def demo(*, bundle: str, seed: int, out: Path, frames: FrameFiles, device: str, clock: str) -> None:
    """Record the story with its changes and print what was measured."""
    options = ("--bundle", bundle, "--seed", str(seed), "--device", device, "--clock", clock)
    with ServerProcess(*options) as server, server.connect(role="director", client="demo") as client:
        try:
            report = _record(client, out, frames)
        except (BridgeError, ClosedError):
            if server.process.poll() is None:
                raise
            typer.echo(server.said, err=True)
            raise server.failure() from None
    _print(report, out)


def _record(client: Client, out: Path, frames: FrameFiles) -> dict[str, Any]:
    film, stream = DemoFilm(client), client.stream
    spec = VideoSpec(width_px=stream.w, height_px=stream.h, fps=float(Fraction(*stream.rate)))
    with Recorder(out, spec, frames=frames) as recorder:
        return record(film.frames(), recorder, stop=client.close, report=film.report, total=DEMO_STORY.num_frames)


def _print(report: dict[str, Any], out: Path) -> None:
    typer.echo(f"{report['frames']} frames of {report['shots']} shots at {report['size']} in {out}")
    able = ""
    if report["headroom"] is not None and report["headroom"] < 1:
        able = f"; the engine can make {report['film_fps'] / (1 - report['headroom']):.1f}"
    typer.echo(f"arrived at      {report['fps']} frames/s{able} ({report['bundle']}, {report['device']})")
    commands = report["commands"]
    for title, what in (("first frame", "shot 0"), ("live cut", "live cut"), ("in-shot change", "in-shot change")):
        typer.echo(f"{title:<15} {_outcome(commands.get(what))}")


def _outcome(command: dict[str, Any] | None) -> str:
    if command is None:
        return "not issued: the film was shorter than planned"
    times = command["times_ms"]
    if "presented" not in times:
        return f"not presented; it came as far as {', '.join(times) or 'nowhere'}"
    return f"presented {times['presented']:.0f} ms after the command, from frame {command['frame']}"
