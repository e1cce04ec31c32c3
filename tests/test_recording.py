"""Recorded files are read back with the libraries that any viewer would use."""

import contextlib
import errno
import json
import subprocess
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

import shotstream as ss
from shotstream.recording import Recorder, film_report, percentiles
from shotstream.testing import FakeEngine, draw_chart, read_chart

SPEC = ss.VideoSpec(width_px=160, height_px=96)


def frame(index, shot=0, **fields):
    image = draw_chart(SPEC, shot=shot, block=0, frame=index)
    return ss.Frame(image=image, index=index, shot=shot, block=0, frame_in_shot=index, time_s=index / 16, **fields)


def decoded(path):
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]


def record(out, *shots, **options):
    with ss.open("test-chart", seed=7) as film, Recorder(out, film.spec, **options) as recorder:
        for number, length in enumerate(shots):
            film.cut(f"shot {number}", when="shot_end", frames=length)
        for made in film.frames():
            recorder.add(made)
        recorder.close(film_report(film, recorder=recorder))
    return out


def test_video_holds_every_frame_in_order(tmp_path):
    record(tmp_path, 20, 15)
    pictures = decoded(tmp_path / "film.mp4")
    shown = [(chart["shot"], chart["frame"]) for chart in map(read_chart, pictures)]
    assert shown == [(0, n) for n in range(20)] + [(1, n) for n in range(15)]
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (160, 96, 16)


def test_colours_survive_the_video(tmp_path):
    with Recorder(tmp_path, SPEC) as recorder:
        image = np.zeros((96, 160, 3), np.uint8)
        image[:, :80], image[:, 80:] = (220, 40, 40), (40, 80, 200)
        recorder.add(ss.Frame(image=image, index=0, shot=0, block=0, frame_in_shot=0, time_s=0.0))
    picture = decoded(tmp_path / "film.mp4")[0]
    assert np.abs(picture[40, 20].astype(int) - (220, 40, 40)).max() < 12
    assert np.abs(picture[40, 140].astype(int) - (40, 80, 200)).max() < 12


def test_frame_list_has_one_line_per_frame(tmp_path):
    record(tmp_path, 12, 3)
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(15))
    assert [line["index"] for line in lines if "cut" in line["flags"]] == [0, 12]
    assert lines[12] | {"shot": 1, "prompt": "shot 1", "seed": 7, "revision": 0, "frame_in_shot": 0} == lines[12]
    assert all(line["recorded_ms"] >= line["generated_ms"] for line in lines)


def test_contact_sheet_has_a_row_per_shot(tmp_path):
    record(tmp_path, 100, 1, 7)
    sheet = np.asarray(Image.open(tmp_path / "contact.png"))
    assert sheet.shape == (3 * 98 + 2, 6 * 162 + 2, 3)
    rows = [
        [read_chart(sheet[2 + 98 * row :, 2 + 162 * column :][:96, :160]) for column in range(6)] for row in range(3)
    ]
    assert [chart["shot"] for row in rows for chart in row] == [0] * 6 + [1] * 6 + [2] * 6
    first = [chart["frame"] for chart in rows[0]]
    assert first[0] == 0 and first[-1] >= 96 and first == sorted(set(first))
    assert [chart["frame"] for chart in rows[2]] == [0, 1, 2, 4, 5, 6]


def test_png_frames_are_lossless_and_old_ones_go(tmp_path):
    record(tmp_path, 12, frames="png")
    (tmp_path / "frames" / "mine.png").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    record(tmp_path, 5, frames="png")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"{n:06d}.png" for n in range(5)] + ["mine.png"]
    picture = np.asarray(Image.open(tmp_path / "frames" / "000003.png"))
    assert (picture == draw_chart(SPEC, shot=0, block=0, frame=3, caption="shot 0", seed=7)).all()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_report_has_the_promised_keys(tmp_path):
    record(tmp_path, 20, 15)
    report = json.loads((tmp_path / "report.json").read_text())
    promised = "bundle device dtype size shots frames fps first_frame_ms cut_to_frame_ms block_ms rss_mb seed versions"
    assert set(promised.split()) <= set(report)
    assert (report["bundle"], report["size"], report["shots"], report["frames"], report["seed"]) == (
        "test-chart",
        "160x96",
        2,
        35,
        7,
    )
    assert set(report["cut_to_frame_ms"]) == set(report["block_ms"]) == {"p50", "p95"}
    assert report["fps"] > 0 and report["rss_mb"] > 1 and report["complete"] is True


