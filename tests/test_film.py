"""What users of ``shotstream.open`` rely on, against the test chart engine."""

import asyncio
import dataclasses
import hashlib
import sys
import threading
import time
import zlib

import numpy as np
import pytest

import shotstream as ss
from shotstream.story.checkpoint import pack, unpack
from shotstream.testing import FakeEngine, read_chart
from tests.micro import write_micro_bundle

SPEC = ss.VideoSpec(width_px=160, height_px=96)


@pytest.fixture
def film():
    with ss.open("test-chart", seed=7) as film:
        yield film


def digest(frames):
    total = hashlib.sha256()
    for frame in frames:
        total.update(np.ascontiguousarray(frame.image).tobytes())
    return total.hexdigest()


def check_charts(frames):
    """Every frame is the picture that its fields claim."""
    for frame in frames:
        shown = read_chart(frame.image)
        assert (shown["shot"], shown["block"], shown["frame"]) == (frame.shot, frame.block, frame.frame_in_shot)


def test_ten_line_program():
    shown = []
    with ss.open("test-chart", seed=7) as film:
        film.cut("wide shot: a red fox walks through a snowy forest")
        for frame in film.frames(seconds=6):
            shown.append(frame.image)
        receipt = film.cut("close-up: the fox looks up at the stars")
    assert len(shown) == 96
    assert shown[0].dtype == np.uint8 and shown[0].shape == (96, 160, 3)
    assert receipt.state == "superseded"


def test_frames_are_gapless_and_say_where_they_stand(film):
    film.cut("a", frames=20)
    film.cut("b", when="shot_end", frames=10)
    frames = list(film.frames())
    check_charts(frames)
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.shot for frame in frames] == [0] * 20 + [1] * 10
    assert [frame.index for frame in frames if frame.is_cut] == [0, 20]
    assert frames[16].time_s == 1.0
    assert {frame.seed for frame in frames} == {7}


def test_frames_stop_at_the_end_and_go_on_after_the_next_cut(film):
    film.cut("a", frames=5)
    assert len(list(film.frames())) == 5
    assert list(film.frames()) == []
    film.cut("b", frames=5)
    assert [frame.shot for frame in film.frames()] == [1] * 5


def test_frames_before_any_cut_are_refused(film):
    with pytest.raises(ss.ScriptError, match="before the first shot"):
        next(film.frames())


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"seconds": 1e9},
        {"seconds": "1"},
        {"count": 0},
        {"count": 10**9},
        {"seconds": 1, "count": 1},
    ],
)
def test_bad_limits_are_refused_where_the_call_stands(film, limits):
    with pytest.raises(ss.ScriptError):
        film.frames(**limits)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": ""},
        {"prompt": "x" * 10**6},
        {"prompt": "a", "frames": 0},
        {"prompt": "a", "frames": 10**9},
        {"prompt": "a", "when": "soon"},
        {"prompt": "a", "seed": -1},
    ],
)
def test_refused_cut_changes_nothing(film, arguments):
    with pytest.raises(ss.ScriptError):
        film.cut(**arguments)
    film.cut("a", frames=3)
    assert len(list(film.frames())) == 3


def test_receipt_names_the_frame_it_first_affects(film):
    film.cut("a")
    list(film.frames(count=3))
    receipt = film.cut("b", frames=9)
    frames = list(film.frames())
    first = next(frame for frame in frames if frame.shot == 1)
    assert receipt.frame == first.index
    assert first.receipts == (receipt.id,) and first.is_cut
    assert receipt.state == "delivered"
    assert list(receipt.times) == ["queued", "started", "generated", "delivered"]
    assert sorted(receipt.times.values()) == list(receipt.times.values())
    assert receipt.latency_ms == pytest.approx((receipt.times["delivered"] - receipt.times["queued"]) * 1e3)


def test_prompt_changes_words_without_a_cut(film):
    film.cut("a", frames=40)
    list(film.frames(count=1))
    receipt = film.prompt("b")
    frames = list(film.frames())
    changed = frames[[frame.prompt for frame in frames].index("b")]
    assert changed.revision == 1 and changed.shot == 0 and not changed.is_cut
    assert receipt.frame == changed.index
    assert {frame.shot for frame in frames} == {0}


def test_prompt_before_any_cut_is_refused(film):
    with pytest.raises(ss.ScriptError, match="call cut"):
        film.prompt("b")


