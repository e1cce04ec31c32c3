"""The server: one film, many clients. Commands come in on ``ctl``, frames go out on ``frm`` against credit.

One thread owns both sockets and everything about clients; another takes frames from the film (``program``). They meet
in one queue and a bell. No client can make the programme wait, except in a film on demand, which waits by design.
"""

from __future__ import annotations

import logging
import os
import secrets
import statistics
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

from ..errors import CapacityError, ConfigError, ShotstreamError
from ..film import Film
from ..frames import Frame
from ..story.limits import MAX_PROMPT_CHARS
from . import auth, wire
from .clock import steady_ns
from .commands import NEEDED_ROLE, Follower, apply
from .delivery import Outbox
from .faults import Code, Fault
from .messages import (
    CAPABILITIES,
    FORMATS,
    MAX_CREDIT_BYTES,
    MAX_CTL_BYTES,
    MAX_WINDOW,
    PROTO_MAX,
    PROTO_MIN,
    Ack,
    Bye,
    Credit,
    Error,
    Event,
    EventMask,
    Flag,
    FrameHeader,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    QueryRequest,
    Reject,
    Request,
    Result,
    Role,
    State,
    Status,
    StreamInfo,
    Subscribed,
    SubscribeRequest,
    UnsubscribeRequest,
    Viewer,
    Welcome,
)
from .pixels import Origin, PixelFormat, PixelLayout
from .program import Program, SessionClock
from .sessions import Released, Session, Strikes, TokenBucket, can_pack, is_plain
from .wake import Wake

log = logging.getLogger("shotstream.bridge")

