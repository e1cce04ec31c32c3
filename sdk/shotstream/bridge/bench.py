"""How long a frame takes from the server's release of it to a consumer that has its pixels, beside plain PUB/SUB.

The server runs in a process of its own and shows test charts at a fixed rate; every consumer runs in another. All of
them are on one machine and read the same clock, so that ages need no estimate of an offset. A chart shows its own
number; every few frames the pixels are compared with the chart that they ought to be.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

import msgspec
import numpy as np
import zmq

from ..errors import BridgeError
from ..frames import VideoSpec
from ..testing import FakeEngine, draw_chart
from . import connect
from .clock import Pacer, steady_ns
from .incoming import LocationWish
from .pixels import Bytes, PixelFormat, PixelLayout

CAPTION = "medium shot: a blue robot dances in the city at night"
"""Its chart has another amount of red than of blue, so that pixels with both exchanged are noticed."""
SLOW_PERIOD_S = 0.2
CHECK_EVERY = 16
WARM_UP_S = 1.0
START_WITHIN_S = 60.0
CONTROL_EVERY_S = 0.07
"""Within the server's limit of 20 requests a second."""

_processes = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One consumer, or one that sends requests while it gets frames."""

    name: str
    what: Literal["bridge", "control", "plain"]
    location: LocationWish = "inline"
    copy: bool = True
    period_s: float = 0.0
    """Between two frames that the consumer takes; 0 takes them as they come."""
    hwm: int = 0
    """Of PUB and SUB; 0 leaves the 1000 of ZeroMQ."""
    bounds_ms: dict[str, float] = field(default_factory=dict)


CASES = (
    Case(name="shm, fast reader", what="bridge", location="shm", bounds_ms={"p50": 1, "p99": 10}),
    Case(name="shm without a copy, fast reader", what="bridge", location="shm", copy=False),
    Case(name="inline tcp, fast reader", what="bridge", bounds_ms={"p50": 4}),
    Case(name="PUB/SUB, fast reader", what="plain"),
    Case(
        name="shm, 5 fps reader",
        what="bridge",
        location="shm",
        period_s=SLOW_PERIOD_S,
        bounds_ms={"p99": SLOW_PERIOD_S * 1e3 + 50},
    ),
    Case(
        name="inline tcp, 5 fps reader",
        what="bridge",
        period_s=SLOW_PERIOD_S,
        bounds_ms={"p99": SLOW_PERIOD_S * 1e3 + 50},
    ),
    Case(name="PUB/SUB, 5 fps reader", what="plain", period_s=SLOW_PERIOD_S),
    Case(name="PUB/SUB HWM=2, 5 fps reader", what="plain", period_s=SLOW_PERIOD_S, hwm=2),
    Case(name="control round trip, frames inline", what="control", bounds_ms={"p99": 20}),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a case, in milliseconds. ``checked`` frames were compared pixel by pixel with their charts."""

    name: str
    count: int
    p50: float
    p99: float
    max: float
    checked: int
    server_cpu: float
    """Share of one core that the server's process used."""
    bounds_ms: dict[str, float]

    @property
    def within(self) -> bool | None:
        """The bounds are kept; None without any."""
        if not self.bounds_ms:
            return None
        return all(getattr(self, name) <= bound for name, bound in self.bounds_ms.items())


