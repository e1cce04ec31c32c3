"""Frames through shared memory between a server and its clients: the same pixels, and every way out when it fails."""

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zmq

import shotstream as ss
from shotstream.bridge import aio, auth, wire
from shotstream.bridge.frame_ring import SEGMENTS_FOLDER, FrameOverrun, RingReader, RingWriter, Ticket
from shotstream.bridge.messages import Credit, CutRequest, Flag, FrameHeader, Subscribed, SubscribeRequest
from shotstream.bridge.packing import Packer
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine, draw_chart
from tests.bridge.raw import RawPeer
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.processes import environment

pytestmark = pytest.mark.skipif(
    not Path(SEGMENTS_FOLDER).is_dir(), reason=f"this system has no {SEGMENTS_FOLDER} for shared memory"
)


def segments():
    """Rings of this process."""
    return [
        name for name in os.listdir(SEGMENTS_FOLDER) if name.startswith(f"shotstream-{os.geteuid()}-{os.getpid()}-")
    ]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    assert segments() == []


@pytest.fixture
def film(serve):
    return serve(clock="demand").film


# --- the same frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["top_left", "bottom_left"])
@pytest.mark.parametrize("format", ["rgb8", "rgba8", "bgra8", "nv12"])
def test_shared_frames_equal_inline_ones_and_the_chart(film, connect, ends, format, origin):
    client = connect()
    client.cut("a fox", seed=3)
    layout = PixelLayout(width_px=160, height_px=96, format=PixelFormat(format), origin=Origin(origin))
    for location in ("shm", "inline"):
        frames = ends.enter_context(
            contextlib.closing(
                client.frames(
                    count=12, mode="queue", format=format, origin=origin, location=location, timeout=PATIENCE_S
                )
            )
        )
        for frame in frames:
            chart = draw_chart(film.spec, shot=0, block=frame.block, frame=frame.frame_in_shot, caption="a fox", seed=3)
            assert (frame.location, frame.format, frame.origin, frame.dropped) == (location, format, origin, 0)
            assert len(frame.planes) == (2 if format == "nv12" else 1)
            for plane, expected in zip(frame.planes, layout.planes(layout.pack(chart)), strict=True):
                np.testing.assert_array_equal(plane, expected)
                assert not plane.flags.writeable and plane.flags.c_contiguous


def test_frames_are_shared_without_asking_and_safe_to_keep(film, connect):
    client = connect()
    client.cut("a fox")
    kept = list(client.frames(count=60, timeout=PATIENCE_S))
    assert {frame.location for frame in kept} == {"shm"} and all(frame.is_whole() for frame in kept)
    for frame in kept:
        chart = draw_chart(film.spec, shot=0, block=frame.block, frame=frame.frame_in_shot, caption="a fox")
        np.testing.assert_array_equal(frame.image, chart)


def test_a_lent_frame_is_the_ring_itself_and_says_when_it_is_overwritten(film, connect):
    client = connect()
    client.cut("a fox")
    frames = client.frames(copy=False, mode="queue", timeout=PATIENCE_S)
    first = next(frames)
    chart = draw_chart(film.spec, shot=0, block=0, frame=0, caption="a fox")
    np.testing.assert_array_equal(first.image, chart)
    assert first.is_whole() and not first.image.flags.writeable and not first.image.flags.owndata
    for _ in range(40):  # more than any ring of this server holds
        frame = next(frames)
    assert not first.is_whole() and frame.is_whole()
    assert first.image[0, 0].shape == (3,), "memory that stays mapped"
    frames.close()
    del client
    assert first.image[0, 0].shape == (3,)


def test_lossless_frames_come_inline(film, connect):
    client = connect()
    client.cut("a fox")
    frames = list(client.frames(count=40, mode="lossless", timeout=PATIENCE_S))
    assert {frame.location for frame in frames} == {"inline"} and segments() == []


def test_the_asyncio_client_shares_as_well(film):
    async def show():
        async with aio.connect() as client:
            await client.cut("a fox")
            return [
                frame async for frame in client.frames(count=20, location="shm", format="rgba8", timeout=PATIENCE_S)
            ]

    frames = asyncio.run(show())
    assert {frame.location for frame in frames} == {"shm"}
    chart = draw_chart(film.spec, shot=0, block=0, frame=0, caption="a fox")
    np.testing.assert_array_equal(frames[0].image[..., :3], chart)


