"""Pixels of frames in the layouts that clients asked for, each made once: in memory for those who get them with the
message, in a ring for those who read shared memory.

Frames are packed in the programme's thread shortly before they are due, so that it costs no time on their way.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import threading

import numpy as np

from ..errors import BridgeError, CapacityError, ConfigError
from ..frames import Frame
from .frame_ring import FrameHeader as RingHeader
from .frame_ring import RingWriter, Ticket, remove_abandoned_rings
from .messages import Flag, SharedMemory
from .pixels import Bytes, Origin, PixelFormat, PixelLayout

log = logging.getLogger("shotstream.bridge")

RING_SECONDS = 0.25
"""How long a frame stays in a ring before it is overwritten, within 8..32 slots."""
SPARE_SLOTS = 2
"""A frame that is this near to being overwritten is not announced any more: the reader needs time as well."""


def can_pack() -> bool:
    """Formats other than RGB with 8 bits can be made; a source tree that was not built cannot."""
    return importlib.util.find_spec("shotstream._native") is not None


def can_share() -> bool:
    """Frames can lie in shared memory that other processes read."""
    return os.name == "posix" and can_pack()


def is_plain(layout: PixelLayout) -> bool:
    """The picture is sent as the film has it."""
    return layout.format is PixelFormat.RGB8 and layout.origin is Origin.TOP_LEFT


class Picture:
    """The pixels of one frame, in as many layouts as were asked for."""

    def __init__(self, image: Bytes, slots: dict[PixelLayout, tuple[RingWriter, Ticket]] | None = None) -> None:
        self._image = image
        self._packed: dict[PixelLayout, memoryview] = {}
        self._slots = slots or {}

    def pixels(self, layout: PixelLayout) -> memoryview:
        """The picture as ``layout`` has it."""
        if layout not in self._packed:
            self._packed[layout] = (self._image if is_plain(layout) else layout.pack(self._image)).data
        return self._packed[layout]

    def slot(self, layout: PixelLayout, ring_name: str) -> tuple[Ticket, int] | None:
        """Where the picture lies in that ring, and the bytes of a row there; None when it does not, or not for long.

        A ring of the same layout may have been removed and made anew since the picture was packed.
        """
        ring, ticket = self._slots.get(layout, (None, None))
        if ring is None or ticket is None or ring.name != ring_name or ring.num_until_lost(ticket) < SPARE_SLOTS:
            return None
        return ticket, ring.layout.stride_bytes


class Packer:
    """Keeps a ring for each layout that somebody reads in shared memory, and packs frames ahead of their time.

    ``ring`` and ``want`` are for the bridge thread, ``pack`` for the programme's.
    """

    def __init__(self, fps: float, *, epoch: int) -> None:
        self._num_slots = min(32, max(8, math.ceil(fps * RING_SECONDS)))
        self._epoch = epoch
        self._lock = threading.Lock()
        self._rings: dict[PixelLayout, RingWriter] = {}
        self._inline: frozenset[PixelLayout] = frozenset()
        self._refused = False

    def clean_up(self) -> None:
        """Remove what servers of this user that were killed have left in shared memory."""
        if can_share():
            remove_abandoned_rings()

    def ring(self, layout: PixelLayout) -> SharedMemory | None:
        """The ring with pictures of this layout, made if needed; None when this machine has no room for it."""
        if not can_share():
            return None
        with self._lock:
            ring = self._rings.get(layout)
            if ring is None:
                try:
                    ring = self._rings[layout] = RingWriter(layout, num_slots=self._num_slots, epoch=self._epoch)
                except (BridgeError, CapacityError, ConfigError) as error:
                    if not self._refused:
                        log.warning("frames go to clients on this machine by TCP: %s", error)
                    self._refused = True
                    return None
        return SharedMemory(name=ring.name, slots=ring.num_slots, stride=ring.layout.stride_bytes)

    def want(self, *, shared: frozenset[PixelLayout], inline: frozenset[PixelLayout]) -> None:
        """Which layouts the next frames are wanted in. Rings that nobody reads any more are removed."""
        self._inline = inline
        if shared == self._rings.keys():
            return
        with self._lock:
            for layout in [one for one in self._rings if one not in shared]:
                self._rings.pop(layout).close()

    def pack(self, frame: Frame, *, number: int, due_ns: int) -> Picture:
        """The frame in all layouts that are wanted now."""
        slots = {}
        image = np.ascontiguousarray(frame.image)
        with self._lock:
            for layout, ring in self._rings.items():
                slots[layout] = ring, ring.write(image, _ring_header(frame, number=number, due_ns=due_ns))
        picture = Picture(image, slots)
        for layout in self._inline:
            picture.pixels(layout)
        return picture

    def close(self) -> None:
        """Remove all rings."""
        self.want(shared=frozenset(), inline=frozenset())


def _ring_header(frame: Frame, *, number: int, due_ns: int) -> RingHeader:
    return RingHeader(
        flags=int(Flag.SHOT_START) if frame.is_cut else 0,
        frame_id=number,
        source_id=frame.index,
        seed=frame.seed,
        pts_ns=round(frame.time_s * 1e9),
        present_at_ns=due_ns,
        generated_ns=round(frame.generated_at * 1e9),
        shot_id=frame.shot,
        shot_frame=frame.frame_in_shot,
        block_id=frame.block,
        prompt_rev=frame.revision,
        last_cmd=max(frame.receipts, default=0),
    )
