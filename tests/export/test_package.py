"""The export command and what it leaves: complete, resumable, checked."""

import dataclasses
import json
import shutil
import subprocess

import pytest
import torch
from typer.testing import CliRunner

from shotstream.bundle import load_bundle
from shotstream.cli.app import app
from shotstream.errors import CapacityError, ConfigError, DeviceError, WeightsError
from shotstream.export import manifest, package, rtx, writer
from shotstream.model.times import load_times
from tests.micro import micro_codec, micro_dit, write_micro_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_micro_bundle(tmp_path_factory.mktemp("bundle") / "micro"))


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    """A real export with engines, by the command line."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    out = tmp_path_factory.mktemp("exported") / "out"
    arguments = ["export", str(bundle.path), "--target", "tensorrt-rtx", "--gpu", "SM120", "--out", str(out)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "text for SM120" in result.output
    return out


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.fixture
def quick(monkeypatch):
    """Graphs are one line long; the names of those written are collected."""
    done = []

    def stand_in(name):
        def write(*arguments):
            done.append(name)
            (arguments[-1] / f"{name}.onnx").write_text(name)

        return write

    for name in ("step", "captions", "slide", "text"):
        monkeypatch.setattr(writer, f"write_{name}", stand_in(name))
    monkeypatch.setattr(writer, "write_decoder", stand_in("decode"))
    monkeypatch.setattr(writer, "write_encoder", stand_in("encode"))
    return done


def run(bundle, out, **options):
    networks = package.Networks(dit=micro_dit, codec=micro_codec, text=lambda: None)
    return package.export(bundle, networks, out, **{"target": "onnx", "dtype": "float32"} | options)


GRAPHS = ["step", "captions", "slide", "decode", "encode", "text"]


def test_an_export_is_complete(exported, bundle):
    found = manifest.read(exported)
    assert found.finished and found.fingerprint == bundle.fingerprint and found.flavour == "native"
    assert list(found.graphs) == GRAPHS
    assert {"torch", "onnx", "shotstream", "tensorrt-rtx"} <= set(found.versions)
    assert found.video == dataclasses.asdict(bundle.spec)
    on_disk = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert on_disk == {"manifest.json", *(entry.path for entry in found.files)}
    runtime = found.versions["tensorrt-rtx"]
    for name in GRAPHS:
        path = manifest.engine_file(exported, found, name, gpu="SM120", runtime=runtime)
        assert path.stat().st_size > 10_000


def test_time_vectors_are_those_of_the_network(exported):
    times = load_times(exported / "time.safetensors")
    assert len(times) == 5 and 0.0 in times
    dit = micro_dit()
    for timestep, vectors in times.items():
        want = dit.encode_time(torch.tensor([[timestep]], dtype=torch.float64))
        torch.testing.assert_close(vectors.embedded, want.embedded)
        torch.testing.assert_close(vectors.modulation, want.modulation)


def test_an_engine_for_another_gpu_or_version_is_refused(exported):
    found = manifest.read(exported, hash_files=False)
    with pytest.raises(DeviceError, match=r"for SM120, this GPU is SM89.*--gpu SM89"):
        manifest.engine_file(exported, found, "step", gpu="SM89", runtime=found.versions["tensorrt-rtx"])
    with pytest.raises(DeviceError, match=r"built by TensorRT .* 9\.9 is installed"):
        manifest.engine_file(exported, found, "step", gpu="SM120", runtime="9.9")
    with pytest.raises(ConfigError, match="no graph 'audio'"):
        manifest.engine_file(exported, found, "audio", gpu="SM120", runtime="9.9")


def test_a_damaged_plan_and_a_missing_file_are_named(copy):
    plan = copy / "engines" / "SM120" / "step.engine"
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    with pytest.raises(WeightsError, match=r"step.engine: its SHA-256 differs.*--force"):
        manifest.read(copy)
    plan.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match=r"step.engine: \d+ bytes"):
        manifest.read(copy, hash_files=False)
    plan.unlink()
    with pytest.raises(WeightsError, match=r"step.engine: missing"):
        manifest.read(copy, hash_files=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format=99, this version reads format=1"),
        ({"opset": 17}, "opset 17, this version works with 24"),
        ({"finished": False}, "was cut off"),
        ({"extra": 1}, "not a readable manifest.*extra"),
        ({"target": "phone"}, "not a readable manifest.*phone"),
        ({"stages": {"step": [{"path": "../../passwd", "sha256": "0", "bytes": 1}]}}, "must be a plain name"),
        ({"stages": {}}, "is used but not listed"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(bundle, quick, tmp_path, change, message):
    run(bundle, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=message):
        manifest.read(tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_broken_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable manifest"):
        manifest.read(tmp_path)


def test_no_export_at_all(tmp_path):
    with pytest.raises(WeightsError, match=r"no export in this folder.*shotstream export"):
        manifest.read(tmp_path / "nothing")


def test_work_that_was_cut_off_goes_on(bundle, quick, tmp_path, monkeypatch):
    out = tmp_path / "out"
    whole = writer.write_decoder
    monkeypatch.setattr(writer, "write_decoder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(bundle, out)
    assert quick == ["step", "captions", "slide"]
    with pytest.raises(WeightsError, match="was cut off"):
        manifest.read(out)
    monkeypatch.setattr(writer, "write_decoder", whole)
    (out / "captions.onnx").write_text("CAPTIONS")  # damaged meanwhile
    quick.clear()
    run(bundle, out)
    assert quick == ["captions", "decode", "encode", "text"]
    assert list(manifest.read(out).stages) == [
        "step",
        "slide",
        "captions",
        "decode",
        "encode",
        "text",
        "time",
        "tokenizer",
        "description",
    ]
    assert not (out / ".unfinished").exists()


def test_other_options_do_not_continue_an_unfinished_export(bundle, quick, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(writer, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(bundle, out)
    with pytest.raises(ConfigError, match=r"differs in dtype.*--force"):
        run(bundle, out, dtype="bfloat16")


def test_a_finished_export_is_replaced_by_force_only(bundle, quick, tmp_path):
    out = tmp_path / "out"
    run(bundle, out)
    (out / "notes.txt").write_text("mine")
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match=r"already holds an export of micro; use --force"):
        run(bundle, out)
    assert (out / "manifest.json").read_bytes() == before
    again = run(bundle, out, target="tensorrt", force=True)
    assert again.flavour == "plugin" and not (out / "slide.onnx").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert manifest.read(out) == again


def test_a_folder_with_something_else_is_left_alone(bundle, quick, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(ConfigError, match="holds something else"):
            run(bundle, tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_too_little_disk_is_said_before_the_work(bundle, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(CapacityError, match="the export of micro needs"):
        run(bundle, tmp_path / "out")
    assert quick == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory_is_said_and_the_rest_is_kept(bundle, quick, tmp_path, monkeypatch, error):
    monkeypatch.setattr(writer, "write_decoder", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(CapacityError, match="decode: not enough memory"):
        run(bundle, tmp_path / "out")
    assert list(manifest.load(tmp_path / "out").stages) == ["step", "captions", "slide"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "phone"}, "target='phone' must be one of onnx, tensorrt"),
        ({"dtype": "int4"}, "dtype='int4' must be one of"),
        ({"gpus": ("SM89",)}, "built with target 'tensorrt-rtx' only"),
        ({"target": "tensorrt-rtx"}, "no GPU to build for"),
        ({"target": "tensorrt-rtx", "gpus": ("SM99",)}, "gpu='SM99' must be one of SM75"),
    ],
)
def test_options_that_cannot_work_are_refused(bundle, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run(bundle, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_engines_need_their_package(bundle, tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(rtx.importlib, "import_module", missing)
    with pytest.raises(DeviceError, match="pip install tensorrt-rtx-cu13-libs"):
        run(bundle, tmp_path / "out", target="tensorrt-rtx", gpus=("SM89",))


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, message in ((str(tmp_path / "folder"), "no bundle.toml"), ("nonsense", "no such bundle")):
        result = CliRunner().invoke(app, ["export", name, "--target", "onnx", "--out", str(tmp_path / "out")])
        assert isinstance(result.exception, WeightsError) and message in str(result.exception)


def test_the_script_for_trtexec_is_shell_and_names_every_size(bundle, quick, tmp_path):
    run(bundle, tmp_path / "out", target="tensorrt")
    script = tmp_path / "out" / "trtexec.sh"
    echo = {"TRTEXEC": "echo", "PLUGINS": "/somewhere/libshotstream_trt.so", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", str(script)], env=echo, capture_output=True, text=True, check=True)
    step, captions, decode, encode, _ = done.stdout.splitlines()
    assert "--staticPlugins=/somewhere/libshotstream_trt.so" in step
    assert step.count("--profile=") == 2 and step.count("table:2x18x8x2") == 3 and step.count("table:2x36x8x2") == 3
    assert "--minShapes=text:1x3x8 --optShapes=text:1x3x8 --maxShapes=text:6x3x8" in captions
    assert "Shapes" not in decode and "frames:6x3x32x48" in encode
    assert subprocess.run(["sh", str(script)], env={"PATH": "/usr/bin:/bin"}, capture_output=True).returncode != 0