def measure(
    spec: VideoSpec,
    *,
    seconds: float = 10.0,
    warm_up_s: float = WARM_UP_S,
    report: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Run every case for ``seconds``, each with a server of its own; ``report`` gets each row when it is there.

    Raises:
        BridgeError: a process failed, or a frame did not show what it ought to.
    """
    rows = []
    for case in CASES:
        with source(spec, case) as (name, pid), process(_consume, spec, case, name, warm_up_s, seconds) as consumer:
            expect(consumer, "warm")
            began_s, used_s = time.perf_counter(), cpu_seconds(pid)
            ages, checked = expect(consumer, "done", within_s=seconds + START_WITHIN_S)
            cpu = (cpu_seconds(pid) - used_s) / (time.perf_counter() - began_s)
        p50, p99 = np.percentile(ages, [50, 99])
        row = Row(
            name=case.name,
            count=len(ages),
            p50=round(float(p50), 3),
            p99=round(float(p99), 3),
            max=round(max(ages), 3),
            checked=checked,
            server_cpu=round(cpu, 3),
            bounds_ms=case.bounds_ms,
        )
        rows.append(row)
        if report is not None:
            report(row)
    return rows


def ratios(rows: list[Row]) -> dict[str, float]:
    """How many times older (median) a frame is by plain PUB/SUB than by the bridge, as far as both were measured."""
    by_name = {row.name: row for row in rows}
    pairs = (
        ("fast reader", "PUB/SUB, fast reader", "shm, fast reader"),
        ("fast reader, both over tcp", "PUB/SUB, fast reader", "inline tcp, fast reader"),
        ("5 fps reader", "PUB/SUB, 5 fps reader", "inline tcp, 5 fps reader"),
        ("5 fps reader, HWM=2", "PUB/SUB HWM=2, 5 fps reader", "inline tcp, 5 fps reader"),
    )
    return {
        name: round(by_name[plain].p50 / by_name[ours].p50, 1)
        for name, plain, ours in pairs
        if plain in by_name and ours in by_name
    }


def as_dict(row: Row) -> dict[str, Any]:
    return {**asdict(row), "within": row.within}


# --- processes ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def source(spec: VideoSpec, case: Case) -> Iterator[tuple[str, int]]:
    """A server (or a plain publisher) in its own process: (its name or endpoint, number of the process)."""
    with tempfile.TemporaryDirectory(prefix="shotstream-bench-") as folder:
        before = os.environ.get("SHOTSTREAM_RUNTIME")
        os.environ["SHOTSTREAM_RUNTIME"] = folder  # inherited by the processes
        try:
            with process(_publish if case.what == "plain" else _serve, spec, case) as server:
                name, pid = expect(server, "ready")
                yield name, pid
        finally:
            if before is None:
                del os.environ["SHOTSTREAM_RUNTIME"]
            else:
                os.environ["SHOTSTREAM_RUNTIME"] = before


@contextlib.contextmanager
def process(run: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """``run(connection, *arguments)`` in a new process, which has to end when its connection is closed."""
    ours, theirs = _processes.Pipe()
    started = _processes.Process(target=_guarded, args=(run, theirs, *arguments), daemon=True)
    started.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        started.join(10.0)
        if started.is_alive():
            started.kill()
            started.join()


def _guarded(run: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, EOFError):
        try:
            run(connection, *arguments)
        except Exception as error:
            connection.send(("error", f"{type(error).__name__}: {error}"))


def expect(connection: Connection, what: str, *, within_s: float = START_WITHIN_S) -> Any:
    """The next word of a process, which has to be ``what``."""
    if not connection.poll(within_s):
        raise BridgeError(f"a process of the benchmark did not say {what!r} within {within_s:.0f} s")
    try:
        kind, value = connection.recv()
    except EOFError:
        raise BridgeError(f"a process of the benchmark ended before it said {what!r}") from None
    if kind != what:
        raise BridgeError(f"a process of the benchmark failed: {value}")
    return value


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all threads; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- in the server's process -------------------------------------------------------------------------------------


class Charts(FakeEngine):
    """Keeps no list of what was asked of it: it runs for long."""

    def __init__(self, spec: VideoSpec) -> None:
        super().__init__(spec)
        self.calls = deque(maxlen=16)  # type: ignore[assignment]


def _serve(connection: Connection, spec: VideoSpec, case: Case) -> None:
    from ..film import open
    from .server import SWITCH_INTERVAL_S, Server, ServerConfig

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with Server(open("test-chart", engine=Charts(spec)), ServerConfig(name="bench")) as server:
        server.film.cut(CAPTION)
        connection.send(("ready", ("bench", os.getpid())))
        with contextlib.suppress(EOFError):
            connection.recv()


class _Stamp(msgspec.Struct):
    """What plain PUB/SUB sends before the pixels."""

    number: int
    due_ns: int


def _publish(connection: Connection, spec: VideoSpec, case: Case) -> None:
    """The same charts in the same format at the same rate, as a program without the bridge would send them."""
    layout = _layout(spec)
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.linger = 0
        if case.hwm:
            socket.sndhwm = case.hwm
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        connection.send(("ready", (f"tcp://127.0.0.1:{port}", os.getpid())))
        pacer, number = Pacer(spec.fps), 0
        while not connection.poll():
            pixels = layout.pack(_chart(spec, number))
            due = pacer.next_due()
            time.sleep(max(0.0, (due - steady_ns()) / 1e9))
            stamp = msgspec.msgpack.encode(_Stamp(number=number, due_ns=due))
            socket.send_multipart([stamp, pixels.data], copy=False)
            number += 1


# --- in a consumer's process -------------------------------------------------------------------------------------


@dataclass
class Ages:
    """Ages of the frames after the warm-up, and the check of some of them."""

    spec: VideoSpec
    ages_ms: list[float] = field(default_factory=list)
    num_seen: int = 0
    num_checked: int = 0

    def add(self, due_ns: int) -> None:
        self.ages_ms.append((steady_ns() - due_ns) / 1e6)

    def check(self, plane: Bytes, number: int) -> None:
        """Compare every few frames with the chart of that number. Raises BridgeError."""
        self.num_seen += 1
        if self.num_seen % CHECK_EVERY == 1:
            self.num_checked += 1
            chart = _chart(self.spec, number)
            if not (np.array_equal(plane[..., :3], chart) and (plane[..., 3:] == 255).all()):
                raise BridgeError(f"frame {number} does not show its chart")


def _chart(spec: VideoSpec, number: int) -> Bytes:
    """The chart of frame ``number`` of the film that is shown."""
    block = 0
    while number >= spec.frames_from_latents((block + 1) * spec.block_lat):
        block = max(block + 1, (number - 1) // (spec.time_factor * spec.block_lat))
    return draw_chart(spec, shot=0, block=block, frame=number, caption=CAPTION)


def _layout(spec: VideoSpec) -> PixelLayout:
    return PixelLayout(width_px=spec.width_px, height_px=spec.height_px, format=PixelFormat.RGBA8)


def _consume(connection: Connection, spec: VideoSpec, case: Case, name: str, warm_up_s: float, seconds: float) -> None:
    run = {"bridge": _view, "control": _control, "plain": _subscribe}[case.what]
    ages = Ages(spec)
    clock = _Clock(connection, warm_up_s, seconds)
    run(ages, case, name, clock)
    connection.send(("done", (ages.ages_ms, ages.num_checked)))


class _Clock:
    """Warm-up, then the time that counts."""

    def __init__(self, connection: Connection, warm_up_s: float, seconds: float) -> None:
        self._connection = connection
        self._warm_ns = steady_ns() + round(warm_up_s * 1e9)
        self._end_ns = self._warm_ns + round(seconds * 1e9)
        self._told = False

    @property
    def counts(self) -> bool:
        if steady_ns() < self._warm_ns:
            return False
        if not self._told:
            self._told = True
            self._connection.send(("warm", None))
        return True

    @property
    def over(self) -> bool:
        return steady_ns() >= self._end_ns


def _view(ages: Ages, case: Case, name: str, clock: _Clock) -> None:
    with connect(name=name, role="viewer") as client:
        for frame in client.frames(format="rgba8", location=case.location, copy=case.copy, timeout=START_WITHIN_S):
            if clock.counts:
                ages.add(frame.due_ns)
                ages.check(frame.image, frame.source)
            if clock.over:
                return
            if case.period_s:
                time.sleep(case.period_s)


def _control(ages: Ages, case: Case, name: str, clock: _Clock) -> None:
    """Round trips of ``status`` while another thread of this process takes frames."""
    failed: list[Exception] = []
    with connect(name=name, role="viewer") as client:

        def view() -> None:
            try:
                for frame in client.frames(format="rgba8", location=case.location, timeout=START_WITHIN_S):
                    ages.check(frame.image, frame.source)
                    if clock.over:
                        return
            except Exception as error:
                failed.append(error)

        viewer = threading.Thread(target=view)
        viewer.start()
        while not clock.over and not failed:
            asked_ns = steady_ns()
            client.status()
            if clock.counts:
                ages.add(asked_ns)
            time.sleep(CONTROL_EVERY_S)
        viewer.join()
    if failed:
        raise failed[0]


def _subscribe(ages: Ages, case: Case, name: str, clock: _Clock) -> None:
    layout = _layout(ages.spec)
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        if case.hwm:
            socket.rcvhwm = case.hwm
        socket.subscribe(b"")
        socket.connect(name)
        while not clock.over:
            if not socket.poll(round(START_WITHIN_S * 1e3)):
                raise BridgeError(f"no frame within {START_WITHIN_S:.0f} s")
            header, pixels = socket.recv_multipart(copy=False)
            (plane,) = layout.planes(np.frombuffer(pixels.buffer, np.uint8))
            stamp = msgspec.msgpack.decode(header.buffer, type=_Stamp)
            if clock.counts:
                ages.add(stamp.due_ns)
                ages.check(plane, stamp.number)
            if case.period_s:
                time.sleep(case.period_s)
