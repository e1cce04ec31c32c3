"""The GDScript client in headless Godot 3 against servers that mean harm: it goes on, and its memory stays small."""

import contextlib
import hashlib
import socket
import struct
import threading

import msgspec
import pytest
import zmq

from shotstream.bridge import wire
from shotstream.bridge.faults import Code
from shotstream.bridge.messages import MAX_CHUNK_BYTES
from tests.bridge.godot_process import MISSING, PATIENCE_S, PROGRAM
from tests.bridge.waiting import wait_until
from tests.golden.bridge.__main__ import EXAMPLES

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

MOST_BYTES = 64 * 2**20
"""What a hostile server may make the client hold, above what it needs anyway."""

# --- bytes that are not ZeroMQ's ---------------------------------------------------------------------------------

# --- a server that means harm ------------------------------------------------------------------------------------

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"


def part(data, *, more=False, size=None):
    size = len(data) if size is None else size
    return struct.pack(">BQ", 2 | more, size) + data


def message(header):
    return part(b"SSB1", more=True) + part(header)


ATTACKS = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40,
    "old greeting": b"\xff" + bytes(8) + b"\x7f\x01" + bytes(64),
    "curve": GREETING[:12] + b"CURVE" + bytes(47),
    "huge part": GREETING + READY + struct.pack(">BQ", 2, 2**62),
    "negative part": GREETING + READY + struct.pack(">BQ", 2, 2**64 - 1),
    "part before ready": GREETING + message(b"\x80"),
    "unknown flags": GREETING + READY + b"\xf8\x01x",
    "endless parts": GREETING + READY + part(b"x", more=True) * 200_000,
    "long command": GREETING + struct.pack(">BQ", 6, 2**40),
    "empty command": GREETING + b"\x04\x00",
    "command name beyond its end": GREETING + b"\x04\x02\xffR",
    "no msgpack": GREETING + READY + message(b"\xc1" * 60000) * 100,
    "deep": GREETING + READY + message(b"\x91" * 60000) * 50,
    "wide": GREETING + READY + message(b"\xdd\xff\xff\xff\xff" + b"\xc0" * 60000) * 50,
    "empty welcome": GREETING + READY + message(b"\x81\xa1t\xa7welcome"),
    "text that is no utf-8": GREETING + READY + message(b"\x81\xa1t\xa4\xff\xfe\xfd\xfc") * 20,
}


class Hostile:
    """Answers every connection with the same bytes, as often as the client comes."""

    def __init__(self, attack):
        self._attack = attack
        self._door = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self.visits = 0
        self._open = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._door.accept()
                self.visits += 1
                self._open.append(visitor)
                visitor.settimeout(PATIENCE_S)
                with contextlib.suppress(OSError):
                    visitor.sendall(self._attack)

    def close(self):
        for visitor in self._open:
            visitor.close()
        self._door.close()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_hostile_server_neither_hangs_the_client_nor_fills_its_memory(godot, ends, attack):
    server = ends.enter_context(contextlib.closing(Hostile(attack)))
    client = godot(link={"endpoint": server.endpoint})
    before = client.resident_bytes()
    client.event("error", id=0)
    client.wait(lambda: server.visits >= 2, "second attempt")
    assert client.call("is_up") is False  # it still answers
    assert client.resident_bytes() - before < MOST_BYTES


# --- ZeroMQ that lies --------------------------------------------------------------------------------------------

PICTURE = bytes(64 * 64 * 4)


