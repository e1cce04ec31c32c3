"""The checks of a beats file, as values and through the command line."""

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream import cli
from shotstream.story.beat_files import parse_beats
from shotstream.story.beat_lint import Reader, lint, never_holds
from shotstream.story.conditions import Condition
from shotstream.story.variables import Variable
from tests.micro import write_micro_bundle
from tests.story.test_beats import BOOK, SAMPLE

HEAD = "version: 1\ncaptions: short\n"


def findings(text, reader=None):
    parsed = parse_beats(HEAD + text, "x")
    assert parsed.problems == []
    return [(finding.level, ".".join(map(str, finding.keys)), finding.text) for finding in lint(parsed.book, reader)]


def one(text, reader=None):
    (found,) = findings(text, reader)
    return found


def words(limit=20, known=(), captions="short"):
    def split(text):
        return re.sub("shot99:", " MARK ", text).replace(",", " ").split()

    return Reader(
        limit=limit,
        count=lambda text: len(split(text)),
        unknown=lambda text: [word for word in split(text) if word not in known and word != "MARK"],
        captions=captions,
    )


def test_a_good_file_has_no_findings():
    assert lint(parse_beats(SAMPLE.read_text(), "x").book) == []


def test_an_unreachable_follow_up():
    level, place, text = one("beats:\n  a: {shots: [{text: a}]}\n  b: {role: follow-up, shots: [{text: b}]}")
    assert (level, place) == ("error", "beats.b") and "no beat that can be triggered" in text


def test_follow_ups_that_only_lead_to_each_other_are_unreachable():
    found = findings(
        "beats:\n  a: {shots: [{text: a}]}\n"
        "  b: {role: follow-up, cooldown_s: 1, shots: [{text: b}], then: [c]}\n"
        "  c: {role: follow-up, shots: [{text: c}], then: [b]}"
    )
    assert [place for _, place, _ in found] == ["beats.b", "beats.c"]


def test_a_follow_up_behind_one_that_always_comes():
    text = "beats:\n  a: {shots: [{text: a}], then: [b, c]}\n  b: {BSHOTS: [{text: b}]}\n  c: {shots: [{text: c}]}"
    level, place, said = one(text.replace("BSHOTS", "shots"))
    assert (level, place) == ("error", "beats.a.then.1") and "c is never reached" in said
    assert findings(text.replace("BSHOTS", "cooldown_s: 1, shots")) == []


def test_a_cycle_without_cooldown_keeps_others_out():
    text = (
        "beats:\n  a: {shots: [{text: a}], then: [b]}\n  b: {BSHOTS: [{text: b}], then: [a]}\n  c: {shots: [{text: c}]}"
    )
    level, place, said = one(text.replace("BSHOTS", "shots"))
    assert (level, place) == ("error", "beats.a.then") and "a -> b -> a" in said and "c of priority 50" in said
    assert findings(text.replace("BSHOTS", "cooldown_s: 1, shots")) == []


def test_a_cycle_that_keeps_nobody_out_is_a_warning():
    assert (
        one("beats:\n  idle: {priority: 0, shots: [{text: a}], then: [idle]}\n  c: {shots: [{text: c}]}")[0]
        == "warning"
    )


@pytest.mark.parametrize(
    ("source", "never"),
    [
        ("threat > 1", True),
        ("threat > 0.999", False),
        ("threat > 0.5 and threat < 0.5", True),
        ("threat > 0.3 and threat < 0.30001", False),
        ("threat < other and threat > 0.3 and other < 0.4", False),
        ("threat < other and other < threat", True),
        ("alarm and not alarm", True),
        ("weather == 'fog' and weather != 'fog'", True),
        ("weather not in ['fog', 'rain']", True),
        ("weather not in ['fog']", False),
        ("place != 'pier' and place == name", False),
        ("place != name", False),
        ("true and false", True),
        ("threat < other and other < third and third < threat", False),  # too many to be sure: no claim
    ],
)
def test_conditions_that_never_hold(source, never):
    number, text = Variable(kind="number", lowest=0, highest=1, default=0), Variable(kind="text", default="x")
    variables = {
        "threat": number, "other": number, "third": number, "alarm": Variable(kind="bool", default=False),
        "weather": Variable(kind="choice", values=("fog", "rain")), "place": text, "name": text,
    }  # fmt: skip
    assert never_holds(Condition.parse(source, variables), variables) is never


NUMBERS = st.sampled_from(["0", "0.25", "0.5", "1", "x", "y"])
TESTS = st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["<", "<=", "==", "!=", ">"]), NUMBERS)


@settings(max_examples=200, deadline=None)
@given(st.lists(TESTS, min_size=1, max_size=4).map(" and ".join), st.integers(0, 16), st.integers(0, 16))
def test_no_condition_that_holds_somewhere_is_said_to_never_hold(source, x, y):
    number = Variable(kind="number", lowest=0, highest=1, default=0)
    condition = Condition.parse(source, {"x": number, "y": number})
    if condition.holds({"x": x / 16, "y": y / 16}):
        assert not never_holds(condition, {"x": number, "y": number})


