import pytest

from shotstream.errors import ScriptError
from shotstream.story import Cut, PromptEdit, Shot, Story
from shotstream.story.limits import MAX_PROMPT_CHARS, MAX_SEED, MAX_SHOT_FRAMES, check_frames, check_seed, clean_prompt


def test_prompt_becomes_one_line_of_single_spaces():
    assert clean_prompt("  a red\n\tfox   walks ") == "a red fox walks"


def test_prompt_keeps_letters_of_every_language():
    assert clean_prompt("лиса 狐狸 🦊 naïve") == "лиса 狐狸 🦊 naïve"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" \n\t ", "is empty"),
        ("x" * (MAX_PROMPT_CHARS + 1), "has 4001 characters"),
        ("fox " * 250_000, "has 1000000 characters"),
        ("a\0b", "U+0000 at position 1"),
        ("a\x1b[2Jb", "U+001B"),
        ("a\ud800", "U+D800"),
        (None, "NoneType"),
        (7, "int 7"),
    ],
)
def test_prompt_is_refused(text, says):
    with pytest.raises(ScriptError, match="prompt") as caught:
        clean_prompt(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("frames", [0, -1, MAX_SHOT_FRAMES + 1, 10**9, 10**30, True, 1.0, "81", None])
def test_length_is_refused(frames):
    with pytest.raises(ScriptError, match="frames="):
        check_frames(frames)


def test_lengths_at_the_limits_are_accepted():
    assert [check_frames(n) for n in (1, MAX_SHOT_FRAMES)] == [1, MAX_SHOT_FRAMES]


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, True, 0.5, "1"])
def test_seed_is_refused(seed):
    with pytest.raises(ScriptError, match="seed="):
        check_seed(seed)


def test_seed_limits_are_accepted():
    assert [check_seed(seed) for seed in (0, MAX_SEED)] == [0, MAX_SEED]


def test_shot_checks_its_parts():
    assert Shot(prompt=" a  fox ").prompt == "a fox"
    with pytest.raises(ScriptError, match="rise strictly"):
        Shot(prompt="a", edits=(PromptEdit(at=9, prompt="b"), PromptEdit(at=9, prompt="c")))
    with pytest.raises(ScriptError, match="not inside"):
        Shot(prompt="a", frames=9, edits=(PromptEdit(at=9, prompt="b"),))


def test_cut_names_the_moments_it_knows():
    with pytest.raises(ScriptError, match="'block', 'shot_end', 'now'"):
        Cut(shot=Shot(prompt="a"), when="later")


def test_story_joins_world_and_characters():
    story = Story(
        shots=(Shot(prompt="a", frames=5), Shot(prompt="b", frames=6)), world="dusk.", characters={"Mia": "a fox"}
    )
    assert story.global_caption == "dusk. Mia: a fox."
    assert story.num_frames == 11


def test_story_needs_a_shot_and_not_too_many():
    for shots in ((), (Shot(prompt="a"),) * 1001):
        with pytest.raises(ScriptError, match=r"1\.\.1000"):
            Story(shots=shots)