def test_words_the_bundle_does_not_know_are_reported():
    with ss.open(engine=FakeEngine(unknown_words=("zebra",))) as film:
        receipt = film.cut("a zebra", frames=1)
        list(film.frames())
        assert film.stats().notes == ["shot 0: words the bundle does not know: zebra"]
    assert "zebra" in receipt.note


def test_hold_stops_and_the_shot_goes_on_after_it(film):
    film.cut("a", frames=60)
    before = list(film.frames(count=1))
    receipt = film.hold()
    assert receipt.wait("delivered", timeout=10)
    before += film.frames()
    assert receipt.frame == before[-1].index < 59
    assert list(film.frames()) == []
    film.resume()
    after = list(film.frames())
    assert [frame.frame_in_shot for frame in before + after] == list(range(60))


def test_story_plays_with_its_world_seeds_and_edits():
    engine = FakeEngine()
    story = ss.Story(
        world="dusk",
        shots=(
            ss.Shot(prompt="a", frames=30, edits=(ss.PromptEdit(at=9, prompt="a2"),)),
            ss.Shot(prompt="b", frames=5, seed=99),
        ),
    )
    with ss.open(engine=engine, seed=3) as film:
        film.play(story)
        frames = list(film.frames())
    assert [frame.prompt for frame in frames] == ["a"] * 9 + ["a2"] * 21 + ["b"] * 5
    assert [(plan.global_caption, plan.seed, plan.num_frames) for plan in engine.plans] == [
        ("dusk", 3, 30),
        ("dusk", 99, 5),
    ]


def test_world_applies_to_the_shots_opened_after_it():
    engine = FakeEngine()
    with ss.open(engine=engine, global_caption="day", ahead=0) as film:
        film.cut("a")
        list(film.frames(count=1))
        film.world("night")
        film.cut("b")
        list(film.frames(count=10))
    assert [plan.global_caption for plan in engine.plans] == ["day", "night"]


def test_two_stories_keep_their_worlds():
    engine = FakeEngine()
    with ss.open(engine=engine) as film:
        for world in ("sea", "sky"):
            film.play(ss.Story(world=world, shots=(ss.Shot(prompt="a", frames=9), ss.Shot(prompt="b", frames=9))))
        film.play(ss.Story(shots=(ss.Shot(prompt="c", frames=9),)))
        list(film.frames())
        assert film.global_caption == "sky"
    assert [plan.global_caption for plan in engine.plans] == ["sea", "sea", "sky", "sky", "sky"]


def test_pins_reach_the_next_shot():
    engine = FakeEngine()
    with ss.open(engine=engine, ahead=0) as film:
        film.cut("a")
        list(film.frames(count=9))
        pin = film.pin()
        film.pin(shot=0, frame=5)
        assert film.pins == (ss.Pin(shot=0), ss.Pin(shot=0, frame=5))
        film.cut("b", frames=9)
        list(film.frames())
        film.unpin(0, 5)
        film.cut("c", frames=9)
        list(film.frames())
        film.unpin()
        assert film.pins == ()
    assert pin == ss.Pin(shot=0)
    assert [len(plan.pins) for plan in engine.plans] == [0, 2, 1]


def test_pins_are_checked(film):
    with pytest.raises(ss.ScriptError, match="no shot yet"):
        film.pin()
    film.cut("a", frames=9)
    list(film.frames())
    for arguments in ({"shot": 1}, {"shot": -1}, {"frame": -1}, {"frame": 10**9}, {"frame": 9}, {"shot": "a"}):
        with pytest.raises(ss.ScriptError, match="cannot be pinned"):
            film.pin(**arguments)
    with pytest.raises(ss.ScriptError, match="is not pinned"):
        film.unpin(0)
    for frame in range(5):
        film.pin(frame=frame)
    with pytest.raises(ss.ScriptError, match="context_lat=6"):
        film.pin(frame=5)


def test_engine_refusing_a_cut_fails_its_receipt_and_the_film_goes_on(film):
    film.cut("a", frames=9)
    film.cut("b", "shot_end", frames=30)
    list(film.frames(count=14))
    film.restore(film.snapshot())  # how long its earlier shots were is now known to the engine alone
    film.pin(shot=0, frame=25_000)
    receipt = film.cut("c")
    with pytest.raises(ss.ScriptError, match="names no kept frame"):
        list(film.frames())
    assert receipt.state == "failed" and "25000" in str(receipt.error)
    with pytest.raises(ss.ScriptError):
        receipt.wait("delivered")
    assert [frame.shot for frame in film.frames()][-1] == 1


