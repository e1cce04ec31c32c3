"""The Wan VAE: causal in time, streamable bit for bit, strict about shapes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.errors import ConfigError
from shotstream.model.codec import Codec, StreamingDecoder
from shotstream.model.config import WanVAEConfig
from shotstream.model.vae import CausalConv, FeatureCache, WanVAE

SIZE = (2, 3)


@pytest.fixture(scope="module")
def vae() -> WanVAE:
    torch.manual_seed(3)
    return WanVAE(WanVAEConfig(dim=4)).eval()


def latents(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, frames, 16, *SIZE, generator=torch.Generator().manual_seed(seed))


def video(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, frames, 3, 16, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_it_is_a_codec(vae):
    assert isinstance(vae, Codec) and isinstance(vae.stream(), StreamingDecoder)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_streamed_frames_equal_the_whole_decode_bit_for_bit(vae, pieces):
    z = latents(sum(pieces))
    whole = vae.decode(z)
    stream = vae.stream()
    parts = [stream.feed(piece) for piece in z.split(pieces, dim=1)]
    assert whole.shape == (1, 1 + 4 * (sum(pieces) - 1), 3, 16, 24)
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert stream.flush() is None


def test_reset_begins_a_new_shot(vae):
    stream = vae.stream()
    first = stream.feed(latents(2))
    stream.reset()
    assert torch.equal(stream.feed(latents(2)), first)


def test_streams_do_not_see_each_other(vae):
    one, two = vae.stream(), vae.stream()
    a, b = latents(3, seed=1), latents(3, seed=2)
    got = [(one.feed(a[:, i : i + 1]), two.feed(b[:, i : i + 1])) for i in range(3)]
    assert torch.equal(got[2][0], vae.decode(a)[:, 5:]) and torch.equal(got[2][1], vae.decode(b)[:, 5:])


def test_later_latents_do_not_change_earlier_frames(vae):
    z = latents(4)
    changed = z.clone()
    changed[:, 2] += 1
    before, after = vae.decode(z), vae.decode(changed)
    assert torch.equal(before[:, :5], after[:, :5]) and not torch.equal(before[:, 5:9], after[:, 5:9])


def test_cache_size_does_not_grow(vae):
    cache, sizes = FeatureCache(), []
    for index in range(5):
        vae.decode_raw(latents(1, seed=index), cache)
        sizes.append(cache.size_bytes())
    assert sizes[-1] == sizes[-2] == sizes[-3] > 0


def test_lone_frames_are_videos_of_one_frame(vae):
    frames = video(3)[0]
    alone = vae.encode_frames(frames)
    assert alone.shape == (3, 16, *SIZE)
    for index in range(3):
        torch.testing.assert_close(vae.encode(frames[None, index : index + 1])[0, 0], alone[index], rtol=0, atol=1e-5)


def test_encoding_is_causal_in_steps_of_four_frames(vae):
    clip = video(9)
    changed = clip.clone()
    changed[:, 5:] = 0
    before, after = vae.encode(clip), vae.encode(changed)
    assert before.shape == (1, 3, 16, *SIZE)
    assert torch.equal(before[:, :2], after[:, :2]) and not torch.equal(before[:, 2], after[:, 2])


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("pieces", [[1, 4, 4], [2, 1, 1, 3], [1]])
def test_folded_convolution_equals_the_padded_3d_one(kernel, pieces):
    torch.manual_seed(0)
    conv, x = CausalConv(3, 5, kernel), torch.randn(2, sum(pieces), 3, 4, 6)
    pad = kernel[1] // 2
    expected = F.conv3d(F.pad(x.transpose(1, 2), (pad,) * 4 + (kernel[0] - 1, 0)), conv.weight, conv.bias).transpose(
        1, 2
    )
    cache = FeatureCache()
    got = torch.cat([conv(piece, cache) for piece in x.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


def test_bfloat16_rounds_the_latent_scale_before_it_is_used(vae):
    low = WanVAE(WanVAEConfig(dim=4)).bfloat16()
    _, inverse_std = low._scale(torch.device("cpu"))
    assert inverse_std.dtype == torch.bfloat16
    assert inverse_std.flatten().tolist() == [
        0.35546875, 0.6875, 0.4296875, 0.376953125, 0.8203125, 0.5625, 0.3828125, 0.48046875,
        0.306640625, 0.462890625, 0.349609375, 0.64453125, 0.609375, 0.890625, 0.353515625, 0.5234375,
    ]  # fmt: skip
    assert low.decode(latents(1)).dtype == torch.float32


def test_decoding_leaves_no_graph(vae):
    assert not vae.decode(latents(1)).requires_grad and not vae.encode(video(1)).requires_grad


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_other_lengths_are_refused(vae, frames):
    with pytest.raises(ConfigError, match=f"{frames} frames cannot be encoded; use 1 \\+ 4k"):
        vae.encode(video(frames))


@pytest.mark.parametrize("shape", [(1, 3, 12, 24), (1, 4, 16, 24), (3, 16, 24)])
def test_other_pixel_shapes_are_refused(vae, shape):
    with pytest.raises(ConfigError, match="multiples of 8"):
        vae.encode_frames(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 0, 16, 2, 3), (1, 1, 8, 2, 3), (1, 16, 2, 3)])
def test_other_latent_shapes_are_refused(vae, shape):
    with pytest.raises(ConfigError, match="latents are"):
        vae.decode(torch.zeros(shape))
