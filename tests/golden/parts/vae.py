"""The Wan VAE: decode whole and in chunks, encode lone frames and a video."""

from __future__ import annotations

import torch

from .common import Cases, Part, bf16_case, build_vae, close, equal

CHUNK_LIMIT = 1e-5


@torch.no_grad()
def check(part: Part) -> Cases:
    info = part.info
    weights = part.weights("weight")
    scale = {"mean": tuple(info["mean"]), "std": tuple(info["std"])}
    vae = build_vae(info["config"], weights, **scale)
    latent, pixels = part["decode/latent"][None], part["encode/pixels"][None]
    lone = pixels[0, info["single_frames"]]
    raw = vae.decode_raw(latent)[0]
    yield equal("frames of a decode", len(raw), info["decode_frames"])
    yield close("decode/raw", raw, part["decode/raw"])
    yield close("decode/first", vae.decode(latent[:, :1])[0], part["decode/first"])
    whole = raw.clamp(-1, 1)
    for row in info["streaming"]:
        stream = vae.stream()
        chunks = [stream.feed(chunk)[0] for chunk in latent.split(row["latents"], dim=1)]
        name = f"streamed as {'+'.join(map(str, row['latents']))}"
        yield equal(f"{name}: frames of each chunk", [len(chunk) for chunk in chunks], row["frames"])
        yield close(f"{name}: against the whole decode", torch.cat(chunks), whole, CHUNK_LIMIT)
    video = vae.encode(pixels)[0]
    yield equal("latents of an encode", len(video), info["encode_latents"])
    yield close("encode/video", video, part["encode/video"])
    yield close("encode/single", vae.encode_frames(lone), part["encode/single"])
    low = build_vae(info["config"], weights, **scale).bfloat16()
    measured = info["measured"]["bf16_vs_fp32_rel_rms"]
    yield bf16_case("decode/raw", low.decode_raw(latent)[0], part["decode/raw"], measured["decode_raw"])
    yield bf16_case("encode/single", low.encode_frames(lone), part["encode/single"], measured["encode_single"])
