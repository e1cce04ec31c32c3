"""The wire protocol as types: every message of the two sockets, with the range of each field.

``ctl`` carries requests and their answers, ``frm`` carries frames and the credit for them. Each message is a msgpack
map whose key ``t`` names its type; ``docs/bridge.md`` says who sends what when. A field outside its range is refused
while it is read, before anybody acts on it. Unknown keys are passed over, so that a newer peer can add some.

All integers fit in a signed 64-bit one, because some clients know nothing else. Times are nanoseconds of the server's
steady clock, unless the name says otherwise.
"""

from __future__ import annotations

import enum
import sys
from typing import Annotated, Literal, Union

import msgspec
from msgspec import Meta

PROTO_MIN = 1
PROTO_MAX = 1
"""Versions of the protocol that this side speaks."""

MAX_CTL_BYTES = 64 * 1024
"""Largest part of a message on ``ctl``, either way."""
MAX_CREDIT_BYTES = 1024
"""Largest part of a message to the server on ``frm``."""
MAX_HEADER_BYTES = 4096
"""Room for a frame's header on ``frm``, beside its pixels."""
MAX_WINDOW = 64
"""Most frames that may be under way to one client."""
MAX_CHUNK_BYTES = 48 * 1024
"""Most bytes of a saved film in one message."""
MAX_SAVE_BYTES = 64 * 1024 * 1024
"""Largest film that is saved, fetched or sent back."""

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Name = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=4096)]
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""A name that is safe in a path and in a log: letters, digits, ``_`` and ``-``."""
Real = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is one: neither infinite nor NaN."""
Scalar = Union[bool, I64, Real, Annotated[str, Meta(max_length=1024)]]  # noqa: UP007
"""Value of a beat's parameter or of a variable of the story."""
Window = Annotated[int, Meta(ge=1, le=MAX_WINDOW)]
Role = Literal["viewer", "trigger", "director", "operator"]
Mode = Literal["latest", "queue", "lossless"]
When = Literal["block", "shot_end", "now"]
PixelFormatName = Literal["rgb8", "rgba8", "bgra8", "nv12"]
OriginName = Literal["top_left", "bottom_left"]
Location = Literal["inline", "shm"]
OnDisconnect = Literal["keep", "hold"]
Subject = Literal["status", "beats", "variables", "checkpoints"]
EventKind = Literal["shot_start", "gap", "engine", "shutdown", "beat", "moderation", "restored"]
CommandState = Literal["queued", "started", "generated", "on_air", "presented", "failed", "superseded"]

ROLES: tuple[Role, ...] = ("viewer", "trigger", "director", "operator")
"""From the least to the most that a client may do; each may do what those before it may."""
FORMATS: tuple[PixelFormatName, ...] = ("rgb8", "rgba8", "bgra8", "nv12")
CAPABILITIES: tuple[str, ...] = (
    "frames.inline",
    "frames.shm",
    "mode.latest",
    "mode.queue",
    "mode.lossless",
    "resume",
    "beats",
    "prepare",
    "checkpoints",
)


class Flag(enum.IntFlag):
    """What is special about a frame."""

    SHOT_START = 1
    DISCONTINUITY = 64
    """The frame does not follow the one before it in the film: another server, or a restored film."""
    MODERATED = 512
    """The picture was refused; an earlier one stands in for it."""
    RESTORED = 1024
    """First frame after the film went back to a checkpoint."""
    GAP = 2048
    """Frames before it were dropped for this client, which had asked for all."""


class EventMask(enum.IntFlag):
    """Which events a client wants; sent in ``hello``."""

    SHOT_START = 1
    GAP = 2
    ENGINE = 4
    SHUTDOWN = 8
    BEAT = 16
    MODERATION = 32
    RESTORED = 64
    ALL = 127


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """Base of all messages."""


class Request(Message, frozen=True, kw_only=True):
    """Base of what is answered by exactly one ``ack``, ``error``, ``result`` or ``subscribed`` with the same ``id``.

    ``ep`` is the server's epoch from ``welcome``. The request is void ``ttl`` milliseconds after ``ts``, the client's
    estimate of the server's clock when it was made. The same ``id`` again gets the same answer and does nothing more.
    """

    id: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    ep: U63
    ttl: Annotated[int, Meta(ge=1, le=60_000)]
    ts: I64


# --- client to server on ctl -------------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First message of a client. ``resume`` names the session it had on this server; ``c0`` is its own clock.

    ``on_disconnect`` is what happens to the film when the lease runs out without a ``bye``: it goes on, or is held
    (which needs the role operator).
    """

    proto_min: U16
    proto_max: U16
    client: Name = ""
    engine: Name = ""
    role: Role = "viewer"
    token: Annotated[str, Meta(max_length=128)] = ""
    caps: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    events: U32 = 0
    resume: U63 = 0
    c0: I64 = 0
    on_disconnect: OnDisconnect = "keep"


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """Keeps the lease and measures the clocks; ``c0`` is the client's clock."""

    c0: I64


