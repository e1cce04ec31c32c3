"""A thread for requests that may take a while, so that the bridge thread never waits: one after the other, in order."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import ClosedError
from .clock import steady_ns
from .desk import Answer, Task
from .faults import Busy, StaleCommand
from .messages import Request
from .sessions import Session

MAX_QUEUED = 256

T = TypeVar("T")


class Worker:
    """Runs what it is given until ``close``."""

    def __init__(self, name: str = "shotstream-worker") -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(MAX_QUEUED)

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` when its turn comes.

        Raises:
            Busy: too much waits already. ClosedError: the worker was closed.
        """
        if not self._room.acquire(blocking=False):
            raise Busy(f"{MAX_QUEUED} requests wait already; ask again later")
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._room.release()
            raise ClosedError("the server was closed; connect to another") from None
        future.add_done_callback(lambda done: self._room.release())
        return future

    def close(self) -> None:
        """Drop what waits. What runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def in_turn(task: Task, worker: Worker) -> Task:
    """The same task, done by ``worker``. A request that had to wait beyond its time to live is not done any more."""

    def begin(session: Session, request: Request) -> Future[Any]:
        def work() -> Answer | Future[Answer]:
            waited_ms = (steady_ns() - request.ts) / 1e6
            if waited_ms > request.ttl:
                raise StaleCommand(f"the request waited {waited_ms:.0f} ms, its ttl is {request.ttl} ms; decide anew")
            return task.do(session, request)

        return worker.do(work)

    return dataclasses.replace(task, do=begin)
