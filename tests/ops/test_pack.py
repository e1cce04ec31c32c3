"""The vector code of float packing: every tail length gives the plain version's bytes."""

import numpy as np
import pytest
import torch

from shotstream import ops
from shotstream.ops import reference


@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 32, 47, 48, 50])
def test_every_tail_length_equals_the_plain_version(width: int) -> None:
    pixels = torch.randn(2, 3, 1, width, generator=torch.Generator().manual_seed(width))
    assert np.array_equal(ops.images_from_pixels(pixels), reference.images_from_pixels(pixels))


def test_values_beside_every_byte_step_truncate_alike() -> None:
    steps = torch.arange(256).float() / 255 * 2 - 1
    near = torch.cat([torch.nextafter(steps, torch.tensor(way)) for way in (-2.0, 2.0)] + [steps])
    pixels = near.reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    assert np.array_equal(ops.images_from_pixels(pixels), reference.images_from_pixels(pixels))


def test_not_a_number_is_black_wherever_it_stands() -> None:
    pixels = torch.full((1, 3, 1, 35), float("nan"))
    pixels[0, 1] = 1.0
    image = ops.images_from_pixels(pixels)
    assert not image[..., [0, 2]].any() and (image[..., 1] == 255).all()
