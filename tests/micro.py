"""A complete engine at pocket size with random weights: every part is real but the text encoder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from shotstream.bundle import Bundle, BundleFile, describe_file, write_bundle_toml
from shotstream.engine.torch_engine import TorchEngine
from shotstream.frames import VideoSpec
from shotstream.model.config import DiTConfig, ScheduleConfig, TinyVAEConfig, WordTextConfig
from shotstream.model.dit import DiT
from shotstream.model.text_types import TextEmbedding
from shotstream.model.tiny_vae import TinyVAE
from shotstream.model.word_text import WordTextEncoder, build_tokenizer

CHANNELS = 4
TEXT_LEN, TEXT_DIM = 3, 8


class HashText:
    """Text encoder whose rows are drawn from a generator seeded by the prompt."""

    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        rows = []
        for prompt in prompts:
            seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:7], "little")
            rows.append(torch.randn(TEXT_LEN, TEXT_DIM, generator=torch.Generator().manual_seed(seed)))
        count = len(prompts)
        return TextEmbedding(
            emb=torch.stack(rows), lengths=(TEXT_LEN,) * count, truncated=(False,) * count, unknown=((),) * count
        )


def micro_config(num_layers: int = 2) -> DiTConfig:
    return DiTConfig(
        dim=32,
        ffn_dim=48,
        freq_dim=16,
        text_dim=TEXT_DIM,
        text_len=TEXT_LEN,
        num_heads=2,
        num_layers=num_layers,
        in_dim=CHANNELS,
        out_dim=CHANNELS,
    )


def micro_spec(window_lat: int = 6, width_px: int = 48, height_px: int = 32) -> VideoSpec:
    return VideoSpec(
        width_px=width_px, height_px=height_px, latent_channels=CHANNELS, window_lat=window_lat, context_lat=6
    )


def micro_dit(num_layers: int = 2, seed: int = 0) -> DiT:
    """Random weights, large enough that attention, text and time all matter."""
    torch.manual_seed(seed)
    dit = DiT(micro_config(num_layers)).eval().requires_grad_(False)
    for parameter in dit.parameters():
        if parameter.dim() > 1:
            parameter.mul_(1.7)
    return dit


def micro_codec() -> TinyVAE:
    torch.manual_seed(1)
    codec = TinyVAE(TinyVAEConfig(latent_channels=CHANNELS, widths=(8, 6, 6, 4), blocks_per_stage=1, encoder="linear"))
    assert codec.linear is not None
    basis = torch.linalg.qr(torch.randn(12 * 64, CHANNELS)).Q.T
    codec.linear.set_components(basis.reshape(CHANNELS, 12, 8, 8), torch.zeros(12, 8, 8))
    last = codec.decoder[-1]
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.normal_(last.weight, std=0.1)
    return codec.eval().requires_grad_(False)


def micro_bundle(spec: VideoSpec, num_layers: int = 2) -> Bundle:
    file = BundleFile(path="none", sha256="0" * 64, bytes=0)
    return Bundle(
        path=Path("micro"),
        name="micro",
        licence="Apache-2.0",
        description="random weights",
        caption_style="any",
        spec=spec,
        dit=micro_config(num_layers),
        vae=TinyVAEConfig(latent_channels=CHANNELS),
        text=WordTextConfig(vocab=1),
        schedule=ScheduleConfig(),
        dtype="float32",
        files={role: file for role in ("dit", "vae", "text", "tokenizer")},
        card={},
    )


def micro_engine(*, window_lat: int = 6, num_layers: int = 2, seed: int = 0) -> TorchEngine:
    spec = micro_spec(window_lat)
    return TorchEngine(
        micro_bundle(spec, num_layers),
        dit=micro_dit(num_layers, seed),
        codec=micro_codec(),
        text_encoder=HashText(),
        device=torch.device("cpu"),
    )


def digest(images: Sequence[np.ndarray]) -> str:
    """SHA-256 over the bytes of all images."""
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


MICRO_WORDS = ("a", "fox", "bear", "red", "blue", "forest", "snow", "wide", "shot", "close-up", ":", ",")


def write_micro_bundle(folder: Path, seed: int = 0) -> Path:
    """A complete bundle on disk: pocket sizes, random weights, real files."""
    folder.mkdir(parents=True, exist_ok=True)
    spec, config = micro_spec(), micro_config()
    tokenizer = build_tokenizer(MICRO_WORDS)
    text = WordTextConfig(
        vocab=tokenizer.get_vocab_size(), dim=16, num_heads=2, num_layers=1, ffn_dim=16,
        num_slots=TEXT_LEN, max_words=24, text_dim=TEXT_DIM,
    )  # fmt: skip
    vae = TinyVAEConfig(latent_channels=CHANNELS, widths=(8, 6, 6, 4), blocks_per_stage=1, encoder="linear")
    codec = micro_codec()
    torch.manual_seed(seed)
    save_file(micro_dit(seed=seed).state_dict(), folder / "dit.safetensors")
    save_file(codec.state_dict(), folder / "vae.safetensors")
    save_file(WordTextEncoder(text, tokenizer).state_dict(), folder / "text.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "dit": "dit.safetensors",
        "vae": "vae.safetensors",
        "text": "text.safetensors",
        "tokenizer": "tokenizer.json",
    }
    tables = {
        "format": 1,
        "name": "micro",
        "licence": "Apache-2.0",
        "description": "random weights for tests",
        "caption_style": "any",
        "video": dataclasses.asdict(spec),
        "dit": dataclasses.asdict(config),
        "vae": {"kind": "tiny", **dataclasses.asdict(vae)},
        "text": {"kind": "word", **dataclasses.asdict(text)},
        "schedule": {"shift": 8.0, "steps": [1000, 740, 500, 260]},
        "precision": {"dtype": "float32"},
        "files": {role: describe_file(folder, name) for role, name in names.items()},
        "card": {"recipe": "random"},
    }
    write_bundle_toml(folder, tables)
    return folder
