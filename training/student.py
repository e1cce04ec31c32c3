"""Direct training of the causal few-step student: sequences, loss, one step.

The student is trained on true latents at the noise levels its sampler visits, with the memory it will have at
inference laid out as clean frames beside the noisy ones: ``[context | clean block | noisy blocks]`` under a
block-causal mask. That is teacher forcing, without a teacher model; the ``finish`` stage replaces clean frames by the
model's own predictions.

Shape legend: B sequences, K context frames, P frames of a block, F frames of a sequence, C channels, h w latent size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shotstream.frames import VideoSpec
from shotstream.model.dit import DiT
from shotstream.model.layers import FullAttention
from shotstream.model.rope import rotary_table
from shotstream.model.schedule import Schedule, add_noise, clean_from_velocity

from .conditions import TextTable
from .data import Clips, Pictures

STEP_SHARES = (0.4, 0.2, 0.2, 0.2)
"""How often each denoising step is trained; the first, from pure noise, decides what the picture shows."""


@dataclass(frozen=True)
class Batch:
    """Sequences of latent frames, some of them to be noised and predicted.

    Attributes:
        clean: ``(B, F, C, h, w)`` float32 latents.
        noisy: bool ``(F,)``: frames that are noised and that the loss counts.
        groups: int64 ``(F,)``: frames of one group share a noise level (blocks; -1 for clean frames).
        positions: int64 ``(F,)`` or ``(B, F)`` temporal positions; flags: int64 ``(B, F)`` shot flags.
        text: ``(n, T, D)``; captions: int64 ``(B, F)``, row block of ``text`` for each frame.
        mask: bool ``(F, F)`` or None, True = may attend.
    """

    clean: Tensor
    noisy: Tensor
    groups: Tensor
    positions: Tensor
    flags: Tensor
    text: Tensor
    captions: Tensor
    mask: Tensor | None


def _gather_text(table: TextTable, wanted: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Row blocks used by a batch, and ``wanted`` renumbered into them."""
    used = sorted({row for rows in wanted for row in rows})
    place = {row: i for i, row in enumerate(used)}
    return table.rows[used].float(), torch.tensor([[place[row] for row in rows] for rows in wanted])


def picture_batch(
    data: Pictures, table: TextTable, chosen: Tensor, spec: VideoSpec, generator: torch.Generator
) -> Batch:
    """Single latent frames, each alone in its sequence, at the place it has in its shot."""
    rows = [table.draw(int(n), generator)[-1:] for n in chosen]
    text, captions = _gather_text(table, rows)
    return Batch(
        clean=data.latents[chosen][:, None].float(),
        noisy=torch.ones(1, dtype=torch.bool),
        groups=torch.zeros(1, dtype=torch.int64),
        positions=spec.context_lat + data.positions[chosen][:, None],
        flags=torch.ones(len(chosen), 1, dtype=torch.int64),
        text=text,
        captions=captions,
        mask=None,
    )


def clip_batch(
    data: Clips, table: TextTable, chosen: Tensor, spec: VideoSpec, generator: torch.Generator, *, opening: bool
) -> Batch:
    """``[context K | clean first block | (noisy first block, when it opens its shot) | noisy second block]``.

    Args:
        chosen: samples, all of which open their shots if ``opening``, none otherwise.
    """
    block, context = spec.block_lat, spec.context_lat
    first, second = data.latents[chosen].float().split(block, 1)
    noisy_blocks = [first, second] if opening else [second]
    clean = torch.cat([data.context[chosen].float(), first, *noisy_blocks], 1)
    num_noisy = len(noisy_blocks)
    groups = torch.tensor([-1] * (context + block) + [g for g in range(num_noisy) for _ in range(block)])
    starts = [context] + ([context] if opening else []) + [context + block]
    positions = torch.tensor([*range(context), *(start + i for start in starts for i in range(block))])
    context_flags = data.context_flags[chosen]
    flags = torch.cat([context_flags, (context_flags[:, -1:] + 1).expand(-1, len(positions) - context)], 1)
    wanted = []
    for n, row_flags, shot in zip(chosen.tolist(), context_flags.tolist(), data.shots[chosen].tolist(), strict=True):
        rows = table.draw(n, generator)
        wanted.append([rows[min(flag, shot)] for flag in row_flags] + [rows[shot]] * (len(positions) - context))
    text, captions = _gather_text(table, wanted)
    return Batch(clean, groups >= 0, groups, positions, flags, text, captions, clip_mask(spec, opening=opening))


def clip_mask(spec: VideoSpec, *, opening: bool) -> Tensor:
    """Who sees whom, bool ``(F, F)``: the context sees itself; a block the context, clean blocks before, itself."""
    block, context = spec.block_lat, spec.context_lat
    sizes = [context, block, *([block] if opening else []), block]
    visible = [[0], [0, 1], *([[0, 2]] if opening else []), [0, 1, len(sizes) - 1]]
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    allowed = torch.zeros(len(sizes), len(sizes), dtype=torch.bool)
    for row, columns in enumerate(visible):
        allowed[row, columns] = True
    return allowed[owner][:, owner]


