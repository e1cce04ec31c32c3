"""One writer, many readers, in one process: what a ring holds, refuses and says. See also the processes' tests."""

import os
import random
import resource
import stat
from pathlib import Path

import numpy as np
import pytest

from shotstream import _native
from shotstream.bridge.frame_ring import (
    SEGMENTS_FOLDER,
    FrameHeader,
    FrameOverrun,
    RingReader,
    RingWriter,
    Ticket,
    remove_abandoned_rings,
)
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout
from shotstream.errors import BridgeError, CapacityError, ClosedError, ConfigError

LAYOUT = PixelLayout(width_px=20, height_px=12)


def picture(number, layout=LAYOUT):
    return np.random.default_rng(number).integers(0, 256, (layout.height_px, layout.width_px, 3), np.uint8)


def segment(ring):
    return Path(SEGMENTS_FOLDER) / ring.name[1:]


@pytest.fixture
def ring():
    with RingWriter(LAYOUT, num_slots=4, epoch=77) as writer:
        yield writer


@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("origin", Origin)
def test_a_frame_arrives_as_it_was_packed(pixel_format, origin):
    layout = PixelLayout(width_px=22, height_px=12, format=pixel_format, origin=origin, row_align=256)
    with RingWriter(layout, epoch=5) as writer, RingReader(writer.name, epoch=5) as reader:
        assert reader.latest() is None
        header = FrameHeader(frame_id=2**63, seed=3, pts_ns=-4, shot_id=5, last_cmd=6, rate_num=16, tc_flags=7)
        ticket = writer.write(picture(1, layout), header)
        assert reader.latest() == ticket == (0, 2)
        assert (reader.layout, reader.num_slots, reader.epoch) == (layout, 8, 5)
        with reader.read(ticket) as frame:
            assert frame.header == header
            for plane, want in zip(frame.planes, layout.planes(layout.pack(picture(1, layout))), strict=True):
                assert np.array_equal(plane, want)
                assert not plane.flags.writeable and plane.base is not None


def test_random_runs_agree_with_a_plain_model(ring):
    """Writes, late reads and slow reads in any order, against a list that remembers every frame."""
    rng = random.Random(0)
    written, held = [], []
    with RingReader(ring.name) as reader:
        for step in range(3000):
            action = rng.random()
            if action < 0.4:
                number = len(written)
                ticket = ring.write(picture(number), FrameHeader(frame_id=number))
                assert ticket == (number % 4, 2 * number + 2)
                written.append(ticket)
            elif action < 0.6 and written:
                ticket = rng.choice(written[-7:])
                entered = reader.read(ticket)
                if ticket.sequence <= 2 * (len(written) - 4):
                    with pytest.raises(FrameOverrun, match="overwritten"):
                        entered.__enter__()
                else:
                    held.append((entered, entered.__enter__(), ticket))
            elif action < 0.8 and held:
                entered, frame, ticket = held.pop(rng.randrange(len(held)))
                number = ticket.sequence // 2 - 1
                if ticket.sequence <= 2 * (len(written) - 4):
                    with pytest.raises(FrameOverrun, match="while it was read"):
                        entered.__exit__(None, None, None)
                else:
                    assert frame.header.frame_id == number, step
                    assert np.array_equal(frame.planes[0][..., :3], picture(number))
                    entered.__exit__(None, None, None)
            else:
                assert reader.latest() == (written[-1] if written else None)
    assert len(written) > 1000


def test_a_frame_in_the_making_is_told_from_old_and_new(ring):
    """Between begin and commit the old frame of the slot is gone and the new one is not there yet."""
    with RingReader(ring.name) as reader:
        tickets = [ring.write(picture(n)) for n in range(4)]
        with pytest.raises(FrameOverrun, match="while it was read"), reader.read(tickets[0]):
            ring._ring.begin()
        with pytest.raises(FrameOverrun), reader.read(tickets[0]):
            pass
        with pytest.raises(BridgeError, match="not written yet"), reader.read(Ticket(0, 10)):
            pass
        assert reader.latest() == tickets[3]


def test_a_refused_picture_leaves_the_ring_usable(ring):
    with pytest.raises(ConfigError, match="image is"):
        ring.write(np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"shot_id=-1 is not an unsigned integer of 32 bits"):
        ring.write(picture(0), FrameHeader(shot_id=-1))
    with pytest.raises(ConfigError, match=r"pts_ns=9223372036854775808 is not an integer of 64 bits"):
        ring.write(picture(0), FrameHeader(pts_ns=2**63))
    ticket = ring.write(picture(1))
    with RingReader(ring.name) as reader, reader.read(ticket) as frame:
        assert np.array_equal(frame.planes[0][..., :3], picture(1))


