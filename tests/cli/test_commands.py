"""Every command through ``main``, as the installed script runs it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import psutil
import pytest

import shotstream as ss
from shotstream.testing import FakeEngine, read_chart
from tests.processes import environment

STORY = """\
global: a red fox
shots:
  - {prompt: walks, frames: 20}
  - {prompt: sits, frames: 10}
"""
FILES = {"film.mp4", "contact.png", "frames.jsonl", "report.json"}


@pytest.fixture
def story(tmp_path):
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return str(path)


def charts(path):
    with av.open(str(path)) as container:
        return [read_chart(picture.to_ndarray(format="rgb24")) for picture in container.decode(video=0)]


def test_generate_writes_the_four_files(run, story, tmp_path):
    code, out, err = run("generate", story, "--bundle", "test-chart", "--seed", 5, "--out", "made")
    assert (code, err) == (0, "")
    assert "30 frames in made" in out
    assert {path.name for path in (tmp_path / "made").iterdir()} == FILES
    assert [chart["shot"] for chart in charts(tmp_path / "made/film.mp4")] == [0] * 20 + [1] * 10
    assert json.loads((tmp_path / "made/report.json").read_text())["seed"] == 5


def test_generate_names_its_folder_after_the_story(run, story, tmp_path):
    assert run("generate", story, "--bundle", "test-chart", "--frames", "png")[0] == 0
    assert len(list((tmp_path / "out/story/frames").iterdir())) == 30


def test_words_that_were_lost_are_named(run, story, tmp_path, monkeypatch):
    engine = FakeEngine(unknown_words=("sits",))
    monkeypatch.setattr("shotstream.film._make_engine", lambda bundle, device: engine)
    code, _, err = run("generate", story, "--out", "made")
    assert (code, err) == (0, "note: shot 1: words the bundle does not know: sits\n")
    assert json.loads((tmp_path / "made/report.json").read_text())["notes"] == [err[6:-1]]


def test_generate_takes_a_row_of_a_csv(run, tmp_path):
    (tmp_path / "01.json").write_text(json.dumps({"global_caption": "", "shot1": "a", "shot2": "b"}))
    (tmp_path / "set.csv").write_text('json_path,frame_number\n01.json,"[[0,5]]"\n01.json,"[[0,5],[5,9]]"\n')
    assert run("generate", "set.csv", "--bundle", "test-chart")[0] == 2
    assert run("generate", "set.csv", "--bundle", "test-chart", "--row", 1, "--out", "made")[0] == 0
    assert len(charts(tmp_path / "made/film.mp4")) == 9


def test_demo_changes_the_story_while_it_runs(run, tmp_path):
    code, out, err = run("demo", "--bundle", "test-chart", "--clock", "demand")
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "out/demo").iterdir()} == FILES
    for what in ("first frame     presented", "live cut        presented", "in-shot change  presented"):
        assert what in out
    lines = [json.loads(line) for line in (tmp_path / "out/demo/frames.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines))), "every frame arrived"
    assert len([line for line in lines if "cut" in line["flags"]]) == 6
    revised = [line for line in lines if line["revision"] == 1]
    assert {line["shot"] for line in revised} == {1} and "jumps" in revised[0]["prompt"]
    assert any("owl waves" in line["prompt"] for line in lines if line["shot"] == 3)
    shown = charts(tmp_path / "out/demo/film.mp4")
    assert [chart["shot"] for chart in shown] == [line["shot"] for line in lines]
    report = json.loads((tmp_path / "out/demo/report.json").read_text())
    assert report["complete"] and report["frames"] == len(lines) and report["frames_dropped"] == 0
    assert len(report["commands"]) == 7
    for command in report["commands"].values():
        times = list(command["times_ms"].values())
        assert list(command["times_ms"])[-2:] == ["on_air", "presented"] and times == sorted(times)
        assert lines[command["frame"]]["prompt"] == command["text"], "the frame that the command first showed on"


def demo_process(tmp_path, *options):
    """A demo that runs, with its first frames recorded; (it, its server)."""
    command = [sys.executable, "-m", "shotstream", "demo", "--bundle", "test-chart", "--out", "made", *options]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = tmp_path / "made/frames.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_bytes().count(b"\n") > 10):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    (server,) = psutil.Process(process.pid).children()
    return process, server


def test_interrupted_demo_leaves_a_film_and_no_server(tmp_path):
    process, server = demo_process(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "frames kept in made" in err and "Traceback" not in err
    assert not server.is_running()
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert (report["complete"], report["stopped_by"]) == (False, "SIGINT")
    assert len(charts(tmp_path / "made/film.mp4")) == report["frames"] > 10


def test_demo_whose_server_dies_says_so_and_keeps_the_film(tmp_path):
    process, server = demo_process(tmp_path)
    server.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "the server ended with code -9" in err and "Traceback" not in err
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert not report["complete"] and len(charts(tmp_path / "made/film.mp4")) == report["frames"]


def test_bench_reports_figures_and_machine(run, tmp_path):
    code, out, err = run("bench", "--bundle", "test-chart", "--blocks", 9, "--cuts", 2, "--json", "deep/bench.json")
    assert (code, err) == (0, "")
    figures = json.loads((tmp_path / "deep/bench.json").read_text())
    for key in ("fps", "first_frame_ms", "rss_mb", "denoise_share", "decode_share", "warm_up", "versions"):
        assert figures[key] is not None, key
    assert figures["blocks"] == 9 and figures["frames"] >= 9 * 9
    for key in ("cut_to_frame_ms", "cut_now_to_frame_ms", "block_ms"):
        assert 0 < figures[key]["p50"] <= figures[key]["p95"]
    assert figures["machine"]["cpu"] and figures["machine"]["cores"] >= 1
    assert "machine.cpu" in out


def test_doctor_says_what_runs_and_what_does_not(run):
    code, out, _ = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    for name in ("Python 3.10 or later", "torch", "CUDA", "TensorRT", "embedded bundle", "CPU cores", "native module"):
        assert name in checks and checks[name]["found"]
    assert checks["TensorRT"]["ok"] is False and "not run" in checks["TensorRT"]["found"]
    needed = [check for check in checks.values() if check["needed"]]
    assert code == (0 if all(check["ok"] for check in needed) else 1)
    text = run("doctor")[1]
    assert len(text.splitlines()) == len(checks)


def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"shotstream {ss.__version__}\n")
    code, out, _ = run("--help")
    assert code == 0
    for command in ("generate", "demo", "play", "info", "doctor", "bench", "convert", "fetch"):
        assert command in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["no-such-command"],
        ["generate"],
        ["generate", "a", "b"],
        ["demo", "--seed", "x"],
        ["demo", "--frames", "jpg"],
        ["bench", "--blocks", "0"],
    ],
)
def test_unknown_options_exit_2(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2 and "Traceback" not in err and err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "no.yaml"], "no.yaml: no such file"),
        (["generate", "{story}", "--seed", "-1"], "seed=-1 is outside"),
        (["generate", "{story}", "--device", "cuda"], "device"),
        (["generate", "{story}", "--bundle", "no-such"], "no-such"),
        (["generate", "{story}", "--bundle", "{empty}"], "bundle.toml"),
        (["generate", "{story}", "--row", "1"], "row=1 is for .csv"),
        (["generate", "{story}", "--out", "{story}"], "cannot be written"),
        (["generate", "{story}", "--out", "/proc/x"], "cannot be written"),
        (["play", "no.yaml"], "no.yaml: no such file"),
        (["info", "no-such"], "no-such"),
        (["demo", "--bundle", "no-such"], "no-such"),
        (["bench", "--bundle", "no-such"], "no-such"),
        (
            ["bench", "--bundle", "test-chart", "--blocks", "4", "--cuts", "2", "--json", "/proc/x/y.json"],
            "choose another file with --json",
        ),
        (["bench", "--bundle", "test-chart", "--json", "{empty}"], "cannot be written"),
        (["convert", "--wan", "x" * 300, "--shotstream", "s.pt", "--out", "o"], "missing: s.pt"),
        (["info", "x" * 300], "cannot be looked up"),
    ],
)
def test_bad_input_is_one_red_line_and_exit_2(run, story, tmp_path, arguments, says):
    (tmp_path / "empty").mkdir()
    filled = [argument.format(story=story, empty=tmp_path / "empty") for argument in arguments]
    if filled[0] == "generate" and "--bundle" not in filled:
        filled += ["--bundle", "test-chart"]
    code, _, err = run(*filled)
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("error: ") and says in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("shots: [{prompt: ''}]", "prompt is empty"),
        ("shots: [{prompt: a, frames: 0}]", "frames=0 is outside 1..100000"),
        ("shots: [{prompt: a, frames: 1000000000}]", "frames=1000000000 is outside 1..100000"),
        ("shots: [{prompt: a, lenght: 5}]", "unknown key 'lenght'"),
        ("shots: [{prompt: " + "x" * 900_000 + "}]", "has 900000 characters"),
        ("shots: [{prompt: " + "x" * 1_000_000 + "}]", "more than 1000000 bytes"),
        ("\x1b[31m", "error: "),
        ('shots: [{prompt: "a\\eb"}]', "U+001B"),
        ('shots: [{"\\e[2J": b}]', "unknown key"),
        ("[", "not a story in YAML"),
    ],
)
def test_bad_stories_are_one_line_and_exit_2(run, tmp_path, content, says):
    (tmp_path / "bad.yaml").write_text(content)
    code, out, err = run("generate", "bad.yaml", "--bundle", "test-chart")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and "bad.yaml" in err and says in err and len(err) < 500
    assert "\x1b" not in err
    assert not (tmp_path / "out").exists(), "nothing is written for a story that cannot be read"


def test_convert_and_fetch_name_what_is_missing(run):
    code, _, err = run("convert", "--wan", "no-wan", "--shotstream", "no.pt", "--out", "bundle")
    assert code == 2 and err.count("\n") == 1 and "no-wan" in err and "no.pt" in err
    code, _, err = run("fetch", "no-such-model")
    assert code == 2 and err.count("\n") == 1 and "no-such-model" in err


def test_convert_and_fetch_hand_their_options_on(run, monkeypatch, tmp_path):
    calls = []

    def spy(*arguments, **options):
        calls.append((arguments, {name: value for name, value in options.items() if name != "progress"}))
        options["progress"]("copying", 1, 2)
        return tmp_path / "bundle"

    monkeypatch.setattr("shotstream.convert.convert", spy)
    monkeypatch.setattr("shotstream.fetch.fetch", spy)
    assert run("convert", "--wan", "w", "--shotstream", "s.pt", "--out", "o", "--dtype", "fp32", "--width", 64)[0] == 0
    assert run("fetch", "--keep-downloads")[:2] == (0, f"ready: {tmp_path / 'bundle'}\n")
    paths = (Path("w"), Path("s.pt"), Path("o"))
    assert calls[0] == (
        paths,
        {"dtype": "fp32", "lora": None, "lora_scale": 1.0, "width_px": 64, "height_px": 480},
    )
    assert calls[1] == (("shotstream-1.3b",), {"dtype": "bf16", "keep_downloads": True})


def test_full_disk_is_one_line_and_exit_2(run, story, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shotstream.recording._Video.add", full)
    code, _, err = run("generate", story, "--bundle", "test-chart", "--out", "made")
    assert code == 2 and err.count("\n") == 1 and "the disk is full" in err


def test_failing_engine_still_leaves_valid_files(run, story, tmp_path, monkeypatch):
    engine = FakeEngine(fail_at={(0, 1): ss.CapacityError("out of memory; use a smaller bundle")})
    monkeypatch.setattr("shotstream.film._make_engine", lambda bundle, device: engine)
    code, _, err = run("generate", story, "--out", "made")
    assert code == 2 and "out of memory" in err
    assert len(charts(tmp_path / "made/film.mp4")) == 9
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert (report["frames"], report["complete"]) == (9, False) and "out of memory" in report["stopped_by"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_leaves_a_playable_film_and_a_valid_report(tmp_path, number, code):
    (tmp_path / "long.yaml").write_text("shots: [{prompt: a, frames: 100000}]")
    command = [sys.executable, "-m", "shotstream", "generate", "long.yaml", "--bundle", "test-chart", "--out", "made"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = tmp_path / "made/frames.jsonl"
    deadline = time.monotonic() + 60
    while not (lines.exists() and lines.read_bytes().count(b"\n") > 50):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err and "frames kept in made" in err
    report = json.loads((tmp_path / "made/report.json").read_text())
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    shown = [chart["frame"] for chart in charts(tmp_path / "made/film.mp4")]
    assert shown == [row["index"] for row in rows] == list(range(report["frames"]))
    assert (report["complete"], report["stopped_by"]) == (False, signal.Signals(number).name)
    assert (tmp_path / "made/contact.png").stat().st_size > 100


def test_errors_of_the_program_itself_keep_their_traceback(run, story, monkeypatch):
    engine = FakeEngine(fail_at={(0, 0): ZeroDivisionError("a bug")})
    monkeypatch.setattr("shotstream.film._make_engine", lambda bundle, device: engine)
    with pytest.raises(ZeroDivisionError):
        run("generate", story)
