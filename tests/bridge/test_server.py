"""What the server does with peers that are late, wrong, hostile or gone."""

import time
from concurrent.futures import Future

import msgspec
import psutil
import pytest
import zmq

import shotstream as ss
from shotstream.bridge import faults, wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.desk import Task
from shotstream.bridge.faults import Code
from shotstream.bridge.messages import (
    Ack,
    Bye,
    ClearRequest,
    Credit,
    CutRequest,
    Error,
    FrameHeader,
    Hello,
    HoldRequest,
    Ping,
    Pong,
    QueryRequest,
    Reject,
    Result,
    State,
    Subscribed,
    SubscribeRequest,
    Welcome,
)
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from tests.bridge.raw import RawPeer
from tests.bridge.waiting import PATIENCE_S, wait_until

# --- hello -------------------------------------------------------------------------------------------------------


def test_welcome_says_everything_a_client_needs(server, peer):
    welcome = peer.hello(c0=77)
    assert isinstance(welcome, Welcome)
    assert (welcome.proto, welcome.epoch, welcome.role, welcome.c0) == (1, server.epoch, "operator", 77)
    assert (welcome.stream.w, welcome.stream.h, welcome.stream.rate) == (160, 96, (16, 1))
    assert welcome.s1 <= welcome.s2 <= steady_ns() and welcome.frm_port == int(server.frm.rpartition(":")[2])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"proto_min": 2, "proto_max": 9}, Code.VERSION),
        ({"proto_min": 0, "proto_max": 0}, Code.VERSION),
        ({"token": ""}, Code.AUTH),
        ({"token": "0" * 64}, Code.AUTH),
        ({"token": "\N{SNOWMAN}"}, Code.AUTH),
    ],
)
def test_a_wrong_hello_is_rejected_with_its_reason(peer, fields, code):
    answer = peer.hello(**fields)
    assert isinstance(answer, Reject) and answer.code == code and answer.proto_max == 1


def test_a_token_opens_its_role_and_those_below(server, ends):
    for token, role, accepted in [
        ("viewer", "viewer", True),
        ("viewer", "trigger", False),
        ("director", "trigger", True),
        ("director", "operator", False),
        ("operator", "operator", True),
    ]:
        answer = ends.enter_context(RawPeer(server.ctl, server.tokens[token])).hello(role=role)
        assert isinstance(answer, Welcome) == accepted
        assert accepted or answer.code == Code.DENIED


def test_one_client_too_many_is_turned_away(serve, ends):
    server = serve(max_clients=1)
    peers = [ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"])) for _ in range(2)]
    assert isinstance(peers[0].hello(role="viewer"), Welcome)
    answer = peers[1].hello(role="viewer")
    assert isinstance(answer, Reject) and answer.code == Code.BUSY


# --- requests ----------------------------------------------------------------------------------------------------


def test_the_same_request_twice_is_done_once(server, peer):
    welcome = peer.hello()
    request = peer.request(CutRequest, welcome, text="a fox")
    peer.say(request, request)
    assert peer.acks(2) == [Ack(id=1, cmd=1)] * 2
    peer.say(peer.request(CutRequest, welcome, id=2, text="a bear"))
    assert peer.acks(1) == [Ack(id=2, cmd=2)], "the repeated request made no second command"


def test_a_repeat_after_a_new_connection_is_done_once(server, peer, ends):
    welcome = peer.hello()
    request = peer.request(HoldRequest, welcome)
    peer.say(request)
    (first,) = peer.acks(1)
    again = ends.enter_context(RawPeer(server.ctl, server.tokens["operator"]))
    resumed = again.hello(resume=welcome.session)
    assert resumed.resumed and resumed.session == welcome.session
    again.say(request)
    assert again.acks(1) == [first]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda now: {"ep": 12345}, Code.STALE),
        (lambda now: {"ts": now - 3_000_000_000}, Code.STALE),
        (lambda now: {"ts": now + 9_000_000_000}, Code.STALE),
        (lambda now: {"text": "  "}, Code.INVALID),
        (lambda now: {"text": "\a\u202e"}, Code.INVALID),
        (lambda now: {"text": "x" * 4050}, Code.INVALID),
    ],
)
def test_a_request_that_cannot_be_done_gets_an_error_and_changes_nothing(server, peer, wrong, code):
    welcome = peer.hello()
    peer.say(peer.request(CutRequest, welcome, **{"text": "a fox", **wrong(steady_ns())}))
    answer = peer.hear()
    assert isinstance(answer, Error) and (answer.id, answer.code) == (1, code)
    assert server.film.stats().first_command_at is None or code == Code.INVALID
    assert server.film.shot == -1