# --- the life of a ring ------------------------------------------------------------------------------------------


def test_clients_that_ask_alike_share_a_ring_which_ends_with_the_last(serve, connect):
    serve(clock="demand")
    clients = [connect() for _ in range(3)]
    clients[0].cut("a fox")
    formats = ["rgba8", "rgba8", "bgra8"]
    streams = [
        client.frames(format=format, timeout=PATIENCE_S) for client, format in zip(clients, formats, strict=True)
    ]
    for stream in streams:
        assert next(stream).location == "shm"
    assert len(segments()) == 2
    streams[0].close()
    assert next(streams[1]).location == "shm" and len(segments()) == 2
    streams[1].close()
    wait_until(lambda: len(segments()) == 1)
    clients[2].close()
    wait_until(lambda: segments() == [])


def test_a_new_server_gets_a_new_ring(connect, ends):
    def start():
        film = ss.open("test-chart", engine=FakeEngine())
        return ends.enter_context(contextlib.closing(Server(film, ServerConfig(clock="demand")).start()))

    first = start()
    client = connect()
    client.cut("a fox")
    frames = client.frames(location="shm", timeout=PATIENCE_S)
    before = next(frames)
    old = segments()
    first.close()
    assert segments() == []
    second = start()
    second.film.cut("a bear")
    after = next(frame for frame in frames if frame.epoch == second.epoch)
    assert after.location == "shm" and after.flags & Flag.DISCONTINUITY and after.index > before.index
    assert len(segments()) == 1 and segments() != old
    frames.close()


