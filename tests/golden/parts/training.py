"""Losses and parameter gradients of all training stages."""

from __future__ import annotations

import torch
from torch import Tensor

from shotstream.model.dit import DiT
from shotstream.model.layers import FullAttention
from shotstream.model.rope import rotary_table
from shotstream.model.schedule import DenoisingStep, add_noise, clean_from_velocity
from training import losses
from training.self_forcing import Draws, Shot, self_forcing_rollout

from .common import (
    TABLE_LIMIT,
    Cases,
    Part,
    build_dit,
    caption_row,
    close,
    close_scalar,
    equal,
    rope_split,
)


class Recorded:
    """The conditioning that all cases share, and how a network is run on it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.num_context = part.info["context_frames"]
        self.context = part["context_latent"][None]
        self.flags: list[int] = part["flags"].tolist()
        self.text = part["text"]
        self.schedule = part.schedule

    def velocity(
        self,
        dit: DiT,
        target: Tensor,
        timestep: Tensor | float,
        *,
        text: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Velocity of context and target ``(1, K + F, C, H, W)``, clean context in front.

        Args:
            target: ``(F, C, H, W)``.
            timestep: of all frames, or one per frame, context included.
            mask: who may attend to whom among frames; None is everyone.
        """
        latent = torch.cat([self.context, target[None]], dim=1)
        frames = latent.shape[1]
        captions = self.text if text is None else text
        grid = (latent.shape[-2] // dit.config.patch, latent.shape[-1] // dit.config.patch)
        return dit(
            latent,
            torch.as_tensor(timestep, dtype=torch.float32).expand(1, frames),
            captions,
            rope=rotary_table(dit.config, grid, range(frames), self.flags),
            captions=torch.tensor([[caption_row(flag, len(captions)) for flag in self.flags]]),
            memory=FullAttention(mask),
        )

    def target_of(self, frames: Tensor) -> Tensor:
        return frames[:, self.num_context :]


def check(part: Part) -> Cases:
    recorded = Recorded(part)
    yield rope_split(part)
    yield from _mask(part)
    yield from _flow(part, recorded)
    yield from _euler(part, recorded)
    yield from _ode(part, recorded)
    yield from _dmd(part, recorded)
    yield from _critic(part, recorded)
    yield from _rollout(part)


def _gradients(part: Part, dit: DiT, name: str, prefix: str, norm: float) -> Cases:
    """Compare gradients of the recorded parameters (the worst is shown) and the norm over all."""
    cases = []
    parameters = dict(dit.named_parameters())
    for parameter in part.info["gradient_parameters"]:
        got = parameters[parameter].grad
        assert got is not None, f"{parameter} has no gradient"
        cases.append(close(f"{name}: gradients, worst {parameter}", got, part[f"{prefix}grad/{parameter}"]))
    yield max(cases, key=lambda case: (not case.passed, case.error))
    squares = [p.grad.double().square().sum() for p in parameters.values() if p.grad is not None]
    yield close_scalar(f"{name}: gradient norm", torch.stack(squares).sum().sqrt().item(), norm)


def _mask(part: Part) -> Cases:
    mask = part.info["block_causal_mask"]
    for key in sorted(key for key in mask if key.startswith("rows_")):
        got = losses.block_causal_mask(
            mask["context_frames"], len(mask[key]) - mask["context_frames"], mask["frames_per_block"]
        )
        rows = ["".join(str(int(cell)) for cell in row) for row in got]
        yield equal(f"block-causal mask of {len(rows)} frames", rows, mask[key])


def _flow(part: Part, recorded: Recorded) -> Cases:
    clean, noise = part["flow/latent"][None], part["flow/noise"][None]
    weights = recorded.schedule.flow_weights()
    for case in part.info["flow"]["cases"]:
        index, name = case["timestep_index"], f"flow {case['timestep_index']}"
        dit = build_dit(part, part.info["flow"]["model"])
        step = recorded.schedule.step_at(index)
        yield close_scalar(f"{name}: t", step.timestep, case["t"], TABLE_LIMIT)
        yield close_scalar(f"{name}: weight", weights[index].item(), case["weight"])
        velocity = recorded.velocity(dit, add_noise(clean, noise, step.sigma)[0], step.timestep)
        yield close(f"{name}: velocity", velocity[0], part[f"flow/{index}/velocity"])
        scored = recorded.target_of(velocity)
        loss = losses.flow_matching_loss(scored, clean, noise, weights[index])
        yield close_scalar(f"{name}: loss", loss.item(), case["loss"])
        plain = losses.flow_matching_loss(scored.detach(), clean, noise)
        yield close_scalar(f"{name}: loss without weight", plain.item(), case["unweighted"])
        loss.backward()
        yield from _gradients(part, dit, name, f"flow/{index}/", case["grad_norm"])


@torch.no_grad()
def _euler(part: Part, recorded: Recorded) -> Cases:
    info = part.info["euler"]
    dit = build_dit(part, info["model"])

    def velocity(x: Tensor, timestep: float) -> Tensor:
        conditional = recorded.target_of(recorded.velocity(dit, x, timestep))
        negative = recorded.target_of(recorded.velocity(dit, x, timestep, text=part["negative_text"]))
        return losses.guided(conditional, negative, info["guidance"])[0]

    saved = tuple(info["saved_states"])
    sigmas = recorded.schedule.sigmas_for(info["steps"])
    end, states = losses.euler_trajectory(velocity, part["euler/noise"], sigmas, saved)
    for step in saved:
        want = part["euler/noise"] if step == 0 else part[f"euler/state{step}"]
        yield close(f"euler: state before step {step}", states[step], want)
    yield close("euler: x0", end, part["euler/x0"])


def _ode(part: Part, recorded: Recorded) -> Cases:
    trajectory = part["ode/trajectory"]
    info, num_context = part.info["ode"], recorded.num_context
    block = part.info["block_causal_mask"]["frames_per_block"]
    mask = losses.block_causal_mask(num_context, trajectory.shape[1], block)
    for number, case in enumerate(info["cases"]):
        name = f"ode {number}"
        levels = torch.tensor(case["level_per_block"]).repeat_interleave(block)
        timestep = torch.tensor([0.0] * num_context + [info["timesteps"][level] for level in levels.tolist()])
        yield equal(f"{name}: timesteps", timestep.tolist(), torch.tensor(case["t_per_frame"]).tolist())
        dit = build_dit(part, info["model"])
        noisy = trajectory[levels, torch.arange(len(levels))]
        velocity = recorded.velocity(dit, noisy, timestep, mask=mask)
        yield close(f"{name}: velocity", velocity[0], part[f"ode/{number}/velocity"])
        # A frame given at timestep 0 uses the table's last entry, as every rounded timestep uses its nearest.
        sigma = recorded.schedule.nearest_sigma(timestep).view(1, -1, 1, 1, 1)
        x0 = clean_from_velocity(torch.cat([recorded.context, noisy[None]], dim=1), velocity, sigma)
        yield close(f"{name}: x0", x0[0], part[f"ode/{number}/x0"])
        loss = losses.ode_regression_loss(recorded.target_of(x0), trajectory[-1:], timestep[None, num_context:])
        yield close_scalar(f"{name}: loss", loss.item(), case["loss"])
        loss.backward()
        yield from _gradients(part, dit, name, f"ode/{number}/", case["grad_norm"])


def _dmd(part: Part, recorded: Recorded) -> Cases:
    x, noise = part["dmd/x"][None], part["dmd/noise"][None]
    real, fake = build_dit(part, "real_score"), build_dit(part, "fake_score")
    guidance = part.info["dmd"]["guidance"]
    for case in part.info["dmd"]["cases"]:
        name, prefix = f"dmd {case['timestep_index']}", f"dmd/{case['timestep_index']}/"
        timestep, sigma = _score_step(recorded, case["timestep_index"])
        yield close_scalar(f"{name}: t", timestep, case["t"], TABLE_LIMIT)
        yield close_scalar(f"{name}: sigma", sigma, case["sigma"], TABLE_LIMIT)
        noisy = add_noise(x, noise, sigma)
        with torch.no_grad():
            estimates = {
                "x0_fake": recorded.velocity(fake, noisy[0], timestep),
                "x0_real_cond": recorded.velocity(real, noisy[0], timestep),
                "x0_real_uncond": recorded.velocity(real, noisy[0], timestep, text=part["negative_text"]),
            }
        x0 = {key: clean_from_velocity(noisy, recorded.target_of(v), sigma) for key, v in estimates.items()}
        x0["x0_real"] = losses.real_score(x0["x0_real_cond"], x0["x0_real_uncond"], guidance)
        for key, value in x0.items():
            yield close(f"{name}: {key}", value[0], part[prefix + key])
        own = losses.dmd_gradient(x, x0["x0_fake"], x0["x0_real"])
        yield close(f"{name}: gradient from own scores", own[0], part[prefix + "gradient"])
        given = losses.dmd_gradient(x, part[prefix + "x0_fake"][None], part[prefix + "x0_real"][None])
        yield close(f"{name}: gradient from recorded scores", given[0], part[prefix + "gradient"])
        yield close_scalar(f"{name}: mean size of the gradient", given.abs().mean().item(), case["gradient_mean_abs"])
        normalizer = (x - part[prefix + "x0_real"][None]).abs().mean().item()
        yield close_scalar(f"{name}: normalizer", normalizer, case["normalizer"])
        output = x.clone().requires_grad_()
        loss = losses.dmd_loss(output, given)
        yield close_scalar(f"{name}: loss", loss.item(), case["loss"])
        loss.backward()
        assert output.grad is not None
        yield close(f"{name}: d loss / d x", output.grad[0], part[prefix + "grad_x"])


def _score_step(recorded: Recorded, index: int) -> tuple[float, float]:
    """Timestep of a score, clamped, and the noise level nearest to it."""
    low, high = losses.TIMESTEP_RANGE
    timestep = min(max(recorded.schedule.step_at(index).timestep, low), high)
    return timestep, float(recorded.schedule.nearest_sigma(torch.tensor(timestep)))


def _critic(part: Part, recorded: Recorded) -> Cases:
    x, noise = part["critic/x"][None], part["critic/noise"][None]
    for case in part.info["critic"]["cases"]:
        name, prefix = f"critic {case['timestep_index']}", f"critic/{case['timestep_index']}/"
        dit = build_dit(part, part.info["critic"]["model"])
        timestep, sigma = _score_step(recorded, case["timestep_index"])
        yield close_scalar(f"{name}: sigma", sigma, case["sigma"], TABLE_LIMIT)
        velocity = recorded.target_of(recorded.velocity(dit, add_noise(x, noise, sigma)[0], timestep))
        yield close(f"{name}: velocity", velocity[0], part[prefix + "velocity"])
        loss = losses.critic_loss(velocity, x, noise)
        yield close_scalar(f"{name}: loss", loss.item(), case["loss"])
        loss.backward()
        yield from _gradients(part, dit, name, prefix, case["grad_norm"])


def _rollout(part: Part) -> Cases:
    info, flags = part.info["rollout"], part["flags"].tolist()
    context_flags, target_flags = flags[: part.info["context_frames"]], flags[part.info["context_frames"] :]
    shot = Shot(
        context=part["context_latent"][None], context_flags=context_flags, flag=target_flags[0], text=part["text"]
    )
    recorded_schedule = part.schedule
    last = recorded_schedule.step_at(len(recorded_schedule.sigmas) - 1)
    yield close_scalar("rollout: t of the commit noise", last.timestep, info["commit_renoise_t"], TABLE_LIMIT)
    yield close_scalar("rollout: sigma of the commit noise", last.sigma, info["commit_sigma"], TABLE_LIMIT)
    for number, case in enumerate(info["cases"]):
        prefix, exit_step = f"rollout/{number}/", case["exit_step"]
        steps = recorded_schedule.steps
        got = torch.tensor([step.timestep for step in steps])
        yield close(f"rollout {number}: timesteps", got, torch.tensor(case["timesteps"]), TABLE_LIMIT)
        for straight_through in (True, False):
            yield from _rollout_case(part, case, shot, steps, prefix, exit_step, straight_through)


def _rollout_case(
    part: Part,
    case: dict[str, float],
    shot: Shot,
    steps: tuple[DenoisingStep, ...],
    prefix: str,
    exit_step: int,
    straight_through: bool,
) -> Cases:
    """One rollout; with the straight-through gradient of the published code, or with caches cut from the graph."""
    dit = build_dit(part, part.info["rollout"]["model"])
    commit = part[prefix + "commit_noise"][None]
    num_blocks, block_lat = commit.shape[1:3]
    name = prefix.replace("/", " ").strip() + ("" if straight_through else " detached")
    renoise = part[prefix + "renoise"][None] if exit_step else commit.new_empty(1, num_blocks, 0, *commit.shape[2:])
    output = self_forcing_rollout(
        dit,
        shot,
        steps,
        Draws(noise=part["rollout/noise"][None].unflatten(1, (num_blocks, block_lat)), renoise=renoise, commit=commit),
        exit_step=exit_step,
        commit_sigma=part.info["rollout"]["commit_sigma"],
        straight_through=straight_through,
    )
    yield close(f"{name}: output", output[0], part[prefix + "output"])
    (output[0] * part["rollout/grad_output"]).sum().backward()
    variant = "" if straight_through else "detached/"
    norm = case["grad_norm" if straight_through else "grad_norm_detached"]
    yield from _gradients(part, dit, name, prefix + variant, norm)
