"""Graphs of the pocket network, written once a run."""

import pytest

from shotstream.export.writer import write_dit
from tests.micro import micro_dit, micro_spec


@pytest.fixture(scope="session")
def dit():
    return micro_dit()


@pytest.fixture(scope="session")
def spec():
    return micro_spec()


@pytest.fixture(scope="session")
def graphs(tmp_path_factory, dit, spec):
    """Folder of the graphs of a flavour."""
    written = {}

    def write(flavour):
        if flavour not in written:
            written[flavour] = tmp_path_factory.mktemp(flavour)
            write_dit(dit, spec, flavour, written[flavour])
        return written[flavour]

    return write
