"""The benchmark and the soak of the bridge at tiny sizes: that they measure frames, and the right ones."""

import json
from dataclasses import replace

import pytest

import shotstream as ss
from shotstream.bridge import bench, soak
from shotstream.testing import draw_chart

TINY = ss.VideoSpec(width_px=64, height_px=48, fps=60)


def cases(monkeypatch, *names):
    chosen = tuple(case for case in bench.CASES if case.name in names)
    assert len(chosen) == len(names)
    monkeypatch.setattr(bench, "CASES", chosen)


def test_each_kind_of_case_gives_a_row_of_checked_frames(monkeypatch):
    names = ("shm, fast reader", "PUB/SUB, fast reader", "control round trip, frames inline")
    cases(monkeypatch, *names)
    told = []
    rows = bench.measure(TINY, seconds=0.5, warm_up_s=0.2, report=told.append)
    assert [row.name for row in rows] == list(names) and told == rows
    for row in rows:
        assert row.count > 0 and row.checked > 0 and 0 < row.p50 <= row.p99 <= row.max
    assert rows[0].within is not None and rows[1].within is None
    ratios = bench.ratios(rows)
    assert ratios == {"fast reader": round(rows[1].p50 / rows[0].p50, 1)}


def test_every_pair_that_is_compared_is_measured():
    row = bench.Row(name="", count=1, p50=2.0, p99=1, max=1, checked=1, server_cpu=0, bounds_ms={})
    everything = [replace(row, name=case.name) for case in bench.CASES]
    assert set(bench.ratios(everything).values()) == {1.0} and len(bench.ratios(everything)) == 4


def test_a_frame_that_is_not_its_chart_is_noticed():
    chart = bench._layout(TINY).planes(bench._layout(TINY).pack(bench._chart(TINY, 20)))[0]
    bench.Ages(TINY).check(chart, 20)
    transparent = chart.copy()
    transparent[..., 3] = 0
    for wrong in (chart[::-1], chart[:, ::-1], chart[..., [2, 1, 0, 3]], transparent):
        with pytest.raises(ss.BridgeError, match="frame 20"):
            bench.Ages(TINY).check(wrong, 20)
    with pytest.raises(ss.BridgeError, match="frame 21"):
        bench.Ages(TINY).check(chart, 21)


def test_charts_of_the_benchmark_are_those_of_the_film():
    with ss.open("test-chart", engine=bench.Charts(TINY)) as film:
        film.cut(bench.CAPTION)
        for frame in film.frames(count=60):
            expected = draw_chart(TINY, shot=0, block=frame.block, frame=frame.frame_in_shot, caption=bench.CAPTION)
            assert (frame.image == expected).all() and (frame.image == bench._chart(TINY, frame.index)).all()


def test_bounds_are_judged():
    row = bench.Row(name="", count=1, p50=2, p99=4, max=1, checked=1, server_cpu=0, bounds_ms={"p50": 2, "p99": 4})
    assert row.within and bench.as_dict(row)["within"]
    assert not replace(row, p99=4.1).within


def test_a_process_that_fails_is_said(monkeypatch):
    case = bench.Case(name="broken", what="bridge", location="nowhere")
    monkeypatch.setattr(bench, "CASES", (case,))
    with pytest.raises(ss.BridgeError, match="nowhere"):
        bench.measure(TINY, seconds=0.2, warm_up_s=0.0)


def test_a_soak_counts_frames_and_memory_and_loses_nothing():
    minutes = []
    figures = soak.soak(TINY, seconds=1.8, every_s=0.6, report=minutes.append)
    assert len(minutes) == len(figures["minutes"]) >= 3 and figures["rss_mb"]["last"] > 10
    assert figures["readers"]["lossless"]["lost"] == 0 and figures["readers"]["lossless"]["checked"] > 0
    assert figures["readers"]["lossless"]["frames"] > figures["readers"]["5 fps"]["frames"] > 0
    assert figures["readers"]["5 fps"]["lost"] > 0, "a slow reader in latest mode is skipped ahead"


def test_a_soak_that_is_too_short_for_a_trend_is_refused():
    with pytest.raises(ss.ConfigError, match="too short"):
        soak.soak(TINY, seconds=100)


def test_the_command_prints_a_table_and_writes_the_figures(run, monkeypatch, tmp_path):
    cases(monkeypatch, "shm, fast reader", "PUB/SUB, fast reader")
    code, out, _ = run("bench", "--bridge", "--seconds", "0.5", "--json", "bench.json")
    assert code == 0 and "shm, fast reader" in out and "plain PUB/SUB is" in out and "p50 <= 1" in out
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in figures["rows"]] == ["shm, fast reader", "PUB/SUB, fast reader"]
    assert figures["size"] == "832x480" and figures["machine"]["cores"] > 0 and "due" in figures["meaning"]
