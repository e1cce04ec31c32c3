"""The client's end of the two sockets: one thread that says hello, keeps the lease, and comes back after an outage.

Sockets are made anew at every attempt: ZeroMQ would deliver what was queued before the outage to whatever server comes
next, and never tries again after a refused key.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..errors import BridgeError, ClosedError, ScriptError
from . import wire
from .auth import Keys, is_loopback
from .clock import Offset, steady_ns
from .faults import AuthError, Busy, Code, ConnectionLost, Fault, ProtocolError, StaleCommand, Timeout, error_from_code
from .messages import (
    CAPABILITIES,
    MAX_CTL_BYTES,
    MAX_HEADER_BYTES,
    PROTO_MAX,
    PROTO_MIN,
    Ack,
    Bye,
    CheckpointRequest,
    Chunk,
    Credit,
    DownloadRequest,
    Error,
    Event,
    EventMask,
    FrameHeader,
    Hello,
    Message,
    OnDisconnect,
    Ping,
    Pong,
    QueryRequest,
    Reject,
    Request,
    Result,
    Role,
    Saved,
    State,
    Subscribed,
    SubscribeRequest,
    UploadRequest,
    Welcome,
)
from .wake import Wake

log = logging.getLogger("shotstream.bridge")

PING_EVERY_NS = 500_000_000
DEAD_AFTER_NS = 2_000_000_000
ANSWER_GRACE_NS = 200_000_000
"""Beyond its ttl, for an answer that is on its way."""
HELLO_WITHIN_NS = 2_000_000_000
FIRST_RETRY_S, LAST_RETRY_S = 0.1, 2.0


_ANSWERS: dict[type[Request], tuple[type[Message], ...]] = {
    QueryRequest: (Result,),
    SubscribeRequest: (Subscribed,),
    CheckpointRequest: (Saved,),
    UploadRequest: (Ack, Saved),
    DownloadRequest: (Chunk,),
}
"""What answers a request, beside an error; the others get an ``ack``."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server is and what opens it."""

    ctl: str
    token: str = ""
    keys: Keys | None = None


@dataclass(kw_only=True)
class _Pending:
    request: Request
    answer: Future[Message]
    expires_ns: int


def _check(request: Request) -> None:
    """Refuse what the server would refuse, before somebody waits for it.

    Raises:
        TooLarge: over ``MAX_CTL_BYTES``. ScriptError: a value outside its range, or of another type.
    """
    name = type(request).__name__.removesuffix("Request").lower()
    try:
        parts = wire.encode(request)
        if len(parts[1]) > MAX_CTL_BYTES:
            raise error_from_code(Code.TOO_LARGE, f"the request is over {MAX_CTL_BYTES} bytes; shorten its text")
        wire.decode(wire.client_messages, parts)
    except (ProtocolError, TypeError, ValueError, OverflowError) as error:
        raise ScriptError(f"{name}: {error}") from None


