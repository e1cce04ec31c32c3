"""Draws depend on their address alone."""

import itertools

import torch

from shotstream.engine.noise import CounterNoise

SHAPE = (3, 4, 6, 5)


def test_a_draw_does_not_depend_on_what_was_drawn_before() -> None:
    one, other = CounterNoise(11, SHAPE), CounterNoise(11, SHAPE)
    other.draw(0, 0, 0), other.draw(9, 9, 3)
    assert torch.equal(one.draw(2, 5, 1), other.draw(2, 5, 1))


def test_every_address_and_seed_has_its_own_normal_draw() -> None:
    draws = [
        CounterNoise(seed, SHAPE).draw(*a) for seed in (0, 1, 2**63 - 1) for a in itertools.product(range(3), repeat=3)
    ]
    stacked = torch.stack([d.flatten() for d in draws])
    correlation = torch.corrcoef(stacked) - torch.eye(len(draws))
    assert correlation.abs().max() < 0.35
    assert abs(float(stacked.mean())) < 0.02 and abs(float(stacked.std()) - 1) < 0.02


def test_the_stream_is_pinned() -> None:
    """A change here changes every film: the first values for one address, as recorded."""
    values = CounterNoise(7, (1, 1, 1, 4)).draw(1, 2, 3).flatten().tolist()
    assert [round(v, 5) for v in values] == [0.78743, 0.8178, 0.94, -0.31023]
