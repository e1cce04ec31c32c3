"""The client through outages, restarts, hung servers and wrong keys; and its asyncio twin."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import shotstream as ss
from shotstream.bridge import aio, auth, faults
from shotstream.bridge.messages import Credit, Flag
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from tests.bridge.waiting import PATIENCE_S, Stalls, halt, wait_until


def start(**options):
    return Server(ss.open("test-chart", engine=FakeEngine()), ServerConfig(**options)).start()


class Oversize(Credit, frozen=True, kw_only=True, tag="c"):
    pad: str


# --- outages -----------------------------------------------------------------------------------------------------


def test_frames_go_on_after_the_server_was_restarted(connect, ends):
    first = ends.enter_context(contextlib.closing(start(clock="demand")))
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    before = [next(frames) for _ in range(5)]
    first.close()
    second = ends.enter_context(contextlib.closing(start(clock="demand")))
    second.film.cut("a bear")
    while before[-1].epoch != second.epoch:
        before.append(next(frames))
    after = before.pop()
    assert after.epoch == second.epoch and after.flags & Flag.DISCONTINUITY
    assert not next(frames).flags & Flag.DISCONTINUITY
    assert after.index == before[-1].index + 1, "numbers go on where the server before it stopped"
    receipt = client.cut("an owl")
    shown = next(frame for frame in frames if frame.command == receipt.command)
    assert receipt.wait("presented", PATIENCE_S) and receipt.frame == shown.index > shown.source
    assert client.connections >= 2


def test_a_cut_from_before_the_restart_never_fires(connect, ends):
    first = ends.enter_context(contextlib.closing(start()))
    client = connect()
    receipt = client.cut("a fox", when="shot_end")
    first.close()
    wait_until(lambda: not client.connected)
    failed = []

    def cut():
        try:
            client.cut("an old cut", ttl_ms=60_000)
        except ss.BridgeError as error:
            failed.append(error)

    thread = threading.Thread(target=cut)
    thread.start()
    wait_until(lambda: client._link._unsent)
    second = ends.enter_context(contextlib.closing(start()))
    thread.join(PATIENCE_S)
    assert isinstance(failed[0], faults.StaleCommand)
    assert second.film.stats().first_command_at is None and second.film.shot == -1
    wait_until(lambda: receipt.error is not None or receipt.final)
    assert receipt.final or isinstance(receipt.error, faults.ConnectionLost)


def test_a_command_without_a_server_fails_in_time(connect, ends):
    first = ends.enter_context(contextlib.closing(start()))
    client = connect()
    first.close()
    wait_until(lambda: not client.connected)
    began = time.monotonic()
    with Stalls() as stalls, pytest.raises(faults.Timeout):
        client.cut("a fox", ttl_ms=100)
    assert time.monotonic() - began < 1.0 + stalls.late_s
    assert isinstance(client.error, ss.BridgeError)


def test_an_outage_of_the_link_alone_loses_no_session(serve, connect):
    server = serve(clock="demand")
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    indices = [next(frames).index for _ in range(5)]
    session = client._link.welcome.session
    client.reconnect()
    wait_until(lambda: client.connections >= 2)
    assert client._link.welcome.resumed and client._link.welcome.session == session
    indices += [next(frames).index for _ in range(40)]
    assert indices == sorted(set(indices)) and len(server.clients) == 1


def test_a_lost_frame_socket_alone_is_noticed(serve, connect):
    server = serve(clock="demand")
    client = connect()
    client.cut("a fox")
    frames = client.frames(timeout=PATIENCE_S)
    next(frames)
    # More than the server takes on this socket: ZeroMQ ends that connection and makes it anew, unknown to the server.
    client._link._credits.append(Oversize(s=client._link.welcome.session, st=1, pad="x" * 2000))
    client._link._wake.ring()
    wait_until(lambda: client.connections >= 2)
    assert next(frames).index > 0 and len(server.clients) == 1


def test_a_hung_server_is_noticed_and_no_call_hangs(runtime):
    command = [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart"]
    path = os.pathsep.join([str(Path(ss.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
    try:
        wait_until((runtime / "default.json").exists)
        with ss.connect() as client:
            halt(process.pid)
            began = time.monotonic()
            with Stalls() as stalls, pytest.raises(faults.Timeout):
                client.cut("a fox")
            assert time.monotonic() - began < 2.5 + stalls.late_s
            wait_until(lambda: not client.connected)
            os.kill(process.pid, signal.SIGCONT)
            assert client.wait_connected(PATIENCE_S)
            assert client.status(ttl_ms=60_000).shot == -1, "the cut was too old when the server woke up"
    finally:
        process.kill()
        process.wait()


def test_a_killed_server_leaves_nothing_in_the_way_of_the_next(runtime, ends):
    command = [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart"]
    path = os.pathsep.join([str(Path(ss.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
    try:
        wait_until((runtime / "default.json").exists)
        client = ends.enter_context(ss.connect())
        process.kill()
        process.wait()
        server = ends.enter_context(contextlib.closing(start()))
        wait_until(lambda: client.connections >= 2)
        assert client.status().shot == -1 and client._link.welcome.epoch == server.epoch
    finally:
        process.kill()
        process.wait()


def test_a_suspended_client_finds_its_way_back(serve, connect):
    server = serve(lease_ms=60)
    client = connect()
    wait_until(lambda: not len(server.clients))
    client.world("in the snow", ttl_ms=60_000)
    assert server.film.global_caption == "in the snow"


# --- refusals ----------------------------------------------------------------------------------------------------


def test_no_server_is_said_with_the_remedy():
    with pytest.raises(ss.BridgeError, match="shotstream serve"):
        ss.connect(timeout=0.1)


def test_nobody_on_the_port_is_said():
    with pytest.raises(faults.ConnectionLost, match="no server answered"):
        ss.connect("tcp://127.0.0.1:9", token="x", timeout=0.2)


def test_a_wrong_token_is_an_auth_error(serve):
    server = serve()
    with pytest.raises(faults.AuthError, match="token"):
        ss.connect(server.ctl, token="0" * 64, timeout=PATIENCE_S)


def test_more_than_the_token_opens_is_denied(serve):
    server = serve()
    with pytest.raises(faults.Denied, match="'viewer' is granted"):
        ss.connect(server.ctl, token=server.tokens["viewer"], role="director", timeout=PATIENCE_S)


def test_a_viewer_is_denied_a_cut(serve, connect):
    serve()
    with pytest.raises(faults.Denied):
        connect(role="viewer").cut("a fox")


def test_arguments_that_do_not_fit_are_refused(serve, connect):
    for arguments in ({"token": "x"}, {"name": "../x"}, {"endpoint": "tcp://10.0.0.1:5", "token": "x"}):
        with pytest.raises(ss.ConfigError):
            ss.connect(**arguments, timeout=0.1)
    with pytest.raises(ss.ConfigError, match="no port"):
        ss.connect("tcp://127.0.0.1", token="x", timeout=0.1)
    serve()
    client = connect()
    for arguments in (
        {"count": 0},
        {"queue": 0},
        {"queue": 65},
        {"mode": "all"},
        {"format": "yuv"},
        {"origin": "left"},
    ):
        with pytest.raises(ss.ConfigError):
            client.frames(**arguments)


def test_a_closed_client_says_so(serve, connect):
    serve()
    client = connect()
    frames = client.frames(timeout=PATIENCE_S)
    threading.Timer(0.1, client.close).start()
    with pytest.raises(ss.ClosedError):
        next(frames)
    with pytest.raises(ss.ClosedError):
        client.status()
    client.close()


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    for name in ("server", "friend", "stranger", "other"):
        auth.generate_keys(tmp_path, name)
    (tmp_path / "allowed/director").mkdir(parents=True)
    shutil.copy(tmp_path / "friend.key", tmp_path / "allowed/director")
    return tmp_path


@pytest.fixture
def secure(keys, serve):
    pair = auth.load_keys(keys / "server.key_secret")
    return serve(bind="tcp://127.0.0.1", keys=pair, allow=keys / "allowed")


def knock(keys, server, name="friend", server_key="server", role="director", timeout=PATIENCE_S):
    return ss.connect(
        server.ctl,
        keys=keys / f"{name}.key_secret",
        server_key=keys / f"{server_key}.key",
        role=role,
        timeout=timeout,
    )


def test_a_listed_key_gets_its_role_and_frames(keys, secure):
    with knock(keys, secure) as client:
        client.cut("a fox")
        assert len(list(client.frames(count=3, mode="queue", timeout=PATIENCE_S))) == 3
    with pytest.raises(faults.Denied):
        knock(keys, secure, role="operator")


def test_an_unlisted_key_is_refused(keys, secure):
    with pytest.raises(faults.AuthError, match="allow-list"):
        knock(keys, secure, "stranger")


def test_a_revoked_key_is_refused_at_its_next_connection(keys, secure):
    knock(keys, secure).close()
    (keys / "allowed/director/friend.key").unlink()
    with pytest.raises(faults.AuthError):
        knock(keys, secure)
    shutil.copy(keys / "friend.key", keys / "allowed/director")
    knock(keys, secure).close()


def test_a_wrong_server_key_or_none_gets_nowhere(keys, secure):
    with pytest.raises(faults.AuthError, match="public key the one given"):
        knock(keys, secure, server_key="other")
    with pytest.raises(faults.AuthError, match="want CURVE keys"):
        ss.connect(secure.ctl, token=secure.tokens["operator"], timeout=PATIENCE_S)
    assert not len(secure.clients) and not auth.read_connection(secure.connection_file).tokens


def test_keys_and_their_list_go_together(keys):
    pair = auth.load_keys(keys / "server.key_secret")
    with pytest.raises(ss.ConfigError, match="go together"):
        ServerConfig(bind="tcp://0.0.0.0:1", keys=pair)
    with pytest.raises(ss.ConfigError, match="no secret key"):
        auth.load_keys(keys / "server.key")
    with pytest.raises(ss.ConfigError, match="holds no key"):
        auth.load_keys(keys / "nothing.key_secret")


# --- asyncio -----------------------------------------------------------------------------------------------------


def test_the_asyncio_client_does_the_same(serve):
    film = serve(clock="demand").film

    async def show():
        async with aio.connect() as client:
            await client.world("in the snow")
            receipt = await client.cut("a fox", frames=20)
            indices = [frame.index async for frame in client.frames(count=20, mode="lossless", timeout=PATIENCE_S)]
            assert await client.wait(receipt, "presented", PATIENCE_S)
            await client.pin(0)
            status = await client.status()
            await client.unpin()
            await client.clear()
            assert (await client.prompt("a bear")).kind == "prompt"
            assert (await client.hold()).kind == "hold"
            await client.resume()
            with pytest.raises(ss.ScriptError):
                await client.cut("")
            with pytest.raises(faults.Timeout):
                async for _ in client.frames(timeout=0.05, mode="queue"):
                    pass
            while not (events := client.events()):
                await asyncio.sleep(0.005)
            assert [event.kind for event in events] == ["shot_start"]
            return indices, status, receipt

    indices, status, receipt = asyncio.run(show())
    assert indices == list(range(20)) and status.frame == 19 and receipt.latency_ms > 0
    assert film.global_caption == "in the snow"


def test_waiting_for_frames_does_not_block_the_loop(serve):
    serve()

    async def show():
        async with aio.connect() as client:

            async def wait():
                async for _ in client.frames():
                    raise AssertionError("there is no shot, hence no frame")

            waiting = asyncio.create_task(wait())
            for _ in range(10):
                await asyncio.sleep(0.005)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert client.sync._stream is None

    asyncio.run(asyncio.wait_for(show(), PATIENCE_S))


def test_no_socket_is_left_behind_and_closing_is_quick(ends):
    server = ends.enter_context(contextlib.closing(start()))
    clients = [ss.connect() for _ in range(3)]
    clients[0].reconnect()
    wait_until(lambda: clients[0].connections >= 2)
    server.close()
    wait_until(lambda: not clients[1].connected)
    for client in clients:
        began = time.monotonic()
        with Stalls() as stalls:
            client.close()
        assert time.monotonic() - began < 1.0 + stalls.late_s
        assert client._link._context.closed and not client._link._thread.is_alive()
