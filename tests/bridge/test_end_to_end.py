"""Prompts to frames between a real server and real clients on loopback."""

import itertools
import threading

import numpy as np
import pytest

import shotstream as ss
from shotstream.bridge import faults
from shotstream.bridge.messages import Flag
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.testing import FakeEngine, draw_chart, read_chart
from tests.bridge.raw import wait_for_event
from tests.bridge.waiting import PATIENCE_S, wait_until


def test_frames_are_those_of_the_film_bit_for_bit(serve, connect):
    server = serve(clock="demand")
    client = connect()
    client.cut("a fox", frames=30, seed=5)
    frames = list(client.frames(count=30, mode="lossless", timeout=PATIENCE_S))
    assert [frame.index for frame in frames] == list(range(30))
    for frame in frames:
        chart = draw_chart(
            server.film.spec, shot=0, block=frame.block, frame=frame.frame_in_shot, caption="a fox", seed=5
        )
        np.testing.assert_array_equal(frame.image, chart)
        assert frame.dropped == 0 and not frame.image.flags.writeable
    assert frames[0].is_cut and frames[0].command == 1 and not frames[1].is_cut
    assert frames[16].time_s == 1.0


def test_a_cut_reports_every_state_in_order(serve, connect):
    serve(clock="demand")
    client = connect()
    first = client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    next(frames)
    assert first.wait("presented", PATIENCE_S)
    second = client.cut("a bear")
    for frame in frames:
        if frame.command == second.command:
            break
    assert second.wait("presented", PATIENCE_S)
    times = list(second.times_ms.values())
    assert list(second.times_ms) == ["queued", "started", "generated", "on_air", "presented"]
    assert times == sorted(times) and second.latency_ms == times[-1] > 0
    assert second.frame == frame.index and frame.is_cut and frame.shot == 1
    assert read_chart(frame.image)["shot"] == 1


def test_every_command_reaches_the_film(serve, connect):
    film = serve(clock="demand").film
    client = connect()
    client.world("in the snow")
    assert film.global_caption == "in the snow"
    client.cut("a fox", frames=9)
    assert len(list(client.frames(count=9, mode="lossless", timeout=PATIENCE_S))) == 9
    client.pin(0, 3)
    assert film.pins == (ss.Pin(shot=0, frame=3),)
    client.unpin()
    assert film.pins == ()
    queued = client.cut("a bear", when="shot_end")
    queued.wait("queued", PATIENCE_S)
    changed = client.prompt("a sleeping bear")
    later = client.cut("an owl", when="shot_end")
    client.clear()
    assert not later.wait("on_air", PATIENCE_S) and later.state == "superseded" and "cleared" in later.note
    hold = client.hold()
    assert hold.kind == "hold" and film.held
    client.resume()
    assert not film.held
    assert changed.command == 3


def test_a_hold_is_on_air_once_nothing_more_is_made(serve, connect):
    serve(clock="demand")
    client = connect()
    client.cut("a fox")
    stream = client.open_stream(mode="lossless")
    wait_until(lambda: stream.ready)
    hold, indices = client.hold(), [stream.take().index]
    while not (hold.reached("on_air") and hold.frame == indices[-1]):
        stream.release()
        wait_until(lambda: stream.ready or hold.reached("on_air"))
        indices += [stream.take().index] if stream.ready else []
    stream.release()
    threading.Event().wait(0.1)
    assert not stream.ready and indices == list(range(hold.frame + 1))
    stream.close()
    with pytest.raises(faults.Timeout, match="no frame within"):
        next(client.frames(mode="lossless", timeout=0.05))


class Picky(FakeEngine):
    def open_shot(self, plan):
        if "ghost" in plan.caption:
            raise ss.ScriptError("there are no ghosts; ask for something else")
        super().open_shot(plan)


