"""The GDScript client in headless Godot 3, against the real server and against one that means harm."""

import base64
import hashlib
import itertools
import json
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

import shotstream as ss
from shotstream.bridge.faults import Code
from shotstream.bridge.messages import Flag
from shotstream.bridge.packing import can_pack
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.bridge.server import Server, ServerConfig
from shotstream.story.beat_files import parse_beats
from shotstream.testing import FakeEngine, draw_chart
from tests.bridge.godot_process import MISSING, PATIENCE_S, PROGRAM, SCRIPTS, run_script
from tests.bridge.waiting import halt
from tests.processes import environment

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/bridge"


def told_lines(out):
    return [json.loads(line[2:]) for line in out.splitlines() if line.startswith("> ")]


# --- bytes -------------------------------------------------------------------------------------------------------


def plain(value):
    """As ``golden.gd`` tells values."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": struct.pack("<d", value).hex()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {"map": {key: plain(item) for key, item in value.items()}}


def golden_messages():
    """Name to content; JSON has no bytes, so those are base64 there."""
    found = {}
    for name, message in json.loads((GOLDEN / "messages.json").read_text()).items():
        value = plain(message)
        if "data" in message:
            value["map"]["data"] = {"bytes": base64.b64decode(message["data"]).hex()}
        found[name] = value
    return found


BROKEN = {
    "": "ends too early",
    "81": "a map",
    "81a174": "ends too early",
    "df7fffffff": "a map",
    "ddffffffff": "an array",
    "dbffffffffaa": "ends too early",
    "c6ffffffff": "ends too early",
    "91" * 40: "depth",
    "82a17401a17402": "comes twice",
    "810102": "no text",
    "cb7ff8000000000000": "not finite",
    "cb7ff0000000000000": "not finite",
    "cfffffffffffffffff": "above 2^63",
    "c1": "not used",
    "d40000": "not used",
    "c0c0": "after the end",
    "cd01": "ends too early",
}


def test_recorded_messages_read_and_write_the_same_in_gdscript(tmp_path):
    code, out, err = run_script(SCRIPTS / "golden.gd", tmp_path, GOLDEN=str(GOLDEN), BROKEN=json.dumps(list(BROKEN)))
    assert code == 0 and "SCRIPT ERROR" not in err, err
    lines = told_lines(out)
    expected = golden_messages()
    read = {line["name"]: line for line in lines if "name" in line}
    assert read.keys() == expected.keys()
    for name, line in read.items():
        assert line["error"] == "" and line["value"] == expected[name], name
        assert line["again"] == (GOLDEN / f"{name}.bin").read_bytes().hex(), name
    from_server = [name for name, line in read.items() if line["message"] is not None]
    assert {"welcome", "reject", "pong", "ack", "error", "state", "subscribed", "saved", "chunk", "event", "result",
            "frame"} <= set(from_server)  # fmt: skip
    for name in from_server:
        assert expected[name]["map"].items() <= read[name]["message"]["map"].items(), name
    assert read["ack"]["message"]["map"].keys() == {"t", "id", "cmd"}
    assert read["event"]["message"]["map"]["shot"] == {"int": "-1"}  # a default that was left out

    for line in lines:
        if "broken" in line:
            assert BROKEN[line["broken"]] in line["error"], line
    assert sum("broken" in line for line in lines) == len(BROKEN)

    # what the client's methods ask for is what the recorded requests ask for, but for the order of the keys
    recorded = [value["map"] for value in expected.values() if "ttl" in value["map"]]
    asked = [line["request"]["map"] for line in lines if "request" in line]
    assert len(asked) == 22
    for request in asked:
        same_type = [one for one in recorded if one["t"] == request["t"]]
        assert without_defaults(request) in [without_defaults(one) for one in same_type], request


def without_defaults(request):
    """A field with its default may be left out."""
    return {
        key: value for key, value in request.items() if (key, value) not in [("when", "block"), ("params", {"map": {}})]
    }


# --- the real server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "origin"), [("rgb8", "top_left"), ("rgba8", "top_left"), ("bgra8", "bottom_left")])
def test_frames_are_those_of_the_film_bit_for_bit(serve, godot, format, origin):
    if format != "rgb8" and not can_pack():
        pytest.skip("the compiled module is not built, so the server offers rgb8 only")
    server = serve(clock="demand")
    client = godot(client={"mode": "lossless", "format": format, "origin": origin})
    client.event("connected")
    assert client.call("is_up") and client.call("stream_info")["w"] == 160
    number = client.call("cut", "a fox", 48, 5)
    frames = client.wait_frames(48)
    layout = PixelLayout(width_px=160, height_px=96, format=PixelFormat(format), origin=Origin(origin))
    for index, frame in enumerate(frames):
        chart = draw_chart(server.film.spec, shot=0, block=int(frame["block"]), frame=index, caption="a fox", seed=5)
        assert frame["data"] == hashlib.sha256(layout.pack(chart).tobytes()).hexdigest()
    assert [frame["id"] for frame in frames] == list(range(48)) == [frame["shot_frame"] for frame in frames]
    assert int(frames[0]["flags"]) & Flag.SHOT_START and frames[0]["seed"] == 5 and not frames[1]["flags"]
    assert frames[16]["time_ns"] == 1e9 and frames[0]["dropped"] == 0
    assert client.event("answered", id=number)["answer"]["cmd"] == frames[0]["command"] == 1
    for state in ("queued", "started", "generated", "on_air", "presented"):
        told = client.event("command_state", id=number, state=state)
    assert told["frame"] == 0 and list(told["lat"].values()) == sorted(told["lat"].values())
    assert client.event("shot_started") == {"kind": "shot_started", "shot": 0, "frame": 0}


def test_the_node_signals_what_happens_and_shows_the_film_on_its_texture(serve, tmp_path):
    if not can_pack():
        pytest.skip("the compiled module is not built, so the server offers rgb8 only and the node wants rgba8")
    server = serve(clock="demand")
    settings = {"TEST_ENDPOINT": server.ctl, "TEST_TOKEN": server.tokens["director"], "TEST_FRAMES": "20"}
    code, out, err = run_script(SCRIPTS / "node.gd", tmp_path, **settings)
    assert code == 0 and "SCRIPT ERROR" not in err, err
    told = told_lines(out)
    assert told[0][0] == "connected" and ["shot_started", 0, 0] in told and ["size", 160, 96] in told
    assert [line[2] for line in told if line[0] == "command_state"][:1] == ["queued"]
    assert ["presented", list(range(20))] in told and not [line for line in told if line[0] == "error"]
    chart = draw_chart(server.film.spec, shot=0, block=1, frame=19, caption="a fox", seed=5)
    pixels = PixelLayout(width_px=160, height_px=96, format=PixelFormat.RGBA8).pack(chart).tobytes()
    assert ["pixels", hashlib.sha256(pixels.hex().encode()).hexdigest()] in told


def test_a_refused_request_is_told_and_harms_nothing(serve, godot):
    serve(clock="demand")
    client = godot(link={"role": "viewer"})
    client.event("connected")
    number = client.call("cut", "a fox")
    assert "director" in client.event("error", id=number, code=int(Code.DENIED))["text"]
    long = client.call("request", "query", {"what": ["x" * 70000]})
    assert "shorten" in client.event("error", id=long, code=int(Code.TOO_LARGE))["text"]
    asked = client.call("query", ["status"])
    assert client.event("answered", id=asked)["answer"]["status"]["shot"] == -1


def test_a_wrong_token_is_refused_with_the_reason(serve, godot):
    server = serve()
    client = godot(link={"endpoint": server.ctl, "token": "ab" * 32})
    assert "connection file" in client.event("error", code=int(Code.AUTH))["text"]
    number = client.call("cut", "a fox")
    assert client.event("error", id=number, code=int(Code.CONNECT))
    assert not client.call("is_up")


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("tcp://192.0.2.1:5570", "another machine"),
        ("tcp://127.example.org:5570", "another machine"),
        ("tcp://127.0.0.1:0", "no port"),
        ("tcp://127.0.0.1", "no address"),
        ("ipc://here", "no address"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(godot, endpoint, says):
    assert says in godot(link={"endpoint": endpoint}).event("error", code=int(Code.CONNECT))["text"]


def test_a_folder_that_others_may_enter_is_not_trusted(serve, godot, runtime):
    serve()
    runtime.chmod(0o755)
    client = godot()
    assert "entered by others" in client.event("error", code=int(Code.CONNECT))["text"]
    runtime.chmod(0o700)
    client.event("connected")


def test_latest_skips_frames_and_counts_them(serve, godot):
    serve(clock="realtime")
    client = godot(client={"mode": "latest"})
    client.event("connected")
    client.call("cut", "a fox")
    frames = client.wait_frames(8)
    for before, after in itertools.pairwise(frames):
        assert after["id"] == before["id"] + 1 + after["dropped"]


BEATS = """\
version: 1
captions: short
variables:
  weather: {type: choice, values: [clear, rain], default: clear}
  threat: {type: number, min: 0, max: 1, default: 0}
