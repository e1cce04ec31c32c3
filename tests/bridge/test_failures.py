"""What goes wrong between two processes, and what the bridge does about it.

The whole table is in ``docs/reliability.md``, where each row names its tests; here are those about failure alone.
"""

import itertools
import logging
import os
import re
import time
from pathlib import Path

import msgspec
import pytest

import shotstream as ss
from shotstream.bridge import auth, faults, link, wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.desk import Task
from shotstream.bridge.faults import Code
from shotstream.bridge.messages import (
    Ack,
    BeatRequest,
    Bye,
    Chunk,
    Credit,
    CutRequest,
    Error,
    Hello,
    HoldRequest,
    Ping,
    QueryRequest,
    Result,
    Subscribed,
    SubscribeRequest,
    VarRequest,
    Welcome,
)
from shotstream.bridge.program import Program
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from tests.bridge.raw import RawPeer
from tests.bridge.waiting import PATIENCE_S, wait_until


def packed(**fields):
    return msgspec.msgpack.encode(fields)


def twice(header, key, value):
    """The map ``header`` with one key more, which it may have already."""
    assert 0x80 <= header[0] < 0x8F
    return bytes([header[0] + 1]) + header[1:] + msgspec.msgpack.encode(key) + msgspec.msgpack.encode(value)


def test_every_test_that_the_table_names_is_there():
    """And hidden nowhere: each row has one."""
    root = Path(__file__).parents[2]
    section = (root / "docs/reliability.md").read_text().partition("## The table of failures")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(table) > 20
    known = set()
    for path in (root / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    for line in table:
        named = re.findall(r"`(test_\w+)`", line)
        assert named and set(named) <= known, line


# --- messages ----------------------------------------------------------------------------------------------------

MANY_KEYS = (
    b"\xde" + (10_000).to_bytes(2, "big") + b"".join(b"\xa4" + f"{n:04x}".encode() + b"\0" for n in range(10_000))
)

UNREADABLE = {
    "key twice": (wire.MAGIC, twice(packed(t="ping", c0=1), "c0", 2)),
    "type twice": (wire.MAGIC, twice(packed(t="ping", c0=1), "t", "bye")),
    "10,000 keys": (wire.MAGIC, MANY_KEYS),
    "10,000 keys in a field": (wire.MAGIC, twice(packed(t="ping", c0=1), "new", msgspec.Raw(MANY_KEYS))),
    "empty magic and header": (b"", b""),
    "empty header": (wire.MAGIC, b""),
    "empty magic": (b"", packed(t="ping", c0=1)),
    "many empty parts": (wire.MAGIC, *[b""] * 5000),
    "nested in a field": (wire.MAGIC, twice(packed(t="ping", c0=1), "new", msgspec.Raw(b"\x91" * 60_000 + b"\0"))),
}


@pytest.mark.parametrize("parts", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_answered_counted_and_a_strike(server, peer, parts):
    assert len(parts[1]) < 64 * 1024
    peer.say(*parts)
    answer = peer.hear()
    assert (
        isinstance(answer, Error)
        and answer.id == 0
        and answer.code in (Code.PROTOCOL, Code.UNKNOWN_TYPE, Code.TOO_LARGE)
    )
    peer.say(peer.request(QueryRequest, peer.hello()))
    answer = peer.hear()
    assert isinstance(answer, Result) and answer.status.rejected == 1


NO_VALUE = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "over 63 bits": 2**63,
    "list": [1],
    "map": {"a": 1},
    "nothing": None,
    "bytes": b"x",
    "extension": msgspec.msgpack.Ext(5, b""),
    "long text": "x" * 1025,
}


@pytest.mark.parametrize("value", NO_VALUE.values(), ids=NO_VALUE)
def test_what_is_no_value_for_a_parameter_is_refused_with_the_id(server, peer, value):
    welcome = peer.hello()
    for kind, field in ((BeatRequest, {"name": "storm", "params": {}}), (VarRequest, {"set": {"storm": 1}})):
        fields = msgspec.msgpack.decode(wire.encode(peer.request(kind, welcome, id=9, **field))[1])
        fields["params" if kind is BeatRequest else "set"] = {"power": value}
        peer.say(wire.MAGIC, msgspec.msgpack.encode(fields))
        answer = peer.hear()
        assert isinstance(answer, Error) and (answer.id, answer.code) == (9, Code.PROTOCOL)


def test_a_parameter_twice_is_refused(peer):
    welcome = peer.hello()
    request = peer.request(VarRequest, welcome, id=9, set={"a": 1})
    fields = msgspec.msgpack.decode(wire.encode(request)[1])
    fields["set"] = msgspec.Raw(b"\x82\xa1a\x01\xa1a\x02")
    peer.say(wire.MAGIC, msgspec.msgpack.encode(fields))
    answer = peer.hear()
    assert isinstance(answer, Error) and (answer.id, answer.code) == (9, Code.PROTOCOL) and "twice" in answer.text


def test_a_text_too_long_is_no_strike_but_a_flood_of_them_is(serve, ends):
    server = serve(clock="demand", rate_hz=1, burst=8)
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["operator"]))
    welcome = peer.hello()
    long = [peer.request(CutRequest, welcome, id=number, text="x" * 4097) for number in range(1, 9)]
    peer.say(*long)
    assert [(answer.id, answer.code) for answer in (peer.hear() for _ in long)] == [
        (number, Code.PROTOCOL) for number in range(1, 9)
    ]
    assert server._desk.strikes.num_rejected == 0
    peer.say(*[peer.request(CutRequest, welcome, id=number, text="x" * 4097) for number in range(9, 16)])
    wait_until(lambda: server._desk.strikes.num_rejected >= 5)
    assert server.film.shot == -1 and server.film.stats().first_command_at is None


