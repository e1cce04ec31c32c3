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

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from ..errors import BridgeError, ClosedError, ConfigError
from . import auth
from .faults import ConnectionLost, StaleCommand, Timeout
from .link import Address, Link
from .messages import (
    MAX_WINDOW,
    Ack,
    ClearRequest,
    CommandState,
    CutRequest,
    Event,
    Flag,
    FrameHeader,
    HoldRequest,
    Message,
    Mode,
    OriginName,
    PinRequest,
    PixelFormatName,
    PromptRequest,
    QueryRequest,
    Request,
    Result,
    ResumeRequest,
    Role,
    State,
    Status,
    StreamInfo,
    Subscribed,
    SubscribeRequest,
    UnpinRequest,
    UnsubscribeRequest,
    When,
    WorldRequest,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
else:
    Image = Any

COMMAND_TTL_MS = 2000
_KEPT_EVENTS = 256
_KEPT_RECEIPTS = 1024
_ORDER: tuple[CommandState, ...] = ("queued", "started", "generated", "on_air", "presented")


@dataclass(frozen=True, kw_only=True)
class RemoteFrame:
    """One frame as it came from the server.

    Attributes:
        planes: uint8 views of the received message, read-only, safe to keep: ``(height, width, 3 or 4)``, or for NV12
            luma ``(height, width)`` and chroma ``(height / 2, width / 2, 2)``. Rows are in memory order.
        format, origin: as asked for.
        index, shot, block, frame_in_shot, revision, seed, time_s: as in ``Frame``.
        command: number of the newest command that first shows here, 0 for none; see ``RemoteReceipt.command``.
        flags: what is special about it.
        dropped: frames left out for this client since the one before.
        age_ms: from its release at the server to its arrival here.
        epoch: of the server that sent it.
    """

    planes: tuple[Image, ...]
    format: PixelFormatName
    origin: OriginName
    index: int
    shot: int
    block: int
    frame_in_shot: int
    revision: int
    seed: int
    time_s: float
    command: int
    flags: Flag
    dropped: int
    age_ms: float
    epoch: int

    @property
    def image(self) -> Image:
        """The first plane: RGB, RGBA or BGRA, or the luma of NV12."""
        return self.planes[0]

    @property
    def is_cut(self) -> bool:
        """First frame of a shot."""
        return bool(self.flags & Flag.SHOT_START)


class RemoteReceipt:
    """Follows one command on the server; safe to read from any thread.

    Attributes:
        command: its number in the film; frames carry it.
        kind: "cut", "prompt" or "hold".

    States: *queued*; *started*, the engine works on the first block that it affects; *generated*; *on_air*, the server
    has released the first frame that shows it; *presented*, a client has shown that frame. Or *failed*, or
    *superseded*.
    """

    def __init__(self, kind: str, command: int, changed: threading.Condition) -> None:
        self.kind, self.command = kind, command
        self.state: CommandState = "queued"
        self.frame: int | None = None
        """Index of the first frame that it affects."""
        self.times_ms: dict[CommandState, float] = {}
        """Milliseconds from the request's arrival at the server to each state."""
        self.note = ""
        self.error: BridgeError | None = None
        self._changed = changed

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from the request's arrival at the server to the first frame on screen; None before it."""
        return self.times_ms.get("presented")

    @property
    def final(self) -> bool:
        """No further change will come."""
        return self.state in ("presented", "failed", "superseded")

    def wait(self, state: CommandState = "presented", timeout: float | None = None) -> bool:
        """Wait until ``state`` is reached. False after ``timeout`` seconds, or when it cannot be reached any more.

        Raises:
            BridgeError: the server that had the command is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.reached(state) or self.final or self.error is not None, timeout)
            if not self.reached(state) and self.error is not None:
                raise self.error
            return self.reached(state)

    def reached(self, state: CommandState) -> bool:
        """The command has been in ``state``."""
        if state in _ORDER and self.state in _ORDER:
            return _ORDER.index(self.state) >= _ORDER.index(state)
        return self.state == state or state in self.times_ms

    def _move(self, message: State) -> None:
        self.state = message.state
        self.times_ms = dict(message.lat)
        self.frame = message.frame if message.frame >= 0 else self.frame
        self.note = message.text or self.note

    def __repr__(self) -> str:
        frame = f" at frame {self.frame}" if self.frame is not None else ""
        return f"<RemoteReceipt {self.command} {self.kind} {self.state}{frame}>"


class Client:
    """A connection to a server. Made by ``shotstream.connect``; use it in a ``with`` statement or call ``close``.

    All methods may be called from any thread. A command waits for the server's word that it was taken, at most
    its ``ttl_ms`` and a little more, and returns a receipt.
    """

    def __init__(self, find: Callable[[], Address], *, role: Role, name: str, engine: str = "python") -> None:
        self._changed = threading.Condition()
        self._receipts: OrderedDict[int, RemoteReceipt] = OrderedDict()
        self._early: OrderedDict[int, list[State]] = OrderedDict()
        self._events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._stream: Stream | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._epoch = 0
        self.role: Role = role
        self._link = Link(
            find,
            role=role,
            client=name,
            engine=engine,
            on_message=self._on_message,
            on_frame=self._on_frame,
            on_change=self._on_change,
        )
        self._link.start()

    # --- the connection ------------------------------------------------------------------------------------------

    def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait for the connection; False after ``timeout`` seconds. Raises ClosedError when the client is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.connected or self._link._closing, timeout)
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

    def reconnect(self) -> None:
        """Make the connection anew now, for a program that knows the network or the server has just come back."""
        self._link.reconnect()

    def close(self) -> None:
        """Leave the server. Frames already handed out stay valid."""
        self._link.close()
        with self._changed:
            self._changed.notify_all()

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

    def status(self, *, ttl_ms: int = COMMAND_TTL_MS) -> Status:
        """The server's figures."""
        answer = self._ask(QueryRequest, ttl_ms)
        assert isinstance(answer, Result) and answer.status is not None
        return answer.status

    def events(self) -> list[Event]:
        """What happened since the last call: shots that began, frames dropped, engine failures, shutdown."""
        with self._changed:
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
        timeout: float | None = None,
    ) -> Frames:
        """Frames as they come; waits for the next one, through outages and holds.

        Args:
            count: stop after as many; None goes on until the client is closed.
            mode: "latest" skips to the newest frame when the consumer is slow; "queue" keeps the newest ``queue``
                frames for it; "lossless" skips nothing until the server's spool is full.
            format: order of the bytes: "rgb8", "rgba8", "bgra8", or "nv12" (BT.709, limited range).
            origin: which row comes first in memory, "top_left" or "bottom_left".
            timeout: seconds to wait for a frame.

        Raises:
            Timeout: no frame came within ``timeout``. BridgeError: the server refuses the stream.
            ClosedError: the client is closed. ConfigError: an argument cannot work.
        """
        if count is not None and count < 1:
            raise ConfigError(f"count={count} is below 1; leave it out for all frames")
        stream = self.open_stream(mode=mode, queue=queue, format=format, origin=origin)
        return Frames(stream, count, timeout)

    def open_stream(
        self,
        *,
        mode: Mode = "latest",
        queue: int = 8,
        format: PixelFormatName = "rgb8",
        origin: OriginName = "top_left",
    ) -> Stream:
        """A stream to poll, for event loops; ``frames`` is the simple way.

        Raises:
            ConfigError: the client has an open stream, or an argument is outside its range.
        """
        if not 1 <= queue <= MAX_WINDOW:
            raise ConfigError(f"queue={queue} is outside 1..{MAX_WINDOW}")
        for name, value, known in (
            ("mode", mode, get_args(Mode)),
            ("format", format, get_args(PixelFormatName)),
            ("origin", origin, get_args(OriginName)),
        ):
            if value not in known:
                raise ConfigError(f"{name}={value!r} is not known; use one of {', '.join(known)}")
        with self._changed:
            if self._stream is not None:
                raise ConfigError(
                    "this client is iterating over frames already; finish that, or connect another client"
                )
            self._stream = stream = Stream(self, self._link, mode, queue, format, origin)
        stream.subscribe()
        return stream

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """``callback`` runs in the client's thread on every change. Returns the way to stop it."""
        with self._changed:
            self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    # --- inside --------------------------------------------------------------------------------------------------

    def start(self, kind: type[Request], ttl_ms: int, **fields: object) -> Future[Message]:
        """Send a request; for the asyncio client."""
        return self._link.request(kind, ttl_ms=ttl_ms, **fields)[1]

    def start_command(
        self, name: str, kind: type[Request], ttl_ms: int, **fields: object
    ) -> tuple[Future[Message], Callable[[Message], RemoteReceipt]]:
        """Send a command; the answer to come, and what makes a receipt of it."""
        number, future = self._link.request(kind, ttl_ms=ttl_ms, **fields)
        return future, lambda answer: self._receipt(name, number, answer)

    def _command(self, name: str, kind: type[Request], ttl_ms: int, **fields: object) -> RemoteReceipt:
        future, finish = self.start_command(name, kind, ttl_ms, **fields)
        return finish(_result(future, ttl_ms))

    def _ask(self, kind: type[Request], ttl_ms: int, **fields: object) -> Message:
        return _result(self.start(kind, ttl_ms, **fields), ttl_ms)

    def _receipt(self, name: str, request: int, answer: Message) -> RemoteReceipt:
        assert isinstance(answer, Ack)
        receipt = RemoteReceipt(name, answer.cmd, self._changed)
        with self._changed:
            for message in self._early.pop(request, []):
                receipt._move(message)
            self._receipts[request] = receipt
            while len(self._receipts) > _KEPT_RECEIPTS:
                self._receipts.popitem(last=False)
        return receipt

    def _on_message(self, message: State | Event) -> None:
        with self._changed:
            if isinstance(message, Event):
                self._events.append(message)
            elif message.id in self._receipts:
                receipt = self._receipts[message.id]
                receipt._move(message)
                if receipt.final:
                    del self._receipts[message.id]
            else:  # it overtook the thread that waits for the ack
                self._early.setdefault(message.id, []).append(message)
                while len(self._early) > _KEPT_RECEIPTS:
                    self._early.popitem(last=False)
        self._tell()

    def _on_frame(self, header: FrameHeader, pixels: memoryview, arrived_ns: int) -> None:
        with self._changed:
            stream = self._stream
            if stream is not None:
                stream.put(header, pixels, arrived_ns)
        self._tell()

    def _on_change(self) -> None:
        welcome = self._link.welcome
        with self._changed:
            if welcome is not None and self._epoch not in (0, welcome.epoch):
                lost = ConnectionLost("the server was restarted; what this command asked for is gone with it")
                for receipt in self._receipts.values():
                    receipt.error = lost
                self._receipts.clear()
                self._early.clear()
            stream = self._stream
            self._epoch = welcome.epoch if welcome is not None else self._epoch
        if welcome is not None and stream is not None:
            stream.subscribe()
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for callback in listeners:
            callback()


