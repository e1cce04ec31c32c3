"""Headless Godot 3 as a child process, and a Godot client in it that a test drives."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil

SCRIPTS = Path(__file__).parent / "godot"
PROGRAM = shutil.which("godot3-server") or shutil.which("godot3-headless")
MISSING = "godot3-server is not installed (apt install godot3-server), so no GDScript is run"
PATIENCE_S = 60
"""Far more than anything takes, for machines that are busy."""


def environment(folder, **more):
    """Without a project Godot writes its log where it stands, and its settings into the user's folders."""
    return {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "LC_ALL": "C.UTF-8", **more}


def run_script(path, folder, **more):
    """Run a script to its end; (exit code, stdout, stderr)."""
    done = subprocess.run(
        [PROGRAM, "-s", str(path)],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    return done.returncode, done.stdout, done.stderr


class GodotClient:
    """``remote.gd`` in a process of its own.

    ``client`` and ``link`` are properties to set before it begins to connect. Without ``presents`` it never gives the
    credit of a frame back.
    """

    def __init__(self, folder, *, client=None, link=None, presents=True):
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(PATIENCE_S)
            self.log = open(folder / f"godot-{door.getsockname()[1]}.log", "w+")  # noqa: SIM115  (closed with the process)
            self.process = subprocess.Popen(
                [PROGRAM, "-s", str(SCRIPTS / "remote.gd")],
                cwd=folder,
                env=environment(folder, TEST_PORT=str(door.getsockname()[1])),
                stdout=self.log,
                stderr=subprocess.STDOUT,
            )
            self._socket, _ = door.accept()
        self._socket.settimeout(0.05)
        self._buffer = b""
        self.events, self.frames, self._results = [], [], []
        for name, value in (client or {}).items():
            self._say({"set": name, "value": value})
        for name, value in (link or {}).items():
            self._say({"link": name, "value": value})
        self._say({"presents": presents})
        self._say({"go": True})

    def call(self, name, *args):
        """Call a method of the client and return what it returns."""
        self._say({"call": name, "args": args})
        self.wait(lambda: self._results, f"the result of {name}")
        return self._results.pop(0)

    def wait(self, condition, what):
        """Take in what the client tells until ``condition()`` is true, and return that."""
        end = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < end, f"no {what} within {PATIENCE_S} s; events: {self.events[-5:]}"
            assert self.process.poll() is None, f"Godot ended: {self.output()}"
            self._hear()
        return found

    def event(self, kind, **fields):
        """Wait for an event of that kind with those fields, and take it out of ``events``."""

        def fits():
            matching = (
                one for one in self.events if one["kind"] == kind and all(one[k] == v for k, v in fields.items())
            )
            return next(matching, None)

        found = self.wait(fits, f"{kind} event {fields}")
        self.events.remove(found)
        return found

    def wait_frames(self, count):
        """The first ``count`` frames, once they are there; they are taken out of ``frames``."""
        self.wait(lambda: len(self.frames) >= count, f"{count} frames")
        taken, self.frames = self.frames[:count], self.frames[count:]
        return taken

    def resident_bytes(self):
        return psutil.Process(self.process.pid).memory_info().rss

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def close(self):
        """Ask it to leave; (exit code, script errors that Godot printed)."""
        try:
            self._say({"quit": True})
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._socket.close()
        errors = [line for line in self.output().splitlines() if "SCRIPT ERROR" in line or "Parse Error" in line]
        self.log.close()
        return self.process.returncode, errors

    def _say(self, order):
        self._socket.sendall(json.dumps(order).encode() + b"\n")

    def _hear(self):
        try:
            got = self._socket.recv(1 << 16)
        except TimeoutError:
            return
        self._buffer += got
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "event" in told:
                self.events.append(told["event"])
            elif "frame" in told:
                self.frames.append(told["frame"])
            else:
                self._results.append(told["result"])
