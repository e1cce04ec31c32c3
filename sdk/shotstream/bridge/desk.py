"""The desk: what clients say on ``ctl`` and what they are told. Each request gets exactly one answer.

What a request does stands in tables that the parts of the server bring along (``tasks``), so that a new kind of
request needs no change here. Runs in the bridge thread; only the results of slow requests come from elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Union

from ..errors import ShotstreamError
from ..film import Film
from ..receipts import Receipt
from ..story.fired import BeatRefused
from ..story.limits import MAX_PROMPT_CHARS, printable
from . import auth, wire
from .beat_receipt import BeatReceipt
from .clock import steady_ns
from .config import ServerConfig
from .faults import BadField, Code, Fault, TooLarge, UnknownType
from .follower import Follower
from .messages import (
    CAPABILITIES,
    FORMATS,
    MAX_CTL_BYTES,
    MAX_WINDOW,
    PROTO_MAX,
    PROTO_MIN,
    Ack,
    Bye,
    Chunk,
    Error,
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
    StreamInfo,
    Subject,
    Welcome,
)
from .packing import can_pack
from .sessions import CHUNKS_HZ, Clients, Session, Strikes, TokenBucket

log = logging.getLogger("shotstream.bridge")

Answer = Union[Message, Receipt, BeatReceipt, None]  # noqa: UP007  (evaluated at run time, also on Python 3.10)
"""What a request comes to: the message to send, or an ``ack``; the states of a receipt are told as they come."""


@dataclass(frozen=True)
class Task:
    """What a kind of request does, and the least role that may ask for it.

    ``do`` gets the client and the request, in the bridge thread, and must not wait: what takes longer is handed back as
    a future, and answered when that is done. A ``ShotstreamError`` refuses the request. ``is_chunk`` says that there
    are many in a row, which have a rate of their own.
    """

    role: Role
    do: Callable[[Session, Any], Answer | Future[Answer]]
    is_chunk: bool = False


Tasks = Mapping[type[Request], Task]
Subjects = Mapping[Subject, Callable[[Session], Any]]
"""What ``query`` may ask for, and what it gets for a client, at once or as a future."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    session: Session
    request: Request
    arrived_ns: int


