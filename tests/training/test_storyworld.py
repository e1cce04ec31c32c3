"""The procedural world: deterministic, complete, split cleanly, and truthfully captioned."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from training.storyworld import lexicon
from training.storyworld.captions import UNSPECIFIED, captions, describe, prompt_of
from training.storyworld.labels import LABELS, NOBODY, attributes, shot_labels
from training.storyworld.motion import PERIOD
from training.storyworld.render import render_frame, render_shot
from training.storyworld.truth import truth
from training.storyworld.world import (
    MAX_FRAMES,
    MIN_FRAMES,
    PLACES,
    SPECIES,
    Character,
    Shot,
    is_held_out,
    sample_story,
)

FOX = Character("fox", "red")
HASH_PROGRAM = """
import hashlib
from training.storyworld.captions import captions
from training.storyworld.render import render_shot
from training.storyworld.world import sample_story
story = sample_story(11)
pixels = b"".join(render_shot(shot, [0, 5, 40]).tobytes() for shot in story.shots)
print(hashlib.sha256(pixels + repr(captions(story, 3)).encode()).hexdigest())
"""


def test_same_seed_gives_same_pixels_and_words_in_another_process():
    story = sample_story(11)
    pixels = b"".join(render_shot(shot, [0, 5, 40]).tobytes() for shot in story.shots)
    here = hashlib.sha256(pixels + repr(captions(story, 3)).encode()).hexdigest()
    there = subprocess.run([sys.executable, "-c", HASH_PROGRAM], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_stories_keep_their_cast_and_length_limits():
    for seed in range(200):
        story = sample_story(seed)
        assert 2 <= len(story.shots) <= 6
        assert 1 <= len(story.characters) <= 2
        assert all(MIN_FRAMES <= shot.num_frames <= MAX_FRAMES for shot in story.shots)
        if len(story.characters) == 2:
            first, second = story.characters
            assert first.species != second.species and first.colour != second.colour


def test_every_class_of_every_label_occurs():
    seen = {name: set() for name in LABELS}
    for seed in range(400):
        story = sample_story(seed)
        for k in range(len(story.shots)):
            for name, number in shot_labels(story, k).items():
                seen[name].add(number)
    for name, numbers in seen.items():
        first = 1 if name.startswith("subject1") else 0  # class 0 is nobody; a shot always has a first subject
        assert numbers == set(range(first, len(LABELS[name]))), name


def test_splits_do_not_share_compositions():
    for seed in range(300):
        for shot in sample_story(seed, "train").shots:
            assert not any(is_held_out(who, shot.place) for who in shot.subjects)
        for shot in sample_story(seed, "test").shots:
            assert is_held_out(shot.subjects[0], shot.place)


def test_values_outside_the_world_are_refused_by_name():
    with pytest.raises(ValueError, match="species='dragon' is not in this world; use one of fox"):
        Character("dragon", "red")
    with pytest.raises(ValueError, match="0 subjects"):
        Shot("forest", ())
    with pytest.raises(ValueError, match="split='dev'"):
        sample_story(0, "dev")


def test_pictures_have_the_asked_size_and_range():
    shot = Shot("city", (FOX,), "night", "rain", camera="pan")
    image = render_frame(shot, 7, 128, 80)
    assert image.shape == (80, 128, 3) and image.dtype == np.uint8
    assert image.min() < 60 and image.max() > 200
    film = render_shot(shot, [0, 7], width_px=128, height_px=80)
    assert np.array_equal(film[1], image)


@pytest.mark.parametrize("change", [
    {"place": "beach"}, {"time": "night"}, {"weather": "snow"}, {"framing": "close"}, {"action": "waves"},
    {"prop": "ball"}, {"subjects": (Character("fox", "blue"),)}, {"subjects": (Character("owl", "red"),)},
    {"subjects": (Character("fox", "red", "hat"),)}, {"subjects": (FOX, Character("bear", "white"))},
])  # fmt: skip
def test_each_attribute_changes_the_picture(change):
    plain = {"place": "forest", "subjects": (FOX,)}
    before = render_frame(Shot(**plain), 6).astype(int)
    after = render_frame(Shot(**{**plain, **change}), 6).astype(int)
    assert (np.abs(before - after).max(axis=2) > 24).mean() > 0.01


@pytest.mark.parametrize("action", ["stands", "jumps", "waves", "dances", "spins", "sleeps"])
def test_actions_repeat_after_their_period(action):
    film = render_shot(Shot("meadow", (FOX,), weather="rain", action=action), [3, 3 + PERIOD])
    # a drop that lands on another floating-point edge may differ by one level
    assert np.abs(film[0].astype(int) - film[1]).max() <= 2


@pytest.mark.parametrize("camera", ["pan", "push-in", "shake"])
def test_cameras_move_the_scenery(camera):
    film = render_shot(Shot("castle", (FOX,), camera=camera), [0, 22]).astype(int)
    corner = np.abs(film[0] - film[1])[:40, :50]
    assert corner.max() > 20


def test_truth_boxes_hold_the_characters():
    shot = Shot("desert", (FOX, Character("penguin", "blue")), framing="wide")
    said = truth(shot, 4)
    assert said.characters == shot.subjects and said.place == "desert" and said.framing == "wide"
    other = Shot("desert", (FOX, Character("bear", "green")), framing="wide")
    changed = np.abs(render_frame(shot, 4).astype(int) - render_frame(other, 4)).max(axis=2) > 30
    left, top, right, bottom = (round(edge) for edge in said.boxes[1])
    assert left > 80, "the second character stands on the right"
    assert changed[top:bottom, left:right].sum() > 0.95 * changed.sum() > 200


def test_close_ups_show_larger_characters_than_wide_shots():
    def height(framing):
        (_, top, _, bottom), *_ = truth(Shot("moon", (FOX,), framing=framing), 0).boxes
        return bottom - top

    assert height("wide") < height("medium") < height("close")


def test_captions_are_seeded_and_vary():
    story = sample_story(5)
    assert captions(story, 1) == captions(story, 1)
    assert len({repr(captions(story, seed)) for seed in range(20)}) > 15
    assert all(text for seed in range(50) for text in captions(sample_story(seed), seed)[1])


def test_captions_name_the_true_attributes():
    """What a prompt says about a shot is what the shot shows, unless it says nothing."""
    silent = 0
    for seed in range(300):
        story = sample_story(seed)
        described = describe(story, seed)
        for k, said in enumerate(described.said):
            shows = attributes(story.shots[k])
            assert set(said) == set(shows)
            for name, value in said.items():
                assert value in (shows[name], UNSPECIFIED), (described.prompt(k), name)
                silent += value == UNSPECIFIED
    assert silent > 300, "some captions must leave something out"


def test_words_of_the_place_and_species_appear_in_the_prompt():
    for seed in range(200):
        story = sample_story(seed)
        described = describe(story, seed)
        for k, said in enumerate(described.said):
            prompt = described.prompt(k).lower()
            if said["place"] != UNSPECIFIED:
                assert any(noun in prompt for _, _, noun in lexicon.PLACE_WORDS[said["place"]])
            if said["subject1_species"] in SPECIES:
                assert any(word in prompt for word in lexicon.SPECIES_WORDS[said["subject1_species"]])


def test_the_first_prompt_says_all_that_is_not_usual():
    for seed in range(300):
        story = sample_story(seed)
        first, said = attributes(story.shots[0]), describe(story, seed).said[0]
        for name in ("subject1_species", "subject1_colour", "subject1_outfit", "place"):
            if name == "place":
                assert said[name] == first[name]
            assert said[name] == first[name] != NOBODY
        assert said["time"] == first["time"] or first["time"] == "day"
        assert said["weather"] == first["weather"] or first["weather"] == "clear"


def test_later_prompts_say_what_changed():
    for seed in range(300):
        story = sample_story(seed)
        said = describe(story, seed).said
        for k in range(1, len(story.shots)):
            before, now = attributes(story.shots[k - 1]), attributes(story.shots[k])
            for name in ("place", "time"):
                assert said[k][name] == now[name] or before[name] == now[name]


def test_prompt_is_the_plain_concatenation():
    assert prompt_of("A fox.", 0, "it waves") == "A fox.shot0:it waves"


def test_every_place_draws_for_every_light():
    pictures = set()
    for place in PLACES:
        for time in ("day", "dusk", "night"):
            pictures.add(render_frame(Shot(place, (FOX,), time), 0, 80, 48).tobytes())
    assert len(pictures) == 3 * len(PLACES)
