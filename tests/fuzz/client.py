"""The client's side: messages, frames and connection files from a server that cannot be trusted."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import zmq

import shotstream as ss
from shotstream.bridge import auth, incoming, wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.faults import Fault
from shotstream.bridge.messages import (
    MAX_CTL_BYTES,
    MAX_HEADER_BYTES,
    Ack,
    Credit,
    Event,
    FrameHeader,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Reject,
    Request,
    ServerMessage,
    StreamInfo,
    Subscribed,
    SubscribeRequest,
    Welcome,
)
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.fuzz import inputs

WIDTH, HEIGHT = 32, 16
SAID: tuple[type[Message], ...] = tuple(
    kind
    for kind in get_args(ServerMessage)
    if kind not in (Welcome, Reject)  # those end a connection, rightly
)


class Parts:
    """A socket that has one message."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = [_Part(part, more=number + 1 < len(parts)) for number, part in enumerate(parts)]

    def recv(self, flags: int, copy: bool) -> _Part:
        if not self._parts:
            raise zmq.Again
        return self._parts.pop(0)


class _Part:
    def __init__(self, data: bytes, *, more: bool) -> None:
        self.bytes, self.buffer, self.more = data, memoryview(data), more

    def __len__(self) -> int:
        return len(self.bytes)


def frame_parts(dice: random.Random, stream: int | None = None) -> list[bytes]:
    """A frame, right or not quite."""
    fields: dict[str, Any] = inputs.fields_of(dice, FrameHeader)
    if dice.random() < 0.8:
        fields |= {"w": WIDTH, "h": HEIGHT, "fmt": "rgb8", "str": 3 * WIDTH, "loc": "inline", "cs": "srgb"}
    fields |= {"st": stream} if stream is not None and dice.random() < 0.9 else {}
    parts = inputs.parts_of(dice, FrameHeader(**fields), [], right=0.6)
    size = dice.choice([WIDTH * HEIGHT * 3] * 6 + [0, 1, WIDTH * HEIGHT * 3 - 1, WIDTH * HEIGHT * 4 + 1])
    return [*parts, bytes(size)] if dice.random() < 0.9 else parts


def frames(seed: int, num: int) -> Counter[str]:
    """Decode ``num`` frames; each is a picture as its header says, or none."""
    dice, seen = random.Random(seed), Counter[str]()
    for number in range(num):
        parts = frame_parts(dice) or [b""]
        try:
            found = wire.receive_frame(Parts(parts), max_bytes=WIDTH * HEIGHT * 4)  # type: ignore[arg-type]
            planes = None
            if found is not None and found[1] is not None:
                planes = incoming._planes(found[0], found[1])
        except Exception as error:
            raise AssertionError(f"frame {number} of seed {seed}: {[part.hex()[:300] for part in parts]}") from error
        if planes is None:
            seen["refused" if found is None or found[1] is not None else "in shared memory"] += 1
        else:
            assert sum(plane.nbytes for plane in planes) <= len(parts[2]) and not planes[0].flags.writeable
            seen["pictures"] += 1
    return seen


def answers(seed: int, num: int) -> Counter[str]:
    """Decode ``num`` messages of a server; each is a message or a fault of ours."""
    dice, seen = random.Random(seed), Counter[str]()
    for number in range(num):
        parts = _said(dice)
        try:
            wire.decode(wire.server_messages, parts)
            seen["messages"] += 1
        except Fault:
            seen["refused"] += 1
        except Exception as error:
            raise AssertionError(f"message {number} of seed {seed}: {[part.hex()[:300] for part in parts]}") from error
    return seen


def _said(dice: random.Random) -> list[bytes]:
    kind = dice.choice(SAID)
    fields = inputs.fields_of(dice, kind)
    fields |= {"code": -99} if "code" in fields else {}  # CLOSED would end the connection, rightly
    fields |= (
        {"id": dice.randint(1000, 2**32 - 1)} if "id" in fields else {}
    )  # and an answer of the wrong kind a stream
    return inputs.parts_of(dice, kind(**fields), [], right=0.5)


def connection_files(seed: int, num: int, folder: Path) -> Counter[str]:
    """Read ``num`` files; each is a connection file or a ``BridgeError``."""
    dice, seen, path = random.Random(seed), Counter[str](), folder / "fuzzed.json"
    whole = (
        b'{"proto": 1, "pid": 12, "epoch": 5, "ctl": "tcp://127.0.0.1:5", "frm": "tcp://127.0.0.1:6", '
        b'"tokens": {"viewer": "00ff", "operator": "ff00"}}'
    )
    path.touch(mode=0o600)
    for number in range(num):
        data = whole if number == 0 else inputs.damaged(dice, whole, [whole])
        data = b"[" * 20_000 if number == 1 else data
        path.write_bytes(data)
        try:
            assert isinstance(auth.read_connection(path), auth.ConnectionFile)
            seen["read"] += 1
        except ss.BridgeError:
            seen["refused"] += 1
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed}: {data[:300]!r}") from error
    assert seen["read"] and seen["refused"]
    return seen


