"""The cached sampler against the same network without a cache, and every removed piece of work against doing it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from shotstream.engine.kv_cache import KVCache
from shotstream.engine.noise import CounterNoise
from shotstream.engine.rollout import Context, ShotRollout
from shotstream.errors import Aborted
from shotstream.model.config import ScheduleConfig
from shotstream.model.dit import CaptionKV, DiT
from shotstream.model.layers import FullAttention, SelfAttention, attention_BLND
from shotstream.model.rope import rotary_table, rotate
from shotstream.model.schedule import Schedule
from tests.micro import CHANNELS, TEXT_DIM, TEXT_LEN, micro_dit, micro_spec

CPU = torch.device("cpu")
FLAGS = [0, 0, 1, 1, 2, 2]


class Setup:
    def __init__(self, window_lat: int = 6, num_layers: int = 3) -> None:
        self.spec = micro_spec(window_lat)
        self.model = micro_dit(num_layers)
        self.rollout = ShotRollout(self.model, Schedule(ScheduleConfig()), self.spec, device=CPU)
        generator = torch.Generator().manual_seed(3)
        self.text = torch.randn(4, TEXT_LEN, TEXT_DIM, generator=generator)
        size = (CHANNELS, self.spec.latent_height, self.spec.latent_width)
        self.context_latent = torch.randn(6, *size, generator=generator)
        with torch.no_grad():
            self.captions = self.model.encode_captions(self.text)
        self.noise = CounterNoise(5, (3, *size))
        self.own_caption = CaptionKV(tuple((k[3:], v[3:]) for k, v in self.captions.layers))

    def open(self) -> None:
        self.rollout.open(Context(self.context_latent, FLAGS, self.captions, FLAGS))

    def block(self, number: int, **options: Callable) -> Tensor:
        return self.rollout.next_latent(3, number, self.own_caption, self.noise, **options)


def uncached_velocity(setup: Setup, past: list[Tensor], x: Tensor, timestep: float) -> Tensor:
    """Last block's velocity from one pass over [context | clean past | noisy block] under a block-causal mask."""
    frames = torch.cat([setup.context_latent, *past, x]).unsqueeze(0)
    num_past = 3 * len(past)
    block = [0] * 6 + [1 + i // 3 for i in range(num_past + 3)]
    mask = torch.tensor([[q >= k for k in block] for q in block])
    flags = FLAGS + [3] * (num_past + 3)
    times = torch.tensor([[0.0] * (6 + num_past) + [timestep] * 3])
    rope = rotary_table(setup.model.config, setup.spec.grid, list(range(len(flags))), flags)
    with torch.no_grad():
        velocity = setup.model(
            frames, times, setup.text, rope=rope, captions=torch.tensor([flags]), memory=FullAttention(mask)
        )
    return velocity[0, -3:]


def test_cached_rollout_equals_one_pass_without_a_cache() -> None:
    setup = Setup(window_lat=12)
    setup.open()
    past: list[Tensor] = []
    for number in range(4):
        seen: list[tuple[int, Tensor]] = []
        clean = setup.block(number, trace=lambda step, velocity, x0: seen.append((step, velocity)))  # noqa: B023
        want = uncached_velocity(setup, past, setup.noise.draw(3, number, 0), 1000.0)
        torch.testing.assert_close(seen[0][1], want, rtol=1e-4, atol=2e-5)
        past.append(clean)


class NaiveWindow:
    """The sliding window written out: every key is kept unturned with its frame; nothing is cached turned."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.context: dict[int, tuple[Tensor, Tensor]] = {}
        self.blocks: dict[int, dict[int, tuple[Tensor, Tensor]]] = {}
        self.block = -1

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        q = attention.split_heads(attention.norm_q(q))
        k, v = attention.split_heads(attention.norm_k(k)), attention.split_heads(v)
        if self.block < 0:
            self.context[layer] = (k, v)
            return attention_BLND(
                rotate(q, self.turn(range(6), FLAGS)), rotate(k, self.turn(range(6), FLAGS)), v
            ).flatten(2)
        self.blocks.setdefault(layer, {})[self.block] = (k, v)
        slots = self.setup.spec.window_lat // 3
        visible = range(max(0, self.block - slots + 1), self.block + 1)
        # Distances inside the shot are true; those to the context stop growing when the window slides.
        cap = min(self.block, slots - 1)
        logits, values = [], []
        ck, cv = self.context[layer]
        q_context = rotate(q, self.turn(range(6 + 3 * cap, 9 + 3 * cap), [3] * 3))
        logits.append(torch.einsum("blnd,brnd->bnlr", q_context, rotate(ck, self.turn(range(6), FLAGS))))
        values.append(cv)
        q_local = rotate(q, self.turn(range(6 + 3 * self.block, 9 + 3 * self.block), [3] * 3))
        for number in visible:
            bk, bv = self.blocks[layer][number]
            turned = rotate(bk, self.turn(range(6 + 3 * number, 9 + 3 * number), [3] * 3))
            logits.append(torch.einsum("blnd,brnd->bnlr", q_local, turned))
            values.append(bv)
        weights = torch.softmax(torch.cat(logits, -1) * q.shape[-1] ** -0.5, -1)
        return torch.einsum("bnlr,brnd->blnd", weights, torch.cat(values, 1)).flatten(2)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        self.attend(layer, attention, k, k, v, rope)

    def turn(self, positions: range, flags: list[int]) -> Tensor:
        return rotary_table(self.setup.model.config, self.setup.spec.grid, list(positions), flags)


@torch.no_grad()
def naive_rollout(setup: Setup, num_blocks: int) -> list[Tensor]:
    """The published loop, step by step: full passes everywhere, a clean pass after every block."""
    memory = NaiveWindow(setup)
    unused = torch.empty(0)
    model, steps = setup.model, setup.rollout.steps

    def run(x: Tensor, timestep: float, captions: list[int]) -> Tensor:
        times = model.encode_time(torch.full((1, len(captions)), timestep))
        return model.run(
            x.unsqueeze(0), times, setup.captions, rope=unused, captions=torch.tensor([captions]), memory=memory
        )[0]

    run(setup.context_latent, 0.0, FLAGS)
    latents = []
    for number in range(num_blocks):
        memory.block = number
        x = setup.noise.draw(3, number, 0)
        for i, step in enumerate(steps):
            clean = x - step.sigma * run(x, step.timestep, [3] * 3)
            if i + 1 < len(steps):
                sigma = steps[i + 1].sigma
                x = (1 - sigma) * clean + sigma * setup.noise.draw(3, number, i + 1)
        run(clean, 0.0, [3] * 3)
        latents.append(clean)
    return latents


@pytest.mark.parametrize("window_lat", [3, 6, 9, 21])
def test_rollout_equals_the_published_loop_written_out(window_lat: int) -> None:
    """One comparison covers all that is not computed: the clean pass of the last block, last layer and head of context
    and clean passes, repeated time and text encodings, and (past the window) keys that are never turned again."""
    setup = Setup(window_lat)
    setup.open()
    num_blocks = window_lat // 3 + 5
    for number, want in enumerate(naive_rollout(setup, num_blocks)):
        torch.testing.assert_close(setup.block(number), want, rtol=2e-4, atol=2e-4)


def test_work_per_block_is_four_passes_and_one_clean_pass() -> None:
    setup = Setup()
    calls: list[str] = []
    model = setup.model

    class Counting(DiT):
        def run(self, *args: object, **options: object) -> Tensor:
            calls.append("run")
            return super().run(*args, **options)

        def write_memory(self, *args: object, **options: object) -> None:
            calls.append("write")
            super().write_memory(*args, **options)

    model.__class__ = Counting
    setup.open()
    for number in range(3):
        setup.block(number)
    assert calls == ["write"] + ["run"] * 4 + (["write"] + ["run"] * 4) * 2, "no clean pass after the last block"


def test_new_shot_forgets_the_old_one() -> None:
    fresh, used = Setup(), Setup()
    used.open()
    used.block(0)
    used.block(1)
    used.open()
    fresh.open()
    assert torch.equal(used.block(0), fresh.block(0))
    assert torch.equal(used.block(1), fresh.block(1))


@pytest.mark.parametrize("abort_at", range(5))
@pytest.mark.parametrize("block", [1, 4])
def test_abandoned_block_can_be_repeated(block: int, abort_at: int) -> None:
    plain, disturbed = Setup(), Setup()
    for setup in (plain, disturbed):
        setup.open()
        for number in range(block):
            setup.block(number)
    asked = iter(range(10))
    with pytest.raises(Aborted):
        disturbed.block(block, abort=lambda: next(asked) == abort_at)
    for number in (block, block + 1):
        assert torch.equal(plain.block(number), disturbed.block(number))


def test_phase_and_context_change_the_picture() -> None:
    setup = Setup()
    setup.open()
    base = setup.block(0)
    setup.rollout.open(Context(setup.context_latent, [0] * 6, setup.captions, FLAGS))
    assert not torch.allclose(setup.block(0), base, atol=1e-3), "shot flags must reach the rotation"
    setup.rollout.open(Context(setup.context_latent * 0, FLAGS, setup.captions, FLAGS))
    assert not torch.allclose(setup.block(0), base, atol=1e-3), "context latents must be seen"
    setup.rollout.open(Context(setup.context_latent, FLAGS, setup.captions, [0] * 6))
    assert not torch.allclose(setup.block(0), base, atol=1e-3), "each context frame must read its own caption"


def test_cache_is_allocated_once_and_sized_by_the_spec() -> None:
    setup = Setup(window_lat=6, num_layers=2)
    cache = setup.rollout.cache
    spec = setup.spec
    assert cache.size_bytes == 2 * 2 * (6 + 6) * spec.tokens_per_lat * 32 * 4
    addresses = [layer.data_ptr() for layer in cache.layers]
    setup.open()
    for number in range(5):
        setup.block(number)
    assert addresses == [layer.data_ptr() for layer in cache.layers]


def test_too_many_context_frames_are_refused() -> None:
    spec = micro_spec()
    cache = KVCache(micro_dit().config, spec, device=CPU, dtype=torch.float32)
    with pytest.raises(ValueError, match="context_lat"):
        cache.begin_context([0] * 7)
