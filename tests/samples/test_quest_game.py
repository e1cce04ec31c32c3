"""The quest: its rules, its story events, and the program on a dummy display."""

import os

import numpy as np
import pytest
from PIL import Image

from shotstream.story import load_beats
from tests.samples.conftest import SAMPLES

FOLDER = SAMPLES / "quest_game"


@pytest.fixture
def quest(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import quest

    return quest


def played(quest, game):
    """Everything that happens when the program plays."""
    happened = game.begin()
    for _ in range(500):
        direction = game.autoplay()
        if direction is None:
            return happened
        happened += game.step(direction)
    raise AssertionError("the quest does not end")


def test_the_quest_can_be_won_and_tells_its_story(quest):
    game = quest.Quest()
    beats = [one.beat for one in played(quest, game) if one.beat]
    assert [beat for beat in beats if not beat.startswith("enter_")] == [
        "begin", "gate_locked", "find_key", "meet_owl", "night_falls", "open_gate",
    ]  # fmt: skip
    assert {"enter_forest", "enter_meadow", "enter_mountains"} <= set(beats)
    assert (game.done, game.has_key, game.met_owl, game.light) == (True, True, True, "night")
    assert game.step("down") == [] and game.fox == quest.find("G")


def test_nothing_passes_through_walls_water_or_the_locked_gate(quest):
    game = quest.Quest()
    visited = {game.fox}
    frontier = [game.fox]
    while frontier:  # every cell that can be reached without the key
        start = frontier.pop()
        for direction in quest.DIRECTIONS:
            game.fox, game.has_key = start, False
            game.step(direction)
            if game.fox not in visited:
                visited.add(game.fox)
                frontier.append(game.fox)
    letters = {quest.MAP[y][x] for x, y in visited}
    assert letters == {".", "f", "K", ",", "s", "p", "S"}
    assert not game.done


def test_without_the_owl_the_fox_goes_alone(quest):
    game = quest.Quest()
    game.has_key = True
    for direction in game.way_to(quest.find("G")):
        last = game.step(direction)
    assert game.done and last[-1].beat == "open_gate" and "alone" in last[-1].line


def test_facts_change_with_what_happens(quest):
    game = quest.Quest()
    facts = {}
    for one in played(quest, game):
        facts |= one.facts
    assert facts == game.facts


def test_every_event_of_the_game_is_in_the_book_and_the_words_fit(quest):
    book = load_beats(FOLDER / "beats.yaml")
    game = quest.Quest()
    facts = dict(game.facts)
    for one in played(quest, game):
        facts |= one.facts
        if one.beat:
            assert book.cue(one.beat, {}, facts).captions
    assert set(book.variables) == set(facts)
    for place in quest.WORDS.values():
        assert book.cue("night_falls", {}, {**facts, "place": place}).captions


def test_the_book_has_no_findings(run):
    code, out, _ = run("beats", "check", FOLDER / "beats.yaml", "--bundle", "storyworld-tiny", "--strict")
    assert code == 0 and "0 errors, 0 warnings" in out


@pytest.fixture
def play(python, monkeypatch, tmp_path):
    pytest.importorskip("pygame", reason="pygame is not installed; the extra [stage] brings it")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def run_it(*arguments, server=None):
        monkeypatch.setenv("SHOTSTREAM_RUNTIME", os.fspath(tmp_path / "runtime"))
        path = tmp_path / "quest.png"
        out = python("quest_game/quest_game.py", "--screenshot", path, *arguments, server=server)
        return out, np.asarray(Image.open(path).convert("RGB")).astype(int)

    return run_it


def test_without_a_server_the_quest_goes_on(play):
    out, window = play("--autoplay", "--frames", 90)
    assert out == "3 steps, 0 events told, 0 frames seen\n"
    assert len(np.unique(window.reshape(-1, 3), axis=0)) > 1000, "the map is drawn"
