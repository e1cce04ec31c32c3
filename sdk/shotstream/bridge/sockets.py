"""The two ROUTER sockets of a server: where they listen, who may connect, and messages in and out within bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import zmq

from ..errors import CapacityError
from . import auth, wire
from .config import ServerConfig
from .intake import Intake
from .messages import MAX_CREDIT_BYTES, MAX_CTL_BYTES, MAX_WINDOW, FrameHeader, Message

log = logging.getLogger("shotstream.bridge")

ZAP_DOMAIN = "shotstream"


class Sockets:
    """Listens from the start until ``close``; everything else is for one thread.

    Raises:
        CapacityError: the port is taken.
    """

    def __init__(self, config: ServerConfig, allow: auth.AllowList | None) -> None:
        host, port = auth.check_bind(config.bind, has_keys=config.keys is not None)
        self._keys, self._with_peer = config.keys, allow is not None
        self._context: zmq.Context[Any] = zmq.Context()
        self._authenticator: Any = None
        self.intakes: dict[zmq.Socket[Any], Intake] = {}
        """What is known of the connections of each socket."""
        try:
            if allow is not None:
                from zmq.auth.thread import ThreadAuthenticator

                self._authenticator = ThreadAuthenticator(self._context)
                self._authenticator.start()
                self._authenticator.configure_curve_callback(ZAP_DOMAIN, credentials_provider=allow)
            self.ctl = self._open(host, port, max_bytes=MAX_CTL_BYTES, waiting=64)
            self.frm = self._open(host, port + 1 if port else 0, max_bytes=MAX_CREDIT_BYTES, waiting=2 * MAX_WINDOW)
            most = 3 * config.max_clients + 16
            for socket, per_peer, in_all in ((self.ctl, 8 << 20, 64 << 20), (self.frm, 1 << 20, 8 << 20)):
                self.intakes[socket] = Intake(socket, max_waiting=per_peer, max_total=in_all, max_connections=most)
        except BaseException:
            self.close()
            raise

    def _open(self, host: str, port: int, *, max_bytes: int, waiting: int) -> zmq.Socket[Any]:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.SNDHWM, waiting)
        socket.setsockopt(zmq.RCVHWM, 256)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 500)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1500)
        socket.setsockopt(zmq.HEARTBEAT_TTL, 1500)
        socket.setsockopt(zmq.IPV6, int(host.startswith("[")))
        if self._keys is not None:
            socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self._keys.public)
        try:
            socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            socket.close()
            raise CapacityError(
                f"{host}:{port} cannot be listened on ({error.strerror}); leave the port out to get a free one"
            ) from None
        return socket

    @property
    def num_cut(self) -> int:
        """Connections that were cut off because they were too far ahead of what could be read."""
        return sum(intake.num_cut for intake in self.intakes.values())

    def check(self) -> None:
        """Cut off who is too far ahead; to be called often."""
        for intake in self.intakes.values():
            intake.check()

    def drain(self, socket: zmq.Socket[Any], handle: Callable[[wire.Received], None], *, max_bytes: int) -> None:
        """Hand on what has come on ``ctl`` or ``frm``, up to 64 messages: then frames have a turn."""
        intake = self.intakes[socket]
        for _ in range(64):
            try:
                message = wire.receive(
                    socket,
                    max_parts=3,
                    max_bytes=max_bytes + 512,
                    with_peer=self._with_peer,
                    with_source=intake.watches,
                )
            except zmq.Again:
                return
            intake.arrived(message.source, message.size_bytes, message.num_parts)
            handle(message)

    def send(self, peer: bytes, message: Message) -> None:
        """Send on ``ctl``, or drop the message."""
        try:
            self.ctl.send_multipart([peer, *wire.encode(message)], zmq.DONTWAIT)
        except zmq.ZMQError:  # gone, or it does not read: the lease ends it
            log.debug("a client could not be reached")

    def send_frame(self, peer: bytes, header: FrameHeader, pixels: memoryview | None) -> None:
        """Send on ``frm``; no pixels for a frame in shared memory. Raises ``zmq.ZMQError`` when it is not taken."""
        parts = [peer, *wire.encode(header)]
        if pixels is None:
            self.frm.send_multipart(parts, zmq.DONTWAIT)
        else:
            self.frm.send_multipart([*parts, pixels], zmq.DONTWAIT, copy=False)

    def close(self) -> None:
        """Free the ports."""
        for intake in self.intakes.values():
            intake.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)
