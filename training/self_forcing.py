"""Self-forcing rollout: the generator samples block by block as at inference, and learns from one step of each block.

Every block is denoised to a common *exit step*, whose clean estimate is the block's output. Only that step carries
gradient; a commit pass without gradient then replaces the block's keys and values in memory.

Gradient between blocks follows the published code: the commit pass replaces *values* only, so a later block still sends
gradient into the exit pass of earlier blocks, straight through (value of the commit pass, gradient of the exit pass).
``straight_through=False`` cuts it; the two differ by about one per cent of the gradient's norm.

Shape legend: B samples, K context frames, P frames of a block, C channels, H W latent size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shotstream.model.dit import CaptionKV, DiT
from shotstream.model.layers import SelfAttention, attention_BLND
from shotstream.model.rope import rotary_table, rotate
from shotstream.model.schedule import DenoisingStep, add_noise, clean_from_velocity

KeyValue = tuple[Tensor, Tensor]


class RolloutMemory:
    """Keys and values of context and past blocks as a graph: nothing is written in place (an ``AttentionMemory``)."""

    def __init__(self, *, straight_through: bool = True) -> None:
        self.straight_through = straight_through
        self._past: dict[int, list[KeyValue]] = {}
        self._own: dict[int, KeyValue] = {}
        self._committing = False

    def begin_commit(self) -> None:
        """The next pass is the context pass or a commit pass: what it computes stays."""
        self._committing = True

    def end_commit(self) -> None:
        """Back to denoising passes, whose keys and values are seen by themselves alone."""
        self._committing = False
        self._own.clear()

    def attend(self, layer: int, attention: SelfAttention, q: Tensor, k: Tensor, v: Tensor, rope: Tensor) -> Tensor:
        """See :class:`~shotstream.model.layers.AttentionMemory`."""
        own = self._turned(attention, k, v, rope)
        past = self._past.get(layer, [])
        keys, values = (torch.cat([*(pair[i] for pair in past), own[i]], dim=1) for i in (0, 1))
        queries = rotate(attention.split_heads(attention.norm_q(q)), rope)
        self._keep(layer, own)
        return attention_BLND(queries, keys, values).flatten(2)

    def write(self, layer: int, attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> None:
        """See :class:`~shotstream.model.layers.AttentionMemory`."""
        self._keep(layer, self._turned(attention, k, v, rope))

    @staticmethod
    def _turned(attention: SelfAttention, k: Tensor, v: Tensor, rope: Tensor) -> KeyValue:
        return rotate(attention.split_heads(attention.norm_k(k)), rope), attention.split_heads(v)

    def _keep(self, layer: int, pair: KeyValue) -> None:
        if not self._committing:
            self._own[layer] = pair
            return
        carried = self._own.get(layer)
        if self.straight_through and carried is not None:
            # Forward: the committed value. Backward: the exit pass's graph.
            with torch.enable_grad():
                pair = (pair[0] + (carried[0] - carried[0].detach()), pair[1] + (carried[1] - carried[1].detach()))
        self._past.setdefault(layer, []).append(pair)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What a rollout is conditioned on.

    Attributes:
        context: clean latents ``(B, K, C, H, W)``.
        context_flags: shot flag per context frame; flag: that of the generated frames.
        text: embedded captions ``(n, text_len, text_dim)``; a frame uses row ``flag``, or row 0 when there is one.
    """

    context: Tensor
    context_flags: Sequence[int]
    flag: int
    text: Tensor

    def caption_rows(self, flags: Sequence[int]) -> Tensor:
        """Row of ``text`` per frame, int64 ``(B, len(flags))``."""
        rows = torch.tensor([flag if len(self.text) > 1 else 0 for flag in flags])
        return rows.expand(len(self.context), -1)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Every random number of a rollout, ``(B, blocks, ...)`` ahead of ``(P, C, H, W)``.

    Attributes:
        noise: ``(B, blocks, P, C, H, W)``.
        renoise: ``(B, blocks, exit_step, P, C, H, W)``; entry i leads from step i to step i + 1.
        commit: ``(B, blocks, P, C, H, W)``.
    """

    noise: Tensor
    renoise: Tensor
    commit: Tensor


def self_forcing_rollout(
    model: DiT,
    shot: Shot,
    steps: Sequence[DenoisingStep],
    draws: Draws,
    *,
    exit_step: int,
    commit_sigma: float,
    straight_through: bool = True,
) -> Tensor:
    """Sample all blocks of a shot, with gradient through one denoising step of each.

    Args:
        steps: the few-step list.
        exit_step: index into ``steps``, the same for all blocks; its clean estimate is the output.
        commit_sigma: noise level of the latent in the commit pass, which is told timestep 0 (the published recipe uses
            the table's last entry, 0.0079).
        straight_through: see the module's text.

    Returns:
        clean latents ``(B, blocks * P, C, H, W)`` with gradient.
    """
    num_blocks, block_lat = draws.noise.shape[1:3]
    grid = (draws.noise.shape[-2] // model.config.patch, draws.noise.shape[-1] // model.config.patch)
    num_context = shot.context.shape[1]
    memory = RolloutMemory(straight_through=straight_through)
    with torch.no_grad():
        constant_kv = model.encode_captions(shot.text)
        table = rotary_table(model.config, grid, range(num_context), shot.context_flags)
        _commit(model, memory, shot.context, constant_kv, table, shot.caption_rows(shot.context_flags))
    caption_kv = model.encode_captions(shot.text)
    flags = [shot.flag] * block_lat
    rows = shot.caption_rows(flags)
    outputs = []
    for block in range(num_blocks):
        start = num_context + block * block_lat
        table = rotary_table(model.config, grid, range(start, start + block_lat), flags)
        x = draws.noise[:, block]
        for index in range(exit_step):
            with torch.no_grad():
                clean = _denoise(model, memory, x, steps[index], constant_kv, table, rows)
            x = add_noise(clean, draws.renoise[:, block, index], steps[index + 1].sigma)
        clean = _denoise(model, memory, x, steps[exit_step], caption_kv, table, rows)
        outputs.append(clean)
        if block + 1 < num_blocks:  # nothing reads the memory of the last block
            with torch.no_grad():
                latent = add_noise(clean.detach(), draws.commit[:, block], commit_sigma)
                _commit(model, memory, latent, constant_kv, table, rows)
    return torch.cat(outputs, dim=1)


def _denoise(
    model: DiT, memory: RolloutMemory, x: Tensor, step: DenoisingStep, kv: CaptionKV, rope: Tensor, rows: Tensor
) -> Tensor:
    time = model.encode_time(torch.full((1, 1), step.timestep, device=x.device))
    velocity = model.run(x, time, kv, rope=rope, captions=rows, memory=memory)
    return clean_from_velocity(x, velocity, step.sigma)


def _commit(model: DiT, memory: RolloutMemory, latent: Tensor, kv: CaptionKV, rope: Tensor, rows: Tensor) -> None:
    memory.begin_commit()
    time = model.encode_time(torch.zeros(1, 1, device=latent.device))
    model.write_memory(latent, time, kv, rope=rope, captions=rows, memory=memory)
    memory.end_commit()
