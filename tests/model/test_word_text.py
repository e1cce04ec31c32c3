"""The word-level text encoder: unknown words, truncation, padding and files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from shotstream.errors import ConfigError
from shotstream.model.config import WordTextConfig
from shotstream.model.word_text import SHOT_MARK, WordTextEncoder, build_tokenizer, shorten

WORDS = ["a", "the", "red", "blue", "fox", "bear", "and", ",", ":", ".", "-", "close", "up", "waves", "shot"]


@pytest.fixture
def encoder() -> WordTextEncoder:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(WORDS)
    config = WordTextConfig(
        vocab=tokenizer.get_vocab_size(), dim=24, num_heads=2, ffn_dim=48, num_slots=5, max_words=12
    )
    return WordTextEncoder(config, tokenizer).eval()


def test_rows_have_the_configured_shape_and_unit_scale(encoder):
    answer = encoder.encode(["a red fox", "the bear waves"])
    assert answer.emb.shape == (2, encoder.config.text_len, encoder.config.text_dim)
    assert answer.emb.dtype == torch.float32
    assert torch.allclose(answer.emb.mean(-1), torch.zeros(2, 5), atol=1e-5)
    assert torch.allclose(answer.emb.var(-1, unbiased=False), torch.ones(2, 5), atol=1e-2)


def test_words_case_and_punctuation_are_split(encoder):
    tokens = encoder.tokenizer.encode("A red fox,Close-up.shot12:the bear").tokens
    assert tokens == ["a", "red", "fox", ",", "close", "-", "up", ".", SHOT_MARK, "the", "bear"]


def test_shot_number_does_not_matter(encoder):
    first, second = encoder.encode(["a fox shot0:the fox waves", "a fox shot 7 : the fox waves"]).emb
    assert torch.equal(first, second)


def test_different_prompts_give_different_rows(encoder):
    first, second = encoder.encode(["a red fox", "a blue fox"]).emb
    assert (first - second).abs().max() > 1e-3


def test_padding_does_not_change_a_prompt(encoder):
    alone = encoder.encode(["a red fox"]).emb[0]
    beside = encoder.encode(["a red fox", "the blue bear and the red fox , the bear waves"]).emb[0]
    assert torch.allclose(alone, beside, atol=1e-5)


def test_unknown_words_are_dropped_and_reported_as_written(encoder):
    plain, strange = "a red fox waves", "a Zorblax red fox! 42 waves"
    answer = encoder.encode([plain, strange])
    assert answer.unknown == ((), ("Zorblax", "42"))
    assert answer.lengths == (4, 4) and answer.truncated == (False, False)
    assert torch.allclose(answer.emb[0], answer.emb[1], atol=1e-6)


def test_no_known_word_still_gives_finite_rows(encoder):
    answer = encoder.encode(["", "qwerty"])
    assert answer.lengths == (0, 0) and answer.unknown == ((), ("qwerty",))
    assert torch.isfinite(answer.emb).all() and torch.allclose(answer.emb[0], answer.emb[1])


def test_no_prompts_give_no_rows(encoder):
    answer = encoder.encode([])
    assert answer.emb.shape == (0, 5, encoder.config.text_dim) and answer.lengths == ()


def test_long_prompt_keeps_the_caption_and_the_beginning_of_the_global_part(encoder):
    long = "a red fox and " + "the blue bear " * 10 + "shot1:the fox waves"
    answer = encoder.encode([long, "a red fox and the blue bear the shot1:the fox waves"])
    assert answer.truncated == (True, False) and answer.lengths == (12, 12)
    assert torch.allclose(answer.emb[0], answer.emb[1], atol=1e-6)
    kept = shorten([*range(10, 30), 1, 7, 8], 1, 8)
    assert kept == [10, 11, 12, 13, 14, 1, 7, 8]


def test_overlong_caption_keeps_its_beginning():
    assert shorten([5, 5, 1, *range(10, 30)], 1, 6) == [1, 10, 11, 12, 13, 14]
    assert shorten(list(range(10, 30)), 1, 4) == [10, 11, 12, 13]


def test_state_and_tokenizer_survive_files(encoder, tmp_path):
    save_file(encoder.state_dict(), tmp_path / "text.safetensors")
    encoder.tokenizer.save(str(tmp_path / "tokenizer.json"))
    other = WordTextEncoder(encoder.config, Tokenizer.from_file(str(tmp_path / "tokenizer.json")))
    other.load_state_dict(load_file(tmp_path / "text.safetensors"))
    prompts = ["a red fox.shot0:close-up: the fox waves", "the unseen bear"]
    before, after = encoder.encode(prompts), other.encode(prompts)
    assert torch.equal(before.emb, after.emb) and before.unknown == after.unknown


def test_tokenizer_of_another_bundle_is_refused(encoder):
    with pytest.raises(ConfigError, match=r"text.vocab=17 does not fit .* 18 words"):
        WordTextEncoder(encoder.config, build_tokenizer([*WORDS, "owl"]))


def test_tokenizer_without_the_mark_is_refused():
    from tokenizers import models

    bare = Tokenizer(models.WordLevel({"[UNK]": 0, "fox": 1}, unk_token="[UNK]"))
    with pytest.raises(ConfigError, match="lacks the token"):
        WordTextEncoder(WordTextConfig(vocab=2, dim=8, num_heads=2), bare)
