"""The Python client: prompts to a server, frames from it, in the words of ``Film``.

    import shotstream

    with shotstream.connect() as client:
        receipt = client.cut("wide shot: a red fox walks through a snowy forest")
        for frame in client.frames(count=48):
            show(frame.image)
        print(receipt.latency_ms)

After an outage the client comes back by itself; frames go on, and what was asked for meanwhile fails instead of
happening late.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ..errors import BridgeError, ClosedError, ConfigError, ScriptError
from . import auth
from .faults import ConnectionLost, Timeout
from .incoming import COMMAND_TTL_MS, Frames, LocationWish, Stream, Wish
from .link import Address, Link
from .messages import (
    Ack,
    BeatInfo,
    BeatRequest,
    ClearRequest,
    CutRequest,
    Event,
    FrameHeader,
    HoldRequest,
    Message,
    Mode,
    OnDisconnect,
    OriginName,
    PinRequest,
    PixelFormatName,
    PromptRequest,
    QueryRequest,
    Request,
    Result,
    ResumeRequest,
    Role,
    Scalar,
    State,
    Status,
    StreamInfo,
    Subject,
    UnpinRequest,
    VarRequest,
    When,
    WorldRequest,
)
from .remote import RemoteReceipt
from .story_client import StoryCommands

_KEPT_EVENTS = 256
_KEPT_RECEIPTS = 1024


class Client(StoryCommands):
    """A connection to a server. Made by ``shotstream.connect``; use it in a ``with`` statement or call ``close``.

    All methods may be called from any thread. A command waits for the server's word that it was taken, at most
    its ``ttl_ms`` and a little more, and returns a receipt.
    """

    def __init__(
        self,
        find: Callable[[], Address],
        *,
        role: Role,
        name: str,
        engine: str = "python",
        on_disconnect: OnDisconnect = "keep",
    ) -> None:
        self.changed = threading.Condition()
        """Held while anything here changes, and notified then."""
        self._receipts: OrderedDict[int, RemoteReceipt] = OrderedDict()
        self._early: OrderedDict[int, list[State]] = OrderedDict()
        self._events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._stream: Stream | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._epoch = 0
        self._base = 0
        self._newest = -1
        self.role: Role = role
        self._link = Link(
            find,
            role=role,
            client=name,
            engine=engine,
            on_disconnect=on_disconnect,
            on_message=self._on_message,
            on_frame=self._on_frame,
            on_change=self._on_change,
        )
        self._link.start()

    # --- the connection ------------------------------------------------------------------------------------------

    def wait_connected(self, timeout: float | None = None, *, or_refused: bool = False) -> bool:
        """Wait for the connection; False after ``timeout`` seconds, or with ``or_refused`` at once when the server says
        no (``error`` has why). Raises ClosedError when the client is closed."""
        link = self._link
        with self.changed:
            self.changed.wait_for(lambda: self.connected or link._closing or (or_refused and link.refused), timeout)
            if self._link._closing:
                raise ClosedError("the client is closed; connect again")
            return self.connected

    @property
    def connected(self) -> bool:
        return self._link.welcome is not None

    @property
    def error(self) -> BridgeError | None:
        """Why there is no connection; None while there is one."""
        return self._link.error

    @property
    def connections(self) -> int:
        """How often the connection came up."""
        return self._link.connections

    @property
    def stream(self) -> StreamInfo:
        """Size and rate of the pictures. Raises ConnectionLost before the first connection."""
        welcome = self._link._last
        if welcome is None:
            raise ConnectionLost(f"not connected yet ({self.error}); wait for the connection first")
        return welcome.stream

    @property
    def rtt_ms(self) -> float:
        """Shortest recent round trip to the server."""
        return self._link.offset.best.rtt_ns / 1e6

    @property
    def server_ns(self) -> int:
        """Now on the server's clock, to within half of ``rtt_ms``."""
        return self._link.server_ns()

    def reconnect(self) -> None:
        """Make the connection anew now, for a program that knows the network or the server has just come back."""
        self._link.reconnect()

    def close(self) -> None:
        """Leave the server. Frames already handed out stay valid."""
        self._link.close()
        with self.changed:
            self.changed.notify_all()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- commands ------------------------------------------------------------------------------------------------

    def cut(
        self,
        text: str,
        when: When = "block",
        frames: int | None = None,
        *,
        seed: int | None = None,
        ttl_ms: int = COMMAND_TTL_MS,
    ) -> RemoteReceipt:
        """Open a new shot; see ``Film.cut``. Needs the role director.

        Raises:
            ScriptError: the film refuses it. Fault: the server does, or does not answer. Nothing has changed then,
            except after ``Timeout``, where it is not known.
        """
        return self._command("cut", CutRequest, ttl_ms, text=text, when=when, frames=frames, seed=seed)

    def prompt(self, text: str, *, ttl_ms: int = COMMAND_TTL_MS) -> RemoteReceipt:
        """Change the words of the shot on screen without a cut. Needs the role director."""
        return self._command("prompt", PromptRequest, ttl_ms, text=text)

    def hold(self, *, ttl_ms: int = COMMAND_TTL_MS) -> RemoteReceipt:
        """Stop making frames at the next block boundary. Needs the role operator."""
        return self._command("hold", HoldRequest, ttl_ms)

    def resume(self, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Lift a hold. Needs the role operator."""
        self._ask(ResumeRequest, ttl_ms)

    def clear(self, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Drop every cut that has not begun. Needs the role director."""
        self._ask(ClearRequest, ttl_ms)

    def world(self, text: str, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Set the global caption of the shots opened from now on. Needs the role director."""
        self._ask(WorldRequest, ttl_ms, text=text)

    def pin(self, shot: int | None = None, frame: int | None = None, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Keep a shot, or one frame of it, in the memory of later shots. Needs the role director."""
        self._ask(PinRequest, ttl_ms, shot=shot, frame=frame)

    def unpin(self, shot: int | None = None, frame: int | None = None, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Forget a pin; without arguments, all of them. Needs the role director."""
        self._ask(UnpinRequest, ttl_ms, shot=shot, frame=frame)

    def trigger(
        self,
        beat: str,
        params: Mapping[str, Scalar] | None = None,
        /,
        *,
        ttl_ms: int = COMMAND_TTL_MS,
        **more: Scalar,
    ) -> RemoteReceipt:
        """Make a beat of the story happen, now or when its turn comes. Needs the role trigger, or the beat's own.

        Args:
            params: its parameters; also as keywords: ``client.trigger("arrive", place="in the city")``.

        Raises:
            BeatRefused: not now; with a cooldown, its ``retry_s`` says when. Denied: not for this role.
            ScriptError: no such beat, or a wrong parameter. Other faults as of ``cut``.
        """
        return self._command("beat", BeatRequest, ttl_ms, name=beat, params={**(params or {}), **more})

    def set(
        self, values: Mapping[str, Scalar] | None = None, /, *, ttl_ms: int = COMMAND_TTL_MS, **more: Scalar
    ) -> None:
        """Set variables of the story, all or none: ``client.set(weather="fog")``. Needs the role trigger."""
        self._ask(VarRequest, ttl_ms, set={**(values or {}), **more})

    def beats(self, *, ttl_ms: int = COMMAND_TTL_MS) -> tuple[BeatInfo, ...]:
        """The beats that this client may trigger: parameters, and whether now. Raises ScriptError without a story."""
        return told(self._ask(QueryRequest, ttl_ms, what=("beats",)), "beats")

    def variables(self, *, ttl_ms: int = COMMAND_TTL_MS) -> dict[str, Scalar]:
        """The variables of the story and their values. Raises ScriptError without a story."""
        return told(self._ask(QueryRequest, ttl_ms, what=("variables",)), "variables")

    def status(self, *, ttl_ms: int = COMMAND_TTL_MS) -> Status:
        """The server's figures."""
        answer = self._ask(QueryRequest, ttl_ms)
        assert isinstance(answer, Result) and answer.status is not None
        return answer.status

    def events(self) -> list[Event]:
        """What happened since the last call: shots that began, frames dropped, engine failures, shutdown."""
        with self.changed:
            events = list(self._events)
            self._events.clear()
            return events

    # --- frames --------------------------------------------------------------------------------------------------

    def frames(
        self,
        *,
        count: int | None = None,
        mode: Mode = "latest",
        queue: int = 8,
        format: PixelFormatName = "rgb8",
        origin: OriginName = "top_left",
        location: LocationWish = "auto",
        copy: bool = True,
        timeout: float | None = None,
    ) -> Frames:
        """Frames as they come; waits for the next one, through outages and holds.

        Args:
            count: stop after as many; None goes on until the client is closed.
            mode: "latest" skips to the newest frame when the consumer is slow; "queue" keeps the newest ``queue``
                frames for it; "lossless" skips nothing until the server's spool is full.
            format: order of the bytes: "rgb8", "rgba8", "bgra8", or "nv12" (BT.709, limited range).
            origin: which row comes first in memory, "top_left" or "bottom_left".
            location: "auto" reads pixels in shared memory when the server is on this machine; "shm" raises when it
                cannot; "inline" gets them with the message.
            copy: False lends frames where they lie in shared memory, without a copy: use one at once, then ask
                ``frame.is_whole()``. True gives frames that are safe to keep.
            timeout: seconds to wait for a frame.

        Raises:
            Timeout: no frame came within ``timeout``. BridgeError: the server refuses the stream.
            ClosedError: the client is closed. ConfigError: an argument cannot work.
        """
        if count is not None and count < 1:
            raise ConfigError(f"count={count} is below 1; leave it out for all frames")
        stream = self.open_stream(mode=mode, queue=queue, format=format, origin=origin, location=location, copy=copy)
        return Frames(stream, count, timeout)

    def open_stream(
        self,
        *,
        mode: Mode = "latest",
        queue: int = 8,
        format: PixelFormatName = "rgb8",
        origin: OriginName = "top_left",
        location: LocationWish = "auto",
        copy: bool = True,
    ) -> Stream:
        """A stream to poll, for event loops; ``frames`` is the simple way.

        Raises:
            ConfigError: the client has an open stream, or an argument is outside its range.
        """
        wish = Wish(mode=mode, queue=queue, format=format, origin=origin, location=location, copy=copy)
        with self.changed:
            if self._stream is not None:
                raise ConfigError(
                    "this client is iterating over frames already; finish that, or connect another client"
                )
            self._stream = stream = Stream(self, self._link, wish)
        stream.subscribe()
        return stream

    def number(self, frame: int) -> int:
        """The number that the server's newest frame gets here, which goes on where the server before it was; for the
        stream, under the lock."""
        self._newest = max(self._newest, self._base + frame)
        return self._base + frame

    def is_open(self, stream: Stream) -> bool:
        """``stream`` has not been given back."""
        return self._stream is stream

    def drop_stream(self, stream: Stream) -> bool:
        """Forget ``stream``; False when that was done before."""
        with self.changed:
            was_open = self._stream is stream
            self._stream = None if was_open else self._stream
            return was_open

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """``callback`` runs in the client's thread on every change. Returns the way to stop it."""
        with self.changed:
            self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    # --- inside --------------------------------------------------------------------------------------------------

    def start(self, kind: type[Request], ttl_ms: int, **fields: object) -> Future[Message]:
        """Send a request; for the asyncio client."""
        return self._link.request(kind, ttl_ms=ttl_ms, **fields)[1]

    def start_command(
        self, name: str, kind: type[Request], ttl_ms: int, /, **fields: object
    ) -> tuple[Future[Message], Callable[[Message], RemoteReceipt]]:
        """Send a command; the answer to come, and what makes a receipt of it."""
        number, future = self._link.request(kind, ttl_ms=ttl_ms, **fields)
        return future, lambda answer: self._receipt(name, number, answer)

    def _command(self, name: str, kind: type[Request], ttl_ms: int, /, **fields: object) -> RemoteReceipt:
        future, finish = self.start_command(name, kind, ttl_ms, **fields)
        return finish(_result(future, ttl_ms))

    def _ask(self, kind: type[Request], ttl_ms: int, **fields: object) -> Message:
        return _result(self.start(kind, ttl_ms, **fields), ttl_ms)

    def _receipt(self, name: str, request: int, answer: Message) -> RemoteReceipt:
        assert isinstance(answer, Ack)
        receipt = RemoteReceipt(name, answer.cmd, self.changed)
        with self.changed:
            for message in self._early.pop(request, []):
                receipt.move(message)
            self._receipts[request] = receipt
            while len(self._receipts) > _KEPT_RECEIPTS:
                self._receipts.popitem(last=False)
        return receipt

    def _on_message(self, message: State | Event) -> None:
        with self.changed:
            if message.frame >= 0:
                message = msgspec.structs.replace(message, frame=self._base + message.frame)
            if isinstance(message, Event):
                self._events.append(message)
            elif message.id in self._receipts:
                receipt = self._receipts[message.id]
                receipt.move(message)
                if receipt.final:
                    del self._receipts[message.id]
            else:  # it overtook the thread that waits for the ack
                self._early.setdefault(message.id, []).append(message)
                while len(self._early) > _KEPT_RECEIPTS:
                    self._early.popitem(last=False)
        self._tell()

    def _on_frame(self, header: FrameHeader, pixels: memoryview | None, arrived_ns: int) -> None:
        with self.changed:
            stream = self._stream
            if stream is not None:
                stream.put(header, pixels, arrived_ns)
            self.changed.notify_all()
            listeners = tuple(self._listeners)
        for callback in listeners:
            callback()

    def _on_change(self) -> None:
        welcome = self._link.welcome
        with self.changed:
            if welcome is not None and self._epoch not in (0, welcome.epoch):
                lost = ConnectionLost("the server was restarted; what this command asked for is gone with it")
                for receipt in self._receipts.values():
                    receipt.error = lost
                self._receipts.clear()
                self._early.clear()
                self._base = self._newest + 1
            stream = self._stream
            self._epoch = welcome.epoch if welcome is not None else self._epoch
        if welcome is not None and stream is not None:
            stream.subscribe()
        self._tell()

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()
            listeners = tuple(self._listeners)
        for callback in listeners:
            callback()


def told(answer: Message, subject: Subject) -> Any:
    """What an answer to ``query`` has about a subject. Raises ScriptError when the server has nothing of the kind."""
    found = getattr(answer, subject)
    if found is None:
        raise ScriptError(f"this server has no {subject}; start it with 'shotstream serve --beats FILE'")
    return found


def _result(future: Future[Message], ttl_ms: int) -> Message:
    try:
        # The link ends every request by itself; this bound only matters if its thread died.
        return future.result(ttl_ms / 1e3 + 1.0)
    except FutureTimeout:
        raise Timeout(f"no answer within {ttl_ms} ms; the connection does not respond") from None


def make_client(
    endpoint: str | None,
    *,
    name: str,
    role: Role,
    token: str | None,
    keys: Path | None,
    server_key: Path | None,
    client: str,
    on_disconnect: OnDisconnect,
) -> Client:
    """A client that begins to connect; see ``shotstream.connect``."""
    if endpoint is None:
        if token is not None or keys is not None:
            raise ConfigError("token and keys go with an endpoint; leave them out to use the connection file")
        path = auth.connection_path(name)

        def find() -> Address:
            connection = auth.read_connection(path)
            return Address(ctl=connection.ctl, token=connection.tokens.get(role, ""))

        return Client(find, role=role, name=client, on_disconnect=on_disconnect)
    if (keys is None) != (server_key is None):
        raise ConfigError("keys and server_key go together: your .key_secret file and the server's .key file")
    pair = auth.load_keys(keys, server=server_key) if keys is not None else None
    _, port = auth.check_bind(endpoint, has_keys=pair is not None)
    if port == 0:
        raise ConfigError(
            f"endpoint={endpoint!r} has no port; use the one that 'shotstream serve' printed for commands"
        )
    address = Address(ctl=endpoint, token=token or "", keys=pair)
    return Client(lambda: address, role=role, name=client, on_disconnect=on_disconnect)
