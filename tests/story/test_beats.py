"""Beats: files to values, and the narrator on a film of test charts."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.errors import CapacityError, ScriptError
from shotstream.story import load_beats
from shotstream.story.beat_files import MAX_FILE_BYTES, parse_beats
from shotstream.story.beats import Beat, BeatBook, BeatShot
from shotstream.story.narrator import MAX_WAITING, Narrator
from shotstream.story.templates import Template
from shotstream.testing import FakeEngine

SAMPLE = Path(__file__).parents[2] / "samples" / "beats" / "fox_and_robot.yaml"
BOOK = """\
version: 1
captions: short
style: flat cartoon
characters: {mia: a red fox}
variables:
  weather: {type: choice, values: [clear, rain], default: clear}
  threat: {type: number, min: 0, max: 1, default: 0}
beats:
  walk:
    params: {place: {type: text, max_chars: 20}, speed: {type: number, default: 2}}
    shots:
      - {framing: wide, subjects: [mia], action: "walks {place}", weather: "{weather}", frames: 24}
      - {text: "{mia} rests at speed {speed}", frames: 20}
  low: {priority: 10, shots: [{text: low, frames: 24}]}
  also: {shots: [{text: also, frames: 24}]}
  high: {priority: 90, cooldown_s: 5, cut: now, shots: [{text: high one, frames: 24}, {text: high two, frames: 20}]}
  danger: {when: threat > 0.5, shots: [{text: danger, frames: 24}]}
  chain: {shots: [{text: chain, frames: 24}], then: [danger, rest]}
  rest: {role: follow-up, shots: [{text: rest, frames: 24}]}
  endless: {shots: [{text: endless, frames: open}]}
  secret: {role: director, shots: [{text: secret}]}
  sit: {edit: "{mia} sits", priority: 50}