def test_percentiles():
    assert percentiles([]) == {"p50": None, "p95": None}
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0}
    assert percentiles(range(1, 101)) == {"p50": 50.5, "p95": 95}


def test_unclosed_video_is_playable_up_to_its_last_second(tmp_path):
    recorder = Recorder(tmp_path, SPEC)
    for n in range(100):
        recorder.add(frame(n))
    pictures = decoded(tmp_path / "film.mp4")
    assert len(pictures) >= 30
    assert [read_chart(picture)["frame"] for picture in pictures] == list(range(len(pictures)))
    recorder.close()
    assert len(decoded(tmp_path / "film.mp4")) == 100


def test_recording_without_frames_is_valid(tmp_path):
    with Recorder(tmp_path, SPEC):
        pass
    assert (tmp_path / "frames.jsonl").read_text() == ""
    assert Image.open(tmp_path / "contact.png").size[0] > 0


def test_failure_inside_the_recording_closes_the_files_and_stays_the_error(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), Recorder(tmp_path, SPEC) as recorder:
        for n in range(10):
            recorder.add(frame(n))
        raise RuntimeError("boom")
    assert len(decoded(tmp_path / "film.mp4")) == 10


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ss.ConfigError, match="cannot be written"):
        Recorder(tmp_path / "file", SPEC)
    with pytest.raises(ss.ConfigError, match="frames='jpg'"):
        Recorder(tmp_path / "out", SPEC, frames="jpg")


def test_full_disk_in_any_file_is_a_capacity_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder = Recorder(tmp_path, SPEC)
    recorder.add(frame(0))
    with monkeypatch.context() as patch:
        patch.setattr("shotstream.recording._Video.add", full)
        with pytest.raises(ss.CapacityError, match="the disk is full"):
            recorder.add(frame(1))
    with monkeypatch.context() as patch:
        patch.setattr("shotstream.recording._save_png", full)
        with pytest.raises(ss.CapacityError, match="free some space"):
            recorder.close({"frames": 1})
    assert len(decoded(tmp_path / "film.mp4")) == 1
    assert json.loads((tmp_path / "report.json").read_text()) == {"frames": 1}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no right to mount a small file system: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_for_real(small_disk):
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)
    with pytest.raises(ss.CapacityError, match="the disk is full"), Recorder(small_disk, SPEC) as recorder:
        for n in range(500):
            image = np.roll(noise, 7 * n, axis=1)
            recorder.add(ss.Frame(image=image, index=n, shot=0, block=0, frame_in_shot=n, time_s=n / 16))
    pictures = []
    with contextlib.suppress(av.error.InvalidDataError), av.open(str(small_disk / "film.mp4")) as container:
        for picture in container.decode(video=0):  # up to the picture that the disk cut in two
            pictures.append(picture)
    assert len(pictures) >= 3


def test_disk_that_is_full_from_the_start(small_disk):
    with pytest.raises(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:  # ends when a write is refused
            filler.write(bytes(4096))
    with pytest.raises(ss.CapacityError, match="the disk is full"), Recorder(small_disk, SPEC) as recorder:
        for n in range(200):  # far more than the encoder holds back
            recorder.add(frame(n))


def test_nothing_is_written_after_a_failed_write(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path, SPEC)
    muxed = []

    def full(packet):
        muxed.append(packet)
        raise OSError(errno.ENOSPC, "No space left on device")

    container = recorder._video._container
    monkeypatch.setattr(recorder._video, "_container", SimpleNamespace(mux=full, close=container.close))
    with pytest.raises(ss.CapacityError):
        for n in range(200):
            recorder.add(frame(n))
    recorder.close()
    assert len(muxed) == 1


def test_interrupted_engine_leaves_what_was_made(tmp_path):
    engine = FakeEngine(fail_at={(0, 2): RuntimeError("boom")})
    with pytest.raises(RuntimeError), ss.open(engine=engine) as film, Recorder(tmp_path, film.spec) as recorder:
        film.cut("a")
        for made in film.frames():
            recorder.add(made)
    assert len(decoded(tmp_path / "film.mp4")) == 21
