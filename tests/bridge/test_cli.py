"""``serve``, ``monitor`` and ``keygen`` as the installed script runs them."""

import signal
import stat
import subprocess
import sys

import shotstream as ss
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.processes import environment


def test_serve_runs_until_it_is_told_to_stop(runtime, run):
    command = [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        wait_until((runtime / "default.json").exists)
        with ss.connect() as client:
            frames = client.frames(count=3, mode="queue", timeout=PATIENCE_S)
            client.cut("a fox")
            assert [frame.index for frame in frames] == [0, 1, 2]
            code, out, _ = run("monitor", "--updates", "1")
            assert code == 0 and "test-chart on cpu" in out and "viewer" in out
        code, _, err = run("serve", "--bundle", "test-chart")
        assert code == 2 and "running already" in err
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and "commands on tcp://127.0.0.1:" in out
    assert not (runtime / "default.json").exists()


def test_monitor_without_a_server_says_how_to_start_one(run, monkeypatch):
    import shotstream.bridge

    connect = shotstream.bridge.connect
    monkeypatch.setattr(shotstream.bridge, "connect", lambda *args, **options: connect(*args, **options, timeout=0.2))
    code, _, err = run("monitor")
    assert code == 2 and "shotstream serve" in err


def test_keygen_writes_a_pair_and_never_over_another(run, tmp_path):
    code, out, _ = run("keygen", "wall")
    assert code == 0 and "hand it to the other side" in out
    secret = tmp_path / "keys/wall.key_secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and (tmp_path / "keys/wall.key").exists()
    code, _, err = run("keygen", "wall")
    assert code == 2 and "there already" in err
    for name in ("../wall", "", ".wall", "a/b"):
        code, _, err = run("keygen", name)
        assert code == 2 and "cannot name keys" in err and err.count("\n") == 1
    assert len(list(tmp_path.rglob("*.key*"))) == 2


def test_serve_refuses_what_others_could_reach(run):
    code, _, err = run("serve", "--bundle", "test-chart", "--bind", "tcp://0.0.0.0:5570")
    assert code == 2 and "keygen" in err