class StudentLoss:
    """Noises a batch at the sampler's levels and scores the predicted velocity.

    Args:
        channel_weights: ``(C,)``, mean 1: how much an error in each latent channel counts. Latents have unit variance
            per channel, pixels do not.
    """

    def __init__(self, model: DiT, spec: VideoSpec, schedule: Schedule, channel_weights: Tensor) -> None:
        self.model = model
        self.spec = spec
        self.steps = schedule.steps
        self.shares = torch.tensor(STEP_SHARES[: len(self.steps)])
        self.weights = channel_weights.view(-1, 1, 1)

    def __call__(self, batch: Batch, generator: torch.Generator, *, own_past: bool = False) -> Tensor:
        """Mean squared error of the velocity over noisy frames.

        Args:
            own_past: clean frames of clips are replaced by the model's own prediction of them, as in a rollout.
        """
        clean = self._self_predicted(batch, generator) if own_past and batch.mask is not None else batch.clean
        num, frames = clean.shape[:2]
        num_groups = int(batch.groups.max()) + 1
        drawn = torch.multinomial(self.shares.expand(num, -1), num_groups, replacement=True, generator=generator)
        sigma_of = torch.tensor([step.sigma for step in self.steps] + [0.0])
        time_of = torch.tensor([step.timestep for step in self.steps] + [0.0])
        level = torch.full((num, frames), len(self.steps))
        level[:, batch.noisy] = drawn[:, batch.groups[batch.noisy]]
        noise = torch.randn(clean.shape, generator=generator)
        noised = add_noise(clean, noise, sigma_of[level][..., None, None, None])
        velocity = self._run(batch, noised, time_of[level])
        error = (velocity - (noise - batch.clean))[:, batch.noisy]
        return (error.square() * self.weights).mean()

    def _run(self, batch: Batch, latent: Tensor, timestep: Tensor) -> Tensor:
        rope = rotary_table(self.model.config, self.spec.grid, batch.positions.expand_as(batch.flags), batch.flags)
        return self.model(
            latent, timestep, batch.text, rope=rope, captions=batch.captions, memory=FullAttention(batch.mask)
        )

    @torch.no_grad()
    def _self_predicted(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Clean frames as the last denoising step would have left them; noisy frames as they are."""
        last = self.steps[-1]
        context, block = self.spec.context_lat, self.spec.block_lat
        clean = batch.clean.clone()
        # The past block: denoised under the context, as its own generation was.
        sequence = slice(0, context + block)
        noise = torch.randn(clean[:, sequence].shape, generator=generator)
        sigma = torch.zeros(context + block)
        sigma[context:] = last.sigma
        part = self._frames(batch, sequence)
        noised = add_noise(clean[:, sequence], noise, sigma[:, None, None, None])
        velocity = self._run(part, noised, (sigma * last.timestep / last.sigma).expand(len(clean), -1))
        past = clean_from_velocity(noised[:, context:], velocity[:, context:], last.sigma)
        # Context frames: each as the opening picture of its own shot. Empty contexts stay empty.
        frames = clean[:, :context].flatten(0, 1)[:, None]
        noise = torch.randn(frames.shape, generator=generator)
        alone = Batch(
            clean=frames, noisy=batch.noisy[:1], groups=batch.groups[:1],
            positions=torch.full((len(frames), 1), context), flags=torch.ones(len(frames), 1, dtype=torch.int64),
            text=batch.text, captions=batch.captions[:, :context].reshape(-1, 1), mask=None,
        )  # fmt: skip
        noised = add_noise(frames, noise, last.sigma)
        predicted = clean_from_velocity(
            noised, self._run(alone, noised, torch.full((len(frames), 1), last.timestep)), last.sigma
        )
        filled = frames.flatten(1).abs().sum(1) > 0
        context_own = torch.where(filled[:, None, None, None, None], predicted, frames)
        clean[:, :context] = context_own.reshape(clean[:, :context].shape)
        clean[:, context : context + block] = past
        return clean

    @staticmethod
    def _frames(batch: Batch, frames: slice) -> Batch:
        mask = None if batch.mask is None else batch.mask[frames, frames]
        return Batch(
            batch.clean[:, frames], batch.noisy[frames], batch.groups[frames], batch.positions[..., frames],
            batch.flags[:, frames], batch.text, batch.captions[:, frames], mask,
        )  # fmt: skip


def channel_weights(scale: Tensor) -> Tensor:
    """Weight of each latent channel in the loss, mean 1, proportional to its spread in pixels (``codec.scale``)."""
    spread = scale.flatten()
    return spread / spread.mean()


@torch.no_grad()
def sample_pictures(
    model: DiT, spec: VideoSpec, schedule: Schedule, text: Tensor, generator: torch.Generator
) -> Tensor:
    """Few-step samples of opening pictures without a context: captions ``(n, T, D)`` -> latents ``(n, C, h, w)``."""
    num = len(text)
    positions = torch.full((num, 1), spec.context_lat)
    rope = rotary_table(model.config, spec.grid, positions, torch.ones(num, 1))
    shape = (num, 1, spec.latent_channels, spec.latent_height, spec.latent_width)
    clean = torch.zeros(shape)
    captions = torch.arange(num)[:, None]
    for step in schedule.steps:
        noised = add_noise(clean, torch.randn(shape, generator=generator), step.sigma)
        velocity = model(noised, torch.full((num, 1), step.timestep), text, rope=rope, captions=captions)
        clean = clean_from_velocity(noised, velocity, step.sigma)
    return clean[:, 0]


def init_weights(model: DiT, seed: int) -> None:
    """Fresh weights: modest matrices, a silent head, half-open gates."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if name.endswith("modulation"):
                parameter.normal_(std=0.02, generator=generator)
                if name.startswith("blocks."):
                    parameter[:, [2, 5]] += 0.5  # half-open gates of attention and feed-forward
            elif "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
            elif name.endswith("bias") or name.startswith("head.head"):
                parameter.zero_()
            elif name.startswith("time_projection"):
                parameter.normal_(std=0.01, generator=generator)
            else:
                fan_in = parameter[0].numel()
                parameter.normal_(std=fan_in**-0.5, generator=generator)