@pytest.mark.parametrize("ticket", [(0, 0), (0, 1), (1, 2), (0, 3), (-1, 2), (0, 2**64), (0, -2)])
def test_tickets_that_no_writer_gives_are_refused(ring, ticket):
    ring.write(picture(0))
    with (
        RingReader(ring.name) as reader,
        pytest.raises(BridgeError, match="not a ticket"),
        reader.read(Ticket(*ticket)),
    ):
        pass


def test_copies_and_views_outlive_the_ring(ring):
    reader = RingReader(ring.name)
    ticket = ring.write(picture(5), FrameHeader(frame_id=5))
    copied = reader.copy(ticket)
    with reader.read(ticket) as frame:
        view = frame.planes[0]
    reader.close()
    ring.close()
    assert np.array_equal(view[..., :3], picture(5)), "still mapped"
    assert np.array_equal(copied.planes[0], view) and copied.pixels.base is None and copied.header.frame_id == 5


def test_closed_ends_say_so(ring):
    reader = RingReader(ring.name)
    ticket = ring.write(picture(0))
    with pytest.raises(ClosedError), reader.read(ticket):
        reader.close()
    for use in (reader.latest, reader.is_writer_alive, lambda: reader.silence_s, lambda: reader.copy(ticket)):
        with pytest.raises(ClosedError, match="open it again"):
            use()
    ring.close()
    ring.close()
    for use in (ring.beat, lambda: ring.write(picture(0))):
        with pytest.raises(ClosedError, match="make a new one"):
            use()


def test_readers_see_whether_the_writer_lives(ring):
    with RingReader(ring.name) as reader:
        assert reader.is_writer_alive() and 0 <= reader.silence_s < 5
        ring.close()
        assert not reader.is_writer_alive()


def test_the_segment_is_private_and_goes_with_its_writer(ring):
    path = segment(ring)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == os.geteuid()
    assert ring.name.startswith(f"/shotstream-{os.geteuid()}-{os.getpid()}-")
    assert ring.name not in remove_abandoned_rings() and path.exists(), "a living writer's ring stays"
    ring.close()
    assert not path.exists()
    with pytest.raises(BridgeError, match="No such file"):
        RingReader(ring.name)


def test_a_dropped_writer_leaves_nothing():
    writer = RingWriter(LAYOUT)
    path = segment(writer)
    assert path.exists()
    del writer
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "/shotstream-0-1-0123456789abcdeg", "/shotstream-0-1-../../../x"])
def test_other_names_are_refused_before_they_are_opened(name):
    with pytest.raises(BridgeError, match="not the name of a frame ring"):
        RingReader(name)


def test_another_epoch_is_refused(ring):
    assert RingReader(ring.name, epoch=77).epoch == 77
    with pytest.raises(BridgeError, match="epoch 77, expected 78"):
        RingReader(ring.name, epoch=78)


@pytest.mark.parametrize("options", [{"num_slots": 3}, {"num_slots": 65}, {"num_slots": -1}, {"epoch": 2**64}])
def test_rings_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}="):
        RingWriter(LAYOUT, **options)


def test_a_ring_beyond_the_limit_is_refused():
    with pytest.raises(ConfigError, match="1 GiB"):
        RingWriter(PixelLayout(width_px=8192, height_px=8192), num_slots=4)


