"""What the C library sends, byte for byte, and what it makes of a server that errs or lies."""

import ctypes as c

import msgspec
import pytest

from shotstream.bridge import messages as m
from shotstream.bridge import wire
from shotstream.bridge.faults import Code
from tests.golden.bridge.__main__ import EXAMPLES

from .c_library import CClient, K, needs_library, params
from .scripted_server import HEIGHT, WIDTH, ScriptedServer
from .waiting import wait_until

pytestmark = needs_library


@pytest.fixture
def meet(c_library, ends):
    """(server, client) with the answers and the configuration of a test."""

    def connect(answers=None, *, wait="STREAM", **fields):
        server = ends.enter_context(ScriptedServer(answers))
        fields = {"role": K["ROLE_DIRECTOR"], "token": "ab" * 32, **fields}
        client = ends.enter_context(CClient(c_library, ctl_endpoint=server.endpoint, **fields))
        if wait:
            client.wait(wait)
        return server, client

    return connect


def number(value):
    return c.c_int64(value)


NONE = number(-1)
STORY = {"weather": "fog", "health": -7, "threat": 0.25, "met_owl": False}
PLACE = {"place": "the pier", "size": 3, "threat": 0.5, "night": True}
CALLS = {
    "cut": ("cut", "wide shot: a fox, snöwy ☃", number(2**63 - 1), 81, K["WHEN_SHOT_END"]),
    "cut_smallest": ("cut", "a fox", NONE, 0, K["WHEN_BLOCK"]),
    "prompt": ("prompt", "the fox sleeps"),
    "world": ("world", ""),
    "clear": ("control", K["CONTROL_CLEAR"], number(0), number(0)),
    "pin": ("control", K["CONTROL_PIN"], number(3), number(12)),
    "unpin": ("control", K["CONTROL_UNPIN"], NONE, NONE),
    "hold": ("control", K["CONTROL_HOLD"], number(0), number(0)),
    "resume": ("control", K["CONTROL_RESUME"], number(0), number(0)),
    "beat": ("trigger", "boss_reveal", params(PLACE), 4),
    "beat_smallest": ("trigger", "rain", None, 0),
    "var": ("set_variables", params(STORY), 4),
    "prepare": ("prepare", "an owl in a barn", number(3), 45),
    "take": ("control", K["CONTROL_TAKE"], number(3), number(0)),
    "cancel": ("control", K["CONTROL_CANCEL"], NONE, number(0)),
    "checkpoint": ("checkpoint", "before_choice"),
    "restore": ("restore", "before_choice"),
    "branch": ("branch", "before_choice", number(9)),
    "undo": ("control", K["CONTROL_UNDO"], number(2), number(0)),
    "forget": ("forget", "before_choice"),
    "upload": ("upload", "before_choice", b"\x00\x01\xfe\xffA", c.c_uint64(5)),
    "query": ("query", 1),
    "query_all": ("query", 15),
}
ELSEWHERE = {"hello", "hello_smallest", "ping", "bye", "subscribe", "unsubscribe", "download"}
"""Golden messages of a client that no single call sends; tested below, or never sent (unsubscribe)."""


def test_every_request_of_the_protocol_has_a_call():
    kinds = m.ClientMessage.__args__
    assert {name for name, one in EXAMPLES.items() if isinstance(one, kinds)} == set(CALLS) | ELSEWHERE


@pytest.fixture(scope="module")
def said(c_library):
    """Name of each call to what the server heard of it."""
    heard = {}
    with ScriptedServer() as server, CClient(c_library, ctl_endpoint=server.endpoint, token="x") as client:
        client.wait("STREAM")
        for name, (function, *arguments) in CALLS.items():
            before = len(server.heard)
            assert client.answer(function, *arguments).code == 0, name
            heard[name] = next(one for one in server.heard[before:] if not isinstance(one[0], m.Ping))
    return heard


@pytest.mark.parametrize("name", CALLS)
def test_a_request_has_the_bytes_of_its_golden_example(said, name):
    found, data = said[name]
    example = msgspec.structs.replace(EXAMPLES[name], id=found.id, ts=found.ts, ttl=found.ttl)
    assert found == example and data == wire.encode(example)[1]


def test_hello_subscribe_credit_ping_and_bye(meet):
    server, client = meet(
        role=K["ROLE_OPERATOR"],
        delivery=K["MODE_QUEUE"],
        pixel_format=K["FORMAT_BGRA8"],
        origin=K["ORIGIN_BOTTOM_LEFT"],
        queue_frames=4,
        client_name="game",
        engine="unity",
        flags=K["CLIENT_HOLD_ON_DISCONNECT"],
    )
    hello, data = server.heard[0]
    plain = {"proto_min": 1, "proto_max": 1, "client": "game", "engine": "unity", "role": "operator"}
    assert hello == m.Hello(
        **plain, token="ab" * 32, caps=m.CAPABILITIES, events=m.EventMask.ALL, c0=hello.c0, on_disconnect="hold"
    )
    assert data.startswith(b"\x8c\xa1t\xa5hello\xa9proto_min\x01\xa9proto_max\x01\xa6client\xa4game")
    subscribe, data = next(one for one in server.heard if isinstance(one[0], m.SubscribeRequest))
    wanted = msgspec.structs.replace(EXAMPLES["subscribe"], id=subscribe.id, ts=subscribe.ts, after=-1)
    assert subscribe == wanted and data == wire.encode(wanted)[1]
    wait_until(lambda: server.credits)
    assert server.credits[0] == (m.Credit(s=42, st=1, n=4), wire.encode(m.Credit(s=42, st=1, n=4))[1])
    wait_until(lambda: any(isinstance(message, m.Ping) for message, _ in server.heard))
    client.close()
    wait_until(lambda: server.heard[-1] == (m.Bye(reason="closed"), wire.encode(m.Bye(reason="closed"))[1]))