class Stream:
    """Frames on their way to one consumer: ``release`` the last one, poll ``ready``, ``take``; ``close`` ends it."""

    def __init__(
        self, client: Client, link: Link, mode: Mode, queue: int, format: PixelFormatName, origin: OriginName
    ) -> None:
        self._client, self._link = client, link
        self.mode, self._queue, self._format, self._origin = mode, queue, format, origin
        self._id: int | None = None
        self._epoch = 0
        self._frames: deque[RemoteFrame] = deque()
        self._last_index = -1
        self._taken: int | None = None
        self._error: Exception | None = None
        self._fresh = False

    @property
    def ready(self) -> bool:
        """``take`` returns or raises at once."""
        return bool(self._frames) or self._error is not None or self._link._closing

    def take(self) -> RemoteFrame:
        """The next frame.

        Raises:
            BridgeError: the server refused the stream. ClosedError: the client is closed. Timeout: none is there.
        """
        with self._client._changed:
            if self._error is not None:
                raise self._error
            if self._link._closing:
                raise ClosedError("the client is closed; connect again")
            if not self._frames:
                raise Timeout("no frame is there; poll ready first")
            frame = self._frames.popleft()
            self._taken = stream = self._id
        if stream is not None:
            self._link.credit(st=stream, rel=frame.index, presented_ns=self._link.server_ns())
        return frame

    def release(self) -> None:
        """The frame taken last is done with, which makes room for another. Call it before waiting for the next."""
        with self._client._changed:
            taken, self._taken = self._taken, None
        if taken is not None and taken == self._id:
            self._link.credit(st=taken, n=1)

    @property
    def closed(self) -> bool:
        """The stream was given back."""
        return self._client._stream is not self

    def subscribe(self) -> None:
        """Ask the server for the stream, at the beginning and after every outage."""
        welcome = self._link.welcome
        if welcome is None:
            return
        with self._client._changed:
            self._fresh = self._epoch not in (0, welcome.epoch)
            after = -1 if self._fresh else self._last_index
            self._id, self._epoch = None, welcome.epoch
            if self._fresh:
                self._last_index = -1
        try:
            answer = self._link.request(
                SubscribeRequest,
                ttl_ms=COMMAND_TTL_MS,
                mode=self.mode,
                fmt=self._format,
                org=self._origin,
                n=self._queue,
                after=after,
            )[1]
        except ClosedError:
            return
        answer.add_done_callback(self._on_subscribed)

    def close(self) -> None:
        """Give the stream back."""
        with self._client._changed:
            if self._client._stream is not self:
                return
            self._client._stream = None
        with contextlib.suppress(ClosedError, BridgeError):  # without a connection there is no stream to give back
            self._link.request(UnsubscribeRequest, ttl_ms=COMMAND_TTL_MS)

    def _on_subscribed(self, answer: Future[Message]) -> None:
        error = answer.exception()
        with self._client._changed:
            if error is not None:
                # An outage ends this attempt only; the next connection subscribes again.
                if self._link.welcome is not None and not isinstance(error, (ConnectionLost, StaleCommand, Timeout)):
                    self._error = error if isinstance(error, Exception) else None
                self._client._changed.notify_all()
                return
            granted = answer.result()
            assert isinstance(granted, Subscribed)
            self._id = granted.st
            window = {"latest": 1, "queue": granted.window, "lossless": granted.window}[self.mode]
        self._link.credit(st=granted.st, n=window)

    def put(self, header: FrameHeader, pixels: memoryview, arrived_ns: int) -> None:
        """A frame has arrived; called by the client, under its lock."""
        if header.st != self._id:
            return  # of the stream before this one
        planes = _planes(header, pixels)
        if planes is None:
            return
        flags = Flag(header.fl)
        if self._fresh:
            flags |= Flag.DISCONTINUITY
            self._fresh = False
        self._last_index = header.f
        offset_ns = self._link.offset.best.offset_ns
        self._frames.append(
            RemoteFrame(
                planes=planes,
                format=header.fmt,
                origin=header.org,
                index=header.f,
                shot=header.sh,
                block=header.bl,
                frame_in_shot=header.sf,
                revision=header.rev,
                seed=header.seed,
                time_s=header.pts / 1e9,
                command=header.cmd,
                flags=flags,
                dropped=header.drop,
                age_ms=(arrived_ns + offset_ns - header.due) / 1e6,
                epoch=self._epoch,
            )
        )


