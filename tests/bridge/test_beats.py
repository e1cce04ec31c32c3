"""Beats over the wire: what a client may trigger, what it is told of it, and everything that is refused."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shotstream as ss
from shotstream.bridge.faults import Denied
from shotstream.bridge.messages import BeatRequest, Flag
from shotstream.bridge.moderation import Moderation
from shotstream.bridge.server import Server, ServerConfig
from shotstream.errors import ConfigError, ScriptError
from shotstream.story.beat_files import parse_beats
from shotstream.story.fired import BeatRefused
from shotstream.testing import FakeEngine
from tests.bridge.raw import RawPeer
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.story.test_beats import BOOK


def read(text=BOOK):
    parsed = parse_beats(text, "beats.yaml")
    assert parsed.problems == []
    return parsed.book


@pytest.fixture
def serve(ends):
    """Starts servers with beats; on demand, so that nothing happens while nobody takes frames."""

    def start(*, book=None, moderation=None, engine=None, clock="demand", **options):
        film = ss.open("test-chart", engine=engine or FakeEngine(), ahead=0 if clock == "demand" else 1)
        config = ServerConfig(clock=clock, **options)
        return ends.enter_context(Server(film, config, book=book or read(), moderation=moderation))

    return start


@pytest.fixture
def game(serve, connect):
    """A client as a shipped game is one: it may trigger, and no more."""
    serve()
    return connect(role="trigger")


class Watching:
    """Takes all frames of a film in a thread, as a game's picture does."""

    def __init__(self, client):
        self.frames = []
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            for frame in self._client.frames(mode="lossless"):
                self.frames.append(frame)
                if self._stop.is_set():
                    return
        except ss.ClosedError:
            pass

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._client.close()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def watch(ends):
    return lambda client: ends.enter_context(Watching(client))


def told(client, events, name, state):
    """Wait for a beat's event; all events so far are kept in ``events``."""

    def come():
        events.extend((event.name, event.text) for event in client.events() if event.kind == "beat")
        return any(one == name and text.startswith(state) for one, text in events)

    wait_until(come)


# --- triggers ---------------------------------------------------------------------------------------------------


def test_a_game_triggers_a_beat_and_follows_it_to_the_screen(game, watch, connect):
    viewer = connect(role="viewer")
    fired = game.trigger("walk", place="home")
    watching = watch(viewer)
    assert fired.wait("presented", PATIENCE_S)
    assert fired.kind == "beat" and fired.command > 0 and fired.error is None
    states = ["queued", "started", "generated", "on_air", "presented"]
    assert [state for state in states if state in fired.times_ms] == states
    assert sorted(fired.times_ms.values()) == [fired.times_ms[state] for state in states]
    wait_until(lambda: any(frame.command == fired.command and frame.index == fired.frame for frame in watching.frames))


def test_a_beat_that_waits_is_queued_until_its_turn_comes(game, watch, connect):
    first, second = game.trigger("also"), game.trigger("low")
    assert second.state == "queued" and second.command == 0
    watching = watch(connect(role="viewer"))
    assert second.wait("presented", PATIENCE_S) and first.state == "presented"
    assert second.command > first.command and second.frame == 24
    events = []
    told(game, events, "low", "done")
    assert events == [
        ("also", "running"),
        ("low", "waiting"),
        ("also", "done"),
        ("low", "running"),
        ("low", "done"),
    ]
    wait_until(lambda: len(watching.frames) >= 25)


def test_an_interrupted_beat_that_never_came_on_is_superseded_and_says_by_what(game, watch, connect):
    walk, high = game.trigger("also"), game.trigger("high")
    assert walk.wait("superseded", PATIENCE_S)
    assert walk.note == "high interrupted it"
    watch(connect(role="viewer"))
    assert high.wait("presented", PATIENCE_S)
    events = []
    told(game, events, "also", "dropped: high interrupted it")


def test_a_beat_whose_condition_no_longer_holds_fails_in_its_turn(game, watch, connect):
    game.set(threat=1)
    game.trigger("also")
    danger = game.trigger("danger")
    game.set({"threat": 0})
    watch(connect(role="viewer"))
    assert danger.wait("failed", PATIENCE_S) and "no longer held" in danger.note


def test_follow_ups_come_by_themselves_and_are_told(game, watch, connect):
    game.trigger("chain")
    watch(connect(role="viewer"))
    events = []
    told(game, events, "rest", "done")
    assert ("rest", "waiting") in events and ("rest", "running") in events


