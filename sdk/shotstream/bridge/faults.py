"""What can go wrong between two processes, each with the number that travels on the wire.

    BridgeError
    `-- Fault              .code
        |-- ConnectionLost     nobody answers; the client goes on trying
        |-- AuthError          unknown token or key
        |-- VersionError       no protocol version in common
        |-- ProtocolError      a message that cannot be read
        |-- TooLarge           a message beyond the agreed size
        |-- StaleCommand       made for a server that is gone, or too old
        |-- Denied             the role does not allow it
        |-- RateLimited        too many requests; .retry_ms
        |-- Busy               the server takes no more clients
        `-- Timeout            no answer, or no frame, in time

A request that the film itself refuses (an empty prompt, say) raises ScriptError, as ``Film`` does; a beat that has to
wait raises BeatRefused, which tells how long.
"""

from __future__ import annotations

import enum

from ..errors import BridgeError, ScriptError, ShotstreamError
from ..story.fired import BeatRefused


class Code(enum.IntEnum):
    """Numbers of errors; never renumbered. They equal those of the C interface."""

    INVALID = -1
    CONNECT = -4
    AUTH = -5
    VERSION = -6
    PROTOCOL = -7
    TOO_LARGE = -8
    STALE = -9
    CLOSED = -11
    DENIED = -12
    RATE = -13
    BUSY = -14
    UNKNOWN_TYPE = -15
    TIMEOUT = -16
    INTERNAL = -99


class Fault(BridgeError):
    """Base of the errors of the bridge. ``code`` is its number on the wire."""

    code = Code.INTERNAL

    def __init__(self, text: str, *, retry_ms: int = 0) -> None:
        super().__init__(text)
        self.retry_ms = retry_ms


class ConnectionLost(Fault):
    """There is no connection to the server."""

    code = Code.CONNECT


class AuthError(Fault):
    """The server does not know the token or the key."""

    code = Code.AUTH


class VersionError(Fault):
    """Client and server have no version of the protocol in common."""

    code = Code.VERSION


class ProtocolError(Fault):
    """A message cannot be read."""

    code = Code.PROTOCOL


class BadField(ProtocolError):
    """A message can be read, and a field of it is not what it should be."""


class UnknownType(ProtocolError):
    """A message of a type that this side does not know."""

    code = Code.UNKNOWN_TYPE


class TooLarge(Fault):
    """A message is larger than agreed."""

    code = Code.TOO_LARGE


class StaleCommand(Fault):
    """The request was made for a server that is gone, or it came too late."""

    code = Code.STALE


class Denied(Fault):
    """The client's role does not allow the request."""

    code = Code.DENIED


class RateLimited(Fault):
    """Too many requests; ``retry_ms`` says when the next one is welcome."""

    code = Code.RATE


class Busy(Fault):
    """The server takes no further client."""

    code = Code.BUSY


class Timeout(Fault):
    """Nothing came in time."""

    code = Code.TIMEOUT


_CLASSES: tuple[type[Fault], ...] = (
    ConnectionLost,
    AuthError,
    VersionError,
    ProtocolError,
    UnknownType,
    TooLarge,
    StaleCommand,
    Denied,
    RateLimited,
    Busy,
    Timeout,
)


def error_from_code(code: int, text: str, retry_ms: int = 0) -> ShotstreamError:
    """The exception that an ``error`` or ``reject`` message stands for."""
    if code == Code.INVALID:
        return BeatRefused(text, retry_s=retry_ms / 1e3) if retry_ms else ScriptError(text)
    for kind in _CLASSES:
        if kind.code == code:
            return kind(text, retry_ms=retry_ms)
    return Fault(text, retry_ms=retry_ms)