class Liar:
    """Says hello as a server does, with ``welcome`` put over its words, then ``lies`` (messages as maps), and on the
    first credit sends ``frames``: (fields put over a frame's header, pixels). ``chunk`` is put over its chunks."""

    save = bytes(range(251)) * 600

    def __init__(self, welcome=None, lies=(), frames=(), chunk=None):
        self._welcome, self._lies, self._frames = welcome or {}, lies, frames
        self._context = zmq.Context()
        self._ctl, self._frm = self._context.socket(zmq.ROUTER), self._context.socket(zmq.ROUTER)
        self._ctl.linger = self._frm.linger = 0
        self.endpoint = f"tcp://127.0.0.1:{self._ctl.bind_to_random_port('tcp://127.0.0.1')}"
        self._frm_port = self._frm.bind_to_random_port("tcp://127.0.0.1")
        self._chunk, self._pieces, self.uploaded = chunk or {}, 0, b""
        self.hellos = self.frames_sent = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        poller = zmq.Poller()
        poller.register(self._ctl, zmq.POLLIN)
        poller.register(self._frm, zmq.POLLIN)
        while not self._ending.is_set():
            for ready, _ in poller.poll(50):
                peer, _, header = ready.recv_multipart()
                self._answer(peer, msgspec.msgpack.decode(header))

    def _answer(self, peer, said):
        if said["t"] == "hello":
            self.hellos += 1
            stream = {"w": 64, "h": 64, "fmts": ["rgba8"], "rate": [16, 1], "bundle": "liar"}
            self._say(peer, {**plain("welcome"), "frm_port": self._frm_port, "stream": stream, **self._welcome})
            for lie in self._lies:
                self._say(peer, lie)
        elif said["t"] == "ping":
            self._say(peer, {"t": "pong", "c0": said["c0"], "s1": 0, "s2": 0})
        elif said["t"] == "subscribe":
            self._say(peer, {**plain("subscribed"), "id": said["id"], "mode": "lossless", "window": 2})
        elif said["t"] in ("download", "upload"):
            self._say(peer, self._piece(said))
        elif said["t"] == "query":
            self._say(peer, {"t": "ack", "id": said["id"]})
        elif said["t"] == "c":
            frames, self._frames = self._frames, ()
            for index, (fields, pixels) in enumerate(frames):
                header = {**plain("frame"), "f": index, "fmt": "rgba8", "w": 64, "h": 64, "str": 256, **fields}
                with contextlib.suppress(zmq.ZMQError):
                    self._frm.send_multipart([peer, wire.MAGIC, msgspec.msgpack.encode(header), pixels])
                self.frames_sent += 1

    def _piece(self, said):
        """Every second request for a piece comes too soon."""
        self._pieces += 1
        if self._pieces % 2 == 0:
            return {"t": "error", "id": said["id"], "code": int(Code.RATE), "text": "too fast", "retry_ms": 5}
        offset = said["offset"]
        if said["t"] == "download":
            piece = self.save[offset : offset + MAX_CHUNK_BYTES]
            return {**plain("chunk"), "id": said["id"], "offset": offset, "total": len(self.save), "data": piece,
                    **self._chunk}  # fmt: skip
        assert offset == len(self.uploaded)
        self.uploaded += said["data"]
        if len(self.uploaded) < said["total"]:
            return {"t": "ack", "id": said["id"]}
        return {**plain("saved"), "id": said["id"]}

    def _say(self, peer, message):
        self._ctl.send_multipart([peer, wire.MAGIC, msgspec.msgpack.encode(message)])

    def close(self):
        self._ending.set()
        self._thread.join()
        self._context.destroy(linger=0)


def plain(name):
    """A recorded message as a map."""
    return msgspec.to_builtins(EXAMPLES[name])


@pytest.fixture
def lie(ends, godot):
    """A client of a liar that has heard all lies: ``lie(...)`` gives (client, liar)."""

    def start(presents=True, **lies):
        liar = ends.enter_context(contextlib.closing(Liar(**lies)))
        return godot(client={"mode": "lossless"}, link={"endpoint": liar.endpoint}, presents=presents), liar

    return start


@pytest.mark.parametrize(
    ("welcome", "code"),
    [
        ({"stream": {"w": 65535, "h": 65535}}, Code.TOO_LARGE),
        ({"stream": {"w": 8192, "h": 8192}}, Code.TOO_LARGE),
        ({"stream": {"w": 0, "h": 64}}, Code.TOO_LARGE),
        ({"stream": {"w": "64", "h": 64}}, Code.PROTOCOL),
        ({"stream": {}}, Code.PROTOCOL),
        ({"frm_port": 70000}, Code.PROTOCOL),
        ({"frm_port": "x"}, Code.CONNECT),
        ({"epoch": None}, Code.CONNECT),
    ],
)
def test_a_welcome_that_cannot_be_is_refused(lie, welcome, code):
    client, _ = lie(welcome=welcome)
    client.event("error", id=0, code=int(code))
    assert client.call("is_up") is False


def test_messages_of_the_wrong_types_are_passed_over(lie):
    lies = [
        {"t": "ack", "id": "1"},
        {"t": "ack", "id": 4_000_000_000, "cmd": []},
        {"t": "state", "id": 1, "cmd": 1, "state": {"x": 1}},
        {"t": "state", "id": 1, "cmd": 1, "state": "queued", "lat": [1]},
        {"t": "event"},
        {"t": "event", "kind": 5},
        {"t": "error", "id": None, "code": "x", "text": 5},
        {"t": "pong", "c0": "now"},
        {"t": "subscribed", "id": 1, "st": -1, "mode": "latest", "window": "all", "frame_bytes": 0},
        {"t": "welcome"},
        {"t": "no such"},
        {"t": []},
        {},
    ]
    client, _ = lie(lies=lies)
    client.event("connected")
    asked = client.call("query", ["status"])
    client.event("answered", id=asked)
    assert client.events == []


