"""The miniature recipe, every stage: losses fall, stopping and going on changes nothing, the bundle opens."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shotstream.bundle import load_bundle
from shotstream.errors import ConfigError, WeightsError
from shotstream.model.config import WordTextConfig
from shotstream.model.schedule import Schedule
from shotstream.model.word_text import WordTextEncoder, build_tokenizer
from training import checkpoint, data
from training.cli import main, row_maker
from training.codec import load_codec, train_codec
from training.conditions import cached_rows
from training.export import export_bundle
from training.fit import Sampler, StudentTrainer, fit
from training.recipes import Recipe, recipe_by_name, storyworld_micro
from training.refine import refine_codec
from training.student import clip_mask

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the miniature recipe with codec and data made."""
    out = tmp_path_factory.mktemp("micro")
    recipe = storyworld_micro()
    train_codec(replace(recipe, codec=replace(recipe.codec, steps=4)), out)
    assert main(["storyworld-micro", "--stage", "data", "--out", str(out), "--threads", "1"]) == 0
    return out


@pytest.fixture
def recipe() -> Recipe:
    return storyworld_micro()


def trainer_and_sampler(recipe: Recipe, run: Path, stage: str) -> tuple[StudentTrainer, Sampler]:
    codec = load_codec(recipe, checkpoint.load(run / "codec.pt"))
    trainer = StudentTrainer(recipe, stage, codec.scale)
    pictures = data.load_pictures(sorted((run / "data").glob("pictures-*")))
    clips = None if stage == "frames" else data.load_clips(sorted((run / "data").glob("clips-*")))
    return trainer, Sampler(trainer, pictures, clips, row_maker(recipe, run, None))


def test_samples_look_as_the_engine_will_ask_for_them(run, recipe):
    clips = data.load_clips(sorted((run / "data").glob("clips-*")))
    spec = recipe.video
    assert clips.latents.shape[1:] == (2 * spec.block_lat, spec.latent_channels, spec.latent_height, spec.latent_width)
    assert clips.context.shape[1] == spec.context_lat
    for n in range(len(clips)):
        if clips.shots[n] == 0:
            assert not clips.context[n].any() and not clips.context_flags[n].any()
        else:
            assert clips.context[n].any() and clips.context_flags[n, -1] == clips.shots[n] - 1
        assert all(len(told.prompts) == clips.shots[n] + 1 for told in clips.phrasings[n])
    pictures = data.load_pictures(sorted((run / "data").glob("pictures-*")))
    assert all(told[0].prompts[0].count("shot0:") == 1 for told in pictures.phrasings)


def test_data_are_the_same_for_the_same_seed(run, recipe):
    codec = load_codec(recipe, checkpoint.load(run / "codec.pt"))
    one, two = (data.render_clips(codec, recipe.video, num=2, seed=3, phrasings=2) for _ in range(2))
    assert torch.equal(one.latents, two.latents) and torch.equal(one.context, two.context)
    assert one.phrasings == two.phrasings


def test_later_latents_of_a_span_equal_those_of_the_whole_shot(run, recipe):
    codec = load_codec(recipe, checkpoint.load(run / "codec.pt"))
    shot = data.sample_story(1).shots[0]
    whole = data.encode_span(codec, shot, 0, 6, recipe.video)
    torch.testing.assert_close(data.encode_span(codec, shot, 2, 3, recipe.video), whole[2:5], atol=1e-5, rtol=0)


def test_no_frame_of_a_clip_sees_what_inference_would_not_show(recipe):
    spec = replace(recipe.video, context_lat=2, block_lat=1, window_lat=2)
    rows = [[int(x) for x in row] for row in clip_mask(spec, opening=True)]
    #               context | clean | noisy first | noisy second
    assert rows == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 1, 0, 1]]
    assert [int(x) for x in clip_mask(spec, opening=False)[3]] == [1, 1, 1, 1]


@pytest.mark.parametrize("stage", ["frames", "clips"])
def test_loss_falls(run, recipe, stage, tmp_path):
    trainer, sampler = trainer_and_sampler(recipe, run, stage)
    batch = sampler.draw()

    def score() -> float:
        with torch.no_grad():
            return float(trainer.loss(batch, torch.Generator().manual_seed(0)))

    before = score()
    fit(trainer, sampler, tmp_path)
    assert score() < 0.9 * before


