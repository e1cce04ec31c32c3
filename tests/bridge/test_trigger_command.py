"""``shotstream trigger``, and a beats file that is edited while it is played."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import shotstream as ss
from shotstream.bridge.faults import RateLimited
from shotstream.bridge.server import Server, ServerConfig
from shotstream.cli.story import BookFile
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.processes import environment
from tests.story.test_beats import BOOK


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "beats.yaml"
    path.write_text(BOOK)
    return path


@pytest.fixture
def server(path, ends):
    film = ss.open("test-chart")
    return ends.enter_context(Server(film, ServerConfig(), book=BookFile(path).book))


def test_trigger_makes_an_event_happen(server, run):
    code, out, err = run(
        "trigger", "walk", "place=in the city", "speed=3.5", "--set", "weather=rain", "--set", "threat=1"
    )
    assert (code, out, err) == (0, "walk: taken\n", "")
    narrator = server._narration.narrator
    assert narrator.facts == {"weather": "rain", "threat": 1}
    assert narrator.current.cue.captions == (
        "wide shot: a red fox walks in the city in the rain",
        "a red fox rests at speed 3.5",
    )


def test_trigger_waits_for_the_screen(server, run):
    code, out, _ = run("trigger", "low", "--wait", "on_air")
    assert code == 0 and out.startswith("low: on_air after ") and out.endswith(", frame 0\n")


def test_trigger_lists_what_the_role_may_do(server, run):
    code, out, _ = run("trigger", "--list")
    assert code == 0 and "weather=clear" in out and "walk" in out and "secret" not in out
    assert "place: text" in out and "ready" in out
    assert "secret" in run("trigger", "--list", "--role", "director")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to do"),
        (["walk", "place"], "write name=value"),
        (["walk"], "needs the parameter 'place'"),
        (["walk", "place=x", "speed=fast"], "is not a number"),
        (["walks"], "did you mean 'walk'"),
        (["secret"], "needs the role 'director'"),
        (["danger"], "needs 'threat > 0.5'"),
        (["--set", "threat=9"], "outside the bounds"),
        (["--set", "wether=rain"], "unknown"),
    ],
)
def test_a_wrong_trigger_is_one_line(server, run, arguments, says):
    code, _, err = run("trigger", *arguments)
    assert code == 2 and says in err and err.count("\n") == 1


def test_trigger_says_when_the_beat_does_not_come(server, run):
    run("trigger", "endless", "--wait", "on_air")
    code, _, err = run("trigger", "low", "--wait", "presented", "--timeout", "0.3")
    assert code == 2 and "not presented within 0.3 s" in err


def test_an_edited_file_is_played_and_a_wrong_one_is_not(server, path, capsys):
    file = BookFile(path)
    file.follow(server)
    assert capsys.readouterr() == ("", "")
    path.write_text(BOOK.replace("also: {", "besides: {"))
    file.follow(server)
    assert "is played from now on" in capsys.readouterr().out and "besides" in server._narration.narrator.book.beats
    path.write_text(BOOK.replace("also: {", "again: {shots: 3,"))
    file.follow(server)
    assert "is not used" in capsys.readouterr().err and "besides" in server._narration.narrator.book.beats
    file.follow(server)
    path.unlink()
    file.follow(server)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "cannot be read" in said.err


def names(game):
    try:
        return [beat.name for beat in game.beats()]
    except RateLimited:  # asked too often
        return []


def test_serve_plays_a_file_judges_texts_and_takes_changes(path, tmp_path, run):
    (tmp_path / "deny.txt").write_text("castle\n")
    (tmp_path / "rules.py").write_text("def judge(text, where): return None if 'owl' in text else text\n")
    command = [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart", "--beats", str(path)]
    command += ["--deny-words", str(tmp_path / "deny.txt"), "--moderate", "rules:judge", "--until-eof"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    try:
        wait_until((Path(os.environ["SHOTSTREAM_RUNTIME"]) / "default.json").exists)
        with ss.connect(role="trigger") as game:
            for place in ("castle", "an owl tree"):
                with pytest.raises(ss.ScriptError, match="the moderator refused it"):
                    game.trigger("walk", place=place)
            assert game.trigger("walk", place="home").wait("on_air", PATIENCE_S)
            path.write_text(BOOK.replace("also: {", "besides: {"))
            wait_until(lambda: "besides" in names(game))
        out, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and f"10 beats of {path}" in out and "is played from now on" in out


def test_serve_refuses_a_wrong_file_at_once(path, run, tmp_path):
    path.write_text(BOOK.replace("version: 1", "version: 7"))
    code, _, err = run("serve", "--bundle", "test-chart", "--beats", str(path))
    assert code == 2 and "reads version 1" in err
    code, _, err = run("serve", "--bundle", "test-chart", "--moderate", "nothing")
    assert code == 2 and "package.module:NAME" in err
    code, _, err = run("serve", "--bundle", "test-chart", "--deny-words", str(tmp_path / "none"))
    assert code == 2 and "cannot be read" in err
