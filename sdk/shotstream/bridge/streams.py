"""Frames on their way out: who gets which, against credit, in the layout that each asked for.

Runs in the bridge thread.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from ..errors import ConfigError
from ..film import Film
from .config import ServerConfig
from .delivery import Outbox
from .desk import Task, Tasks
from .frame_ring import Ticket
from .messages import (
    Credit,
    Event,
    EventMask,
    Flag,
    FrameHeader,
    Message,
    Subscribed,
    SubscribeRequest,
    UnsubscribeRequest,
)
from .moderation import StandIn
from .packing import Packer, can_pack, is_plain
from .pixels import Origin, PixelFormat, PixelLayout
from .sessions import Clients, Released, Session

LATEST_WINDOW = 2
LOSSLESS_WINDOW = 16


class Streams:
    """The streams of all clients.

    Args:
        send: sends a message to a peer on ``ctl``.
        send_frame: sends (peer, header, pixels or None) on ``frm``; raises ``zmq.ZMQError`` when the peer does not take
            it.
    """

    def __init__(
        self,
        film: Film,
        config: ServerConfig,
        clients: Clients,
        *,
        packer: Packer,
        send: Callable[[bytes, Message], None],
        send_frame: Callable[[bytes, FrameHeader, memoryview | None], None],
    ) -> None:
        self._spec, self._spool_mb, self._clients = film.spec, config.spool_mb, clients
        self._packer, self._send, self._send_frame = packer, send, send_frame
        self._num_streams = 0
        self.newest = -1
        """Number of the frame that came in last."""

    def tasks(self) -> Tasks:
        """The requests that are answered here."""
        return {
            SubscribeRequest: Task("viewer", self._subscribe),
            UnsubscribeRequest: Task("viewer", lambda session, request: session.end_stream()),
        }

    def _subscribe(self, session: Session, request: SubscribeRequest) -> Subscribed:
        layout = PixelLayout(
            width_px=self._spec.width_px,
            height_px=self._spec.height_px,
            format=PixelFormat(request.fmt),
            origin=Origin(request.org),
        )
        if not is_plain(layout) and not can_pack():
            raise ConfigError(
                f"fmt={request.fmt!r} org={request.org!r} needs the compiled module, which this server lacks; "
                "install shotstream there, or take rgb8 with its top row first"
            )
        window = {"latest": LATEST_WINDOW, "queue": request.n, "lossless": LOSSLESS_WINDOW}[request.mode]
        spool = max(16, self._spool_mb * 2**20 // self._spec.frame_bytes)
        limit = {"latest": 1, "queue": request.n, "lossless": spool}[request.mode]
        self._num_streams += 1
        session.end_stream()
        session.layout = layout
        session.outbox = Outbox(request.mode, limit=limit, window=window)
        session.stream, session.after, session.sent = self._num_streams, request.after, request.after
        # What waits in a spool would long be overwritten in a ring.
        asks = "shm" in request.loc and request.mode != "lossless" and session.is_local
        ring = self._packer.ring(layout) if asks else None
        session.ring = ring.name if ring is not None else ""
        return Subscribed(
            id=request.id,
            st=self._num_streams,
            mode=request.mode,
            window=window,
            frame_bytes=layout.size_bytes,
            shm=ring,
        )

    def on_credit(self, session: Session, peer: bytes, credit: Credit) -> None:
        """A client has room for frames, and says which one it showed."""
        if session.outbox is not None and credit.st == session.stream:
            session.frame_peer = peer
            session.outbox.grant(credit.n)
            session.shown(credit.rel, credit.presented)

    def offer(self, released: Released) -> None:
        """A frame is on air."""
        self.newest = released.number
        for session in self._clients:
            if session.outbox is not None and released.number > session.after:
                session.outbox.offer(released)

    def pump(self) -> None:
        """Send what there is credit for."""
        for session in self._clients:
            while session.outbox is not None and session.frame_peer is not None:
                released = session.outbox.take()
                if released is None:
                    break
                self._send_to(session, session.frame_peer, session.outbox, released)
        self._say_what_is_wanted()

    def _send_to(self, session: Session, peer: bytes, box: Outbox[Released], released: Released) -> None:
        assert session.layout is not None
        lost = max(0, released.number - session.sent - 1) if session.sent >= 0 else 0
        flags = Flag.SHOT_START if released.frame.is_cut else Flag(0)
        if isinstance(released.frame, StandIn):
            flags |= Flag.MODERATED
        if session.timeline is not None and session.timeline != released.timeline:
            flags |= Flag.DISCONTINUITY | Flag.RESTORED
        if lost and box.mode != "latest":
            flags |= Flag.GAP
            if session.events & EventMask.GAP:
                self._send(session.peer, Event(kind="gap", frame=released.number, count=lost))
        slot = released.picture.slot(session.layout, session.ring) if session.ring else None
        header = _header(released, session.layout, stream=session.stream, flags=flags, lost=lost, slot=slot)
        try:
            self._send_frame(peer, header, None if slot else released.picture.pixels(session.layout))
        except zmq.ZMQError:  # gone, or it does not read what it gave credit for
            session.end_stream()
            return
        session.sent, session.timeline = released.number, released.timeline
        session.under_way.append((released.number, released.due_ns))

    def _say_what_is_wanted(self) -> None:
        """So that the next frame is packed before it is due, for those who will take it at once."""
        shared, inline = set(), set()
        for session in self._clients:
            if session.outbox is not None and session.layout is not None:
                if session.ring:
                    shared.add(session.layout)
                elif session.outbox.has_credit:
                    inline.add(session.layout)
        self._packer.want(shared=frozenset(shared), inline=frozenset(inline))

    @property
    def wants_a_frame(self) -> bool:
        """Somebody waits for a frame and nobody would lose one by it."""
        boxes = [session.outbox for session in self._clients if session.outbox is not None]
        waits = any(box.has_credit and not len(box) for box in boxes)
        return waits and all(box.has_room or box.mode == "latest" for box in boxes)


def _header(
    released: Released,
    layout: PixelLayout,
    *,
    stream: int,
    flags: Flag,
    lost: int,
    slot: tuple[Ticket, int] | None,
) -> FrameHeader:
    frame = released.frame
    ticket, stride_bytes = slot or (Ticket(0, 0), layout.stride_bytes)
    return FrameHeader(
        st=stream,
        f=released.number,
        src=frame.index,
        sh=frame.shot,
        sf=frame.frame_in_shot,
        bl=frame.block,
        rev=frame.revision,
        cmd=max(frame.receipts, default=0),
        fl=int(flags),
        seed=frame.seed,
        pts=round(frame.time_s * 1e9),
        due=released.due_ns,
        gen=round(frame.generated_at * 1e9),
        w=layout.width_px,
        h=layout.height_px,
        str=stride_bytes,
        fmt=layout.format.value,
        org=layout.origin.value,
        cs="rec709" if layout.format is PixelFormat.NV12 else "srgb",
        drop=lost,
        loc="shm" if slot else "inline",
        slot=ticket.slot,
        seq=ticket.sequence,
    )
