"""A server as the child of a program: found, stopped with it, and its last words kept."""

import signal
import subprocess
import sys

import psutil
import pytest

import shotstream as ss
from shotstream.bridge.child import ServerProcess
from tests.processes import environment


def test_it_serves_and_leaves_nothing_behind():
    with ServerProcess("--bundle", "test-chart", "--clock", "demand") as server:
        with server.connect() as client:
            client.cut("a fox", frames=3)
            assert len(list(client.frames(count=3, mode="lossless", timeout=30))) == 3
        assert (server.runtime / "default.json").exists()
    assert server.process.returncode == 0
    assert not server.runtime.exists()
    server.close()


def test_bad_options_are_the_callers_mistake():
    with ServerProcess("--bundle", "no-such") as server, pytest.raises(ss.ConfigError, match="no-such"):
        server.connect()


def test_options_that_do_not_exist_are_named():
    with ServerProcess("--no-such") as server, pytest.raises(ss.BridgeError, match="code 2: No such option: --no-such"):
        server.connect()


def test_a_crash_is_told_with_its_last_words():
    with ServerProcess("--bundle", "test-chart") as server, server.connect() as client:
        frames = client.frames()
        server.process.kill()
        with pytest.raises(ss.ClosedError):  # instead of waiting for a server that cannot come back
            next(frames)
        assert "ended with code -9: it said nothing" in str(server.failure())
        server._log.write_text("Traceback\nValueError: boom\n")
        assert str(server.failure()).endswith("ValueError: boom") and server.said == "Traceback\nValueError: boom"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process as POSIX does")
def test_it_ends_with_a_program_that_is_killed(tmp_path):
    program = (
        "import sys, time\nfrom shotstream.bridge.child import ServerProcess\n"
        "server = ServerProcess('--bundle', 'test-chart')\nserver.connect().close()\n"
        "print(server.process.pid, flush=True)\ntime.sleep(600)\n"
    )
    surroundings = environment(TMPDIR=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=surroundings)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    gone, _ = psutil.wait_procs([child], timeout=60)
    assert gone
