"""The executor over exported graphs: the same engine, with graphs where ``TorchEngine`` has PyTorch networks.

Whoever runs the graphs (ONNX Runtime, TensorRT) is behind ``engine.graphs.Graph``. Shape legend: N lone frames,
F latent frames, C channels, h w latent size, H W pixels, L longest prompt in tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..bundle import Bundle
from ..errors import ConfigError
from ..model.codec import StreamingDecoder
from ..model.dit import TimeVectors
from ..model.schedule import Schedule
from ..model.text_types import TextEmbedding, TextEncoder
from .graphs import Graph, GraphDenoiser, NativeCache
from .kv_cache import KVCache
from .noise import NoiseSource
from .rollout import Cache
from .torch_engine import FrameCodec, TorchEngine


class PromptReader(Protocol):
    """Prompts to token ids, without any weights."""

    def read(self, prompts: Sequence[str]) -> tuple[list[list[int]], TextEmbedding]:
        """Ids of each prompt, at most as many as the encoder takes, and the report, whose ``emb`` is empty."""


class GraphText:
    """A text encoder behind a graph of fixed length; implements ``model.text_types.TextEncoder``.

    Args:
        rows: graph from ``ids (1, L)`` int64 and ``valid (1, L)`` bool to rows ``(1, T, E)``.
        reader: the tokenizer.
        length: L.
    """

    def __init__(self, rows: Graph, reader: PromptReader, length: int) -> None:
        self._rows, self._reader, self._length = rows, reader, length

    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        """See :meth:`TextEncoder.encode`; one call of the graph per prompt."""
        ids, report = self._reader.read(prompts)
        return TextEmbedding(
            emb=torch.cat([self._encode(one) for one in ids]),
            lengths=report.lengths,
            truncated=report.truncated,
            unknown=report.unknown,
        )

    def _encode(self, ids: list[int]) -> Tensor:
        padded = torch.tensor([ids + [0] * (self._length - len(ids))], dtype=torch.int64)
        valid = torch.arange(self._length).unsqueeze(0) < len(ids)
        return self._rows({"ids": padded, "valid": valid})[0]


class GraphCodec:
    """A video codec behind graphs, as far as an engine needs one: single frames in, a shot's blocks out.

    Args:
        encode: graph from ``frames (N, 3, H, W)`` to latents ``(N, C, h, w)``.
        new_decoder: makes a streaming decoder, at the start of a shot.
    """

    def __init__(self, encode: Graph, new_decoder: Callable[[], StreamingDecoder]) -> None:
        self._encode, self._new_decoder = encode, new_decoder

    def encode_frames(self, frames: Tensor) -> Tensor:
        """See :meth:`Codec.encode_frames`."""
        return self._encode({"frames": frames})[0]

    def stream(self) -> StreamingDecoder:
        """See :meth:`Codec.stream`."""
        return self._new_decoder()


@dataclass(frozen=True, kw_only=True)
class StudentGraphs:
    """The student's graphs.

    Attributes:
        step, captions: see ``export.step``.
        slide: the same; None when the step has plugins, which turn queries instead of keys.
        times: time vectors of every timestep of the schedule, and of 0.
    """

    step: Graph
    captions: Graph
    slide: Graph | None
    times: Mapping[float, TimeVectors]


def open_graph_engine(
    bundle: Bundle,
    graphs: StudentGraphs,
    *,
    codec: FrameCodec,
    text_encoder: TextEncoder,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    noise_from_seed: Callable[[int], NoiseSource] | None = None,
) -> TorchEngine:
    """An engine whose networks are graphs.

    Args:
        bundle: names and sizes of what was exported.
        dtype: of latents and caches.

    Raises:
        ConfigError: the time vectors are not those of the bundle's schedule.
    """
    needed = {0.0, *(step.timestep for step in Schedule(bundle.schedule).steps)}
    if lacking := needed - set(graphs.times):
        raise ConfigError(
            f"the exported time vectors lack timestep {min(lacking):g} of the schedule of {bundle.name!r}; export again"
        )

    def new_cache() -> Cache:
        if graphs.slide is None:
            return KVCache(bundle.dit, bundle.spec, device=device, dtype=dtype)
        return NativeCache(bundle.dit, bundle.spec, graphs.slide, dtype=dtype, device=device)

    denoiser = GraphDenoiser(bundle.dit, dtype=dtype, times=graphs.times, step=graphs.step, captions=graphs.captions)
    return TorchEngine(
        bundle,
        dit=denoiser,
        codec=codec,
        text_encoder=text_encoder,
        device=device,
        new_cache=new_cache,
        noise_from_seed=noise_from_seed,
    )
