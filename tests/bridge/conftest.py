"""A server of the test chart in a runtime folder of its own, and clients that end with the test."""

import contextlib

import pytest

import shotstream as ss
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from tests.bridge.raw import RawPeer


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    folder = tmp_path / "runtime"
    monkeypatch.setenv("SHOTSTREAM_RUNTIME", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


@pytest.fixture
def ends():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(ends):
    """Starts servers: ``serve(clock="demand")``; more options are those of ``ServerConfig``."""

    def start(*, engine=None, ahead=1, **options):
        film = ss.open("test-chart", engine=engine or FakeEngine(), ahead=ahead)
        return ends.enter_context(Server(film, ServerConfig(**options)))

    return start


@pytest.fixture
def connect(ends):
    return lambda *args, **options: ends.enter_context(ss.connect(*args, **options))


@pytest.fixture(scope="session")
def c_library(tmp_path_factory):
    """The C library, built once; tests that use it carry ``needs_library``."""
    from . import c_library as build

    return build.load(build.build(tmp_path_factory.mktemp("c_library"), "-DSHOTSTREAM_BRIDGE_TESTS=OFF"))


@pytest.fixture
def godot(tmp_path, ends):
    """Starts Godot clients: ``godot(client={...}, link={...})`` sets properties; none may end with a script error."""
    from .godot_process import GodotClient

    def start(**settings):
        client = GodotClient(tmp_path, **settings)

        def stop():
            code, errors = client.close()
            assert code == 0 and not errors, errors

        ends.callback(stop)
        return client

    return start


@pytest.fixture
def server(serve):
    """A server that makes a frame only when somebody waits for it."""
    return serve(clock="demand")


@pytest.fixture
def peer(ends, server):
    """Says to that server what it wants."""
    return ends.enter_context(RawPeer(server.ctl, server.tokens["operator"]))
