"""Servers in processes of their own, as the samples meet them, and what a program printed."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from shotstream.bridge.child import ServerProcess
from tests.processes import environment

SAMPLES = Path(__file__).parents[2] / "samples"


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

    def run(*command, server=None, timeout_s=300, **more):
        if server is not None:
            more["SHOTSTREAM_RUNTIME"] = str(server.runtime)
        done = subprocess.run(
            [str(part) for part in command], env=environment(**more), capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def python(run_program):
    """Runs a Python sample: ``python("quest_game/quest_game.py", "--autoplay", server=server)``."""
    return lambda program, *arguments, **options: run_program(sys.executable, SAMPLES / program, *arguments, **options)