def test_same_commands_and_seed_give_the_same_frames():
    def run(seed):
        with ss.open("test-chart", seed=seed, ahead=0) as film:
            film.cut("a")
            frames = list(film.frames(count=12))
            film.prompt("a2")
            frames += film.frames(count=15)
            film.cut("b", frames=13)
            return digest([*frames, *film.frames()])

    assert run(1) == run(1) != run(2)


@pytest.mark.parametrize("taken", [0, 1, 9, 10, 33, 47])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_restored_film_goes_on_with_exactly_the_next_frame(taken, ahead):
    story = ss.Story(
        world="w",
        shots=(
            ss.Shot(prompt="a", frames=30, edits=(ss.PromptEdit(at=20, prompt="a2"),)),
            ss.Shot(prompt="b", frames=20),
        ),
    )
    with ss.open("test-chart", seed=5, ahead=ahead) as film:
        film.play(story)
        list(film.frames(count=taken)) if taken else None
        saved = film.snapshot()
        rest = list(film.frames())
    with ss.open("test-chart", seed=0, ahead=ahead) as other:
        other.restore(saved)
        again = list(other.frames())
        assert other.seed == 5 and other.global_caption == "w"
    check_charts(again)
    assert [frame.index for frame in again] == [frame.index for frame in rest] == list(range(taken, 50))
    assert [(frame.shot, frame.block, frame.revision, frame.prompt, frame.seed) for frame in again] == [
        (frame.shot, frame.block, frame.revision, frame.prompt, frame.seed) for frame in rest
    ]
    assert digest(again) == digest(rest)


@pytest.mark.parametrize(
    "changes",
    [
        {"next_index": -1},
        {"next_index": 2**41},
        {"seed": -1},
        {"seed": 2**63},
        {"world": "a\x00b"},
        {"pins": [(-1, None)]},
        {"running": {"number": -1}},
        {"running": {"made": 2**41}},
        {"running": {"caption": "\x1b[2J"}},
        {"frame": {"frame_in_shot": -1}},
        {"frame": {"prompt": ""}},
    ],
)
def test_a_snapshot_of_an_impossible_film_is_refused(film, changes):
    film.cut("a", frames=12)
    list(film.frames(count=3))
    state = unpack(film.snapshot())
    changes = dict(changes)
    if "running" in changes:
        running = dataclasses.replace(state.plan.running, **changes.pop("running"))
        changes["plan"] = dataclasses.replace(state.plan, running=running)
    if "frame" in changes:
        changes["frames"] = [dataclasses.replace(state.frames[0], **changes.pop("frame"))]
    with pytest.raises(ss.ScriptError):
        film.restore(pack(dataclasses.replace(state, **changes)))
    assert len(list(film.frames())) == 9


def test_a_restored_film_tells_of_the_commands_that_waited_and_of_no_others():
    with ss.open(engine=FakeEngine(), ahead=0) as first:
        first.cut("one", frames=24)
        waited = [first.cut(text, "shot_end", frames=12) for text in ("two", "three")]
        next(first.frames())
        edit = first.prompt("one, other words")
        saved = first.snapshot()
    with ss.open(engine=FakeEngine(), ahead=0) as other:
        mine = other.cut("mine", frames=12)
        again = other.restore(saved)
        later = other.cut("later", "shot_end", frames=12)
        assert mine.state == "superseded"
        assert sorted(again) == [receipt.id for receipt in (*waited, edit)]
        assert len({mine.id, later.id, *(receipt.id for receipt in again.values())}) == 5
        frames = list(other.frames())
    shown = {number: frame.prompt for frame in frames for number in frame.receipts}
    for old, prompt in ((waited[0], "two"), (waited[1], "three"), (edit, "one, other words")):
        assert shown[again[old.id].id] == prompt and again[old.id].state == "delivered"
        assert again[old.id].kind == old.kind and again[old.id].when == old.when
    assert shown[later.id] == "later" and len(shown) == 4


def test_restore_in_place_undoes_a_cut(film):
    film.cut("a")
    list(film.frames(count=4))
    saved = film.snapshot()
    lost = film.cut("b")
    list(film.frames(count=60))
    waiting = film.cut("c", when="shot_end")
    film.restore(saved)
    frames = list(film.frames(count=20))
    assert [frame.index for frame in frames] == list(range(4, 24))
    assert {frame.shot for frame in frames} == {0}
    assert lost.state == "delivered" and waiting.state == "superseded"


