"""A server in a process of its own that ends with the program that started it.

    with ServerProcess("--bundle", "test-chart") as server, server.connect() as client:
        client.cut("a red fox")

It has a runtime folder of its own, so it meets no other server, and its standard input is a pipe from here: the kernel
closes that however this process ends, and ``shotstream serve --until-eof`` then stops.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from ..errors import BridgeError, ConfigError
from . import auth, connect
from .client import Client
from .messages import Role

_STARTS_WITHIN_S = 300.0
_STOPS_WITHIN_S = 10.0
_KEPT_LINES = 20


class ServerProcess:
    """``shotstream serve`` with ``options``, from here to ``close``.

    Args:
        options: of the command, such as ``"--clock", "demand"``.
    """

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="shotstream-")
        self.runtime = Path(self._folder.name) / "runtime"
        """Its runtime folder: ``$SHOTSTREAM_RUNTIME`` for other clients."""
        self._log = Path(self._folder.name) / "stderr.txt"
        sources = str(Path(__file__).parents[2])
        environment = {
            **os.environ,
            "SHOTSTREAM_RUNTIME": str(self.runtime),
            "PYTHONPATH": os.pathsep.join(filter(None, [sources, os.environ.get("PYTHONPATH")])),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shotstream", "serve", "--until-eof", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                # Ctrl-C is for us; we stop it when our files are finished.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )

    def connect(self, *, role: Role = "operator", client: str = "") -> Client:
        """Connect to it, once it is up. When it ends, so does the client: waiting for it to come back would be vain.

        Raises:
            ConfigError: it refused its options. BridgeError: it ended, or was not up within five minutes.
        """
        path = self.runtime / "default.json"
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not path.exists():
            if self.process.poll() is not None:
                raise self.failure()
            if time.monotonic() > deadline:
                raise BridgeError(f"the server was not up within {_STARTS_WITHIN_S:g} s; try 'shotstream serve'")
            time.sleep(0.02)
        found = auth.read_connection(path)
        made = connect(found.ctl, role=role, token=found.tokens[role], client=client, timeout=30.0)
        threading.Thread(target=self._close_at_its_end, args=[made], name="shotstream-child", daemon=True).start()
        return made

    @property
    def said(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-_KEPT_LINES:])

    def failure(self) -> ConfigError | BridgeError:
        """Why it ended by itself."""
        code, said = self.process.wait(), self.said
        if code == 2 and said.startswith("error: "):  # what any command says about its input
            return ConfigError(said.removeprefix("error: "))
        words = [line.strip(" \u2502") for line in said.splitlines() if any(char.isalnum() for char in line)]
        return BridgeError(f"the server ended with code {code}: {words[-1] if words else 'it said nothing'}")

    def close(self) -> None:
        """Stop it, in the end by force. Safe to call twice."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        for stop in (lambda: None, self.process.terminate, self.process.kill):
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOPS_WITHIN_S)
                break
        self._folder.cleanup()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close_at_its_end(self, client: Client) -> None:
        self.process.wait()
        client.close()
