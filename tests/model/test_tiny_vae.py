"""The small codec: published names, exact streaming, and the linear form of the embedded bundles."""

from __future__ import annotations

import pytest
import torch

from shotstream.errors import ConfigError
from shotstream.model.codec import Codec, StreamingDecoder
from shotstream.model.config import TinyVAEConfig
from shotstream.model.tiny_vae import TinyVAE

SMALL = TinyVAEConfig(latent_channels=6, widths=(10, 8, 6, 4), blocks_per_stage=1, encoder_width=6)


def small(encoder: str = "taehv", seed: int = 0) -> TinyVAE:
    torch.manual_seed(seed)
    shift, scale = tuple(0.1 * i for i in range(6)), tuple(1.0 + 0.2 * i for i in range(6))
    codec = TinyVAE(TinyVAEConfig(latent_channels=6, widths=(10, 8, 6, 4), blocks_per_stage=1, encoder_width=6,
                                  encoder=encoder, shift=shift, scale=scale))  # fmt: skip
    for parameter in codec.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    if codec.linear is not None:
        rows = torch.linalg.qr(torch.randn(768, 6))[0].T
        codec.linear.set_components(rows.reshape(6, 12, 8, 8), torch.randn(12, 8, 8) * 0.1)
        codec.linear.synthesis.add_(torch.randn_like(codec.linear.synthesis) * 0.01)
    return codec.eval().requires_grad_(False)


def test_names_and_shapes_are_those_of_the_published_taew2_1():
    names = {name: tuple(t.shape) for name, t in TinyVAE(TinyVAEConfig()).state_dict().items()}
    expected = {
        "decoder.1.weight": (256, 16, 3, 3),
        "decoder.3.conv.0.weight": (256, 512, 3, 3),
        "decoder.5.conv.4.bias": (256,),
        "decoder.7.conv.weight": (256, 256, 1, 1),  # TGrow, one frame stays one
        "decoder.8.weight": (128, 256, 3, 3),
        "decoder.13.conv.weight": (256, 128, 1, 1),  # one frame becomes two
        "decoder.14.weight": (64, 128, 3, 3),
        "decoder.19.conv.weight": (128, 64, 1, 1),
        "decoder.20.weight": (64, 64, 3, 3),
        "decoder.22.weight": (3, 64, 3, 3),
        "encoder.0.weight": (64, 3, 3, 3),
        "encoder.2.conv.weight": (64, 128, 1, 1),
        "encoder.3.weight": (64, 64, 3, 3),
        "encoder.12.conv.weight": (64, 64, 1, 1),
        "encoder.17.weight": (16, 64, 3, 3),
    }
    assert expected.items() <= names.items()
    for without_bias in ("decoder.8", "decoder.14", "decoder.20", "encoder.3", "encoder.8", "encoder.13"):
        assert f"{without_bias}.bias" not in names
    assert len([n for n in names if n.startswith("decoder.")]) == 2 + 9 * 6 + 3 * 2 + 2
    assert len([n for n in names if n.startswith("encoder.")]) == 2 + 9 * 6 + 3 * 2 + 2
    assert not [n for n in names if not n.startswith(("decoder.", "encoder."))]


@pytest.mark.parametrize("encoder", ["taehv", "linear"])
def test_sizes_follow_one_frame_then_four_per_latent(encoder):
    codec = small(encoder)
    assert isinstance(codec, Codec) and isinstance(codec.stream(), StreamingDecoder)
    latents = codec.encode(torch.rand(2, 9, 3, 16, 24) * 2 - 1)
    assert latents.shape == (2, 3, 6, 2, 3)
    assert codec.decode(latents).shape == (2, 9, 3, 16, 24)
    assert codec.encode_frames(torch.rand(5, 3, 16, 24)).shape == (5, 6, 2, 3)


@pytest.mark.parametrize("encoder", ["none", "linear"])
@pytest.mark.parametrize("split", [(1, 1, 1, 1, 1, 1, 1), (3, 3, 1), (2, 5), (7,)])
def test_streaming_equals_decoding_the_shot_at_once(encoder, split):
    codec = small(encoder)
    latents = torch.randn(2, 7, 6, 3, 4)
    whole = codec.decode(latents)
    stream = codec.stream()
    for _ in range(2):  # the second round proves that reset forgets everything
        parts = [stream.feed(part) for part in latents.split(split, 1)]
        assert parts[0].shape[1] == 1 + 4 * (split[0] - 1)
        torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
        assert stream.flush() is None
        stream.reset()


def test_past_latents_matter_and_future_ones_do_not():
    codec = small("none")
    latents = torch.randn(1, 4, 6, 2, 2) * 0.5
    changed = latents.clone()
    changed[:, 2] += 1
    before, after = codec.decode(latents), codec.decode(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 9:], after[:, 9:])


def test_upsampling_order_is_exact():
    """The decoder runs the 1x1 convolution before the upsampling; layer by layer as published it gives the same."""
    codec = small("none")
    x = torch.randn(1, 1, 6, 2, 3)
    y = x[0]
    for layer in codec.decoder:
        y = layer(y, torch.cat([torch.zeros_like(y[:1]), y[:-1]])) if type(layer).__name__ == "MemBlock" else layer(y)
    torch.testing.assert_close(codec.decode(x)[0], (y[3:] * 2 - 1).clamp(-1, 1), atol=1e-5, rtol=0)


def test_linear_codec_starts_as_the_inverse_of_its_own_map():
    torch.manual_seed(1)
    full = TinyVAE(TinyVAEConfig(latent_channels=768, widths=(4, 4, 4, 4), blocks_per_stage=1, encoder="linear"))
    assert full.linear is not None
    components = torch.linalg.qr(torch.randn(768, 768))[0].reshape(768, 12, 8, 8)
    full.linear.set_components(components, torch.randn(12, 8, 8))
    video = torch.rand(1, 5, 3, 8, 16) * 1.8 - 0.9
    with torch.no_grad():
        torch.testing.assert_close(full.decode(full.encode(video)), video, atol=1e-4, rtol=0)


def test_shift_and_scale_normalise_the_encoder_output():
    codec, plain = small("linear"), small("linear")
    plain.shift.zero_()
    plain.scale.fill_(1)
    frames = torch.rand(2, 3, 8, 8)
    expected = (plain.encode_frames(frames) - codec.shift) / codec.scale
    torch.testing.assert_close(codec.encode_frames(frames), expected)


def test_refusals_name_value_and_remedy():
    codec = small("linear")
    with pytest.raises(ConfigError, match=r"20x16 px.*multiples of 8"):
        codec.encode_frames(torch.zeros(1, 3, 16, 20))
    with pytest.raises(ConfigError, match=r"6 frames.*use 5"):
        codec.encode(torch.zeros(1, 6, 3, 16, 16))
    with pytest.raises(ConfigError, match="only decodes"):
        small("none").encode_frames(torch.zeros(1, 3, 8, 8))