def test_bad_snapshots_are_refused_and_change_nothing(film):
    film.cut("a", frames=30)
    list(film.frames(count=4))
    good = film.snapshot()
    with ss.open(engine=FakeEngine(name="other")) as other, pytest.raises(ss.ScriptError, match="bundle 'test-chart'"):
        other.restore(good)
    for bad in (b"", b"pickle", good[:-1], good[:50] + b"x" + good[51:], "text"):
        with pytest.raises(ss.ScriptError, match="snapshot"):
            film.restore(bad)
    assert [frame.index for frame in film.frames()] == list(range(4, 30))


def test_snapshot_that_the_engine_refuses_changes_nothing():
    with ss.open(engine=FakeEngine(step_ms=10), ahead=8) as film:
        film.cut("a", frames=30)
        good = unpack(film.snapshot())
        opening = film.cut("b", frames=9)
        assert opening.wait("started", timeout=5)
        with pytest.raises(ss.ScriptError, match="engine state"):
            film.restore(pack(dataclasses.replace(good, engine=b"junk")))
        assert [frame.shot for frame in film.frames()][-9:] == [1] * 9
        assert opening.state == "delivered"


def test_snapshot_with_frames_of_another_size_is_refused(film):
    film.cut("a", frames=30).wait("generated", timeout=5)
    state = unpack(film.snapshot())
    for pixels in (b"", b"junk", zlib.compress(b"x" * 10), zlib.compress(bytes(SPEC.frame_bytes + 1))):
        frame = dataclasses.replace(state.frames[0], pixels=pixels)
        with pytest.raises(ss.ScriptError, match="a frame in the snapshot"):
            film.restore(pack(dataclasses.replace(state, frames=[frame])))


def test_now_gives_up_the_block_in_work():
    engine = FakeEngine(step_ms=50, num_steps=20)
    with ss.open(engine=engine) as film:
        began = time.perf_counter()
        slow = film.cut("slow")
        assert slow.wait("started", timeout=5)
        fast = film.cut("fast", when="now", frames=3)
        assert fast.wait("started", timeout=5)
        assert slow.state == "superseded"
        assert time.perf_counter() - began < 0.9, "the second of the first block were not waited for"
        frames = list(film.frames())
        assert [frame.prompt for frame in frames] == ["fast"] * 3
        assert film.stats().blocks_aborted == 1
    assert "abort 0/0" in engine.calls


def test_only_one_block_is_made_ahead():
    engine = FakeEngine()
    with ss.open(engine=engine, ahead=1) as film:
        film.cut("a").wait("generated", timeout=5)
        time.sleep(0.1)
        assert film.stats().blocks_made == 1
        list(film.frames(count=1))
        time.sleep(0.1)
        assert film.stats().blocks_made == 2


def test_nothing_is_made_before_it_is_asked_for_when_ahead_is_0():
    engine = FakeEngine()
    with ss.open(engine=engine, ahead=0) as film:
        film.cut("a")
        time.sleep(0.1)
        assert engine.calls == []
        list(film.frames(count=9))
        time.sleep(0.1)
        assert engine.calls == ["open 0", "block 0/0"]


def test_engine_error_surfaces_after_the_frames_before_it_and_in_receipts():
    boom = RuntimeError("boom")
    with ss.open(engine=FakeEngine(fail_at={(0, 1): boom})) as film:
        receipt = film.cut("a")
        later = film.cut("b", when="shot_end")
        seen = []
        with pytest.raises(RuntimeError, match="boom"):
            for frame in film.frames():
                seen.append(frame.index)
        assert seen == list(range(9))
        assert receipt.state == "delivered"
        assert later.state == "failed"
        for call in (lambda: film.cut("c"), film.snapshot, lambda: next(film.frames())):
            with pytest.raises(RuntimeError, match="boom"):
                call()


def test_close_gives_up_the_block_in_work_and_wakes_everybody():
    engine = FakeEngine(step_ms=50, num_steps=1000)
    film = ss.open(engine=engine)
    receipt = film.cut("a")
    outcome = []

    def consume():
        try:
            list(film.frames())
        except ss.ClosedError as error:
            outcome.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert receipt.wait("started", timeout=5)
    began = time.perf_counter()
    film.close()
    consumer.join(5)
    assert time.perf_counter() - began < 5 and not consumer.is_alive()
    assert outcome and engine.closed and receipt.state == "superseded"
    film.close()
    for call in (
        lambda: film.cut("b"),
        lambda: film.prompt("b"),
        film.hold,
        film.snapshot,
        lambda: next(film.frames()),
    ):
        with pytest.raises(ss.ClosedError):
            call()