def test_a_server_removes_what_a_killed_one_left_behind(serve):
    code = (
        "import os, signal\n"
        "from shotstream.bridge.frame_ring import RingWriter\n"
        "from shotstream.bridge.pixels import PixelLayout\n"
        "ring = RingWriter(PixelLayout(width_px=16, height_px=16))\n"
        "print(ring.name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    left = Path(SEGMENTS_FOLDER) / killed.stdout.strip().lstrip("/")
    assert killed.returncode == -signal.SIGKILL and left.exists()
    serve()
    assert not left.exists()


def test_a_client_with_keys_on_this_machine_shares_as_well(serve, ends, tmp_path):
    for name in ("server", "friend"):
        auth.generate_keys(tmp_path, name)
    allowed = tmp_path / "allowed/director"
    allowed.mkdir(parents=True)
    shutil.copy(tmp_path / "friend.key", allowed)
    pair = auth.load_keys(tmp_path / "server.key_secret")
    server = serve(bind="tcp://127.0.0.1", keys=pair, allow=tmp_path / "allowed", clock="demand")
    files = {"keys": tmp_path / "friend.key_secret", "server_key": tmp_path / "server.key"}
    client = ends.enter_context(ss.connect(server.ctl, role="director", **files, timeout=PATIENCE_S))
    client.cut("a fox")
    assert next(client.frames(location="shm", timeout=PATIENCE_S)).location == "shm"


# --- what can go wrong -------------------------------------------------------------------------------------------


def test_without_room_in_shared_memory_frames_come_inline(serve, connect, monkeypatch, caplog):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shotstream.bridge.frame_ring._native.RingWriter", full)
    serve(clock="demand")
    for _ in range(2):
        client = connect()
        client.cut("a fox")
        assert [frame.location for frame in client.frames(count=3, timeout=PATIENCE_S)] == ["inline"] * 3
    assert sum("No space left" in record.message for record in caplog.records) == 1
    with pytest.raises(ss.BridgeError, match="no shared memory"):
        next(client.frames(location="shm", timeout=PATIENCE_S))


def test_a_ring_that_cannot_be_opened_means_inline(serve, connect, monkeypatch):
    serve(clock="demand")
    client = connect()
    client.cut("a fox")

    def gone(name, *, epoch=None):
        raise ss.BridgeError(f"frame ring {name}: No such file or directory")

    monkeypatch.setattr("shotstream.bridge.incoming.RingReader", gone)
    assert [frame.location for frame in client.frames(count=3, mode="queue", timeout=PATIENCE_S)] == ["inline"] * 3
    with pytest.raises(ss.BridgeError, match="No such file"):
        next(client.frames(location="shm", timeout=PATIENCE_S))


def test_a_ring_of_another_server_means_inline(serve, connect, monkeypatch):
    server = serve(clock="demand")
    server._packer._epoch += 1
    client = connect()
    client.cut("a fox")
    assert next(client.frames(timeout=PATIENCE_S)).location == "inline"


def test_a_segment_that_is_removed_under_the_client_does_not_stop_it(film, connect):
    client = connect()
    client.cut("a fox")
    frames = client.frames(location="shm", mode="queue", timeout=PATIENCE_S)
    next(frames)
    for name in segments():
        os.unlink(Path(SEGMENTS_FOLDER) / name)
    seen = [next(frames) for _ in range(40)]
    for frame in seen:
        chart = draw_chart(film.spec, shot=0, block=frame.block, frame=frame.frame_in_shot, caption="a fox")
        np.testing.assert_array_equal(frame.image, chart)
    frames.close()
    assert next(client.frames(timeout=PATIENCE_S)).index > seen[-1].index, (
        "a stream that cannot open it any more gets TCP"
    )


def test_a_frame_overwritten_before_it_was_read_is_counted_and_the_stream_goes_on(film, connect, monkeypatch):
    client = connect()
    client.cut("a fox")
    frames = client.frames(location="shm", mode="queue", timeout=PATIENCE_S)
    before = next(frames)
    read, late = RingReader.read, [True, True]

    @contextlib.contextmanager
    def slow_read(ring, ticket):
        with read(ring, ticket) as frame:
            yield frame
        if late:
            late.pop()
            raise FrameOverrun("the reader was kept from running")

    monkeypatch.setattr(RingReader, "read", slow_read)
    seen = [before, *[next(frames) for _ in range(20)]]
    gaps = [frame for frame in seen if frame.dropped]
    assert [frame.dropped for frame in gaps] == [2] and gaps[0].flags & Flag.GAP
    steps = [after.index - frame.index for frame, after in itertools.pairwise(seen)]
    assert steps == [1 + frame.dropped for frame in seen[1:]]


def test_a_waiting_client_gets_what_the_ring_has_lost_inline(serve, ends):
    """Thirteen frames wait at the server for a client without credit; the ring has eight slots."""
    server = serve(clock="realtime", engine=FakeEngine(ss.VideoSpec(width_px=64, height_px=64, fps=16)))
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["operator"]))
    welcome = peer.hello()
    peer.say(peer.request(SubscribeRequest, welcome, mode="queue", n=20, loc=("inline", "shm")))
    granted = peer.hear()
    assert isinstance(granted, Subscribed) and granted.shm is not None and granted.shm.slots == 8
    peer.say(peer.request(CutRequest, welcome, id=2, text="a fox", frames=13))
    wait_until(lambda: server._streams.newest == 12)
    frames = ends.enter_context(ends.enter_context(zmq.Context()).socket(zmq.DEALER))
    frames.linger = 0
    frames.connect(server.frm)
    frames.send_multipart(wire.encode(Credit(s=welcome.session, st=granted.st, n=13)))
    ring = RingReader(granted.shm.name, epoch=server.epoch)
    found = []
    for _ in range(13):
        assert frames.poll(PATIENCE_S * 1000)
        parts = frames.recv_multipart()
        header = wire.decode(wire.frame_headers, parts[:2])
        chart = draw_chart(server.film.spec, shot=0, block=header.bl, frame=header.sf, caption="a fox")
        if header.loc == "inline":
            assert len(parts) == 3 and parts[2] == chart.tobytes()
        else:
            assert len(parts) == 2 and header.str == granted.shm.stride == ring.layout.stride_bytes
            with ring.read(Ticket(header.slot, header.seq)) as lent:
                np.testing.assert_array_equal(lent.planes[0], chart)
                assert (lent.header.frame_id, lent.header.source_id) == (header.f, header.src)
        found.append((header.f, header.loc))
    assert found == [(number, "inline" if number < 7 else "shm") for number in range(13)], "two slots are kept clear"


def test_a_client_elsewhere_is_not_offered_a_ring(serve, ends, monkeypatch):
    monkeypatch.setattr(auth, "is_loopback", lambda host: False)
    server = serve(clock="demand")
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"]))
    peer.say(peer.request(SubscribeRequest, peer.hello(role="viewer"), loc=("inline", "shm")))
    granted = peer.hear()
    assert isinstance(granted, Subscribed) and granted.shm is None and segments() == []