class Liar:
    """A server that greets a client rightly and then sends it ``num`` messages and frames of all kinds."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._context = zmq.Context()
        self._ctl, self._frm = (self._context.socket(zmq.ROUTER) for _ in range(2))
        self._ctl.sndhwm = self._frm.sndhwm = 0  # nothing that was said gets lost
        self.endpoint = f"tcp://127.0.0.1:{self._ctl.bind_to_random_port('tcp://127.0.0.1')}"
        self._frm_port = self._frm.bind_to_random_port("tcp://127.0.0.1")
        self._peers: dict[Any, bytes] = {}
        self._num_said = 0
        self._lies_until, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def lie(self, num: int) -> None:
        """Begin with ``num`` messages, and end with an honest event and frame."""
        self._lies_until = num

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._ctl, self._frm):
            poller.register(socket, zmq.POLLIN)
        while not self._stop.is_set():
            lying = self._num_said < self._lies_until and len(self._peers) == 2
            for socket, _ in poller.poll(0 if lying else 20):
                peer, *parts = socket.recv_multipart()
                self._peers[socket] = peer
                decoder = wire.client_messages if socket is self._ctl else wire.credits
                self._answer(wire.decode(decoder, parts))  # type: ignore[arg-type, type-var]
            if lying:
                self._num_said += 1
                if self._dice.random() < 0.5:
                    self._send(self._ctl, _said(self._dice))
                else:
                    self._send(self._frm, frame_parts(self._dice, stream=1))
                if self._num_said == self._lies_until:
                    self._be_honest()

    def _answer(self, message: Message) -> None:
        now = steady_ns()
        if isinstance(message, Hello):
            limits = Limits(ctl_bytes=65536, prompt_chars=4000, rate_hz=20, burst=40, window=64)
            stream = StreamInfo(w=WIDTH, h=HEIGHT, fmts=("rgb8",), rate=(16, 1), bundle="lies")
            common = {"proto": 1, "epoch": 7, "session": 9, "role": message.role, "caps": (), "lease_ms": 5000}
            times = {"c0": message.c0, "s1": now, "s2": now}
            self._tell(Welcome(**common, **times, limits=limits, stream=stream, frm_port=self._frm_port))  # type: ignore[arg-type]
        elif isinstance(message, Ping):
            self._tell(Pong(c0=message.c0, s1=now, s2=now))
        elif isinstance(message, SubscribeRequest):
            self._tell(Subscribed(id=message.id, st=1, mode=message.mode, window=8, frame_bytes=WIDTH * HEIGHT * 3))
        elif isinstance(message, Request):
            self._tell(Ack(id=message.id))
        elif isinstance(message, Credit) and self._num_said >= self._lies_until > 0:
            self._be_honest()  # again: the client may have been about to subscribe anew because of a lie

    def _be_honest(self) -> None:
        now, zeros = steady_ns(), dict.fromkeys(("src", "sh", "sf", "bl", "rev", "cmd", "fl", "seed", "pts"), 0)
        header = FrameHeader(**zeros, st=1, f=2**40, due=now, gen=now, w=WIDTH, h=HEIGHT, str=3 * WIDTH)  # type: ignore[arg-type]
        self._send(self._frm, [*wire.encode(header), b"\x55" * WIDTH * HEIGHT * 3])
        self._send(self._ctl, wire.encode(Event(kind="beat", name="the last")))

    def _tell(self, message: Message) -> None:
        self._send(self._ctl, wire.encode(message))

    def _send(self, socket: Any, parts: list[bytes]) -> None:
        limit = WIDTH * HEIGHT * 4 + MAX_HEADER_BYTES if socket is self._frm else MAX_CTL_BYTES
        parts = [part[:limit] for part in parts]  # more would end the connection, rightly
        socket.send_multipart([self._peers[socket], *(parts or [b""])])

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        self._context.destroy(linger=0)


def lied_to(seed: int, num: int) -> dict[str, int]:
    """A real client under ``num`` messages of a liar, over sockets: it goes on, and believes what is honest."""
    liar, got = Liar(seed), 0
    client = ss.connect(liar.endpoint, token="x", role="viewer", timeout=PATIENCE_S)
    try:
        stream = client.open_stream(mode="queue", location="inline")
        wait_until(lambda: stream._id is not None)
        liar.lie(num)
        end = time.monotonic() + 4 * PATIENCE_S
        honest = False
        while not honest:
            assert time.monotonic() < end and liar.is_alive, (client.error, got, liar._num_said)
            stream.release()
            if stream.ready:
                frame = stream.take()
                got += 1
                honest = frame.source == 0 and bool((frame.image == 0x55).all())
            else:
                time.sleep(0.001)
        wait_until(lambda: any(event.name == "the last" for event in client.events()))
        client.clear()
        assert client.connected  # perhaps anew: one message in thousands is changed into a refusal that stands
    finally:
        client.close()
        liar.close()
    return {"messages": num, "frames taken": got}
