"""Typed values, the blackboard, and conditions over it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.errors import ScriptError
from shotstream.story.conditions import Condition
from shotstream.story.variables import Blackboard, Variable, plain_text, words_of

VARIABLES = {
    "threat": Variable(kind="number", lowest=0, highest=1, default=0),
    "alarm": Variable(kind="bool", default=False),
    "weather": Variable(kind="choice", values=("clear", "fog", "rain"), default="clear"),
    "place": Variable(kind="text", default="pier"),
}
VALUES = {"threat": 0.5, "alarm": True, "weather": "fog", "place": "pier"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("alarm", True),
        ("not alarm", False),
        ("not not alarm", True),
        ("alarm == true and threat >= 0.5", True),
        ("threat > 0.5 or weather == 'fog'", True),
        ("threat < -1", False),
        ("0.5 == threat", True),
        ("weather in ['fog', 'rain']", True),
        ("weather not in ['fog', \"rain\"]", False),
        ("not weather in ['rain']", True),
        ("weather != place", True),
        ("place == 'and'", False),
        ("alarm or alarm and not alarm", True),
        ("(alarm or alarm) and not alarm", False),
        ("not (alarm and threat<1)", False),
        ("  alarm  ", True),
    ],
)
def test_conditions_are_read_as_written(source, expected):
    assert Condition.parse(source, VARIABLES).holds(VALUES) is expected


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "ends where a value"),
        ("threat", "is a number and stands alone"),
        ("threat > 'high'", "threat is a number"),
        ("weather < 'fog'", "< compares numbers"),
        ("weather == 'snow'", "it is one of clear, fog, rain"),
        ("weather in ['fog', 'snow']", "never"),
        ("danger > 1", "declared are threat, alarm, weather, place"),
        ("threat > 0.5 alarm", "left over"),
        ("(alarm", "not closed"),
        ("alarm and", "ends where a value"),
        ("weather in 'fog'", "list in brackets"),
        ("weather in [place]", "is a variable"),
        ("weather in ['fog'", "needs ','"),
        ("threat not 3", "needs 'in'"),
        ("__import__('os')", "unknown"),
        ("threat.real > 1", "cannot be read"),
        ("threat + 1 > 2", "cannot be read"),
        ("threat > 99999999999999", "beyond"),
        ("(" * 50 + "alarm" + ")" * 50, "deeper than 20"),
        ("alarm or " * 80 + "alarm", "at most 400"),
        (True, "expected text"),
    ],
)
def test_a_wrong_condition_says_why(source, says):
    with pytest.raises(ScriptError) as caught:
        Condition.parse(source, VARIABLES)
    assert says in str(caught.value) and len(str(caught.value)) < 400


PIECES = ["threat", "alarm", "weather", "'fog'", "0.5", "true", "and", "or", "not", "in", "(", ")", "[", "]", ",", "=="]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, "<", "!="]), max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_condition_or_a_script_error(source):
    try:
        condition = Condition.parse(source, VARIABLES)
    except ScriptError:
        return
    assert condition.holds(VALUES) in (True, False)
    assert condition.names <= set(VARIABLES)


COMPARISONS = st.sampled_from(["alarm", "threat > 0.25", "weather == 'fog'", "place != 'pier'", "true"])


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        COMPARISONS,
        lambda inner: (
            st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | inner.map("not ({})".format)
        ),
        max_leaves=6,
    )
)
def test_conditions_agree_with_python(source):
    if len(source) <= 400:
        expected = eval(source, {"__builtins__": {}, "true": True}, VALUES)
        assert Condition.parse(source, VARIABLES).holds(VALUES) == expected


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("threat", True, "is not a number"),
        ("threat", "1", "is not a number"),
        ("threat", 1.5, "use 0..1"),
        ("threat", float("nan"), "outside the bounds"),
        ("threat", float("inf"), "outside the bounds"),
        ("threat", 10**400, "outside the bounds"),
        ("alarm", 1, "use true or false"),
        ("weather", "hail", "use one of clear, fog, rain"),
        ("weather", ["fog"], "use one of"),
        ("place", "x" * 81, "at most 80"),
        ("place", "x" * 10**6, "at most 80"),
        ("place", "\u202e\x00", "nothing to read"),
        ("place", None, "is not text"),
    ],
)
def test_a_wrong_value_is_refused(kind, value, says):
    with pytest.raises(ScriptError, match="thing") as caught:
        VARIABLES[kind].check(value, "the thing")
    assert says in str(caught.value) and len(str(caught.value)) < 300


def test_values_are_kept_as_their_type():
    assert VARIABLES["threat"].check(1, "x") == 1.0 and isinstance(VARIABLES["threat"].check(1, "x"), float)
    assert VARIABLES["place"].check("  the\n old\tpier ", "x") == "the old pier"
    assert [words_of(value) for value in (3.0, 0.25, "fog")] == ["3", "0.25", "fog"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\u202eb\u2066c", "abc"),
        ("a\x1b[2J\0b", "a[2Jb"),
        ("a\ud800b", "ab"),
        ("\uff21 \ufb01sh", "A fish"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("shot3: a fox", "shot3 a fox"),
        ("Shot 12 :: a fox", "Shot 12 a fox"),
        ("shot1:2: x", "shot1 2: x"),
        ("\uff53hot\uff13\uff1a x", "shot3 x"),
        ("sho\u200bt3: x", "shot3 x"),
    ],
)
def test_text_is_made_harmless(text, plain):
    assert plain_text(text, "text") == plain


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=50) | st.text("shot1: \uff1a\u200b\u0661", max_size=24))
def test_plain_text_is_stable_and_holds_no_shot_mark(text):
    from tokenizers import Regex, normalizers

    from shotstream.model.word_text import _SHOT_PATTERN

    try:
        once = plain_text(text, "text")
    except ScriptError:
        return
    assert plain_text(once, "text") == once
    as_tokenized = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    marked = normalizers.Replace(Regex(_SHOT_PATTERN), "MARK").normalize_str(as_tokenized.normalize_str(once))
    assert "MARK" not in marked


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "list"}, "use one of text, number, bool, choice"),
        ({"kind": "choice"}, "1..64 different values"),
        ({"kind": "choice", "values": ("a", "a")}, "1..64 different values"),
        ({"kind": "text", "values": ("a",)}, "other types have none"),
        ({"kind": "number", "lowest": 2, "highest": 1}, "rising bounds"),
        ({"kind": "number", "highest": float("nan")}, "rising bounds"),
        ({"kind": "number", "highest": 1, "default": 2}, "outside the bounds"),
        ({"kind": "text", "max_chars": 0}, "outside 1..400"),
    ],
)
def test_a_wrong_declaration_is_refused(fields, says):
    with pytest.raises(ScriptError) as caught:
        Variable(**fields)
    assert says in str(caught.value)


def test_blackboard_sets_all_or_nothing():
    board = Blackboard(VARIABLES)
    with pytest.raises(ScriptError, match=r"use 0\.\.1"):
        board.update({"alarm": True, "threat": 7})
    assert board.values == {"threat": 0.0, "alarm": False, "weather": "clear", "place": "pier"}
    with pytest.raises(ScriptError, match="'danger' is unknown"):
        board.update({"danger": 1})
    board.update({"alarm": True, "threat": 1})
    other = Blackboard(VARIABLES)
    other.update(board.values)
    assert other.values == board.values and board.values["alarm"] is True


def test_a_variable_without_default_is_refused():
    with pytest.raises(ScriptError, match="no default"):
        Blackboard({"x": Variable(kind="text")})
