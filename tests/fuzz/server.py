"""The server's side under fuzzed messages, in process and without sockets, against a plain account of what is owed.

Owed to a message: exactly one answer with its id, and one that the schema knows; none to ``bye``, none to a peer that
is not listened to, and one later where the work takes longer. Nothing may be raised, and tables may not grow.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from typing import Any

import psutil

import shotstream as ss
from shotstream.bridge import wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.config import ServerConfig
from shotstream.bridge.faults import Code, Fault
from shotstream.bridge.messages import (
    MAX_CREDIT_BYTES,
    MAX_CTL_BYTES,
    ROLES,
    BeatRequest,
    Bye,
    Credit,
    Error,
    Event,
    Hello,
    Message,
    Ping,
    Pong,
    Reject,
    Request,
    State,
    Subscribed,
    VarRequest,
    Welcome,
)
from shotstream.bridge.server import Server
from shotstream.story.beat_files import parse_beats
from shotstream.testing import FakeEngine
from tests.fuzz import inputs
from tests.story.test_beats import BOOK

NUM_PEERS = 40
SPEC = ss.VideoSpec(width_px=32, height_px=32, fps=200)


class Deaf(Server):
    """A server whose sockets are lists: what it would have sent to whom."""

    def __init__(self) -> None:
        engine = FakeEngine(SPEC)
        engine.calls, engine.plans = deque(maxlen=8), deque(maxlen=8)  # type: ignore[assignment]
        self.answers: list[tuple[bytes, Message]] = []
        self.frames = 0
        super().__init__(
            ss.open("test-chart", engine=engine),
            ServerConfig(max_clients=NUM_PEERS, rate_hz=10_000, burst=10_000),
            book=parse_beats(BOOK, "beats.yaml").book,
        )
        self._program.start()

    def _send(self, peer: bytes, message: Message) -> None:
        self.answers.append((peer, message))

    def _send_frame(self, peer: bytes, header: Any, pixels: Any) -> None:
        wire.decode(wire.frame_headers, wire.encode(header))
        self.frames += 1

    def turn(self) -> None:
        """What the bridge's thread does between messages."""
        self._desk.settle()
        self._pass_on()
        self._expire()

    def close(self) -> None:
        self._worker.close()
        self.film.close()
        self._program.close()
        self._packer.close()


