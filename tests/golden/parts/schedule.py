"""Noise tables, few-step lists, and which frames of past shots condition the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from shotstream.engine.context import ContextMemory, context_frames
from shotstream.engine.protocol import Pin
from shotstream.engine.rollout import flag_of_shot
from shotstream.model.schedule import TABLE_ENTRIES, Schedule
from training.losses import TIMESTEP_RANGE

from .common import TABLE_LIMIT, Case, Cases, Part, close, equal


def check(part: Part) -> Cases:
    info = part.info
    schedule = part.schedule

    def table(name: str, got: torch.Tensor, want: list[float]) -> Case:
        return close(name, got, torch.tensor(want, dtype=torch.float64), TABLE_LIMIT)

    yield equal("entries", TABLE_ENTRIES, info["entries"])
    yield table("sigmas", schedule.sigmas, info["sigmas"])
    yield table("timesteps", schedule.timesteps, info["timesteps"])
    weights = schedule.flow_weights()
    yield table("flow weights", weights, info["flow_weights"])
    for step, want in zip(schedule.steps, info["warped_steps"], strict=True):
        got = torch.tensor([step.timestep, step.sigma])
        yield table(f"warped step {want['listed']}", got, [want["t"], want["sigma"]])
    for want in info["causal_init_steps"]:
        # The list of the second stage counts from the table with its clean end appended, so 1001 names that end.
        index = (TABLE_ENTRIES - want["listed"]) % (TABLE_ENTRIES + 1)
        yield table(
            f"causal init level {want['listed']}", torch.tensor([schedule.step_at(index).timestep]), [want["t"]]
        )
    for key in sorted(key for key in info if key.startswith("euler")):
        sigmas = schedule.sigmas_for(len(info[key]["sigmas"]))[:-1]
        yield table(f"{key}: sigmas", sigmas, info[key]["sigmas"])
        yield table(f"{key}: timesteps", sigmas * 1000, info[key]["timesteps"])
    times = torch.tensor([want["t"] for want in info["nearest"]])
    yield equal("nearest entries", schedule.nearest_index(times).tolist(), [want["index"] for want in info["nearest"]])
    yield table("nearest sigmas", schedule.nearest_sigma(times), [want["sigma"] for want in info["nearest"]])
    yield from _training_timesteps(schedule, weights, info["training_timesteps"])
    for number, wanted in enumerate(info["context_tables"]):
        yield from _context_table(f"context table {number}", wanted)


def _training_timesteps(schedule: Schedule, weights: torch.Tensor, rows: list[dict[str, Any]]) -> Cases:
    index = torch.tensor([row["index"] for row in rows])
    exact = schedule.timesteps[index]
    rounded = exact.bfloat16().float()
    nearest = schedule.nearest_index(rounded)
    for name, got in (
        ("t", exact),
        ("t_bf16", rounded),
        ("t_bf16_clamped", rounded.clamp(*TIMESTEP_RANGE)),
        ("weight", weights[index]),
        ("weight_bf16", weights[nearest]),
    ):
        want = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        yield close(f"training timesteps: {name}", got, want, TABLE_LIMIT)


def _context_table(name: str, wanted: Mapping[str, Any]) -> Cases:
    """The engine's own memory walks through the shots; its frames are numbered by their only pixel."""
    lengths, budget = wanted["lengths"], wanted["budget"]
    starts = [sum(lengths[:shot]) for shot in range(len(lengths) + 1)]
    memory = ContextMemory(budget, encode=lambda pixels: pixels)
    pins: tuple[Pin, ...] = ()
    by_memory, by_rule, expected = [], [], []
    for row in wanted["shots"]:
        shot = row["shot"]
        memory.finish_shots(pins)
        picks = memory.pick(shot, pins)
        frames = [starts[pick.shot] + pick.frame for pick in picks] or None
        flags = [pick.flag for pick in picks] or [0] * budget
        by_memory.append((frames, flags, flag_of_shot(flags)))
        rule = context_frames(lengths[:shot], budget) if shot else []
        ruled = [starts[number] + frame for number, chosen in enumerate(rule) for frame in chosen] or None
        rule_flags = [number for number, chosen in enumerate(rule) for _ in chosen] or [0] * budget
        by_rule.append((ruled, rule_flags, flag_of_shot(rule_flags)))
        expected.append((row["frames"], row["context_flags"], row["block_flag"]))
        shown = [int(memory.latent(pick)) for pick in picks]
        yield equal(f"{name} shot {shot}: pictures are the picked frames", shown, frames or [])
        if shot < len(lengths):
            numbers = torch.arange(starts[shot], starts[shot + 1], dtype=torch.float32)
            memory.begin_shot(shot, f"shot {shot}").add(numbers.view(-1, 1, 1, 1))
    yield equal(f"{name}: frames and flags of {len(expected)} shots, engine memory", by_memory, expected)
    yield equal(f"{name}: frames and flags of {len(expected)} shots, rule", by_rule, expected)
