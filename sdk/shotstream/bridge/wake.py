"""A bell that any thread may ring and a poller hears: ZeroMQ sockets belong to one thread, a pair of sockets does
not."""

from __future__ import annotations

import contextlib
import socket


class Wake:
    """Add ``reader`` to a poller; call ``clear`` after it was readable."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def ring(self) -> None:
        """Make the poller return. A full pipe has rung already, and a closed one has no poller."""
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.reader.recv(4096):
                pass

    def close(self) -> None:
        self.reader.close()
        self._writer.close()