@pytest.fixture
def slow_clear(server):
    """What ``clear`` comes to, and how often it was asked for."""
    result, calls = Future(), []

    def clear(session, request):
        calls.append(request.id)
        return result

    server._desk._tasks[ClearRequest] = Task("director", clear)
    return result, calls


def test_a_slow_request_is_answered_when_it_is_done_and_done_once(peer, slow_clear):
    result, calls = slow_clear
    welcome = peer.hello()
    request = peer.request(ClearRequest, welcome)
    peer.say(request, request, Ping(c0=5))
    assert isinstance(peer.hear(), Pong), "others are answered meanwhile"
    result.set_result(None)
    assert peer.hear() == Ack(id=1)
    peer.say(request)
    assert peer.hear() == Ack(id=1) and calls == [1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ss.ScriptError("no"), Code.INVALID),
        (faults.Denied("no"), Code.DENIED),
        (RuntimeError("no"), Code.INTERNAL),
    ],
)
def test_a_slow_request_that_fails_is_answered_with_its_error(peer, slow_clear, error, code):
    result, _ = slow_clear
    peer.say(peer.request(ClearRequest, peer.hello()))
    result.set_exception(error)
    answer = peer.hear()
    assert isinstance(answer, Error) and (answer.id, answer.code) == (1, code) and "no" in answer.text


def test_a_slow_request_of_a_client_that_left_answers_nobody(server, peer, slow_clear):
    result, calls = slow_clear
    peer.say(peer.request(ClearRequest, peer.hello()), Bye())
    wait_until(lambda: calls and not len(server.clients))
    result.set_result(None)
    assert isinstance(peer.hello(), Welcome), "the next thing it hears"


def test_a_hold_on_disconnect_needs_the_operator(serve, ends):
    server = serve(lease_ms=100)
    for role, held in [("director", False), ("operator", True)]:
        with RawPeer(server.ctl, server.tokens[role]) as peer:
            peer.hello(role=role, on_disconnect="hold")
        wait_until(lambda: not len(server.clients))
        wait_until(lambda held=held: server.film.held == held)


def test_roles_limit_what_a_client_may_ask(server, ends):
    for role, kind, fields, allowed in [
        ("viewer", QueryRequest, {}, True),
        ("viewer", CutRequest, {"text": "a fox"}, False),
        ("trigger", CutRequest, {"text": "a fox"}, False),
        ("director", CutRequest, {"text": "a fox"}, True),
        ("director", HoldRequest, {}, False),
        ("operator", HoldRequest, {}, True),
    ]:
        with RawPeer(server.ctl, server.tokens[role]) as peer:
            welcome = peer.hello(role=role)
            peer.say(peer.request(kind, welcome, **fields))
            answer = next(answer for answer in iter(peer.hear, None) if not isinstance(answer, State))
            assert isinstance(answer, (Ack, Result)) == allowed, role
            assert allowed or answer.code == Code.DENIED


def test_too_many_requests_are_refused_until_later(serve, ends):
    server = serve(rate_hz=1, burst=3)
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"]))
    welcome = peer.hello(role="viewer")
    requests = [peer.request(QueryRequest, welcome, id=number) for number in range(1, 6)]
    peer.say(*requests)
    answers = [peer.hear() for _ in requests]
    assert [type(answer) for answer in answers] == [Result] * 3 + [Error] * 2
    assert answers[3].code == Code.RATE and 0 < answers[3].retry_ms <= 1000
    while not isinstance(answer := answers[3], Result):  # a request that was refused for its rate may come again
        assert answer.code == Code.RATE
        time.sleep(answer.retry_ms / 1e3)
        peer.say(requests[3])
        answers[3] = peer.hear()


