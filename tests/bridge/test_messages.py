"""The schema: golden bytes of every message, ranges, and a decoder that nothing can upset."""

import json
import random
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.bridge import faults, messages, wire
from shotstream.errors import BridgeError, ScriptError
from shotstream.story.fired import BeatRefused
from tests.golden.bridge.__main__ import EXAMPLES, FOLDER, header

DECODERS = {
    "client": wire.client_messages,
    "server": wire.server_messages,
    "credit": wire.credits,
    "frame": wire.frame_headers,
}


def decoder_of(message):
    for name, decoder in DECODERS.items():
        if type(message) in (getattr(decoder.type, "__args__", ()) or (decoder.type,)):
            return DECODERS[name]
    raise AssertionError(f"no socket carries {message}")


def every_type():
    def below(kind):
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    ours = {kind for kind in below(messages.Message) if kind.__module__ == messages.__name__}
    return ours - {messages.Request}


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_bytes(name):
    data = (FOLDER / f"{name}.bin").read_bytes()
    assert header(EXAMPLES[name]) == data
    assert wire.decode(decoder_of(EXAMPLES[name]), [wire.MAGIC, data]) == EXAMPLES[name]
    shown = msgspec.to_builtins(msgspec.msgpack.decode(data), builtin_types=())
    assert shown == json.loads((FOLDER / "messages.json").read_text())[name]  # with bytes as base64


def test_every_message_has_golden_bytes_and_a_socket():
    assert {type(message) for message in EXAMPLES.values()} == every_type()
    assert {path.stem for path in FOLDER.glob("*.bin")} == set(EXAMPLES)
    for message in EXAMPLES.values():
        decoder_of(message)


def test_a_credit_is_small_and_headers_fit():
    largest = messages.Credit(s=2**63 - 1, st=2**32 - 1, n=64, rel=2**63 - 1, presented=2**63 - 1)
    assert len(header(largest)) <= 64
    assert len(header(EXAMPLES["frame"])) < messages.MAX_HEADER_BYTES // 8


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("cut", "id", 0),
        ("cut", "id", 2**32),
        ("cut", "ep", -1),
        ("cut", "ep", 2**63),
        ("cut", "ttl", 0),
        ("cut", "ttl", 60_001),
        ("cut", "text", "x" * 4097),
        ("cut", "text", 5),
        ("cut", "when", "later"),
        ("cut", "frames", 0),
        ("cut", "frames", 1.5),
        ("cut", "frames", True),
        ("cut", "seed", -1),
        ("hello", "client", "x" * 65),
        ("hello", "role", "admin"),
        ("hello", "caps", ["x"] * 65),
        ("hello", "proto_min", 2**16),
        ("subscribe", "n", 65),
        ("subscribe", "fmt", "yuv"),
        ("credit", "n", 65),
        ("credit", "n", -1),
    ],
)
def test_a_field_out_of_range_is_refused(name, field, value):
    changed = {**msgspec.msgpack.decode(header(EXAMPLES[name])), field: value}
    with pytest.raises(faults.ProtocolError, match="cannot be read"):
        wire.decode(decoder_of(EXAMPLES[name]), [wire.MAGIC, msgspec.msgpack.encode(changed)])


def outcome(decoder, data):
    """Decode within bounded time: a message, or one of our errors."""
    began = time.process_time()
    try:
        result = wire.decode(decoder, [wire.MAGIC, data])
        assert isinstance(result, messages.Message)
    except BridgeError as error:
        assert str(error)
    assert 0 <= wire.id_of([wire.MAGIC, data]) < 2**32
    assert time.process_time() - began < 0.5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(DECODERS)))
def test_random_bytes_give_a_message_or_a_clear_error(data, name):
    outcome(DECODERS[name], data)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_one_field_of_anything_gives_a_message_or_a_clear_error(name, data):
    fields = msgspec.msgpack.decode(header(EXAMPLES[name]))
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(ANYTHING)
    outcome(decoder_of(EXAMPLES[name]), msgspec.msgpack.encode(fields))


def test_damaged_messages_give_a_message_or_a_clear_error():
    dice = random.Random(3)
    for _ in range(20_000):
        message = EXAMPLES[dice.choice(sorted(EXAMPLES))]
        data = bytearray(header(message))
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        outcome(decoder_of(message), bytes(data[: dice.randint(0, len(data))] if dice.random() < 0.3 else data))


@pytest.mark.parametrize(
    "data", [b"\x81\xa1x" * 20_000, b"\x91" * 65_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
def test_the_worst_of_64_kib_is_cheap(data):
    for decoder in DECODERS.values():
        outcome(decoder, data)


def test_a_header_over_the_limit_is_not_parsed():
    with pytest.raises(faults.TooLarge):
        wire.decode(wire.client_messages, [wire.MAGIC, b"\x80" * 70_000])


def test_each_code_is_one_class_and_back():
    for code in faults.Code:
        error = faults.error_from_code(code, "why", 5)
        if code == faults.Code.INVALID:
            assert type(error) is BeatRefused and error.retry_s == 0.005
            assert type(faults.error_from_code(code, "why")) is ScriptError
        else:
            assert isinstance(error, faults.Fault) and error.retry_ms == 5
            assert error.code == code or type(error) is faults.Fault
    assert len({kind.code for kind in faults._CLASSES}) == len(faults._CLASSES)