def test_an_edit_changes_the_words_on_screen(game, watch, connect):
    with pytest.raises(ScriptError, match="before any shot"):
        game.trigger("sit")
    game.trigger("endless")
    watching = watch(connect(role="viewer"))
    wait_until(lambda: watching.frames)
    sit = game.trigger("sit")
    assert sit.wait("presented", PATIENCE_S)
    assert any(frame.revision == 1 for frame in watching.frames)


def test_in_asyncio(game):
    import asyncio

    from shotstream.bridge import aio

    async def play():
        async with aio.connect(role="trigger") as client:
            await client.set(weather="rain")
            fired = await client.trigger("walk", {"place": "home"}, speed=3)
            assert (await client.variables())["weather"] == "rain"
            assert "walk" in [beat.name for beat in await client.beats()]
            async for _ in client.frames(count=3, mode="lossless"):
                pass
            assert await client.wait(fired, "presented", PATIENCE_S)

    asyncio.run(play())


# --- what can be asked ------------------------------------------------------------------------------------------


def test_a_client_is_told_of_the_beats_that_it_may_trigger(game, connect):
    beats = {beat.name: beat for beat in game.beats()}
    assert set(beats) == {"walk", "low", "also", "high", "danger", "chain", "endless", "sit"}
    assert beats["walk"].ready and not beats["danger"].ready and "threat > 0.5" in beats["danger"].why
    place, speed = beats["walk"].params["place"], beats["walk"].params["speed"]
    assert (place.type, place.max, place.default) == ("text", 20, None)
    assert (speed.type, speed.min, speed.default) == ("number", -1e9, 2)
    assert connect(role="viewer").beats() == ()
    assert "secret" in [beat.name for beat in connect(role="director").beats()]


def test_variables_are_set_all_or_none(game, connect):
    assert game.variables() == {"weather": "clear", "threat": 0}
    with pytest.raises(ScriptError, match="unknown"):
        game.set(weather="rain", treat=1)
    assert game.variables()["weather"] == "clear"
    game.set(weather="rain", threat=1)
    assert connect(role="viewer").variables() == {"weather": "rain", "threat": 1}


def test_an_answer_that_does_not_fit_is_an_error_and_no_disconnect(serve, connect):
    beats = "".join(
        f"  beat_{n}: {{when: 'weather == \"rain\"', params: {{p: {{type: text, default: {'x' * 70}}}}}, "
        f"shots: [{{text: '{{p}}', frames: 9}}]}}\n"
        for n in range(400)
    )
    serve(book=read(BOOK[: BOOK.index("beats:")] + "beats:\n" + beats))
    game = connect(role="trigger")
    with pytest.raises(ss.BridgeError, match="at most 65536 fit"):
        game.beats(ttl_ms=60_000)
    assert game.variables()["threat"] == 0 and game.connections == 1


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("wlak", {}, "did you mean 'walk'"),
        ("walk", {}, "needs the parameter 'place'"),
        ("walk", {"place": "x", "sped": 1}, "no parameter 'sped'"),
        ("walk", {"place": 3}, "is not text"),
        ("walk", {"place": "x" * 21}, "at most 20"),
        ("walk", {"place": "x", "speed": 1e10}, "outside the bounds"),
        ("walk", {"place": "\u202e\x07"}, "nothing to read"),
        ("danger", {}, "needs 'threat > 0.5'"),
        ("low", {"role": "operator"}, "no parameter 'role'"),
        ("low", {"self": 1, "name": 2}, "no parameter"),
    ],
)
def test_a_wrong_trigger_is_refused_with_the_reason(game, name, params, says):
    with pytest.raises(ScriptError) as caught:
        game.trigger(name, params)
    assert says in str(caught.value)
    assert game.trigger("low").state == "queued", "the client is listened to as before"


@pytest.mark.parametrize(
    "params",
    [{"place": ["x"]}, {"place": None}, {"place": b"x"}, {"place": "x" * 1025}, {"x" * 65: 1}, {"place": 2**64}],
    ids=range(6),
)
def test_what_cannot_travel_is_refused_before_it_does(game, params):
    for _ in range(6):  # five unreadable messages would get a client banned
        with pytest.raises(ScriptError, match="beat: "):
            game.trigger("walk", params)
    assert game.trigger("low").state == "queued"


def test_a_cooldown_says_when_to_come_back(game):
    game.trigger("high")
    with pytest.raises(BeatRefused) as caught:
        game.trigger("high")
    assert 0 < caught.value.retry_s <= 5


