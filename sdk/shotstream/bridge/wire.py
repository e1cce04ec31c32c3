"""Messages as bytes: parts on a socket, read within bounds whatever the peer sends.

A message is ``MAGIC``, a msgpack header, and for a frame its pixels as they lie in memory. Nothing is trusted: parts
beyond the expected number or size are thrown away unread, and a header is a ``messages`` type or a ``ProtocolError``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec
import zmq

from .faults import BadField, ProtocolError, TooLarge, UnknownType
from .messages import MAX_CTL_BYTES, MAX_HEADER_BYTES, ClientMessage, Credit, FrameHeader, Message, ServerMessage

MAGIC = b"SSB1"
MAX_KEYS = 256
"""Most keys of a map in a header, known or not."""

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()
client_messages = msgspec.msgpack.Decoder(ClientMessage)
server_messages = msgspec.msgpack.Decoder(ServerMessage)
credits = msgspec.msgpack.Decoder(Credit)
frame_headers = msgspec.msgpack.Decoder(FrameHeader)


class _Envelope(msgspec.Struct):
    """As much of a broken message as an answer to it needs."""

    t: str = ""
    id: int = 0


_envelopes = msgspec.msgpack.Decoder(_Envelope)
_MAP_TYPES = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_maps = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def encode(message: Message) -> list[bytes]:
    """The parts of a message without pixels."""
    return [MAGIC, _encoder.encode(message)]


def decode(decoder: msgspec.msgpack.Decoder[M], parts: list[bytes], *, limit_bytes: int = MAX_CTL_BYTES) -> M:
    """The message in ``parts`` (magic and header).

    Raises:
        ProtocolError: wrong magic, number of parts, or msgpack. Its subclasses BadField and UnknownType: it can be read
            but not done.
        TooLarge: the header is longer than ``limit_bytes``.
    """
    if len(parts) != 2:
        raise ProtocolError(f"a message of {len(parts)} parts; expected 2, magic and header")
    magic, header = parts
    if magic != MAGIC:
        raise ProtocolError(f"a message begins with {magic[:8].hex()}; expected {MAGIC.hex()} ({MAGIC.decode()})")
    if len(header) > limit_bytes:
        raise TooLarge(f"a header of {len(header)} bytes; at most {limit_bytes} are taken")
    try:
        message = decoder.decode(header)
        _check_keys(header)
        return message
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        shown = str(error)[:200]
        kind = BadField if isinstance(error, msgspec.ValidationError) else ProtocolError
        if shown.startswith("Invalid value") and shown.endswith("`$.t`"):
            kind = UnknownType
        raise kind(f"the header cannot be read: {shown}") from None


def _check_keys(data: bytes, *, levels: int = 2) -> None:
    """Refuse a msgpack map with too many keys, or with one twice, of which another reader may take the other.

    No message has maps below two levels; those in fields that are not known here are left to whoever knows them.
    """
    first = data[0]
    num_keys = first & 0x0F if first < 0x90 else int.from_bytes(data[1:3] if first == 0xDE else data[1:5], "big")
    if num_keys > MAX_KEYS:
        raise ProtocolError(f"a map of {num_keys} keys; at most {MAX_KEYS} are taken")
    try:
        found = _maps.decode(data)
    except msgspec.ValidationError:  # keys that are no text, in a field that is not known here
        return
    if len(found) != num_keys:
        raise ProtocolError("the header has a key twice; send each once")
    if levels > 1:
        for value in found.values():
            inner = bytes(value)
            if inner[0] in _MAP_TYPES:
                _check_keys(inner, levels=levels - 1)


def id_of(parts: list[bytes]) -> int:
    """The request id in a message that could not be read, or 0."""
    try:
        number = _envelopes.decode(parts[1]).id
    except Exception:  # whatever is wrong with it, an answer without an id is still an answer
        return 0
    return number if 0 < number < 2**32 else 0


class Received(NamedTuple):
    """One message: its parts, whether it was within bounds, the sender's CURVE key ("" without CURVE) and address."""

    parts: list[bytes]
    whole: bool
    user: str
    address: str
    source: int = -1
    """Descriptor of the connection, where it was asked for."""
    size_bytes: int = 0
    num_parts: int = 1

    @property
    def sender(self) -> bytes:
        """Whose fault it is if it cannot be read: the key's owner, or without keys the connection."""
        return self.user.encode() or self.parts[0]


def receive(
    socket: zmq.Socket[Any], *, max_parts: int, max_bytes: int, with_peer: bool = False, with_source: bool = False
) -> Received:
    """One whole message; what is beyond the bounds is not kept. ``with_peer`` asks who sent it: without, this machine.

    ``MAXMSGSIZE`` of ZeroMQ bounds one part and not their number, so the parts are counted here.

    Raises:
        zmq.Again: there is none.
    """
    parts: list[bytes] = []
    size, num_parts, whole, user, address = 0, 0, True, "", "127.0.0.1"
    while True:
        part = socket.recv(zmq.NOBLOCK, copy=False)
        size += len(part)
        num_parts += 1
        whole = whole and len(parts) < max_parts and size <= max_bytes
        if whole:
            parts.append(part.bytes)
        if not part.more:
            break
    if with_peer:
        user, address = str(part.get("User-Id")), str(part.get("Peer-Address"))
    source = int(part.get(zmq.SRCFD)) if with_source else -1
    return Received(parts, whole, user, address, source, size, num_parts)


def receive_frame(socket: zmq.Socket[Any], *, max_bytes: int) -> tuple[FrameHeader, memoryview | None] | None:
    """One frame as (header, pixels without a copy, or None when they are in shared memory); None when the message is
    not a frame.

    Raises:
        zmq.Again: there is none.
    """
    parts: list[zmq.Frame] = []
    whole = True
    while True:
        part = socket.recv(zmq.NOBLOCK, copy=False)
        whole = whole and len(parts) < 3
        if whole:
            parts.append(part)
        if not part.more:
            break
    if not whole or len(parts) < 2:
        return None
    try:
        header = decode(frame_headers, [parts[0].bytes, parts[1].bytes], limit_bytes=MAX_HEADER_BYTES)
    except (ProtocolError, TooLarge):
        return None
    if len(parts) != (3 if header.loc == "inline" else 2) or len(parts[-1]) > max_bytes:
        return None
    return header, parts[2].buffer if header.loc == "inline" else None
