"""An export folder opened as a film."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import shotstream as ss
from shotstream.bundle import load_bundle
from shotstream.engine import exported as opener
from shotstream.engine.loader import load_codec, load_dit, load_text_encoder
from shotstream.errors import ConfigError, DeviceError, WeightsError
from shotstream.export import manifest, package
from tests.export.test_graph_engine import film_of
from tests.micro import write_micro_bundle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_micro_bundle(tmp_path_factory.mktemp("bundle") / "micro"))


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    """A finished export for ONNX Runtime."""
    networks = package.Networks(
        dit=lambda: load_dit(bundle),
        codec=lambda: load_codec(bundle, CPU, torch.float32),
        text=lambda: load_text_encoder(bundle, CPU, torch.float32),
    )
    folder = tmp_path_factory.mktemp("exported") / "out"
    package.export(bundle, networks, folder, target="onnx", dtype="float32")
    return folder


def test_a_film_of_an_export_equals_that_of_its_bundle(bundle, exported):
    def film(folder):
        return film_of(ss.film._make_engine(str(folder), "auto"))

    want, got = film(bundle.path), film(exported)
    assert want.std() > 5, "a flat picture would prove nothing"
    assert np.abs(want - got).max() <= 1


def test_opened_by_name_it_tells_what_it_is(bundle, exported):
    with ss.open(exported) as film:
        assert (film.bundle, film.device, film.spec) == (bundle.name, "cpu", bundle.spec)


def test_a_snapshot_of_the_bundle_goes_on_with_its_export(bundle, exported):
    """The same weights, so the same fingerprint."""

    def frames(film, count):
        return np.stack([frame.image for frame in film.frames(count=count)]).astype(int)

    with ss.open(bundle.path, ahead=0) as film:
        film.cut("a red fox", seed=1)
        frames(film, 21)
        saved = film.snapshot()
        want = frames(film, 12)
    with ss.open(exported, ahead=0) as film:
        film.restore(saved)
        assert np.abs(frames(film, 12) - want).max() <= 1


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def test_a_damaged_graph_is_named(copy):
    data = bytearray((copy / "step.onnx").read_bytes())
    data[100] ^= 1
    (copy / "step.onnx").write_bytes(data)
    with pytest.raises(WeightsError, match=r"step\.onnx: its SHA-256 differs"):
        ss.open(copy)


def test_a_description_of_other_weights_is_refused(copy):
    path = copy / manifest.NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "fingerprint": "0" * 16}))
    with pytest.raises(WeightsError, match=r"model\.toml describes weights"):
        ss.open(copy)


def test_an_unfinished_export_is_refused(copy):
    path = copy / manifest.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "finished": False}))
    with pytest.raises(WeightsError, match="cut off"):
        ss.open(copy)


@pytest.mark.parametrize(
    ("fields", "device", "kind", "message"),
    [
        ({"target": "tensorrt", "flavour": "plugin"}, "auto", DeviceError, "no GPU can be used"),
        ({"target": "tensorrt-rtx"}, "auto", DeviceError, "no GPU can be used"),
        ({"target": "tensorrt-rtx"}, "cuda", DeviceError, "'cuda' was asked for"),
        ({"target": "tensorrt", "flavour": "plugin"}, "cpu", ConfigError, "plugins of this export need a GPU"),
        ({"dtype": "bfloat16"}, "cpu", ConfigError, "--dtype fp32"),
    ],
)
def test_what_the_machine_cannot_run_is_said(fields, device, kind, message):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    described = {"target": "onnx", "flavour": "native", "dtype": "float32", "bundle": "micro"} | fields
    with pytest.raises(kind, match=message):
        opener.device_of(SimpleNamespace(**described), device)


def test_graphs_of_an_export_for_rtx_run_on_a_cpu_when_asked():
    described = SimpleNamespace(target="tensorrt-rtx", flavour="native", dtype="float32", bundle="micro")
    assert opener.device_of(described, "cpu") == CPU
