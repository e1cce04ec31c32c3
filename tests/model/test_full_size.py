"""The published sizes, on the meta device: every name, shape and parameter count, without a byte of weights."""

from __future__ import annotations

from math import prod

import torch

from shotstream.model.config import DiTConfig, UMT5Config, WanVAEConfig
from shotstream.model.dit import DiT
from shotstream.model.text import build_network
from shotstream.model.vae import WanVAE
from shotstream.model.weights import umt5_names, umt5_shapes


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def linear(name: str, out_dim: int, in_dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_dim, in_dim), f"{name}.bias": (out_dim,)}


def expected_dit() -> dict[str, tuple[int, ...]]:
    """Wan2.1-T2V-1.3B as published."""
    e, ffn = 1536, 8960
    shapes = {
        "patch_embedding.weight": (e, 16, 1, 2, 2),
        "patch_embedding.bias": (e,),
        **linear("text_embedding.0", e, 4096),
        **linear("text_embedding.2", e, e),
        **linear("time_embedding.0", e, 256),
        **linear("time_embedding.2", e, e),
        **linear("time_projection.1", 6 * e, e),
        "head.modulation": (1, 2, e),
        **linear("head.head", 64, e),
    }
    for i in range(30):
        block = f"blocks.{i}"
        shapes |= {f"{block}.modulation": (1, 6, e), f"{block}.norm3.weight": (e,), f"{block}.norm3.bias": (e,)}
        for kind in ("self_attn", "cross_attn"):
            for part in "qkvo":
                shapes |= linear(f"{block}.{kind}.{part}", e, e)
            shapes |= {f"{block}.{kind}.norm_q.weight": (e,), f"{block}.{kind}.norm_k.weight": (e,)}
        shapes |= linear(f"{block}.ffn.0", ffn, e) | linear(f"{block}.ffn.2", e, ffn)
    return shapes


def convolution(name: str, out_dim: int, in_dim: int, *kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_dim, in_dim, *kernel), f"{name}.bias": (out_dim,)}


def residual(name: str, in_dim: int, out_dim: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.residual.0.gamma": (in_dim, 1, 1, 1), f"{name}.residual.3.gamma": (out_dim, 1, 1, 1)}
    shapes |= convolution(f"{name}.residual.2", out_dim, in_dim, 3, 3, 3)
    shapes |= convolution(f"{name}.residual.6", out_dim, out_dim, 3, 3, 3)
    return shapes if in_dim == out_dim else shapes | convolution(f"{name}.shortcut", out_dim, in_dim, 1, 1, 1)


def middle(name: str) -> dict[str, tuple[int, ...]]:
    shapes = residual(f"{name}.0", 384, 384) | residual(f"{name}.2", 384, 384)
    shapes |= convolution(f"{name}.1.to_qkv", 1152, 384, 1, 1) | convolution(f"{name}.1.proj", 384, 384, 1, 1)
    return shapes | {f"{name}.1.norm.gamma": (384, 1, 1)}


def expected_vae() -> dict[str, tuple[int, ...]]:
    """Wan2.1 VAE as published, position by position."""
    shapes = convolution("conv1", 32, 32, 1, 1, 1) | convolution("conv2", 16, 16, 1, 1, 1)
    up, down = "decoder.upsamples", "encoder.downsamples"
    shapes |= convolution("decoder.conv1", 384, 16, 3, 3, 3) | middle("decoder.middle")
    for i, (in_dim, out_dim) in {
        0: (384, 384), 1: (384, 384), 2: (384, 384), 4: (192, 384), 5: (384, 384), 6: (384, 384),
        8: (192, 192), 9: (192, 192), 10: (192, 192), 12: (96, 96), 13: (96, 96), 14: (96, 96),
    }.items():  # fmt: skip
        shapes |= residual(f"{up}.{i}", in_dim, out_dim)
    for i, dim in {3: 384, 7: 384, 11: 192}.items():
        shapes |= convolution(f"{up}.{i}.resample.1", dim // 2, dim, 3, 3)
    for i in (3, 7):
        shapes |= convolution(f"{up}.{i}.time_conv", 768, 384, 3, 1, 1)
    shapes |= {"decoder.head.0.gamma": (96, 1, 1, 1)} | convolution("decoder.head.2", 3, 96, 3, 3, 3)
    shapes |= convolution("encoder.conv1", 96, 3, 3, 3, 3) | middle("encoder.middle")
    for i, (in_dim, out_dim) in {
        0: (96, 96), 1: (96, 96), 3: (96, 192), 4: (192, 192), 6: (192, 384), 7: (384, 384),
        9: (384, 384), 10: (384, 384),
    }.items():  # fmt: skip
        shapes |= residual(f"{down}.{i}", in_dim, out_dim)
    for i, dim in {2: 96, 5: 192, 8: 384}.items():
        shapes |= convolution(f"{down}.{i}.resample.1", dim, dim, 3, 3)
    for i, dim in {5: 192, 8: 384}.items():
        shapes |= convolution(f"{down}.{i}.time_conv", dim, dim, 3, 1, 1)
    return shapes | {"encoder.head.0.gamma": (384, 1, 1, 1)} | convolution("encoder.head.2", 32, 384, 3, 3, 3)


def test_transformer_has_825_tensors_of_the_published_shapes():
    with torch.device("meta"):
        shapes = shapes_of(DiT(DiTConfig()))
    assert shapes == expected_dit()
    assert len(shapes) == 825 and sum(map(prod, shapes.values())) == 1_418_996_800


def test_vae_has_194_tensors_of_the_published_shapes():
    with torch.device("meta"):
        shapes = shapes_of(WanVAE(WanVAEConfig()))
    assert shapes == expected_vae()
    assert len(shapes) == 194 and sum(map(prod, shapes.values())) == 126_892_531


def test_text_encoder_has_242_tensors_of_the_published_shapes():
    config = UMT5Config()
    shapes, names = umt5_shapes(config), umt5_names(config.num_layers)
    assert shapes["token_embedding.weight"] == (256384, 4096) and shapes["blocks.23.ffn.fc2.weight"] == (4096, 10240)
    assert shapes["blocks.7.pos_embedding.embedding.weight"] == (32, 64) and shapes["norm.weight"] == (4096,)
    assert len(shapes) == 242 and sum(map(prod, shapes.values())) == 5_680_910_336
    network = {name: tuple(value.shape) for name, value in build_network(config).named_parameters()}
    assert network == {names[name]: shape for name, shape in shapes.items()}
