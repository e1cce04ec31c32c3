"""The checker passes on the recorded numbers, and notices when they, or our reading of them, are wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"


def load_checker():
    spec = importlib.util.spec_from_file_location("golden_check", HERE / "check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checker = load_checker()


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(FIXTURES, tmp_path / "golden"))


def update_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    names = json.loads(path.read_text())
    files = {name: (folder / name).read_bytes() for name in names}
    path.write_text(
        json.dumps({n: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for n, data in files.items()})
    )


def change_tensor(folder: Path, part: str, name: str, factor: float) -> None:
    path = folder / f"{part}.safetensors"
    tensors = {key: value.clone() for key, value in load_file(path).items()}
    tensors[name].view(-1)[0] += factor * tensors[name].float().square().mean().sqrt()
    save_file(tensors, path)
    update_manifest(folder)


def change_json(folder: Path, part: str, change) -> None:
    path = folder / f"{part}.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))
    update_manifest(folder)


def failures(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("FAIL")]


def test_all_recorded_numbers_are_reproduced_by_the_script():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, HERE / "check.py"], capture_output=True, text=True, env=environment, cwd=HERE.parents[1]
    )
    assert run.returncode == 0, "\n".join(failures(run.stdout)) + run.stderr
    summary = re.fullmatch(r"(\d+) passed, 0 failed", run.stdout.splitlines()[-1])
    assert summary and int(summary[1]) == len(run.stdout.splitlines()) - 1 > 300
    for part in checker.PARTS:
        assert f"ok   {part}" in run.stdout


@pytest.mark.parametrize(
    ("part", "tensor", "hit"),
    [
        ("vae", "decode/raw", "decode/raw"),
        ("teacher", "case/null/velocity", "null: velocity"),
        ("teacher", "weight/blocks.1.ffn.2.weight", "multi: x0"),
        ("umt5", "output", "output of prompt 0"),
    ],
)
def test_a_changed_value_is_noticed(folder, capsys, part, tensor, hit):
    change_tensor(folder, part, tensor, factor=1.0 if tensor.startswith("weight") else 1e-3)
    assert checker.main([str(folder), "--part", part]) == 1
    out = capsys.readouterr().out
    assert any(hit in line for line in failures(out)) and re.search(r"\d+ passed, [1-9]\d* failed$", out.strip())


@pytest.mark.parametrize(
    ("key", "value"), [("eps", 1e-5), ("num_heads", 4)], ids=["norm epsilon of 1e-5", "other number of heads"]
)
def test_another_reading_of_the_network_is_noticed(folder, capsys, key, value):
    change_json(folder, "teacher", lambda info: info["config"].update({key: value}))
    assert checker.main([str(folder), "--part", "teacher"]) == 1
    assert any("velocity" in line for line in failures(capsys.readouterr().out))


def test_a_file_that_differs_from_the_manifest_is_noticed(folder, capsys):
    (folder / "umt5.json").write_text((folder / "umt5.json").read_text() + "\n")
    assert checker.main([str(folder), "--part", "schedule"]) == 1
    assert [line for line in failures(capsys.readouterr().out) if "manifest: umt5.json" in line]


@pytest.mark.parametrize(
    ("part", "keys"), [("teacher", ["cases"]), ("rollout", ["shots"]), ("training", ["dmd", "cases"])]
)
def test_an_empty_list_of_cases_is_no_success(folder, capsys, part, keys):
    def empty(info):
        for key in keys[:-1]:
            info = info[key]
        info[keys[-1]] = []

    change_json(folder, part, empty)
    assert checker.main([str(folder), "--part", part]) == 2
    assert f"{keys[-1]} is empty" in capsys.readouterr().err


def test_sizes_come_from_the_folder(folder, capsys):
    """A folder with fewer cases and blocks is as good as the full one."""

    def shorten(info):
        info["cases"] = info["cases"][1:]
        info["blocks"] = 1

    change_json(folder, "dit_causal", shorten)
    assert checker.main([str(folder), "--part", "dit_causal"]) == 0
    out = capsys.readouterr().out
    assert "block0/step3" in out and "block1" not in out and "first:" not in out


def truncate(folder: Path) -> None:
    path = folder / "vae.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    update_manifest(folder)


def drop_tensor(folder: Path) -> None:
    path = folder / "vae.safetensors"
    tensors = load_file(path)
    save_file({name: value.clone() for name, value in tensors.items() if name != "decode/raw"}, path)
    update_manifest(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda f: (f / "vae.json").unlink(), "vae.json: named in manifest.json but missing"),
        (lambda f: (f / "vae.json").write_text("{"), "not readable JSON"),
        (lambda f: change_json(f, "vae", lambda info: info.update(version=2)), "this checker reads"),
        (lambda f: change_json(f, "schedule", lambda info: info.pop("shift")), "cannot be used"),
        (truncate, "damaged or incomplete"),
        (drop_tensor, "tensor decode/raw is missing"),
    ],
    ids=["no folder", "no manifest", "no file", "broken JSON", "other version", "no shift", "truncated", "no tensor"],
)
def test_a_folder_that_cannot_be_checked_is_refused(folder, capsys, damage, message):
    damage(folder)
    assert checker.main([str(folder), "--part", "vae"]) == 2
    assert message in capsys.readouterr().err
