"""The block loop of one shot, in latents: context pass, denoising steps, clean pass.

Shape legend: F latent frames of a block, C channels, H W latent size, K context frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import Aborted
from ..frames import VideoSpec
from ..model.config import DiTConfig
from ..model.dit import CaptionKV, TimeVectors
from ..model.schedule import Schedule, add_noise, clean_from_velocity
from .kv_cache import KVCache
from .noise import INITIAL_STEP, NoiseSource


@dataclass(frozen=True)
class Context:
    """What a shot remembers of earlier ones.

    Attributes:
        latent: ``(K, C, H, W)``, each frame encoded as a one-frame video; zeros for the first shot.
        flags: shot flag per frame.
        caption_kv: captions of the frames; ``captions[i]`` is the row of frame i.
        captions: caption row per frame.
    """

    latent: Tensor
    flags: list[int]
    caption_kv: CaptionKV
    captions: list[int]


class Denoiser(Protocol):
    """The network as the block loop sees it: ``DiT``, or exported graphs of it. Methods are those of ``DiT``."""

    config: DiTConfig

    @property
    def dtype(self) -> torch.dtype: ...

    def encode_time(self, timestep: Tensor) -> TimeVectors: ...

    def encode_captions(self, text: Tensor) -> CaptionKV: ...

    def run(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: Any,
    ) -> Tensor: ...

    def write_memory(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: Any,
    ) -> None: ...


class Cache(Protocol):
    """The memory of a denoiser's attention, addressed pass by pass; methods are those of ``KVCache``."""

    def begin_context(self, flags: list[int]) -> Tensor: ...

    def begin_block(self, block: int, flag: int) -> Tensor: ...


def flag_of_shot(context_flags: list[int]) -> int:
    """Shot flag of generated frames: one more than that of the last context frame (so 1 in shots 0 *and* 1)."""
    return context_flags[-1] + 1


class ShotRollout:
    """Few-step sampler over the dual cache (docs/model.md, "Sampling").

    The clean pass of a block, which puts its final keys into the cache, runs when the next block begins: the last
    block of a shot never needs one, and a cut does not wait for it.
    """

    def __init__(
        self,
        model: Denoiser,
        schedule: Schedule,
        spec: VideoSpec,
        *,
        device: torch.device,
        cache: Cache | None = None,
    ) -> None:
        self.model = model
        self.spec = spec
        self.steps = schedule.steps
        self.device = device
        self.cache: Cache = cache or KVCache(model.config, spec, device=device, dtype=model.dtype)
        self._times: dict[float, TimeVectors] = {}
        self._flag = 0
        self._uncommitted: tuple[int, Tensor, CaptionKV] | None = None

    def _time(self, timestep: float) -> TimeVectors:
        """Time vectors of one timestep, made once; they broadcast over frames."""
        if timestep not in self._times:
            value = torch.full((1, 1), timestep, dtype=torch.float32, device=self.device)
            self._times[timestep] = self.model.encode_time(value)
        return self._times[timestep]

    @torch.inference_mode()
    def open(self, context: Context) -> None:
        """Begin a shot: run the context pass at timestep 0 and forget the shot before."""
        self._uncommitted = None
        self._flag = flag_of_shot(context.flags)
        self.model.write_memory(
            context.latent.unsqueeze(0).to(self.device, self.model.dtype),
            self._time(0.0),
            context.caption_kv,
            rope=self.cache.begin_context(context.flags),
            captions=torch.tensor([context.captions]),
            memory=self.cache,
        )

    @torch.inference_mode()
    def next_latent(
        self,
        shot: int,
        block: int,
        caption_kv: CaptionKV,
        noise: NoiseSource,
        *,
        abort: Callable[[], bool] | None = None,
        trace: Callable[[int, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Denoise block number ``block``.

        Args:
            caption_kv: the one caption in force.
            noise: source of the draws.
            abort: asked before each network call; True abandons the block.
            trace: receives (step, velocity, x0) of each step, ``(F, C, H, W)``.

        Returns:
            clean latent ``(F, C, H, W)`` in the model's dtype, owned by the caller.

        Raises:
            Aborted: the block was abandoned; calling again with the same arguments repeats it.
        """
        if self._uncommitted is not None and self._uncommitted[0] < block:
            _check(abort)
            self._commit()
        rope = self.cache.begin_block(block, self._flag)
        x = self._draw(noise, shot, block, INITIAL_STEP)
        clean = x
        for index, step in enumerate(self.steps):
            _check(abort)
            velocity = self.model.run(
                x.unsqueeze(0), self._time(step.timestep), caption_kv, rope=rope, memory=self.cache
            )[0]
            clean = clean_from_velocity(x, velocity, step.sigma)
            if trace is not None:
                trace(index, velocity, clean)
            if index + 1 < len(self.steps):
                x = add_noise(clean, self._draw(noise, shot, block, index + 1), self.steps[index + 1].sigma)
        self._uncommitted = (block, clean, caption_kv)
        return clean

    @torch.inference_mode()
    def replay(self, block: int, latent: Tensor, caption_kv: CaptionKV) -> None:
        """Rebuild the cache from a finished block (after a restore); blocks must be replayed in order."""
        if self._uncommitted is not None:
            self._commit()
        self._uncommitted = (block, latent.to(self.device, self.model.dtype), caption_kv)

    def _commit(self) -> None:
        """Clean pass: the block's keys and values at timestep 0 replace those of its last denoising step."""
        assert self._uncommitted is not None
        block, latent, caption_kv = self._uncommitted
        self.model.write_memory(
            latent.unsqueeze(0),
            self._time(0.0),
            caption_kv,
            rope=self.cache.begin_block(block, self._flag),
            memory=self.cache,
        )
        self._uncommitted = None

    def _draw(self, noise: NoiseSource, shot: int, block: int, step: int) -> Tensor:
        return noise.draw(shot, block, step).to(self.device, self.model.dtype)


def _check(abort: Callable[[], bool] | None) -> None:
    if abort is not None and abort():
        raise Aborted("the block was abandoned between denoising steps, as asked")
