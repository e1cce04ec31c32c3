"""The whole executor on random weights: determinism, interventions, snapshots, long shots."""

import itertools
import json
from collections.abc import Callable

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from shotstream.engine.protocol import Engine, Pin, ShotPlan
from shotstream.engine.torch_engine import TorchEngine
from shotstream.errors import Aborted, ClosedError, ScriptError
from tests.micro import digest, micro_engine


def plan(shot: int, **changes: object) -> ShotPlan:
    return ShotPlan(shot=shot, caption=f"shot number {shot}", global_caption="a world", seed=3, **changes)


def run(engine: TorchEngine, *, shots: int = 2, blocks: int = 2, first: int = 0) -> list[np.ndarray]:
    images: list[np.ndarray] = []
    for shot in range(first, first + shots):
        engine.open_shot(plan(shot))
        for _ in range(blocks):
            images += engine.next_block().images
    return images


def test_it_is_an_engine_and_frames_have_the_promised_form() -> None:
    engine = micro_engine()
    assert isinstance(engine, Engine)
    engine.open_shot(plan(0))
    first, second = engine.next_block(), engine.next_block()
    assert (len(first.images), len(second.images)) == (9, 12)
    assert all(i.shape == (32, 48, 3) and i.dtype == np.uint8 for i in first.images + second.images)
    assert first.context_ms > 0 and second.context_ms == 0 and first.denoise_ms > 0 and first.decode_ms > 0
    assert first.images[0].std() > 1, "the picture is not flat"


def test_same_story_and_seed_give_the_same_film() -> None:
    assert digest(run(micro_engine(), shots=3)) == digest(run(micro_engine(), shots=3))
    other = micro_engine()
    other.open_shot(ShotPlan(shot=0, caption="shot number 0", global_caption="a world", seed=4))
    mine = micro_engine()
    mine.open_shot(plan(0))
    assert digest(other.next_block().images) != digest(mine.next_block().images)


def test_second_shot_remembers_the_first() -> None:
    engine, other = micro_engine(), micro_engine()
    run(engine, shots=1)
    other.open_shot(ShotPlan(shot=0, caption="something else", seed=3))
    other.next_block(), other.next_block()
    assert digest(run(engine, shots=1, first=1)) != digest(run(other, shots=1, first=1))


