"""The UMT5 text encoder on token ids."""

from __future__ import annotations

import torch

from shotstream.model.config import UMT5Config
from shotstream.model.text import UMT5TextEncoder

from .common import Cases, Part, bf16_case, close, equal


@torch.no_grad()
def check(part: Part) -> Cases:
    info = part.info
    names = ("vocab", "dim", "dim_attn", "dim_ffn", "num_heads", "num_layers", "num_buckets", "max_distance", "eps")
    config = UMT5Config(text_len=info["length"], **{name: info["config"][name] for name in names})
    yield equal("lengths agree with the mask", part["mask"].sum(1).tolist(), info["lengths"])
    for dtype in (torch.float32, torch.bfloat16):
        encoder = UMT5TextEncoder.from_tensors(config, part.weights("weight"), tokenizer=None, dtype=dtype)
        rows = [encoder.encode_ids(ids[:length]) for ids, length in zip(part["ids"], info["lengths"], strict=True)]
        if dtype == torch.bfloat16:
            measured = info["measured"]["bf16_vs_fp32_rel_rms"]
            yield bf16_case("output", torch.stack(rows), part["output"], measured)
            continue
        for number, (got, length) in enumerate(zip(rows, info["lengths"], strict=True)):
            yield close(f"output of prompt {number}, {length} tokens", got, part["output"][number])
            yield equal(f"padding of prompt {number} is zero", bool(got[length:].any()), False)
        attention = encoder.model.encoder.block[0].layer[0].SelfAttention
        buckets = attention._relative_position_bucket(part["bucket/distance"].long())
        yield equal("buckets of relative positions", buckets.tolist(), part["bucket/index"].tolist())
