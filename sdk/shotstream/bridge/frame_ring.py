"""Frames in shared memory, for receivers on the same machine: one writer that never waits, readers that never copy.

    ring = RingWriter(layout)                         # makes the segment ring.name
    ticket = ring.write(frame.image, FrameHeader(frame_id=frame.index))

    ring = RingReader(name)                           # in another process of the same user
    with ring.read(ticket) as frame:                  # or ring.latest() in place of a ticket
        upload(frame.planes[0])                       # a view into shared memory
    # FrameOverrun here: the writer came round meanwhile, and what was uploaded may be torn

A ring holds the last ``num_slots`` frames; a reader that needs longer than that for one frame is told so when it leaves
the ``with``. The layout of the segment is written down in ``csrc/include/shotstream/frame_ring.h``.
"""

from __future__ import annotations

import contextlib
import errno
import operator
import os
import re
import secrets
import struct
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from types import ModuleType, TracebackType
from typing import NamedTuple

from ..errors import BridgeError, CapacityError, ClosedError, ConfigError, DeviceError
from .pixels import Bytes, Origin, PixelFormat, PixelLayout

try:
    from shotstream import _native
except ImportError:  # a source tree that was not built; said when a ring is made or opened
    _native = None  # type: ignore[assignment, unused-ignore]

SEGMENTS_FOLDER = "/dev/shm"
ROW_ALIGN = 256
"""What Direct3D 12 asks of rows; a reader can hand the memory on as it is."""

_NAME = re.compile(r"/shotstream-(?P<uid>\d{1,10})-(?P<pid>\d{1,10})-[0-9a-f]{16}")
_COLOR_SPACES = {PixelFormat.NV12: 2}
_SRGB = 1
_FULL = {errno.ENOSPC, errno.ENOMEM, errno.EFBIG}


class FrameOverrun(BridgeError):
    """The writer has reused the slot of the frame; take a newer frame, or ask for a ring with more slots."""


class Ticket(NamedTuple):
    """Where a frame lies. ``sequence`` is even and grows by 2 with every frame of the ring."""

    slot: int
    sequence: int


@dataclass(frozen=True, kw_only=True)
class FrameHeader:
    """What travels with the pixels of a frame. Times are nanoseconds; a field that is not used is 0.

    Attributes:
        flags: bit mask of the wire protocol.
        frame_id: number of the frame in the output, from 0. source_id: of the generated frame; equal for repeats.
        seed: of the film.
        pts_ns: time in the film. present_at_ns: when to show it; generated_ns: when its pixels were ready (both
            CLOCK_MONOTONIC of the server). received_ns: for the receiver.
        shot_id, shot_frame, block_id, take_id: where in the film it was made.
        prompt_rev, last_cmd: prompt edits seen so far, and the last command that first shows on this frame.
        rate_num, rate_den: frames a second. timecode, tc_rate_num, tc_rate_den, tc_flags: SMPTE timecode.
    """

    flags: int = 0
    frame_id: int = 0
    source_id: int = 0
    seed: int = 0
    pts_ns: int = 0
    present_at_ns: int = 0
    generated_ns: int = 0
    received_ns: int = 0
    shot_id: int = 0
    shot_frame: int = 0
    block_id: int = 0
    take_id: int = 0
    prompt_rev: int = 0
    last_cmd: int = 0
    rate_num: int = 0
    rate_den: int = 0
    timecode: int = 0
    tc_rate_num: int = 0
    tc_rate_den: int = 0
    tc_flags: int = 0

    def pack(self) -> bytes:
        """The 192 bytes of ``shs_ring_frame``; sizes and places are filled in when the frame is committed.

        Raises:
            ConfigError: a field is outside its range.
        """
        try:
            return _HEADER.pack(*_values(self))
        except struct.error as error:
            for field in fields(self):
                value, code = getattr(self, field.name), _CODES[field.name]
                with contextlib.suppress(struct.error):
                    struct.pack(code, value)
                    continue
                bits, sign = 8 * struct.calcsize(code), "unsigned " if code.isupper() else ""
                raise ConfigError(f"{field.name}={value!r} is not an {sign}integer of {bits} bits") from error
            raise

    @classmethod
    def unpack(cls, data: bytes) -> FrameHeader:
        values = _HEADER.unpack(data)
        return cls(**{field.name: value for field, value in zip(fields(cls), values, strict=True)})


_values = operator.attrgetter(*(field.name for field in fields(FrameHeader)))
# struct_size and, between last_cmd and rate_num, six sizes and formats belong to the ring, as does the end.
_HEADER = struct.Struct("<4xI3Q4q6I24x6I24x32x")
_CODES = dict(
    zip((field.name for field in fields(FrameHeader)), ["<I", *["<Q"] * 3, *["<q"] * 4, *["<I"] * 12], strict=True)
)


