"""Prepared shots, checkpoints, undo and save-files over the wire."""

import asyncio
import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.bridge import aio
from shotstream.bridge.faults import Code, Denied
from shotstream.bridge.messages import (
    MAX_CHUNK_BYTES,
    Ack,
    CheckpointRequest,
    DownloadRequest,
    Error,
    Flag,
    Hello,
    Saved,
    UploadRequest,
)
from shotstream.bridge.seal import SavedFilm, machine_key, seal, unseal
from shotstream.bridge.server import Server, ServerConfig
from shotstream.bridge.sessions import CHUNKS_BURST
from shotstream.errors import ConfigError, ScriptError
from shotstream.testing import FakeEngine, read_chart
from tests.bridge.raw import RawPeer, wait_for_event
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.micro import micro_engine

PATIENT = {"timeout": PATIENCE_S}


def hashes(frames):
    return [hashlib.sha256(frame.image.tobytes()).hexdigest() for frame in frames]


@pytest.fixture
def client(serve, connect):
    """A connected operator; frames come when they are asked for, and every one."""
    serve(clock="demand", ahead=0)
    return connect()


def taken(client, count):
    return list(client.frames(count=count, mode="lossless", **PATIENT))


# --- prepare and take --------------------------------------------------------------------------------------------


def test_a_prepared_shot_goes_on_air_when_it_is_taken(serve, connect):
    serve()
    client = connect()
    client.cut("running")
    shot = client.prepare("prepared", 30, seed=4)
    assert shot.wait("generated", PATIENCE_S)
    take = client.take(shot)
    for frame in client.frames(mode="lossless", **PATIENT):
        if frame.shot == 1:
            break
    assert frame.frame_in_shot == 0 and frame.is_cut and frame.seed == 4
    assert read_chart(frame.image)["shot"] == 1
    assert take.wait("presented", PATIENCE_S) and shot.wait("presented", PATIENCE_S)
    assert take.frame == shot.frame == frame.index


def test_the_frame_after_a_take_is_of_the_taken_shot(serve, connect):
    """In real time, at a frame in two seconds: the programme has not taken the next frame from the film already."""
    server = serve(engine=FakeEngine(ss.VideoSpec(width_px=32, height_px=32, fps=0.5)))
    client = connect()
    client.cut("running")
    shot = server.film.prepare("prepared")
    frames = client.frames(mode="lossless", **PATIENT)
    assert shot.wait("generated", PATIENCE_S)
    next(frames)
    last = next(frames)
    server.film.take(shot)
    frame = next(frames)
    assert (frame.shot, frame.frame_in_shot, frame.index) == (1, 0, last.index + 1)


def test_cancel_and_what_cannot_be_taken(client):
    shots = [client.prepare(name) for name in "abcd"]
    assert wait_until(lambda: shots[0].state == "superseded")
    client.cancel(shots[1])
    client.cancel()
    assert wait_until(lambda: all(shot.state == "superseded" for shot in shots))
    for use in (lambda: client.take(shots[3]), lambda: client.cancel(999)):
        with pytest.raises(ScriptError, match="no prepared shot"):
            use()


@pytest.mark.parametrize("role", ["viewer", "trigger"])
def test_only_a_director_prepares(serve, connect, role):
    serve()
    client = connect(role=role)
    for use in (lambda: client.prepare("a"), lambda: client.take(1), client.cancel, client.undo):
        with pytest.raises(Denied):
            use()


# --- checkpoints -------------------------------------------------------------------------------------------------


def test_restore_makes_the_same_frames_again_under_new_numbers(client):
    client.cut("a")
    frames = client.frames(mode="lossless", **PATIENT)
    once = [next(frames) for _ in range(5)]
    saved = client.checkpoint("here")
    assert (saved.name, saved.shot) == ("here", 0) and saved.bytes > 0
    later = client.cut("later", "shot_end")
    once += [next(frames) for _ in range(40)]
    client.restore("here")
    assert wait_for_event(client, "restored").name == "here"
    assert wait_until(lambda: later.state == "superseded") and "restored" in later.note
    again, old = after_restore(frames, 20)
    once += old
    assert [frame.index for frame in once + again] == list(range(65 + len(old))), "numbers on the wire go on"
    assert again[0].flags & Flag.DISCONTINUITY
    assert [frame.source for frame in again] == list(range(saved.frame, saved.frame + 20))
    assert not any(frame.flags & Flag.RESTORED for frame in once + again[1:])
    shown = dict(zip([frame.source for frame in once], hashes(once), strict=True))
    assert hashes(again) == [shown[frame.source] for frame in again]