def test_a_prompt_too_long_raises_before_it_is_sent(server, connect):
    client = connect()
    for refused in ("x" * 4050, "x" * 5000):
        with pytest.raises(ss.ScriptError):
            client.cut(refused)
    with pytest.raises(faults.TooLarge):
        client.cut("x" * 70_000)
    assert client.status().rejected == 0


def test_rubbish_is_not_logged(server, peer, caplog):
    secret = b"hunter2" * 8000
    with caplog.at_level(logging.DEBUG, "shotstream.bridge"):
        for parts in ([secret, b""], [wire.MAGIC, secret], [wire.MAGIC, packed(t="hunter2" * 20)]) * 2:
            peer.say(*parts)
        wait_until(lambda: server._desk.strikes.num_rejected == 6)
        wait_until(lambda: caplog.records)
    shown = "\n".join(record.getMessage() for record in caplog.records)
    assert "not listened to" in shown and "hunter2" not in shown and b"hunter2".hex() not in shown
    assert len(shown) < 300


def test_wrong_credit_is_counted_and_does_nothing(server, peer, ends):
    welcome = peer.hello()
    frames = ends.enter_context(RawPeer(server.frm))
    for number in range(4):
        frames.say(Credit(s=welcome.session + 1 + number, st=1, n=64))
    wait_until(lambda: server._desk.strikes.num_rejected == 4)
    frames.say(b"rubbish")
    frames.say(Credit(s=welcome.session, st=1, n=64))  # the fifth strike was before: not listened to
    wait_until(lambda: server._desk.strikes.num_rejected == 6)


def test_credit_that_arrives_behind_a_goodbye_is_no_offence(server, peer, ends):
    welcome = peer.hello()
    frames = ends.enter_context(RawPeer(server.frm))
    peer.say(Bye())
    wait_until(lambda: not len(server.clients))
    for _ in range(8):
        frames.say(Credit(s=welcome.session, st=1, n=1))
    frames.say(b"rubbish")
    wait_until(lambda: server._desk.strikes.num_rejected)
    assert server._desk.strikes.num_rejected == 1


# --- who may -----------------------------------------------------------------------------------------------------


def test_no_version_in_common_is_said_at_once(server, monkeypatch):
    monkeypatch.setattr(link, "PROTO_MIN", 2)
    monkeypatch.setattr(link, "PROTO_MAX", 3)
    with pytest.raises(faults.VersionError, match=r"2\.\.3.*update"):
        ss.connect(server.ctl, token=server.tokens["viewer"], role="viewer", timeout=PATIENCE_S)


def test_a_hello_again_takes_no_second_place(serve, ends):
    server = serve(max_clients=2)
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"]))
    sessions = {peer.hello(role="viewer").session for _ in range(5)}
    assert len(sessions) == 5 and len(server.clients) == 1
    other = ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"]))
    assert isinstance(other.hello(role="viewer"), Welcome)


