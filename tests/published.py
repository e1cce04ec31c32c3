"""Small random checkpoints in the exact layout of the published files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from shotstream.model.config import DiTConfig, UMT5Config, WanVAEConfig
from shotstream.model.dit import DiT
from shotstream.model.vae import WanVAE
from shotstream.model.weights import umt5_shapes

DIT = DiTConfig(dim=48, ffn_dim=64, freq_dim=32, text_dim=16, text_len=6, num_heads=4, num_layers=2)
VAE = WanVAEConfig(dim=4)
TEXT = UMT5Config(vocab=40, dim=16, dim_attn=16, dim_ffn=24, num_heads=2, num_layers=2, text_len=6)


def dit_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: value.detach().clone() for name, value in DiT(DIT).state_dict().items()}


def text_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        name: (torch.randn(shape, generator=generator) * 0.2).bfloat16() for name, shape in umt5_shapes(TEXT).items()
    }


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "fox": 5}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")


def write_wan(folder: Path) -> Path:
    """The Wan folder: VAE, text encoder, tokenizer and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    torch.save(WanVAE(VAE).state_dict(), folder / "Wan2.1_VAE.pth")
    torch.save(text_tensors(), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    write_tokenizer(folder / "google" / "umt5-xxl")
    declared = {
        "_class_name": "WanModel", "model_type": "t2v", "dim": DIT.dim, "eps": DIT.eps, "ffn_dim": DIT.ffn_dim,
        "freq_dim": DIT.freq_dim, "in_dim": DIT.in_dim, "num_heads": DIT.num_heads, "num_layers": DIT.num_layers,
        "out_dim": DIT.out_dim, "text_len": DIT.text_len,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(declared))
    return folder


def write_student(path: Path) -> Path:
    """The merged student as published: under ``generator``, every name behind ``model.``."""
    torch.save({"generator": {f"model.{name}": value for name, value in dit_tensors().items()}}, path)
    return path