def test_a_refused_shot_fails_its_receipt_and_not_the_server(serve, connect):
    serve(clock="demand", engine=Picky())
    client = connect()
    frames = client.frames(count=3, mode="lossless", timeout=PATIENCE_S)  # first: a film tells whoever waits for frames
    refused = client.cut("a ghost")
    assert not refused.wait("on_air", PATIENCE_S) and refused.state == "failed" and "no ghosts" in refused.note
    assert "no ghosts" in wait_for_event(client, "engine").text
    client.cut("a fox")
    assert len(list(frames)) == 3


def test_a_command_that_the_film_refuses_raises_as_on_a_film(serve, connect):
    serve(clock="demand")
    client = connect()
    with pytest.raises(ss.ScriptError, match="is empty"):
        client.cut("   ")
    with pytest.raises(ss.ScriptError, match="no shot yet"):
        client.pin()
    assert client.status().shot == -1


def test_an_engine_that_stops_is_told_and_the_server_still_answers(serve, connect):
    serve(clock="demand", engine=FakeEngine(fail_at={(0, 1): RuntimeError("out of memory")}))
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    assert [next(frames).index for _ in range(9)] == list(range(9))
    stream = frames._stream
    stream.release()  # room for one more, which the engine cannot make
    assert "out of memory" in wait_for_event(client, "engine").text
    assert not stream.ready
    with pytest.raises(faults.Fault, match="out of memory"):
        client.cut("a bear")
    assert client.status().frame == 8


def test_two_clients_see_the_same_film_and_only_the_sender_gets_receipts(serve, connect):
    serve(clock="demand")
    director, viewer = connect(), connect(role="viewer")
    seen = {}

    def watch(name, client):
        seen[name] = [frame.index for frame in client.frames(count=20, mode="lossless", timeout=PATIENCE_S)]

    threads = [threading.Thread(target=watch, args=pair) for pair in (("one", director), ("two", viewer))]
    for thread in threads:
        thread.start()
    receipt = director.cut("a fox")
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(seen["one"]) == len(seen["two"]) == 20
    assert receipt.wait("presented", PATIENCE_S)
    assert wait_for_event(viewer, "shot_start").shot == 0 and viewer.events() == []


def test_a_slow_viewer_in_latest_mode_is_skipped_ahead(serve, connect):
    fast = ss.VideoSpec(width_px=64, height_px=64, fps=400)
    serve(engine=FakeEngine(fast), rate_hz=1000, burst=1000)
    client = connect()
    client.cut("a fox")
    previous, skipped = None, 0
    for frame in client.frames(count=8, timeout=PATIENCE_S):
        wait_until(lambda frame=frame: client.status().frame > frame.index + 5)
        if previous is not None:
            assert frame.dropped == frame.index - previous - 1
            skipped += frame.dropped
        previous = frame.index
    assert skipped > 20


def test_a_slow_viewer_in_queue_mode_is_told_of_the_gap(serve, connect):
    fast = ss.VideoSpec(width_px=64, height_px=64, fps=400)
    serve(engine=FakeEngine(fast), rate_hz=1000, burst=1000)
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="queue", queue=2, timeout=PATIENCE_S)
    first = next(frames)
    wait_until(lambda: client.status().viewers[0].dropped)
    seen = [next(frames) for _ in range(8)]
    assert [frame.index for frame in seen] == sorted({frame.index for frame in seen})
    gaps = [frame for frame in seen if frame.flags & Flag.GAP]
    assert gaps and gaps[0].dropped > 0 and seen[0].index > first.index
    assert wait_for_event(client, "gap").count == gaps[0].dropped


def test_a_full_spool_keeps_what_it_has_and_flags_the_hole(serve, connect):
    spec = ss.VideoSpec(width_px=128, height_px=128, fps=1000)
    serve(engine=FakeEngine(spec), spool_mb=1, rate_hz=1000, burst=1000)
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    seen = [next(frames)]
    wait_until(lambda: client.status().viewers[0].dropped)
    while not seen[-1].flags & Flag.GAP:
        seen.append(next(frames))
        assert len(seen) < 200
    assert len(seen) > 16 and seen[-1].dropped == seen[-1].index - seen[-2].index - 1 > 0
    whole = [frame.index for frame in seen[:-1]]
    assert whole == list(range(whole[0], whole[0] + len(whole)))


