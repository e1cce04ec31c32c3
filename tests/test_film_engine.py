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
        film.pin(shot=0, frame=9000)
        failed = film.cut("c", frames=9)
        with pytest.raises(ss.ScriptError):
            list(film.frames())
        assert failed.state == "failed"
