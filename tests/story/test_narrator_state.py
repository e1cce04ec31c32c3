"""The narrator's state in save-games, other editions of its book, and who is told of what."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.errors import ScriptError
from shotstream.story.beat_files import parse_beats
from shotstream.story.fired import BeatRefused
from shotstream.story.narrator import Narrator
from shotstream.story.narrator_state import check_state
from shotstream.testing import FakeEngine
from tests.story.test_beats import BOOK, Clock

NAMES = ["walk", "low", "also", "high", "chain", "endless", "sit"]


def read(text=BOOK):
    parsed = parse_beats(text, "beats.yaml")
    assert parsed.problems == []
    return parsed.book


@pytest.fixture
def play():
    """A film and its narrator, at the same time of the game's clock each time."""
    films = []

    def start(book=None, **options):
        films.append(ss.open(engine=FakeEngine(), ahead=0))
        return films[-1], Narrator(book or read(), films[-1], clock=options.pop("clock", Clock()), **options)

    yield start
    for film in films:
        film.close()


def act(narrator, action):
    try:
        narrator.trigger(action, **({"place": "home"} if action == "walk" else {}))
    except ScriptError:
        assert action in ("high", "sit")


def prompts(narrator, count):
    try:
        return [frame.prompt for frame in narrator.frames(count=count)]
    except ScriptError as error:
        assert "before the first shot" in str(error)
        return []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(NAMES), st.integers(1, 40)), max_size=10),
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.sampled_from([0.0, 1.0]),
)
def test_a_saved_story_goes_on_as_if_nothing_had_happened(before, after, threat):
    def goes_on(film, narrator):
        shown = []
        for action in after:
            act(narrator, action)
            shown += prompts(narrator, 10)
        return shown + prompts(narrator, 400), narrator.facts, [one.beat.name for one in narrator.waiting]

    with ss.open(engine=FakeEngine(), ahead=0) as film, ss.open(engine=FakeEngine(), ahead=0) as other:
        narrator = Narrator(read(), film, clock=Clock())
        narrator.set(threat=threat)
        for action in before:
            if isinstance(action, int):
                prompts(narrator, action)
            else:
                act(narrator, action)
        state, saved = json.loads(json.dumps(narrator.state())), film.snapshot()
        fresh = Narrator(read(), other, clock=Clock())
        assert fresh.adopt(state, other.restore(saved)) == []
        assert fresh.state()["facts"] == state["facts"]
        assert goes_on(other, fresh) == goes_on(film, narrator)


def test_cooldowns_and_conditions_outlive_the_process(play):
    clock = Clock()
    _, narrator = play(clock=clock)
    narrator.trigger("high")
    narrator.set(weather="rain")
    clock.now += 2
    _, fresh = play(clock=clock)
    fresh.adopt(narrator.state())
    assert fresh.facts["weather"] == "rain"
    with pytest.raises(BeatRefused, match="ready in 3") as caught:
        fresh.trigger("high")
    assert caught.value.retry_s == pytest.approx(3) and not caught.value.denied


def test_a_restored_story_drops_what_went_on(play):
    film, narrator = play()
    saved, state = film.snapshot(), narrator.state()
    running, waiting = narrator.trigger("also"), narrator.trigger("low")
    narrator.adopt(state, film.restore(saved))
    assert [one.state for one in (running, waiting)] == ["dropped", "dropped"]
    assert "checkpoint" in running.reason and narrator.current is None and narrator.waiting == ()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        b"x",
        [],
        {"version": 2},
        {"versoin": 1},
        {"facts": {"a b": 1}},
        {"facts": {"weather": [1]}},
        {"waiting": [{"name": "low"}] * 65},
        {"waiting": [{"name": "low", "captions": ["free words"]}]},
        {"cooldowns_s": {"high": -1}},
        {"current": {"name": "low", "tickets": ["x"]}},
    ],
    ids=range(11),
)
def test_what_is_no_state_is_refused_and_changes_nothing(play, wrong):
    _, narrator = play()
    narrator.set(weather="rain")
    with pytest.raises(ScriptError, match="state"):
        narrator.adopt(wrong)
    assert narrator.facts["weather"] == "rain"
    with pytest.raises(ScriptError):
        check_state(wrong)