class Desk:
    """Hellos and requests of all clients.

    Args:
        send: sends a message to a peer, or drops it when the peer is gone.
        ring: makes the bridge thread call ``settle`` soon; called from any thread.
        allow: the clients' keys, for a server that other machines reach.
    """

    def __init__(
        self,
        film: Film,
        config: ServerConfig,
        *,
        epoch: int,
        clients: Clients,
        follower: Follower,
        tasks: Tasks,
        subjects: Subjects,
        send: Callable[[bytes, Message], None],
        ring: Callable[[], None],
        allow: auth.AllowList | None = None,
    ) -> None:
        self._film, self._config, self._epoch = film, config, epoch
        self._clients, self._follower = clients, follower
        self._tasks: dict[type[Request], Task] = {**tasks, QueryRequest: Task("viewer", self._query)}
        self._subjects = subjects
        self._send, self._ring, self._allow = send, ring, allow
        self._done: deque[tuple[_Asked, Future[Answer]]] = deque()
        self.strikes = Strikes()
        self.tokens = auth.new_tokens()
        self.frm_port = 0
        """Of the socket for frames, once the server listens."""

    def on_message(self, message: wire.Received) -> None:
        """A message came on ``ctl``."""
        arrived_ns = steady_ns()
        peer, parts = message.parts[0], message.parts[1:]
        if self.strikes.banned(message.sender):
            return
        if not message.whole:
            self.strikes.add(message.sender)
            text = f"a message of too many parts or over {MAX_CTL_BYTES} bytes"
            self._send(peer, Error(id=0, code=Code.TOO_LARGE, text=text))
            return
        session = self._clients.of_peer(peer)
        try:
            request = wire.decode(wire.client_messages, parts)
        except Fault as error:
            # A client that is in may be newer than we are, or hand on what somebody typed: that is no attack, while it
            # keeps to its rate.
            if not isinstance(error, (BadField, UnknownType)) or session is None or session.bucket.take():
                self.strikes.add(message.sender)
            self._send(peer, Error(id=wire.id_of(parts), code=error.code, text=str(error)))
            return
        if session is not None:
            session.heard_ns = arrived_ns
        if isinstance(request, Hello):
            self._on_hello(message, request, arrived_ns)
        elif session is None:
            stale = isinstance(request, Request) and request.ep != self._epoch
            code = Code.STALE if stale else Code.CLOSED
            text = "this server has no session for you; say hello first"
            self._send(peer, Error(id=getattr(request, "id", 0), code=code, text=text))
        elif isinstance(request, Ping):
            self._send(peer, Pong(c0=request.c0, s1=arrived_ns, s2=steady_ns()))
        elif isinstance(request, Bye):
            self._clients.forget(session)
        else:
            self._on_request(_Asked(session=session, request=request, arrived_ns=arrived_ns))

    def revoke(self) -> None:
        """Turn out the clients whose key has been taken off the list, or moved to a lesser role."""
        if self._allow is None:
            return
        roles = self._allow.roles()
        for session in self._clients:
            granted = roles.get(session.user)
            if granted is None or not auth.allows(granted, session.role):
                log.warning("the key of client %r was revoked", session.client)
                self._clients.forget(session)
                self._send(session.peer, Reject(code=Code.AUTH, text="this key was taken off the allow-list"))

    # --- hello ---------------------------------------------------------------------------------------------------

    def _on_hello(self, message: wire.Received, hello: Hello, arrived_ns: int) -> None:
        peer, user = message.parts[0], message.user
        refusal = self._refusal(peer, user, hello)
        if refusal is not None:
            code, text = refusal
            self._send(peer, Reject(code=code, text=text))
            return
        session = self._clients.by_id.get(hello.resume)
        resumed = session is not None and session.user == user
        if session is None or not resumed:
            config = self._config
            session = Session(
                id=secrets.randbits(62) + 1,
                peer=peer,
                role=hello.role,
                client=printable(hello.client),  # it is shown on the operator's terminal
                user=user,
                events=hello.events,
                heard_ns=arrived_ns,
                bucket=TokenBucket(rate_hz=config.rate_hz, burst=config.burst),
            )
        before = self._clients.of_peer(peer)
        if before is not None and before is not session:  # a peer that begins anew needs no second place
            self._clients.forget(before)
        session.end_stream()
        session.role, session.heard_ns, session.on_disconnect = hello.role, arrived_ns, hello.on_disconnect
        session.is_local, session.events = auth.is_loopback(message.address), hello.events
        self._clients.add(session, peer)
        self._send(peer, self._welcome(session, hello, arrived_ns, resumed))

    def _refusal(self, peer: bytes, user: str, hello: Hello) -> tuple[Code, str] | None:
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
        if hello.on_disconnect == "hold" and not auth.allows(hello.role, "operator"):
            return Code.DENIED, f"a hold at the loss of a client needs the role operator, it has {hello.role}"
        known = hello.resume in self._clients.by_id or self._clients.of_peer(peer) is not None
        if len(self._clients.by_id) >= self._config.max_clients and not known:
            return Code.BUSY, f"all {self._config.max_clients} places are taken; try again later"
        return None

    def _welcome(self, session: Session, hello: Hello, arrived_ns: int, resumed: bool) -> Welcome:
        spec, config = self._film.spec, self._config
        rate = Fraction(spec.fps).limit_denominator(1001)
        return Welcome(
            proto=min(hello.proto_max, PROTO_MAX),
            epoch=self._epoch,
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
                bundle=self._film.bundle[:64],
            ),
            frm_port=self.frm_port,
            lease_ms=config.lease_ms,
            c0=hello.c0,
            s1=arrived_ns,
            s2=steady_ns(),
            resumed=resumed,
        )

    # --- requests ------------------------------------------------------------------------------------------------

    def _on_request(self, asked: _Asked) -> None:
        session, request = asked.session, asked.request
        answer = session.answers.get(request.id)
        if answer is not None:
            self._send(session.peer, answer)
        elif request.id not in session.pending:  # one that is being worked on is answered when that is done
            task = self._tasks.get(type(request))
            is_chunk = task is not None and task.is_chunk
            wait_ms = (session.chunks if is_chunk else session.bucket).take()
            if wait_ms:
                # Not remembered: the same request may come again when it is welcome.
                rate = CHUNKS_HZ if is_chunk else self._config.rate_hz
                text = f"more than {rate} requests a second; wait {wait_ms} ms"
                self._send(session.peer, Error(id=request.id, code=Code.RATE, text=text, retry_ms=wait_ms))
                return
            self._begin(asked)

    def _begin(self, asked: _Asked) -> None:
        """Carry out a request, or begin to."""
        refusal = self._why_not(asked)
        if refusal is not None:
            self._answer(asked, refusal)
            return
        session, request = asked.session, asked.request
        try:
            result = self._tasks[type(request)].do(session, request)
        except Exception as error:
            self._answer(asked, _error(request, error))
            return
        if isinstance(result, Future):
            session.pending.add(request.id)
            self._await(asked, result)
        else:
            self._finish(asked, result)

    def _why_not(self, asked: _Asked) -> Error | None:
        request, session = asked.request, asked.session
        age_ms = (asked.arrived_ns - request.ts) / 1e6
        task = self._tasks.get(type(request))
        if request.ep != self._epoch:
            code, text = Code.STALE, "the request was made for a server that has stopped; decide anew"
        elif age_ms > request.ttl or age_ms < -1000:
            code = Code.STALE
            text = f"the request is {age_ms:.0f} ms old, its ttl is {request.ttl} ms; decide anew"
        elif task is None:
            code, text = Code.INVALID, f"this server has no {type(request).__name__.removesuffix('Request').lower()}"
        elif not auth.allows(session.role, task.role):
            code, text = Code.DENIED, f"this needs the role {task.role}, the client has {session.role}"
        else:
            return None
        return Error(id=request.id, code=code, text=text)

    def _await(self, asked: _Asked, future: Future[Answer]) -> None:
        def on_done(done: Future[Answer]) -> None:
            self._done.append((asked, done))
            self._ring()

        future.add_done_callback(on_done)

    def settle(self) -> None:
        """Answer the slow requests that are done by now."""
        while self._done:
            asked, future = self._done.popleft()
            try:
                result = future.result(0)
            except Exception as error:
                asked.session.pending.discard(asked.request.id)
                self._answer(asked, _error(asked.request, error))
                continue
            if isinstance(result, Future):  # the worker handed on a task that takes longer still
                self._await(asked, result)
                continue
            asked.session.pending.discard(asked.request.id)
            self._finish(asked, result)

    def _finish(self, asked: _Asked, result: Answer) -> None:
        number = asked.request.id
        if isinstance(result, (Receipt, BeatReceipt)):
            self._follower.add(session=asked.session.id, request=number, receipt=result, arrived_ns=asked.arrived_ns)
            result = Ack(id=number, cmd=result.id)
        self._answer(asked, Ack(id=number) if result is None else result)

    def _answer(self, asked: _Asked, answer: Message) -> None:
        if not isinstance(answer, Chunk):  # large, and good for asking again
            asked.session.remember(asked.request.id, answer)
        if asked.session.id in self._clients.by_id:
            self._send(asked.session.peer, answer)

    def _query(self, session: Session, request: QueryRequest) -> Result | Future[Answer]:
        found = {subject: self._subjects[subject](session) for subject in request.what if subject in self._subjects}
        late = {subject: value for subject, value in found.items() if isinstance(value, Future)}
        if not late:
            return _result(request, found)
        answer: Future[Answer] = Future()

        def on_done(done: Future[Any]) -> None:
            if all(future.done() for future in late.values()):
                with contextlib.suppress(InvalidStateError):  # two were the last at the same time
                    try:
                        values = {subject: future.result(0) for subject, future in late.items()}
                        answer.set_result(_result(request, {**found, **values}))
                    except Exception as error:
                        answer.set_exception(error)

        for future in late.values():
            future.add_done_callback(on_done)
        return answer


def _result(request: QueryRequest, found: Mapping[Subject, Any]) -> Result:
    result = Result(id=request.id, **{str(subject): value for subject, value in found.items()})
    size = len(wire.encode(result)[1])
    if size > MAX_CTL_BYTES:
        raise TooLarge(f"the answer has {size} bytes; at most {MAX_CTL_BYTES} fit; ask for less at once")
    return result


def _error(request: Request, error: Exception) -> Error:
    """What is told of a request that failed; an error of ours is logged as well."""
    if isinstance(error, Fault):
        return Error(id=request.id, code=error.code, text=str(error), retry_ms=error.retry_ms)
    if isinstance(error, BeatRefused):
        code = Code.DENIED if error.denied else Code.INVALID
        return Error(id=request.id, code=code, text=str(error), retry_ms=math.ceil(error.retry_s * 1e3))
    if isinstance(error, ShotstreamError):
        return Error(id=request.id, code=Code.INVALID, text=str(error))
    log.error("a request failed", exc_info=error)
    text = f"the server failed at it: {type(error).__name__}: {error}"
    return Error(id=request.id, code=Code.INTERNAL, text=text)
