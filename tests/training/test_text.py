"""Training of the small text encoder: targets, vocabulary, learning, files."""

from __future__ import annotations

import torch

from shotstream.model.config import WordTextConfig
from shotstream.model.word_text import WordTextEncoder, build_tokenizer
from training.storyworld.captions import UNSPECIFIED
from training.text import CLASSES, SUMMARIES, Anchor, Prompts, Readers, accuracy, load, save, train, vocabulary


def _encoder() -> WordTextEncoder:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary(1200))
    slots = len(CLASSES) + len(SUMMARIES)
    config = WordTextConfig(vocab=tokenizer.get_vocab_size(), dim=32, ffn_dim=64, num_slots=slots, text_dim=24)
    return WordTextEncoder(config, tokenizer)


def test_prompts_are_seeded_and_their_targets_fit_the_classes():
    prompts, targets = Prompts(3).batch(200)
    again, _ = Prompts(3).batch(200)
    assert prompts == again and targets.shape == (200, len(CLASSES))
    for slot, classes in enumerate(CLASSES.values()):
        assert int(targets[:, slot].min()) >= 0 and int(targets[:, slot].max()) < len(classes)
    colour = list(CLASSES).index("subject1_colour")
    assert (targets[:, colour] == CLASSES["subject1_colour"].index(UNSPECIFIED)).any()


def test_vocabulary_covers_captions_that_it_has_not_seen():
    encoder = _encoder()
    _, _, report = encoder.tokenize(Prompts(99, "test").batch(150)[0])
    strange = {word for words in report.unknown for word in words}
    assert not strange


def test_training_learns_and_files_hold_what_was_learned(tmp_path):
    encoder = _encoder()
    prompts, targets = Prompts(77, "test").batch(64)
    fresh = Readers(encoder.config.text_dim).loss(encoder.encode(prompts).emb, targets)
    readers = train(encoder, steps=30, seed=0, batch=32)
    learned = readers.loss(encoder.encode(prompts).emb, targets)
    assert learned < 0.85 * fresh
    shares = accuracy(encoder.eval(), readers, 64, 5)
    assert set(shares) == set(CLASSES) and max(shares.values()) > 0.3

    save(encoder, tmp_path)
    assert torch.equal(load(tmp_path).encode(prompts).emb, encoder.encode(prompts).emb)


def test_polishing_keeps_what_the_rows_mean():
    encoder = _encoder()
    anchor = Anchor(encoder, seed=1, num_prompts=256)
    before = [centre.clone() for centre in anchor.centres]
    readers = train(encoder, steps=2, seed=0, batch=16, anchor=anchor)
    for prototype, centre in zip(readers.prototypes, before, strict=True):
        assert torch.equal(prototype, centre) and not prototype.requires_grad
    assert not torch.equal(encoder.slots, anchor.encoder.slots), "the encoder itself must learn on"


def test_stories_of_two_can_be_asked_for():
    _, targets = Prompts(4, pair_share=1.0).batch(300)
    _, plain = Prompts(4).batch(300)
    second = list(CLASSES).index("subject2_species")
    assert (targets[:, second] > 0).sum() > (plain[:, second] > 0).sum()