def test_a_changed_save_game_says_nothing_that_the_book_does_not_say(play):
    _, narrator = play()
    hostile = {
        "facts": {"weather": "a bomb", "threat": 1e300, "unknown": True},
        "waiting": [
            {"name": "walk", "params": {"place": "x" * 21}},
            {"name": "walk", "params": {"place": "home"}, "facts": {"weather": "a bomb"}},
            {"name": "nothing"},
        ],
        "current": {"name": "also", "facts": {"weather": "a bomb"}, "tickets": [1, 2, 3]},
        "cooldowns_s": {"high": 86_400.0},
    }
    left_out = narrator.adopt(hostile)
    assert narrator.facts == {"weather": "clear", "threat": 0}
    assert [one.cue.captions[0] for one in narrator.waiting] == ["wide shot: a red fox walks home under a clear sky"]
    assert len(left_out) >= 6 and narrator.current is None
    with pytest.raises(BeatRefused, match="ready in 5"):
        narrator.trigger("high")  # no longer than the book says


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["facts", "waiting", "current", "name", "params", "tickets", "weather", "low", "walk"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=15,
    )
)
def test_any_state_is_adopted_or_refused(state):
    with ss.open(engine=FakeEngine(), ahead=0) as film:
        narrator = Narrator(read(), film, clock=Clock())
        with contextlib.suppress(ScriptError):
            narrator.adopt(state)
        narrator.trigger("also")
        assert "also" in [frame.prompt for frame in narrator.frames(count=200)]


# --- another edition of the book --------------------------------------------------------------------------------


def test_a_new_edition_of_the_book_is_played_at_once(play):
    film, narrator = play()
    narrator.set(weather="rain", threat=0.75)
    narrator.trigger("also")
    low, gone = narrator.trigger("low"), narrator.trigger("chain")
    newer = BOOK.replace("flat cartoon", "ink").replace("text: low", "text: lowland").replace("max: 1", "max: 0.5")
    newer = newer.replace("chain: {shots", "links: {shots")
    left_out = narrator.reload(read(newer))
    assert film.global_caption == "ink" and narrator.facts == {"weather": "rain", "threat": 0}
    assert gone.state == "dropped" and gone.failed and "chain" in gone.reason
    assert len(set(left_out)) == 2
    assert [frame.prompt for frame in narrator.frames()][::24] == ["also", "lowland"]
    assert low.state == "done"


def test_follow_ups_of_the_old_edition_that_are_gone_do_not_follow(play):
    _, narrator = play()
    narrator.trigger("chain")
    newer = BOOK.replace("then: [danger, rest]", "then: []")
    narrator.reload(read(newer[: newer.index("  rest:")] + newer[newer.index("  endless:") :]))
    assert {frame.prompt for frame in narrator.frames()} == {"chain"}


def test_a_refused_style_keeps_the_old_book(play):
    film, narrator = play(moderate=lambda caption, beat: None if caption == "gore" else caption)
    with pytest.raises(ScriptError, match="refused 'gore'"):
        narrator.reload(read(BOOK.replace("flat cartoon", "gore")))
    assert film.global_caption == "flat cartoon" and narrator.book.style == "flat cartoon"


# --- who is told ------------------------------------------------------------------------------------------------


def test_every_state_is_told(play):
    told = []
    _, narrator = play(on_change=lambda fired: told.append((fired.beat.name, fired.state)))
    narrator.trigger("chain")
    narrator.trigger("low")
    for _ in narrator.frames():
        pass
    assert told == [
        ("chain", "running"),
        ("low", "waiting"),
        ("chain", "done"),
        ("rest", "waiting"),
        ("rest", "running"),
        ("rest", "done"),
        ("low", "running"),
        ("low", "done"),
    ]
    told.clear()
    narrator.trigger("also")
    narrator.trigger("high")
    narrator.trigger("low")
    assert told[:3] == [("also", "running"), ("also", "dropped"), ("high", "running")]


def test_a_film_that_refuses_a_beat_drops_it_and_the_next_one_follows(play, monkeypatch):
    film, narrator = play()
    narrator.trigger("also")
    low, chain = narrator.trigger("low"), narrator.trigger("chain")
    cut = film.cut

    def picky(prompt, *args, **options):
        if prompt == "chain":
            raise ScriptError("not this one")
        return cut(prompt, *args, **options)

    monkeypatch.setattr(film, "cut", picky)
    assert {frame.prompt for frame in narrator.frames()} == {"also", "low"}
    assert chain.state == "dropped" and chain.failed and "not this one" in chain.reason and low.state == "done"


def test_what_a_role_may_ever_trigger(play):
    _, narrator = play()
    assert narrator.refusals(role="viewer") == {}
    mine = narrator.refusals(role="trigger")
    assert set(mine) == {"walk", "low", "also", "high", "danger", "chain", "endless", "sit"}
    assert mine["walk"] is None and "threat > 0.5" in str(mine["danger"])
    assert set(narrator.refusals(role="director")) - set(mine) == {"secret"}


def test_the_sample_book_survives_a_round_trip(play):
    from shotstream.story import load_beats

    book = load_beats(Path(__file__).parents[2] / "samples" / "beats" / "fox_and_robot.yaml")
    film, narrator = play(book)
    narrator.trigger("arrive")
    other, fresh = play(book)
    assert fresh.adopt(narrator.state(), other.restore(film.snapshot())) == []
    assert [f.prompt for f in fresh.frames(count=90)] == [f.prompt for f in narrator.frames(count=90)]