def test_frames_in_real_time_come_at_the_rate_of_the_film(serve, connect):
    serve(engine=FakeEngine(ss.VideoSpec(width_px=64, height_px=64, fps=100)))
    client = connect()
    client.cut("a fox")
    frames = list(client.frames(count=50, mode="queue", timeout=PATIENCE_S))
    assert len(frames) == 50 and 0 < client.status().fps < 110, "no faster than the film, however late it was"


def test_one_stream_at_a_time(serve, connect):
    serve()
    client = connect()
    frames = client.frames()
    with pytest.raises(ss.ConfigError, match="already"):
        client.frames()
    frames.close()
    client.frames().close()


def test_numbers_go_on_when_the_film_goes_back(serve, connect):
    film = serve(clock="demand", ahead=0).film
    client = connect()
    client.cut("a fox")
    frames = client.frames(mode="lossless", timeout=PATIENCE_S)
    before = [next(frames) for _ in range(9)]
    saved = film.snapshot()
    before += [next(frames) for _ in range(6)]
    film.restore(saved)
    after = list(itertools.islice(frames, 30))
    together = before + after
    assert [frame.index for frame in together] == list(range(45)), "no hole and no step back"
    (back,) = [frame for frame in together if frame.flags & Flag.RESTORED]
    assert back.flags & Flag.DISCONTINUITY and back.dropped == 0
    first = together.index(back)
    sources = [frame.source for frame in together]
    assert sources == [*range(first), *range(sources[first], sources[first] + 45 - first)] and sources[first] < first
    receipt = client.cut("a bear")
    frame = next(frame for frame in frames if frame.is_cut)
    assert receipt.wait("presented", PATIENCE_S) and receipt.frame == frame.index > frame.source
    assert client.status().frame >= frame.index


@pytest.mark.parametrize("origin", ["top_left", "bottom_left"])
@pytest.mark.parametrize("format", ["rgb8", "rgba8", "bgra8", "nv12"])
def test_pixels_come_in_the_format_asked_for(serve, connect, format, origin):
    server = serve(clock="demand")
    client = connect()
    client.cut("a fox", seed=3)
    (frame,) = client.frames(count=1, mode="lossless", format=format, origin=origin, timeout=PATIENCE_S)
    chart = draw_chart(server.film.spec, shot=0, block=0, frame=0, caption="a fox", seed=3)
    layout = PixelLayout(width_px=160, height_px=96, format=PixelFormat(format), origin=Origin(origin))
    for plane, expected in zip(frame.planes, layout.planes(layout.pack(chart)), strict=True):
        np.testing.assert_array_equal(plane, expected)
    upright = frame.image if origin == "top_left" else frame.image[::-1]
    if format == "rgba8":
        np.testing.assert_array_equal(upright[..., :3], chart)
    if format == "bgra8":
        np.testing.assert_array_equal(upright[..., 2::-1], chart)
    assert (frame.format, frame.origin) == (format, origin)


def test_a_server_that_was_not_built_offers_rgb_only(serve, connect, monkeypatch):
    for part in ("desk", "streams"):
        monkeypatch.setattr(f"shotstream.bridge.{part}.can_pack", lambda: False)
    serve(clock="demand")
    client = connect()
    assert client.stream.fmts == ("rgb8",)
    client.cut("a fox")
    with pytest.raises(ss.ScriptError, match="compiled module"):
        list(client.frames(count=1, format="rgba8", timeout=PATIENCE_S))
    assert len(list(client.frames(count=1, timeout=PATIENCE_S))) == 1
