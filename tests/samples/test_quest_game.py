"""The quest: its rules, its story events, and the program on a dummy display."""

import os
import re
import time

import numpy as np
import pytest
from PIL import Image

import shotstream as ss
from shotstream.bridge.server import Server, ServerConfig
from shotstream.story import load_beats
from shotstream.testing import read_chart
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
def play(python, monkeypatch, tmp_path, pictures):
    pytest.importorskip("pygame", reason="pygame is not installed; the extra [stage] brings it")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def run_it(*arguments, server=None):
        monkeypatch.setenv("SHOTSTREAM_RUNTIME", os.fspath(tmp_path / "runtime"))
        path = pictures / "quest_game.png"
        out = python("quest_game/quest_game.py", "--screenshot", path, *arguments, server=server)
        return out, np.asarray(Image.open(path).convert("RGB")).astype(int)

    return run_it


def test_without_a_server_the_quest_goes_on(play):
    out, window = play("--autoplay", "--frames", 90)
    assert out == "3 steps, 0 events told, 0 frames seen\n"
    assert len(np.unique(window.reshape(-1, 3), axis=0)) > 1000, "the map is drawn"


@pytest.fixture
def vision(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import vision

    made = []

    def start():
        made.append(vision.Vision())
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def book_server(monkeypatch, tmp_path):
    """Starts servers of the quest's book, all under the same name, one after the other."""
    monkeypatch.setenv("SHOTSTREAM_RUNTIME", os.fspath(tmp_path / "runtime"))
    book = load_beats(FOLDER / "beats.yaml")
    return lambda: Server(ss.open("test-chart", ahead=1), ServerConfig(), book=book)


def facts():
    """What the server believes about the quest."""
    with ss.connect(role="viewer") as client:
        return client.variables()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_events_become_pictures(vision, book_server):
    with book_server():
        seen = vision()
        seen.tell("begin", {"light": "dusk"})
        wait_for(lambda: seen.image is not None and seen.caught_up)
        assert seen.told == ["begin"] and seen.status == "live"
        assert read_chart(seen.image)["shot"] == 0
        seen.tell("open_gate", {})
        wait_for(lambda: "needs" in seen.status)  # refused: without the key it cannot happen, and the game goes on
        seen.tell("find_key", {"has_key": True})
        seen.tell("open_gate", {"place": "near the castle"})
        wait_for(lambda: seen.told == ["begin", "find_key", "open_gate"])
        assert facts() == {"light": "dusk", "has_key": True, "met_owl": False, "place": "near the castle"}


def test_a_server_that_comes_late_or_again_is_told_where_the_story_is(vision, book_server):
    seen = vision()
    seen.tell("begin", {"light": "day"})
    seen.tell("meet_owl", {"met_owl": True})
    wait_for(lambda: "no server" in seen.status)
    assert seen.image is None and seen.caught_up
    with book_server():
        wait_for(lambda: seen.told == ["meet_owl"])  # the latest event; what came before it is past
        assert facts()["met_owl"] is True
        wait_for(lambda: seen.image is not None)
    wait_for(lambda: "away" in seen.status)
    assert seen.image is not None, "the last picture stays"
    with book_server():
        wait_for(lambda: seen.told == ["meet_owl", "meet_owl"])
        assert facts()["met_owl"] is True


def test_the_program_shows_what_the_server_makes_of_it(play, book_server):
    with book_server():
        out, window = play("--autoplay", "--frames", 240)
    found = re.fullmatch(r"\d+ steps, (\d+) events told, (\d+) frames seen\n", out)
    assert int(found[1]) >= 1 and int(found[2]) >= 1
    panel = window[52:238, 738:1046]
    assert (panel.max(axis=2) > 200).any(), "the digits of a chart in the narrator's vision"