def _planes(header: FrameHeader, pixels: memoryview) -> tuple[Image, ...] | None:
    """The pixels as arrays, or None when they are not what the header says."""
    import numpy as np

    from .pixels import Origin, PixelFormat, PixelLayout

    try:
        layout = PixelLayout(
            width_px=header.w, height_px=header.h, format=PixelFormat(header.fmt), origin=Origin(header.org)
        )
        if header.str != layout.stride_bytes:
            return None
        return layout.planes(np.frombuffer(pixels.toreadonly(), np.uint8))
    except ConfigError:
        return None


class Frames(Iterator[RemoteFrame]):
    """What ``Client.frames`` returns. It ends with its loop, or with ``close``."""

    def __init__(self, stream: Stream, count: int | None, timeout: float | None) -> None:
        self._stream, self._left, self._timeout = stream, count, timeout

    def __next__(self) -> RemoteFrame:
        stream, changed = self._stream, self._stream._client._changed
        if self._left == 0 or stream.closed:
            self.close()
            raise StopIteration
        stream.release()
        try:
            with changed:
                if not changed.wait_for(lambda: stream.ready, self._timeout):
                    why = stream._client.error or "the film has none to show"
                    raise Timeout(f"no frame within {self._timeout} s ({why})")
            frame = stream.take()
        except BaseException:
            self.close()
            raise
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.close()
        return frame

    def close(self) -> None:
        """Give the stream back, so that the client can open another."""
        self._stream.close()

    def __del__(self) -> None:
        self.close()


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
) -> Client:
    """A client that begins to connect; see ``shotstream.connect``."""
    if endpoint is None:
        if token is not None or keys is not None:
            raise ConfigError("token and keys go with an endpoint; leave them out to use the connection file")
        path = auth.connection_path(name)

        def find() -> Address:
            connection = auth.read_connection(path)
            return Address(ctl=connection.ctl, token=connection.tokens.get(role, ""))

        return Client(find, role=role, name=client)
    if (keys is None) != (server_key is None):
        raise ConfigError("keys and server_key go together: your .key_secret file and the server's .key file")
    pair = auth.load_keys(keys, server=server_key) if keys is not None else None
    _, port = auth.check_bind(endpoint, has_keys=pair is not None)
    if port == 0:
        raise ConfigError(
            f"endpoint={endpoint!r} has no port; use the one that 'shotstream serve' printed for commands"
        )
    address = Address(ctl=endpoint, token=token or "", keys=pair)
    return Client(lambda: address, role=role, name=client)
