"""Fixtures that tests of several folders use."""

import sys

import pytest

from shotstream import cli


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Runs a command line in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments):
        monkeypatch.setattr(sys, "argv", ["shotstream", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return run_it
