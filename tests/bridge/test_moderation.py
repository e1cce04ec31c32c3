"""Hooks that judge texts and pictures, the shipped list of denied words, and what is cleaned from every text."""

import sys
import textwrap
import threading
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.bridge.faults import Denied
from shotstream.bridge.messages import Flag
from shotstream.bridge.moderation import DenyList, Moderation, load_moderation, with_deny_list
from shotstream.bridge.server import Server, ServerConfig
from shotstream.errors import ConfigError, ScriptError
from shotstream.story.beat_files import parse_beats
from shotstream.testing import FakeEngine, read_chart
from tests.bridge.raw import wait_for_event
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.story.test_beats import BOOK


@pytest.fixture
def serve(ends):
    def start(moderation=None, *, book=None, engine=None, clock="demand"):
        film = ss.open(engine=engine or FakeEngine(), ahead=0 if clock == "demand" else 1)
        config = ServerConfig(clock=clock, rate_hz=10_000, burst=10_000)
        return ends.enter_context(Server(film, config, book=book, moderation=moderation))

    return start


def refusing(*words):
    return lambda text, where: None if any(word in text for word in words) else text


# --- texts ------------------------------------------------------------------------------------------------------


def test_every_text_is_judged_before_the_film_gets_it(serve, connect):
    seen = []

    def judge(text, where):
        seen.append((where, text))
        return None if "gore" in text else text.replace("blood", "rain")

    server = serve(Moderation(text=judge), book=parse_beats(BOOK, "x").book)
    client = connect()
    client.world("a world of blood")
    client.cut("blood in the street", frames=24)
    for ask in (lambda: client.cut("gore"), lambda: client.prompt("gore"), lambda: client.world("gore")):
        with pytest.raises(ScriptError, match="the moderator refused it"):
            ask()
    with pytest.raises(ScriptError, match="the moderator refused it"):
        client.trigger("walk", place="gore")
    assert server.film.global_caption == "a world of rain"
    assert [frame.shot for frame in client.frames(count=2, mode="lossless")] == [0, 0]
    assert seen[:3] == [("style", "flat cartoon"), ("world", "a world of blood"), ("cut", "blood in the street")]
    assert {where for where, text in seen if "gore" in text} == {"cut", "prompt", "world", "walk"}
    event = wait_for_event(client, "moderation")
    assert event.name == "cut" and "gore" not in event.text
    client.world("")
    assert server.film.global_caption == ""


def test_commands_keep_their_order_behind_a_slow_moderator(serve, connect):
    free = threading.Event()

    def judge(text, where):
        if text == "slow":
            free.wait(PATIENCE_S)
        return text

    server = serve(Moderation(text=judge, deadline_s=PATIENCE_S))
    client = connect()
    client.cut("first", frames=24)
    slow = threading.Thread(target=lambda: client.cut("slow", "shot_end", ttl_ms=60_000))
    slow.start()
    wait_until(lambda: server._texts._hook._running is not None and not server._texts._hook._running.done())
    clear = threading.Thread(target=lambda: client.clear(ttl_ms=60_000))
    clear.start()
    wait_until(lambda: server._worker._pool._work_queue.qsize() == 1)
    free.set()
    slow.join(PATIENCE_S)
    clear.join(PATIENCE_S)
    assert server.film._session.receipts() == (), "the clear came after the cut and dropped it"


@pytest.mark.parametrize("fault", ["raise", "hang", "number"])
def test_a_text_without_a_verdict_is_refused(serve, connect, fault):
    done = threading.Event()

    def judge(text, where):
        if fault == "raise":
            raise RuntimeError("out of order")
        if fault == "hang":
            done.wait(PATIENCE_S)
        return 3

    serve(Moderation(text=judge, deadline_s=0.1))
    client = connect()
    for _ in range(2):
        with pytest.raises(ScriptError, match=r"no verdict|is not text"):
            client.cut("a fox")
    done.set()
    assert client.status().frame == -1


