"""The narrator's vision: story events to a server of beats, the film's newest picture back. Never makes the game wait.

Without a server the game plays on and the last picture stays. When one appears (or comes back), it is told the facts
and the latest event, and shows where the story is now.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

import shotstream
from shotstream.bridge.client import Client
from shotstream.bridge.remote import RemoteReceipt

_LOOK_EVERY_S = 0.1


class Vision:
    """Tells events from a thread of its own and takes frames in another.

    Args:
        name: of the server on this machine.

    Attributes:
        image: the newest picture, uint8 ``(height, width, 3)``, or None before the first.
        status: one line for the player.
        told: names of the events that the server accepted, in order.
    """

    def __init__(self, *, name: str = "default") -> None:
        self.image: Any = None
        self.num_frames = 0
        self.status = "looking for a server"
        self.told: list[str] = []
        self._name = name
        self._facts: dict[str, str | bool] = {}
        self._latest = ""
        self._events: queue.Queue[str] = queue.Queue()
        self._receipt: RemoteReceipt | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vision", daemon=True)
        self._thread.start()

    def tell(self, beat: str, facts: Mapping[str, str | bool]) -> None:
        """Something happened: new facts, and the beat to trigger ("" for none). Returns at once."""
        self._facts = {**self._facts, **facts}
        self._latest = beat or self._latest
        self._events.put(beat)

    @property
    def caught_up(self) -> bool:
        """The picture shows the latest event, or never will."""
        if not self.status.startswith("live"):
            return True
        receipt = self._receipt
        shown = receipt is None or receipt.final or receipt.error is not None
        return shown and not self._events.unfinished_tasks

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                client = shotstream.connect(name=self._name, role="trigger", client="quest_game", timeout=1.0)
            except shotstream.BridgeError:
                self.status = "no server yet; the quest goes on without pictures"
                self._closing.wait(_LOOK_EVERY_S)
                continue
            with client:
                threading.Thread(target=self._take_frames, args=[client], name="vision-frames", daemon=True).start()
                self._talk(client)

    def _talk(self, client: Client) -> None:
        greeted = 0
        while not self._closing.is_set():
            if not client.connected:
                self.status = "the server is away; the last picture stays"
                self._closing.wait(_LOOK_EVERY_S)
                continue
            if greeted != client.connections:  # a server that knows nothing yet, or one that came back
                greeted = client.connections
                self._forget_old_events()
                self._send(client, self._latest)
                continue
            try:
                beat = self._events.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            self._send(client, beat)
            self._events.task_done()

    def _send(self, client: Client, beat: str) -> None:
        try:
            if self._facts:
                client.set(**self._facts)
            if beat:
                self._receipt = client.trigger(beat)
                self.told.append(beat)
            self.status = "live"
        except shotstream.ScriptError as error:  # not now, says the story: a cooldown, or a condition
            self.status = f"live ({error})"
        except shotstream.BridgeError as error:
            self.status = str(error)

    def _forget_old_events(self) -> None:
        while not self._events.empty():
            self._events.get()
            self._events.task_done()

    def _take_frames(self, client: Client) -> None:
        try:
            for frame in client.frames(mode="latest"):
                self.image = frame.image
                self.num_frames += 1
        except shotstream.ShotstreamError:
            return  # the client was closed
