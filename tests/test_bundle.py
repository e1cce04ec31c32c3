"""Opening a bundle: what is right runs, what is wrong is refused by name, expectation and remedy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shotstream.bundle import describe_file, embedded_bundles, load_bundle, write_bundle_toml
from shotstream.engine.loader import open_engine, pick_device
from shotstream.engine.protocol import ShotPlan
from shotstream.errors import ConfigError, DeviceError, ShotstreamError, WeightsError
from tests.micro import write_micro_bundle

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_bundle(tmp_path_factory.mktemp("bundle") / "micro")


def changed(good: Path, to: Path, edit: Callable[[dict], None]) -> Path:
    """A copy of a bundle whose description was edited."""
    shutil.copytree(good, to)
    tables = tomllib.loads((to / "bundle.toml").read_text())
    edit(tables)
    write_bundle_toml(to, tables)
    return to


def with_weights(good: Path, to: Path, edit: Callable[[dict[str, torch.Tensor]], None], role: str = "dit") -> Path:
    """A copy of a bundle whose weights were edited, and described as they are."""
    shutil.copytree(good, to)
    path = to / f"{role}.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    tables = tomllib.loads((to / "bundle.toml").read_text())
    tables["files"][role] = describe_file(to, path.name)
    write_bundle_toml(to, tables)
    return to


def test_a_bundle_on_disk_makes_frames(good: Path) -> None:
    bundle = load_bundle(good)
    bundle.verify()
    engine = open_engine(bundle, device="cpu")
    engine.open_shot(ShotPlan(shot=0, caption="wide shot: a purple fox"))
    block = engine.next_block()
    assert len(block.images) == 9 and block.unknown_words == ("purple",)
    described = bundle.describe()
    assert described["name"] == "micro" and described["size"] == "48x32"


@pytest.mark.parametrize(("environment", "threads"), [(None, 1), ("2", 2)])
def test_small_networks_run_on_one_thread_unless_told(good: Path, monkeypatch, environment, threads) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if environment is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        open_engine(load_bundle(good), device="cpu")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_narrow_types_run_on_the_cpu_when_asked(good: Path) -> None:
    engine = open_engine(load_bundle(good), device="cpu", dtype="bfloat16")
    engine.open_shot(ShotPlan(shot=0, caption="a fox"))
    assert engine.dtype == "bfloat16" and len(engine.next_block().images) == 9


@pytest.mark.parametrize(
    "edit",
    [lambda t: t["schedule"].update(steps=[1000, 500]), lambda t: t["video"].update(window_lat=9)],
)
def test_fingerprint_names_sizes_and_noise_levels_too(good: Path, tmp_path: Path, edit: Callable[[dict], None]) -> None:
    """A snapshot must not be continued under another window or other steps: the film would go on differently."""
    other = load_bundle(changed(good, tmp_path / "other", edit))
    assert other.fingerprint != load_bundle(good).fingerprint


def test_bundles_are_found_by_name_in_the_home_folder(good: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SHOTSTREAM_HOME", str(tmp_path))
    shutil.copytree(good, tmp_path / "mine")
    assert load_bundle("mine").path == tmp_path / "mine"
    with pytest.raises(WeightsError, match="mine"):
        load_bundle("another")


def test_every_embedded_bundle_is_whole() -> None:
    assert "storyworld-tiny" in embedded_bundles()
    for name in embedded_bundles():
        load_bundle(name).verify()


BAD_DESCRIPTIONS: dict[str, tuple[Callable[[dict], None], type[ShotstreamError], str]] = {
    "unknown key": (lambda t: t["video"].update(colour=1), WeightsError, "unknown key video.colour"),
    "unknown table": (lambda t: t.update(extra={}), WeightsError, "unknown key extra"),
    "other format": (lambda t: t.update(format=9), WeightsError, "format=9"),
    "missing table": (lambda t: t.pop("dit"), WeightsError, r"\[dit\] is missing"),
    "wrong type": (lambda t: t["dit"].update(dim="big"), WeightsError, r"\[dit\].*int"),
    "size not divisible": (lambda t: t["video"].update(width_px=50), ConfigError, "width_px=50.*use 48 or 64"),
    "other dtype": (lambda t: t["precision"].update(dtype="int4"), WeightsError, "int4"),
    "other vae": (lambda t: t["vae"].update(kind="magic"), WeightsError, "vae.kind='magic'"),
    "steps rise": (lambda t: t["schedule"].update(steps=[1, 2]), ConfigError, "schedule.steps"),
    "no rows": (lambda t: t["video"].update(patch=0), ConfigError, "patch=0"),
    "endless context": (lambda t: t["video"].update(context_lat=2**40), ConfigError, "context_lat="),
    "endless layers": (lambda t: t["dit"].update(num_layers=10**9), ConfigError, "dit.num_layers=1000000000"),
    "huge width": (lambda t: t["dit"].update(dim=2**40), ConfigError, "dit.dim="),
    "codec of no width": (lambda t: t["vae"].update(widths=[8, 0, 6, 4]), ConfigError, "vae.widths="),
    "codec too wide": (lambda t: t["vae"].update(widths=[2**20] * 4), WeightsError, "wrong shape"),
    "text of no heads": (lambda t: t["text"].update(num_heads=0), ConfigError, "text.num_heads=0"),
    "text too wide": (lambda t: t["text"].update(dim=2**20), WeightsError, "wrong shape"),
    "parts disagree": (lambda t: t["dit"].update(text_dim=9), WeightsError, "must be equal"),
    "path leaves the bundle": (lambda t: t["files"]["dit"].update(path="../x"), WeightsError, "plain name"),
    "other size": (lambda t: t["files"]["dit"].update(bytes=3), WeightsError, "incomplete"),
    "other hash": (lambda t: t["files"]["vae"].update(sha256="0" * 64), WeightsError, "damaged"),
    "another architecture": (lambda t: t["dit"].update(num_layers=5), WeightsError, "missing: blocks.2"),
    "wider network": (lambda t: t["dit"].update(ffn_dim=64), WeightsError, "wrong shape.*expected"),
}


@pytest.mark.parametrize("case", BAD_DESCRIPTIONS)
def test_wrong_description_is_refused(good: Path, tmp_path: Path, case: str) -> None:
    edit, error, message = BAD_DESCRIPTIONS[case]
    with pytest.raises(error, match=message):
        open_engine(load_bundle(changed(good, tmp_path / "bad", edit)), device="cpu")


def test_damaged_files_are_refused(good: Path, tmp_path: Path) -> None:
    for name, spoil in {
        "truncated": lambda p: p.write_bytes(p.read_bytes()[:-100]),
        "flipped": lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x77"),
        "gone": lambda p: p.unlink(),
    }.items():
        copy = tmp_path / name
        shutil.copytree(good, copy)
        spoil(copy / "dit.safetensors")
        with pytest.raises(WeightsError, match=r"dit\.safetensors"):
            load_bundle(copy)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "bundle.toml").write_bytes(b"\xff not toml")
    with pytest.raises(WeightsError, match="not a readable bundle"):
        load_bundle(tmp_path / "text")
    with pytest.raises(WeightsError, match=r"no bundle\.toml"):
        load_bundle(str(tmp_path))
    with pytest.raises(WeightsError, match="cannot be looked up"):
        load_bundle("x" * 5000)


def test_weights_that_do_not_fit_are_named(good: Path, tmp_path: Path) -> None:
    renamed = with_weights(good, tmp_path / "renamed", lambda t: t.update(extra=t.pop("head.head.bias")))
    with pytest.raises(WeightsError, match=r"missing: head\.head\.bias.*unexpected: extra"):
        open_engine(load_bundle(renamed), device="cpu")
    reshaped = with_weights(good, tmp_path / "reshaped", lambda t: t.update({"conv2.bias": torch.zeros(3)}), "vae")
    with pytest.raises(WeightsError, match=r"conv2\.bias"):
        open_engine(load_bundle(reshaped), device="cpu")


@pytest.mark.parametrize("role", ["dit", "vae", "text"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(good: Path, tmp_path: Path, role: str, value: float) -> None:
    """One such number would turn every picture black without a word."""

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        next(tensor for name, tensor in sorted(tensors.items()) if tensor.dim() > 1).view(-1)[3] = value

    folder = with_weights(good, tmp_path / "bad", spoil, role)
    with pytest.raises(WeightsError, match="hold values that are not finite"):
        open_engine(load_bundle(folder), device="cpu")


def test_nested_description_is_refused(good: Path, tmp_path: Path) -> None:
    folder = changed(good, tmp_path / "bad", lambda t: None)
    (folder / "bundle.toml").write_text("a=" + "[" * 50_000)
    with pytest.raises(WeightsError, match="not a readable bundle description"):
        load_bundle(folder)


def test_garbage_that_hashes_right_is_still_refused(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "garbage"
    shutil.copytree(good, copy)
    (copy / "tokenizer.json").write_text("{}")
    (copy / "dit.safetensors").write_bytes(b"\x80\x02cposix\nsystem\n")
    tables = tomllib.loads((copy / "bundle.toml").read_text())
    for role, name in (("tokenizer", "tokenizer.json"), ("dit", "dit.safetensors")):
        tables["files"][role] = describe_file(copy, name)
    write_bundle_toml(copy, tables)
    bundle = load_bundle(copy)
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        open_engine(bundle, device="cpu")
    shutil.copy(good / "dit.safetensors", copy / "dit.safetensors")
    with pytest.raises(WeightsError, match="not a readable tokenizer"):
        open_engine(bundle, device="cpu")


@pytest.mark.parametrize(("device", "message"), [("quantum", "unknown"), ("meta", "not supported")])
def test_impossible_devices_are_refused(device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        pick_device(device)


def test_missing_cuda_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="use device 'cpu'"):
        pick_device("cuda")
    assert pick_device("auto") == torch.device("cpu")