def test_streamed_frames_equal_decoding_the_shot_at_once() -> None:
    engine = micro_engine()
    latents: list[torch.Tensor] = []
    original = engine._rollout.next_latent
    engine._rollout.next_latent = lambda *a, **o: latents.append(original(*a, **o)) or latents[-1]  # type: ignore
    streamed = run(engine, shots=1, blocks=4)
    whole = engine._codec.decode(torch.cat(latents).unsqueeze(0))[0]
    reference = ((whole * 0.5 + 0.5).clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert len(reference) == len(streamed) == 45
    assert np.abs(np.stack(streamed).astype(int) - reference).max() <= 1


def test_caption_change_takes_effect_with_the_block_and_keeps_the_cache() -> None:
    plain, edited = micro_engine(), micro_engine()
    for engine in (plain, edited):
        engine.open_shot(plan(0))
        engine.next_block()
    changed = edited.next_block(caption="now it rains")
    assert digest(changed.images) != digest(plain.next_block().images)
    cut = micro_engine()
    cut.open_shot(ShotPlan(shot=0, caption="now it rains", global_caption="a world", seed=3))
    cut.next_block()
    assert digest(changed.images) != digest(cut.next_block().images), "what came before is still seen"
    assert [first for first, _ in edited._memory.shots[-1].captions] == [0, 9]


@pytest.mark.parametrize("abort_at", [0, 2, 4])
def test_abandoned_block_leaves_the_engine_as_it_was(abort_at: int) -> None:
    plain, disturbed = micro_engine(), micro_engine()
    for engine in (plain, disturbed):
        engine.open_shot(plan(0))
        engine.next_block()
    asked = iter(range(20))
    with pytest.raises(Aborted):
        disturbed.next_block(caption="never seen", abort=lambda: next(asked) == abort_at)
    assert digest(plain.next_block().images) == digest(disturbed.next_block().images)
    assert digest(run(plain, shots=1, first=1)) == digest(run(disturbed, shots=1, first=1))


@pytest.mark.parametrize("blocks_before", [0, 1, 3, 40])
def test_restored_story_goes_on_identically(blocks_before: int) -> None:
    """40 blocks in a window of two: the shot has outgrown what a snapshot replays."""
    engine = micro_engine()
    run(engine, shots=2)
    engine.open_shot(plan(2))
    for block in range(blocks_before):
        engine.next_block(caption="later" if block == 2 else None)
    state = engine.snapshot()
    want = [digest(engine.next_block().images) for _ in range(3)] + [digest(run(engine, shots=2, first=3))]
    for other in (micro_engine(), engine):
        other.restore(state)
        got = [digest(other.next_block().images) for _ in range(3)] + [digest(run(other, shots=2, first=3))]
        assert got == want


def test_snapshot_of_an_empty_story_and_size() -> None:
    engine = micro_engine()
    empty = engine.snapshot()
    run(engine, shots=8)
    state = engine.snapshot()
    run(engine, shots=8, first=8)
    assert len(engine.snapshot()) < 1.5 * len(state), "it does not grow with the film"
    engine.restore(empty)
    assert digest(run(engine)) == digest(run(micro_engine()))


def test_bad_snapshots_are_refused_and_change_nothing() -> None:
    engine, twin = micro_engine(), micro_engine()
    for one in (engine, twin):
        run(one)
    state = engine.snapshot()
    other_weights = micro_engine(num_layers=3)
    for bad in (
        b"",
        b"abc",
        state[:-9],
        state[: len(state) // 2],
        b"\xff" * 64,
        state.replace(b'"version', b'"versiom'),
    ):
        with pytest.raises(ScriptError, match="snapshot"):
            engine.restore(bad)
    object.__setattr__(other_weights.bundle, "name", "other")
    wrong = state.replace(engine.bundle.fingerprint.encode(), b"0123456789abcdef")
    with pytest.raises(ScriptError, match="open the same bundle"):
        engine.restore(wrong)
    assert digest(engine.next_block().images) == digest(twin.next_block().images)


def altered(state: bytes, change: Callable[[dict, dict], object]) -> bytes:
    """A well-formed snapshot that tells something else: ``change`` gets the description and the tensors."""
    size = int.from_bytes(state[:8], "little")
    story = json.loads(json.loads(state[8 : 8 + size])["__metadata__"]["shotstream"])
    tensors = load_tensors(state)
    change(story, tensors)
    return save_tensors(tensors, {"shotstream": json.dumps(story)})


@pytest.mark.parametrize(
    "change",
    [
        lambda story, _: story.update(next_block=10**30, first_block=10**30 - 2),
        lambda story, _: story.update(next_block=-1),
        lambda story, _: story["shots"].clear(),
        lambda story, _: story["shots"].reverse(),
        lambda story, _: story["shots"][0].update(kept=[]),
        lambda story, _: story["shots"][0]["kept"].append(99),
        lambda story, _: story["shots"][0].update(start=2**64),
        lambda story, _: story["shots"][1].update(start=0),
        lambda story, _: story["shots"][1].update(shot=0),
        lambda story, _: story["shots"][0]["captions"].insert(0, [7, "later"]),
        lambda story, _: story["plan"].update(shot=5),
        lambda story, _: story["plan"].update(seed=-1),
        lambda story, _: story["context"]["flags"].__setitem__(0, 2**63),
        lambda story, _: story["context"]["flags"].pop(),
        lambda _, tensors: tensors.pop("context"),
        lambda _, tensors: tensors["context"].view(-1)[5:6].fill_(float("nan")),
        lambda _, tensors: tensors["blocks"].view(-1)[5:6].fill_(float("inf")),
        lambda _, tensors: tensors.update({"shot0/frame0": tensors["shot0/frame0"].int()}),
        lambda _, tensors: tensors.update(blocks=tensors["blocks"][:, :1].contiguous()),
        lambda _, tensors: tensors.update(blocks=torch.tensor(1.0)),
    ],
)
def test_snapshots_that_tell_of_an_impossible_film_are_refused(change: Callable[[dict, dict], object]) -> None:
    engine, twin = micro_engine(), micro_engine()
    for one in (engine, twin):
        run(one, shots=2)
    state = engine.snapshot()
    with pytest.raises(ScriptError, match="snapshot"):
        engine.restore(altered(state, change))
    assert digest(engine.next_block().images) == digest(twin.next_block().images)
    engine.restore(altered(state, lambda story, tensors: None))


@pytest.mark.parametrize("bad", [b"[" * 200_000, 5, "abc"], ids=["deep", "number", "text"])
def test_what_is_no_snapshot_at_all_is_refused(bad: object) -> None:
    state = len(bad).to_bytes(8, "little") + bad if isinstance(bad, bytes) else bad
    with pytest.raises(ScriptError, match="snapshot"):
        micro_engine().restore(state)  # type: ignore[arg-type]


def test_pins_reach_the_context() -> None:
    results = []
    for pins in ((), (Pin(shot=0, frame=3), Pin(shot=0, frame=5))):
        engine = micro_engine()
        run(engine, shots=3)
        engine.open_shot(plan(3, pins=pins))
        results.append(digest(engine.next_block().images))
    assert results[0] != results[1]
    with pytest.raises(ScriptError, match="pin names shot 77"):
        engine.open_shot(plan(4, pins=(Pin(shot=77),)))


def test_planned_length_bounds_what_is_remembered() -> None:
    engine = micro_engine()
    engine.open_shot(plan(0, num_frames=10))
    engine.next_block(), engine.next_block()
    engine.open_shot(plan(1))
    assert engine._memory.shots[0].length == 10
    assert max(engine._memory.shots[0].frames) == 9


def test_three_hundred_blocks_stay_finite_in_constant_memory() -> None:
    engine = micro_engine()
    engine.open_shot(plan(0))
    process = psutil.Process()
    sizes = []
    for number in range(301):
        block = engine.next_block()
        if number % 50 == 0:
            sizes.append(process.memory_info().rss)
    # What is kept for ever grows in every stretch; an allocator that takes a page now and then does not.
    least = min(after - before for before, after in itertools.pairwise(sizes[1:]))
    assert least < 2 * 2**20, f"at least {least / 2**20:.1f} MiB more in every 50 blocks"
    assert all(torch.isfinite(layer).all() for layer in engine._rollout.cache.layers)
    assert torch.isfinite(engine._latents[-1]).all()
    assert np.stack(block.images).std() > 1


def test_misuse_has_a_clear_answer() -> None:
    engine = micro_engine()
    with pytest.raises(ScriptError, match="open_shot first"):
        engine.next_block()
    with pytest.raises(ScriptError, match="empty"):
        engine.open_shot(ShotPlan(shot=0, caption="  "))
    engine.close()
    engine.close()
    with pytest.raises(ClosedError):
        engine.open_shot(plan(0))