def test_a_style_that_is_refused_stops_the_server_from_starting(runtime):
    film = ss.open("test-chart")
    with pytest.raises(ScriptError, match="style"):
        Server(film, book=parse_beats(BOOK, "x").book, moderation=Moderation(text=refusing("cartoon")))
    film.close()


HOSTILE = st.text(
    st.sampled_from("ab {}\t\n\r\0\x1b\u202e\u2066\u200b\ufeff\u00ad\u0301\ufb01\u1112\U000e0041\ud800%\\:")
    | st.characters(),
    max_size=40,
).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))


def test_whatever_text_comes_in_the_film_sees_one_clean_line(serve, connect):
    seen = []
    server = serve(Moderation(text=lambda text, where: seen.append(text) or text), book=parse_beats(BOOK, "x").book)
    client = connect()
    client.cut("first", frames=24)

    @settings(max_examples=100, deadline=None)
    @given(HOSTILE, st.sampled_from(["cut", "prompt", "world", "trigger"]))
    def say(text, way):
        try:
            if way == "trigger":
                client.trigger("walk", {"place": text[:20]}, ttl_ms=20_000)
            elif way == "cut":
                client.cut(text, ttl_ms=20_000)
            elif way == "prompt":
                client.prompt(text, ttl_ms=20_000)
            else:
                client.world(text, ttl_ms=20_000)
        except ScriptError:
            pass

    say()
    seen.append(server.film.global_caption)
    for text in filter(None, seen):
        assert text == " ".join(text.split()) and unicodedata.normalize("NFKC", text) == text
        kinds = {unicodedata.category(char) for char in text if char not in "\u200c\u200d"}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert client.connections == 1


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_a_value_is_never_read_as_a_template(value):
    book = parse_beats(BOOK, "x").book
    facts = {"weather": "clear", "threat": 0.0}
    try:
        caption = book.cue("walk", {"place": "X" + value[:15] + "Y"}, facts).captions[0]
    except ScriptError:
        return
    plain = book.cue("walk", {"place": "XY"}, facts).captions[0]
    before, after = plain.split("XY")
    assert caption.startswith(before + "X") and caption.endswith("Y" + after)


def test_a_client_cannot_write_on_the_operators_terminal(serve, connect):
    serve()
    connect(role="viewer", client="a\x1b[2Jb\u202ec")
    assert "a[2Jbc" in [viewer.client for viewer in connect().status().viewers]


def test_prepared_shots_are_judged_and_foreign_save_files_are_not_taken(serve, connect):
    from shotstream.bridge.seal import SavedFilm, seal

    serve(Moderation(text=refusing("gore")))
    director = connect(role="director")
    with pytest.raises(ScriptError, match="the moderator refused it"):
        director.prepare("gore")
    with ss.open(engine=FakeEngine()) as film:
        film.cut("gore", frames=12)
        foreign = seal(SavedFilm(film=film.snapshot(), frame=0, shot=-1), b"x" * 32)
    with pytest.raises(Denied, match="judges texts"):
        director.upload("slot", foreign)
    director.cut("a fox", frames=12)
    director.checkpoint("mine")
    director.upload("again", director.download("mine"))


# --- pictures ---------------------------------------------------------------------------------------------------


def test_a_refused_picture_is_replaced_by_the_last_good_one(serve, connect):
    asked = []

    def judge(frame):
        asked.append(frame.index)
        return frame.shot != 1

    serve(Moderation(frame=judge, every=5))
    client = connect()
    for prompt, frames in (("one", 24), ("two", 12), ("three", 12)):
        client.cut(prompt, "shot_end", frames=frames)
    frames = list(client.frames(count=48, mode="lossless", timeout=PATIENCE_S))
    assert [frame.shot for frame in frames] == [0] * 24 + [1] * 12 + [2] * 12
    shown = [read_chart(frame.image)["shot"] for frame in frames]
    assert shown == [0] * 36 + [2] * 12
    assert [bool(frame.flags & Flag.MODERATED) for frame in frames] == [False] * 24 + [True] * 12 + [False] * 12
    assert read_chart(frames[30].image)["frame"] == 23
    assert asked == [0, 5, 10, 15, 20, 24, 29, 34, 36, 41, 46]
    event = wait_for_event(client, "moderation")
    assert (event.frame, event.shot) == (24, 1)


