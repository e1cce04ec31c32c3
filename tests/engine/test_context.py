"""Which frames are remembered."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.engine.context import MAX_KEPT_FRAMES, ContextMemory, context_frames, frames_per_shot
from shotstream.engine.protocol import Pin
from shotstream.errors import ScriptError


def _memory(lengths: list[int], budget: int = 6, pins: tuple[Pin, ...] = ()) -> tuple[ContextMemory, list[int]]:
    """Feeds shots whose pixels name themselves; returns the memory and the log of encodings."""
    encoded: list[int] = []

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        encoded.append(int(pixels[0, 0, 0]))
        return pixels[:1]

    memory = ContextMemory(budget, encode)
    for shot, length in enumerate(lengths):
        memory.finish_shots(pins)
        one = memory.begin_shot(shot, f"caption {shot}")
        for start in range(0, length, 12):
            numbers = torch.arange(start, min(start + 12, length)) + 1000.0 * shot
            one.add(numbers[:, None, None, None].expand(-1, 3, 2, 2))
    memory.finish_shots(pins)
    return memory, encoded


def test_budget_goes_to_the_newest_shots_first() -> None:
    assert [frames_per_shot(n, 6) for n in (1, 2, 4, 7)] == [[6], [3, 3], [1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 1]]
    assert context_frames([81], 6) == [[0, 16, 32, 48, 64, 80]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 130), min_size=1, max_size=9), st.integers(1, 8))
def test_kept_frames_serve_every_context_exactly(lengths: list[int], budget: int) -> None:
    memory, _ = _memory(lengths, budget)
    want = [
        (shot, frame, 1000 * shot + frame)
        for shot, frames in enumerate(context_frames(lengths, budget))
        for frame in frames
    ]
    picks = memory.pick(len(lengths))
    assert [(p.shot, p.frame, int(memory.latent(p)[0, 0, 0])) for p in picks] == want
    assert [p.flag for p in picks] == [shot for shot, _, _ in want]
    assert [p.caption for p in picks] == [f"caption {shot}" for shot, _, _ in want]


def test_an_encoding_is_made_once() -> None:
    memory, encoded = _memory([81, 81])
    for shot in (2, 3):
        for pick in memory.pick(shot):
            memory.latent(pick)
    assert len(encoded) == len(set(encoded)) == 6


def test_old_shots_are_dropped_and_pinned_ones_stay() -> None:
    pins = (Pin(shot=0, frame=7),)
    memory, _ = _memory([20] * 12, pins=pins)
    assert [m.shot for m in memory.shots] == [0, 6, 7, 8, 9, 10, 11]
    picks = memory.pick(12, pins)
    assert (picks[0].shot, picks[0].frame) == (0, 7)
    assert picks[0].flag == 6, "a far memory keeps a phase that the model knows"
    assert len(picks) == 6 and [p.shot for p in picks[1:]] == [7, 8, 9, 10, 11]


def test_whole_shot_can_be_pinned() -> None:
    pins = (Pin(shot=1),)
    memory, _ = _memory([20] * 3, pins=pins)
    picks = memory.pick(3, pins)
    assert len(picks) == 6 and (1, 0) in {(p.shot, p.frame) for p in picks}


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        ((Pin(shot=9),), "only shots"),
        ((Pin(shot=1, frame=20),), "has 20 frames"),
        (tuple(Pin(shot=0, frame=i) for i in range(6)), "exceed the 5"),
    ],
)
def test_impossible_pins_are_refused(pins: tuple[Pin, ...], message: str) -> None:
    memory, _ = _memory([20] * 3)
    with pytest.raises(ScriptError, match=message):
        memory.check_pins(pins)


def test_endless_shot_keeps_a_bounded_even_sample() -> None:
    memory, _ = _memory([5000])
    one = ContextMemory(6, lambda pixels: pixels).begin_shot(0, "x")
    for start in range(0, 5000, 12):
        one.add(torch.arange(start, start + 12)[:, None, None, None].float().expand(-1, 3, 1, 1))
        assert len(one.frames) <= MAX_KEPT_FRAMES
    assert one.nearest(one.length - 1) == one.length - 1, "the newest frame is always there"
    gaps = {b - a for a, b in zip(sorted(one.frames)[:-2], sorted(one.frames)[1:-1], strict=True)}
    assert gaps == {one.stride}
    assert len(memory.pick(1)) == 6


def test_caption_in_force_when_the_frame_was_made_is_remembered() -> None:
    memory = ContextMemory(6, lambda pixels: pixels)
    shot = memory.begin_shot(0, "calm")
    shot.add(torch.zeros(9, 3, 1, 1))
    shot.captions.append((9, "storm"))
    shot.add(torch.zeros(12, 3, 1, 1))
    assert [p.caption for p in memory.pick(1)] == ["calm", "calm", "calm", "storm", "storm", "storm"]


def test_a_frame_that_stands_in_for_another_keeps_its_own_caption() -> None:
    """Frame 16 was not kept; the nearest kept one, 13, is from before the change."""
    memory = ContextMemory(4, lambda pixels: pixels[:1])
    shot = memory.begin_shot(0, "day")
    shot.add(torch.zeros(16, 3, 2, 2))
    shot.captions.append((16, "night"))
    shot.add(torch.zeros(25, 3, 2, 2))
    memory.finish_shots(())
    picks = memory.pick(1, (Pin(shot=0, frame=16),))
    assert [(p.frame, p.caption) for p in picks] == [(0, "day"), (13, "day"), (20, "night"), (40, "night")]


@pytest.mark.parametrize("start", [2**24 + 1, 2**31, 10**12 + 7])
def test_numbers_too_large_for_float32_stay_within_the_shot(start: int) -> None:
    memory = ContextMemory(6, lambda pixels: pixels[:1])
    memory.begin_shot(0, "long ago").length = start
    shot = memory.begin_shot(1, "now")
    shot.add(torch.zeros(9, 3, 2, 2))
    memory.shots = [shot]
    memory.finish_shots(())
    picks = memory.pick(2)
    assert len(picks) == 6 and all(0 <= pick.frame < 9 and pick.caption == "now" for pick in picks)
