"""Peers that send more than anybody can read: the server's memory stays bounded and its clients do not notice."""

import contextlib
import socket
import struct
import sys
import threading

import psutil
import pytest
import zmq

import shotstream as ss
from shotstream.bridge import wire
from shotstream.bridge.faults import Code
from shotstream.bridge.messages import Hello, Reject, Welcome
from tests.bridge.raw import RawPeer
from tests.bridge.waiting import PATIENCE_S, wait_until

MEGABYTE = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much a connection has sent")


def plain_zmtp(endpoint):
    """A TCP connection that has shaken hands as a DEALER without security, ZMTP 3.0."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    made.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
    made.recv(64, socket.MSG_WAITALL)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    made.sendall(bytes([4, len(ready)]) + ready)
    made.recv(2)
    return made


def pour(endpoint, megabytes, part_bytes):
    """Send one message that does not end; returns how much of it was taken."""
    part = b"\x03" + struct.pack(">Q", part_bytes) + bytes(part_bytes)
    poured = 0
    with plain_zmtp(endpoint) as made, contextlib.suppress(OSError):
        while poured < megabytes * MEGABYTE:
            made.sendall(part)
            poured += part_bytes
    return poured


@linux
@pytest.mark.parametrize("which", ["ctl", "frm"])
def test_a_message_without_an_end_is_cut_off(serve, connect, which):
    server = serve(clock="demand")
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    before = psutil.Process().memory_info().rss
    endpoint, part_bytes = (server.ctl, 60_000) if which == "ctl" else (server.frm, 1000)
    poured = pour(endpoint, 2000, part_bytes)
    assert poured < 1000 * MEGABYTE, "it was cut off"
    assert psutil.Process().memory_info().rss - before < 1000 * MEGABYTE
    assert client.status().rejected >= 1 and client.connections == 1
    assert [next(frames).index for _ in range(20)] == list(range(20))


@linux
def test_many_that_stay_just_below_the_bound_are_cut_off_together(serve, connect):
    server = serve(clock="demand")
    client = connect()
    before = psutil.Process().memory_info().rss
    part = b"\x03" + struct.pack(">Q", 60_000) + bytes(60_000)
    with contextlib.ExitStack() as ends:
        for _ in range(30):  # 7 MB each, of which 8 are allowed to one, and 64 to all
            made = ends.enter_context(plain_zmtp(server.ctl))
            with contextlib.suppress(OSError):
                for _ in range(7 * MEGABYTE // 60_000):
                    made.sendall(part)
        wait_until(lambda: client.status(ttl_ms=10_000).rejected >= 15 or threading.Event().wait(0.1))
        assert psutil.Process().memory_info().rss - before < 400 * MEGABYTE


def test_hellos_without_a_token_leave_nothing_behind(serve, ends, connect):
    """From 200 peers, 50 each: answered while ZeroMQ takes the answers, and forgotten."""
    server = serve(clock="demand")
    client = connect()
    context = ends.enter_context(zmq.Context())
    hello = wire.encode(Hello(proto_min=1, proto_max=1, token="0" * 64))
    before, answered = psutil.Process().memory_info().rss, 0
    for _ in range(10):
        with contextlib.ExitStack() as these:
            peers = [these.enter_context(context.socket(zmq.DEALER)) for _ in range(20)]
            for peer in peers:
                peer.linger = 0
                peer.connect(server.ctl)
                for _ in range(50):
                    peer.send_multipart(hello)
            for peer in peers:
                for _ in range(50):
                    assert peer.poll(1000 * PATIENCE_S)
                    answer = wire.decode(wire.server_messages, peer.recv_multipart())
                    assert isinstance(answer, Reject) and answer.code == Code.AUTH
                    answered += 1
    assert answered == 10_000
    assert len(server.clients) == 1 and not server._desk.strikes._strikes
    assert psutil.Process().memory_info().rss - before < 100 * MEGABYTE
    assert client.status().shot == -1


@linux
def test_connections_that_say_nothing_have_a_bound(serve, connect):
    server = serve(max_clients=4)
    client = connect()
    most = 3 * 4 + 16
    with contextlib.ExitStack() as ends:
        for _ in range(4 * most):
            with contextlib.suppress(OSError):
                ends.enter_context(plain_zmtp(server.ctl))
        intake = server._sockets.intakes[server._sockets.ctl]
        wait_until(lambda: intake.num_cut >= 3 * most)
        assert client.status().rejected >= 3 * most
    wait_until(lambda: len(intake._connections) == 1)
    with RawPeer(server.ctl, server.tokens["viewer"]) as late:
        assert isinstance(late.hello(role="viewer"), Welcome), "there is room again"


def test_a_busy_client_is_not_taken_for_a_flood(serve, connect):
    """Far more than the bound in all, and each message read in its turn."""
    server = serve(clock="demand", rate_hz=10_000, burst=10_000)
    client = connect()
    for _ in range(400):
        client.world("x" * 3900)
    with pytest.raises(ss.ScriptError):
        client.world("x" * 4050)
    peer_bytes = [one.waiting for one in server._sockets.intakes.values() for one in one._connections.values()]
    assert max(peer_bytes, default=0) < MEGABYTE and client.connections == 1 and client.status().rejected == 0
