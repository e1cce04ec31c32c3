"""Whole shots through the exported graphs, run by programs that are not ours, against the eager network."""

import collections

import onnx
import pytest
import torch

from shotstream.engine.graphs import GraphDenoiser, NativeCache
from shotstream.engine.kv_cache import KVCache
from shotstream.engine.noise import CounterNoise
from shotstream.engine.rollout import Context, ShotRollout
from shotstream.export.memory import DOMAIN
from shotstream.export.runners import EvaluatorGraph, RuntimeGraph
from shotstream.model.config import ScheduleConfig
from shotstream.model.schedule import Schedule

TOLERANCE = 1e-4
SCHEDULE = Schedule(ScheduleConfig(shift=3.0, steps=(1000, 500)))


def play(rollout, spec, text, *, num_blocks):
    """Two shots, the second with a memory of several captions; all latents."""
    noise = CounterNoise(7, (spec.block_lat, spec.latent_channels, spec.latent_height, spec.latent_width))
    kv = rollout.model.encode_captions(text)
    one = rollout.model.encode_captions(text[1:])
    latents = []
    for shot, (flags, rows) in enumerate([([0] * 6, [0] * 6), ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])]):
        size = (spec.context_lat, spec.latent_channels, spec.latent_height, spec.latent_width)
        context = torch.randn(size, generator=torch.Generator().manual_seed(shot))
        rollout.open(Context(latent=context, flags=flags, caption_kv=kv, captions=rows))
        latents += [rollout.next_latent(shot, block, one, noise) for block in range(num_blocks)]
    return torch.stack(latents)


def through_graphs(flavour, folder, dit, spec):
    graph = RuntimeGraph if flavour == "native" else EvaluatorGraph
    times = {t: dit.encode_time(torch.full((1, 1), t)) for t in (0.0, *(step.timestep for step in SCHEDULE.steps))}
    model = GraphDenoiser(
        dit.config,
        dtype=torch.float32,
        times=times,
        step=graph(folder / "step.onnx"),
        captions=RuntimeGraph(folder / "captions.onnx"),
    )
    if flavour == "native":
        cache = NativeCache(dit.config, spec, RuntimeGraph(folder / "slide.onnx"), dtype=torch.float32)
    else:
        cache = KVCache(dit.config, spec, device=torch.device("cpu"), dtype=torch.float32)
    return ShotRollout(model, SCHEDULE, spec, device=torch.device("cpu"), cache=cache)


@pytest.mark.parametrize("flavour", ["native", "plugin"])
def test_two_shots_that_outgrow_their_window_equal_eager(flavour, graphs, dit, spec):
    text = torch.randn(2, dit.config.text_len, dit.config.text_dim, generator=torch.Generator().manual_seed(3))
    eager = ShotRollout(dit, SCHEDULE, spec, device=torch.device("cpu"))
    want = play(eager, spec, text, num_blocks=4)
    got = play(through_graphs(flavour, graphs(flavour), dit, spec), spec, text, num_blocks=4)
    for block, (one, other) in enumerate(zip(want, got, strict=True)):
        assert (one - other).norm() <= TOLERANCE * one.norm(), f"block {block}"


def test_the_plugin_graph_has_our_nodes_and_no_cache(graphs, dit):
    model = onnx.load(graphs("plugin") / "step.onnx")
    nodes = collections.Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN)
    assert nodes == {"RopeCacheWrite": dit.config.num_layers, "CacheAttention": dit.config.num_layers}
    assert not any("cache" in one.name for one in model.graph.input)


def test_the_native_graph_writes_its_cache_in_place(graphs, dit):
    model = onnx.load(graphs("native") / "step.onnx")
    kinds = collections.Counter(node.op_type for node in model.graph.node)
    assert kinds["TensorScatter"] == 2 * dit.config.num_layers and kinds["Concat"] == 0
    assert {node.domain for node in model.graph.node} == {""}
    lengths = [node.input[6] for node in model.graph.node if node.op_type == "Attention" and len(node.input) == 7]
    assert lengths == ["valid_rows"] * dit.config.num_layers


def test_a_stale_row_of_the_cache_is_never_seen(graphs, dit, spec):
    """Rows beyond the valid ones hold large numbers here; attention that read them would show it."""
    text = torch.randn(1, dit.config.text_len, dit.config.text_dim)
    results = []
    for poison in (0.0, 1e3):
        rollout = through_graphs("native", graphs("native"), dit, spec)
        for pair in rollout.cache.layers:
            for part in pair:
                part.fill_(poison)
        kv = rollout.model.encode_captions(text)
        zeros = torch.zeros(spec.context_lat, spec.latent_channels, spec.latent_height, spec.latent_width)
        rollout.open(Context(latent=zeros, flags=[0] * 6, caption_kv=kv, captions=[0] * 6))
        noise = CounterNoise(1, (spec.block_lat, spec.latent_channels, spec.latent_height, spec.latent_width))
        results.append(rollout.next_latent(0, 0, kv, noise))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
