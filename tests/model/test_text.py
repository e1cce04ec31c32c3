"""The UMT5 encoder: prompts are cleaned, truncation is reported, padding is zero and costs nothing."""

from __future__ import annotations

import sys

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from shotstream.errors import DeviceError, WeightsError
from shotstream.model.config import UMT5Config
from shotstream.model.text import UMT5TextEncoder, build_network, clean_prompt, read_tokenizer
from shotstream.model.weights import umt5_names, umt5_shapes

CONFIG = UMT5Config(vocab=40, dim=16, dim_attn=16, dim_ffn=24, num_heads=2, num_layers=2, text_len=8)


def tokenizer_file(folder, words=("a", "red", "fox", "snow"), vocab=()):
    entries = {"<pad>": 0, "</s>": 1, "<unk>": 2, **{word: 3 + i for i, word in enumerate((*words, *vocab))}}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.enable_padding(length=30)  # files on the hub carry settings like these; they must not matter
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def random_tensors():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in umt5_shapes(CONFIG).items()}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tokenizer_file(tmp_path_factory.mktemp("tokenizer"))
    return UMT5TextEncoder.from_tensors(CONFIG, random_tensors(), tokenizer=folder)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a\tred \n\n fox ", "a red fox"),
        ("salt &amp;amp; snow", "salt & snow"),
        ("the foxâ€™s den", "the fox's den"),
        ("a&nbsp;fox", "a fox"),
        ("", ""),
    ],
)
def test_prompts_are_cleaned(raw, clean):
    assert clean_prompt(raw) == clean


def test_rows_after_the_end_are_zero_and_the_length_counts_the_end_mark(encoder):
    text = encoder.encode(["a red fox", "snow"])
    assert text.emb.shape == (2, 8, 16) and text.lengths == (4, 2) and text.truncated == (False, False)
    assert text.emb[0, :4].abs().sum(1).min() > 0 and not text.emb[0, 4:].any() and not text.emb[1, 2:].any()


def test_truncation_is_reported_and_keeps_the_end_mark(encoder):
    text = encoder.encode(["fox " * 7, "fox " * 8])
    assert text.lengths == (8, 8) and text.truncated == (False, True)
    torch.testing.assert_close(text.emb[0], text.emb[1])


def test_a_prompt_does_not_depend_on_its_neighbours(encoder):
    alone = encoder.encode(["a fox"]).emb[0]
    assert torch.equal(encoder.encode(["a red fox in snow", "a fox"]).emb[1], alone)


def test_running_unpadded_equals_masked_padding(encoder):
    ids = torch.tensor([[3, 4, 5, 1, 0, 0, 0, 0]])
    mask = (ids != 0).long()
    padded = encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state[0] * mask[0, :, None]
    torch.testing.assert_close(encoder.encode_ids(ids[0, :4]), padded, rtol=0, atol=1e-5)


def test_misfitting_weights_are_named():
    tensors = random_tensors()
    tensors["blocks.0.attn.q.weight"] = tensors["blocks.0.attn.q.weight"][:8]
    del tensors["norm.weight"]
    with pytest.raises(WeightsError, match=r"missing: norm\.weight; wrong shape: blocks\.0\.attn\.q\.weight is"):
        UMT5TextEncoder.from_tensors(CONFIG, tensors, tokenizer=None)


def test_tokenizer_of_another_model_is_refused(tmp_path):
    folder = tokenizer_file(tmp_path, vocab=[f"w{i}" for i in range(50)])
    with pytest.raises(WeightsError, match="has 57 entries, the text encoder 40"):
        UMT5TextEncoder.from_tensors(CONFIG, random_tensors(), tokenizer=folder)


@pytest.mark.parametrize("content", [None, "not json"])
def test_unreadable_tokenizer_is_refused(tmp_path, content):
    if content:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match="no readable tokenizer"):
        read_tokenizer(tmp_path)


def test_ids_need_no_tokenizer_but_prompts_do():
    encoder = UMT5TextEncoder.from_tensors(CONFIG, random_tensors(), tokenizer=None)
    assert encoder.encode_ids(torch.tensor([3, 1])).shape == (8, 16)
    with pytest.raises(WeightsError, match="without a tokenizer"):
        encoder.encode(["a fox"])


@pytest.mark.parametrize(
    ("package", "call"), [("transformers", lambda: build_network(CONFIG)), ("ftfy", lambda: clean_prompt("a"))]
)
def test_missing_package_names_the_extra(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeviceError, match=rf"{package}.*shotstream\[wan\]"):
        call()


def test_every_parameter_of_the_network_has_a_published_name():
    network = build_network(CONFIG)
    names = umt5_names(CONFIG.num_layers)
    assert {name for name, _ in network.named_parameters()} == set(names.values())
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert {theirs: umt5_shapes(CONFIG)[ours] for ours, theirs in names.items()} == shapes