def test_an_impossible_condition_is_an_error():
    text = (
        "variables: {alarm: {type: bool, default: false}}\nbeats: {a: {when: alarm and not alarm, shots: [{text: a}]}}"
    )
    level, place, said = one(text)
    assert (level, place) == ("error", "beats.a.when") and "never seen" in said


def test_unused_names_are_warnings():
    found = findings(
        "characters: {mia: a fox, bolt: a robot}\n"
        "variables: {mood: {type: text, default: x}, on_stage: {type: bool, default: true}}\n"
        "beats: {a: {when: on_stage, params: {size: {type: number}}, shots: [{text: '{mia}'}]}}"
    )
    assert [(level, place) for level, place, _ in found] == [
        ("warning", "characters.bolt"), ("warning", "variables.mood"), ("warning", "beats.a.params.size"),
    ]  # fmt: skip


def test_fields_without_words_are_warnings_for_every_choice():
    found = findings(
        "beats: {a: {params: {sky: {type: choice, values: [rain, fog, storm]}},"
        " shots: [{action: a, weather: '{sky}', lens_height: low}]}}"
    )
    assert {text.split()[0] for _, _, text in found} == {"lens_height=low", "weather=fog", "weather=storm"}


def test_the_budget_counts_the_style_the_longest_choice_and_text():
    text = (
        "style: one two\n"
        "beats: {a: {params: {what: {type: choice, values: [x, x y z]}, free: {type: text, max_chars: 21}},"
        " shots: [{text: 'four {what} {free} nine'}]}}"
    )
    known = ["one", "two", "four", "nine", "x", "y", "z"]
    # style 2, mark 1, four and nine 2, choice 3, text of 21 characters 5
    assert findings(text, words(limit=13, known=known)) == []
    level, place, said = one(text, words(limit=12, known=known))
    assert (level, place) == ("error", "beats.a.shots.0") and "13 tokens" in said


def test_unknown_words_are_named_where_they_stand():
    found = findings(
        "style: oil paint\ncharacters: {mia: a fox}\n"
        "beats: {a: {params: {p: {type: choice, values: [hut, barn]}}, shots: [{text: '{mia} naps {p}'}]},"
        " b: {edit: '{mia} sits'}}",
        words(limit=50, known=["oil", "fox", "hut", "a"]),
    )
    assert {(place, text.split("know ")[1].split(";")[0]) for _, place, text in found} == {
        ("style", "'paint'"), ("beats.a.params.p", "'barn'"), ("beats.a.shots.0", "'naps'"),
        ("beats.b.edit", "'sits'"),
    }  # fmt: skip


def test_another_phrasing_than_the_bundles_is_a_warning():
    assert one("beats: {a: {shots: [{text: a}]}}", words(known=["a"], captions="prose"))[:2] == ("warning", "captions")


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch, capfd, tmp_path):
    """Runs ``shotstream beats check`` on a text; returns (exit code, stdout, stderr)."""

    def run(text, *options):
        (tmp_path / "b.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["shotstream", "beats", "check", str(tmp_path / "b.yaml"), *map(str, options)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capfd.readouterr()
        return code, out.replace(f"{tmp_path}/", ""), err

    return run


def test_check_passes_a_good_file(check):
    assert check(SAMPLE.read_text(), "--strict") == (0, "5 beats, 0 errors, 0 warnings\n", "")


def test_check_lists_every_problem_with_its_line(check):
    code, out, _ = check(BOOK.replace("{mia} sits", "{mai} sits").replace("danger: {", '"dan\\eger": {'))
    assert code == 2 and out.count("error: b.yaml:") == 3 and out.endswith("3 errors, 0 warnings\n")
    assert "b.yaml:22: beats.sit.edit: {mai} is unknown" in out
    assert "beats.dan?ger: beat 'dan\\x1bger' is not a name" in out and "\x1b" not in out


def test_check_counts_warnings_when_strict(check):
    text = HEAD + "characters: {mia: a fox}\nbeats: {a: {shots: [{text: a}]}}"
    assert check(text)[:2] == (
        0,
        "warning: b.yaml:3: characters.mia: is in no caption; use it or remove it\n1 beats, 0 errors, 1 warnings\n",
    )
    assert check(text, "--strict")[0] == 2


def test_check_asks_the_tokenizer_of_a_bundle(check, tmp_path):
    bundle = write_micro_bundle(tmp_path / "bundle")
    code, out, err = check(HEAD + "beats: {a: {shots: [{text: a red xylophone}]}}", "--bundle", bundle)
    assert (code, err) == (0, "") and "the bundle does not know" in out and "'xylophone'" in out and "'red'" not in out
    code, out, _ = check(HEAD + f"beats: {{a: {{shots: [{{text: {'red ' * 200}}}]}}}}", "--bundle", bundle)
    assert code == 2 and "loses the rest" in out


def test_check_refuses_a_missing_file_or_bundle(check, tmp_path):
    assert check("- a")[0] == 2
    code, _, err = check(BOOK, "--bundle", tmp_path / "none")
    assert code == 2 and "no such bundle" in err