def test_commands_from_many_threads_lose_nothing():
    with ss.open(engine=FakeEngine(step_ms=0.2)) as film:
        film.cut("start")
        receipts, lock = [], threading.Lock()

        def command(number):
            for n in range(20):
                made = film.cut(f"{number}/{n}") if n % 2 else film.prompt(f"{number}/{n}")
                with lock:
                    receipts.append(made)
                time.sleep(0.001)

        threads = [threading.Thread(target=command, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        frames = []
        for frame in film.frames():
            frames.append(frame)
            if not any(thread.is_alive() for thread in threads) and all(receipt.final for receipt in receipts):
                break
        for thread in threads:
            thread.join()
    check_charts(frames)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len({receipt.id for receipt in receipts}) == len(receipts) == 80
    by_id = {command: frame for frame in frames for command in frame.receipts}
    for receipt in receipts:
        if receipt.state == "delivered":
            assert by_id[receipt.id].index == receipt.frame
        else:
            assert receipt.state == "superseded" and receipt.note
    assert any(receipt.state == "delivered" for receipt in receipts)


def test_several_consumers_share_the_frames():
    with ss.open("test-chart") as film:
        film.cut("a", frames=200)
        taken = [[] for _ in range(3)]
        threads = [
            threading.Thread(target=lambda mine=mine: mine.extend(frame.index for frame in film.frames()))
            for mine in taken
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(index for mine in taken for index in mine) == list(range(200))


def test_waiting_consumer_is_woken_by_a_cut_from_another_thread():
    with ss.open("test-chart") as film:
        timer = threading.Timer(0.1, lambda: film.cut("a", frames=5))
        timer.start()
        assert len(list(film.frames(count=5, wait=True))) == 5
        timer.join()


def test_async_frames_share_the_loop():
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticker = asyncio.create_task(tick())
        with ss.open(engine=FakeEngine(step_ms=20)) as film:
            film.cut("a", frames=20)
            frames = [frame async for frame in film]
        ticker.cancel()
        return ticks, frames

    ticks, frames = asyncio.run(main())
    assert [frame.index for frame in frames] == list(range(20))
    assert ticks > 5


@pytest.mark.parametrize("ahead", [0, 1])
def test_cancelled_wait_loses_no_frame(ahead):
    async def main():
        with ss.open(engine=FakeEngine(step_ms=20), ahead=ahead) as film:
            film.cut("a", frames=12)

            async def consume():
                async for frame in film.aframes():
                    seen.append(frame.index)

            seen = []
            for _ in range(3):
                task = asyncio.create_task(consume())
                await asyncio.sleep(0.03)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await consume()
            return seen

    assert asyncio.run(main()) == list(range(12))


def test_async_consumer_waits_for_commands():
    async def main():
        with ss.open("test-chart") as film:
            asyncio.get_running_loop().call_later(0.05, lambda: film.cut("a", frames=3))
            return [frame.index async for frame in film.aframes(count=3, wait=True)]

    assert asyncio.run(main()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"seed": -1}, ss.ScriptError),
        ({"seed": 2**63}, ss.ScriptError),
        ({"global_caption": "x" * 5000}, ss.ScriptError),
        ({"ahead": -1}, ss.ConfigError),
        ({"ahead": 1.5}, ss.ConfigError),
        ({"device": "cuda"}, ss.DeviceError),
        ({"bundle": "no-such-bundle"}, ss.WeightsError),
    ],
)
def test_open_refuses_what_cannot_work(options, error):
    with pytest.raises(error):
        ss.open(**{"bundle": "test-chart", **options})


def test_missing_torch_is_named(tmp_path, monkeypatch):
    bundle = write_micro_bundle(tmp_path / "micro")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "shotstream.engine.loader", raising=False)
    with pytest.raises(ss.DeviceError, match=r"needs the package 'torch'.*pip install"):
        ss.open(bundle)


def test_stats_count_what_happened(film):
    film.cut("a", frames=30)
    list(film.frames())
    stats = film.stats()
    assert (stats.frames_made, stats.frames_delivered, stats.blocks_made) == (30, 30, 3)
    assert stats.first_frame_ms > 0 and len(stats.cut_to_frame_ms) == 1
    assert [times.num_frames for times in stats.blocks] == [9, 12, 9]


def test_forgotten_film_does_not_keep_the_interpreter_alive(tmp_path):
    import subprocess
    import sys

    code = "import shotstream as ss; f = ss.open('test-chart'); f.cut('a'); next(f.frames()); print('done')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
