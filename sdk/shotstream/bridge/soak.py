"""A server that runs for long under three clients: whether its memory grows, and whether a frame is lost."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..frames import VideoSpec
from . import connect
from .bench import SLOW_PERIOD_S, START_WITHIN_S, Ages, Case, expect, process, source
from .incoming import LocationWish
from .messages import Mode

REPORT_EVERY_S = 60.0
SAMPLES_A_REPORT = 30
MAX_GROWTH = 0.05


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One client of the soak."""

    name: str
    mode: Mode
    location: LocationWish = "inline"
    period_s: float = 0.0


READERS = (
    Reader(name="lossless", mode="lossless"),
    Reader(name="latest", mode="latest", location="auto"),
    Reader(name="5 fps", mode="latest", period_s=SLOW_PERIOD_S),
)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a client saw since its report before. ``lost`` frames were not shown; only for "lossless" that is wrong."""

    reader: str
    frames: int
    lost: int
    checked: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Minute:
    """One report: memory of the server in MB (median of the samples), and what each client saw."""

    at_s: float
    rss_mb: float
    tallies: tuple[Tally, ...]


def soak(
    spec: VideoSpec,
    *,
    seconds: float,
    every_s: float = REPORT_EVERY_S,
    report: Callable[[Minute], None] | None = None,
) -> dict[str, Any]:
    """Run for ``seconds`` and return plain values; ``report`` gets a line every ``every_s``.

    Memory is compared between the second report, when everything has been in use for a while, and the last.

    Raises:
        ConfigError: fewer than three reports fit in. BridgeError: a process failed, or a frame was wrong.
    """
    if seconds < 3 * every_s:
        raise ConfigError(f"a soak of {seconds:g} s is too short; at least {3 * every_s:g} s show a trend")
    case = Case(name="soak", what="bridge")
    minutes: list[Minute] = []
    with contextlib.ExitStack() as stack:
        name, pid = stack.enter_context(source(spec, case))
        readers = [stack.enter_context(process(_read, spec, reader, name, every_s)) for reader in READERS]
        for reader in readers:
            expect(reader, "ready")
        began_s = time.monotonic()
        for _ in range(round(seconds / every_s)):
            samples = []
            for _ in range(SAMPLES_A_REPORT):
                time.sleep(every_s / SAMPLES_A_REPORT)
                samples.append(resident_mb(pid))
            tallies = tuple(expect(reader, "tally") for reader in readers)
            rss_mb = round(float(np.median(samples)), 2)
            minutes.append(Minute(at_s=round(time.monotonic() - began_s, 1), rss_mb=rss_mb, tallies=tallies))
            if report is not None:
                report(minutes[-1])
    growth = minutes[-1].rss_mb / minutes[1].rss_mb - 1
    totals = {reader.name: {"frames": 0, "lost": 0, "checked": 0} for reader in READERS}
    for tally in (tally for minute in minutes for tally in minute.tallies):
        for name, count in totals[tally.reader].items():
            totals[tally.reader][name] = count + int(getattr(tally, name))
    return {
        "seconds": round(minutes[-1].at_s),
        "rss_mb": {"second": minutes[1].rss_mb, "last": minutes[-1].rss_mb, "most": max(one.rss_mb for one in minutes)},
        "growth": round(growth, 4),
        "readers": totals,
        "within": growth <= MAX_GROWTH and totals["lossless"]["lost"] == 0,
        "minutes": [asdict(minute) for minute in minutes],
    }


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, in MB.

    Raises:
        ConfigError: this system does not say.
    """
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError as error:
        raise ConfigError(f"the memory of process {pid} cannot be read ({error}); the soak runs on Linux") from None


def _read(connection: Connection, spec: VideoSpec, reader: Reader, name: str, every_s: float) -> None:
    """Take frames until the other end is closed, and tell about them every so often."""
    with connect(name=name, role="viewer", client=reader.name) as client:
        frames = client.frames(mode=reader.mode, location=reader.location, timeout=START_WITHIN_S)
        before = next(frames).index
        connection.send(("ready", None))
        while not connection.poll():
            ages, lost, end_s = Ages(spec), 0, time.monotonic() + every_s
            while time.monotonic() < end_s and not connection.poll():
                frame = next(frames)
                ages.add(frame.due_ns)
                ages.check(frame.image, frame.source)
                lost += frame.index - before - 1
                before = frame.index
                time.sleep(reader.period_s)
            p50, p99 = np.percentile(ages.ages_ms or [0.0], [50, 99])
            tally = Tally(
                reader=reader.name,
                frames=len(ages.ages_ms),
                lost=lost,
                checked=ages.num_checked,
                p50_ms=round(float(p50), 3),
                p99_ms=round(float(p99), 3),
            )
            connection.send(("tally", tally))
