"""The causal transformer through the engine's key-value cache: context pass, denoising steps, commit passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shotstream.engine.kv_cache import KVCache
from shotstream.engine.noise import RecordedNoise
from shotstream.engine.rollout import Context, ShotRollout
from shotstream.model.dit import CaptionKV, DiT
from shotstream.model.schedule import clean_from_velocity

from .common import (
    TABLE_LIMIT,
    Case,
    Cases,
    Part,
    bf16_case,
    build_dit,
    caption_of,
    caption_row,
    close,
    constant_time,
    equal,
    rope_split,
    video_spec,
)


class FedShot:
    """One recorded shot, every call of the network fed with its recorded input."""

    def __init__(self, part: Part, case: Mapping[str, Any], dit: DiT) -> None:
        info = part.info
        self.part, self.case, self.dit = part, case, dit
        self.prefix = f"case/{case['name']}/"
        flags = case["context_flags"]
        spec = video_spec(part, num_blocks=info["blocks"], context_lat=len(flags))
        self.cache = KVCache(dit.config, spec, device=torch.device("cpu"), dtype=dit.dtype)
        self.block_tok = spec.block_lat * spec.tokens_per_lat
        self.captions: CaptionKV = dit.encode_captions(part[self.prefix + "text"])

    def context_pass(self) -> Tensor:
        """Velocity that the context pass predicts (the engine itself never asks for it)."""
        flags, count = self.case["context_flags"], self.case["captions"]
        return self.dit.run(
            self.part[self.prefix + "context_latent"][None].to(self.dit.dtype),
            self.dit.encode_time(constant_time(self.part.info["context_timestep"])),
            self.captions,
            rope=self.cache.begin_context(flags),
            captions=torch.tensor([[caption_row(flag, count) for flag in flags]]),
            memory=self.cache,
        )[0]

    def block_pass(self, block: int, timestep: float, x: Tensor) -> Tensor:
        """Velocity of one pass over a block; its keys and values stay in the cache."""
        flag = self.case["block_flag"]
        return self.dit.run(
            x[None].to(self.dit.dtype),
            self.dit.encode_time(constant_time(timestep)),
            caption_of(self.captions, caption_row(flag, self.case["captions"])),
            rope=self.cache.begin_block(block, flag),
            memory=self.cache,
        )[0]

    def context_rows(self, layer: int) -> tuple[Tensor, Tensor]:
        k, v = self.cache.layers[layer][:, : self.cache.context_capacity]
        return k, v

    def block_rows(self, layer: int, block: int) -> tuple[Tensor, Tensor]:
        start = self.cache.context_capacity + block * self.block_tok
        k, v = self.cache.layers[layer][:, start : start + self.block_tok]
        return k, v


@torch.no_grad()
def check(part: Part) -> Cases:
    dit = build_dit(part, "weight")
    yield rope_split(part)
    for case in part.info["cases"]:
        yield from _fed(part, case, dit)
        yield from _free(part, case, dit)
    low = build_dit(part, "weight").bfloat16()
    for case in part.info["cases"]:
        yield from _fed_bf16(part, case, low)


def _fed(part: Part, case: Mapping[str, Any], dit: DiT) -> Cases:
    info, name, prefix = part.info, case["name"], f"case/{case['name']}/"
    shot = FedShot(part, case, dit)
    yield equal(f"{name}: block flag follows the context", case["block_flag"], case["context_flags"][-1] + 1)
    for layer in info["cached_layers"]:
        for got, kind in zip(shot.captions.layers[layer], "kv", strict=True):
            yield close(f"{name}: cross/layer{layer}/{kind}", got, part[f"{prefix}cross/layer{layer}/{kind}"])
    yield close(f"{name}: context/velocity", shot.context_pass(), part[prefix + "context/velocity"])
    for layer in info["cached_layers"]:
        for got, kind in zip(shot.context_rows(layer), "kv", strict=True):
            yield close(f"{name}: context/layer{layer}/{kind}", got, part[f"{prefix}context/layer{layer}/{kind}"])
    traced = prefix + "trace/patch_embedding" in part.tensors
    for block in range(info["blocks"]):
        for step, (timestep, sigma) in enumerate(zip(info["timesteps"], info["sigmas"], strict=True)):
            at = f"block{block}/step{step}"
            x = part[f"{prefix}{at}/x"]
            if traced and block == step == 0:
                yield from _trace(part, shot, x, timestep)
            velocity = shot.block_pass(block, timestep, x)
            yield close(f"{name}: {at}/velocity", velocity, part[f"{prefix}{at}/velocity"])
            yield close(f"{name}: {at}/x0", clean_from_velocity(x, velocity, sigma), part[f"{prefix}{at}/x0"])
        commit = f"block{block}/commit"
        last = part[f"{prefix}block{block}/step{len(info['timesteps']) - 1}/x0"]
        velocity = shot.block_pass(block, info["commit_timestep"], last)
        yield close(f"{name}: {commit}/velocity", velocity, part[f"{prefix}{commit}/velocity"])
        for layer in info["cached_layers"]:
            for got, kind in zip(shot.block_rows(layer, block), "kv", strict=True):
                yield close(f"{name}: {commit}/layer{layer}/{kind}", got, part[f"{prefix}{commit}/layer{layer}/{kind}"])


def _trace(part: Part, shot: FedShot, x: Tensor, timestep: float) -> Cases:
    """Intermediate values of the first denoising step."""
    dit, name, trace = shot.dit, shot.case["name"], shot.prefix + "trace/"
    time = dit.encode_time(constant_time(timestep))
    frames = len(x)
    yield close(
        f"{name}: trace/patch_embedding", dit.patchify(x[None])[0].flatten(0, 1), part[trace + "patch_embedding"]
    )
    text = dit.text_embedding(part[shot.prefix + "text"])
    yield close(f"{name}: trace/text_embedding", text, part[trace + "text_embedding"])
    yield close(f"{name}: trace/time_embedding", time.embedded[0].expand(frames, -1), part[trace + "time_embedding"])
    projection = time.modulation[0].expand(frames, -1, -1)
    yield close(f"{name}: trace/time_projection", projection, part[trace + "time_projection"])
    outputs: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda *call: outputs.append(call[2])) for block in dit.blocks]
    shot.block_pass(0, timestep, x)
    for hook in hooks:
        hook.remove()
    for layer, output in enumerate(outputs):
        want = part[f"{trace}block_output{layer}"]
        yield close(f"{name}: trace/block_output{layer}", output[0].flatten(0, 1), want)


def _free(part: Part, case: Mapping[str, Any], dit: DiT) -> Cases:
    """The engine's block loop, fed with noise alone; its errors add up from step to step."""
    info, name, prefix = part.info, case["name"], f"case/{case['name']}/"
    flags, count = case["context_flags"], case["captions"]
    steps = part.schedule.steps
    for index, key in enumerate(("timesteps", "sigmas")):
        got = torch.tensor([(step.timestep, step.sigma)[index] for step in steps])
        yield close(f"{name}: {key} of the engine", got, torch.tensor(info[key]), TABLE_LIMIT)
    spec = video_spec(part, num_blocks=info["blocks"], context_lat=len(flags))
    captions = dit.encode_captions(part[prefix + "text"])
    rollout = ShotRollout(dit, part.schedule, spec, device=torch.device("cpu"))
    rollout.open(
        Context(part[prefix + "context_latent"], flags, captions, [caption_row(flag, count) for flag in flags])
    )
    noise = RecordedNoise(part[prefix + "noise"], part[prefix + "renoise"])
    own = caption_of(captions, caption_row(case["block_flag"], count))
    for block in range(info["blocks"]):
        clean: list[Tensor] = []
        rollout.next_latent(0, block, own, noise, trace=lambda _step, _velocity, x0, kept=clean: kept.append(x0))
        for step, got in enumerate(clean):
            yield close(
                f"{name}: free run, block{block}/step{step}/x0", got, part[f"{prefix}block{block}/step{step}/x0"]
            )


def _fed_bf16(part: Part, case: Mapping[str, Any], low: DiT) -> Cases:
    info, prefix = part.info, f"case/{case['name']}/"
    measured = info["measured"]["bf16_vs_fp32_rel_rms"][case["name"]]
    shot = FedShot(part, case, low)

    def judge(at: str, got: Tensor) -> Case:
        return bf16_case(f"{case['name']}: {at}", got, part[prefix + at], measured[at])

    yield judge("context/velocity", shot.context_pass())
    for block in range(info["blocks"]):
        for step, timestep in enumerate(info["timesteps"]):
            at = f"block{block}/step{step}"
            yield judge(f"{at}/velocity", shot.block_pass(block, timestep, part[f"{prefix}{at}/x"]))
        last = part[f"{prefix}block{block}/step{len(info['timesteps']) - 1}/x0"]
        yield judge(f"block{block}/commit/velocity", shot.block_pass(block, info["commit_timestep"], last))
