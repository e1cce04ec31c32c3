"""Commands over a bundle folder: whole, and damaged in every way a user can meet."""

import json

import pytest

from tests.micro import write_micro_bundle

STORY = "shots: [{prompt: a red fox, frames: 11}, {prompt: a blue bear, frames: 5}]"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_micro_bundle(tmp_path_factory.mktemp("bundles") / "good")


@pytest.fixture(autouse=True)
def story(tmp_path):
    (tmp_path / "story.yaml").write_text(STORY)


def test_a_film_comes_out_of_a_bundle_folder(run, good, tmp_path):
    assert run("generate", "story.yaml", "--bundle", good, "--out", "made")[0] == 0
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert (report["bundle"], report["frames"], report["shots"]) == ("micro", 16, 2)
    assert 0 < report["denoise_share"] + report["decode_share"] + report["context_share"] <= 1.01
    assert "torch" in report["versions"]


def test_info_describes_a_bundle(run, good):
    code, out, _ = run("info", good, "--json", "--verify")
    assert code == 0 and json.loads(out)["name"] == "micro"
    assert "card.recipe" in run("info", good)[1]


def test_info_describes_the_test_chart(run):
    code, out, _ = run("info", "test-chart", "--json")
    assert code == 0 and json.loads(out)["size"] == "160x96"


def truncate(bundle):
    path = bundle / "dit.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def corrupt(bundle):
    path = bundle / "vae.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF
    path.write_bytes(bytes(data))


def edit(old, new):
    def change(bundle):
        path = bundle / "bundle.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "dit.safetensors"),
        (corrupt, "vae.safetensors"),
        (lambda bundle: (bundle / "text.safetensors").unlink(), "text.safetensors"),
        (lambda bundle: (bundle / "bundle.toml").write_text("= no toml"), "bundle.toml"),
        (lambda bundle: (bundle / "bundle.toml").unlink(), "bundle.toml"),
        (edit("width_px = 48", "width_px = 50"), "width_px=50"),
        (edit("num_layers = 2\n", "num_layers = 3\n"), "blocks.2"),
        (edit("ffn_dim = 48", "ffn_dim = 64"), "shape"),
        (edit("ffn_dim = 48", "ffn_dim = 48\nfoo = 1"), "foo"),
        (edit("format = 1", "format = 2"), "format=2"),
    ],
)
def test_a_damaged_bundle_is_one_line_and_exit_2(run, tmp_path, damage, says):
    bundle = write_micro_bundle(tmp_path / "bundle")
    damage(bundle)
    code, _, err = run("generate", "story.yaml", "--bundle", bundle, "--out", "made")
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("error: ") and says in err
    assert not (tmp_path / "made").exists(), "nothing is written before the bundle stands"


def test_cuda_on_a_machine_without_is_one_line_and_exit_2(run, good, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = run("generate", "story.yaml", "--bundle", good, "--device", "cuda")
    assert code == 2 and err.count("\n") == 1 and "cuda" in err and "cpu" in err