# --- frames ------------------------------------------------------------------------------------------------------


def header(**fields):
    plain = {"st": 1, "f": 0, "src": 0, "sh": 0, "sf": 0, "bl": 0, "rev": 0, "cmd": 0, "fl": 0, "seed": 7}
    sizes = {"pts": 0, "due": 0, "gen": 0, "w": WIDTH, "h": HEIGHT, "str": WIDTH * 4, "fmt": "rgba8"}
    return wire.encode(m.FrameHeader(**{**plain, **sizes, **fields}))[1]


PIXELS = bytes(range(WIDTH * HEIGHT * 4))


def test_presented_frames_are_reported_and_released_ones_make_room(meet):
    server, client = meet(flags=K["CLIENT_NO_SHM"])
    server.send_frame(header(f=5), PIXELS)
    frame, data = client.take()
    assert data == PIXELS and frame.frame_id == 5
    wait_until(lambda: len(server.credits) >= 3)
    first, shown, more = (credit for credit, _ in server.credits[:3])
    assert (first.n, shown.rel, shown.n, more.rel, more.n) == (1, 5, 0, -1, 1) and shown.presented > 0


def test_frames_that_lie_are_counted_and_passed_over(meet):
    server, client = meet(flags=K["CLIENT_NO_SHM"])
    for lie in (
        [b"\xc1", PIXELS],
        [header(), PIXELS[:-1]],
        [header(str=WIDTH * 4 - 1), PIXELS],
        [header(fmt="rgb8"), PIXELS],
        [header(org="bottom_left"), PIXELS],
        [header(cs="rec709"), PIXELS],
        [header(loc="shm", slot=1, seq=4)],
        [header(w=0), PIXELS],
        [header()],
        [header(), PIXELS, PIXELS],
        [header(st=9), PIXELS],
    ):
        server.send_frame(*lie)
    server.send_frame(header(f=3), PIXELS)
    assert client.take()[0].frame_id == 3
    assert client.stats().frames_unreadable == 10 and client.stats().frames_received == 1


def test_shared_memory_that_cannot_be_opened_is_replaced_by_messages(meet):
    def subscribed(request):
        shared = m.SharedMemory(name="/shotstream-0-1-0123456789abcdef", slots=8, stride=256)
        own = m.Subscribed(id=request.id, st=1, mode=request.mode, window=4, frame_bytes=128)
        return [msgspec.structs.replace(own, shm=shared) if "shm" in request.loc else own]

    server, client = meet({m.SubscribeRequest: subscribed})
    asked = [message.loc for message, _ in server.heard if isinstance(message, m.SubscribeRequest)]
    assert asked == [("shm", "inline"), ("inline",)]
    server.send_frame(header(f=3), PIXELS)
    assert client.take()[0].location == K["LOCATION_INLINE"]


# --- refusals and rubbish ----------------------------------------------------------------------------------------


def test_another_version_is_said(meet):
    _, client = meet({m.Hello: lambda _: [m.Reject(code=Code.VERSION, text="speaks 7 to 9")]}, wait=None)
    event = client.wait("DISCONNECTED")
    assert event.code == K["E_VERSION"] and event.text == b"speaks 7 to 9"


def test_a_refused_stream_is_the_result_of_taking_a_frame(meet):
    refusal = {m.SubscribeRequest: lambda request: [m.Error(id=request.id, code=Code.INVALID, text="no such format")]}
    _, client = meet(refusal)
    assert client.acquire()[0] == K["E_INVALID"] and client.last_error() == "no such format"


def test_a_stream_that_is_refused_for_now_is_asked_for_again(meet):
    left = [Code.RATE, Code.STALE]

    def subscribed(request):
        if left:
            return [m.Error(id=request.id, code=left.pop(), text="not now", retry_ms=5)]
        return [m.Subscribed(id=request.id, st=1, mode=request.mode, window=4, frame_bytes=128)]

    assert meet({m.SubscribeRequest: subscribed})[1].events == [] and not left