beats:
  walk:
    params: {place: {type: text, max_chars: 20}, steps: {type: number}}
    shots: [{text: "{place} {steps}", frames: 24}]
  danger: {when: threat > 0.5, shots: [{text: danger, frames: 24}]}
"""


def test_a_game_triggers_story_events(ends, godot):
    book = parse_beats(BEATS, "beats.yaml").book
    film = ss.open("test-chart", engine=FakeEngine(), ahead=0)
    ends.enter_context(Server(film, ServerConfig(clock="demand"), book=book))
    client = godot(client={"mode": "lossless"}, link={"role": "trigger"})
    client.event("connected")
    refused = client.call("trigger", "danger")
    assert "threat" in client.event("error", id=refused, code=int(Code.INVALID))["text"]
    walk = client.call("trigger", "walk", {"place": "home", "steps": 2})
    assert client.event("beat", name="walk", state="running")
    told = client.event("command_state", id=walk, state="presented")
    assert client.event("beat", name="walk", state="done")
    frames = client.wait_frames(24)
    assert [frame["id"] for frame in frames] == list(range(24)) and told["frame"] == 0
    client.event("answered", id=client.call("set_variables", {"weather": "rain", "threat": 0.75}))
    asked = client.call("query", ["variables", "beats"])
    answer = client.event("answered", id=asked)["answer"]
    assert answer["variables"] == {"weather": "rain", "threat": 0.75}
    assert {beat["name"]: beat["ready"] for beat in answer["beats"]} == {"walk": True, "danger": True}
    danger = client.call("trigger", "danger")
    assert client.event("command_state", id=danger, state="presented")["frame"] == 24
    forbidden = client.call("cut", "a bear")
    client.event("error", id=forbidden, code=int(Code.DENIED))


def test_a_checkpoint_travels_to_a_save_file_and_back(serve, godot):
    serve(clock="demand", ahead=0)
    client = godot(client={"mode": "lossless"})
    client.event("connected")
    client.call("cut", "a fox", 0, 5)
    client.wait_frames(5)
    saved = client.event("answered", id=client.call("checkpoint", "here"))["answer"]
    assert (saved["t"], saved["name"], saved["shot"]) == ("saved", "here", 0)
    loaded = client.event("answered", id=client.call("download", "here"))["answer"]
    assert loaded["t"] == "download" and len(loaded["data"]) == 64
    client.event("answered", id=client.call("forget", "here"))
    gone = client.call("download", "here")
    assert "here" in client.event("error", id=gone, code=int(Code.INVALID))["text"]
    assert client.event("answered", id=client.call("upload", "there", "@kept"))["answer"]["bytes"] == saved["bytes"]
    client.event("answered", id=client.call("restore", "there"))
    assert client.event("notice", about="restored")["event"]["name"] == "there"
    before = []
    while not int((frame := client.wait_frames(1)[0])["flags"]) & Flag.RESTORED:
        before.append(frame)
    assert frame["source"] == saved["frame"] and frame["id"] == before[-1]["id"] + 1


def test_a_shot_made_ahead_goes_on_air_when_it_is_taken(serve, godot):
    serve(clock="demand")
    client = godot(client={"mode": "lossless"})
    client.event("connected")
    client.call("cut", "a fox")
    prepared = client.call("prepare", "an owl", 30, 4)
    client.event("command_state", id=prepared, state="generated")
    taken = client.call("take", prepared)
    first = client.event("command_state", id=taken, state="presented")["frame"]
    frames = client.wait(lambda: [one for one in client.frames if one["shot"] == 1], "frames of the owl")
    assert frames[0]["id"] == first and frames[0]["seed"] == 4 and frames[0]["shot_frame"] == 0


# --- outages -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server_process(runtime, ends):
    """Starts ``shotstream serve`` as a process that can be killed; gives it once it can be connected to."""

    def start():
        (runtime / "default.json").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart", "--clock", "demand"],
            stdout=subprocess.DEVNULL,
            env=environment(),
        )
        ends.callback(process.wait)
        ends.callback(process.kill)
        end = time.monotonic() + PATIENCE_S
        while not (runtime / "default.json").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        return process

    return start


def test_a_killed_server_comes_back_without_old_commands(server_process, godot, connect):
    server = server_process()
    client = godot(client={"mode": "lossless"})
    client.event("connected")
    client.call("cut", "a fox", 20, 1)
    before = client.wait_frames(20)
    server.send_signal(signal.SIGKILL)
    server.wait()
    client.event("disconnected")
    stale = client.call("cut", "an old bear")
    server_process()
    client.event("connected")
    code = client.event("error", id=stale)["code"]
    assert code in (Code.STALE, Code.TIMEOUT)
    asked = client.call("query", ["status"])
    assert client.event("answered", id=asked)["answer"]["status"]["shot"] == -1  # the bear never came
    client.call("cut", "an owl", 20, 1)
    after = client.wait_frames(20)
    ids = [frame["id"] for frame in before + after]
    assert ids == list(range(40)) and [frame["index"] for frame in after] == list(range(20))
    assert [int(frame["flags"]) & Flag.DISCONTINUITY for frame in after[:2]] == [Flag.DISCONTINUITY, 0]
    assert client.event("shot_started", shot=0, frame=0) and client.event("shot_started", shot=0, frame=20)


def test_a_server_that_hangs_is_noticed_and_goes_on(server_process, godot):
    server = server_process()
    client = godot(client={"mode": "lossless"})
    client.event("connected")
    halt(server.pid)
    try:
        late = client.call("cut", "a fox")
        client.event("disconnected")
        assert client.event("error", id=late)["code"] == Code.TIMEOUT
    finally:
        server.send_signal(signal.SIGCONT)
    client.event("connected")
    client.call("cut", "an owl", 9)
    assert [frame["shot_frame"] for frame in client.wait_frames(9)] == list(range(9))


def test_a_game_that_stood_still_longer_than_its_lease_is_let_in_again(serve, godot):
    serve(clock="demand", lease_ms=300)
    client = godot(client={"mode": "lossless"})
    client.event("connected")
    client.call("cut", "a fox", 48, 1)
    client.wait_frames(10)
    client.process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # longer than the heartbeat of ZeroMQ, too
    client.process.send_signal(signal.SIGCONT)
    ids = [frame["id"] for frame in client.wait_frames(20)]
    assert ids == sorted(set(ids))


# --- samples -----------------------------------------------------------------------------------------------------


def test_hello_film_shows_the_same_film_as_python(serve, connect, tmp_path):
    serve(clock="demand")
    code, out, err = run_script(ROOT / "samples/hello_film/hello_film.gd", tmp_path)
    assert code == 0, out + err
    shown = [line for line in out.splitlines() if line.startswith(("shot ", "48 "))]
    film = ss.open("test-chart")
    ends_at = 0
    film.cut("wide shot: a red fox walks through a snowy forest", frames=48, seed=7)
    for frame in film.frames(count=48):
        ends_at = zlib.crc32(np.ascontiguousarray(frame.image).tobytes(), ends_at)
    assert shown == ["shot 0 at frame 0", f"48 frames 160x96 crc32 {ends_at:08x}"]