def test_what_a_server_says_by_itself_reaches_the_game(lie):
    """Not a lie; recorded words that no other test makes a server say."""
    said = [plain("event_beat"), plain("event"), {"t": "event", "kind": "engine", "text": "out of memory"}]
    client, _ = lie(lies=[*said, {"t": "event", "kind": "shutdown"}, {"t": "event", "kind": "news of a later version"}])
    assert client.event("beat") == {"kind": "beat", "name": "boss_reveal", "state": "running"}
    gap = client.event("notice", about="gap")["event"]
    assert (gap["frame"], gap["count"]) == (21, 3)
    assert client.event("error")["text"] == "out of memory"
    client.event("notice", about="shutdown")


def test_a_save_file_of_several_pieces_goes_both_ways_at_the_servers_pace(lie):
    client, liar = lie()
    client.event("connected")
    number = client.call("download", "here")
    assert client.call("download", "there") == 0  # one at a time
    loaded = client.event("answered", id=number)["answer"]
    assert loaded["data"] == hashlib.sha256(liar.save).hexdigest() and len(liar.save) > 3 * MAX_CHUNK_BYTES
    client.event("answered", id=client.call("upload", "here", "@kept"))
    assert liar.uploaded == liar.save


@pytest.mark.parametrize(
    "chunk",
    [{"offset": 1}, {"total": 2**32 - 1}, {"total": 1}, {"data": b""}, {"data": "text"}, {"t": "ack"}, {"data": None}],
)
def test_a_save_file_that_cannot_be_is_refused(lie, chunk):
    client, _ = lie(chunk=chunk)
    client.event("connected")
    number = client.call("download", "here")
    client.event("error", id=number, code=int(Code.PROTOCOL))
    assert client.call("download", "here") != 0  # another may begin


def test_a_clock_beyond_all_bounds_is_survived(lie):
    client, _ = lie(lies=[{"t": "pong", "c0": -(2**63), "s1": 2**63 - 1, "s2": -(2**63)}] * 20)
    client.event("connected")
    asked = client.call("query", ["status"])
    client.event("answered", id=asked)


@pytest.mark.parametrize(
    ("fields", "pixels"),
    [
        ({"w": 65535, "h": 65535}, PICTURE),
        ({"w": 0, "h": 0, "str": 0}, b""),
        ({"str": 512}, PICTURE),
        ({"fmt": "nv12"}, PICTURE),
        ({"loc": "shm"}, b""),
        ({}, PICTURE[1:]),
    ],
)
def test_a_frame_that_is_not_what_it_says_is_told_and_not_shown(lie, fields, pixels):
    client, _ = lie(frames=[(fields, pixels), ({}, PICTURE)])
    client.event("error", code=int(Code.PROTOCOL))
    (frame,) = client.wait_frames(1)
    assert frame["id"] == 1


def test_frames_beyond_the_credit_are_not_kept(lie):
    client, liar = lie(presents=False, frames=[({"f": index}, PICTURE) for index in range(1000)])
    before = client.resident_bytes()
    client.wait_frames(2)
    wait_until(lambda: liar.frames_sent == 1000)
    for _ in range(3):  # each answer comes later than what was on its way before
        client.event("answered", id=client.call("query", ["status"]))
    assert client.frames == [] and client.resident_bytes() - before < MOST_BYTES


def test_frames_of_another_stream_or_out_of_order_are_not_shown(lie):
    client, _ = lie(frames=[({"st": 99}, PICTURE), ({"f": 5}, PICTURE), ({"f": 5}, PICTURE), ({"f": 4}, PICTURE),
                            ({"f": 6}, PICTURE)])  # fmt: skip
    assert [frame["id"] for frame in client.wait_frames(2)] == [5, 6]


def test_a_frame_beyond_the_agreed_size_ends_the_connection(lie):
    client, liar = lie(frames=[({}, bytes(64 * 64 * 4 + 4097))])
    assert "at most" in client.event("disconnected")["reason"]
    client.wait(lambda: liar.hellos == 2, "second hello")
    client.event("connected")
