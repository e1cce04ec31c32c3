"""What ``shotstream serve`` opens: nothing that another machine reaches, whatever the options."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import typer

from shotstream.bridge import auth
from shotstream.cli.app import app
from tests.bridge.waiting import PATIENCE_S, wait_until
from tests.processes import environment

OPENS = {"bind", "keys", "allow"}
"""Options that decide what is listened on; each is in ``WAYS``."""
OPENS_NOTHING = {"bundle", "seed", "device", "name", "clock", "until_eof", "beats", "saves", "moderate", "deny_words"}


def keyed(folder):
    for name in ("server", "client"):
        auth.generate_keys(folder, name)
    (folder / "allowed/viewer").mkdir(parents=True)
    return ["--keys", folder / "server.key_secret", "--allow", folder / "allowed"]


WAYS = {
    "plain": lambda folder: [],
    "ipv4": lambda folder: ["--bind", "tcp://127.0.0.1"],
    "localhost": lambda folder: ["--bind", "tcp://localhost"],
    "ipv6": lambda folder: ["--bind", "tcp://[::1]"],
    "keys": keyed,
}


def test_every_option_of_serve_is_known_here():
    """An option that opens a listener must be scanned below."""
    options = {one.name for one in typer.main.get_command(app).commands["serve"].params}
    assert options - {"help"} == OPENS | OPENS_NOTHING


def sockets_of(process):
    return [one for one in psutil.Process(process.pid).net_connections("inet") if not one.raddr]


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_a_server_listens_on_loopback_only(runtime, tmp_path, options):
    if "[::1]" in str(options(tmp_path / "probe")) and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    command = [sys.executable, "-m", "shotstream", "serve", "--bundle", "test-chart", *options(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
    try:
        wait_until(lambda: (runtime / "default.json").exists() or process.poll() is not None)
        assert process.poll() is None, "it runs"
        found = sockets_of(process)
        connection = auth.read_connection(runtime / "default.json")
        ports = {int(endpoint.rpartition(":")[2]) for endpoint in (connection.ctl, connection.frm)}
        assert ports <= {one.laddr.port for one in found}
        assert {one.laddr.ip for one in found} <= {"127.0.0.1", "::1"}, found
        # A file system socket would be open to whoever may write there; those without a name are not.
        assert [one for one in psutil.Process(process.pid).net_connections("unix") if one.laddr] == []
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:5570", "tcp://[::]:5570", "tcp://192.168.1.10:5570", "tcp://*:5570"])
def test_what_others_could_reach_is_refused_without_keys(run, bind):
    code, _, err = run("serve", "--bundle", "test-chart", "--bind", bind)
    assert code == 2 and err.count("\n") == 1 and ("keygen" in err or "is no address" in err)
