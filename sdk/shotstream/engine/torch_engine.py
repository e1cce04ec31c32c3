"""The PyTorch executor: prompts to latents to frames, on the CPU or on CUDA, by the same code.

Shape legend: F latent frames of a block, C channels, h w latent size, T frames, H W pixels.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..bundle import Bundle
from ..errors import ClosedError, ScriptError
from ..model.codec import StreamingDecoder
from ..model.dit import CaptionKV
from ..model.schedule import Schedule
from ..model.text_types import TextEmbedding, TextEncoder
from ..ops import images_from_pixels
from . import snapshot as saved
from .context import ContextMemory, KeptFrame, ShotMemory
from .noise import CounterNoise, NoiseSource
from .protocol import Block, Pin, Prepared, ShotPlan
from .rollout import Cache, Context, Denoiser, ShotRollout

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

DECODER_HISTORY_LAT = 64
"""Latent frames after which no streaming decoder of the project remembers anything."""


class Memo(Generic[K, V]):
    """The last ``limit`` values of a pure function."""

    def __init__(self, make: Callable[[K], V], limit: int) -> None:
        self._make, self._limit = make, limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def __call__(self, key: K) -> V:
        if key not in self._values:
            self._values[key] = self._make(key)
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


def full_prompt(plan: ShotPlan, caption: str) -> str:
    """What the text encoder reads: the shared caption, then the shot's own behind its number."""
    return f"{plan.global_caption}shot{plan.number}:{caption}"


@dataclass(frozen=True, kw_only=True)
class PreparedShot(Prepared):
    """What brings the keys back: the context and the latent of the block, a few megabytes in place of a whole cache.

    Attributes:
        context, captions: of the shot, as at the moment of preparing.
        latent: of the first block, ``(F, C, h, w)``; pixels: its frames ``(T, 3, H, W)`` in -1..1.
        decoder: stands behind the first block.
    """

    context: Context
    captions: list[str]
    latent: Tensor
    pixels: Tensor
    decoder: StreamingDecoder


class FrameCodec(Protocol):
    """What an engine asks of a codec; methods are those of ``Codec``."""

    def encode_frames(self, frames: Tensor) -> Tensor: ...

    def stream(self) -> StreamingDecoder: ...


