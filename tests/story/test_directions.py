"""Tags of Ink and commands of Yarn as stage directions."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shotstream as ss
from shotstream.errors import ScriptError
from shotstream.story import load_beats
from shotstream.story.directions import MAX_DIRECTION_CHARS, Direction, perform, read_direction
from shotstream.story.narrator import Narrator
from shotstream.testing import FakeEngine

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize(
    ("line", "beat", "values"),
    [
        ("shot: boss_reveal place=pier", "boss_reveal", {"place": "pier"}),
        (' shot :  boss_reveal  place = "the pier"  ', "boss_reveal", {"place": "the pier"}),
        ('shot boss_reveal place "the pier"', "boss_reveal", {"place": "the pier"}),
        ("shot arrive", "arrive", {}),
        ("shot a speed -2.5 loud true calm=false n=.5", "a", {"speed": -2.5, "loud": True, "calm": False, "n": 0.5}),
        (r'shot a p="say \"hi\" \\ bye" q="3" r="true"', "a", {"p": r'say "hi" \ bye', "q": "3", "r": "true"}),
        ("shot a p=1e9 q=1.2.3 r=-", "a", {"p": "1e9", "q": "1.2.3", "r": "-"}),
        ('shot a p=""', "a", {"p": ""}),
        ("fact: weather=rain trust=0.5", None, {"weather": "rain", "trust": 0.5}),
        ("fact weather rain", None, {"weather": "rain"}),
    ],
)
def test_a_direction_is_read(line, beat, values):
    assert read_direction(line) == Direction(beat=beat, values=values)


@pytest.mark.parametrize("line", ["", "mood: uneasy", "shotgun", "shots: a", "wait 1", "author: shot a", "SHOT a"])
def test_other_lines_are_left_alone(line):
    assert read_direction(line) is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("shot", "needs the name of a beat"),
        ("shot: 2fast", "needs the name of a beat"),
        ("shot a.b", "needs the name of a beat"),
        ("shot a place", "'place' has no value"),
        ("shot a place=x place=y", "stands twice"),
        ('shot a "place" x', "is no name"),
        ('shot a place="x', "is not read"),
        ("shot a place==x", "is not read"),
        ('shot a place="x"y', "is not read"),
        ("shot a place q=1", "is not read"),
        ("shot a =1", "is not read"),
        ("fact", "needs a variable"),
        ("shot a " + "x" * MAX_DIRECTION_CHARS, "shorten it"),
    ],
)
def test_a_wrong_direction_says_why(line, says):
    with pytest.raises(ScriptError, match=re.escape(says)) as caught:
        read_direction(line)
    assert len(str(caught.value)) < 200


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 4))


@given(NAMES, st.dictionaries(NAMES, st.text(max_size=20) | st.booleans() | NUMBERS, max_size=5), st.booleans())
def test_what_is_written_is_what_is_read(beat, values, with_sign):
    def written(value):
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float):
            return f"{value:.4f}"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    sign = "=" if with_sign else " "
    line = f"shot {beat} " + " ".join(f"{name}{sign}{written(value)}" for name, value in values.items())
    assert read_direction(line) == Direction(beat=beat, values=values)


@given(st.text(max_size=60), st.sampled_from(["", "shot ", "shot a ", "fact: ", 'shot a p="']))
def test_any_line_is_a_direction_or_none_or_a_script_error(text, start):
    try:
        direction = read_direction(start + text)
    except ScriptError:
        return
    assert direction is None or direction.beat is not None or direction.values


def test_directions_are_carried_out_by_a_narrator_too():
    with ss.open(engine=FakeEngine(), ahead=0) as film:
        narrator = Narrator(load_beats(SAMPLES / "beats" / "fox_and_robot.yaml"), film)
        assert perform("fact: weather=snow trust=0.7", narrator) is None
        assert narrator.facts == {"weather": "snow", "trust": 0.7}
        fired = perform('shot: arrive place="on the beach"', narrator)
        assert fired.state == "running" and "on the beach in the snow" in fired.cue.captions[0]
        assert perform("mood: uneasy", narrator) is None
        for line in ("shot arrive role=operator", "shot nothing", "fact trust=2"):
            with pytest.raises(ScriptError):
                perform(line, narrator)


@pytest.mark.parametrize("name", ["ink_adapter/lighthouse.ink", "yarn_adapter/lighthouse.yarn"])
def test_every_direction_of_the_sample_stories_fits_the_book(name):
    book = load_beats(SAMPLES / "beats" / "fox_and_robot.yaml")
    text = (SAMPLES / name).read_text()
    lines = re.findall(r"#\s*([^#\n]+)", text) + re.findall(r"<<(.*?)>>", text)
    directions = [direction for line in lines if (direction := read_direction(line)) is not None]
    assert len(directions) == 5
    for direction in directions:
        if direction.beat is not None:
            book.beat(direction.beat).arguments(direction.values)
        else:
            for fact, value in direction.values.items():
                book.variables[fact].check(value, fact)
