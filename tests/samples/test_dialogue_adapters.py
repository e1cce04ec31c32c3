"""The Ink and the Yarn sample, each as a program with a server of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment

SAMPLES = Path(__file__).parents[2] / "samples"
SAID = {
    "ink_adapter": [
        "Mia comes down to the town before dark.",
        '    [shot: arrive place="in the city"] taken',
        "    frame 15, shot 0",
        "> Knock at the first door",
        "    [shot: storm] taken",
        "    [shot: jump] ",
        "A light! The old castle has its door open.",
        "    frame 111, shot ",
    ],
    "yarn_adapter": [
        '    <<shot arrive place "in the city">> taken',
        "    frame 0: shot 0",
        "    <<shot storm>> taken",
        "    <<shot jump>> ",
        "Bolt: A light! The old castle has its door open.",
    ],
}
"""Beginnings of lines, in order. Where exactly a shot begins depends on how far the film had run ahead."""


@pytest.mark.parametrize("name", SAID)
def test_a_dialogue_directs_the_film(name, tmp_path):
    command = [sys.executable, str(SAMPLES / name / f"{name}.py"), "test-chart"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    at = -1
    for start in SAID[name]:
        at = next((n for n in range(at + 1, len(lines)) if lines[n].startswith(start)), None)
        assert at is not None, f"{start!r} is missing or out of order:\n{done.stdout}"
    assert "mood" not in done.stdout