def test_too_little_shared_memory_is_a_capacity_error():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(CapacityError, match="use fewer slots"):
            RingWriter(LAYOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ours = f"shotstream-{os.geteuid()}-{os.getpid()}-"
    assert not [name for name in os.listdir(SEGMENTS_FOLDER) if name.startswith(ours)], "nothing half-made is left"


# offset in the segment, bytes, and what the reader says
HOSTILE = [
    (0, b"\0" * 8, "not a frame ring"),
    (8, b"\2", "another version"),
    (16, b"\xff" * 8, "another size"),
    (24, b"\0\x30", "slot_stride"),
    (32, b"\xff\xff\xff\xff", "num_slots"),
    (36, b"\0\0\0\0", "width"),
    (40, b"\xff\xff\xff\x7f", "height"),
    (44, b"\x10\0\0\0", "stride"),
    (48, b"\x09", "pixel_format"),
    (52, b"\x03", "origin"),
    (56, b"\x02", "color_space"),
    (64, b"\xff" * 8, "data_size"),
]


@pytest.mark.parametrize(("offset", "wrong", "reason"), HOSTILE, ids=[case[2] for case in HOSTILE])
def test_a_header_that_contradicts_itself_is_refused(ring, offset, wrong, reason):
    with open(segment(ring), "r+b") as file:
        file.seek(offset)
        file.write(wrong)
    with pytest.raises(BridgeError, match=reason):
        RingReader(ring.name)


def test_segments_of_a_wrong_size_or_mode_are_refused(ring):
    path = segment(ring)
    for mode in (0o644, 0o620):
        path.chmod(mode)
        with pytest.raises(BridgeError, match="must be 0600"):
            RingReader(ring.name)
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(BridgeError, match="another size"):
        RingReader(ring.name)
    os.truncate(path, 0)
    with pytest.raises(BridgeError, match="size of 0 bytes"):
        RingReader(ring.name)


def test_random_bytes_in_the_headers_never_break_a_reader(ring):
    """Either the ring is refused, or every frame is read or refused; nothing else can happen."""
    rng = random.Random(1)
    tickets = [ring.write(picture(n)) for n in range(4)]
    path = segment(ring)
    whole = path.read_bytes()
    outcomes = {"refused ring": 0, "refused frame": 0, "read": 0}
    for _ in range(1500):
        with open(path, "r+b") as file:
            file.write(whole[:4608])
            for _ in range(rng.randint(1, 3)):
                file.seek(rng.choice([rng.randrange(8, 176), 4096 + rng.randrange(256)]))
                file.write(rng.randbytes(rng.choice([1, 2, 8])))
        try:
            with RingReader(ring.name) as reader:
                for ticket in tickets:
                    try:
                        assert reader.copy(ticket).pixels.size == LAYOUT.num_rows * 256
                        outcomes["read"] += 1
                    except BridgeError:
                        outcomes["refused frame"] += 1
        except BridgeError:
            outcomes["refused ring"] += 1
    assert min(outcomes.values()) > 50, outcomes


def test_a_header_changed_after_opening_cannot_lead_a_reader_outside(ring):
    ticket = ring.write(picture(0))
    with RingReader(ring.name) as reader:
        with open(segment(ring), "r+b") as file:
            file.seek(24)
            file.write(b"\xff" * 60)
        with reader.read(ticket) as frame:
            assert np.array_equal(frame.planes[0][..., :3], picture(0))


def test_places_in_the_segment_are_those_written_down(ring):
    """What clients in other languages rely on."""
    ticket = [ring.write(picture(n), FrameHeader(flags=1, frame_id=n, shot_id=9, tc_flags=3)) for n in range(2)][1]
    memory = np.frombuffer(segment(ring).read_bytes(), np.uint8)
    stride = 4096 + 4096  # page of the slot, 12 rows of 256 bytes in one page
    assert memory[:8].tobytes() == b"SHSRing1" and memory.size == 4096 + 4 * stride
    assert memory[160:168].view("<u8")[0] == 2, "frames written"
    slot = memory[4096 + stride : 4096 + 2 * stride]
    assert slot[:8].view("<u8")[0] == ticket.sequence == 4
    frame = slot[64:256]
    assert frame[:8].view("<u4").tolist() == [192, 1] and frame[8:16].view("<u8")[0] == 1
    assert frame[64:136].view("<u4").tolist() == [9, *[0] * 5, 20, 12, 256, 1, 1, 1, *[0] * 5, 3]
    assert frame[136:160].view("<u8").tolist() == [256 * 12, 4, 4096 + stride + 4096]
    rows = slot[4096:].reshape(16, 256)[:12, :80].reshape(12, 20, 4)
    assert np.array_equal(rows[..., :3], picture(1))


def test_native_ring_refuses_what_would_crash(ring):
    with pytest.raises(ValueError, match="192 bytes"):
        ring._ring.commit(b"short")
    with RingReader(ring.name) as reader:
        for sequence in (0, 1, 3):
            with pytest.raises(ValueError, match="complete frame"):
                reader._ring.is_intact(sequence)
        assert reader._ring.look(0)[0] == _native.RING_NOT_YET
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader._ring.look(2)