def test_answers_to_nothing_and_unknown_messages_are_passed_over(meet):
    class Newer(m.Message, frozen=True, kw_only=True, tag="newer"):
        x: int = 0

    rubbish = [m.Ack(id=12345), Newer(), m.Event(kind="gap", frame=3, count=2)]
    _, client = meet({m.ClearRequest: lambda request: [*rubbish, m.Ack(id=request.id)]})
    assert client.answer("control", K["CONTROL_CLEAR"], number(0), number(0)).code == 0
    assert client.stats().messages_unreadable == 1


def test_a_request_that_nobody_answers_times_out(meet):
    _, client = meet({m.ClearRequest: lambda _: []}, ttl_ms=50)
    assert client.answer("control", K["CONTROL_CLEAR"], number(0), number(0)).code == K["E_TIMEOUT"]


def test_more_requests_than_can_wait_are_refused(meet):
    _, client = meet({m.ClearRequest: lambda _: []}, ttl_ms=60_000)
    results = [client.call("control", K["CONTROL_CLEAR"], number(0), number(0), None) for _ in range(300)]
    assert results.count(0) == 256 and set(results) == {0, K["E_BUSY"]}


def test_events_that_nobody_takes_are_counted(meet):
    many = [m.Event(kind="gap", frame=number, count=1) for number in range(300)]
    _, client = meet({m.ClearRequest: lambda request: [*many, m.Ack(id=request.id)]})
    client.ask("control", K["CONTROL_CLEAR"], number(0), number(0))
    wait_until(lambda: client.stats().events_lost >= 44)
    client.poll()
    gaps = [event.frame_id for event in client.events if event.type == K["EVENT_GAP"]]
    assert gaps == sorted(gaps) and gaps[-1] == 299 and len(client.events) == 256


# --- checkpoints -------------------------------------------------------------------------------------------------


class Store:
    """The server's side of transfers."""

    def __init__(self, data=b""):
        self.data, self.offsets, self.refusals = data, [], []

    def chunk(self, request):
        self.offsets.append(request.offset)
        part = self.data[request.offset : request.offset + m.MAX_CHUNK_BYTES]
        return [m.Chunk(id=request.id, offset=request.offset, total=len(self.data), data=part)]

    def store(self, request):
        if self.refusals and self.refusals[-1][0] == request.offset:
            return [m.Error(id=request.id, code=self.refusals.pop()[1], text="refused", retry_ms=5)]
        assert request.offset == len(self.data)
        self.data += request.data
        if len(self.data) < request.total:
            return [m.Ack(id=request.id)]
        return [m.Saved(id=request.id, name=request.name, bytes=request.total, frame=20, shot=1)]


SAVE = bytes(range(256)) * 470  # three chunks


def test_a_checkpoint_is_fetched_in_chunks(meet):
    store = Store(SAVE)
    _, client = meet({m.DownloadRequest: store.chunk})
    answer = client.answer("download", "save")
    assert (answer.code, answer.count, answer.name) == (0, len(SAVE), b"save")
    assert client.read(answer.request_id) == SAVE and store.offsets == [0, 49152, 98304]


def test_a_checkpoint_is_handed_back_in_chunks_at_the_pace_of_the_server(meet):
    store = Store()
    store.refusals = [(49152, Code.RATE), (49152, Code.RATE)]
    _, client = meet({m.UploadRequest: store.store})
    answer = client.answer("upload", "save", SAVE, c.c_uint64(len(SAVE)))
    assert (answer.code, answer.count, answer.frame_id, answer.shot_id) == (0, len(SAVE), 20, 1)
    assert store.data == SAVE and not store.refusals


def test_a_transfer_ends_with_the_servers_refusal(meet):
    store = Store()
    store.refusals = [(0, Code.DENIED)]
    _, client = meet({m.UploadRequest: store.store})
    answer = client.answer("upload", "save", SAVE, c.c_uint64(len(SAVE)))
    assert answer.code == K["E_DENIED"] and answer.text == b"refused"
    assert client.answer("upload", "save", SAVE, c.c_uint64(len(SAVE))).code == 0, "there is room for the next"


def test_a_checkpoint_that_changes_while_it_is_fetched_is_refused(meet):
    store = Store(SAVE)

    def chunk(request):
        answer = store.chunk(request)
        store.data += b"x"
        return answer

    _, client = meet({m.DownloadRequest: chunk})
    assert client.answer("download", "save").code == K["E_PROTOCOL"]


def test_one_transfer_at_a_time_and_none_survives_the_connection(meet):
    _, client = meet({m.DownloadRequest: lambda _: []})
    first = client.ask("download", "save")
    assert client.call("download", "save", None) == K["E_BUSY"]
    assert client.call("upload", "save", b"x", c.c_uint64(m.MAX_SAVE_BYTES + 1), None) == K["E_TOO_LARGE"]
    assert client.call("client_reconnect") == 0
    assert client.wait("ANSWER", request_id=first).code == K["E_CONNECT"]


def test_what_nobody_reads_is_dropped_oldest_first(meet):
    store = Store(SAVE)
    _, client = meet({m.DownloadRequest: store.chunk})
    numbers = [client.answer("download", "save").request_id for _ in range(17)]
    assert client.read(numbers[0]) is None and all(client.read(one) == SAVE for one in numbers[1:])