def test_roles(game, connect, serve):
    with pytest.raises(Denied, match="needs the role 'director'"):
        game.trigger("secret")
    with pytest.raises(Denied, match="only follows"):
        connect(role="operator").trigger("rest")
    viewer = connect(role="viewer")
    for ask in (lambda: viewer.trigger("low"), lambda: viewer.set(threat=1)):
        with pytest.raises(Denied, match="needs the role trigger"):
            ask()
    with pytest.raises(Denied):
        game.cut("free words")
    assert connect(role="director").trigger("secret").state == "queued"


def test_a_server_without_beats_says_so(ends, connect):
    ends.enter_context(Server(ss.open("test-chart"), ServerConfig(name="plain")))
    client = connect(name="plain")
    for ask in (lambda: client.trigger("x"), client.beats, client.variables, lambda: client.set(x=1)):
        with pytest.raises(ScriptError, match="this server has no"):
            ask()


def test_too_many_waiting_beats_are_refused(serve, connect):
    serve(rate_hz=1000, burst=200)
    game = connect(role="trigger")
    for _ in range(65):
        game.trigger("also")
    with pytest.raises(ScriptError, match="64 beats wait"):
        game.trigger("also")


def test_the_same_trigger_twice_is_done_once(serve, connect):
    server = serve()
    with RawPeer(server.ctl, server.tokens["trigger"]) as peer:
        welcome = peer.hello(role="trigger")
        request = peer.request(BeatRequest, welcome, name="also")
        peer.say(request, request)  # the second is answered with the first if that is not done yet
        (done,) = peer.acks(1)
        peer.say(request)
        assert peer.acks(1) == [done]
    assert [event.text for event in connect(role="viewer").events()] == []
    assert len(server._narration.narrator.waiting) == 0


# --- other cuts, other books, a slow moderator ------------------------------------------------------------------


def test_a_director_who_clears_the_film_drops_the_beat(game, connect):
    walk = game.trigger("walk", place="home")
    director = connect(role="director")
    director.clear()
    assert walk.wait("superseded", PATIENCE_S)
    assert game.trigger("low").state == "queued"
    with Watching(connect(role="viewer")) as watching:
        wait_until(lambda: watching.frames)


def test_a_slow_moderator_delays_beats_and_nothing_else(serve, connect, watch):
    free = threading.Event()

    def judge(text, where):
        if where == "also":
            free.wait(PATIENCE_S)
        return text

    serve(moderation=Moderation(text=judge, deadline_s=PATIENCE_S))
    game, other = connect(role="trigger"), connect(role="operator")
    game.trigger("endless")
    watching = watch(connect(role="viewer"))
    wait_until(lambda: watching.frames)
    waiting = threading.Thread(target=lambda: game.trigger("also", ttl_ms=PATIENCE_S * 1000))
    waiting.start()
    seen = len(watching.frames)
    wait_until(lambda: len(watching.frames) > seen + 30)
    assert other.status().frame > 0
    free.set()
    waiting.join(PATIENCE_S)
    events = []
    told(game, events, "also", "running")


def test_a_request_that_waited_too_long_is_not_done_any_more(serve, connect):
    free = threading.Event()

    def judge(text, where):
        if where == "also":
            free.wait(PATIENCE_S)
        return text

    server = serve(moderation=Moderation(text=judge, deadline_s=PATIENCE_S))
    game = connect(role="trigger")
    slow = threading.Thread(target=lambda: game.trigger("also", ttl_ms=PATIENCE_S * 1000))
    slow.start()
    wait_until(lambda: server._worker._pool._work_queue.qsize() == 0 and slow.is_alive())
    with pytest.raises(ss.BridgeError):
        game.trigger("low", ttl_ms=50)
    free.set()
    slow.join(PATIENCE_S)
    assert game.variables()
    assert [fired.beat.name for fired in server._narration.narrator.waiting] == []


def test_a_new_book_is_played_without_a_break(serve, connect):
    server = serve()
    game = connect(role="trigger")
    game.set(weather="rain")
    assert server.load_beats(read(BOOK.replace("also: {", "besides: {"))) == []
    assert game.trigger("besides").state == "queued" and game.variables()["weather"] == "rain"
    with pytest.raises(ScriptError, match="unknown"):
        game.trigger("also")


def test_a_book_cannot_come_later(ends):
    server = ends.enter_context(Server(ss.open("test-chart"), ServerConfig(name="plain")))
    with pytest.raises(ConfigError, match="without beats"):
        server.load_beats(read())


