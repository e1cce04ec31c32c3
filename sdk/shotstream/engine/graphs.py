"""A rollout through exported graphs: what stands in for the network and for its KV cache, whoever runs the graphs.

``GraphDenoiser`` takes the place of ``DiT`` in ``engine.rollout``, ``NativeCache`` or ``KVCache`` that of its memory,
and ``GraphDecoder`` that of a codec's streaming decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from ..frames import VideoSpec
from ..model.config import DiTConfig
from ..model.dit import CaptionKV, TimeVectors
from ..model.rope import rotary_table
from .kv_cache import KVCache


class Graph(Protocol):
    """Runs one exported graph."""

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Outputs in the graph's order."""


class NativeCache:
    """The dual cache as the native graphs have it: ``[context | local]``, keys and values in buffers of their own.

    The valid rows are one prefix, for attention is told a length and nothing else. So the local part begins right after
    the context rows that there are, and once the window slides, the context's keys are turned towards the queries
    instead of the queries towards the context: scores depend on the difference of angles alone. They are turned from
    the keys of the context pass every time, so nothing adds up.
    """

    def __init__(
        self,
        config: DiTConfig,
        spec: VideoSpec,
        slide: Graph,
        *,
        dtype: torch.dtype,
        device: torch.device | None = None,
    ) -> None:
        self.config, self.spec = config, spec
        self._device = device or torch.device("cpu")
        rows = (spec.context_lat + spec.window_lat) * spec.tokens_per_lat
        shape = (1, config.num_heads, rows, config.head_dim)
        self.layers = [
            [torch.zeros(shape, dtype=dtype, device=self._device) for _ in "kv"] for _ in range(config.num_layers)
        ]
        self.write_row = self.valid_rows = 0
        self._slide = slide
        self._context_tok = self._moved_lat = 0
        self._pristine: list[Tensor] = []

    def begin_context(self, flags: list[int]) -> Tensor:
        """As :meth:`KVCache.begin_context`."""
        self._context_tok = len(flags) * self.spec.tokens_per_lat
        self.write_row, self.valid_rows = 0, self._context_tok
        self._pristine, self._moved_lat = [], 0
        return self._table(list(range(len(flags))), flags)

    def clear_context(self) -> None:
        """As :meth:`KVCache.clear_context`."""
        self._context_tok = self._moved_lat = 0
        self._pristine = []

    def begin_block(self, block: int, flag: int) -> Tensor:
        """As :meth:`KVCache.begin_block`."""
        spec = self.spec
        size = spec.block_lat * spec.tokens_per_lat
        num_slots = spec.window_lat // spec.block_lat
        self.write_row = self._context_tok + block % num_slots * size
        self.valid_rows = self._context_tok + min(block + 1, num_slots) * size
        if self._context_tok:
            self._move_context(max(0, block - num_slots + 1) * spec.block_lat)
        positions = [spec.context_lat + block * spec.block_lat + i for i in range(spec.block_lat)]
        return self._table(positions, [flag] * spec.block_lat)

    def _move_context(self, latents: int) -> None:
        """Let the context appear ``latents`` later in time than it was."""
        if latents == self._moved_lat:
            return
        if not self._pristine:
            self._pristine = [keys[:, :, : self._context_tok].clone() for keys, _ in self.layers]
        num_lat = self._context_tok // self.spec.tokens_per_lat
        turn = rotary_table(self.config, (1, 1), [latents], [0])
        turn = turn.expand(num_lat * self.spec.tokens_per_lat, -1, -1).unsqueeze(0).to(self._device)
        inputs = {"cos": turn[..., 0].contiguous(), "sin": turn[..., 1].contiguous()}
        inputs |= {f"pristine_{layer}": keys for layer, keys in enumerate(self._pristine)}
        inputs |= {f"cache_k_{layer}": keys for layer, (keys, _) in enumerate(self.layers)}
        for layer, keys in enumerate(self._slide(inputs)):
            self.layers[layer][0] = keys
        self._moved_lat = latents

    def _table(self, positions: list[int], flags: list[int]) -> Tensor:
        return rotary_table(self.config, self.spec.grid, positions, flags).unsqueeze(0).to(self._device)