ZAP_DOMAIN = "shotstream"
_EVENT_BITS = {
    "shot_start": EventMask.SHOT_START,
    "gap": EventMask.GAP,
    "engine": EventMask.ENGINE,
    "shutdown": EventMask.SHUTDOWN,
}


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a server listens and what it grants.

    Attributes:
        name: of the connection file; clients on this machine find the server by it.
        bind: ``tcp://IP[:PORT]``; without a port, free ones. With port P, ``frm`` listens on P + 1.
        clock: "realtime" releases frames at the film's rate; "demand" when a client has room.
        keys: the server's CURVE pair; needed for a bind that other machines reach.
        allow: folder of the clients' public keys, ``ROLE/*.key``.
        lease_ms: a client that is silent for longer is forgotten.
        rate_hz, burst: requests a client may make.
        spool_mb: pictures that wait for a "lossless" client before new ones are lost, in MiB; at least 16 frames.
        max_clients: more are turned away.
    """

    name: str = "default"
    bind: str = auth.LOOPBACK
    clock: SessionClock = "realtime"
    keys: auth.Keys | None = None
    allow: Path | None = None
    lease_ms: int = 5000
    rate_hz: int = 20
    burst: int = 40
    spool_mb: int = 256
    max_clients: int = 32

    def __post_init__(self) -> None:
        auth.check_bind(self.bind, has_keys=self.keys is not None)
        if (self.keys is None) != (self.allow is None):
            raise ConfigError("keys and allow go together: the server's own pair, and the folder of its clients' keys")
        for field, low, high in (
            ("lease_ms", 50, 60_000),
            ("rate_hz", 1, 10_000),
            ("burst", 1, 10_000),
            ("spool_mb", 1, 100_000),
            ("max_clients", 1, 1000),
        ):
            if not low <= getattr(self, field) <= high:
                raise ConfigError(f"{field}={getattr(self, field)} is outside {low}..{high}")


class Server:
    """Serves ``film`` from ``start`` to ``close``; a ``with`` statement does both.

    Args:
        film: the server's from now on; ``close`` closes it.

    Raises:
        ConfigError: the configuration cannot work on this machine.
        CapacityError: a running server has the name, or the port is taken.
    """

    def __init__(self, film: Film, config: ServerConfig | None = None) -> None:
        self.config = config or ServerConfig()
        self.film = film
        self.epoch = secrets.randbits(63)
        self.tokens = auth.new_tokens()
        self.ctl = self.frm = ""
        """Endpoints, once started."""
        self._began_ns = steady_ns()
        self._sessions: dict[int, Session] = {}
        self._by_peer: dict[bytes, Session] = {}
        self._streams = 0
        self._strikes = Strikes()
        self._follower = Follower()
        self._released: deque[Released] = deque()
        self._failures: deque[Exception] = deque()
        self._asked = 0
        self._closing = threading.Event()
        self._allow = auth.AllowList(self.config.allow) if self.config.allow else None
        self._program = Program(film, clock=self.config.clock, release=self._on_released, failed=self._on_failed)
        self._thread = threading.Thread(target=self._run, name="shotstream-bridge", daemon=True)
        self._registration: auth.Registration | None = None
        self._authenticator: Any = None
        self._context: zmq.Context[Any] | None = None

    # --- from the owner's threads --------------------------------------------------------------------------------

    def start(self) -> Server:
        """Listen, write the connection file, and run."""
        self._registration = auth.Registration(self.config.name)
        try:
            self._listen()
        except BaseException:
            self._free()
            raise
        self._registration.publish(
            auth.ConnectionFile(
                proto=PROTO_MAX,
                pid=os.getpid(),
                epoch=self.epoch,
                ctl=self.ctl,
                frm=self.frm,
                tokens={} if self.config.keys else self.tokens,
            )
        )
        self._thread.start()
        self._program.start()
        return self

    @property
    def connection_file(self) -> Path:
        """What clients on this machine read."""
        return auth.connection_path(self.config.name)

    def close(self) -> None:
        """Tell the clients, stop both threads, close the film, remove the connection file. Safe to call twice."""
        self._closing.set()
        if self._context is None:
            self.film.close()
            return
        self._wake.ring()
        self._thread.join(10.0)
        self.film.close()
        self._program.close()
        self._free()

    def __enter__(self) -> Server:
        try:
            return self.start()
        except BaseException:
            self.film.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- from the programme's thread -----------------------------------------------------------------------------

    def _on_released(self, frame: Frame, due_ns: int) -> None:
        self._released.append(Released(frame=frame, due_ns=due_ns))
        self._wake.ring()

    def _on_failed(self, error: Exception) -> None:
        self._failures.append(error)
        self._wake.ring()

    # --- sockets -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        host, port = auth.check_bind(self.config.bind, has_keys=self.config.keys is not None)
        self._context = zmq.Context()
        self._wake = Wake()
        if self._allow is not None:
            from zmq.auth.thread import ThreadAuthenticator

            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback(ZAP_DOMAIN, credentials_provider=self._allow)
        self._ctl = self._socket(host, port, max_bytes=MAX_CTL_BYTES, waiting=64)
        self._frm = self._socket(host, port + 1 if port else 0, max_bytes=MAX_CREDIT_BYTES, waiting=2 * MAX_WINDOW)
        self.ctl = self._ctl.getsockopt_string(zmq.LAST_ENDPOINT)
        self.frm = self._frm.getsockopt_string(zmq.LAST_ENDPOINT)

    def _socket(self, host: str, port: int, *, max_bytes: int, waiting: int) -> zmq.Socket[Any]:
        assert self._context is not None
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
        if self.config.keys is not None:
            socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt_string(zmq.CURVE_SECRETKEY, self.config.keys.secret)
            socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self.config.keys.public)
        try:
            socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            socket.close()
            raise CapacityError(
                f"{host}:{port} cannot be listened on ({error.strerror}); leave the port out to get a free one"
            ) from None
        return socket

    def _free(self) -> None:
        for name in ("_ctl", "_frm"):
            if hasattr(self, name):
                getattr(self, name).close()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        if self._context is not None:
            self._context.term()
            self._context = None
            self._wake.close()
        if self._registration is not None:
            self._registration.close()
            self._registration = None

    # --- the bridge thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        poller = zmq.Poller()
        for readable in (self._ctl, self._frm, self._wake.reader):
            poller.register(readable, zmq.POLLIN)
        while not self._closing.is_set():
            # Receipts change in the film's thread without a bell; while some are followed, look often.
            ready = dict(poller.poll(5 if len(self._follower) else 100))
            if self._wake.reader.fileno() in ready:
                self._wake.clear()
            try:
                if self._ctl in ready:
                    self._drain(self._ctl, self._on_ctl, max_bytes=MAX_CTL_BYTES)
                if self._frm in ready:
                    self._drain(self._frm, self._on_frm, max_bytes=MAX_CREDIT_BYTES)
                self._pass_on()
                self._expire()
            except Exception:  # a mistake of ours with one message must not end the show for everybody
                log.exception("the bridge could not handle something; it goes on")
        self._tell(Event(kind="shutdown"))

    def _drain(self, socket: zmq.Socket[Any], handle: Any, *, max_bytes: int) -> None:
        for _ in range(64):  # then frames have a turn
            try:
                message = wire.receive(
                    socket, max_parts=3, max_bytes=max_bytes + 512, with_user=self._allow is not None
                )
            except zmq.Again:
                return
            handle(message)

    def _send(self, peer: bytes, parts: list[bytes]) -> None:
        try:
            self._ctl.send_multipart([peer, *parts], zmq.DONTWAIT)
        except zmq.ZMQError:  # gone, or it does not read: the lease ends it
            log.debug("a client could not be reached")

    def _tell(self, event: Event) -> None:
        parts = wire.encode(event)
        for session in self._sessions.values():
            if session.events & _EVENT_BITS[event.kind]:
                self._send(session.peer, parts)

    # --- ctl -----------------------------------------------------------------------------------------------------

    def _on_ctl(self, message: wire.Received) -> None:
        arrived_ns = steady_ns()
        peer, parts = message.parts[0], message.parts[1:]
        if self._strikes.banned(peer):
            return
        if not message.whole:
            self._strike(peer, 0, Code.TOO_LARGE, f"a message of too many parts or over {MAX_CTL_BYTES} bytes")
            return
        try:
            request = wire.decode(wire.client_messages, parts)
        except Fault as error:
            self._strike(peer, wire.id_of(parts), error.code, str(error))
            return
        session = self._by_peer.get(peer)
        if session is not None:
            session.heard_ns = arrived_ns
        if isinstance(request, Hello):
            self._on_hello(peer, message.user, request, arrived_ns)
        elif session is None:
            stale = isinstance(request, Request) and request.ep != self.epoch
            code = Code.STALE if stale else Code.CLOSED
            text = "this server has no session for you; say hello first"
            self._send(peer, wire.encode(Error(id=getattr(request, "id", 0), code=code, text=text)))
        elif isinstance(request, Ping):
            self._send(peer, wire.encode(Pong(c0=request.c0, s1=arrived_ns, s2=steady_ns())))
        elif isinstance(request, Bye):
            self._forget(session)
        else:
            self._on_request(session, request, arrived_ns)

    def _strike(self, peer: bytes, request: int, code: int, text: str) -> None:
        self._strikes.add(peer)
        self._send(peer, wire.encode(Error(id=request, code=code, text=text)))

    def _on_hello(self, peer: bytes, user: str, hello: Hello, arrived_ns: int) -> None:
        refusal = self._refusal(user, hello)
        if refusal is not None:
            code, text = refusal
            self._send(peer, wire.encode(Reject(code=code, text=text)))
            return
        session = self._sessions.get(hello.resume)
        resumed = session is not None and session.user == user
        if session is None or not resumed:
            config = self.config
            session = Session(
                id=secrets.randbits(62) + 1,
                peer=peer,
                role=hello.role,
                client=hello.client,
                user=user,
                events=hello.events,
                heard_ns=arrived_ns,
                bucket=TokenBucket(rate_hz=config.rate_hz, burst=config.burst),
            )
            self._sessions[session.id] = session
        self._by_peer.pop(session.peer, None)
        session.end_stream()
        session.peer, session.role, session.heard_ns = peer, hello.role, arrived_ns
        self._by_peer[peer] = session
        self._send(peer, wire.encode(self._welcome(session, hello, arrived_ns, resumed)))

    def _refusal(self, user: str, hello: Hello) -> tuple[Code, str] | None:
        if hello.proto_min > PROTO_MAX or hello.proto_max < PROTO_MIN:
            return Code.VERSION, (
                f"the client speaks protocol {hello.proto_min}..{hello.proto_max}, this server "
                f"{PROTO_MIN}..{PROTO_MAX}; update the older of the two"
            )
        granted = self._allow.role(user) if self._allow else auth.role_of_token(hello.token, self.tokens)
        if granted is None:
            return Code.AUTH, "the token is not one of this server's; read its connection file again"
        if not auth.allows(granted, hello.role):
            return Code.DENIED, f"role {hello.role!r} was asked for and {granted!r} is granted; ask for less"
        known = hello.resume in self._sessions
        if len(self._sessions) >= self.config.max_clients and not known:
            return Code.BUSY, f"all {self.config.max_clients} places are taken; try again later"
        return None

    def _welcome(self, session: Session, hello: Hello, arrived_ns: int, resumed: bool) -> Welcome:
        spec, config = self.film.spec, self.config
        rate = Fraction(spec.fps).limit_denominator(1001)
        return Welcome(
            proto=min(hello.proto_max, PROTO_MAX),
            epoch=self.epoch,
            session=session.id,
            role=session.role,
            caps=CAPABILITIES,
            limits=Limits(
                ctl_bytes=MAX_CTL_BYTES,
                prompt_chars=MAX_PROMPT_CHARS,
                rate_hz=config.rate_hz,
                burst=config.burst,
                window=MAX_WINDOW,
            ),
            stream=StreamInfo(
                w=spec.width_px,
                h=spec.height_px,
                fmts=FORMATS if can_pack() else ("rgb8",),
                rate=(rate.numerator, rate.denominator),
                bundle=self.film.bundle[:64],
            ),
            frm_port=int(self.frm.rpartition(":")[2]),
            lease_ms=config.lease_ms,
            c0=hello.c0,
            s1=arrived_ns,
            s2=steady_ns(),
            resumed=resumed,
        )

    def _on_request(self, session: Session, request: Request, arrived_ns: int) -> None:
        answer = session.answers.get(request.id)
        if answer is None:
            wait_ms = session.bucket.take()
            if wait_ms:
                # Not remembered: the same request may come again when it is welcome.
                text = f"more than {self.config.rate_hz} requests a second; wait {wait_ms} ms"
                reply = Error(id=request.id, code=Code.RATE, text=text, retry_ms=wait_ms)
                self._send(session.peer, wire.encode(reply))
                return
            answer = wire.encode(self._answer(session, request, arrived_ns))
            session.remember(request.id, answer)
        self._send(session.peer, answer)

    def _answer(self, session: Session, request: Request, arrived_ns: int) -> Message:
        """Carry out a request; exactly one answer whatever happens."""

        def refuse(code: Code, text: str) -> Error:
            return Error(id=request.id, code=code, text=text)

        age_ms = (arrived_ns - request.ts) / 1e6
        if request.ep != self.epoch:
            return refuse(Code.STALE, "the request was made for a server that has stopped; decide anew")
        if age_ms > request.ttl or age_ms < -1000:
            return refuse(Code.STALE, f"the request is {age_ms:.0f} ms old, its ttl is {request.ttl} ms; decide anew")
        needed: Role | None = NEEDED_ROLE.get(type(request))
        if needed is None or not auth.allows(session.role, needed):
            return refuse(Code.DENIED, f"this needs the role {needed}, the client has {session.role}")
        try:
            if isinstance(request, QueryRequest):
                return Result(id=request.id, status=self._status())
            if isinstance(request, SubscribeRequest):
                return self._subscribe(session, request)
            if isinstance(request, UnsubscribeRequest):
                session.end_stream()
                return Ack(id=request.id)
            receipt = apply(self.film, request)
        except ShotstreamError as error:
            return refuse(Code.INVALID, str(error))
        except Exception as error:
            log.exception("a request failed")
            return refuse(Code.INTERNAL, f"the server failed at it: {type(error).__name__}: {error}")
        if receipt is None:
            return Ack(id=request.id)
        self._follower.add(session=session.id, request=request.id, receipt=receipt, arrived_ns=arrived_ns)
        return Ack(id=request.id, cmd=receipt.id)

    def _status(self) -> Status:
        stats, film = self.film.stats(), self.film
        recent = list(stats.blocks)[-32:]
        work_ms = sum(block.block_ms for block in recent)
        film_ms = sum(block.num_frames for block in recent) / film.spec.fps * 1e3
        waits = self._follower.cut_to_air_ms
        return Status(
            bundle=film.bundle,
            device=film.device,
            uptime_s=round((steady_ns() - self._began_ns) / 1e9, 3),
            frame=stats.frames_delivered - 1,
            shot=film.shot,
            held=film.held,
            fps=round(self._program.fps(), 3),
            rate=film.spec.fps,
            late=self._program.late,
            viewers=tuple(_viewer(session) for session in self._sessions.values()),
            block_ms=round(work_ms / len(recent), 3) if recent else None,
            headroom=round(1 - work_ms / film_ms, 4) if film_ms else None,
            cut_to_air_ms=round(statistics.median(waits), 3) if waits else None,
        )

    def _subscribe(self, session: Session, request: SubscribeRequest) -> Subscribed:
        spec = self.film.spec
        layout = PixelLayout(
            width_px=spec.width_px,
            height_px=spec.height_px,
            format=PixelFormat(request.fmt),
            origin=Origin(request.org),
        )
        if not is_plain(layout) and not can_pack():
            raise ConfigError(
                f"fmt={request.fmt!r} org={request.org!r} needs the compiled module, which this server lacks; "
                "install shotstream there, or take rgb8 with its top row first"
            )
        window = {"latest": 2, "queue": request.n, "lossless": 16}[request.mode]
        spool = max(16, self.config.spool_mb * 2**20 // spec.frame_bytes)
        limit = {"latest": 1, "queue": request.n, "lossless": spool}[request.mode]
        self._streams += 1
        session.end_stream()
        session.layout = layout
        session.outbox = Outbox(request.mode, limit=limit, window=window)
        session.stream, session.after, session.sent_index = self._streams, request.after, request.after
        return Subscribed(
            id=request.id,
            st=self._streams,
            mode=request.mode,
            window=window,
            frame_bytes=layout.size_bytes,
        )

    # --- frm -----------------------------------------------------------------------------------------------------

    def _on_frm(self, message: wire.Received) -> None:
        peer = message.parts[0]
        if self._strikes.banned(peer):
            return
        try:
            credit: Credit = wire.decode(wire.credits, message.parts[1:], limit_bytes=MAX_CREDIT_BYTES)
        except Fault:
            self._strikes.add(peer)
            return
        session = self._sessions.get(credit.s)
        if session is None or session.user != message.user:
            self._strikes.add(peer)
            return
        now_ns = session.heard_ns = steady_ns()
        if credit.rel >= 0:
            # A client cannot have shown a frame in the future, whatever its clock says.
            shown_ns = min(credit.presented, now_ns)
            self._report(self._follower.presented(credit.rel, shown_ns))
        if session.outbox is not None and credit.st == session.stream:
            session.frame_peer = peer
            session.outbox.grant(credit.n)
            session.shown(credit.rel, credit.presented)

    def _pass_on(self) -> None:
        """Move frames from the programme to the clients that have credit, and say what that changed."""
        while self._released:
            released = self._released.popleft()
            self._asked = max(0, self._asked - 1)
            self._follower.released(released.frame, released.due_ns)
            if released.frame.is_cut:
                self._tell(Event(kind="shot_start", frame=released.frame.index, shot=released.frame.shot))
            for session in self._sessions.values():
                if session.outbox is not None and released.frame.index > session.after:
                    session.outbox.offer(released)
        while self._failures:
            self._tell(Event(kind="engine", text=str(self._failures.popleft())))
        for session in self._sessions.values():
            self._pump(session)
        self._report(self._follower.changes())
        self._ask_for_frames()

    def _pump(self, session: Session) -> None:
        while session.outbox is not None and session.frame_peer is not None and session.layout is not None:
            released = session.outbox.take()
            if released is None:
                return
            frame = released.frame
            lost = max(0, frame.index - session.sent_index - 1) if session.sent_index >= 0 else 0
            flags = Flag.SHOT_START if frame.is_cut else Flag(0)
            if frame.index <= session.sent_index:
                flags |= Flag.DISCONTINUITY
            if lost and session.outbox.mode != "latest":
                flags |= Flag.GAP
                if session.events & EventMask.GAP:
                    self._send(session.peer, wire.encode(Event(kind="gap", frame=frame.index, count=lost)))
            header = _header(released, session.layout, stream=session.stream, flags=flags, lost=lost)
            pixels = released.pixels(session.layout)
            try:
                self._frm.send_multipart(
                    [session.frame_peer, *wire.encode(header), pixels],
                    zmq.DONTWAIT,
                    copy=False,
                )
            except zmq.ZMQError:  # gone, or it does not read what it gave credit for
                session.end_stream()
                return
            session.sent_index = frame.index
            session.under_way.append((frame.index, released.due_ns))

    def _report(self, changes: Any) -> None:
        changed: list[tuple[int, State]] = list(changes)
        for session_id, state in changed:
            session = self._sessions.get(session_id)
            if session is not None:
                self._send(session.peer, wire.encode(state))

    def _ask_for_frames(self) -> None:
        """On demand: let one more frame be made when somebody waits for it and nobody would lose one."""
        if self.config.clock != "demand" or self._asked:
            return
        boxes = [session.outbox for session in self._sessions.values() if session.outbox is not None]
        waits = any(box.has_credit and not len(box) for box in boxes)
        if waits and all(box.has_room or box.mode == "latest" for box in boxes):
            self._asked = 1
            self._program.ask()

    def _expire(self) -> None:
        too_old_ns = steady_ns() - self.config.lease_ms * 1_000_000
        for session in [one for one in self._sessions.values() if one.heard_ns < too_old_ns]:
            log.info("client %r was silent for %d ms and is forgotten", session.client, self.config.lease_ms)
            self._forget(session)

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        self._by_peer.pop(session.peer, None)


def _header(released: Released, layout: PixelLayout, *, stream: int, flags: Flag, lost: int) -> FrameHeader:
    frame = released.frame
    return FrameHeader(
        st=stream,
        f=frame.index,
        src=frame.index,
        sh=frame.shot,
        sf=frame.frame_in_shot,
        bl=frame.block,
        rev=frame.revision,
        cmd=max(frame.receipts, default=0),
        fl=int(flags),
        seed=frame.seed,
        pts=round(frame.time_s * 1e9),
        due=released.due_ns,
        gen=round(frame.generated_at * 1e9),
        w=layout.width_px,
        h=layout.height_px,
        str=layout.stride_bytes,
        fmt=layout.format.value,
        org=layout.origin.value,
        cs="rec709" if layout.format is PixelFormat.NV12 else "srgb",
        drop=lost,
    )


def _viewer(session: Session) -> Viewer:
    box = session.outbox
    return Viewer(
        client=session.client,
        role=session.role,
        mode=box.mode if box else "-",
        sent=box.sent if box else 0,
        dropped=box.dropped if box else 0,
        waiting=len(box) if box else 0,
        age_ms=round(statistics.median(session.ages_ms), 3) if session.ages_ms else None,
    )