class Link:
    """A connection that keeps itself up until ``close``.

    Args:
        find: asked before every attempt, since a restarted server has another port and another token.
        on_message: called in the link's thread with ``State`` and ``Event`` messages.
        on_frame: called in the link's thread with header, pixels (None: in shared memory) and the local time of
            arrival.
        on_change: called in the link's thread when the connection came up or was lost.
    """

    def __init__(
        self,
        find: Callable[[], Address],
        *,
        role: Role,
        client: str,
        engine: str = "",
        on_disconnect: OnDisconnect = "keep",
        on_message: Callable[[State | Event], None],
        on_frame: Callable[[FrameHeader, memoryview | None, int], None],
        on_change: Callable[[], None],
    ) -> None:
        self._find, self._role, self._client, self._engine = find, role, client[:64], engine[:64]
        self._on_disconnect: OnDisconnect = on_disconnect
        self._on_message, self._on_frame, self._on_change = on_message, on_frame, on_change
        self.welcome: Welcome | None = None
        """What the server said when the link came up; None while it is down."""
        self.error: BridgeError | None = None
        """Why the latest attempt failed, or why the link was lost."""
        self.refused = False
        """The latest attempt was answered with a no that stays one until something is changed there or here."""
        self.offset = Offset()
        self.connections = 0
        self._last: Welcome | None = None
        # reentrant: the garbage collector may close a stream in the middle of any call
        self._lock = threading.RLock()
        self._num_requests = 0
        self._pending: dict[int, _Pending] = {}
        self._unsent: deque[_Pending] = deque()
        self._credits: deque[Credit] = deque()
        self._closing = self._renew = False
        self._wake = Wake()
        self._context: zmq.Context[Any] = zmq.Context()
        self._address = Address(ctl="")
        self._ctl: zmq.Socket[Any] | None = None
        self._frm: zmq.Socket[Any] | None = None
        self._monitors: list[zmq.Socket[Any]] = []
        self._poller = zmq.Poller()
        self._heard_ns = self._asked_ns = self._pinged_ns = 0
        self._retry_s = FIRST_RETRY_S
        self._retry_at_ns = 0
        self._thread = threading.Thread(target=self._run, name="shotstream-link", daemon=True)

    def start(self) -> None:
        """Begin to connect. The callbacks may run from now on."""
        self._thread.start()

    # --- from any thread -----------------------------------------------------------------------------------------

    def server_ns(self) -> int:
        """Now, on the server's clock."""
        return steady_ns() + self.offset.best.offset_ns

    @property
    def is_local(self) -> bool:
        """The server is on this machine."""
        return is_loopback(urlsplit(self._address.ctl).hostname or "")

    def request(self, kind: type[Request], *, ttl_ms: int, **fields: Any) -> tuple[int, Future[Message]]:
        """Send a request; (its id, the answer to come). The answer fails with a ``Fault`` or ScriptError.

        Raises:
            ClosedError: the link was closed. ConnectionLost: there has never been a connection.
        """
        with self._lock:
            if self._closing:
                raise ClosedError("the client is closed; connect again")
            if self._last is None:
                raise ConnectionLost(f"not connected yet ({self.error}); wait for the connection first")
            self._num_requests = self._num_requests % (2**32 - 1) + 1
            always: dict[str, Any] = {"id": self._num_requests, "ep": self._last.epoch, "ttl": ttl_ms}
            # The offset may be wrong by half a round trip; rather void a little early than done too late.
            request = kind(**fields, **always, ts=self.server_ns() - self.offset.best.rtt_ns // 2)
            _check(request)
            pending = _Pending(
                request=request, answer=Future(), expires_ns=steady_ns() + ttl_ms * 1_000_000 + ANSWER_GRACE_NS
            )
            self._pending[request.id] = pending
            self._unsent.append(pending)
        self._wake.ring()
        return request.id, pending.answer

    def credit(self, *, st: int, n: int = 0, rel: int = -1, presented_ns: int = 0) -> None:
        """Grant credit or report a frame as shown (``presented_ns`` on the server's clock). Lost without a link."""
        welcome = self.welcome
        if welcome is not None:
            self._credits.append(Credit(s=welcome.session, st=st, n=n, rel=rel, presented=presented_ns))
            self._wake.ring()

    def reconnect(self) -> None:
        """Make the connection anew, at once if it is waiting for its next attempt."""
        self._renew = True
        self._wake.ring()

    def close(self) -> None:
        """Leave and stop the thread, in well under a second. Safe to call twice."""
        with self._lock:
            self._closing = True
        self._wake.ring()
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join(5.0)

    # --- the link's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._poller.register(self._wake.reader, zmq.POLLIN)
        while not self._closing:
            try:
                self._turn()
            except Exception as error:  # a mistake of ours must not end the connection for good
                log.exception("the link could not handle something; it connects anew")
                self._lose(ConnectionLost(f"the client failed at a message: {type(error).__name__}: {error}"))
        if self._ctl is not None and self.welcome is not None:
            self._send(Bye(reason="closed"))
        self._shut(linger_ms=100)
        self._fail_all(lambda: ClosedError("the client was closed before the answer came; connect again"))
        self._context.term()
        self._wake.close()
        self._on_change()

    def _turn(self) -> None:
        if self._ctl is None and steady_ns() >= self._retry_at_ns:
            self._open()
        ready = dict(self._poller.poll(self._timeout_ms(steady_ns())))
        if self._wake.reader.fileno() in ready:
            self._wake.clear()
        self._read(ready)
        self._write()
        self._keep_time(steady_ns())

    def _timeout_ms(self, now: int) -> int:
        times = [now + PING_EVERY_NS // 5, *(one.expires_ns for one in list(self._pending.values()))]
        if self._ctl is None:
            times.append(self._retry_at_ns)
        return max(0, (min(times) - now) // 1_000_000)

    def _open(self) -> None:
        try:
            self._address = self._find()
            self._ctl = self._socket(self._address.ctl, max_bytes=MAX_CTL_BYTES)
        except (BridgeError, zmq.ZMQError) as error:
            self._lose(error if isinstance(error, BridgeError) else ConnectionLost(f"{self._address.ctl}: {error}"))
            return
        self._poller.register(self._ctl, zmq.POLLIN)
        self._asked_ns = self._heard_ns = steady_ns()
        self._say_hello()

    def _say_hello(self) -> None:
        self._send(
            Hello(
                proto_min=PROTO_MIN,
                proto_max=PROTO_MAX,
                client=self._client,
                engine=self._engine,
                role=self._role,
                token=self._address.token,
                caps=CAPABILITIES,
                events=int(EventMask.ALL),
                resume=self._last.session if self._last else 0,
                c0=steady_ns(),
                on_disconnect=self._on_disconnect,
            )
        )

    def _socket(self, endpoint: str, *, max_bytes: int) -> zmq.Socket[Any]:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.SNDHWM, 64)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 500)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1500)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        keys = self._address.keys
        if keys is not None:
            socket.setsockopt_string(zmq.CURVE_SERVERKEY, keys.server)
            socket.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt_string(zmq.CURVE_SECRETKEY, keys.secret)
        monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_DISCONNECTED
        )
        self._monitors.append(monitor)
        self._poller.register(monitor, zmq.POLLIN)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError:
            socket.disable_monitor()
            socket.close()
            raise
        return socket

    def _shut(self, *, linger_ms: int = 0) -> None:
        for socket in (self._ctl, self._frm):
            if socket is not None:
                socket.disable_monitor()
                if socket in self._poller:
                    self._poller.unregister(socket)
                socket.close(linger_ms)
        for monitor in self._monitors:
            self._poller.unregister(monitor)
            monitor.close(0)  # an open one would keep the context from ending
        self._monitors.clear()
        self._ctl = self._frm = None
        self.welcome = None

    def _lose(self, error: BridgeError, *, refused: bool = False) -> None:
        """Drop the sockets and try again later, at growing and slightly random intervals."""
        was_up = self.welcome is not None
        self._shut()
        self.error, self.refused = error, refused
        if was_up:
            self._retry_s = FIRST_RETRY_S
        self._retry_at_ns = steady_ns() + round(self._retry_s * random.uniform(0.75, 1.25) * 1e9)
        # A refusal does not go away by asking often.
        self._retry_s = LAST_RETRY_S if refused else min(LAST_RETRY_S, self._retry_s * 2)
        self._on_change()

    def _read(self, ready: dict[Any, int]) -> None:
        if self._ctl is not None and self._ctl in ready:
            for _ in range(64):
                try:
                    message = wire.receive(self._ctl, max_parts=2, max_bytes=MAX_CTL_BYTES + 64)
                except zmq.Again:
                    break
                self._heard_ns = steady_ns()
                try:
                    if message.whole:
                        self._on_ctl(wire.decode(wire.server_messages, message.parts), self._heard_ns)
                except Fault:
                    continue  # a newer server may say things that we do not know
                if self._ctl is None:
                    return
        if self._frm is not None and self._frm in ready:
            assert self.welcome is not None
            stream = self.welcome.stream
            for _ in range(64):
                try:
                    frame = wire.receive_frame(self._frm, max_bytes=stream.w * stream.h * 4)
                except zmq.Again:
                    break
                self._heard_ns = steady_ns()
                if frame is not None:
                    self._on_frame(*frame, self._heard_ns)
        for monitor in [one for one in self._monitors if one in ready]:
            self._on_monitor(monitor)

    def _on_ctl(self, message: Message, now: int) -> None:
        if isinstance(message, Welcome):
            self._on_welcome(message, now)
        elif isinstance(message, Reject):
            error = error_from_code(message.code, message.text)
            known = error if isinstance(error, BridgeError) else ConnectionLost(message.text)
            self._lose(known, refused=not isinstance(known, Busy))
        elif isinstance(message, Pong):
            self.offset.add(c0=message.c0, s1=message.s1, s2=message.s2, c1=now)
        elif isinstance(message, (State, Event)):
            self._on_message(message)
        elif isinstance(message, Error):
            if message.code == Code.CLOSED:  # the lease ran out while we were suspended
                if self.welcome is not None:
                    self.welcome, self._asked_ns = None, now
                    self._say_hello()
                return  # what was asked is sent again after the welcome
            self._settle(message.id, message, error_from_code(message.code, message.text, message.retry_ms))
        elif isinstance(message, (Ack, Result, Subscribed, Saved, Chunk)):
            self._settle(message.id, message, None)

    def _on_welcome(self, welcome: Welcome, now: int) -> None:
        before = self._last
        restarted = before is not None and before.epoch != welcome.epoch
        if restarted:
            self.offset.clear()
        self.offset.add(c0=welcome.c0, s1=welcome.s1, s2=welcome.s2, c1=now)
        if self._frm is None:
            host = urlsplit(self._address.ctl).hostname or ""
            host = f"[{host}]" if ":" in host else host
            size = welcome.stream.w * welcome.stream.h * 4 + MAX_HEADER_BYTES
            self._frm = self._socket(f"tcp://{host}:{welcome.frm_port}", max_bytes=size)
            self._poller.register(self._frm, zmq.POLLIN)
        with self._lock:
            self.welcome = self._last = welcome
            self.error = None
            self.connections += 1
            waiting = [one for one in self._pending.values() if one not in self._unsent]
        self._retry_s = FIRST_RETRY_S
        for one in waiting:
            if one.request.ep == welcome.epoch:
                self._send(one.request)  # the same id: done once, however often it arrives
        if restarted:
            self._fail_all(
                lambda: StaleCommand("the server was restarted before it answered; decide anew"), but=welcome.epoch
            )
        self._on_change()

    def _on_monitor(self, monitor: zmq.Socket[Any]) -> None:
        while monitor in self._monitors:
            try:
                event = recv_monitor_message(monitor, zmq.NOBLOCK)["event"]
            except zmq.Again:
                return
            where = self._address.ctl
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                text = f"{where} does not know this key; add the public key to its allow-list"
                self._lose(AuthError(text), refused=True)
            elif event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
                if self._address.keys is None:
                    text = f"{where} broke off the handshake; it seems to want CURVE keys, and this client has none"
                else:
                    text = f"{where} broke off the handshake; is its public key the one given, and does it use CURVE?"
                # Without detail it may also be a server that is going down; not twice in a row, though.
                sure = event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL or isinstance(self.error, AuthError)
                self._lose(AuthError(text), refused=sure)
            elif event == zmq.EVENT_DISCONNECTED and self.welcome is not None:
                self._lose(ConnectionLost(f"{where} closed the connection"))

    def _settle(self, request: int, message: Message, error: Exception | None) -> None:
        with self._lock:
            pending = self._pending.pop(request, None)
        if pending is None or not pending.answer.set_running_or_notify_cancel():
            return
        expected = _ANSWERS.get(type(pending.request), (Ack,))
        if error is None and not isinstance(message, expected):
            kind = type(message).__name__.lower()
            error = ProtocolError(
                f"the server answered with {kind!r}, which is no answer to this; update the older side"
            )
        if error is not None:
            pending.answer.set_exception(error)
        else:
            pending.answer.set_result(message)

    def _fail_all(self, error: Callable[[], Exception], *, but: int = -1) -> None:
        with self._lock:
            gone = [number for number, one in self._pending.items() if one.request.ep != but]
        for number in gone:
            self._settle(number, Bye(), error())

    def _write(self) -> None:
        while self.welcome is not None and self._unsent:
            one = self._unsent.popleft()
            if one.request.id in self._pending:
                self._send(one.request)
        while self._credits:
            credit = self._credits.popleft()
            if self._frm is not None and self.welcome is not None and credit.s == self.welcome.session:
                try:
                    self._frm.send_multipart(wire.encode(credit), zmq.DONTWAIT)
                except zmq.Again:
                    self._lose(ConnectionLost("the server does not take credit any more"))

    def _send(self, message: Message) -> None:
        if self._ctl is None:
            return
        try:
            self._ctl.send_multipart(wire.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            self._lose(ConnectionLost("the server does not take requests any more"))

    def _keep_time(self, now: int) -> None:
        if self._renew:
            self._renew = False
            if self._ctl is not None:
                self._lose(ConnectionLost("the connection is made anew on request"))
            self._retry_at_ns = now
        for number in [number for number, one in list(self._pending.items()) if one.expires_ns < now]:
            why = f"; {self.error}" if self.error else ""
            self._settle(number, Bye(), Timeout(f"no answer within the request's time{why}"))
        if self._ctl is None:
            return
        if self.welcome is None:
            if now - self._asked_ns > HELLO_WITHIN_NS:
                self._lose(self.error or ConnectionLost(f"{self._address.ctl} does not answer; is the server running?"))
            return
        if now - self._heard_ns > DEAD_AFTER_NS:
            self._lose(ConnectionLost(f"{self._address.ctl} has been silent for {DEAD_AFTER_NS / 1e9:g} s"))
        elif now - self._pinged_ns > PING_EVERY_NS:
            self._pinged_ns = now
            self._send(Ping(c0=now))
