"""A second opinion: the same random weights in diffusers' independent implementation give the same outputs."""

from __future__ import annotations

import re

import diffusers
import pytest
import torch

from shotstream.model.config import DiTConfig, WanVAEConfig
from shotstream.model.dit import DiT
from shotstream.model.rope import rotary_table
from shotstream.model.vae import WanVAE

LIMIT = 1e-4


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    assert got.shape == want.shape
    return ((got - want).abs().max() / want.square().mean().sqrt()).item()


def randomise(network: torch.nn.Module, seed: int) -> None:
    """Every parameter away from its initial value, so that none can be forgotten or swapped unseen."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        draw = torch.randn(parameter.shape, generator=generator)
        is_norm_scale = "gamma" in name or ("norm" in name and name.endswith("weight"))
        parameter.data.copy_(1 + 0.2 * draw if is_norm_scale else draw * 1.2 / max(parameter[0].numel(), 4) ** 0.5)


def renamed(tensors: dict[str, torch.Tensor], rules: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    result = {}
    for name, value in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


DIT_RULES = [
    (r"^head\.modulation$", "scale_shift_table"),
    (r"^head\.head\.", "proj_out."),
    (r"^(time|text)_embedding\.0\.", r"condition_embedder.\1_embedder.linear_1."),
    (r"^(time|text)_embedding\.2\.", r"condition_embedder.\1_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"\.modulation$", ".scale_shift_table"),
    (r"\.norm3\.", ".norm2."),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.([qkv])\.(weight|bias)$", r".to_\1.\2"),
    (r"\.o\.(weight|bias)$", r".to_out.0.\1"),
    (r"\.ffn\.0\.", ".ffn.net.0.proj."),
    (r"\.ffn\.2\.", ".ffn.net.2."),
]


@pytest.mark.parametrize("grid", [(2, 3), (3, 2)])
def test_bidirectional_transformer_agrees(grid):
    config = DiTConfig(dim=48, ffn_dim=80, freq_dim=32, text_dim=12, text_len=7, num_heads=2, num_layers=3)
    dit = DiT(config).eval().requires_grad_(False)
    randomise(dit, seed=1)
    peer = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=24, text_dim=12, freq_dim=32, ffn_dim=80, num_layers=3,
        in_channels=16, out_channels=16, rope_max_seq_len=64,
    ).eval()  # fmt: skip
    peer.load_state_dict(renamed(dit.state_dict(), DIT_RULES), strict=True)
    generator = torch.Generator().manual_seed(2)
    latent = torch.randn(2, 5, 16, 2 * grid[0], 2 * grid[1], generator=generator)
    text = torch.randn(1, 7, 12, generator=generator)
    for timestep in (0.0, 737.5886, 1000.0):
        got = dit(
            latent,
            torch.full((2, 1), timestep),
            text,
            rope=rotary_table(config, grid, range(5), [0] * 5),  # flags of zero: no phase between shots
        )
        with torch.no_grad():
            want = peer(
                hidden_states=latent.transpose(1, 2),
                timestep=torch.full((2,), timestep),
                encoder_hidden_states=text.expand(2, -1, -1),
                return_dict=False,
            )[0].transpose(1, 2)
        assert error(got, want) < LIMIT, timestep


def test_a_phase_between_shots_is_not_what_the_peer_computes():
    """Guards the comparison above: with flags the output must differ visibly."""
    config = DiTConfig(dim=48, ffn_dim=80, freq_dim=32, text_dim=12, text_len=7, num_heads=2, num_layers=3)
    dit = DiT(config).eval().requires_grad_(False)
    randomise(dit, seed=1)
    generator = torch.Generator().manual_seed(2)
    latent, text = torch.randn(1, 4, 16, 4, 6, generator=generator), torch.randn(1, 7, 12, generator=generator)
    plain, phased = (
        dit(latent, torch.zeros(1, 1), text, rope=rotary_table(config, (2, 3), range(4), flags))
        for flags in ([0] * 4, [0, 0, 3, 3])
    )
    assert error(phased, plain) > 100 * LIMIT


def vae_rules(num_res_blocks: int) -> list[tuple[str, str]]:
    """Published names to the peer's; its decoder groups the layers of a level, ours counts them through."""
    per_level = num_res_blocks + 2
    rules = [
        (rf"^decoder\.upsamples\.{level * per_level + index}\.",
         f"decoder.up_blocks.{level}." + ("upsamplers.0." if index == num_res_blocks + 1 else f"resnets.{index}."))
        for level in range(4) for index in range(per_level)
    ]  # fmt: skip
    return [
        *rules,
        (r"^conv1\.", "quant_conv."),
        (r"^conv2\.", "post_quant_conv."),
        (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
        (r"\.head\.0\.", ".norm_out."),
        (r"\.head\.2\.", ".conv_out."),
        (r"\.middle\.1\.", ".mid_block.attentions.0."),
        (r"\.middle\.0\.", ".mid_block.resnets.0."),
        (r"\.middle\.2\.", ".mid_block.resnets.1."),
        (r"^encoder\.downsamples\.", "encoder.down_blocks."),
        (r"\.residual\.0\.", ".norm1."),
        (r"\.residual\.2\.", ".conv1."),
        (r"\.residual\.3\.", ".norm2."),
        (r"\.residual\.6\.", ".conv2."),
        (r"\.shortcut\.", ".conv_shortcut."),
    ]


@pytest.fixture(scope="module")
def codecs():
    vae = WanVAE(WanVAEConfig(dim=4)).eval()
    randomise(vae, seed=3)
    peer = diffusers.AutoencoderKLWan(base_dim=4).eval()
    peer.load_state_dict(renamed(vae.state_dict(), vae_rules(num_res_blocks=2)), strict=True)
    mean, std = (torch.tensor(values).view(16, 1, 1) for values in (vae.config.mean, vae.config.std))
    return vae, peer, mean, std


def test_vae_decode_agrees(codecs):
    vae, peer, mean, std = codecs
    latents = torch.randn(1, 4, 16, 4, 6, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        want = peer.decode((latents * std + mean).transpose(1, 2), return_dict=False)[0].transpose(1, 2)
    got = vae.decode(latents)
    assert 0.01 < want.abs().mean() < 0.95  # neither empty nor all clamped
    assert error(got, want) < LIMIT


@pytest.mark.parametrize("frames", [1, 5, 9])
def test_vae_encode_agrees(codecs, frames):
    vae, peer, mean, std = codecs
    video = torch.rand(1, frames, 3, 32, 48, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.no_grad():
        want = (peer.encode(video.transpose(1, 2)).latent_dist.mean.transpose(1, 2) - mean) / std
    assert error(vae.encode(video), want) < LIMIT
    if frames == 1:
        assert error(vae.encode_frames(video[0]), want[0]) < LIMIT