@pytest.fixture
def secure(serve, tmp_path):
    for name in ("server", "friend", "enemy"):
        auth.generate_keys(tmp_path, name)
    for role, name in (("director", "friend"), ("viewer", "enemy")):
        (tmp_path / "allowed" / role).mkdir(parents=True)
        (tmp_path / f"{name}.key").rename(tmp_path / "allowed" / role / f"{name}.key")
    return serve(keys=auth.load_keys(tmp_path / "server.key_secret"), allow=tmp_path / "allowed")


def key_options(tmp_path, name, role):
    keys = {"keys": tmp_path / f"{name}.key_secret", "server_key": tmp_path / "server.key"}
    return {**keys, "role": role, "timeout": PATIENCE_S}


def test_a_key_revoked_while_connected_is_turned_out(secure, connect, tmp_path):
    client = connect(secure.ctl, **key_options(tmp_path, "friend", "director"))
    client.cut("a fox")
    (tmp_path / "allowed/director/friend.key").unlink()
    wait_until(lambda: isinstance(client.error, faults.AuthError))
    wait_until(lambda: not len(secure.clients))
    assert not client.connected
    with pytest.raises((faults.Timeout, faults.AuthError)):
        client.cut("a bear", ttl_ms=100)


def test_strikes_follow_the_key_and_not_the_connection(secure, ends, tmp_path):
    keys = auth.load_keys(tmp_path / "enemy.key_secret", server=tmp_path / "server.key")
    with RawPeer(secure.ctl, keys=keys) as enemy:
        for _ in range(5):
            enemy.say(b"XXXX", b"")
        assert [enemy.hear().code for _ in range(5)] == [Code.PROTOCOL] * 5
    again = ends.enter_context(RawPeer(secure.ctl, keys=keys))
    again.say(Hello(proto_min=1, proto_max=1))
    wait_until(lambda: secure._desk.strikes.num_rejected == 6)
    assert again.hear(100) is None
    friend = auth.load_keys(tmp_path / "friend.key_secret", server=tmp_path / "server.key")
    assert isinstance(ends.enter_context(RawPeer(secure.ctl, keys=friend)).hello(role="director"), Welcome)


# --- gone, late, again -------------------------------------------------------------------------------------------


def test_a_dead_client_stops_the_others_no_longer_than_its_lease(serve, ends, connect):
    server = serve(clock="demand", lease_ms=500)
    with RawPeer(server.ctl, server.tokens["operator"]) as dead, RawPeer(server.frm) as room:
        welcome = dead.hello()
        dead.say(dead.request(CutRequest, welcome, text="a fox"))
        dead.say(dead.request(SubscribeRequest, welcome, id=2, mode="queue", n=1))
        stream = next(answer for answer in iter(dead.hear, None) if isinstance(answer, Subscribed))
        room.say(Credit(s=welcome.session, st=stream.st, n=1))
        assert room.socket.poll(1000 * PATIENCE_S), "it has frames, and takes no more"
    client = connect()
    indices = [frame.index for frame in client.frames(count=30, mode="lossless", timeout=PATIENCE_S)]
    assert indices == list(range(indices[0], indices[0] + 30)) and len(server.clients) == 1


def test_a_command_that_zeromq_kept_for_the_next_server_is_not_done(server, peer, ends):
    """A DEALER hands what was queued during an outage to whoever listens there next."""
    welcome = peer.hello()
    bind = server.ctl
    server.close()
    peer.say(peer.request(CutRequest, welcome, text="a cut on a show that is over", ttl=60_000))
    film = ss.open("test-chart", engine=FakeEngine())
    successor = wait_until(lambda: start_at(film, bind))
    ends.callback(successor.close)
    answer = next(answer for answer in iter(peer.hear, None) if isinstance(answer, Error))
    assert (answer.id, answer.code) == (1, Code.STALE)
    assert film.shot == -1 and film.stats().first_command_at is None
    welcome = peer.hello(token=successor.tokens["operator"])
    peer.say(peer.request(CutRequest, welcome, id=2, text="a fox"))
    assert peer.acks(1) == [Ack(id=2, cmd=1)], "the first that was done"


def start_at(film, bind):
    """A server at the address of one before it, or None while the system keeps that back."""
    try:
        return Server(film, ServerConfig(bind=bind)).start()
    except ss.CapacityError:
        return None


