"""Published layouts become bundles that open, or are refused by name; nothing half-written is left."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from shotstream import convert as converter
from shotstream.bundle import load_bundle
from shotstream.convert import convert
from shotstream.engine.loader import load_dit, open_engine
from shotstream.engine.protocol import ShotPlan
from shotstream.errors import CapacityError, ConfigError, WeightsError
from shotstream.model.weights import read_tensors
from tests.published import DIT, TEXT, VAE, dit_tensors, text_tensors, write_student, write_wan


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return write_wan(folder / "Wan2.1-T2V-1.3B"), write_student(folder / "shotstream_merged.pt")


@pytest.fixture(scope="module")
def bundle_path(published, tmp_path_factory):
    return convert(*published, tmp_path_factory.mktemp("bundles") / "small", dtype="fp32", width_px=48, height_px=32)


def same(got, want):
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_sizes_come_from_the_tensors(bundle_path):
    bundle = load_bundle(bundle_path)
    assert (bundle.dit, bundle.vae, bundle.text) == (DIT, VAE, TEXT)
    assert (
        bundle.name == "small"
        and bundle.dtype == "float32"
        and (bundle.spec.width_px, bundle.spec.height_px) == (48, 32)
    )
    assert bundle.schedule.steps == (1000, 740, 500, 260) and bundle.schedule.shift == 8
    bundle.verify()


def test_weights_arrive_unchanged(bundle_path):
    same(read_tensors(bundle_path / "dit.safetensors"), dit_tensors())
    same(read_tensors(bundle_path / "text.safetensors"), {n: v.float() for n, v in text_tensors().items()})


def test_the_bundle_makes_frames(bundle_path):
    engine = open_engine(load_bundle(bundle_path), device="cpu")
    engine.open_shot(ShotPlan(shot=0, caption="a red fox"))
    block = engine.next_block()
    assert len(block.images) == 9 and block.images[0].shape == (32, 48, 3)
    assert block.images[0].std() > 0 and block.caption_tokens == 4  # "shot0:a", red, fox, end


def test_bfloat16_rounds_to_nearest(published, tmp_path):
    path = convert(*published, tmp_path / "low")
    assert load_bundle(path).dtype == "bfloat16"
    same(read_tensors(path / "dit.safetensors"), {n: v.bfloat16() for n, v in dit_tensors().items()})


@pytest.mark.parametrize(
    "content",
    [
        dit_tensors(),
        {"generator_ema": dit_tensors()},
        {"model": {f"module._fsdp_wrapped_module.model._orig_mod.{n}": v for n, v in dit_tensors().items()}},
        {"generator": {f"model.{n}".replace("blocks.1.", "blocks.1._checkpoint_wrapped_module."): v
                       for n, v in dit_tensors().items()}, "step": 3},
    ],
    ids=["plain", "ema", "wrapped", "checkpointed"],
)  # fmt: skip
def test_wrappings_of_training_programs_are_undone(published, tmp_path, content):
    torch.save(content, tmp_path / "student.pt")
    path = convert(published[0], tmp_path / "student.pt", tmp_path / "out", dtype="fp32")
    same(read_tensors(path / "dit.safetensors"), dit_tensors())


def test_generator_is_preferred_to_its_average(published, tmp_path):
    torch.save({"generator_ema": dit_tensors(5), "generator": dit_tensors()}, tmp_path / "student.pt")
    path = convert(published[0], tmp_path / "student.pt", tmp_path / "out", dtype="fp32")
    same(read_tensors(path / "dit.safetensors"), dit_tensors())


def test_heads_follow_from_the_width_only_where_they_do(published, tmp_path):
    wan = shutil.copytree(published[0], tmp_path / "wan")
    (wan / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"width 48 does not tell the number of heads; put the model's config\.json"):
        convert(wan, published[1], tmp_path / "out")


def lora_pairs(scale=1.0):
    generator = torch.Generator().manual_seed(4)
    content = {}
    for layer, (out_dim, in_dim) in {"blocks.0.self_attn.q": (48, 48), "blocks.1.ffn.0": (64, 48)}.items():
        content[f"base_model.model.{layer}.lora_A.weight"] = torch.randn(4, in_dim, generator=generator)
        content[f"base_model.model.{layer}.lora_B.weight"] = torch.randn(out_dim, 4, generator=generator) * scale
    return content


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_lora_is_merged(published, tmp_path, scale):
    pairs = lora_pairs()
    torch.save({"generator_lora": pairs, "critic_lora": {}, "step": 7}, tmp_path / "lora.pt")
    path = convert(*published, tmp_path / "out", dtype="fp32", lora=tmp_path / "lora.pt", lora_scale=scale)
    want = dit_tensors()
    for layer in ("blocks.0.self_attn.q", "blocks.1.ffn.0"):
        down, up = (pairs[f"base_model.model.{layer}.lora_{half}.weight"] for half in "AB")
        want[f"{layer}.weight"] = want[f"{layer}.weight"] + scale * up @ down
    same(read_tensors(path / "dit.safetensors"), want)
    assert load_bundle(path).card["lora"] == "merged from lora.pt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("base_model.model.blocks.1.ffn.0.lora_B.weight"), "half pairs: blocks.1.ffn.0.weight"),
        (lambda p: p.update({"base_model.model.blocks.9.ffn.0.lora_A.weight": torch.ones(4, 48),
                             "base_model.model.blocks.9.ffn.0.lora_B.weight": torch.ones(64, 4)}),
         "blocks.9.ffn.0.weight is no layer of the network"),
        (lambda p: p.update({"base_model.model.blocks.1.ffn.0.lora_B.weight": torch.ones(9, 4)}), r"B A is \(9, 4\)"),
        (lambda p: p.update({"something": torch.ones(1)}), "unexpected: something"),
        (lambda p: p.clear(), "not a LoRA file"),
    ],
    ids=["half a pair", "unknown layer", "wrong shape", "strange name", "empty"],
)  # fmt: skip
def test_unfitting_lora_is_refused(published, tmp_path, change, message):
    pairs = lora_pairs()
    change(pairs)
    torch.save({"generator_lora": pairs}, tmp_path / "lora.pt")
    with pytest.raises(WeightsError, match=message):
        convert(*published, tmp_path / "out", lora=tmp_path / "lora.pt")


def test_lora_alone_is_no_student(published, tmp_path):
    torch.save({"generator_lora": lora_pairs(), "step": 1}, tmp_path / "lora.pt")
    with pytest.raises(WeightsError, match="no complete network"):
        convert(published[0], tmp_path / "lora.pt", tmp_path / "out")


def without(name):
    return {key: value for key, value in dit_tensors().items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("blocks.1.norm3.bias"), r"missing: blocks\.1\.norm3\.bias"),
        ({**dit_tensors(), "blocks.0.extra": torch.ones(1)}, r"unexpected: blocks\.0\.extra"),
        (
            {**dit_tensors(), "blocks.1.self_attn.q.weight": torch.ones(3, 3)},
            r"blocks\.1\.self_attn\.q\.weight is \(3, 3\)",
        ),
        ({**dit_tensors(), "img_emb.proj.0.weight": torch.ones(1)}, "image-to-video"),
        ({"condition_embedder.x": torch.ones(1)}, "diffusers layout"),
        ({"down_blocks.0.conv.weight": torch.ones(1)}, "U-Net of another model family"),
        ({"encoder.block.0.layer.0.x": torch.ones(1)}, "transformers layout"),
        ({"encoder.downsamples.0.residual.0.gamma": torch.ones(1)}, "a Wan2.1 VAE"),
        ({"a": 1}, "no complete network"),
        ([torch.ones(1)], "holds a list"),
        ({**dit_tensors(), "model.head.head.bias": torch.ones(64)}, "both mean"),
        ({**dit_tensors(), "patch_embedding.weight": torch.ones(48, 64)}, r"patch_embedding\.weight is \(48, 64\)"),
        ({**dit_tensors(), "head.head.weight": torch.tensor(1.0)}, r"head\.head\.weight is \(\), 2 axes"),
        ({**dit_tensors(), "patch_embedding.weight": torch.ones(48, 16, 1, 0, 0)}, "5 axes were expected"),
        ({**dit_tensors(), f"blocks.{10**12}.x": torch.ones(1)}, r"num_layers is \d+ in the tensors and 2"),
    ],
    ids=[
        "missing", "unexpected", "shape", "i2v", "diffusers", "unet", "t5", "vae", "no tensors", "list", "twice",
        "flat patches", "no axes", "empty patches", "endless layers",
    ],
)  # fmt: skip
def test_other_networks_are_refused(published, tmp_path, content, message):
    torch.save(content, tmp_path / "student.pt")
    with pytest.raises(WeightsError, match=message):
        convert(published[0], tmp_path / "student.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_different_models_are_refused(published, tmp_path):
    wan = shutil.copytree(published[0], tmp_path / "wan")
    declared = json.loads((wan / "config.json").read_text())
    (wan / "config.json").write_text(json.dumps({**declared, "num_layers": 40}))
    with pytest.raises(WeightsError, match=r"num_layers is 2 in the tensors and 40 in config\.json"):
        convert(wan, published[1], tmp_path / "out")


@pytest.mark.parametrize(
    "declared", [{"num_heads": 4.5}, {"text_len": 6.0}, {"eps": -1}, {"eps": float("nan")}, {"num_heads": 0}], ids=str
)
def test_impossible_numbers_in_the_config_are_refused(published, tmp_path, declared):
    wan = shutil.copytree(published[0], tmp_path / "wan")
    content = json.loads((wan / "config.json").read_text())
    (wan / "config.json").write_text(json.dumps({**content, **declared}))
    with pytest.raises(WeightsError, match=next(iter(declared))):
        convert(wan, published[1], tmp_path / "out")


class RunsCode:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_pickle_with_code_is_refused_and_not_run(published, tmp_path, capfd):
    torch.save({"generator": dit_tensors(), "hook": RunsCode()}, tmp_path / "student.pt")
    with pytest.raises(WeightsError, match="opening it could run code") as caught:
        convert(published[0], tmp_path / "student.pt", tmp_path / "out")
    assert "it calls" in str(caught.value) and "weights_only" not in str(caught.value)
    assert "never be printed" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"garbage" * 50])
def test_damaged_checkpoint_is_refused(published, tmp_path, content):
    (tmp_path / "student.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"student\.pt"):
        convert(published[0], tmp_path / "student.pt", tmp_path / "out")


def test_truncated_checkpoint_is_refused(published, tmp_path):
    data = published[1].read_bytes()
    (tmp_path / "student.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="not a readable checkpoint"):
        convert(published[0], tmp_path / "student.pt", tmp_path / "out")


def test_every_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "wan", tmp_path / "student.pt", tmp_path / "out")
    for name in ("student.pt", "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json"):
        assert name in str(caught.value)


def test_existing_folder_is_not_touched(published, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="already exists"):
        convert(*published, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_unknown_dtype_is_refused(published, tmp_path):
    with pytest.raises(ConfigError, match="dtype='int8' must be one of bf16, fp16, fp32"):
        convert(*published, tmp_path / "out", dtype="int8")


def test_small_disk_is_noticed_before_writing(published, tmp_path, monkeypatch):
    monkeypatch.setattr(converter.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(CapacityError, match=r"0\.00 GB free, the bundle out needs"):
        convert(*published, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_up_leaves_nothing(published, tmp_path, monkeypatch):
    def full(folder, relative):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converter.bundles, "describe_file", full)
    with pytest.raises(CapacityError, match="disk is full"):
        convert(*published, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_refused(published, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        convert(*published, tmp_path / "file" / "out")


def test_interruption_leaves_nothing(published, tmp_path):
    def interrupt(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(*published, tmp_path / "out", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_rises_to_the_total(published, tmp_path):
    calls = []
    convert(*published, tmp_path / "out", progress=lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert done == sorted(done) and done[-1] == calls[-1][2] and {call[0] for call in calls} == {
        "writing dit", "writing vae", "writing text"
    }  # fmt: skip


def test_values_that_do_not_fit_the_number_type_are_refused(published, tmp_path):
    torch.save({**dit_tensors(), "head.head.bias": torch.full((64,), 1e6)}, tmp_path / "student.pt")
    with pytest.raises(WeightsError, match=r"head\.head\.bias: has values that are not finite in fp16"):
        convert(published[0], tmp_path / "student.pt", tmp_path / "out", dtype="fp16")
    assert load_dit(load_bundle(convert(published[0], tmp_path / "student.pt", tmp_path / "out"))) is not None