class TorchEngine:
    """Implements :class:`~shotstream.engine.protocol.Engine` with plain PyTorch calls, whoever computes the networks.

    Args:
        bundle: names and sizes.
        dit, codec, text_encoder: the networks, already on ``device``; exported graphs of them do as well.
        new_cache: makes the KV cache of a shot; None makes the one that ``DiT`` writes into.
        noise_from_seed: makes the source of the draws of a shot; replaced in parity tests.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        dit: Denoiser,
        codec: FrameCodec,
        text_encoder: TextEncoder,
        device: torch.device,
        new_cache: Callable[[], Cache] | None = None,
        noise_from_seed: Callable[[int], NoiseSource] | None = None,
    ) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self.name = bundle.name
        self.device = str(device)
        self.dtype = str(dit.dtype).removeprefix("torch.")
        self._device = device
        self._dit = dit
        self._codec = codec
        spec = self.spec
        self._block_shape = (spec.block_lat, spec.latent_channels, spec.latent_height, spec.latent_width)
        self._noise_from_seed = noise_from_seed or (lambda seed: CounterNoise(seed, self._block_shape))
        self._new_cache = new_cache
        self._rollout = self._new_rollout()
        self._decoder = codec.stream()
        self._memory = ContextMemory(spec.context_lat, self._encode_frame)
        # Embeddings of every caption that a context can name stay; the far larger keys and values only while used.
        self._text: Memo[str, TextEmbedding] = Memo(lambda text: text_encoder.encode([text]), 8 * spec.context_lat)
        self._caption_kv: Memo[str, CaptionKV] = Memo(self._encode_caption, spec.context_lat + 2)
        slots = spec.window_lat // spec.block_lat
        # Keys of layer l depend on what l windows before them held, so a replay this long rebuilds all of them exactly.
        self._replay_blocks = max(bundle.dit.num_layers * slots, -(-DECODER_HISTORY_LAT // spec.block_lat))
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._plan: ShotPlan | None = None
        self._context: Context | None = None
        self._context_captions: list[str] = []
        self._prompt = ""
        self._next_block = 0
        self._latents: list[Tensor] = []
        self._latent_prompts: list[str] = []
        self._noise: NoiseSource | None = None
        self._context_ms = 0.0

    # ------------------------------------------------------------------ the protocol

    @torch.inference_mode()
    def open_shot(self, plan: ShotPlan) -> None:
        """See :meth:`Engine.open_shot`."""
        self._require_open()
        began = time.perf_counter()
        self._check_plan(plan)
        self._memory.finish_shots(plan.pins)
        prompt = full_prompt(plan, plan.caption)
        self._context, self._context_captions = self._context_of(plan, prompt)
        self._rollout.open(self._context)
        self._plan, self._prompt, self._next_block = plan, prompt, 0
        self._latents, self._latent_prompts = [], []
        self._noise = self._noise_from_seed(plan.seed)
        self._decoder.reset()
        self._memory.begin_shot(plan.shot, prompt, plan.num_frames)
        self._context_ms = _ms_since(began)

    @torch.inference_mode()
    def prepare(self, plan: ShotPlan, *, abort: Callable[[], bool] | None = None) -> PreparedShot:
        """See :meth:`Engine.prepare`. Takes the memory of a second KV cache while it lasts."""
        self._require_open()
        began = time.perf_counter()
        self._check_plan(plan)
        prompt = full_prompt(plan, plan.caption)
        context, captions = self._context_of(plan, prompt)
        rollout = self._new_rollout()
        rollout.open(context)
        ready = time.perf_counter()
        noise = self._noise_from_seed(plan.seed)
        latent = rollout.next_latent(plan.number, 0, self._caption_kv(prompt), noise, abort=abort)
        denoised = time.perf_counter()
        decoder = self._codec.stream()
        pixels = decoder.feed(latent.unsqueeze(0))[0]
        text = self._text(prompt)
        block = Block(
            images=tuple(images_from_pixels(pixels)),
            shot=plan.shot,
            block=0,
            denoise_ms=(denoised - ready) * 1000,
            decode_ms=_ms_since(denoised),
            context_ms=(ready - began) * 1000,
            caption_tokens=text.lengths[0],
            caption_truncated=text.truncated[0],
            unknown_words=text.unknown[0],
        )
        return PreparedShot(
            plan=plan, block=block, context=context, captions=captions, latent=latent, pixels=pixels, decoder=decoder
        )

    @torch.inference_mode()
    def adopt(self, prepared: Prepared, *, shot: int, frames: int | None, pins: tuple[Pin, ...] = ()) -> None:
        """See :meth:`Engine.adopt`. Time: a context pass; the next block's clean pass does the rest."""
        self._require_open()
        assert isinstance(prepared, PreparedShot), "prepared by another engine"
        began = time.perf_counter()
        self._memory.end_before(shot, frames)
        self._memory.finish_shots(pins)
        self._plan = replace(prepared.plan, shot=shot, made_as=prepared.plan.number)
        self._prompt, self._next_block = full_prompt(self._plan, self._plan.caption), 1
        self._context, self._context_captions = prepared.context, prepared.captions
        self._rollout.open(prepared.context)
        self._rollout.replay(0, prepared.latent, self._caption_kv(self._prompt))
        self._latents, self._latent_prompts = [prepared.latent], [self._prompt]
        self._noise = self._noise_from_seed(self._plan.seed)
        self._decoder = prepared.decoder
        self._memory.begin_shot(shot, self._prompt, self._plan.num_frames).add(prepared.pixels)
        self._context_ms = _ms_since(began)

    @torch.inference_mode()
    def next_block(self, *, caption: str | None = None, abort: Callable[[], bool] | None = None) -> Block:
        """See :meth:`Engine.next_block`."""
        self._require_open()
        if self._plan is None or self._noise is None:
            raise ScriptError("no shot is open; call open_shot first")
        if caption is not None and not caption.strip():
            raise ScriptError("the new caption of the shot is empty; describe what it shows")
        plan, block = self._plan, self._next_block
        prompt = self._prompt if caption is None else full_prompt(plan, caption)
        began = time.perf_counter()
        text = self._text(prompt)
        latent = self._rollout.next_latent(plan.number, block, self._caption_kv(prompt), self._noise, abort=abort)
        denoised = time.perf_counter()
        pixels = self._decoder.feed(latent.unsqueeze(0))[0]
        images = images_from_pixels(pixels)
        memory = self._memory.shots[-1]
        if prompt != self._prompt:
            memory.captions.append((memory.length, prompt))
        memory.add(pixels)
        self._prompt, self._next_block = prompt, block + 1
        self._latents = [*self._latents, latent][-self._replay_blocks :]
        self._latent_prompts = [*self._latent_prompts, prompt][-self._replay_blocks :]
        context_ms, self._context_ms = self._context_ms, 0.0
        return Block(
            images=tuple(images),
            shot=plan.shot,
            block=block,
            denoise_ms=(denoised - began) * 1000,
            decode_ms=_ms_since(denoised),
            context_ms=context_ms,
            caption_tokens=text.lengths[0],
            caption_truncated=text.truncated[0],
            unknown_words=text.unknown[0],
        )

    @torch.inference_mode()
    def snapshot(self) -> bytes:
        """See :meth:`Engine.snapshot`. Size: some 20 one-frame latents a remembered shot, and the open shot's latents
        as far back as its keys reach (``num_layers`` windows)."""
        self._require_open()
        tensors: dict[str, Tensor] = {}
        shots = []
        whole = len(self._latents) == self._next_block
        for memory in self._memory.shots:
            is_open = self._plan is not None and memory is self._memory.shots[-1]
            # Frames of the open shot come back by decoding its latents again, unless it began before what is kept.
            kept = [] if is_open and whole else sorted(memory.frames)
            for n in kept:
                tensors[f"shot{memory.shot}/frame{n}"] = self._memory.latent_of(memory, n)
            shots.append(
                saved.SavedShot(memory.shot, memory.start, memory.length, memory.stride, memory.captions, kept)
            )
        story = saved.SavedStory(saved.VERSION, self.bundle.fingerprint, shots)
        if self._plan is not None and self._context is not None:
            plan = self._plan
            pins = [saved.SavedPin(pin.shot, pin.frame) for pin in plan.pins]
            story.plan = saved.SavedPlan(
                plan.shot, plan.caption, plan.global_caption, plan.seed, pins, plan.num_frames, plan.made_as
            )
            story.context = saved.SavedContext(self._context.flags, self._context_captions)
            story.next_block, story.first_block = self._next_block, self._next_block - len(self._latents)
            story.prompt, story.block_captions = self._prompt, self._latent_prompts
            tensors["context"] = self._context.latent
            if self._latents:
                tensors["blocks"] = torch.stack(self._latents)
        return saved.pack(story, tensors)

    @torch.inference_mode()
    def restore(self, state: bytes, *, seed: int | None = None) -> None:
        """See :meth:`Engine.restore`. Time: a context pass, and a clean pass and a decode per kept block."""
        self._require_open()
        story, tensors = saved.unpack(state, self.bundle.fingerprint)
        shots = self._saved_shots(story, tensors)
        blocks = self._saved_blocks(story, tensors)
        self._forget()
        self._memory.shots = shots
        if story.plan is None or story.context is None:
            return
        plan = story.plan
        self._plan = ShotPlan(
            shot=plan.shot,
            caption=plan.caption,
            global_caption=plan.global_caption,
            seed=plan.seed if seed is None else seed,
            pins=tuple(Pin(shot=pin.shot, frame=pin.frame) for pin in plan.pins),
            num_frames=plan.num_frames,
            made_as=plan.made_as,
        )
        self._noise = self._noise_from_seed(self._plan.seed)
        self._prompt, self._next_block = story.prompt, story.next_block
        context = story.context
        self._context = self._make_context(tensors["context"], context.flags, context.captions)
        self._context_captions = context.captions
        self._rollout.open(self._context)
        self._decoder.reset()
        memory = self._memory.shots[-1]
        memory.planned = plan.num_frames
        if story.first_block == 0:  # decoding brings the frames back
            memory.length, memory.frames, memory.stride = 0, {}, 1
        for offset, latent in enumerate(blocks):
            prompt = story.block_captions[offset]
            self._rollout.replay(story.first_block + offset, latent, self._caption_kv(prompt))
            pixels = self._decoder.feed(latent.unsqueeze(0))[0]
            if story.first_block == 0:
                memory.add(pixels)
        self._latents, self._latent_prompts = blocks, list(story.block_captions)

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        if not self._closed:
            self._closed = True
            self._forget()
            self._memory.shots = []
            del self._rollout, self._decoder, self._dit, self._codec, self._text, self._caption_kv, self._new_cache

    # ------------------------------------------------------------------ parts

    def _new_rollout(self) -> ShotRollout:
        cache = None if self._new_cache is None else self._new_cache()
        return ShotRollout(self._dit, Schedule(self.bundle.schedule), self.spec, device=self._device, cache=cache)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the engine is closed; open a new one")

    def _encode_frame(self, pixels: Tensor) -> Tensor:
        """One picture at a time, so that an encoding never depends on what else was encoded with it."""
        return self._codec.encode_frames(pixels.unsqueeze(0))[0]

    def _encode_caption(self, prompt: str) -> CaptionKV:
        return self._dit.encode_captions(self._text(prompt).emb.to(self._device))

    def _check_plan(self, plan: ShotPlan) -> None:
        if not plan.caption.strip():
            raise ScriptError("the caption of a shot is empty; describe what it shows")
        self._memory.check_pins(plan.pins)

    def _context_of(self, plan: ShotPlan, prompt: str) -> tuple[Context, list[str]]:
        """What a shot that begins now would remember, and the caption of each of its frames."""
        picks = self._memory.pick(plan.number, plan.pins)
        if picks:
            captions = [pick.caption for pick in picks]
            latent = torch.stack([self._memory.latent(pick) for pick in picks])
            return self._make_context(latent, [pick.flag for pick in picks], captions), captions
        frames = self.spec.context_lat
        latent = torch.zeros(frames, *self._block_shape[1:])
        return self._make_context(latent, [0] * frames, [prompt] * frames), [prompt] * frames

    def _make_context(self, latent: Tensor, flags: list[int], captions: list[str]) -> Context:
        unique = list(dict.fromkeys(captions))
        caption_kv = CaptionKV.concatenate([self._caption_kv(caption) for caption in unique])
        rows = [unique.index(caption) for caption in captions]
        return Context(latent.to(self._device, self._dit.dtype), flags, caption_kv, rows)

    def _saved_shots(self, story: saved.SavedStory, tensors: dict[str, Tensor]) -> list[ShotMemory]:
        shots = []
        for shot in story.shots:
            frames = {}
            for n in shot.kept:
                latent = tensors.get(f"shot{shot.shot}/frame{n}")
                if latent is None or tuple(latent.shape) != self._block_shape[1:]:
                    raise ScriptError(f"snapshot lacks frame {n} of shot {shot.shot}; take a new snapshot")
                frames[n] = KeptFrame(None, latent.to(self._device))
            shots.append(ShotMemory(shot.shot, shot.start, list(shot.captions), shot.length, frames, shot.stride))
        return shots

    def _saved_blocks(self, story: saved.SavedStory, tensors: dict[str, Tensor]) -> list[Tensor]:
        count = story.next_block - story.first_block
        blocks = tensors.get("blocks", torch.empty(0, *self._block_shape))
        context = tensors.get("context")
        consistent = (
            blocks.dim() == 5
            and tuple(blocks.shape[1:]) == self._block_shape
            and count == len(blocks) == len(story.block_captions)
            and (story.plan is None) == (story.context is None)
            and (story.plan is None or bool(story.shots))
        )
        if story.context is not None:
            expected = (self.spec.context_lat, *self._block_shape[1:])
            sizes = {len(story.context.flags), len(story.context.captions), self.spec.context_lat}
            consistent = consistent and context is not None and tuple(context.shape) == expected and len(sizes) == 1
        if not consistent:
            raise ScriptError("snapshot does not fit this bundle's sizes; open the bundle that it was made with")
        return [block.to(self._device, self._dit.dtype) for block in blocks]


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
