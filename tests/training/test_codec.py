"""Patch PCA, its decoder's training, and the optimizer parts that all stages share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.codec import DecoderTrainer, fit_pca, fit_synthesis, psnr, render_training_clips, to_float
from training.optim import WeightAverage, orthogonalise, warm_constant_cool
from training.recipes import storyworld_micro

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    recipe = storyworld_micro()
    return render_training_clips(recipe.codec, recipe.video, seed=0)


def test_components_are_orthonormal_and_latents_normalised(clips):
    codec = fit_pca(clips, storyworld_micro().vae, seed=0)
    rows = codec.linear.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-4, rtol=0)
    latents = codec.encode(to_float(clips))
    spread = latents.std((0, 1, 3, 4))
    assert ((spread > 0.8) & (spread < 1.25)).all()
    assert list(codec.config.scale) == sorted(codec.config.scale, reverse=True)


def test_more_components_lose_less(clips):
    vae = storyworld_micro().vae
    assert psnr(fit_pca(clips, replace(vae, latent_channels=24), seed=0), clips) > 1 + psnr(
        fit_pca(clips, vae, seed=0), clips
    )


def test_looking_at_neighbours_loses_less(clips):
    codec = fit_pca(clips, storyworld_micro().vae, seed=0)
    before = psnr(codec, clips)
    fit_synthesis(codec, clips, latent_noise=0.0, seed=0)
    assert psnr(codec, clips) > before + 0.3


def test_decoder_training_improves_on_the_components_alone(clips):
    recipe = storyworld_micro()
    codec = fit_pca(clips, recipe.vae, seed=0)
    before = psnr(codec, clips)
    trainer = DecoderTrainer(codec, replace(recipe.codec, max_latent_noise=0.0), clips, 0)
    for _ in range(50):
        trainer.train_step(0.0)
    assert psnr(codec, clips) > before + 0.03


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.4 and values.max() < 1.4


def test_learning_rate_warms_up_and_cools_down():
    assert warm_constant_cool(0.0, 0, 0.3) < 0.05
    assert warm_constant_cool(0.5, 1000, 0.3) == 1.0
    assert warm_constant_cool(1.0, 1000, 0.3) == 0.05


def test_weight_average_converges_to_constant_weights():
    model = torch.nn.Linear(2, 2)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(3.0)
    for _ in range(200):
        average.update(model)
    torch.testing.assert_close(average.values["weight"], model.weight)