def test_a_request_without_hello_is_answered(server, peer):
    peer.say(QueryRequest(id=9, ep=server.epoch, ttl=1000, ts=0), QueryRequest(id=8, ep=1, ttl=1000, ts=0), Ping(c0=1))
    answers = [peer.hear() for _ in range(3)]
    assert [(answer.id, answer.code) for answer in answers] == [(9, Code.CLOSED), (8, Code.STALE), (0, Code.CLOSED)]


def test_ping_is_answered_with_the_clock(peer):
    peer.hello()
    before = steady_ns()
    peer.say(Ping(c0=5))
    pong = peer.hear()
    assert isinstance(pong, Pong) and pong.c0 == 5 and before <= pong.s1 <= pong.s2 <= steady_ns()


# --- rubbish -----------------------------------------------------------------------------------------------------

BROKEN = {
    "wrong magic": (b"XXXX", msgspec.msgpack.encode({"t": "ping", "c0": 1})),
    "one part": (wire.MAGIC,),
    "three parts": (wire.MAGIC, b"\x80", b"x"),
    "many parts": (wire.MAGIC, *[b"x" * 60_000] * 20),
    "no msgpack": (wire.MAGIC, b"\xc1" * 40),
    "cut short": (wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": 1})[:-1]),
    "bytes behind": (wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": 1}) + b"x"),
    "deep nest": (wire.MAGIC, b"\x91" * 60_000),
    "huge array": (wire.MAGIC, b"\xdd\xff\xff\xff\xff"),
    "huge map": (wire.MAGIC, b"\xdf\xff\xff\xff\xff"),
    "number out of range": (wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": 2**64 - 1})),
    "not a number": (wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": float("nan")})),
    "extension type": (wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": msgspec.msgpack.Ext(1, b"")})),
    "number as a key": (wire.MAGIC, msgspec.msgpack.encode({1: 2})),
    "no type": (wire.MAGIC, b"\x80"),
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_rubbish_is_answered_and_the_server_goes_on(peer, parts):
    peer.say(*parts)
    answer = peer.hear()
    assert isinstance(answer, Error) and answer.id == 0
    assert answer.code in (Code.PROTOCOL, Code.TOO_LARGE, Code.UNKNOWN_TYPE)
    assert isinstance(peer.hello(), Welcome)


def test_an_unknown_type_is_named_and_keeps_its_id(peer):
    peer.say(wire.MAGIC, msgspec.msgpack.encode({"t": "fly", "id": 7}))
    answer = peer.hear()
    assert (answer.id, answer.code) == (7, Code.UNKNOWN_TYPE) and "fly" in answer.text


def test_unknown_keys_are_passed_over(peer):
    peer.hello()
    peer.say(wire.MAGIC, msgspec.msgpack.encode({"t": "ping", "c0": 1, "new": {"deep": [1, 2]}}))
    assert isinstance(peer.hear(), Pong)


def test_five_strikes_and_the_peer_is_not_heard(server, peer):
    for _ in range(5):
        peer.say(b"XXXX", b"")
    assert [peer.hear().code for _ in range(5)] == [Code.PROTOCOL] * 5
    peer.say(Ping(c0=1))
    assert peer.hear(100) is None
    with RawPeer(server.ctl, server.tokens["viewer"]) as other:
        assert isinstance(other.hello(role="viewer"), Welcome)


def test_a_part_beyond_the_limit_ends_the_connection_not_the_server(server, peer):
    peer.hello()
    peer.say(wire.MAGIC, b"x" * 70_000)

    def greeted():  # ZeroMQ connects again by itself; what was said before that is lost
        peer.say(Hello(proto_min=1, proto_max=1, token=server.tokens["viewer"]))
        return isinstance(peer.hear(500), Welcome)

    wait_until(greeted)


# --- frames ------------------------------------------------------------------------------------------------------


def frames_of(server, welcome, ends):
    context = ends.enter_context(zmq.Context())
    socket = ends.enter_context(context.socket(zmq.DEALER))
    socket.linger = 0
    socket.connect(server.frm)
    return socket


def test_no_frame_without_credit_and_none_for_a_stranger(server, peer, ends):
    welcome = peer.hello()
    peer.say(peer.request(CutRequest, welcome, text="a fox"))
    peer.say(peer.request(SubscribeRequest, welcome, id=2, mode="lossless"))
    stream = next(answer for answer in iter(peer.hear, None) if isinstance(answer, Subscribed))
    frames = frames_of(server, welcome, ends)
    frames.send_multipart(wire.encode(Credit(s=welcome.session + 1, st=stream.st, n=5)))
    frames.send_multipart(wire.encode(Credit(s=welcome.session, st=stream.st + 1, n=5)))
    frames.send_multipart([b"rubbish"])
    assert not frames.poll(100)
    frames.send_multipart(wire.encode(Credit(s=welcome.session, st=stream.st, n=2)))
    headers = []
    for _ in range(2):
        assert frames.poll(1000 * PATIENCE_S)
        magic, header, pixels = frames.recv_multipart()
        headers.append(wire.decode(wire.frame_headers, [magic, header]))
        assert len(pixels) == 160 * 96 * 3
    assert not frames.poll(100), "no more than there was credit for"
    assert [header.f for header in headers] == [0, 1] and all(isinstance(one, FrameHeader) for one in headers)


def test_presented_in_the_future_is_taken_as_now(server, peer, ends):
    welcome = peer.hello()
    peer.say(peer.request(CutRequest, welcome, text="a fox"))
    peer.say(peer.request(SubscribeRequest, welcome, id=2, mode="lossless"))
    answers = iter(peer.hear, None)
    stream = next(answer for answer in answers if isinstance(answer, Subscribed))
    frames = frames_of(server, welcome, ends)
    frames.send_multipart(wire.encode(Credit(s=welcome.session, st=stream.st, n=1)))
    assert frames.poll(1000 * PATIENCE_S)
    began = steady_ns()
    frames.send_multipart(wire.encode(Credit(s=welcome.session, st=stream.st, rel=0, presented=2**62)))
    state = next(answer for answer in answers if isinstance(answer, State) and answer.state == "presented")
    assert state.lat["presented"] < (steady_ns() - began) / 1e6 + 5000


def test_a_client_that_dies_frees_its_place(serve, ends):
    server = serve(clock="demand", lease_ms=500)
    with RawPeer(server.ctl, server.tokens["operator"]) as peer:
        welcome = peer.hello()
        peer.say(peer.request(SubscribeRequest, welcome, mode="lossless"))
        assert isinstance(peer.hear(), Subscribed)
    wait_until(lambda: not len(server.clients))


# --- the machine -------------------------------------------------------------------------------------------------


def test_every_listener_is_on_loopback(server):
    listening = [one for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
    ports = {int(server.ctl.rpartition(":")[2]), int(server.frm.rpartition(":")[2])}
    assert ports <= {one.laddr.port for one in listening}
    assert {one.laddr.ip for one in listening} <= {"127.0.0.1", "::1"}


def test_two_servers_cannot_have_one_name(server):
    with (
        pytest.raises(ss.CapacityError, match="running already"),
        Server(ss.open("test-chart", engine=FakeEngine()), ServerConfig()),
    ):
        pass
    assert server.connection_file.exists()
    with ss.connect(role="viewer") as client:
        assert client.status().bundle == "test-chart"


def test_a_port_that_is_taken_is_said(server):
    port = server.ctl.rpartition(":")[2]
    config = ServerConfig(name="other", bind=f"tcp://127.0.0.1:{port}")
    film = ss.open("test-chart", engine=FakeEngine())
    with pytest.raises(ss.CapacityError, match="cannot be listened on"):
        Server(film, config).start()
    film.close()
    with ss.connect(role="viewer") as client:
        assert client.connected


def test_shutdown_is_announced(serve, connect):
    server = serve()
    client = connect()
    server.close()
    wait_until(lambda: any(event.kind == "shutdown" for event in client.events()))
    with pytest.raises((faults.Timeout, faults.ConnectionLost)):
        client.cut("a fox", ttl_ms=100)
