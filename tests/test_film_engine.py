"""Film over the real engine, at pocket size with random weights."""

import hashlib

import pytest

import shotstream as ss
from tests.micro import micro_engine

STORY = ss.Story(
    world="A fox.",
    shots=(
        ss.Shot(prompt="walks", frames=25, edits=(ss.PromptEdit(at=10, prompt="runs"),)),
        ss.Shot(prompt="sits", frames=11),
        ss.Shot(prompt="sleeps", frames=9, seed=3),
    ),
)


def hashes(frames):
    return [hashlib.sha256(frame.image.tobytes()).hexdigest() for frame in frames]


def play(seed=5, ahead=1):
    with ss.open(engine=micro_engine(), seed=seed, ahead=ahead) as film:
        film.play(STORY)
        return hashes(film.frames())


def test_same_story_and_seed_give_the_same_frames():
    first = play()
    assert len(first) == 45
    assert play(ahead=0) == first
    assert play(seed=6) != first


@pytest.mark.parametrize("taken", [3, 20, 30])
def test_restored_film_goes_on_with_the_same_frames(taken):
    with ss.open(engine=micro_engine(), seed=5) as film:
        film.play(STORY)
        list(film.frames(count=taken))
        state = film.snapshot()
        rest = hashes(film.frames())
    with ss.open(engine=micro_engine()) as other:
        other.restore(state)
        assert hashes(other.frames()) == rest


def test_cut_now_in_the_first_block_of_a_shot():
    with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
        film.cut("a", frames=9)
        expected = hashes(film.frames(count=9))
        film.cut("b", frames=9)
        expected += hashes(film.frames(count=9))
    with ss.open(engine=StoppingEngine(micro_engine()), seed=5, ahead=0) as film:
        film._session._engine.film = film
        film.cut("a", frames=9)
        got = hashes(film.frames(count=9))
        lost = film.cut("lost")
        got += hashes(film.frames(count=9))
        assert lost.state == "superseded" and film.stats().blocks_aborted == 1
    assert got == expected, "a shot that never showed a frame leaves no trace"


class StoppingEngine:
    """Issues a cut with when="now" while the first block of the shot "lost" is in work."""

    def __init__(self, engine):
        self._engine = engine
        self.film = None
        self._losing = False

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def open_shot(self, plan):
        self._losing = plan.caption == "lost"
        self._engine.open_shot(plan)

    def next_block(self, *, caption=None, abort=None):
        if self._losing:
            self._losing = False
            self.film.cut("b", when="now", frames=9)
        return self._engine.next_block(caption=caption, abort=abort)


def test_pinned_memory_must_exist():
    with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
        film.cut("a", frames=9)
        list(film.frames())
        film.pin(frame=4)
        film.cut("b", frames=9)
        assert len(list(film.frames())) == 9
        with pytest.raises(ss.ScriptError, match=r"frames 0\.\.8"):
            film.pin(shot=0, frame=9000)
        assert film.pins == (ss.Pin(shot=0, frame=4),)


def test_a_taken_shot_equals_a_plain_cut():
    def run(prepare):
        with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
            film.cut("a")
            got = hashes(film.frames(count=21))
            if prepare:
                ready = film.prepare("b", 30, seed=8)
                assert ready.wait("generated", timeout=60)
                film.take(ready)
            else:
                film.cut("b", frames=30, seed=8)
            film.cut("c", "shot_end", frames=9)
            return got + hashes(film.frames())

    assert len(run(True)) == 60
    assert run(True) == run(False)


def test_preparing_leaves_no_trace_in_the_running_shot():
    def run(disturb):
        with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
            film.cut("a", frames=30)
            got = hashes(film.frames(count=13))
            if disturb:
                for prompt in ("b", "another"):
                    assert film.prepare(prompt).wait("generated", timeout=60)
                film.cancel()
            film.cut("c", "shot_end", frames=15)
            return got + hashes(film.frames())

    assert run(True) == run(False)


def test_a_shot_taken_late_keeps_the_memory_it_was_prepared_with():
    def run(between):
        with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
            film.cut("a", frames=9)
            list(film.frames())
            ready = film.prepare("b", 21, seed=8)
            assert ready.wait("generated", timeout=60)
            if between:
                film.cut("x", frames=12)
                list(film.frames())
            film.take(ready)
            frames = list(film.frames())
            state = film.snapshot()
            assert {frame.shot for frame in frames} == {2 if between else 1}
            film.cut("c", frames=9)
            after = hashes(film.frames())
        with ss.open(engine=micro_engine()) as other:
            other.restore(state)
            other.cut("c", frames=9)
            assert hashes(other.frames()) == after
        return hashes(frames), after

    (late, late_after), (soon, soon_after) = run(True), run(False)
    assert late == soon and late_after != soon_after


def test_frames_dropped_by_a_take_are_not_remembered():
    engine = micro_engine()
    with ss.open(engine=engine, seed=5, ahead=2) as film:
        film.cut("a", frames=60)
        ready = film.prepare("b", 9)
        list(film.frames(count=5))
        assert ready.wait("generated", timeout=60)
        film.take(ready)
        assert len(list(film.frames())) == 9
        film.snapshot()  # the engine has caught up
        assert [(memory.shot, memory.length) for memory in engine._memory.shots] == [(0, 5), (1, 9)]


@pytest.mark.parametrize("taken", [5, 9, 13])
def test_a_branch_shares_what_was_made_and_differs_from_there_on(taken):
    with ss.open(engine=micro_engine(), seed=5, ahead=0) as film:
        film.cut("a", frames=33)
        film.cut("b", "shot_end", frames=9)
        list(film.frames(count=taken))
        state = film.snapshot()
        made = film.stats().frames_made - taken
        rest = hashes(film.frames())
        branches = []
        for seed in (None, 6, 6, 7):
            film.restore(state, seed=seed)
            frames = list(film.frames())
            branches.append(hashes(frames))
            assert [frame.is_restored for frame in frames] == [True] + [False] * (len(frames) - 1)
        assert film.seed == 7 and frames[-1].seed == 7
    same, one, again, other = branches
    assert same == rest and one == again
    assert one[:made] == other[:made] == rest[:made]
    assert all(len({a, b, c}) == 3 for a, b, c in zip(one[made:], other[made:], rest[made:], strict=True))


def test_the_start_of_a_shot_can_be_gone_back_to():
    starts = {}
    with ss.open(engine=micro_engine(), seed=5) as film:
        film.watch_shots(starts.__setitem__)
        film.cut("a", frames=12)
        film.cut("b", "shot_end", frames=21)
        ready = film.prepare("late", 15)
        frames = list(film.frames(count=20))
        assert ready.wait("generated", timeout=60)
        film.take(ready)
        frames += film.frames(count=10)
        film.cut("c", frames=9)
        frames += film.frames()
        assert sorted(starts) == [0, 1, 2, 3]
        film.watch_shots(None)
        for shot, state in starts.items():
            film.restore(state)
            first = next(index for index, frame in enumerate(frames) if frame.shot == shot)
            again = list(film.frames(count=8))
            assert [frame.index for frame in again] == list(range(first, first + 8))
            assert hashes(again) == hashes(frames[first : first + 8])