def test_a_refused_first_picture_is_grey(serve, connect):
    serve(Moderation(frame=lambda frame: False))
    client = connect()
    client.cut("one", frames=24)
    frame = next(client.frames(timeout=PATIENCE_S))
    assert np.all(frame.image == 128) and frame.flags & Flag.MODERATED


@pytest.mark.parametrize(("without_verdict", "moderated"), [("refuse", True), ("show", False)])
@pytest.mark.parametrize("fault", ["raise", "hang"])
def test_pictures_without_a_verdict_follow_the_policy_and_the_film_goes_on(
    serve, connect, without_verdict, moderated, fault
):
    done = threading.Event()

    def judge(frame):
        if fault == "raise":
            raise RuntimeError("out of order")
        done.wait(PATIENCE_S)
        return True

    serve(Moderation(frame=judge, every=8, deadline_s=0.05, without_verdict=without_verdict))
    client = connect()
    client.cut("one", frames=24)
    frames = list(client.frames(count=24, mode="lossless", timeout=PATIENCE_S))
    assert [bool(frame.flags & Flag.MODERATED) for frame in frames] == [moderated] * 24
    done.set()


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"deadline_s": 0}, {"deadline_s": float("nan")}, {"without_verdict": "maybe"}]
)
def test_a_wrong_option_is_refused(options):
    with pytest.raises(ConfigError):
        Moderation(**options)


# --- the list of denied words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("a Fox runs", False),
        ("A FÓX!", False),
        ("f\u200box", False),
        ("\uff46\uff4f\uff58", False),
        ("the foxes", True),
        ("firefox", True),
        ("a burning   House", False),
        ("burning-house", False),
        ("a house, burning", True),
        ("我看见狐狸了", False),
        ("我看见狗了", True),
        ("", True),
    ],
)
def test_denied_words_are_found_as_words(text, passes):
    deny = DenyList(["fox", "Burning House", "狐狸", "", "!!"])
    assert (deny(text, "cut") == text) if passes else deny(text, "cut") is None


def test_a_list_is_read_from_a_file(tmp_path):
    path = tmp_path / "deny.txt"
    path.write_text("\ufeff# not these\nfox\n\n  owl \n", encoding="utf-8")
    deny = DenyList.read(path)
    assert deny("an owl", "cut") is None and deny("not these", "cut")
    for data in (b"", b"# nothing", b"\xff\xfe\x00", b"x\n" * 600_000):
        path.write_bytes(data)
        with pytest.raises(ConfigError):
            DenyList.read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        DenyList.read(tmp_path / "none")


def test_the_list_comes_before_the_hook():
    asked = []
    both = with_deny_list(Moderation(text=lambda text, where: asked.append(text) or text, every=3), DenyList(["fox"]))
    assert both.text("a fox", "cut") is None and both.text("an owl", "cut") == "an owl"
    assert asked == ["an owl"] and both.every == 3


def test_a_hook_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "game_rules.py").write_text(
        textwrap.dedent("""
        from shotstream.bridge.moderation import Moderation
        def judge(text, where): return None
        RULES = Moderation(text=judge, every=2)
        NUMBER = 3
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_moderation("game_rules:judge").text("x", "y") is None
    assert load_moderation("game_rules:RULES").every == 2
    for name in ("game_rules", "game_rules:", "game_rules:NUMBER", "game_rules:nothing", "no_such_module_here:x"):
        with pytest.raises(ConfigError, match="moderate="):
            load_moderation(name)
    sys.modules.pop("game_rules")


def test_roles_come_before_the_moderator(serve, connect):
    asked = []
    serve(Moderation(text=lambda text, where: asked.append(text) or text))
    with pytest.raises(Denied):
        connect(role="trigger").cut("a fox")
    assert asked == []