class Bye(Message, frozen=True, kw_only=True, tag="bye"):
    """The client leaves; its session ends at once."""

    reason: Name = ""


class CutRequest(Request, frozen=True, kw_only=True, tag="cut"):
    """Open a new shot (director)."""

    text: Text
    when: When = "block"
    frames: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    seed: U63 | None = None


class PromptRequest(Request, frozen=True, kw_only=True, tag="prompt"):
    """Change the words of the shot on screen without a cut (director)."""

    text: Text


class WorldRequest(Request, frozen=True, kw_only=True, tag="world"):
    """Set the global caption of the next shots; empty removes it (director)."""

    text: Text


class ClearRequest(Request, frozen=True, kw_only=True, tag="clear"):
    """Drop every cut that has not begun (director)."""


class PinRequest(Request, frozen=True, kw_only=True, tag="pin"):
    """Keep a shot, or one frame of it, in the memory of later shots (director). No ``shot`` is the newest."""

    shot: U32 | None = None
    frame: U32 | None = None


class UnpinRequest(Request, frozen=True, kw_only=True, tag="unpin"):
    """Forget a pin, or all of them (director)."""

    shot: U32 | None = None
    frame: U32 | None = None


class HoldRequest(Request, frozen=True, kw_only=True, tag="hold"):
    """Stop making frames at the next block boundary (operator)."""


class ResumeRequest(Request, frozen=True, kw_only=True, tag="resume"):
    """Lift a hold (operator)."""


class BeatRequest(Request, frozen=True, kw_only=True, tag="beat"):
    """Make a named event of the story happen (trigger; a beat may ask for more). ``params`` fill its gaps."""

    name: Name
    params: Annotated[dict[Name, Scalar], Meta(max_length=32)] = {}


class VarRequest(Request, frozen=True, kw_only=True, tag="var"):
    """Set variables of the story, all or none (trigger)."""

    set: Annotated[dict[Name, Scalar], Meta(min_length=1, max_length=64)]


class PrepareRequest(Request, frozen=True, kw_only=True, tag="prepare"):
    """Make the first block of a shot ahead, off air (director). Its ``ack`` has the number that ``take`` needs; the
    shot is ready when its state is "generated"."""

    text: Text
    frames: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    seed: U63 | None = None


class TakeRequest(Request, frozen=True, kw_only=True, tag="take"):
    """Put a prepared shot on air with the next frame (director)."""

    cmd: Annotated[int, Meta(ge=1, le=2**32 - 1)]


class CancelRequest(Request, frozen=True, kw_only=True, tag="cancel"):
    """Throw a prepared shot away, or all of them (director)."""

    cmd: Annotated[int, Meta(ge=1, le=2**32 - 1)] | None = None


class CheckpointRequest(Request, frozen=True, kw_only=True, tag="checkpoint"):
    """Keep the film as it stands under a name (trigger); answered by ``saved``. Replaces the one of that name."""

    name: Slug


class RestoreRequest(Request, frozen=True, kw_only=True, tag="restore"):
    """Go back to a checkpoint (trigger) and make the same frames again."""

    name: Slug


class BranchRequest(Request, frozen=True, kw_only=True, tag="branch"):
    """Go back to a checkpoint and on from there with other noise (director); no ``seed`` draws one."""

    name: Slug
    seed: U63 | None = None


class UndoRequest(Request, frozen=True, kw_only=True, tag="undo"):
    """Go back to where the ``n``-th newest shot began (director)."""

    n: Annotated[int, Meta(ge=1, le=16)] = 1


class ForgetRequest(Request, frozen=True, kw_only=True, tag="forget"):
    """Drop a checkpoint (trigger)."""

    name: Slug


class DownloadRequest(Request, frozen=True, kw_only=True, tag="download"):
    """Ask for the bytes of a checkpoint from ``offset`` on (trigger), for a game's own save-file; answered by
    ``chunk``."""

    name: Slug
    offset: Annotated[int, Meta(ge=0, le=MAX_SAVE_BYTES)] = 0


class UploadRequest(Request, frozen=True, kw_only=True, tag="upload"):
    """Hand the bytes of a checkpoint back, in order from ``offset`` 0; with the last of ``total`` it exists. A client
    below director may only hand back what this machine made, which its seal proves."""

    name: Slug
    total: Annotated[int, Meta(ge=1, le=MAX_SAVE_BYTES)]
    offset: Annotated[int, Meta(ge=0, le=MAX_SAVE_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_CHUNK_BYTES)]


