"""The differentiable rollout of training computes what the engine's in-place rollout computes."""

from __future__ import annotations

import pytest
import torch

from shotstream.engine.noise import RecordedNoise
from shotstream.engine.rollout import Context, ShotRollout
from shotstream.model.config import ScheduleConfig
from shotstream.model.schedule import Schedule
from tests.micro import CHANNELS, TEXT_DIM, TEXT_LEN, micro_dit, micro_spec
from training.losses import block_causal_mask, dmd_gradient, dmd_loss
from training.self_forcing import Draws, Shot, self_forcing_rollout

BLOCKS = 3
FLAGS = [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def shot_and_draws():
    spec = micro_spec(window_lat=3 * BLOCKS)
    generator = torch.Generator().manual_seed(1)
    frame = (CHANNELS, spec.latent_height, spec.latent_width)

    def draw(*lead: int) -> torch.Tensor:
        return torch.randn(1, *lead, *frame, generator=generator)

    shot = Shot(
        context=draw(6), context_flags=FLAGS, flag=2, text=torch.randn(3, TEXT_LEN, TEXT_DIM, generator=generator)
    )
    block = spec.block_lat
    return shot, Draws(noise=draw(BLOCKS, block), renoise=draw(BLOCKS, 3, block), commit=draw(BLOCKS, block))


def rollout(dit, shot_and_draws, **options):
    shot, draws = shot_and_draws
    return self_forcing_rollout(dit, shot, Schedule(ScheduleConfig()).steps, draws, **options)


def test_last_exit_without_commit_noise_is_what_the_engine_samples(shot_and_draws):
    shot, draws = shot_and_draws
    dit, spec = micro_dit(), micro_spec(window_lat=3 * BLOCKS)
    engine = ShotRollout(dit, Schedule(ScheduleConfig()), spec, device=torch.device("cpu"))
    captions = dit.encode_captions(shot.text)
    engine.open(Context(shot.context[0], FLAGS, captions, FLAGS))
    own = dit.encode_captions(shot.text[2:])
    noise = RecordedNoise(draws.noise[0], draws.renoise[0])
    want = torch.cat([engine.next_latent(0, block, own, noise) for block in range(BLOCKS)])
    got = rollout(dit, shot_and_draws, exit_step=3, commit_sigma=0.0)
    torch.testing.assert_close(got[0], want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("straight_through", [True, False])
def test_gradient_between_blocks_flows_only_straight_through(shot_and_draws, straight_through):
    """The last block's output depends on the first block's *exit pass* in the backward direction, or not at all."""
    shot, draws = shot_and_draws
    noise = draws.noise.clone().requires_grad_()
    dit = micro_dit().requires_grad_(True)
    output = self_forcing_rollout(
        dit,
        shot,
        Schedule(ScheduleConfig()).steps,
        Draws(noise=noise, renoise=draws.renoise, commit=draws.commit),
        exit_step=0,
        commit_sigma=0.01,
        straight_through=straight_through,
    )
    output[:, -3:].square().sum().backward()
    assert noise.grad is not None and noise.grad[:, -1].abs().max() > 0
    assert bool(noise.grad[:, 0].abs().max() > 0) is straight_through


def test_values_do_not_depend_on_how_gradient_flows(shot_and_draws):
    dit = micro_dit().requires_grad_(True)
    one, two = (
        rollout(dit, shot_and_draws, exit_step=1, commit_sigma=0.01, straight_through=flag) for flag in (True, False)
    )
    assert torch.equal(one, two) and one.requires_grad


def test_dmd_gradient_has_unit_scale_and_survives_a_perfect_teacher():
    x = torch.ones(2, 1, 1, 2, 2)
    gradient = dmd_gradient(x, torch.full_like(x, 3.0), torch.stack([torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)]))
    assert torch.equal(gradient[0], torch.full((1, 1, 2, 2), 3.0))  # (3 - 0) / |1 - 0|
    assert torch.equal(gradient[1], torch.zeros(1, 1, 2, 2))  # |1 - 1| = 0: not finite, so 0


def test_dmd_loss_pushes_along_the_gradient():
    x = torch.zeros(1, 1, 1, 2, 2, requires_grad=True)
    dmd_loss(x, torch.full((1, 1, 1, 2, 2), 4.0)).backward()
    assert torch.equal(x.grad, torch.ones(1, 1, 1, 2, 2))


def test_mask_lets_blocks_see_back_and_context_see_itself():
    mask = block_causal_mask(2, 5, 2).int().tolist()
    assert mask[0] == [1, 1, 0, 0, 0, 0, 0] and mask[3] == [1, 1, 1, 1, 0, 0, 0] and mask[6] == [1] * 7