def after_restore(frames, count):
    """The first ``count`` frames after the film went back, and those of the old past that were on their way."""
    old = []
    while not (frame := next(frames)).flags & Flag.RESTORED:
        old.append(frame)
    return [frame, *(next(frames) for _ in range(count - 1))], old


def test_a_branch_goes_another_way_and_is_the_parent_of_what_follows(serve, connect):
    serve(clock="demand", ahead=0, engine=micro_engine())
    client = connect()
    client.cut("a")
    frames = client.frames(mode="lossless", **PATIENT)
    next(frames)
    client.checkpoint("here")

    def run(seed):
        client.branch("here", seed=seed)
        return hashes(after_restore(frames, 40)[0])

    one, again, other = run(1), run(1), run(2)
    assert one == again != other
    client.checkpoint("there")
    client.branch("here")
    assert {info.name: info.parent for info in client.checkpoints()} == {"here": "", "there": "here"}


def test_checkpoints_are_listed_replaced_and_forgotten(client):
    client.cut("a")
    taken(client, 3)
    client.checkpoint("one")
    client.checkpoint("two")
    taken(client, 12)
    client.checkpoint("one")
    assert [info.name for info in client.checkpoints()] == ["two", "one"]
    client.forget("two")
    (info,) = client.checkpoints()
    assert info.name == "one" and info.bytes == len(client.download("one"))
    for use in (client.restore, client.forget, client.branch, client.download):
        with pytest.raises(ScriptError, match="no checkpoint 'two'"):
            use("two")


def test_names_are_names_and_nothing_else(client):
    for name in ("", "../up", "a/b", "a b", "x" * 65, "a.b", "a\n", "ä"):
        with pytest.raises(ss.ShotstreamError):
            client.checkpoint(name)
    assert client.checkpoints() == ()


def test_a_game_may_save_and_restore_but_not_rewrite(serve, connect):
    serve()
    connect().cut("a")
    game, viewer = connect(role="trigger"), connect(role="viewer")
    game.checkpoint("slot1")
    game.restore("slot1")
    data = game.download("slot1")
    game.upload("slot2", data)
    game.forget("slot2")
    for use in (lambda: game.branch("slot1"), game.undo):
        with pytest.raises(Denied):
            use()
    for use in (
        lambda: viewer.checkpoint("x"),
        lambda: viewer.restore("slot1"),
        lambda: viewer.forget("slot1"),
        lambda: viewer.download("slot1"),
        lambda: viewer.upload("slot1", data),
    ):
        with pytest.raises(Denied):
            use()
    assert viewer.checkpoints() == ()


def test_no_more_than_sixteen(client):
    client.cut("a")
    for number in range(16):
        client.checkpoint(f"s{number}")
    with pytest.raises(ScriptError, match="forget one"):
        client.checkpoint("more")
    client.checkpoint("s3")


# --- undo --------------------------------------------------------------------------------------------------------


def test_undo_goes_back_to_where_a_shot_began(client):
    client.cut("a", frames=12)
    client.cut("b", "shot_end", frames=12)
    client.cut("c", "shot_end", frames=200)
    frames = client.frames(mode="queue", queue=1, **PATIENT)  # on demand, one at a time: the next is never far ahead
    once = [next(frames) for _ in range(30)]
    assert [frame.shot for frame in once] == [0] * 12 + [1] * 12 + [2] * 6

    def after_undo(n):
        client.undo(n)
        frame = after_restore(frames, 1)[0][0]
        return frame.shot, frame.frame_in_shot, frame.source

    assert after_undo(2) == (1, 0, 12)
    assert after_undo(1) == (1, 0, 12), "shot 1 is on air again"
    assert after_undo(2) == (0, 0, 0)
    with pytest.raises(ScriptError, match="starts of 1"):
        client.undo(2)


def test_a_restore_leaves_nothing_to_undo(client):
    client.cut("a", frames=12)
    taken(client, 3)
    client.checkpoint("here")
    client.restore("here")
    with pytest.raises(ScriptError, match="starts of 0"):
        client.undo()


