"""What peers have sent that has not reached us yet, kept within bounds.

ZeroMQ hands a message over once its last part is there. Until then it keeps all parts before it, and ``MAXMSGSIZE``
bounds each of them but not their number, so that one endless message, from a peer that has not even said hello, would
take all memory. What a connection has sent is known to the kernel (``TCP_INFO``), what came out of it to us; one that
is too far ahead is cut off, and ZeroMQ then drops what it kept.

Linux only; elsewhere nothing is watched.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import zmq
from zmq.utils.monitor import recv_monitor_message

from .clock import steady_ns

log = logging.getLogger("shotstream.bridge")

T = TypeVar("T")

_WATCHES = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
_BYTES_RECEIVED = struct.Struct("128xQ")
"""Of Linux's ``struct tcp_info``, since version 4.1."""
_PART_BYTES = 64
"""More than ZeroMQ and CURVE add to a part."""
_IDLE_BYTES_PER_S = 1024
"""More than heartbeats take, which never reach us."""
_CHECK_EVERY_NS = 50_000_000
_SAY_EVERY_NS = 60_000_000_000


@dataclass(kw_only=True)
class _Connection:
    peer: Any
    since_ns: int
    arrived: int = 0
    """Bytes of the messages that came out of it."""
    waiting: int = 0


class Intake:
    """Watches the connections of a bound TCP socket; belongs to the thread that reads it.

    Args:
        max_waiting: bytes that one connection may be ahead. max_total: that all may be together.
        max_connections: the next one is cut off.
    """

    def __init__(self, bound: zmq.Socket[Any], *, max_waiting: int, max_total: int, max_connections: int) -> None:
        self._bound = bound
        self._max_waiting, self._max_total, self._max_connections = max_waiting, max_total, max_connections
        self._connections: dict[int, _Connection] = {}
        self._check_at_ns = self._say_at_ns = 0
        self.num_cut = 0
        """Connections that were cut off."""
        self._monitor: zmq.Socket[Any] | None = None
        if _WATCHES:
            endpoint = bound.getsockopt_string(zmq.LAST_ENDPOINT)
            self._family = socket.AF_INET6 if "[" in endpoint else socket.AF_INET
            self._port = int(endpoint.rpartition(":")[2])
            self._monitor = bound.get_monitor_socket(zmq.EVENT_ACCEPTED)

    @property
    def watches(self) -> bool:
        """This system can tell what a connection has sent."""
        return self._monitor is not None

    def arrived(self, source: int, size_bytes: int, num_parts: int) -> None:
        """A message came out of the connection with the descriptor ``source``."""
        connection = self._connections.get(source)
        if connection is not None:
            connection.arrived += size_bytes + _PART_BYTES * num_parts

    def check(self) -> None:
        """Cut off who is too far ahead. Call it often; it looks every 50 ms."""
        now = steady_ns()
        if self._monitor is None or now < self._check_at_ns:
            return
        self._check_at_ns = now + _CHECK_EVERY_NS
        self._greet(now)
        for number, connection in list(self._connections.items()):
            self._measure(number, connection, now)
        for number, connection in list(self._connections.items()):
            if connection.waiting > self._max_waiting:
                self._cut(number)
        total = sum(connection.waiting for connection in self._connections.values())
        for number, connection in sorted(self._connections.items(), key=lambda one: -one[1].waiting):
            if total <= self._max_total:
                break
            total -= connection.waiting
            self._cut(number)

    def close(self) -> None:
        """Before the socket is closed."""
        if self._monitor is not None:
            self._bound.disable_monitor()
            self._monitor.close(0)
            self._monitor = None

    def _greet(self, now: int) -> None:
        assert self._monitor is not None
        with contextlib.suppress(zmq.Again):
            while True:
                number = recv_monitor_message(self._monitor, zmq.NOBLOCK)["value"]
                peer = self._of(number, None, socket.socket.getpeername)
                if peer is not None:
                    self._connections[number] = _Connection(peer=peer, since_ns=now)
                    if len(self._connections) > self._max_connections:
                        self._cut(number)

    def _measure(self, number: int, connection: _Connection, now: int) -> None:
        sent = self._of(number, connection.peer, _bytes_received)
        if sent is None:  # it has ended
            del self._connections[number]
            return
        connection.arrived = min(connection.arrived, sent)  # parts are counted for more than they take
        allowed = _IDLE_BYTES_PER_S * (now - connection.since_ns) // 10**9
        connection.waiting = max(0, sent - connection.arrived - allowed)

    def _cut(self, number: int) -> None:
        connection = self._connections.pop(number)
        self._of(number, connection.peer, _end)
        self.num_cut += 1
        if steady_ns() >= self._say_at_ns:
            self._say_at_ns = steady_ns() + _SAY_EVERY_NS
            log.warning("a connection sent too much before it could be heard and was cut off (%d so far)", self.num_cut)

    def _of(self, number: int, peer: Any, ask: Callable[[socket.socket], T]) -> T | None:
        """What ``ask`` finds out about a descriptor of ZeroMQ; None when it is not that connection (any more)."""
        try:
            found = socket.socket(self._family, socket.SOCK_STREAM, 0, fileno=number)
        except OSError:
            return None
        try:
            if found.getsockname()[1] != self._port or (peer is not None and found.getpeername() != peer):
                return None
            return ask(found)
        except OSError:
            return None
        finally:
            found.detach()  # it is ZeroMQ's to close


def _end(connection: socket.socket) -> None:
    """ZeroMQ reads the end of it and closes it, which the peer is told at once whatever is still on its way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)


def _bytes_received(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
    (number,) = _BYTES_RECEIVED.unpack(info)
    return int(number)