"""


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def book():
    parsed = parse_beats(BOOK, "beats.yaml")
    assert parsed.problems == []
    return parsed.book


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def film():
    with ss.open(engine=FakeEngine(), ahead=0) as film:
        yield film


@pytest.fixture
def narrator(book, film, clock):
    return Narrator(book, film, clock=clock)


def shown(narrator, count=1000):
    """(prompt, frames in a row) as the film shows them."""
    runs = []
    for frame in narrator.frames(count=count):
        if runs and runs[-1][0] == frame.prompt:
            runs[-1][1] += 1
        else:
            runs.append([frame.prompt, 1])
    return [tuple(run) for run in runs]


# --- values -----------------------------------------------------------------------------------------------------


def test_a_beat_becomes_cuts(book):
    cue = book.cue("walk", {"place": "in {mia} town\n"}, {"weather": "rain", "threat": 0.0})
    assert cue.captions == ("wide shot: a red fox walks in {mia} town in the rain", "a red fox rests at speed 2")
    assert [(cut.when, cut.shot.frames) for cut in cue.cuts] == [("block", 24), ("shot_end", 20)]
    assert all(isinstance(cut, ss.Cut) for cut in cue.cuts)
    assert book.cue("sit", {}, {}).edit == "a red fox sits"


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("wlak", {}, "did you mean 'walk'"),
        (None, {}, "is unknown"),
        ("walk", {}, "needs the parameter 'place'"),
        ("walk", {"place": "x", "sped": 1}, "no parameter 'sped'"),
        ("walk", {"place": 3}, "is not text"),
        ("walk", {"place": "x" * 21}, "at most 20"),
        ("walk", {"place": "x", "speed": "fast"}, "is not a number"),
        ("walk", {"place": "\u202e"}, "nothing to read"),
    ],
)
def test_a_wrong_trigger_says_why(narrator, name, params, says):
    with pytest.raises(ScriptError) as caught:
        narrator.trigger(name, **params)
    assert says in str(caught.value)
    assert narrator.current is None


def test_the_sample_is_read():
    assert list(load_beats(SAMPLE).beats) == ["arrive", "meet", "storm", "shelter", "jump"]


def test_the_example_of_the_documentation_is_read():
    text = (SAMPLE.parents[2] / "docs" / "beats.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    assert parse_beats(example, "docs").problems == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version: 1", "version: 2", "reads version 1"),
        ("version: 1\n", "", "'version' is missing"),
        ("captions: short", "captions: haiku", "beats.yaml:2: captions: captions='haiku' is unknown"),
        ("style: flat", "stlye: flat", "did you mean 'style'"),
        ("priority: 10", "priorty: 10", "beats.yaml:14: beats.low: unknown key 'priorty'"),
        ("priority: 10", "priority: 1000", "outside 0..100"),
        ("priority: 10", "priority: high", "priority is 'high': expected `int`"),
        ("cooldown_s: 5", "cooldown_s: .nan", "outside 0..86400"),
        ("cooldown_s: 5", "cooldown_s: -1", "outside 0..86400"),
        ("role: director", "role: king", "use one of viewer, trigger, director, operator, follow-up"),
        ("cut: now", "cut: later", "change the value"),
        ("{mia} sits", "{mai} sits", "beats.sit.edit: {mai} is unknown; there are mia"),
        ("{mia} sits", "{mia.__class__} sits", "expected a name"),
        ("{mia} sits", "{mia!r} sits", "expected a name"),
        ("walks {place}", "walks {plaice}", "beats.walk.shots[0].action: {plaice} is unknown"),
        ('weather: "{weather}"', 'weather: "{place}"', "is no choice"),
        ("threat > 0.5", "thraet > 0.5", "declared are weather, threat"),
        ("threat > 0.5", "threat > 'x'", "is a number"),
        ("then: [danger, rest]", "then: [danger, ret]", "'ret' is no beat"),
        ("then: [danger, rest]", "then: [sit]", "takes no time"),
        ("then: [danger, rest]", "then: [walk]", "parameter without default"),
        ("default: 0}", "}", "has no default"),
        ("mia: a red fox", "mia: ''", "nothing to read"),
        ("mia: a red fox", "threat: a red fox", "a character and a variable"),
        ("speed: {type", "role: {type", "the name is taken"),
        ("{text: low, frames: 24}", "{text: low, action: x}", "write one of the two"),
        ("{text: low, frames: 24}", "{frames: 24}", "write one of the two"),
        ("{text: low, frames: 24}", "{text: low, frames: 0}", "outside 1..100000"),
        ("{text: low, frames: 24}", "{text: low, frames: forever}", "change the value"),
        ("{text: low, frames: 24}", "{text: low, seed: -1}", "seed=-1"),
        ("[{text: low, frames: 24}]", "[]", "expected 1..32 shots"),
        ("[{text: low, frames: 24}]", "[{text: a, frames: open}, {text: b}]", "only the last shot"),
        ("low: {", "2low: {", "is not a name"),
        ("type: number, min: 0, max: 1", "type: list", "change the value"),
        ("min: 0, max: 1", "min: 2, max: 1", "rising bounds"),
    ],
)
def test_a_wrong_file_says_where_and_why(old, new, says):
    assert old in BOOK
    parsed = parse_beats(BOOK.replace(old, new, 1), "beats.yaml")
    assert parsed.book is None
    assert any(says in problem for problem in parsed.problems), parsed.problems
    assert all(re.match(r"beats\.yaml:\d+: ", problem) and len(problem) < 500 for problem in parsed.problems)


def test_all_problems_are_collected_and_the_first_is_raised(tmp_path):
    path = tmp_path / "beats.yaml"
    path.write_text(BOOK.replace("{mia} sits", "{mai} sits").replace("threat > 0.5", "thraet > 0.5"))
    assert len(parse_beats(path.read_text(), "x").problems) == 2
    with pytest.raises(ScriptError, match=r"thraet.*and 1 more"):
        load_beats(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("# nothing\n\n", "is empty"),
        ("- a", "change the value"),
        ("version: 1\nbeats: {}", "expected 1..1000"),
        ("a: &x [1]\nb: *x", "alias"),
        ("beats: !!python/name:os.system x", "tag"),
        ("a: 1\na: 2", "stands twice"),
        ("x" * (MAX_FILE_BYTES + 1), "at most that"),
        ("[" * 5000, "levels"),
    ],
    ids=range(9),
)
def test_a_hostile_file_is_refused(tmp_path, text, says):
    path = tmp_path / "beats.yaml"
    path.write_text(text)
    with pytest.raises(ScriptError, match=re.escape(says)):
        load_beats(path)


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path, "a\0b"):
        with pytest.raises(ScriptError, match="cannot be read"):
            load_beats(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ScriptError, match="a pipe"):
        load_beats(tmp_path / "pipe.yaml")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BOOK)), st.integers(0, 12), st.text("{}[]:,'\"\n -x1", max_size=6))
def test_a_damaged_file_is_a_book_or_a_script_error(at, length, insert):
    try:
        parsed = parse_beats(BOOK[:at] + insert + BOOK[at + length :], "x")
    except ScriptError:
        return
    assert (parsed.book is None) == bool(parsed.problems)


def test_a_book_made_by_hand_is_checked_too():
    beat = Beat(name="a", shots=(BeatShot(words=Template.parse("{who} walks")),))
    with pytest.raises(ScriptError, match=re.escape("{who} is unknown")):
        BeatBook(beats={"a": beat})
    BeatBook(beats={"a": beat}, characters={"who": "a fox"})


# --- the narrator -----------------------------------------------------------------------------------------------


def test_a_beat_is_shown_to_its_end(narrator, film):
    assert film.global_caption == "flat cartoon"
    fired = narrator.trigger("walk", place="home")
    assert shown(narrator) == [
        ("wide shot: a red fox walks home under a clear sky", 24),
        ("a red fox rests at speed 2", 20),
    ]
    assert fired.state == "done" and [ticket.state for ticket in fired.tickets] == ["delivered", "delivered"]


def test_beats_wait_by_priority_then_in_order(narrator):
    narrator.trigger("walk", place="home")
    low, also = narrator.trigger("low"), narrator.trigger("also")
    assert narrator.waiting == (also, low) and also.state == "waiting"
    assert [prompt for prompt, _ in shown(narrator)][2:] == ["also", "low"]


def test_a_higher_priority_interrupts(narrator):
    walk = narrator.trigger("walk", place="home")
    next(narrator.frames())
    high = narrator.trigger("high")
    assert walk.state == "dropped" and "high interrupted" in walk.reason and high.state == "running"
    prompts = [prompt for prompt, _ in shown(narrator)]
    assert prompts == ["wide shot: a red fox walks home under a clear sky", "high one", "high two"]
    assert walk.tickets[1].state == "superseded"


def test_a_lower_beat_lets_the_last_shot_end(narrator):
    narrator.trigger("high")
    for frame in narrator.frames():
        if frame.prompt == "high two":
            break
    narrator.trigger("low")
    assert shown(narrator) == [("high two", 19), ("low", 24)]


def test_a_beat_between_two_priorities_replaces_the_one_that_waits_in_the_film(narrator):
    """high is on screen with its last shot, low is next in the film; also outranks low but not high."""
    narrator.trigger("high")
    low = narrator.trigger("low")
    for frame in narrator.frames():
        if frame.prompt == "high two":
            break
    assert low.state == "running"
    with pytest.raises(ScriptError, match="would change the words of high"):
        narrator.trigger("sit")
    narrator.trigger("also")
    assert low.state == "dropped"
    with pytest.raises(ScriptError, match="would change the words of high"):
        narrator.trigger("sit")
    assert shown(narrator) == [("high two", 19), ("also", 24)]


def test_an_endless_shot_gives_way(narrator):
    narrator.trigger("endless")
    next(narrator.frames())
    narrator.trigger("low")
    runs = shown(narrator)
    assert runs[0][0] == "endless" and runs[0][1] < 30 and runs[1] == ("low", 24)


def test_cooldown_runs_on_the_clock_handed_in(narrator, clock):
    narrator.trigger("high")
    clock.now += 4.5
    with pytest.raises(ScriptError, match=r"ready in 0\.5 s"):
        narrator.trigger("high")
    clock.now += 0.5
    assert narrator.trigger("high").state == "waiting"


def test_a_refused_trigger_costs_no_cooldown(narrator):
    with pytest.raises(ScriptError, match="no parameter"):
        narrator.trigger("high", x=1)
    assert narrator.trigger("high").state == "running"


def test_conditions_are_asked_twice(narrator):
    with pytest.raises(ScriptError, match=r"needs 'threat > 0.5', and now threat=0.0"):
        narrator.trigger("danger")
    narrator.set(threat=0.75)
    narrator.trigger("also")
    danger = narrator.trigger("danger")
    narrator.set(threat=0)
    assert [prompt for prompt, _ in shown(narrator)] == ["also"]
    assert danger.state == "dropped" and "no longer held" in danger.reason


@pytest.mark.parametrize(("threat", "follower"), [(1, "danger"), (0, "rest")])
def test_the_first_follow_up_that_may_happens(narrator, threat, follower):
    narrator.set(threat=threat)
    narrator.trigger("chain")
    also = narrator.trigger("also")
    assert shown(narrator) == [("chain", 24), (follower, 24), ("also", 24)]
    assert also.state == "done"


@pytest.mark.parametrize(
    ("name", "role", "says"),
    [
        ("walk", "viewer", "needs the role 'trigger'"),
        ("secret", "trigger", "needs the role 'director'"),
        ("rest", "operator", "only follows"),
        ("walk", "root", "use one of viewer"),
    ],
)
def test_roles(narrator, name, role, says):
    with pytest.raises(ScriptError, match=says):
        narrator.trigger(name, role=role)


def test_what_a_role_could_trigger_now(narrator):
    assert narrator.available(role="viewer") == ()
    assert narrator.available(role="trigger") == ("walk", "low", "also", "high", "chain", "endless", "sit")
    narrator.set(threat=1)
    narrator.trigger("high")
    assert set(narrator.available(role="director")) - set(narrator.available(role="trigger")) == {"secret"}
    assert "danger" in narrator.available() and not {"high", "rest"} & set(narrator.available())


def test_an_edit_changes_the_words_on_screen(narrator):
    with pytest.raises(ScriptError, match="before any shot"):
        narrator.trigger("sit")
    narrator.trigger("also")
    next(narrator.frames())
    assert narrator.trigger("sit").state == "done"
    assert [prompt for prompt, _ in shown(narrator)] == ["also", "a red fox sits"]
    narrator.trigger("high")
    for prompt in ("high one", "high two"):  # also while its last shot runs
        assert next(frame.prompt for frame in narrator.frames() if frame.prompt == prompt)
        with pytest.raises(ScriptError, match="of priority 50 would change the words of high of priority 90"):
            narrator.trigger("sit")
    narrator.trigger("endless")
    assert shown(narrator, 40)[-1][0] == "endless"
    assert narrator.trigger("sit").state == "done"


def test_another_cut_of_the_film_drops_the_beat(narrator, film):
    walk = narrator.trigger("walk", place="home")
    film.cut("mine", frames=24)
    also = narrator.trigger("also")
    assert walk.state == "dropped" and also.state == "running"


def test_the_moderator_sees_every_caption_first(book, film):
    seen = []

    def moderate(caption, beat):
        seen.append((beat, caption))
        if "low" in caption:
            return None
        if "danger" in caption:
            raise OSError("gone")
        return caption.replace("high", "hilly")

    narrator = Narrator(book, film, moderate=moderate)
    narrator.set(threat=1)
    assert narrator.trigger("high").cue.captions == ("hilly one", "hilly two")
    with pytest.raises(ScriptError, match="refused 'low'"):
        narrator.trigger("low")
    with pytest.raises(ScriptError, match="moderator failed"):
        narrator.trigger("danger")
    assert [prompt for prompt, _ in shown(narrator)] == ["hilly one", "hilly two"]
    assert seen[:3] == [("style", "flat cartoon"), ("high", "high one"), ("high", "high two")]


def test_a_refused_follow_up_gives_way_to_the_next(book, film):
    narrator = Narrator(book, film, moderate=lambda caption, beat: None if caption == "danger" else caption)
    narrator.set(threat=1)
    narrator.trigger("chain")
    assert shown(narrator) == [("chain", 24), ("rest", 24)]


def test_the_queue_is_bounded(narrator):
    narrator.trigger("also")
    for _ in range(MAX_WAITING):
        narrator.trigger("also")
    with pytest.raises(CapacityError, match="64 beats wait"):
        narrator.trigger("also")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["walk", "low", "also", "high", "chain", "endless", "frames", "sit"]), max_size=12))
def test_any_order_of_triggers_leaves_nothing_waiting_and_never_cuts_the_highest_short(actions):
    book = parse_beats(BOOK, "x").book
    with ss.open(engine=FakeEngine(), ahead=0) as film:
        narrator = Narrator(book, film, clock=Clock())
        fired, prompts = [], []
        for action in actions:
            try:
                if action == "frames":
                    prompts += [frame.prompt for frame in narrator.frames(count=30)]
                else:
                    fired.append(narrator.trigger(action, **({"place": "x"} if action == "walk" else {})))
            except ScriptError:
                assert action in ("high", "sit", "frames")
        if fired:
            prompts += [frame.prompt for frame in narrator.frames(count=800)]
        assert narrator.waiting == ()
        assert {one.state for one in fired} <= {"done", "dropped"}
        assert all(one.reason for one in fired if one.state == "dropped")
        num_shown = [prompts.count(prompt) for prompt in ("high one", "high two")]
        assert num_shown == ([24, 20] if "high" in actions else [0, 0])
