"""A server to be mistreated: the test chart, and a line in ``--log`` for every cut that it carries out."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

import shotstream as ss
from shotstream.bridge import auth, desk, frame_ring
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.messages import CutRequest
from shotstream.bridge.server import Server, ServerConfig
from shotstream.errors import CapacityError
from shotstream.testing import FakeEngine

SPEC = ss.VideoSpec(width_px=160, height_px=96, fps=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--bind", default=auth.LOOPBACK)
    parser.add_argument("--keys", type=Path)
    parser.add_argument("--allow", type=Path)
    parser.add_argument("--protocol", type=int, default=desk.PROTO_MAX, help="speak this version only")
    parser.add_argument("--full-shm", action="store_true", help="as if there were no shared memory left")
    options = parser.parse_args()

    desk.PROTO_MIN = desk.PROTO_MAX = options.protocol
    if options.full_shm:
        frame_ring.RingWriter.__init__ = _no_space
    keys = auth.load_keys(options.keys) if options.keys else None
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    film = ss.open("test-chart", engine=FakeEngine(SPEC))
    config = ServerConfig(bind=options.bind, keys=keys, allow=options.allow, rate_hz=100, burst=100)
    server = Server(film, config)
    with options.log.open("a", buffering=1) as log:
        _record_cuts(server, log)
        film.cut("before anybody came")
        with server:
            stop.wait()


def _no_space(*_: object, **__: object) -> None:
    raise CapacityError("shared memory for frames: No space left on device; use fewer slots, or send pixels inline")


def _record_cuts(server: Server, log) -> None:
    """What reaches the film, and for which server it was meant."""
    task = server._desk._tasks[CutRequest]

    def cut(session, request):
        age_ms = (steady_ns() - request.ts) / 1e6
        line = {"server": server.epoch, "meant_for": request.ep, "text": request.text, "age_ms": age_ms}
        log.write(json.dumps({**line, "ttl_ms": request.ttl}) + "\n")
        return task.do(session, request)

    server._desk._tasks[CutRequest] = desk.Task(task.role, cut)


if __name__ == "__main__":
    main()
