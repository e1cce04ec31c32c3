"""A short run of each fuzzer with a fixed seed; ``make fuzz`` is the long one. All find what they found again."""

import random

from shotstream.bridge import wire
from tests.fuzz import client, inputs
from tests.fuzz.server import Fuzzer


def test_the_server_gives_every_message_what_it_is_owed():
    figures = Fuzzer(seed=20).run(20_000)
    assert figures["messages"] == 20_000
    for kind in ("Ack", "Error", "Pong", "Reject", "Result", "Subscribed", "Welcome"):
        assert figures["answers"][kind] > 20, figures


def test_a_client_reads_messages_frames_and_files_of_any_kind(tmp_path):
    assert min(client.answers(21, 5000).values()) > 1000
    seen = client.frames(22, 5000)
    assert seen["pictures"] > 1000 and seen["refused"] > 1000
    client.connection_files(23, 500, tmp_path)


def test_a_client_outlives_a_server_that_lies():
    assert client.lied_to(24, 2000)["messages"] == 2000


def test_the_fuzzer_makes_the_same_from_the_same_seed_and_every_kind_of_message():
    first, second = (random.Random(5) for _ in range(2))
    for kind in inputs.KINDS * 20:
        one, two = (kind(**inputs.fields_of(dice, kind)) for dice in (first, second))
        assert repr(one) == repr(two)
        assert wire.decode(wire.client_messages, wire.encode(one)) == one, "what is meant to be right is"
