"""Books that nobody would write, and games that do anything: the narrator says no, and never breaks."""

import json

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.errors import CapacityError, ScriptError
from shotstream.story.beat_files import parse_beats
from shotstream.story.narrator import MAX_WAITING, Narrator
from shotstream.testing import FakeEngine
from tests.story.test_beats import Clock

NAMES = ("a", "b", "c", "d", "e")
HEAD = {
    "version": 1,
    "captions": "short",
    "variables": {
        "n": {"type": "number", "min": 0, "max": 2, "default": 0},
        "s": {"type": "text", "default": "calm", "max_chars": 10},
    },
}

shots = st.lists(
    st.fixed_dictionaries(
        {"text": st.sampled_from(["one {s}", "two", "{n} three {{", "four {p}"])},
        optional={"frames": st.sampled_from([1, 5, 12, 24, "open"]), "seed": st.integers(0, 5)},
    ),
    min_size=1,
    max_size=3,
)
beats = st.fixed_dictionaries(
    {},
    optional={
        "shots": shots,
        "edit": st.sampled_from(["other words", "words of {p}"]),
        "params": st.sampled_from([{"p": {"type": "text", "default": "x"}}, {"p": {"type": "number"}}]),
        "when": st.sampled_from(["n > 0", "n == 1 or s == 'calm'", "not s == 'calm'"]),
        "cut": st.sampled_from(["block", "now", "shot_end"]),
        "priority": st.sampled_from([0, 50, 100]),
        "cooldown_s": st.sampled_from([0, 3]),
        "then": st.lists(st.sampled_from(NAMES), max_size=2),
        "role": st.sampled_from(["trigger", "director", "follow-up"]),
    },
)


@st.composite
def books(draw):
    """A book of those of the random beats that fit together: one at a time is taken out until the file is right."""
    chosen = {name: draw(beats) for name in NAMES}
    chosen["z"] = {"shots": [{"text": "safe", "frames": 12}]}
    while True:
        parsed = parse_beats(json.dumps({**HEAD, "beats": chosen}), "book")
        if parsed.book is not None:
            return parsed.book
        wrong = next((name for name in chosen if any(f"beats.{name}" in problem for problem in parsed.problems)), None)
        assert wrong not in (None, "z"), parsed.problems
        del chosen[wrong]


values = st.one_of(st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=4), st.none())
actions = st.one_of(
    st.tuples(
        st.just("trigger"),
        st.sampled_from([*NAMES, "z", "?"]),
        st.dictionaries(st.sampled_from("pnq"), values, max_size=2),
    ),
    st.tuples(st.just("set"), st.dictionaries(st.sampled_from(["n", "s", "x"]), values, max_size=2)),
    st.tuples(st.just("frames"), st.integers(1, 40)),
    st.tuples(st.just("cut"), st.sampled_from(["block", "now", "shot_end"])),
    st.sampled_from([("clear",), ("hold",), ("resume",), ("save",), ("load",), ("reload",), ("later",)]),
)


@settings(phases=[Phase.generate], max_examples=2000, deadline=None)
@given(books(), books(), st.lists(actions, max_size=25))
def test_a_narrator_says_no_and_never_breaks(book, other, todo):
    clock, told = Clock(), []
    with ss.open(engine=FakeEngine(), ahead=0) as film:
        narrator = Narrator(book, film, clock=clock, on_change=lambda fired: told.append(fired))
        saved = (narrator.state(), film.snapshot())
        for what, *how in todo:
            try:
                if what == "trigger":
                    narrator.trigger(how[0], how[1], role="director")
                elif what == "set":
                    narrator.set(how[0])
                elif what == "frames":
                    for _ in narrator.frames(count=how[0]):
                        pass
                elif what == "cut":
                    film.cut("somebody else's", how[0], frames=12)
                elif what == "save":
                    saved = (json.loads(json.dumps(narrator.state())), film.snapshot())
                elif what == "load":
                    narrator.adopt(saved[0], film.restore(saved[1]))
                elif what == "reload":
                    narrator.reload(other if narrator.book is book else book)
                elif what == "later":
                    clock.now += 2
                else:
                    getattr(film, what)()
            except (ScriptError, CapacityError):
                pass
            waiting = narrator.waiting
            assert len(waiting) <= MAX_WAITING and all(fired.state == "waiting" for fired in waiting)
            ranks = [fired.beat.priority for fired in waiting]
            assert ranks == sorted(ranks, reverse=True)
            running = {id(fired): fired for fired in told if fired.state == "running"}
            assert not running or list(running.values()) == [narrator.current]
        film.resume()
        film.cut("the end", "now", frames=12)
        prompts = [frame.prompt for frame in film.frames(count=24)]  # a block that was made is shown first
        assert prompts.count("the end") == 12
        assert narrator.trigger("z").state in ("waiting", "running")
        assert all(fired.reason for fired in told if fired.state == "dropped")
