"""Frames on their way to one consumer in the client: the stream it polls, and the iterator over that."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ..errors import BridgeError, ClosedError, ConfigError, ShotstreamError
from .faults import ConnectionLost, StaleCommand, Timeout
from .frame_ring import FrameOverrun, RingReader, Ticket
from .link import Link
from .messages import (
    MAX_WINDOW,
    Flag,
    FrameHeader,
    Message,
    Mode,
    OriginName,
    PixelFormatName,
    Subscribed,
    SubscribeRequest,
    UnsubscribeRequest,
)
from .packing import can_share
from .pixels import Origin, PixelFormat, PixelLayout
from .remote import Image, RemoteFrame

if TYPE_CHECKING:
    from .client import Client

log = logging.getLogger("shotstream.bridge")

COMMAND_TTL_MS = 2000
LocationWish = Literal["auto", "inline", "shm"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a consumer asks for; see ``Client.frames``.

    Raises:
        ConfigError: a value is not known, or outside its range.
    """

    mode: Mode = "latest"
    queue: int = 8
    format: PixelFormatName = "rgb8"
    origin: OriginName = "top_left"
    location: LocationWish = "auto"
    copy: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.queue <= MAX_WINDOW:
            raise ConfigError(f"queue={self.queue} is outside 1..{MAX_WINDOW}")
        for name, known in (
            ("mode", get_args(Mode)),
            ("format", get_args(PixelFormatName)),
            ("origin", get_args(OriginName)),
            ("location", get_args(LocationWish)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not known; use one of {', '.join(known)}")


class Stream:
    """Frames on their way to one consumer: ``release`` the last one, poll ``ready``, ``take``; ``close`` ends it."""

    def __init__(self, client: Client, link: Link, wish: Wish) -> None:
        self._client, self._link, self.wish = client, link, wish
        self._id: int | None = None
        self._epoch = 0
        self._frames: deque[tuple[int, RemoteFrame]] = deque()
        self._last = -1
        self._taken: int | None = None
        self._error: Exception | None = None
        self._fresh = False
        self._ring: RingReader | None = None
        self._shares = True
        self._missed, self._missed_flags = 0, Flag(0)

    @property
    def ready(self) -> bool:
        """``take`` returns or raises at once."""
        return bool(self._frames) or self._error is not None or self._link._closing

    def take(self) -> RemoteFrame:
        """The next frame.

        Raises:
            BridgeError: the server refused the stream. ClosedError: the client is closed. Timeout: none is there.
        """
        with self._client.changed:
            if self._error is not None:
                raise self._error
            if self._link._closing:
                raise ClosedError("the client is closed; connect again")
            if not self._frames:
                raise Timeout("no frame is there; poll ready first")
            number, frame = self._frames.popleft()
            self._taken = stream = self._id
            from_here = frame.epoch == self._epoch
        if stream is not None:
            rel = number if from_here else -1  # a server that was restarted does not know it
            self._link.credit(st=stream, rel=rel, presented_ns=self._link.server_ns())
        return frame

    def release(self) -> None:
        """The frame taken last is done with, which makes room for another. Call it before waiting for the next."""
        with self._client.changed:
            taken, self._taken = self._taken, None
        if taken is not None and taken == self._id:
            self._link.credit(st=taken, n=1)

    @property
    def closed(self) -> bool:
        """The stream was given back."""
        return not self._client.is_open(self)

    @property
    def is_shared(self) -> bool:
        """Frames come in shared memory."""
        return self._ring is not None

    def subscribe(self) -> None:
        """Ask the server for the stream, at the beginning and after every outage."""
        welcome = self._link.welcome
        if welcome is None:
            return
        wish = self.wish
        with self._client.changed:
            if self._epoch not in (0, welcome.epoch):
                self._fresh, self._shares, self._last = True, True, -1
            self._id, self._epoch, self._ring = None, welcome.epoch, None
            after = self._last
            shares = self._shares and wish.location != "inline" and can_share() and self._link.is_local
        if wish.location == "shm" and not shares:
            self._fail(ConfigError("location='shm' needs a server on this machine, Linux, and the compiled module"))
            return
        try:
            answer = self._link.request(
                SubscribeRequest,
                ttl_ms=COMMAND_TTL_MS,
                mode=wish.mode,
                fmt=wish.format,
                org=wish.origin,
                n=wish.queue,
                after=after,
                loc=("shm", "inline") if shares else ("inline",),
            )[1]
        except ClosedError:
            return
        answer.add_done_callback(self._on_subscribed)

    def close(self) -> None:
        """Give the stream back."""
        if not self._client.drop_stream(self):
            return
        with contextlib.suppress(ClosedError, BridgeError):  # without a connection there is no stream to give back
            self._link.request(UnsubscribeRequest, ttl_ms=COMMAND_TTL_MS)

    # --- in the link's thread ------------------------------------------------------------------------------------

    def _on_subscribed(self, answer: Future[Message]) -> None:
        error = answer.exception()
        if error is not None:
            # An outage ends this attempt only; the next connection subscribes again.
            if self._link.welcome is not None and not isinstance(error, (ConnectionLost, StaleCommand, Timeout)):
                self._fail(error)
            return
        granted = answer.result()
        assert isinstance(granted, Subscribed)
        ring = None
        if granted.shm is not None:
            try:
                ring = self._open_ring(granted.shm.name)
            except ShotstreamError as problem:
                self._do_without_sharing(problem)
                return
        elif self.wish.location == "shm":
            self._fail(BridgeError("the server has no shared memory for this stream; leave location='shm' out"))
            return
        with self._client.changed:
            self._id, self._ring = granted.st, ring
        self._link.credit(st=granted.st, n=1 if self.wish.mode == "latest" else granted.window)

    def _open_ring(self, name: str) -> RingReader:
        ring = RingReader(name, epoch=self._epoch)
        stream = self._client.stream
        expected = PixelLayout(
            width_px=stream.w,
            height_px=stream.h,
            format=PixelFormat(self.wish.format),
            origin=Origin(self.wish.origin),
            row_align=ring.layout.row_align,
        )
        if ring.layout != expected:
            raise BridgeError(f"frame ring {name} holds {ring.layout}, and {expected} was asked for")
        return ring

    def _do_without_sharing(self, problem: ShotstreamError) -> None:
        if self.wish.location == "shm":
            self._fail(problem)
            return
        log.info("frames come by TCP: %s", problem)
        self._shares = False
        self.subscribe()

    def _fail(self, error: BaseException) -> None:
        with self._client.changed:
            self._error = error if isinstance(error, Exception) else None
            self._client.changed.notify_all()

    def put(self, header: FrameHeader, pixels: memoryview | None, arrived_ns: int) -> None:
        """A frame has arrived; called by the client, under its lock."""
        if header.st != self._id:
            return  # of the stream before this one
        is_whole = None
        if pixels is not None:
            planes = _planes(header, pixels)
        else:
            try:
                planes, is_whole = self._shared_planes(Ticket(header.slot, header.seq))
            except FrameOverrun:
                # This thread was kept from running for longer than the ring holds a frame. A newer one is on its way.
                self._missed += 1
                self._missed_flags |= Flag(header.fl) & (Flag.DISCONTINUITY | Flag.RESTORED)
                self._link.credit(st=header.st, n=1)
                return
            except ShotstreamError as problem:
                self._do_without_sharing(problem)
                return
        if planes is None:
            return
        flags = Flag(header.fl)
        if self._fresh:
            flags |= Flag.DISCONTINUITY
            self._fresh = False
        if self._missed:
            flags |= self._missed_flags | (Flag.GAP if self.wish.mode != "latest" else Flag(0))
        self._last = header.f
        offset_ns = self._link.offset.best.offset_ns
        frame = RemoteFrame(
            planes=planes,
            format=header.fmt,
            origin=header.org,
            index=self._client.number(header.f),
            source=header.src,
            shot=header.sh,
            block=header.bl,
            frame_in_shot=header.sf,
            revision=header.rev,
            seed=header.seed,
            time_s=header.pts / 1e9,
            command=header.cmd,
            flags=flags,
            dropped=header.drop + self._missed,
            age_ms=(arrived_ns + offset_ns - header.due) / 1e6,
            due_ns=header.due,
            epoch=self._epoch,
            location=header.loc,
            still_whole=is_whole,
        )
        self._missed, self._missed_flags = 0, Flag(0)
        self._frames.append((header.f, frame))

    def _shared_planes(self, ticket: Ticket) -> tuple[tuple[Image, ...], Callable[[], bool] | None]:
        """The planes of a frame in the ring, and for a frame that is only lent how to ask whether it is whole."""
        ring = self._ring
        if ring is None:
            raise BridgeError("a frame came in shared memory that was not agreed on")
        if not self.wish.copy:
            return ring.look(ticket).planes, lambda: ring.is_whole(ticket)
        with ring.read(ticket) as lent:
            planes = tuple(np.array(plane, order="C") for plane in lent.planes)
        for plane in planes:
            plane.setflags(write=False)
        return planes, None


def _planes(header: FrameHeader, pixels: memoryview) -> tuple[Image, ...] | None:
    """The pixels as arrays, or None when they are not what the header says."""
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
        stream, changed = self._stream, self._stream._client.changed
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