def test_an_engine_that_stops_fails_the_beat_and_the_server_still_answers(serve, connect):
    serve(engine=FakeEngine(fail_at={(0, 0): ScriptError("the chart refuses")}), clock="realtime")
    game = connect(role="trigger")
    fired = game.trigger("low")
    assert fired.wait("failed", PATIENCE_S) and "refuses" in fired.note
    assert game.variables()


def test_a_checkpoint_holds_the_story_too(game, watch, connect, serve):
    game.set(weather="rain")
    also, low = game.trigger("also"), game.trigger("low")
    game.checkpoint("here")
    game.set(weather="clear")
    high = game.trigger("high")
    assert also.wait("superseded", PATIENCE_S)
    game.restore("here")
    for lost in (low, high):
        assert lost.wait("superseded", PATIENCE_S)
    assert game.variables()["weather"] == "rain"
    assert game.trigger("high", ttl_ms=5000).state == "queued", "its cooldown is of the time that was undone"
    game.restore("here")
    events = []
    watching = watch(connect(role="viewer"))
    told(game, events, "low", "done")
    assert events[-2:] == [("low", "running"), ("low", "done")] and ("also", "done") in events[-3:]
    wait_until(lambda: len(watching.frames) >= 25)
    assert [frame.shot for frame in watching.frames[:25]] == [0] * 24 + [1]


def test_a_shot_that_is_refused_fails_the_beat_and_the_film_goes_on(serve, connect, watch):
    class Picky(FakeEngine):
        def open_shot(self, plan):
            if plan.caption == "low":
                raise ScriptError("the chart refuses")
            super().open_shot(plan)

    serve(engine=Picky())
    game = connect(role="trigger")
    low = game.trigger("low")
    watching = watch(connect(role="viewer"))
    assert low.wait("failed", PATIENCE_S) and "refuse" in low.note
    assert game.trigger("also").wait("presented", PATIENCE_S)
    assert watching.frames
    events = []
    told(game, events, "low", "dropped: the film refused it")


VALUES = st.one_of(st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=40))
NAMES = st.sampled_from([*read().beats, "role", "self", "x"]) | st.text(max_size=10)


def test_whatever_is_asked_the_server_answers(serve, connect):
    serve(rate_hz=10_000, burst=10_000)
    clients = {role: connect(role=role) for role in ("viewer", "trigger", "director")}
    watcher = connect(role="viewer")
    with Watching(watcher):

        @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            st.sampled_from(sorted(clients)),
            NAMES,
            st.dictionaries(NAMES | st.sampled_from(["place", "speed", "weather", "threat"]), VALUES, max_size=4),
            st.booleans(),
        )
        def ask(role, name, values, is_trigger):
            client = clients[role]
            try:
                if is_trigger or not values:
                    client.trigger(name, values, ttl_ms=20_000)
                    assert role != "viewer"
                else:
                    client.set(values, ttl_ms=20_000)
                    assert role != "viewer"
            except (ScriptError, Denied):
                pass

        ask()
        facts = clients["trigger"].variables()
    assert set(facts) == {"weather", "threat"} and facts["weather"] in ("clear", "rain") and 0 <= facts["threat"] <= 1
    assert all(client.connections == 1 for client in clients.values())


# --- beside the film's state -------------------------------------------------------------------------------------


def test_a_checkpoint_holds_what_the_story_knew(serve, connect):
    serve()
    game, director = connect(role="trigger"), connect(role="director")
    before = game.variables()
    game.checkpoint("before")
    data = game.download("before")
    game.set(weather="rain", threat=0.5)
    assert game.variables() != before
    game.restore("before")
    assert game.variables() == before
    game.set(weather="rain")
    game.upload("again", data)
    director.branch("again")
    assert game.variables() == before


def test_a_restored_beat_goes_on_to_its_follow_up(serve, connect):
    """The beat was on screen when it was saved; its receipts belong to another run of the film."""
    serve()
    game = connect(role="trigger")
    frames = game.frames(mode="lossless", timeout=PATIENCE_S)
    game.set(threat=0.9)
    game.trigger("chain")
    next(frames)
    game.checkpoint("here")
    while (frame := next(frames)).shot < 1:
        pass
    game.restore("here")
    while frame.shot >= 1 or not frame.flags & Flag.RESTORED:
        frame = next(frames)
    while (frame := next(frames)).shot < 1:
        pass
    assert frame.is_cut