class GraphDenoiser:
    """The network behind ``step`` and ``captions`` graphs.

    Args:
        config: of the network.
        dtype: of latents and caches.
        times: time vectors of the timesteps in use; a graph has none of its own.
        step: from ``NativeStep`` or ``PluginStep``.
        captions: from ``CaptionStep``.
    """

    def __init__(
        self,
        config: DiTConfig,
        *,
        dtype: torch.dtype,
        times: Mapping[float, TimeVectors],
        step: Graph,
        captions: Graph,
    ) -> None:
        self.config, self.dtype = config, dtype
        self._times, self._step, self._captions = times, step, captions

    def encode_time(self, timestep: Tensor) -> TimeVectors:
        """The time vectors of a timestep of the schedule."""
        return self._times[float(timestep.flatten()[0])]

    def encode_captions(self, text: Tensor) -> CaptionKV:
        """As :meth:`DiT.encode_captions`."""
        flat = self._captions({"text": text.to(self.dtype)})
        return CaptionKV(tuple(zip(flat[0::2], flat[1::2], strict=True)))

    def run(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: NativeCache | KVCache,
    ) -> Tensor:
        """As :meth:`DiT.run`, with a cache as memory."""
        num_lat = latent.shape[1]
        inputs = {
            "latent": latent,
            "embedded": time.embedded,
            "modulation": time.modulation,
            "rows": torch.zeros(1, num_lat, dtype=torch.int64) if captions is None else captions,
        }
        for layer, (keys, values) in enumerate(caption_kv.layers):
            inputs |= {f"caption_k_{layer}": keys, f"caption_v_{layer}": values}
        if isinstance(memory, KVCache):
            return self._step(inputs | plugin_inputs(memory, rope))[0]
        inputs |= native_inputs(memory, rope)
        velocity, *caches = self._step(inputs)
        for layer, pair in enumerate(zip(caches[0::2], caches[1::2], strict=True)):
            memory.layers[layer] = list(pair)
        return velocity

    def write_memory(
        self,
        latent: Tensor,
        time: TimeVectors,
        caption_kv: CaptionKV,
        *,
        rope: Tensor,
        captions: Tensor | None = None,
        memory: NativeCache | KVCache,
    ) -> None:
        """As :meth:`DiT.write_memory`; the graph also computes the velocity that nobody asked for."""
        self.run(latent, time, caption_kv, rope=rope, captions=captions, memory=memory)


class GraphDecoder:
    """Decodes one shot through graphs; implements ``model.codec.StreamingDecoder``. Not thread-safe.

    Args:
        decode: ``latents`` and ``memory_i`` to frames and the memory after them.
        memory: zeros, as the graph wants ``memory_i``.
        num_lat: latent frames that the graph takes at a time.
        first: graph for latent 0 alone, without memory as input; None when ``decode`` also does it, and makes
            ``surplus`` frames too many then.
    """

    def __init__(
        self, decode: Graph, memory: list[Tensor], *, num_lat: int, first: Graph | None = None, surplus: int = 3
    ) -> None:
        self._decode, self._first = decode, first
        self._zeros, self._num_lat, self._surplus = memory, num_lat, surplus
        self._memory: list[Tensor] | None = None

    def feed(self, latents: Tensor) -> Tensor:
        """Next latents ``(1, F, C, h, w)``, F a multiple of ``num_lat``, to frames ``(1, T, 3, H, W)`` in [-1, 1]."""
        return torch.cat([self._step(part) for part in latents.split(self._num_lat, dim=1)], dim=1)

    def _step(self, latents: Tensor) -> Tensor:
        if self._memory is None and self._first is not None:
            frames, *after = self._first({"latents": latents})
            # Layers that latent 0 does not pass have seen nothing yet.
            self._memory = [*after, *(zeros.clone() for zeros in self._zeros[len(after) :])]
            return frames
        is_first = self._memory is None
        memory = self._zeros if self._memory is None else self._memory
        inputs = {f"memory_{number}": past for number, past in enumerate(memory)}
        frames, *self._memory = self._decode({"latents": latents} | inputs)
        return frames[:, self._surplus if is_first else 0 :]

    def flush(self) -> Tensor | None:
        """None: a causal decoder owes nothing."""
        return None

    def reset(self) -> None:
        """The next latent fed is latent 0 of a new shot."""
        self._memory = None


def native_inputs(memory: NativeCache, rope: Tensor) -> dict[str, Tensor]:
    """What ``NativeStep`` wants of the cache."""
    inputs = {
        "cos": rope[..., 0].contiguous(),
        "sin": rope[..., 1].contiguous(),
        "write_row": torch.tensor([memory.write_row]),
        "valid_rows": torch.tensor([memory.valid_rows]),
    }
    for layer, (keys, values) in enumerate(memory.layers):
        inputs |= {f"cache_k_{layer}": keys, f"cache_v_{layer}": values}
    return inputs


def plugin_inputs(memory: KVCache, rope: Tensor) -> dict[str, Tensor]:
    """What ``PluginStep`` wants of the cache."""
    addresses = [[part.data_ptr() for part in layer] for layer in memory.layers]
    return {
        "table": rope if len(rope) == 2 else rope.expand(2, -1, -1, -1).contiguous(),
        "state": memory.state,
        "descriptor": torch.tensor(addresses, dtype=torch.int64),
    }
