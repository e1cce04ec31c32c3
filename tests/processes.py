"""What a program that a test starts needs to know."""

import os
from pathlib import Path

import shotstream as ss


def environment(**more):
    """The test's own environment, in which a Python finds the shotstream that is tested, compiled module included."""
    paths = [str(Path(ss.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}