class Fuzzer:
    """``run`` sends ``num`` messages and returns figures. Raises AssertionError at the first that is not treated right;
    the text has the seed, the number and the bytes."""

    def __init__(self, seed: int) -> None:
        self.seed, self.dice, self.server = seed, random.Random(seed), Deaf()
        self.sent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self._peers = [self._new_peer() for _ in range(NUM_PEERS)]
        self._num_ids = 0
        self._recent: deque[bytes] = deque(maxlen=32)

    def _new_peer(self) -> bytes:
        return self.dice.randbytes(5)

    def run(self, num: int) -> dict[str, Any]:
        process, began = psutil.Process(), time.monotonic()
        warm_mb = 0.0
        try:
            for number in range(num):
                self._one(number)
                if number == num // 5:
                    warm_mb = process.memory_info().rss / 2**20
            self._settle_all()
            self._check_tables()
            end_mb = process.memory_info().rss / 2**20
        finally:
            self.server.close()
        return {
            "seed": self.seed,
            "messages": num,
            "seconds": round(time.monotonic() - began, 1),
            "sent": dict(self.sent.most_common()),
            "answers": dict(self.got.most_common()),
            "frames": self.server.frames,
            "rejected": self.server._desk.strikes.num_rejected,
            "rss_mb": {"after a fifth": round(warm_mb, 1), "at the end": round(end_mb, 1)},
        }

    # --- one message ---------------------------------------------------------------------------------------------

    def _one(self, number: int) -> None:
        dice, server = self.dice, self.server
        at = dice.randrange(NUM_PEERS)
        peer = self._peers[at]
        try:
            if dice.random() < 0.1:
                self._credit(peer)
            else:
                # Some peers are mostly right, and get further than the others.
                right = 0.97 if at % 2 else 0.3
                parts = inputs.parts_of(dice, self._message(peer), self._recent, right=right)
                self._send(peer, parts)
            if number % 16 == 0:
                server.turn()
            self._take_answers()
        except Exception as error:
            shown = self._recent[-1].hex()[:400] if self._recent else ""
            raise AssertionError(
                f"seed {self.seed}, message {number}, {shown}: {type(error).__name__}: {error}"
            ) from error
        if peer in server._desk.strikes._banned_until:
            assert self._owed(peer, [wire.MAGIC, b""], whole=True) == 0
            self._peers[at] = self._new_peer()

    def _message(self, peer: bytes) -> Message:
        dice, server = self.dice, self.server
        session = server.clients.of_peer(peer)
        if session is None or dice.random() < 0.01:
            hello: dict[str, Any] = {**inputs.fields_of(dice, Hello), "proto_min": 1, "proto_max": 1}
            role = dice.choice(ROLES)
            hello |= {"role": role, "token": server.tokens[role]} if dice.random() < 0.95 else {}
            if dice.random() < 0.3 and len(server.clients):
                hello["resume"] = dice.choice(list(server.clients.by_id))
            return Hello(**hello)
        kind = dice.choice(inputs.KINDS)
        if kind is Bye and dice.random() < 0.9:
            kind = Ping
        fields = inputs.fields_of(dice, kind)
        if issubclass(kind, Request):
            self._num_ids += 1
            fields |= {"id": self._num_ids if dice.random() < 0.9 else dice.randint(1, self._num_ids)}
            if dice.random() < 0.9:
                fields |= {"ep": server.epoch, "ts": steady_ns(), "ttl": 2000}
        if kind is BeatRequest and dice.random() < 0.8:
            fields |= {"name": dice.choice(["walk", "low", "high", "danger", "rest", "sit"])}
            fields |= {"params": {"place": "x" * dice.randrange(30), "speed": dice.choice(inputs.FLOATS[:3])}}
        if kind is VarRequest and dice.random() < 0.8:
            fields |= {"set": {"weather": "rain", "threat": dice.random()}}
        return kind(**fields)

    def _owed(self, peer: bytes, parts: list[bytes], *, whole: bool) -> int | None:
        """Answers to a message; None when there is to be one, now or later."""
        server = self.server
        until = server._desk.strikes._banned_until.get(peer)
        if until is not None and steady_ns() < until:
            return 0
        if not whole:
            return 1
        try:
            message = wire.decode(wire.client_messages, parts)
        except Fault:
            return 1
        session = server.clients.of_peer(peer)
        if session is None or not isinstance(message, (Bye, Request)):
            return 1
        if isinstance(message, Bye):
            return 0
        if message.id in session.answers:
            return 1
        return 0 if message.id in session.pending else None

    def _send(self, peer: bytes, parts: list[bytes]) -> None:
        # As wire.receive has it: no more than two parts beside the address, within the limit.
        whole = len(parts) <= 2 and sum(map(len, parts)) <= MAX_CTL_BYTES + 512
        self._recent.append(parts[1] if len(parts) > 1 else b"")
        owed = self._owed(peer, parts, whole=whole)
        session = self.server.clients.of_peer(peer)
        pending = set(session.pending) if session is not None else set()
        self._take_answers()
        message = wire.Received([peer, *parts] if whole else [peer], whole, "", "127.0.0.1")
        self.server._desk.on_message(message)
        told = [answer for to, answer in self.server.answers if to == peer and not isinstance(answer, (State, Event))]
        number = wire.id_of(parts) if len(parts) == 2 else 0
        if owed is None and session is not None and number in session.pending - pending:
            owed = 0
        assert len(told) == (1 if owed is None else owed), f"{owed} answers are owed, these came: {told}"
        for answer in told:
            assert not isinstance(answer, Error) or answer.code != Code.INTERNAL, answer
            if not isinstance(answer, (Welcome, Reject, Pong)):
                assert answer.id in (number, 0), (answer, number)  # type: ignore[attr-defined]
            self.sent[
                "readable" if not isinstance(answer, Error) or answer.code != Code.PROTOCOL else "unreadable"
            ] += 1
        if not told:
            self.sent["answered later, or not owed an answer"] += 1

    def _credit(self, peer: bytes) -> None:
        dice, server = self.dice, self.server
        sessions = list(server.clients)
        fields: dict[str, Any] = inputs.fields_of(dice, Credit)
        if sessions and dice.random() < 0.9:
            session = dice.choice(sessions)
            fields |= {"s": session.id, "st": session.stream}
        parts = inputs.parts_of(dice, Credit(**fields), self._recent, right=0.7)
        self._recent.append(parts[1] if len(parts) > 1 else b"")
        whole = len(parts) <= 2 and sum(map(len, parts)) <= MAX_CREDIT_BYTES + 512
        rejected = server._desk.strikes.num_rejected
        server._on_frm(wire.Received([peer, *parts] if whole else [peer], whole, "", "127.0.0.1"))
        self.sent["credit, rejected" if server._desk.strikes.num_rejected > rejected else "credit"] += 1

    def _take_answers(self) -> None:
        """Everything that was said is what the schema knows, and small enough to be received."""
        for _, answer in self.server.answers:
            parts = wire.encode(answer)
            assert len(parts[1]) <= MAX_CTL_BYTES and wire.decode(wire.server_messages, parts) == answer
            self.got[type(answer).__name__] += 1
            if isinstance(answer, Subscribed):
                assert answer.window > 0
        self.server.answers.clear()

    # --- the end -------------------------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        """The slow requests of clients that are still here are answered too."""
        end = time.monotonic() + 30
        while any(session.pending for session in self.server.clients):
            assert time.monotonic() < end, "a slow request is never answered"
            self.server.turn()
            self._take_answers()
            time.sleep(0.01)

    def _check_tables(self) -> None:
        server = self.server
        assert len(server.clients) <= NUM_PEERS
        assert len(server.clients._by_peer) == len(server.clients)
        strikes = server._desk.strikes
        assert len(strikes._strikes) <= 1024 and len(strikes._banned_until) <= 1024
        assert all(len(session.answers) <= 256 for session in server.clients)
        assert len(server._follower) <= 1024 and not server._program.late < 0
        peer = self._new_peer()
        server._desk.on_message(
            wire.Received(
                [peer, *wire.encode(Hello(proto_min=1, proto_max=1, token=server.tokens["viewer"]))], True, "", ""
            )
        )
        assert isinstance(server.answers[-1][1], (Welcome, Reject)), "the server is alive"
