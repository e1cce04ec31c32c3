"""What the server remembers of each client: lease, role, answers already given, rate, stream, and bad behaviour."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..frames import Frame
from .clock import Clock, steady_ns
from .delivery import Outbox
from .messages import MAX_WINDOW, Message, OnDisconnect, Role
from .packing import Picture
from .pixels import PixelLayout

log = logging.getLogger("shotstream.bridge")

_KEPT_ANSWERS = 256
_KEPT_PEERS = 1024
CHUNKS_HZ, CHUNKS_BURST = 256, 64
"""Parts of save-files that a client may ask for or send, a second and at once: 12 MiB a second."""


class TokenBucket:
    """At most ``rate_hz`` requests a second, and ``burst`` at once."""

    def __init__(self, *, rate_hz: int, burst: int, now: Clock = steady_ns) -> None:
        self._rate_hz, self._burst, self._now = rate_hz, burst, now
        self._tokens, self._at = float(burst), now()

    def take(self) -> int:
        """Milliseconds to wait before the request is welcome; 0 takes it."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / 1e9 * self._rate_hz)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(1, round((1 - self._tokens) / self._rate_hz * 1e3))


@dataclass(frozen=True, kw_only=True)
class Released:
    """A frame on its way out.

    Attributes:
        number: of the frame on this server, one more than that of the frame before it.
        timeline: how often the film had jumped before it, back to a checkpoint for example.
        due_ns: when it left the programme.
    """

    frame: Frame
    number: int
    timeline: int
    due_ns: int
    picture: Picture


@dataclass(kw_only=True)
class Upload:
    """A save-file of ``total`` bytes on its way here."""

    name: str
    total: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(kw_only=True)
class Session:
    """One client. ``peer`` and ``frame_peer`` are where ZeroMQ finds it on the two sockets."""

    id: int
    peer: bytes
    role: Role
    client: str
    user: str
    events: int
    heard_ns: int
    bucket: TokenBucket
    chunks: TokenBucket = field(default_factory=lambda: TokenBucket(rate_hz=CHUNKS_HZ, burst=CHUNKS_BURST))
    """For the parts of save-files, of which there are many in a row."""
    upload: Upload | None = None
    is_local: bool = True
    """It runs on this machine."""
    on_disconnect: OnDisconnect = "keep"
    answers: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    pending: set[int] = field(default_factory=set)
    """Requests that are being worked on."""
    outbox: Outbox[Released] | None = None
    layout: PixelLayout | None = None
    ring: str = ""
    """Name of the ring in shared memory that its frames may come in, "" for none."""
    stream: int = 0
    frame_peer: bytes | None = None
    after: int = -1
    sent: int = -1
    """Number of the frame sent last."""
    timeline: int | None = None
    """Of the frame sent last."""
    under_way: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=2 * MAX_WINDOW))
    """(frame, when it left the programme) of what was sent and not yet shown."""
    ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=256))

    def remember(self, request: int, answer: Message) -> None:
        """Keep an answer, in case the same request comes again."""
        self.answers[request] = answer
        while len(self.answers) > _KEPT_ANSWERS:
            self.answers.popitem(last=False)

    def shown(self, frame: int, at_ns: int) -> None:
        """The client showed a frame that was sent to it."""
        while self.under_way and self.under_way[0][0] <= frame:
            number, due_ns = self.under_way.popleft()
            if number == frame:
                self.ages_ms.append((at_ns - due_ns) / 1e6)

    def end_stream(self) -> None:
        """Free what waits for the client."""
        self.outbox, self.frame_peer = None, None
        self.under_way.clear()


class Clients:
    """The clients that have said hello, by session and by where they are."""

    def __init__(self) -> None:
        self.by_id: dict[int, Session] = {}
        self.ended: deque[int] = deque(maxlen=_KEPT_PEERS)
        """Sessions that are over; their last credit may still be on its way over the other socket."""
        self._by_peer: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self.by_id.values()))

    def __len__(self) -> int:
        return len(self.by_id)

    def of_peer(self, peer: bytes) -> Session | None:
        return self._by_peer.get(peer)

    def add(self, session: Session, peer: bytes) -> None:
        """A client is in, or back at another ``peer``."""
        self._by_peer.pop(session.peer, None)
        session.peer = peer
        self.by_id[session.id] = self._by_peer[peer] = session

    def forget(self, session: Session) -> None:
        session.end_stream()
        if self.by_id.pop(session.id, None) is not None:
            self.ended.append(session.id)
        if self._by_peer.get(session.peer) is session:
            del self._by_peer[session.peer]

    def silent_since(self, at_ns: int) -> list[Session]:
        """Those who have not been heard since."""
        return [session for session in self if session.heard_ns < at_ns]


class Strikes:
    """Peers that send rubbish: after ``limit`` times within ``within_s`` one is not listened to for ``ban_s``."""

    def __init__(self, *, limit: int = 5, within_s: float = 10, ban_s: float = 60, now: Clock = steady_ns) -> None:
        self._limit, self._within_ns, self._ban_ns, self._now = limit, within_s * 1e9, ban_s * 1e9, now
        self._strikes: OrderedDict[bytes, deque[int]] = OrderedDict()
        self._banned_until: OrderedDict[bytes, float] = OrderedDict()
        self._say_at: float = 0
        self.num_rejected = 0
        """Messages that could not be read or were not listened to."""

    def banned(self, peer: bytes) -> bool:
        """A message from ``peer`` is not to be listened to."""
        until = self._banned_until.get(peer)
        if until is not None and self._now() >= until:
            del self._banned_until[peer]
            return False
        self.num_rejected += until is not None
        return until is not None

    def add(self, peer: bytes) -> None:
        """``peer`` sent something that cannot be read."""
        now = self._now()
        self.num_rejected += 1
        times = self._strikes.setdefault(peer, deque(maxlen=self._limit))
        self._strikes.move_to_end(peer)
        times.append(now)
        if len(times) == self._limit and now - times[0] <= self._within_ns:
            self._banned_until[peer] = now + self._ban_ns
            del self._strikes[peer]
            self._say(peer, now)
        for table in (self._strikes, self._banned_until):
            while len(table) > _KEPT_PEERS:
                table.popitem(last=False)

    def _say(self, peer: bytes, now: int) -> None:
        """One line now and then: whoever connects anew for more of the same must not fill a disk with them."""
        if now >= self._say_at:
            self._say_at = now + self._ban_ns
            text = "peer %s sends what cannot be read and is not listened to for %d s; %d messages rejected so far"
            log.warning(text, peer[:64].hex(), self._ban_ns / 1e9, self.num_rejected)
