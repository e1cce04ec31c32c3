"""Weights are read whole or refused with the names of what is wrong."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shotstream.errors import WeightsError
from shotstream.model import weights


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, path)
    return path


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors: no such weights file"):
        weights.read_tensors(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 40, -4])
def test_truncated_file_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="damaged or incomplete"):
        weights.read_tensors(saved)


def test_garbage_file_is_refused(saved):
    saved.write_bytes(b"\xff" * 200)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        weights.read_tensors(saved)


def test_folder_instead_of_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        weights.read_tensors(tmp_path)


def test_values_arrive(saved):
    net = nn.Linear(2, 3)
    weights.load_strict(net, weights.read_tensors(saved), "net")
    assert torch.equal(net.weight, torch.ones(3, 2)) and torch.equal(net.bias, torch.zeros(3))


def test_meta_module_takes_the_tensors_over():
    net = nn.Linear(2, 3, device="meta")
    weights.load_strict(net, {"weight": torch.ones(3, 2, dtype=torch.bfloat16), "bias": torch.zeros(3)}, "net")
    assert net.weight.dtype == torch.bfloat16 and not net.bias.is_meta


def test_each_kind_of_misfit_is_named():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    tensors = {
        "0.weight": torch.ones(2, 3),
        "0.bias": torch.zeros(3, dtype=torch.int32),
        "1.bias": torch.zeros(3),
        "x": torch.ones(1),
    }
    with pytest.raises(WeightsError) as caught:
        weights.load_strict(net, tensors, "two layers")
    message = str(caught.value)
    for part in (
        "two layers",
        "missing: 1.weight",
        "unexpected: x",
        "0.weight is (2, 3), expected (3, 2)",
        "0.bias is torch.int32",
    ):
        assert part in message


def test_long_lists_are_summed_up():
    with pytest.raises(WeightsError, match="and 88 more"):
        weights.load_strict(nn.Identity(), {f"n{i}": torch.ones(1) for i in range(100)}, "nothing")
