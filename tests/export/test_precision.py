"""The transformer's graphs in narrow number types, against the eager network in the same type.

ONNX Runtime multiplies no bfloat16 matrices on a CPU; ONNX's own evaluator does.
"""

import pytest
import torch

from shotstream.engine.graphs import GraphDenoiser, NativeCache
from shotstream.engine.rollout import ShotRollout
from shotstream.export.runners import EvaluatorGraph, RuntimeGraph
from shotstream.export.writer import write_dit
from tests.export.test_rollout import SCHEDULE, play
from tests.micro import micro_dit, micro_spec

TOLERANCE = 2e-2


@pytest.mark.parametrize(("dtype", "runner"), [(torch.bfloat16, EvaluatorGraph), (torch.float16, RuntimeGraph)])
def test_two_shots_in_narrow_numbers_equal_eager(dtype, runner, tmp_path):
    dit, spec, device = micro_dit().to(dtype), micro_spec(), torch.device("cpu")
    write_dit(dit, spec, "native", tmp_path)
    times = {t: dit.encode_time(torch.full((1, 1), t)) for t in (0.0, *(step.timestep for step in SCHEDULE.steps))}
    model = GraphDenoiser(
        dit.config,
        dtype=dtype,
        times=times,
        step=runner(tmp_path / "step.onnx"),
        captions=runner(tmp_path / "captions.onnx"),
    )
    cache = NativeCache(dit.config, spec, runner(tmp_path / "slide.onnx"), dtype=dtype, device=device)
    text = torch.randn(2, dit.config.text_len, dit.config.text_dim, generator=torch.Generator().manual_seed(3))
    want = play(ShotRollout(dit, SCHEDULE, spec, device=device), spec, text.to(dtype), num_blocks=3)
    got = play(ShotRollout(model, SCHEDULE, spec, device=device, cache=cache), spec, text.to(dtype), num_blocks=3)
    for block, (one, other) in enumerate(zip(want.float(), got.float(), strict=True)):
        error = (one - other).norm() / one.norm()
        assert error <= TOLERANCE, f"block {block}: {error}"