class QueryRequest(Request, frozen=True, kw_only=True, tag="query"):
    """Ask for the server's figures and for what the story offers (viewer); answered by ``result``."""

    what: Annotated[tuple[Subject, ...], Meta(max_length=8)] = ("status",)


class SubscribeRequest(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Ask for frames (viewer); they come on ``frm`` against credit. Replaces the stream the client had.

    ``n`` frames may wait at the server in mode "queue"; the other modes pass it over. ``after`` leaves out frames up to
    and including that number, for a stream that goes on after a lost connection; -1 leaves out none. ``loc`` is where
    the client can read pixels: inside the message, or also in shared memory.
    """

    mode: Mode = "latest"
    fmt: PixelFormatName = "rgb8"
    org: OriginName = "top_left"
    n: Window = 8
    after: Annotated[int, Meta(ge=-1, le=2**63 - 1)] = -1
    loc: Annotated[tuple[Location, ...], Meta(max_length=4)] = ("inline",)


class UnsubscribeRequest(Request, frozen=True, kw_only=True, tag="unsubscribe"):
    """End the stream (viewer)."""


# --- server to client on ctl -------------------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes: bytes of a part on ``ctl``, characters of a prompt, requests a second and at once,
    frames under way."""

    ctl_bytes: U32
    prompt_chars: U32
    rate_hz: U32
    burst: U32
    window: U16


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures: size in pixels, formats on offer, frames per second as a fraction."""

    w: U16
    h: U16
    fmts: tuple[str, ...]
    rate: tuple[U32, U32]
    bundle: Name


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The client is in. ``session`` is its secret for ``frm``; ``c0`` comes back, ``s1`` and ``s2`` are the server's
    clock when the hello came and when this left."""

    proto: U16
    epoch: U63
    session: U63
    role: Role
    caps: tuple[str, ...]
    limits: Limits
    stream: StreamInfo
    frm_port: U16
    lease_ms: U32
    c0: I64
    s1: I64
    s2: I64
    resumed: bool = False


class Reject(Message, frozen=True, kw_only=True, tag="reject"):
    """The client is not let in, and why. ``code`` is a ``faults.Code``."""

    code: I64
    text: str
    proto_min: U16 = PROTO_MIN
    proto_max: U16 = PROTO_MAX


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """Answer to ``ping``: its ``c0``, and the server's clock when it came and when this left."""

    c0: I64
    s1: I64
    s2: I64


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """The request was taken. ``cmd`` is the command's number in the film; 0 when the request is done with this, or for
    a beat that waits for its turn: ``state`` brings the number later."""

    id: U32
    cmd: U32 = 0


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """The request was refused and changed nothing. ``id`` is 0 when it could not be read."""

    id: U32
    code: I64
    text: str
    retry_ms: U32 = 0


class State(Message, frozen=True, kw_only=True, tag="state"):
    """A command of this client moved on. ``frame`` is the first it affects, -1 while unknown; ``lat`` has the
    milliseconds from the request's arrival to each state so far."""

    id: U32
    cmd: U32
    state: CommandState
    frame: I64 = -1
    lat: dict[CommandState, float] = {}
    text: str = ""


class SharedMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Where the frames of a stream lie on this machine: see ``csrc/include/shotstream/frame_ring.h``. ``stride`` is
    the bytes of a row."""

    name: Name
    slots: U16
    stride: U32


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """The stream stands; its frames carry ``st``. Credit may be sent now. With ``shm``, frames may come as the number
    of a slot; each frame's ``loc`` says which way it came."""

    id: U32
    st: U32
    mode: Mode
    window: Window
    frame_bytes: U32
    shm: SharedMemory | None = None


class Saved(Message, frozen=True, kw_only=True, tag="saved"):
    """Answer to ``checkpoint`` and to the last ``upload``: what is kept. ``frame`` is the first that comes after a
    restore, ``bytes`` the size of what ``download`` gives."""

    id: U32
    name: Slug
    bytes: U32
    frame: I64
    shot: I64


class Chunk(Message, frozen=True, kw_only=True, tag="chunk"):
    """Answer to ``download``: ``data`` begins at ``offset`` of ``total`` bytes."""

    id: U32
    offset: U32
    total: U32
    data: Annotated[bytes, Meta(max_length=MAX_CHUNK_BYTES)]


class Event(Message, frozen=True, kw_only=True, tag="event"):
    """Something happened that no request asked for: a shot began, frames were dropped (``count``), the engine failed
    (``text``), the server is about to stop, a beat (``name``) entered a state (``text``: "waiting", "running", "done",
    or "dropped: " and why), a text for a beat or command (``name``) or a picture was refused (``text``), the film went
    back to a checkpoint (``name``)."""

    kind: EventKind
    frame: I64 = -1
    shot: I64 = -1
    count: U32 = 0
    name: str = ""
    text: str = ""


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """One client as the server sees it. ``age_ms`` is the median time from a frame's release to its presentation."""

    client: str
    role: Role
    mode: str
    sent: U63
    dropped: U63
    waiting: U32
    age_ms: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The server's figures.

    ``fps`` is what went on air over the last seconds. ``headroom`` is the share of the film's time that the engine had
    to spare in its latest blocks; below 0 it cannot keep up. ``rejected`` counts messages that could not be read, all
    from peers that are not listened to because of such messages, and connections that were cut off.
    """

    bundle: str
    device: str
    uptime_s: float
    frame: I64
    shot: I64
    held: bool
    fps: float
    rate: float
    late: U63
    viewers: tuple[Viewer, ...]
    block_ms: float | None = None
    headroom: float | None = None
    cut_to_air_ms: float | None = None
    rejected: U63 = 0


class Param(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A parameter of a beat; ``type`` is "text", "number", "bool" or "choice". ``values`` are the words of a choice;
    ``min`` and ``max`` bound a number, ``max`` the characters of a text. Without ``default`` it must be given."""

    type: str
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    default: Scalar | None = None


class BeatInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A beat as this client may use it. ``ready``: it could be triggered now; else ``why`` not."""

    name: str
    ready: bool
    why: str = ""
    params: dict[str, Param] = {}


class CheckpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A kept film; see ``saved``. ``parent`` is the checkpoint that the film had gone back to before, "" for none."""

    name: str
    bytes: U32
    frame: I64
    shot: I64
    parent: str = ""


class Result(Message, frozen=True, kw_only=True, tag="result"):
    """Answer to ``query``: what was asked for."""

    id: U32
    status: Status | None = None
    beats: tuple[BeatInfo, ...] | None = None
    variables: dict[str, Scalar] | None = None
    checkpoints: tuple[CheckpointInfo, ...] | None = None


# --- frm ---------------------------------------------------------------------------------------------------------


class Credit(Message, frozen=True, kw_only=True, tag="c"):
    """Client to server: ``n`` more frames of stream ``st`` may come. ``rel`` is the frame shown last and ``presented``
    when, on the server's clock; -1 and 0 when there is none."""

    s: U63
    st: U32
    n: Annotated[int, Meta(ge=0, le=MAX_WINDOW)] = 0
    rel: Annotated[int, Meta(ge=-1, le=2**63 - 1)] = -1
    presented: I64 = 0


class FrameHeader(Message, frozen=True, kw_only=True, tag="frame"):
    """Server to client: one frame; its pixels are the next part of the message.

    st: stream. f: number of the frame on this server, which never goes back. src: its number in the film, which does
    when a checkpoint is restored. sh, sf, bl: shot, frame of the shot, block. rev: prompt edits its shot had seen.
    cmd: the newest command that first shows here, 0 for none. fl: see ``Flag``. pts: time in the film, ns. due: when
    the server released it; gen: when its block was ready. w, h: pixels; str: bytes of a row, in every plane. fmt: order
    of the bytes (NV12 is a plane of luma, then one of chroma of half the height); org: first row in memory; cs: colour
    space, rec709 in the limited range for NV12. drop: frames left out since the one before. loc: where the pixels are:
    the next part of the message, or slot ``slot`` of the ring in shared memory as long as its sequence is ``seq``.
    """

    st: U32
    f: U63
    src: U63
    sh: U32
    sf: U32
    bl: U32
    rev: U32
    cmd: U32
    fl: U32
    seed: U63
    pts: I64
    due: I64
    gen: I64
    w: U16
    h: U16
    str: U32
    fmt: PixelFormatName = "rgb8"
    org: OriginName = "top_left"
    cs: Literal["srgb", "rec709"] = "srgb"
    drop: U32 = 0
    loc: Location = "inline"
    slot: U16 = 0
    seq: U63 = 0


ClientMessage = Union[  # noqa: UP007  (msgspec reads it at run time, also on Python 3.10)
    Hello,
    Ping,
    Bye,
    CutRequest,
    PromptRequest,
    WorldRequest,
    ClearRequest,
    PinRequest,
    UnpinRequest,
    HoldRequest,
    ResumeRequest,
    BeatRequest,
    VarRequest,
    PrepareRequest,
    TakeRequest,
    CancelRequest,
    CheckpointRequest,
    RestoreRequest,
    BranchRequest,
    UndoRequest,
    ForgetRequest,
    DownloadRequest,
    UploadRequest,
    QueryRequest,
    SubscribeRequest,
    UnsubscribeRequest,
]
ServerMessage = Union[  # noqa: UP007
    Welcome, Reject, Pong, Ack, Error, State, Subscribed, Saved, Chunk, Event, Result
]