def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(run, recipe, tmp_path):
    whole, sampler = trainer_and_sampler(recipe, run, "frames")
    for _ in range(4):
        whole.train_step(sampler.draw(), 1.0)
    first, sampler = trainer_and_sampler(recipe, run, "frames")
    for _ in range(2):
        first.train_step(sampler.draw(), 1.0)
    checkpoint.save(tmp_path / "frames.pt", first.state_dict())
    second, sampler = trainer_and_sampler(recipe, run, "frames")
    second.load_state_dict(checkpoint.load(tmp_path / "frames.pt"))
    for _ in range(2):
        second.train_step(sampler.draw(), 1.0)
    assert second.progress.step == whole.progress.step == 4
    for name, value in whole.average.values.items():
        assert torch.equal(second.average.values[name], value), name


def test_checkpoints_are_whole_or_refused(tmp_path):
    path = tmp_path / "codec.pt"
    with pytest.raises(WeightsError, match="no such checkpoint"):
        checkpoint.load(path)
    checkpoint.save(path, {"step": 3})
    assert checkpoint.load(path) == {"step": 3} and list(tmp_path.iterdir()) == [path]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="delete it"):
        checkpoint.load(path)


def test_refinement_makes_more_of_predictions(run, recipe, tmp_path):
    (tmp_path / "codec.pt").write_bytes((run / "codec.pt").read_bytes())
    trainer, _ = trainer_and_sampler(recipe, run, "frames")
    checkpoint.save(tmp_path / "frames.pt", trainer.state_dict())
    notes = []
    short = replace(recipe, codec=replace(recipe.codec, steps=2))
    refine_codec(short, tmp_path, row_maker(recipe, run, None), minutes=math.inf, resume=False, report=notes.append)
    before, fitted, _ = [note["psnr_predicted"] for note in notes if "psnr_predicted" in note]
    assert fitted > before + 0.3  # an untrained student's predictions are noisy; the fit learns to smooth them
    assert checkpoint.load(tmp_path / "codec.pt")["training"]["step"] == 2


def test_text_rows_are_made_once(tmp_path):
    asked = []

    def make(pairs):
        asked.append([prompt for prompt, _ in pairs])
        return torch.tensor([[[float(len(prompt))]] for prompt, _ in pairs])

    rows = cached_rows(make, tmp_path / "rows.pt")
    assert rows([("a", {}), ("bb", {})]).flatten().tolist() == [1, 2]
    again = cached_rows(make, tmp_path / "rows.pt")
    assert again([("ccc", {}), ("a", {})]).flatten().tolist() == [3, 1]
    assert asked == [["a", "bb"], ["ccc"]]


def test_finish_trains_on_its_own_past_and_the_export_opens(run, recipe, tmp_path):
    for name in ("codec.pt",):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    clips, sampler = trainer_and_sampler(recipe, run, "clips")
    clips.train_step(sampler.draw(), 1.0)
    trainer, sampler = trainer_and_sampler(recipe, run, "finish")
    trainer.start_from(clips.state_dict())
    batch = sampler.draw()
    context, block = recipe.video.context_lat, recipe.video.block_lat
    own = trainer.loss._self_predicted(batch, trainer.generator)
    assert not torch.equal(own[:, context : context + block], batch.clean[:, context : context + block])
    assert torch.equal(own[:, context + block :], batch.clean[:, context + block :])
    fit(trainer, sampler, tmp_path)
    text = tmp_path / "text"
    text.mkdir()
    tokenizer = build_tokenizer(["fox", "forest"])
    encoder = WordTextEncoder(WordTextConfig(vocab=tokenizer.get_vocab_size()), tokenizer)
    from training.text import save

    save(encoder, text)
    export_bundle(recipe, tmp_path, text, tmp_path / "bundle", machine="a test", note="made for a test")
    bundle = load_bundle(tmp_path / "bundle")
    bundle.verify()
    assert bundle.spec == recipe.video and bundle.dit == recipe.dit and bundle.schedule == recipe.schedule
    assert bundle.card["stage_finish"].startswith("4 steps") and "stage_clips" in bundle.card
    assert bundle.card["note"] == "made for a test"
    assert Schedule(bundle.schedule).steps[0].sigma == 1.0


def test_refusals(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"'nothing'.*storyworld-tiny"):
        recipe_by_name("nothing")
    assert main(["storyworld-micro", "--stage", "clips", "--out", str(tmp_path)]) == 2
    assert "run the stage before this one first" in capsys.readouterr().err
    assert main(["storyworld-micro", "--stage", "export", "--out", str(tmp_path)]) == 2
    assert "--bundle" in capsys.readouterr().err


def test_log_is_json_lines(run):
    assert main(["storyworld-micro", "--stage", "codec", "--out", str(run), "--resume", "--threads", "1"]) == 0
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert entries[-1]["stage"] == "codec" and entries[-1]["psnr"] > 10
