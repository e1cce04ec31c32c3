"""The whole shot loop: fed with recorded inputs, as a free run of the block loop, and through the engine itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from shotstream.bundle import Bundle, BundleFile
from shotstream.engine.context import ContextMemory
from shotstream.engine.kv_cache import KVCache
from shotstream.engine.noise import INITIAL_STEP, RecordedNoise
from shotstream.engine.protocol import ShotPlan
from shotstream.engine.rollout import Context, ShotRollout, flag_of_shot
from shotstream.engine.torch_engine import TorchEngine
from shotstream.frames import VideoSpec
from shotstream.model.config import UMT5Config
from shotstream.model.dit import CaptionKV, DiT
from shotstream.model.schedule import add_noise, clean_from_velocity
from shotstream.model.text_types import TextEmbedding
from shotstream.model.vae import WanVAE

from .common import (
    Case,
    Cases,
    Part,
    build_dit,
    build_vae,
    caption_of,
    caption_row,
    close,
    constant_time,
    equal,
    rope_split,
    video_spec,
)

UINT8_STEP = 1
UINT8_SHARE = 1e-3


@torch.no_grad()
def check(part: Part) -> Cases:
    dit = build_dit(part, "dit")
    vae = build_vae(part.info["vae_config"], part.weights("vae"))
    spec = video_spec(part, num_blocks=part.info["blocks"], context_lat=part.info["context_budget"])
    yield rope_split(part)
    yield equal("pixels", [spec.height_px, spec.width_px], part.info["pixels"])
    for number in range(len(part.info["shots"])):
        yield from _fed(part, number, dit, vae, spec)
    yield from _free(part, dit, vae, spec)
    yield from _engine(part, dit, vae, spec)


def recorded_noise(part: Part, number: int) -> RecordedNoise:
    noise = part[f"shot{number}/noise"].unflatten(0, (part.info["blocks"], part.info["frames_per_block"]))
    return RecordedNoise(noise, part[f"shot{number}/renoise"])


def context_of(part: Part, number: int, latent: Tensor, flags: list[int], captions: CaptionKV) -> Context:
    count = part.info["shots"][number]["captions"]
    return Context(latent, flags, captions, [caption_row(flag, count) for flag in flags])


def _fed(part: Part, number: int, dit: DiT, vae: WanVAE, spec: VideoSpec) -> Cases:
    """Every call gets its recorded input, so that an error shows where it is made."""
    info, shot, prefix = part.info, part.info["shots"][number], f"shot{number}/"
    flag = shot["block_flags"][0]
    captions = dit.encode_captions(part["text"][: shot["captions"]])
    own = caption_of(captions, caption_row(flag, shot["captions"]))
    yield equal(f"shot{number}: flag of its blocks", flag_of_shot(shot["context_flags"]), flag)
    if shot["context_frames"] is not None:
        got = vae.encode_frames(part[prefix + "context_pixels"])
        yield close(f"shot{number}: fed, context encode", got, part[prefix + "context_latent"])
    cache = KVCache(dit.config, spec, device=torch.device("cpu"), dtype=dit.dtype)
    context = context_of(part, number, part[prefix + "context_latent"], shot["context_flags"], captions)
    dit.write_memory(
        context.latent[None],
        dit.encode_time(constant_time(0.0)),
        captions,
        rope=cache.begin_context(context.flags),
        captions=torch.tensor([context.captions]),
        memory=cache,
    )
    recorded, noise = part[prefix + "x0"], recorded_noise(part, number)
    errors: dict[str, list[Case]] = {"x0": [], "first velocity": []}
    for block in range(info["blocks"]):
        x = noise.draw(number, block, INITIAL_STEP)
        rope = cache.begin_block(block, flag)
        for step, (timestep, sigma) in enumerate(zip(info["timesteps"], info["sigmas"], strict=True)):
            time = dit.encode_time(constant_time(timestep))
            velocity = dit.run(x[None], time, own, rope=rope, memory=cache)[0]
            clean = clean_from_velocity(x, velocity, sigma)
            errors["x0"].append(close("", clean, recorded[block, step]))
            if step == 0:
                errors["first velocity"].append(close("", velocity, part[prefix + "velocity_first"][block]))
            if step + 1 < len(info["timesteps"]):
                x = add_noise(recorded[block, step], noise.draw(number, block, step + 1), info["sigmas"][step + 1])
        dit.write_memory(recorded[block, -1][None], dit.encode_time(constant_time(0.0)), own, rope=rope, memory=cache)
    for name, cases in errors.items():
        worst = max(cases, key=lambda case: case.error)
        yield Case(f"shot{number}: fed, {name} of {info['blocks']} blocks", worst.error, worst.bound)
    frames = vae.decode(part[prefix + "latent"][None])[0]
    yield equal(f"shot{number}: frames", len(frames), info["frames_per_shot"])
    yield close(f"shot{number}: fed, decoded probe frames", frames[info["probe_frames"]], part[prefix + "probe_frames"])


def _free(part: Part, dit: DiT, vae: WanVAE, spec: VideoSpec) -> Cases:
    """Block loop, context memory and streaming decoder of the engine, from noise and text alone."""
    info = part.info
    rollout = ShotRollout(dit, part.schedule, spec, device=torch.device("cpu"))
    memory = ContextMemory(spec.context_lat, lambda pixels: vae.encode_frames(pixels[None])[0])
    decoder, film = vae.stream(), torch.empty(0)
    for number, shot in enumerate(info["shots"]):
        prefix, name = f"shot{number}/", f"shot{number}: free"
        captions = dit.encode_captions(part["text"][: shot["captions"]])
        memory.finish_shots(())
        picks = memory.pick(number)
        flags = [pick.flag for pick in picks] or [0] * spec.context_lat
        starts = {kept.shot: kept.start for kept in memory.shots}
        chosen = [starts[pick.shot] + pick.frame for pick in picks]
        yield equal(
            f"{name}, context frames and flags",
            (chosen or None, flags),
            (shot["context_frames"], shot["context_flags"]),
        )
        latent = (
            torch.stack([memory.latent(pick) for pick in picks])
            if picks
            else torch.zeros_like(part[prefix + "context_latent"])
        )
        yield close(f"{name}, context latents", latent, part[prefix + "context_latent"])
        if picks:
            yield close(f"{name}, context pixels", film[chosen], part[prefix + "context_pixels"])
        rollout.open(context_of(part, number, latent, flags, captions))
        own = caption_of(captions, caption_row(flag_of_shot(flags), shot["captions"]))
        noise = recorded_noise(part, number)
        decoder.reset()
        kept = memory.begin_shot(number, f"shot {number}")
        latents, frames = [], []
        for block in range(info["blocks"]):
            latents.append(rollout.next_latent(number, block, own, noise).clone())
            frames.append(decoder.feed(latents[-1][None])[0])
            kept.add(frames[-1])
        film = torch.cat([film, *frames]) if len(film) else torch.cat(frames)
        yield close(f"{name}, latents", torch.cat(latents), part[prefix + "latent"])
        yield close(
            f"{name}, decoded probe frames", torch.cat(frames)[info["probe_frames"]], part[prefix + "probe_frames"]
        )


class RecordedText:
    """Answers the prompt of shot k with the recorded embedding of caption k."""

    def __init__(self, text: Tensor) -> None:
        self.text = text

    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        rows = [int(prompt.rsplit(" ", 1)[1]) for prompt in prompts]
        count = len(rows)
        return TextEmbedding(
            emb=self.text[rows],
            lengths=(self.text.shape[1],) * count,
            truncated=(False,) * count,
            unknown=((),) * count,
        )


def _engine(part: Part, dit: DiT, vae: WanVAE, spec: VideoSpec) -> Cases:
    """Pictures as the engine hands them out."""
    info = part.info
    nothing = BundleFile(path="none", sha256="0" * 64, bytes=0)
    bundle = Bundle(
        path=Path("recorded"),
        name="recorded",
        licence="Apache-2.0",
        description="recorded random weights",
        caption_style="any",
        spec=spec,
        dit=dit.config,
        vae=vae.config,
        text=UMT5Config(dim=dit.config.text_dim, text_len=dit.config.text_len),
        schedule=part.schedule_config,
        dtype="float32",
        files={role: nothing for role in ("dit", "vae", "text", "tokenizer")},
        card={},
    )
    engine = TorchEngine(
        bundle,
        dit=dit,
        codec=vae,
        text_encoder=RecordedText(part["text"]),
        device=torch.device("cpu"),
        noise_from_seed=lambda seed: recorded_noise(part, seed),
    )
    for number in range(len(info["shots"])):
        engine.open_shot(ShotPlan(shot=number, caption=f"caption {number}", seed=number))
        images = [image for _ in range(info["blocks"]) for image in engine.next_block().images]
        got = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2).int()
        difference = (got - part[f"shot{number}/frames_uint8"].int()).abs()
        share = (difference > 0).float().mean().item()
        yield Case(f"shot{number}: engine, uint8 frames, largest step", difference.max().item(), UINT8_STEP)
        yield Case(f"shot{number}: engine, uint8 frames, share that differs", share, UINT8_SHARE)
    engine.close()
