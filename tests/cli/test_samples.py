"""Every sample that needs no server runs, on test charts; every story file loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from shotstream.cli.demo import DEMO_STORY
from shotstream.story import load_story
from tests.processes import environment

SAMPLES = Path(__file__).parents[2] / "samples"
PROGRAMS = sorted(path for path in SAMPLES.glob("*/*.py") if not (path.parent / "README.md").exists())
"""Those with a README of their own need a server, and have their tests in ``tests/samples``."""
STORIES = sorted(path for path in (SAMPLES / "stories").rglob("*") if path.suffix in (".yaml", ".json", ".csv"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program_runs(program, tmp_path):
    command = [sys.executable, str(program), "test-chart"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout and not done.stderr, done.stderr


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_story_loads(path):
    assert load_story(path).num_frames > 100


def test_demo_story_has_five_shots_of_known_length():
    assert len(DEMO_STORY.shots) == 5 and DEMO_STORY.num_frames == 285


def test_samples_are_listed():
    text = (SAMPLES / "README.md").read_text()
    for folder in SAMPLES.iterdir():
        assert not folder.is_dir() or f"`{folder.name}/`" in text
