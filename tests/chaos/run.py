"""Servers that are killed, stopped, starved and replaced under two clients, one of them slow.

    python -m tests.chaos --kills 50

Asserted throughout: no call of a client takes longer than 2.5 s (and what the machine itself was late), numbers of
frames only grow, every frame shows what its header says. Asserted at the end: no cut was carried out by a server that
it was not made for, none after its time, none twice, and every one that was acknowledged was carried out; no segment
of shared memory, no file and no open descriptor is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

import shotstream as ss
from shotstream.bridge import auth, faults
from shotstream.bridge.client import Client
from shotstream.testing import read_chart
from tests.bridge.waiting import PATIENCE_S, Stalls, wait_until

CALL_LIMIT_S = 2.5
SEGMENTS = Path("/dev/shm")


class Servers:
    """One server at a time, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "cuts.jsonl"
        self.runtime = Path(os.environ["SHOTSTREAM_RUNTIME"])
        self.pids: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str | os.PathLike[str]) -> None:
        command = [sys.executable, "-m", "tests.chaos.server", "--log", self.log, *options]
        self.process = subprocess.Popen(command)
        self.pids.append(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, and wait until it has."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def segments(self) -> list[str]:
        """Shared memory that servers of ours have made and not removed."""
        return [entry.name for entry in SEGMENTS.glob("shotstream-*") if int(entry.name.split("-")[2]) in self.pids]

    def cuts(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


class Watcher:
    """A client in a thread that takes frames, and cuts now and then; everything is timed and checked."""

    def __init__(self, name: str, stalls: Stalls, *, mode: str, nap_s: float, cut_every_s: float) -> None:
        self.name, self._stalls, self._mode, self._nap_s, self._cut_every_s = name, stalls, mode, nap_s, cut_every_s
        self.client: Client = ss.connect(client=name, timeout=PATIENCE_S)
        self.epochs: Counter[int] = Counter()
        self.shared = 0
        self.longest_s: dict[str, float] = {}
        self.faults: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.problems: list[str] = []
        self._last, self._num_cuts, self._stop = -1, 0, threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=[work]) for work in (self._watch, self._cut)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        self._timed("close", self.client.close)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _guard(self, work) -> None:
        try:
            work()
        except Exception as error:
            self.problems.append(f"{self.name}: {type(error).__name__}: {error}")

    def _timed(self, what: str, call, *arguments, **options):
        began = time.monotonic()
        try:
            return call(*arguments, **options)
        finally:
            took = time.monotonic() - began
            self.longest_s[what] = max(took, self.longest_s.get(what, 0.0))
            if took > CALL_LIMIT_S + self._stalls.late_since(began):
                self.problems.append(f"{self.name}: {what} took {took:.2f} s")

    def _watch(self) -> None:
        while not self._stop.is_set():
            stream = None
            try:
                frames = self.client.frames(mode=self._mode, timeout=2.0)
                stream = frames._stream
                while not self._stop.wait(self._nap_s):
                    self._look_at(self._timed("frame", next, frames))
                    self.shared += stream.is_shared
                frames.close()
            except ss.ClosedError:
                return
            except ss.BridgeError as error:
                self.faults[type(error).__name__] += 1
                self._stop.wait(0.05)

    def _look_at(self, frame) -> None:
        if frame.index <= self._last:
            self.problems.append(f"{self.name}: frame {frame.index} after {self._last}")
        self._last = frame.index
        self.epochs[frame.epoch] += 1
        shown = read_chart(frame.image)
        if (shown["block"], shown["frame"]) != (frame.block, frame.frame_in_shot):
            self.problems.append(f"{self.name}: frame {frame.index} of block {frame.block} shows {shown}")

    def _cut(self) -> None:
        while not self._stop.wait(self._cut_every_s):
            self._num_cuts += 1
            text = f"cut {self._num_cuts} of {self.name}"
            try:
                self._timed("cut", self.client.cut, text)
                self.acknowledged.add(text)
            except ss.ClosedError:
                return
            except ss.BridgeError as error:
                self.faults[type(error).__name__] += 1


def seen(watchers: list[Watcher], epoch: int, num: int = 3) -> bool:
    return all(watcher.epochs[epoch] >= num or watcher.problems for watcher in watchers)


def live_epoch(servers: Servers) -> int:
    """Of the server that runs now, once it has written its connection file."""
    path = servers.runtime / "default.json"

    def read() -> int:
        with contextlib.suppress(ss.BridgeError):
            connection = auth.read_connection(path)
            return connection.epoch if connection.pid == servers.pids[-1] else 0
        return 0

    return wait_until(read, 2 * PATIENCE_S)


def rounds(servers: Servers, watchers: list[Watcher], kills: int, dice: random.Random) -> Counter[str]:
    """Kill the server ``kills`` times, at a random moment of a random story."""
    done: Counter[str] = Counter()
    for number in range(kills):
        # The first few have one of each, so that a short run has them all.
        story = ["plain", "stopped", "full shared memory", "other version"][number % 4]
        epoch = live_epoch(servers)
        if story == "stopped":
            wait_until(lambda epoch=epoch: seen(watchers, epoch), 2 * PATIENCE_S)
            servers.signal(signal.SIGSTOP)
            time.sleep(dice.uniform(0.2, 3.5))
            if dice.random() < 0.5:  # else it is killed while it stands
                servers.signal(signal.SIGCONT)
                time.sleep(dice.uniform(0.0, 0.5))
        elif story == "other version":
            # The one before this speaks another version: nobody gets in, and nobody hangs.
            wait_until(lambda: all(isinstance(one.client.error, faults.VersionError) for one in watchers))
        else:
            wait_until(lambda epoch=epoch: seen(watchers, epoch), 2 * PATIENCE_S)
        time.sleep(dice.uniform(0.0, 0.3))
        servers.end(signal.SIGKILL)
        done[story] += 1
        time.sleep(dice.choice([0.0, dice.uniform(0.0, 1.0)]))
        following = ["plain", "stopped", "full shared memory", "other version"][(number + 1) % 4]
        extra = {"full shared memory": ["--full-shm"], "other version": ["--protocol", "9"]}.get(following, [])
        servers.start(*([] if number == kills - 1 else extra))
        if any(watcher.problems for watcher in watchers):
            break
    epoch = live_epoch(servers)
    wait_until(lambda: seen(watchers, epoch), 2 * PATIENCE_S)
    return done


def check_cuts(servers: Servers, watchers: list[Watcher]) -> dict[str, int]:
    """Of all cuts, what the servers did."""
    cuts = servers.cuts()
    done = Counter(cut["text"] for cut in cuts)
    acknowledged = set().union(*(watcher.acknowledged for watcher in watchers))
    assert [cut for cut in cuts if cut["server"] != cut["meant_for"]] == [], "a cut for a server before this one"
    assert [cut for cut in cuts if cut["age_ms"] > cut["ttl_ms"] + 100] == [], "a cut after its time"
    assert [text for text, times in done.items() if times > 1] == [], "a cut done twice"
    assert acknowledged <= set(done), "an acknowledged cut that no server has done"
    tried = sum(watcher._num_cuts for watcher in watchers)
    return {"asked": tried, "acknowledged": len(acknowledged), "done": len(cuts), "stale or twice": 0}


def revoked_key(servers: Servers, folder: Path, stalls: Stalls) -> dict[str, float]:
    """A client whose key is taken off the list is turned out, no call of it hangs, and it is back once the key is."""
    for name in ("server", "client"):
        auth.generate_keys(folder, name)
    listed = folder / "allowed/director/client.key"
    listed.parent.mkdir(parents=True)
    listed.write_bytes((folder / "client.key").read_bytes())
    servers.start("--keys", folder / "server.key_secret", "--allow", folder / "allowed")
    live_epoch(servers)
    endpoint = auth.read_connection(servers.runtime / "default.json").ctl
    keys = {"keys": folder / "client.key_secret", "server_key": folder / "server.key"}
    with ss.connect(endpoint, role="director", timeout=PATIENCE_S, **keys) as client:
        client.cut("with a key")
        listed.unlink()
        longest = 0.0
        while not isinstance(client.error, faults.AuthError):
            began = time.monotonic()
            with contextlib.suppress(ss.BridgeError):
                client.status()
            longest = max(longest, time.monotonic() - began - stalls.late_since(began))
            time.sleep(0.02)
        began = time.monotonic()
        try:
            client.cut("without a key")
            raise AssertionError("a revoked key was good for a cut")
        except ss.BridgeError:
            longest = max(longest, time.monotonic() - began - stalls.late_since(began))
        listed.write_bytes((folder / "client.key").read_bytes())
        assert client.wait_connected(PATIENCE_S)
        client.cut("with a key again", ttl_ms=10_000)
    assert longest < CALL_LIMIT_S, longest
    servers.end(signal.SIGTERM)
    return {"longest_call_s": round(longest, 2)}


def run(folder: Path, *, kills: int, seed: int) -> dict:
    """The whole run in ``folder``; what happened, in figures. Raises AssertionError when something is wrong."""
    dice = random.Random(seed)
    process = psutil.Process()
    began = time.monotonic()
    servers = Servers(folder)
    with contextlib.ExitStack() as ends, Stalls() as stalls:
        ends.callback(servers.kill)
        servers.start()
        live_epoch(servers)
        descriptors = process.num_fds()
        watchers = [
            Watcher("fast", stalls, mode="latest", nap_s=0.0, cut_every_s=0.11),
            Watcher("slow", stalls, mode="queue", nap_s=0.3, cut_every_s=0.37),
        ]
        try:
            done = rounds(servers, watchers, kills, dice)
        finally:
            for watcher in watchers:
                watcher.close()
        problems = [problem for watcher in watchers for problem in watcher.problems]
        assert not problems, problems
        servers.end(signal.SIGTERM)
        left_open = process.num_fds() - descriptors
        cuts = check_cuts(servers, watchers)
        keys = revoked_key(servers, folder, stalls)
        assert servers.segments() == []
        assert left_open <= 0, f"{left_open} descriptors are still open"
        left = sorted(path.name for path in servers.runtime.iterdir())
        assert left == ["default.lock"], left
    return {
        "seed": seed,
        "kills": sum(done.values()),
        "stories": dict(done),
        "seconds": round(time.monotonic() - began, 1),
        "frames": {watcher.name: sum(watcher.epochs.values()) for watcher in watchers},
        "frames_in_shared_memory": {watcher.name: watcher.shared for watcher in watchers},
        "servers_seen": {watcher.name: len(watcher.epochs) for watcher in watchers},
        "longest_s": {watcher.name: {k: round(v, 2) for k, v in watcher.longest_s.items()} for watcher in watchers},
        "machine_late_s": round(stalls.late_s, 2),
        "faults": {watcher.name: dict(watcher.faults) for watcher in watchers},
        "cuts": cuts,
        "revoked_key": keys,
    }
