"""Fields of a shot to captions, in the words of each style."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.errors import ScriptError
from shotstream.story.grammar import CHOICES, ShotForm, check_style, style_for
from shotstream.story.templates import Template
from shotstream.story.variables import Variable

FOX = {
    "framing": "wide", "lens_height": "low", "subjects": ["a red fox"], "action": "walks", "place": "in a forest",
    "light": "night", "weather": "snow", "camera": "pan",
}  # fmt: skip


def caption(style, values=None, **changed):
    form = {name: value for name, value in {**FOX, **changed}.items() if value is not None}
    return ShotForm.parse(form).caption(values or {}, style)


def test_short_captions_are_one_clause():
    made = caption("short", lens_height=None)
    assert made.text == "wide shot: a red fox walks in a forest at night in the snow, the camera pans"
    assert made.left_out == ()


def test_prose_captions_are_sentences():
    assert caption("prose").text == (
        "Wide shot from a low angle. A red fox walks in a forest, at night, in falling snow. The camera pans slowly."
    )


def test_what_a_style_has_no_words_for_is_left_out_and_named():
    made = caption("short", camera="track", light="dawn")
    assert made.left_out == ("lens_height=low", "light=dawn", "camera=track")
    assert made.text == "wide shot: a red fox walks in a forest in the snow"


def test_several_subjects_are_joined():
    assert "a fox and an owl dance" in caption("short", subjects=["a fox", "an owl"], action="dance").text
    assert "a, b and c dance" in caption("short", subjects=["a", "b", "c"], action="dance").text


def test_gaps_take_values():
    made = caption("short", {"where": "on the moon", "sky": "rain"}, place="{where}", weather="{sky}")
    assert "walks on the moon at night in the rain" in made.text


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"framing": "wied"}, "use one of extreme-wide, wide"),
        ({"framing": "wide {size}"}, "or one gap"),
        ({"camra": "pan"}, "did you mean 'camera'"),
        ({"subjects": "a fox"}, "must be a list"),
        ({"subjects": list("abcde")}, "at most 4"),
        ({"subjects": [3]}, "is not text"),
        ({"subjects": None, "action": None, "place": None}, "add who or where"),
        ({"place": "in {a.b}"}, "expected a name"),
    ],
)
def test_a_wrong_field_is_named(changed, says):
    with pytest.raises(ScriptError) as caught:
        caption("short", **changed)
    assert says in str(caught.value)


def test_a_gap_for_fixed_words_must_be_a_fitting_choice():
    form = ShotForm.parse({**FOX, "weather": "{sky}"})
    form.check_gaps({"sky": Variable(kind="choice", values=("rain", "snow"))})
    for variables, says in (
        ({"sky": Variable(kind="choice", values=("rain", "hail"))}, "may be 'hail'"),
        ({"sky": Variable(kind="text")}, "is no choice"),
        ({}, "is no choice"),
    ):
        with pytest.raises(ScriptError, match=says):
            form.check_gaps(variables)


def test_the_words_of_the_short_style_are_those_of_the_small_bundles_training():
    from training.export import CAPTION_STYLE
    from training.text import vocabulary

    assert style_for(CAPTION_STYLE) == "short"
    known = set(vocabulary())
    for name, words in CHOICES.items():
        for word in words:
            made = caption("short", **{**dict.fromkeys(CHOICES), name: word})
            said = made.text.replace(":", " ").replace(",", " ").replace("-", " ").lower().split()
            assert made.left_out or set(said) <= known, (name, word, set(said) - known)


def test_published_bundles_get_prose():
    from shotstream.convert import CAPTION_STYLE

    assert style_for(CAPTION_STYLE) == "prose"


def test_prose_has_words_for_every_choice():
    for name, words in CHOICES.items():
        texts = {caption("prose", **{name: word}).text for word in words}
        assert len(texts) == len(words)
        assert not any(caption("prose", **{name: word}).left_out for word in words)


def test_an_unknown_style_is_refused():
    with pytest.raises(ScriptError, match="short, prose"):
        check_style("haiku")


# --- templates --------------------------------------------------------------------------------------------------


def test_values_are_put_in_once():
    template = Template.parse("{a} and {b}")
    assert template.fill({"a": "{b}", "b": "{a}"}) == "{b} and {a}"
    assert template.names == ("a", "b")


@pytest.mark.parametrize("text", ["{a.b}", "{a!r}", "{a:>9}", "{a[0]}", "{}", "{{a}}", "{a", "a}", "{0}", "{ a }", ""])
def test_only_plain_names_are_gaps(text):
    with pytest.raises(ScriptError):
        Template.parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("{}ab.!:[]", max_size=12))
def test_any_text_is_a_template_or_a_script_error(text):
    try:
        template = Template.parse(text)
    except ScriptError as error:
        assert len(str(error)) < 400
        return
    filled = template.fill(dict.fromkeys(template.names, "x"))
    assert len(filled) == sum(map(len, template.literals)) + len(template.names)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*FOX, "x"]), st.text(max_size=20) | st.integers() | st.lists(st.text()) | st.none()
    )
)
def test_any_fields_make_a_shot_or_a_script_error(values):
    try:
        form = ShotForm.parse(values)
        made = form.caption({name: "pan" for text in form.texts.values() for name in text.names}, "prose")
    except ScriptError:
        return
    assert made.text


def test_every_combination_of_fixed_words_makes_a_caption():
    for framing, light, camera in itertools.product(*(CHOICES[name] for name in ("framing", "light", "camera"))):
        for style in ("short", "prose"):
            text = caption(style, framing=framing, light=light, camera=camera).text
            assert "  " not in text and ",," not in text and " ." not in text