def test_a_client_that_knows_no_shared_memory_is_not_offered_a_ring(serve, ends):
    server = serve(clock="demand")
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["viewer"]))
    peer.say(peer.request(SubscribeRequest, peer.hello(role="viewer")))
    assert peer.hear().shm is None and segments() == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "[::1]", "::1", "localhost", "192.168.1.4", "", "example.org", "127.0.0.1.org"]
)
def test_loopback_addresses_are_this_machine(host):
    assert auth.is_loopback(host) == (host in ("127.0.0.1", "127.9.9.9", "[::1]", "::1", "localhost"))


# --- on the wire -------------------------------------------------------------------------------------------------


def header(**fields):
    numbers = {
        name: 1 for name in ["st", "f", "src", "sh", "sf", "bl", "rev", "cmd", "fl", "seed", "pts", "due", "gen", "str"]
    }
    return FrameHeader(**{**numbers, "w": 2, "h": 2, **fields})


@pytest.mark.parametrize(
    ("loc", "payload", "is_frame"),
    [
        ("inline", [b"x" * 12], True),
        ("shm", [], True),
        ("inline", [], False),
        ("shm", [b"x" * 12], False),
        ("inline", [b"x" * 12, b"x"], False),
        ("inline", [b"x" * 200], False),
    ],
)
def test_a_frame_has_pixels_or_a_slot_and_never_both(loc, payload, is_frame):
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.linger = 0
        one.bind("inproc://frames")
        other.connect("inproc://frames")
        other.send_multipart([*wire.encode(header(loc=loc)), *payload])
        assert one.poll(2000)
        found = wire.receive_frame(one, max_bytes=100)
        assert (found is not None) == is_frame
        if is_frame:
            assert found[0].loc == loc and (found[1] is None) == (loc == "shm")


# --- the packer --------------------------------------------------------------------------------------------------


def test_a_picture_is_packed_once_for_all_and_only_as_wanted(monkeypatch):
    packed = []
    pack_into = PixelLayout.pack_into

    def count(layout, image, out, **options):
        packed.append(layout)
        pack_into(layout, image, out, **options)

    monkeypatch.setattr(PixelLayout, "pack_into", count)
    rgba, bgra = (PixelLayout(width_px=32, height_px=16, format=one) for one in (PixelFormat.RGBA8, PixelFormat.BGRA8))
    image = np.arange(32 * 16 * 3, dtype=np.uint8).reshape(16, 32, 3)
    frame = ss.Frame(image=image, index=3, shot=0, block=0, frame_in_shot=3, time_s=0.2)
    with contextlib.closing(Packer(60, epoch=9)) as packer:
        packer.want(shared=frozenset(), inline=frozenset({bgra}))
        picture = packer.pack(frame, number=5, due_ns=1)
        assert packed == [bgra] and picture.slot(rgba, "") is None
        assert picture.pixels(bgra) is picture.pixels(bgra) and packed == [bgra]
        ring = packer.ring(rgba)
        assert ring == packer.ring(rgba) and ring.slots == 15
        pictures = [packer.pack(frame, number=number, due_ns=1) for number in range(ring.slots)]
        assert pictures[0].slot(rgba, ring.name) is None, "the oldest is nearly lost"
        assert pictures[-1].slot(rgba, ring.name) is not None
        packer.want(shared=frozenset(), inline=frozenset())
        assert segments() == []
        again = packer.ring(rgba)
        assert pictures[-1].slot(rgba, again.name) is None, "another ring, whose slots hold other frames"


def test_a_writer_knows_how_long_a_frame_stays():
    layout = PixelLayout(width_px=16, height_px=16)
    image = np.zeros((16, 16, 3), np.uint8)
    with RingWriter(layout, num_slots=4) as ring, RingReader(ring.name) as reader:
        ticket = ring.write(image)
        for left in (3, 2, 1, 0):
            assert ring.num_until_lost(ticket) == left and reader.is_whole(ticket)
            ring.write(image)
        assert ring.num_until_lost(ticket) == -1 and not reader.is_whole(ticket)
