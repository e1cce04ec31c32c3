"""The ring between processes: torn frames are told, and a writer that dies leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from shotstream.bridge.frame_ring import (
    SEGMENTS_FOLDER,
    FrameHeader,
    FrameOverrun,
    RingReader,
    RingWriter,
    remove_abandoned_rings,
)
from shotstream.bridge.pixels import PixelLayout
from tests.bridge.waiting import PATIENCE_S, wait_until

LAYOUT = PixelLayout(width_px=64, height_px=48)

WRITER = """
import sys
import numpy as np
from shotstream.bridge.frame_ring import FrameHeader, RingWriter
from shotstream.bridge.pixels import PixelLayout

ring = RingWriter(PixelLayout(width_px=64, height_px=48), num_slots=4, epoch=3)
print(ring.name, flush=True)
number = 0
while sys.argv[1] == "flood":
    # Every pixel of a frame shows the number of the frame, so a mixture of two frames is seen at once.
    ring.write(np.full((48, 64, 3), number % 251, np.uint8), FrameHeader(frame_id=number))
    number += 1
sys.stdin.read()
"""


class Writer:
    """A writing process, and the name of its ring."""

    def __init__(self, mode):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=30)
        remove_abandoned_rings()

    @property
    def path(self):
        return Path(SEGMENTS_FOLDER) / self.name[1:]


def test_no_torn_frame_passes_for_a_whole_one():
    """Quick and slow reads against a writer that never stops: slow ones are torn and told, quick ones mostly whole."""
    whole = told = torn_and_told = 0
    deadline = time.monotonic() + 2 * PATIENCE_S
    with Writer("flood") as writer, RingReader(writer.name, epoch=3) as reader:
        while not (whole > 1000 and torn_and_told > 20):
            assert time.monotonic() < deadline, (whole, told, torn_and_told)
            ticket = reader.latest()
            if ticket is None:
                continue
            seen = None
            try:
                with reader.read(ticket) as frame:
                    wanted = frame.header.frame_id % 251
                    top = frame.planes[0][:24].copy()
                    if (whole + told) % 10 == 0:
                        time.sleep(0.002)
                    seen = np.concatenate([top, frame.planes[0][24:]])[..., :3]
            except FrameOverrun:
                told += 1
                torn_and_told += seen is not None and not (seen == wanted).all()
            else:
                whole += 1
                assert ticket.sequence == 2 * frame.header.frame_id + 2 and (seen == wanted).all()


def test_a_killed_writer_leaves_no_segment_after_the_next_start():
    with Writer("flood") as writer, RingReader(writer.name) as reader:
        assert reader.is_writer_alive()
        writer.process.send_signal(signal.SIGKILL)
        writer.process.wait(timeout=30)
        assert not reader.is_writer_alive() and writer.path.exists()
        ticket = reader.latest()
        if ticket is not None:
            assert len(reader.copy(ticket).planes) == 1, "the last whole frame can still be read"
        with RingWriter(LAYOUT) as successor:
            assert not writer.path.exists() and (Path(SEGMENTS_FOLDER) / successor.name[1:]).exists()


def test_a_stopped_writer_is_alive_but_silent():
    with Writer("flood") as writer, RingReader(writer.name) as reader:
        writer.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: reader.silence_s >= 0.1)
        assert reader.is_writer_alive()
        assert writer.name not in remove_abandoned_rings(), "it may go on"


@pytest.mark.parametrize("ending", ["end of input", "interrupt"])
def test_a_writer_that_ends_by_itself_removes_its_segment(ending):
    with Writer("wait") as writer:
        assert writer.path.exists()
        if ending == "interrupt":
            writer.process.send_signal(signal.SIGINT)
        else:
            writer.process.stdin.close()
            writer.process.stdin = None
        writer.process.wait(timeout=30)
        assert not writer.path.exists()


def test_a_reader_that_ends_leaves_the_segment_alone():
    with RingWriter(LAYOUT) as ring:
        ring.write(np.zeros((48, 64, 3), np.uint8))
        code = f"from shotstream.bridge.frame_ring import RingReader as R; r = R({ring.name!r}); print(r.latest())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.strip() == "Ticket(slot=0, sequence=2)"
        with RingReader(ring.name) as reader:
            assert reader.latest() == (0, 2)


def test_a_forked_child_does_not_remove_the_ring_of_its_parent():
    with RingWriter(LAYOUT) as ring:
        child = os.fork()
        if child == 0:
            ring.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ticket = ring.write(np.zeros((48, 64, 3), np.uint8), FrameHeader(frame_id=8))
        with RingReader(ring.name) as reader:
            assert reader.copy(ticket).header.frame_id == 8


def test_a_segment_in_the_making_stays_while_its_process_lives():
    """Before the lock is taken the bytes are zero: only a process id without a process makes such a file abandoned."""
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait(timeout=60)
    names = [f"shotstream-{os.geteuid()}-{pid}-{'0' * 16}" for pid in (os.getpid(), finished.pid)]
    try:
        for name in names:
            (Path(SEGMENTS_FOLDER) / name).touch(mode=0o600)
        assert "/" + names[1] in remove_abandoned_rings()
        assert os.path.exists(f"{SEGMENTS_FOLDER}/{names[0]}")
    finally:
        for name in names:
            (Path(SEGMENTS_FOLDER) / name).unlink(missing_ok=True)