def test_undo_can_be_left_out(serve, connect):
    serve(undo=False)
    client = connect()
    client.cut("a", frames=12)
    with pytest.raises(ScriptError, match="keeps no starts"):
        client.undo()


# --- save-files --------------------------------------------------------------------------------------------------

SERVER = """
import shotstream as ss, sys
from pathlib import Path
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
with Server(ss.open(sys.argv[1], ahead=0, seed=5), ServerConfig(clock="demand")) as server:
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def server_process(ends):
    def start(bundle):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ends.callback(process.wait)
        ends.callback(process.kill)
        assert process.stdout.readline() == "ready\n"
        return process

    return start


@pytest.mark.parametrize("bundle", ["test-chart", "storyworld-tiny"])
def test_a_save_file_goes_on_in_a_server_that_was_started_after_a_crash(server_process, connect, bundle):
    process = server_process(bundle)
    client = connect()
    client.cut("wide shot: a red fox walks through a snowy forest")
    frames = client.frames(mode="lossless", **PATIENT)
    next(frames)
    game = connect(role="trigger")
    saved = game.checkpoint("slot1")
    data = game.download("slot1")
    want = {}
    while len(want) < 40:
        frame = next(frames)
        want[frame.source] = hashes([frame])[0]
    process.kill()
    process.wait()
    client.close()  # it would come back and take the first frames
    process = server_process(bundle)
    game = connect(role="trigger")
    assert game.checkpoints() == ()
    game.upload("slot1", data)
    game.restore("slot1")
    got = taken(connect(role="viewer"), 12)
    assert [frame.source for frame in got] == list(range(saved.frame, saved.frame + 12))
    assert hashes(got) == [want[frame.source] for frame in got]


def test_a_folder_keeps_checkpoints_over_a_restart(connect, tmp_path):
    for start in range(2):
        with Server(ss.open("test-chart"), ServerConfig(saves=tmp_path / "saves")), ss.connect() as client:
            if start == 0:
                client.cut("a", frames=12)
                client.checkpoint("kept")
            assert [info.name for info in client.checkpoints()] == ["kept"]
            client.restore("kept")


def test_a_folder_that_cannot_be_used_stops_the_server(tmp_path):
    (tmp_path / "file").write_text("in the way")
    film = ss.open("test-chart")
    with pytest.raises(ConfigError, match="cannot be used"):
        Server(film, ServerConfig(saves=tmp_path / "file" / "saves")).__enter__()
    assert film.closed


def other_film():
    """A snapshot of a film that says something which nobody here has asked for."""
    with ss.open(engine=FakeEngine()) as film:
        film.cut("smuggled words", frames=12)
        return film.snapshot()


def test_a_game_cannot_smuggle_words_in(serve, connect):
    serve(clock="demand", ahead=0)
    game, director = connect(role="trigger"), connect(role="director")
    forged = seal(SavedFilm(film=other_film(), frame=0, shot=-1), b"x" * 32)
    with pytest.raises(Denied, match="director"):
        game.upload("slot", forged)
    assert game.checkpoints() == ()
    director.upload("slot", forged)
    data = game.download("slot")
    game.upload("again", data)  # a director has vouched for it
    game.restore("again")
    assert taken(director, 1)[0].shot == 0


def test_what_is_no_save_file_of_this_film_is_refused_and_the_film_stays(client):
    client.cut("a")
    before = taken(client, 4)
    client.checkpoint("good")
    data = client.download("good")
    saved, _ = unseal(data, machine_key())
    with ss.open(engine=FakeEngine(name="another")) as film:
        foreign = film.snapshot()
    cases = [
        b"x" * 100,
        data[:-1],
        data[:100] + bytes([data[100] ^ 1]) + data[101:],
        seal(SavedFilm(film=b"no film", frame=0, shot=0), machine_key()),
        seal(SavedFilm(film=saved.film[:-1], frame=0, shot=0), machine_key()),
        seal(SavedFilm(film=foreign, frame=0, shot=0), machine_key()),
        seal(SavedFilm(film=saved.film, frame=0, shot=0, story=b"{"), machine_key()),
        seal(SavedFilm(film=saved.film, frame=0, shot=0, story=b"[1]"), machine_key()),
    ]
    for case in cases:
        with pytest.raises(ScriptError):
            client.upload("bad", case)
    assert [info.name for info in client.checkpoints()] == ["good"]
    after = taken(client, 30)
    assert not any(frame.flags for frame in after) and after[0].source > before[-1].source


def test_what_is_told_of_an_upload_is_read_from_it_and_not_believed(client):
    client.cut("a")
    taken(client, 4)
    client.checkpoint("good")
    saved, _ = unseal(client.download("good"), machine_key())
    lie = seal(SavedFilm(film=saved.film, frame=77_777, shot=99), b"x" * 32)
    told = client.upload("lie", lie)
    assert (told.frame, told.shot) == (saved.frame, saved.shot)


def test_many_chunks_do_not_use_up_the_rate_of_commands(serve, connect):
    engine = FakeEngine(ss.VideoSpec(width_px=320, height_px=192))
    serve(clock="demand", ahead=64, engine=engine, rate_hz=1, burst=8)
    client = connect()
    client.cut("a")
    taken(client, 1)
    client.checkpoint("big")
    data = client.download("big")
    saved, _ = unseal(data, machine_key())
    wide = seal(SavedFilm(film=saved.film, frame=saved.frame, shot=saved.shot), machine_key())
    client.upload("back", wide)
    assert client.download("back") == wide


def test_a_save_file_of_many_chunks_survives_the_way(serve, connect):
    """More chunks than may come at once: the client waits as it is told to."""
    engine = FakeEngine(ss.VideoSpec(width_px=832, height_px=480))
    server = serve(clock="demand", engine=engine)
    client = connect()
    data = os.urandom((CHUNKS_BURST + 40) * MAX_CHUNK_BYTES + 5)
    server._saves._store.put("big", data, SavedFilm(film=b"", frame=0, shot=0))
    assert client.download("big") == data
    with pytest.raises(ScriptError, match="save-file begins with"):
        client.upload("big", data)


# --- uploads, byte by byte ---------------------------------------------------------------------------------------


@pytest.fixture
def peer(serve, ends):
    server = serve()
    server.film.cut("a", frames=12)
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["director"]))
    peer.server = server
    peer.welcome = peer.hello(role="director")
    peer.next = 0
    return peer


def ask(peer, kind, **fields):
    peer.next += 1
    peer.say(peer.request(kind, peer.welcome, id=peer.next, **{"ttl": 60_000, **fields}))
    while (answer := peer.hear()) is not None:
        if getattr(answer, "id", None) == peer.next:
            return answer
    raise AssertionError("no answer")


def send(peer, name, total, offset, data):
    return ask(peer, UploadRequest, name=name, total=total, offset=offset, data=data)


def test_an_upload_comes_in_order_or_not_at_all(peer):
    assert isinstance(ask(peer, CheckpointRequest, name="a"), Saved)
    data = ask(peer, DownloadRequest, name="a").data
    total = len(data)
    assert send(peer, "b", total, 10, data[10:]).code == Code.INVALID, "it begins at 0"
    assert isinstance(send(peer, "b", total, 0, data[:10]), Ack)
    assert send(peer, "c", total, 10, data[10:]).code == Code.INVALID, "another name"
    assert send(peer, "b", total + 1, 10, data[10:]).code == Code.INVALID, "another size"
    assert send(peer, "b", total, 9, data[9:]).code == Code.INVALID, "bytes that came already"
    assert send(peer, "b", total, 10, data[10:]).code == Code.INVALID, "that ended it"
    assert isinstance(send(peer, "b", total, 0, data[:10]), Ack)
    assert send(peer, "b", total, 10, data[10:] + b"x").code == Code.INVALID, "more than was said"
    assert isinstance(send(peer, "b", total, 0, data[:5]), Ack)
    assert isinstance(send(peer, "b", total, 0, data[:10]), Ack), "a new beginning replaces the old one"
    assert isinstance(send(peer, "b", total, 10, data[10:]), Saved)


def test_the_same_chunk_again_is_answered_and_not_counted_twice(peer):
    assert isinstance(ask(peer, CheckpointRequest, name="a"), Saved)
    data = ask(peer, DownloadRequest, name="a").data
    for offset, part in ((0, data[:10]), (10, data[10:])):
        answer = send(peer, "b", len(data), offset, part)
        peer.next -= 1
        assert send(peer, "b", len(data), offset, part) == answer


def test_downloads_stay_within_the_checkpoint(peer):
    saved = ask(peer, CheckpointRequest, name="a")
    last = ask(peer, DownloadRequest, name="a", offset=saved.bytes - 1)
    assert len(last.data) == 1 and last.total == saved.bytes
    assert ask(peer, DownloadRequest, name="a", offset=saved.bytes).code == Code.INVALID
    assert ask(peer, DownloadRequest, name="none").code == Code.INVALID


def test_uploads_of_all_clients_together_are_bounded(serve, ends, monkeypatch):
    monkeypatch.setattr("shotstream.bridge.saves.MAX_UPLOADS_BYTES", 1000)
    server = serve(lease_ms=500)
    peers = [ends.enter_context(RawPeer(server.ctl, server.tokens["trigger"])) for _ in range(2)]
    for peer in peers:
        peer.welcome, peer.next = peer.hello(role="trigger"), 0
    assert isinstance(send(peers[0], "a", 900, 0, b"x"), Ack)
    busy = send(peers[1], "b", 200, 0, b"x")
    assert isinstance(busy, Error) and busy.code == Code.BUSY and busy.retry_ms > 0
    assert isinstance(send(peers[1], "b", 100, 0, b"x"), Ack)
    # A client that is gone gives its room back.
    wait_until(lambda: not len(server.clients))
    other = ends.enter_context(RawPeer(server.ctl, server.tokens["trigger"]))
    other.welcome, other.next = other.hello(role="trigger"), 0
    assert isinstance(send(other, "c", 950, 0, b"x"), Ack)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(1, 300),
            st.integers(0, 300),
            st.binary(min_size=1, max_size=200),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_no_sequence_of_uploads_disturbs_the_server(peer, steps):
    for name, total, offset, data in steps:
        answer = send(peer, name, total, offset, data)
        assert isinstance(answer, (Ack, Error))
        if isinstance(answer, Error):
            assert answer.code in (Code.INVALID, Code.RATE), answer
    assert not peer.server.film.closed


# --- asyncio, and clients that are lost --------------------------------------------------------------------------


def test_the_same_for_asyncio(serve):
    serve()

    async def play():
        async with aio.connect() as client:
            await client.cut("a")
            await client.checkpoint("x")
            shot = await client.prepare("b")
            assert await client.wait(shot, "generated", PATIENCE_S)
            take = await client.take(shot)
            assert await client.wait(take, "on_air", PATIENCE_S)
            data = await client.download("x")
            await client.upload("y", data)
            await client.restore("y")
            await client.branch("x", seed=3)
            await client.forget("x")
            await client.prepare("c")
            await client.cancel()
            assert [info.name for info in await client.checkpoints()] == ["y"]
            with pytest.raises(ScriptError, match="starts of"):
                await client.undo(16)

    asyncio.run(play())


@pytest.mark.parametrize("wish", ["keep", "hold"])
def test_what_happens_to_the_film_when_a_client_is_lost(serve, ends, wish):
    server = serve(lease_ms=300)
    server.film.cut("a")
    with RawPeer(server.ctl, server.tokens["operator"]) as peer:
        peer.hello(role="operator", on_disconnect=wish)
        wait_until(lambda: len(server.clients) == 1)
    wait_until(lambda: not len(server.clients))
    if wish == "hold":
        wait_until(lambda: server.film.held)
    assert server.film.held == (wish == "hold")


def test_a_hold_at_the_loss_of_a_client_needs_an_operator(serve, ends):
    server = serve()
    peer = ends.enter_context(RawPeer(server.ctl, server.tokens["director"]))
    peer.say(Hello(proto_min=1, proto_max=1, token=server.tokens["director"], role="director", on_disconnect="hold"))
    assert peer.hear().code == Code.DENIED


def test_the_client_hands_its_wish_on_and_a_goodbye_is_no_loss(serve):
    server = serve(lease_ms=300)
    server.film.cut("a")
    with ss.connect(on_disconnect="hold"):
        (session,) = list(server.clients)
        assert session.on_disconnect == "hold"
    wait_until(lambda: not len(server.clients))
    assert not server.film.held
