"""A short run; ``make chaos`` is the long one."""

from tests.chaos.run import run


def test_four_kills_under_two_clients(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTSTREAM_RUNTIME", str(tmp_path / "runtime"))
    figures = run(tmp_path, kills=4, seed=1)
    assert figures["kills"] == 4 and set(figures["stories"].values()) == {1}
    assert figures["cuts"]["done"] >= figures["cuts"]["acknowledged"] > 0
    assert min(figures["servers_seen"].values()) >= 4
