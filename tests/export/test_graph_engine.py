"""A whole film through exported graphs against the film of the PyTorch networks."""

import numpy as np
import pytest
import torch

import shotstream as ss
from shotstream.engine.graph_engine import StudentGraphs, open_graph_engine
from shotstream.errors import ConfigError
from shotstream.export.runners import RuntimeGraph
from shotstream.model.schedule import Schedule
from tests.micro import HashText, micro_bundle, micro_codec, micro_engine


@pytest.fixture(scope="module")
def graph_engine(graphs, dit, spec):
    """Makes engines whose transformer is a set of graphs."""
    bundle, folder = micro_bundle(spec), graphs("native")
    steps = Schedule(bundle.schedule).steps
    times = {t: dit.encode_time(torch.full((1, 1), t)) for t in (0.0, *(step.timestep for step in steps))}
    step, captions, slide = (RuntimeGraph(folder / f"{name}.onnx") for name in ("step", "captions", "slide"))

    def make(times=times):
        student = StudentGraphs(step=step, captions=captions, slide=slide, times=times)
        return open_graph_engine(
            bundle, student, codec=micro_codec(), text_encoder=HashText(), device=torch.device("cpu")
        )

    return make


def film_of(engine):
    """Three shots with a prompt inside the second, a live cut, and a return to a snapshot; all pictures."""
    with ss.open(engine=engine, seed=5, ahead=0) as film:
        frames = film.frames()
        film.cut("a red fox", seed=1)
        images = [next(frames).image for _ in range(40)]
        film.cut("a blue bear")
        images += [next(frames).image for _ in range(12)]
        film.prompt("a blue bear in snow")
        images += [next(frames).image for _ in range(12)]
        saved = film.snapshot()
        film.cut("a forest")
        images += [next(frames).image for _ in range(13)]
        film.restore(saved)
        images += [next(frames).image for _ in range(12)]
    return np.stack(images).astype(int)


def test_a_film_through_graphs_equals_that_of_the_networks(graph_engine):
    want, got = film_of(micro_engine()), film_of(graph_engine())
    assert want.std() > 5, "a flat picture would prove nothing"
    assert np.abs(want - got).max() <= 1


def test_a_prepared_shot_through_graphs_goes_on_as_with_the_networks(graph_engine):
    def shots(engine):
        engine.open_shot(ss.engine.protocol.ShotPlan(shot=0, caption="a fox", seed=1))
        blocks = [engine.next_block()]
        made = engine.prepare(ss.engine.protocol.ShotPlan(shot=1, caption="a bear", seed=2))
        blocks.append(engine.next_block())
        engine.adopt(made, shot=1, frames=None)
        blocks += [made.block, engine.next_block(), engine.next_block()]
        return np.concatenate([block.images for block in blocks]).astype(int)

    assert np.abs(shots(micro_engine()) - shots(graph_engine())).max() <= 1


def test_time_vectors_of_another_schedule_are_refused(graph_engine):
    with pytest.raises(ConfigError, match=r"lack timestep .* export again"):
        graph_engine(times={0.0: None})
