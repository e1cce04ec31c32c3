"""Servers in processes of their own, as the samples meet them, and what a program printed."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import shotstream as ss
from shotstream.bridge.child import ServerProcess

SAMPLES = Path(__file__).parents[2] / "samples"
SDK = Path(ss.__file__).parents[1]


@pytest.fixture
def serve():
    """Starts ``shotstream serve`` with options; the test chart by default."""
    with contextlib.ExitStack() as stack:

        def start(*options):
            if "--bundle" not in options:
                options = ("--bundle", "test-chart", *options)
            server = stack.enter_context(ServerProcess(*options))
            stack.enter_context(server.connect(role="viewer"))  # it is up
            return server

        yield start


@pytest.fixture(scope="session")
def pictures():
    """Where screenshots stay after the tests, for people to look at: ``out/pictures``."""
    folder = SAMPLES.parent / "out" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def run_program():
    """Runs a command as a user of that server would; its standard output."""

    def run(*command, server=None, timeout_s=300, **environment):
        paths = [str(SDK), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
        if server is not None:
            environment["SHOTSTREAM_RUNTIME"] = str(server.runtime)
        done = subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def python(run_program):
    """Runs a Python sample: ``python("quest_game/quest_game.py", "--autoplay", server=server)``."""
    return lambda program, *arguments, **options: run_program(sys.executable, SAMPLES / program, *arguments, **options)
