"""Frames on their way to one consumer in the client: the stream it polls, and the iterator over that."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ..errors import BridgeError, ClosedError, ConfigError
from .faults import ConnectionLost, StaleCommand, Timeout
from .link import Link
from .messages import (
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
from .remote import Image, RemoteFrame

if TYPE_CHECKING:
    from .client import Client

COMMAND_TTL_MS = 2000


class Stream:
    """Frames on their way to one consumer: ``release`` the last one, poll ``ready``, ``take``; ``close`` ends it."""

    def __init__(
        self, client: Client, link: Link, mode: Mode, queue: int, format: PixelFormatName, origin: OriginName
    ) -> None:
        self._client, self._link = client, link
        self.mode, self._queue, self._format, self._origin = mode, queue, format, origin
        self._id: int | None = None
        self._epoch = 0
        self._frames: deque[tuple[int, RemoteFrame]] = deque()
        self._last = -1
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
        with self._client.changed:
            if self._error is not None:
                raise self._error
            if self._link._closing:
                raise ClosedError("the client is closed; connect again")
            if not self._frames:
                raise Timeout("no frame is there; poll ready first")
            number, frame = self._frames.popleft()
            self._taken = stream = self._id
        if stream is not None:
            self._link.credit(st=stream, rel=number, presented_ns=self._link.server_ns())
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

    def subscribe(self) -> None:
        """Ask the server for the stream, at the beginning and after every outage."""
        welcome = self._link.welcome
        if welcome is None:
            return
        with self._client.changed:
            self._fresh = self._epoch not in (0, welcome.epoch)
            after = -1 if self._fresh else self._last
            self._id, self._epoch = None, welcome.epoch
            if self._fresh:
                self._last = -1
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
        if not self._client.drop_stream(self):
            return
        with contextlib.suppress(ClosedError, BridgeError):  # without a connection there is no stream to give back
            self._link.request(UnsubscribeRequest, ttl_ms=COMMAND_TTL_MS)

    def _on_subscribed(self, answer: Future[Message]) -> None:
        error = answer.exception()
        with self._client.changed:
            if error is not None:
                # An outage ends this attempt only; the next connection subscribes again.
                if self._link.welcome is not None and not isinstance(error, (ConnectionLost, StaleCommand, Timeout)):
                    self._error = error if isinstance(error, Exception) else None
                self._client.changed.notify_all()
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
            dropped=header.drop,
            age_ms=(arrived_ns + offset_ns - header.due) / 1e6,
            epoch=self._epoch,
        )
        self._frames.append((header.f, frame))


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