def test_the_wall_clock_may_jump(server, connect, monkeypatch):
    client = connect()
    for jump in (-(10**9), 10**9):
        now = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=now: now)
        monkeypatch.setattr(time, "time_ns", lambda now=now: int(now * 1e9))
        assert client.cut("a fox").wait("queued", PATIENCE_S)
    assert [frame.index for frame in client.frames(count=3, mode="lossless", timeout=PATIENCE_S)] == [0, 1, 2]


def test_after_a_suspend_the_programme_goes_on_at_its_rate():
    """The machine sleeps for an hour between two frames: what comes after is neither skipped nor hurried."""
    clock = {"ns": 0}
    out = []

    def release(frame, packed, due_ns):
        out.append((frame.index, due_ns))
        clock["ns"] = due_ns + (3600 * 10**9 if len(out) == 5 else 1000)

    film = ss.open("test-chart", engine=FakeEngine(ss.VideoSpec(width_px=64, height_px=64, fps=1000)))
    program = Program(
        film,
        clock="realtime",
        pack=lambda frame, due_ns: None,
        release=release,
        failed=pytest.fail,
        now=lambda: clock["ns"],
    )
    film.cut("a fox")
    program.start()
    try:
        wait_until(lambda: len(out) >= 30)
    finally:
        film.close()
        program.close()
    assert [index for index, _ in out] == list(range(len(out)))
    gaps = [later - sooner for (_, sooner), (_, later) in itertools.pairwise(out)]
    assert gaps[4] >= 3600 * 10**9 and program.late == 1
    assert all(abs(gap - 10**6) < 10 for number, gap in enumerate(gaps) if number != 4)


# --- the connection file -----------------------------------------------------------------------------------------


def rewrite(path, change):
    data = path.read_bytes()
    path.unlink()
    change(path, data)


def half(path, data):
    path.write_bytes(data[: len(data) // 2])
    path.chmod(0o600)


def open_to_all(path, data):
    path.write_bytes(data)
    path.chmod(0o644)


def link_to_it(path, data):
    (path.parent / "elsewhere").write_bytes(data)
    (path.parent / "elsewhere").chmod(0o600)
    path.symlink_to(path.parent / "elsewhere")


def pipe(path, data):
    os.mkfifo(path, 0o600)


def of_somebody_else(path, data):
    if os.getuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    path.write_bytes(data)
    path.chmod(0o600)
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    "change", [half, open_to_all, link_to_it, pipe, of_somebody_else], ids=lambda one: one.__name__
)
def test_a_connection_file_that_is_not_ours_is_not_believed(server, change):
    rewrite(server.connection_file, change)
    with pytest.raises(ss.BridgeError, match=r"default\.json.*restart the server|default\.json is no file"):
        ss.connect(role="viewer", timeout=0.3)


def test_a_client_finds_the_server_once_the_file_is_whole(server, connect):
    whole = server.connection_file.read_bytes()
    rewrite(server.connection_file, half)
    with pytest.raises(ss.BridgeError, match="restart the server"):
        ss.connect(role="viewer", timeout=0.2)
    server.connection_file.write_bytes(whole)
    assert connect(role="viewer", timeout=PATIENCE_S).status().rejected == 0


# --- a request's time --------------------------------------------------------------------------------------------


def test_a_request_that_waited_too_long_in_the_socket_is_not_done(server, peer):
    welcome = peer.hello()
    peer.say(peer.request(CutRequest, welcome, text="late", ttl=1, ts=steady_ns() - 2_000_000))
    answer = peer.hear()
    assert isinstance(answer, Error) and answer.code == Code.STALE and server.film.shot == -1
    peer.say(Ping(c0=1))
    assert peer.hear().c0 == 1


def test_an_answer_of_the_wrong_kind_is_a_fault_and_no_riddle(serve, connect):
    server = serve(clock="demand")
    client = connect()
    server._desk._tasks[HoldRequest] = Task(
        "viewer", lambda session, request: Chunk(id=request.id, offset=0, total=1, data=b"x")
    )
    server._desk._tasks[SubscribeRequest] = Task("viewer", lambda session, request: None)
    with pytest.raises(faults.ProtocolError, match="'chunk'"):
        client.hold()
    with pytest.raises(faults.ProtocolError, match="'ack'"):
        next(client.frames(timeout=PATIENCE_S))
    assert client.status().rejected == 0 and client.connections == 1