@dataclass(frozen=True, kw_only=True)
class RingFrame:
    """A frame of the ring, as :meth:`RingReader.read` lends it.

    Attributes:
        planes: read-only views (see :meth:`PixelLayout.planes`), whole only if leaving the ``with`` raises nothing.
        pixels: the same bytes, uint8 ``(layout.size_bytes,)``.
        packed_header: the bytes of ``header``, which few readers need.
    """

    ticket: Ticket
    planes: tuple[Bytes, ...]
    pixels: Bytes
    packed_header: bytes

    @property
    def header(self) -> FrameHeader:
        return FrameHeader.unpack(self.packed_header)


class RingWriter:
    """Makes a ring and writes frames into it. One thread at a time.

    Making one first removes the segments that ended writers of this user left behind.

    Args:
        layout: how pictures lie in a slot; rows are padded to :data:`ROW_ALIGN` bytes whatever it says.
        num_slots: 4..64. Readers have ``num_slots - 1`` frame times to use a frame.
        epoch: number of the server's life, so that readers can tell an old ring from a new one.

    Raises:
        ConfigError: the ring cannot be laid out (at most 1 GiB).
        CapacityError: there is not enough shared memory.
        BridgeError: the operating system refused.
    """

    def __init__(self, layout: PixelLayout, *, num_slots: int = 8, epoch: int = 0) -> None:
        native = _require_native()
        remove_abandoned_rings()
        self.layout = replace(layout, row_align=ROW_ALIGN)
        self.num_slots = num_slots
        self.epoch = epoch
        self.num_written = 0
        self.name = f"/shotstream-{os.geteuid()}-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            self._ring = native.RingWriter(
                name=self.name,
                num_slots=num_slots,
                width=layout.width_px,
                height=layout.height_px,
                stride=self.layout.stride_bytes,
                pixel_format=layout.format.number,
                origin=layout.origin.number,
                color_space=_COLOR_SPACES.get(layout.format, _SRGB),
                data_size=self.layout.size_bytes,
                epoch=epoch,
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"num_slots={num_slots}, epoch={epoch}: {str(error).splitlines()[0]}") from error
        except OSError as error:
            kind = CapacityError if error.errno in _FULL else BridgeError
            raise kind(f"shared memory for frames: {error.strerror}; use fewer slots, or send pixels inline") from error
        self._close = weakref.finalize(self, self._ring.close)  # also at interpreter exit
        self.beat()

    def write(self, image: Bytes, header: FrameHeader | None = None) -> Ticket:
        """Pack a picture into the next slot, over the oldest frame, without waiting for anyone.

        Args:
            image: as in :meth:`PixelLayout.pack_into`.
            header: the frame's ids and times.

        Raises:
            ConfigError: the picture or a header field does not fit. The ring stays usable.
            ClosedError: after :meth:`close`.
        """
        packed = (header or FrameHeader()).pack()
        self._require_open()
        slot, pixels = self._ring.begin()
        self.layout.pack_into(image, pixels)
        sequence = self._ring.commit(packed)
        self.num_written += 1
        self.beat()
        return Ticket(slot, sequence)

    def num_until_lost(self, ticket: Ticket) -> int:
        """Frames that may still be written before one of this ring is overwritten; below 0 it has been."""
        return self.num_slots - 1 - (self.num_written - ticket.sequence // 2)

    def beat(self) -> None:
        """Say that the writer lives; every frame does so too."""
        self._require_open()
        self._ring.beat(time.monotonic_ns())

    def close(self) -> None:
        """Remove the segment. Readers keep what they have open, and see that the writer is gone."""
        self._close()

    def _require_open(self) -> None:
        if not self._close.alive:
            raise ClosedError(f"the ring {self.name} is closed; make a new one")

    def __enter__(self) -> RingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RingReader:
    """Opens a ring by name, read-only. Any number of readers, none of which the writer knows.

    Args:
        name: as the writer gave it.
        epoch: refuse the ring of another life of the server; None takes any.

    Raises:
        BridgeError: there is no such ring, or it is not to be trusted: it belongs to another user, others may open it,
            its header contradicts itself or its size, or it has another epoch.
    """

    def __init__(self, name: str, *, epoch: int | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise BridgeError(f"{name[:80]!r} is not the name of a frame ring; use the one that the server gave")
        try:
            self._ring = _require_native().RingReader(name)
            self.layout = PixelLayout(
                width_px=self._ring.width,
                height_px=self._ring.height,
                format=list(PixelFormat)[self._ring.pixel_format - 1],
                origin=list(Origin)[self._ring.origin - 1],
                row_align=ROW_ALIGN,
            )
        except (OSError, ValueError) as error:
            text = (error.strerror if isinstance(error, OSError) else None) or error
            raise BridgeError(f"frame ring {name}: {text}; subscribe again, or ask for inline pixels") from error
        self.name = name
        self.num_slots: int = self._ring.num_slots
        self.epoch: int = self._ring.epoch
        self._is_open = True
        if self.layout.stride_bytes != self._ring.stride:
            raise BridgeError(
                f"frame ring {name}: rows of {self._ring.stride} bytes; expected a multiple of {ROW_ALIGN}"
            )
        if epoch is not None and epoch != self.epoch:
            raise BridgeError(f"frame ring {name} has epoch {self.epoch}, expected {epoch}; subscribe again")

    def latest(self) -> Ticket | None:
        """The newest complete frame, or None before the first."""
        self._require_open()
        number = self._ring.num_written
        return Ticket((number - 1) % self.num_slots, 2 * number) if number else None

    @contextlib.contextmanager
    def read(self, ticket: Ticket) -> Iterator[RingFrame]:
        """Lend a frame without copying it.

        Views stay mapped even after :meth:`close`, but after the ``with`` the writer may change what they show.

        Raises:
            FrameOverrun: on entry, or on leaving, the slot holds a later frame.
            BridgeError: the ticket is not one of this ring, or its frame is not complete.
            ClosedError: after :meth:`close`.
        """
        yield self.look(ticket)
        if not self.is_whole(ticket):
            raise FrameOverrun(
                f"frame with sequence {ticket.sequence} was overwritten while it was read; discard what you saw"
            )

    def look(self, ticket: Ticket) -> RingFrame:
        """A frame where it lies, to be used before :meth:`is_whole` is asked. Raises as :meth:`read` does on entry."""
        self._require_open()
        slot, sequence = ticket
        if not 2 <= sequence < 2**63 or sequence % 2 or slot != (sequence // 2 - 1) % self.num_slots:
            raise BridgeError(f"slot {slot} with sequence {sequence} is not a ticket of frame ring {self.name}")
        status, header, pixels = self._ring.look(sequence)
        if status == _native.RING_OVERRUN:
            raise FrameOverrun(f"frame with sequence {sequence} has been overwritten; take a newer one")
        if header is None or pixels is None:
            raise BridgeError(f"frame with sequence {sequence} is not written yet; use the ticket of a complete frame")
        return RingFrame(ticket=ticket, planes=self.layout.planes(pixels), pixels=pixels, packed_header=header)

    def is_whole(self, ticket: Ticket) -> bool:
        """The slot still holds that frame, so that what was read of it up to now is not torn."""
        self._require_open()
        return bool(self._ring.is_intact(ticket.sequence))

    def copy(self, ticket: Ticket) -> RingFrame:
        """The frame in memory of its own, whole. Raises as :meth:`read` does."""
        with self.read(ticket) as frame:
            pixels = frame.pixels.copy()
        return replace(frame, pixels=pixels, planes=self.layout.planes(pixels))

    @property
    def silence_s(self) -> float:
        """Seconds since the writer last wrote or said that it lives."""
        self._require_open()
        return (time.monotonic_ns() - self._ring.heartbeat_ns) / 1e9

    def is_writer_alive(self) -> bool:
        """False once the writer has closed the ring or its process has ended, however it did."""
        self._require_open()
        return self._ring.is_writer_alive()

    def close(self) -> None:
        self._is_open = False
        self._ring.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise ClosedError(f"the ring {self.name} is closed; open it again")

    def __enter__(self) -> RingReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_abandoned_rings() -> list[str]:
    """Remove the rings of this user whose writer has ended without doing so; their names.

    Rings of living writers and of other users stay.
    """
    native = _require_native()
    removed = []
    with contextlib.suppress(FileNotFoundError):  # a system without that folder has no list of segments
        for entry in sorted(os.listdir(SEGMENTS_FOLDER)):
            found = _NAME.fullmatch("/" + entry)
            if (
                found
                and int(found["uid"]) == os.geteuid()
                and native.remove_if_abandoned("/" + entry, min(int(found["pid"]), 2**31 - 1))
            ):
                removed.append("/" + entry)
    return removed


def _require_native() -> ModuleType:
    if _native is None:
        raise DeviceError("shotstream._native is not built, and shared memory needs it; run: pip install .")
    return _native
