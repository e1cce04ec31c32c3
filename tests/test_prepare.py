"""Prepared shots as users of ``Film`` see them, against the test chart engine."""

import pytest

import shotstream as ss
from shotstream.testing import FakeEngine


@pytest.fixture
def film():
    with ss.open(engine=FakeEngine(), seed=7) as film:
        yield film


def ready(film, prompt, **options):
    receipt = film.prepare(prompt, **options)
    assert receipt.wait("generated", timeout=60)
    return receipt


def test_a_taken_shot_comes_with_the_very_next_frame(film):
    film.cut("a")
    shot = ready(film, "b", frames=20, seed=3)
    before = list(film.frames(count=5))
    assert shot.frame is None
    take = film.take(shot)
    after = list(film.frames())
    assert [frame.index for frame in before + after] == list(range(25))
    assert [(frame.shot, frame.frame_in_shot) for frame in after] == [(1, n) for n in range(20)]
    assert after[0].is_cut and after[0].receipts == (shot.id, take.id) and after[0].seed == 3
    assert shot.state == take.state == "delivered" and shot.frame == take.frame == 5
    assert take.kind == "take" and take.latency_ms is not None


def test_a_shot_can_be_the_first_of_the_film(film):
    film.take(ready(film, "b", frames=9))
    assert [frame.shot for frame in film.frames()] == [0] * 9


def test_a_take_waits_for_its_shot_which_then_comes_first():
    engine = FakeEngine(step_ms=5)
    with ss.open(engine=engine, seed=7) as film:
        film.cut("a")
        next(film.frames())
        take = film.take(film.prepare("b", frames=9))
        frames = list(film.frames())
        assert take.state == "delivered"
        assert [frame.shot for frame in frames][-9:] == [1] * 9 and {frame.shot for frame in frames[:-9]} <= {0}


def test_only_three_are_kept(film):
    shots = [ready(film, name) for name in "abcd"]
    assert [shot.state for shot in shots] == ["superseded"] + ["generated"] * 3
    assert "newer prepared shot" in shots[0].note
    for gone in (shots[0], 999):
        with pytest.raises(ss.ScriptError, match="no prepared shot"):
            film.take(gone)
        with pytest.raises(ss.ScriptError, match="no prepared shot"):
            film.cancel(gone)


def test_cancel(film):
    one, two, three = (ready(film, name) for name in "abc")
    film.cancel(two)
    assert (one.state, two.state, three.state) == ("generated", "superseded", "generated")
    film.cancel()
    assert one.state == three.state == "superseded" and "cancelled" in one.note


def test_a_shot_is_taken_once(film):
    shot = ready(film, "a", frames=9)
    film.take(shot)
    list(film.frames())
    with pytest.raises(ss.ScriptError, match="no prepared shot"):
        film.take(shot)


def test_a_waiting_shot_that_nobody_saw_goes_back_into_the_queue():
    with ss.open(engine=FakeEngine(), seed=7, ahead=8) as film:
        film.cut("a", frames=9)
        queued = [film.cut(name, "shot_end", frames=9) for name in ("b", "c")]
        lost = film.prompt("never seen")
        shot = ready(film, "taken", frames=9)
        list(film.frames(count=9))
        for receipt in queued:
            assert receipt.wait("generated", timeout=60)
        film.take(shot)
        frames = list(film.frames())
        assert [frame.prompt for frame in frames if frame.is_cut] == ["taken", "b", "c"]
        assert [frame.index for frame in frames] == list(range(9, 36))
        assert all(receipt.state == "delivered" for receipt in queued) and lost.final


def test_an_urgent_cut_that_nobody_saw_is_superseded(film):
    film.cut("a")
    shot = ready(film, "b", frames=9)
    list(film.frames(count=9))
    lost = film.cut("never seen")
    film.take(shot)
    assert {frame.prompt for frame in film.frames()} == {"b"}
    assert lost.state == "superseded"


def test_a_newer_cut_replaces_a_take_that_waits():
    engine = FakeEngine(step_ms=20)
    with ss.open(engine=engine, seed=7) as film:
        film.cut("a")
        next(film.frames())
        shot = film.prepare("b")
        take = film.take(shot)
        cut = film.cut("c", frames=9)
        assert "b" not in {frame.prompt for frame in film.frames()}
        assert take.state == "superseded" and cut.state == "delivered"
        assert shot.wait("generated", timeout=60), "it can still be taken"


def test_take_lifts_a_hold(film):
    film.cut("a")
    shot = ready(film, "b", frames=9)
    film.hold()
    list(film.frames())
    film.take(shot)
    assert [frame.prompt for frame in film.frames()] == ["b"] * 9


def test_a_shot_that_the_engine_refuses_fails_alone():
    engine = FakeEngine(fail_at={(1, 0): ss.ScriptError("no such thing")})
    with ss.open(engine=engine, seed=7) as film:
        film.cut("a", frames=30)
        next(film.frames())
        receipt = film.prepare("b")
        with pytest.raises(ss.ScriptError, match="no such thing"):
            receipt.wait("generated", timeout=60)
        assert len(list(film.frames())) == 29


def test_restore_and_close_end_prepared_shots(film):
    film.cut("a", frames=9)
    state = film.snapshot()
    shot = ready(film, "b")
    film.restore(state)
    assert shot.state == "superseded" and "restored" in shot.note
    other = ready(film, "c")
    film.close()
    assert other.state == "superseded"
    for use in (lambda: film.prepare("d"), lambda: film.take(other), film.cancel):
        with pytest.raises(ss.ClosedError):
            use()


@pytest.mark.parametrize("options", [{"prompt": ""}, {"prompt": "a", "frames": 0}, {"prompt": "a", "seed": -1}])
def test_what_cannot_be_a_shot_is_refused(film, options):
    with pytest.raises(ss.ScriptError):
        film.prepare(**options)


def test_pins_of_dropped_frames_go_with_them(film):
    film.cut("a")
    shot = ready(film, "b")
    list(film.frames(count=5))
    film.pin(0, 2)
    film.pin(0, 8)
    film.take(shot)
    assert film.pins == (ss.Pin(shot=0, frame=2),)
    with pytest.raises(ss.ScriptError, match="cannot be pinned"):
        film.pin(0, 5)


def test_a_slow_engine_makes_the_running_shot_first(monkeypatch):
    """What waits is never enough for two blocks of 720 ms, so a consumer in real time would see a gap."""
    monkeypatch.setattr("shotstream.session.PAUSE_S", 1e6)
    engine = FakeEngine(step_ms=180)
    with ss.open(engine=engine, seed=7) as film:
        film.cut("a", frames=33)
        next(film.frames())
        shot = film.prepare("b", frames=9)
        list(film.frames())
        assert shot.wait("generated", timeout=60), "once the film has ended there is time"
    assert engine.calls.index("block 0/2") < engine.calls.index("prepare 1/0")


def test_a_film_that_nobody_takes_frames_of_has_time(monkeypatch):
    monkeypatch.setattr("shotstream.session.PAUSE_S", 0.1)
    engine = FakeEngine(step_ms=180)
    with ss.open(engine=engine, seed=7) as film:
        film.cut("a")
        next(film.frames())
        assert film.prepare("b").wait("generated", timeout=60)
