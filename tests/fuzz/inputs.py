"""Messages that a client might send, should not send, and bytes that are none: made from the schema, so that a new kind
of message is fuzzed without a word here. Everything comes from one ``random.Random``."""

from __future__ import annotations

import functools
import random
import string
from collections.abc import Callable, Sequence
from typing import Any, get_args

import msgspec
from msgspec import inspect

from shotstream.bridge import messages, wire
from shotstream.bridge.messages import Message

WORDS = (
    "a fox",
    "wide shot: rain",
    "storm",
    "",
    " ",
    "\u202eabc",
    "\a",
    "\x00",
    "{name}",
    "é\u0301",
    "x" * 4096,
    "default",
)
INTEGERS = (0, 1, -1, 2, 63, 64, 65, 255, 2**15, 2**16, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1)
FLOATS = (0.0, -0.0, 0.5, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324)
KINDS: tuple[type[Message], ...] = get_args(messages.ClientMessage)


def fields_of(dice: random.Random, kind: type[Message]) -> dict[str, Any]:
    """Values for some of the fields of a message: all that it needs, and any that it may have."""
    info = _struct_info(kind)
    return {one.name: _valid(dice, one.type) for one in info.fields if one.required or dice.random() < 0.5}


@functools.cache
def _struct_info(kind: type[Message]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _valid(dice: random.Random, info: inspect.Type) -> Any:
    """A value of a type of the schema, often at an edge of its range."""
    if isinstance(info, inspect.IntType):
        low, high = info.ge if info.ge is not None else -(2**63), info.le if info.le is not None else 2**63 - 1
        return dice.choice(
            [low, high, min(high, low + 1), dice.randint(low, high), dice.randint(low, min(high, low + 9))]
        )
    if isinstance(info, inspect.FloatType):
        return dice.uniform(-1e3, 1e3)
    if isinstance(info, inspect.StrType):
        if info.pattern is not None:
            return "".join(dice.choices(string.ascii_letters + "_-", k=dice.choice([1, 2, 64])))
        return dice.choice(WORDS)[: info.max_length]
    if isinstance(info, inspect.BytesType):
        return dice.randbytes(dice.choice([1, 10, 200]))
    if isinstance(info, inspect.BoolType):
        return dice.random() < 0.5
    if isinstance(info, inspect.NoneType):
        return None
    if isinstance(info, inspect.LiteralType):
        return dice.choice(info.values)
    if isinstance(info, inspect.UnionType):
        return _valid(dice, dice.choice(info.types))
    if isinstance(info, inspect.VarTupleType):
        return tuple(_valid(dice, info.item_type) for _ in range(dice.choice([0, 1, info.max_length or 3])))
    if isinstance(info, inspect.DictType):
        sizes = [info.min_length or 0, 1, info.max_length or 3]
        return {dice.choice(WORDS)[:60] + str(n): _valid(dice, info.value_type) for n in range(dice.choice(sizes))}
    if isinstance(info, inspect.StructType):
        return info.cls(**{one.name: _valid(dice, one.type) for one in info.fields if one.required})
    raise AssertionError(f"no values for {info}; add them here")


def anything(dice: random.Random, depth: int = 0) -> Any:
    """Some value that msgpack can carry."""
    what = dice.randrange(9 if depth < 3 else 7)
    if what < 2:
        return dice.choice(INTEGERS)
    if what == 2:
        return dice.choice(FLOATS)
    if what == 3:
        return dice.choice(WORDS)
    if what == 4:
        return dice.randbytes(dice.choice([0, 1, 40]))
    if what == 5:
        return dice.choice([None, True, False])
    if what == 6:
        return msgspec.msgpack.Ext(dice.randrange(-128, 128), dice.randbytes(dice.choice([0, 1, 8])))
    items = [anything(dice, depth + 1) for _ in range(dice.choice([0, 1, 3, 20]))]
    return (
        items
        if what == 7
        else {dice.choice([*WORDS[:8], "t", "id", number]): item for number, item in enumerate(items)}
    )


def damaged(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Bytes of a message, changed in one to three ways."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(out) + 1)
        how = dice.randrange(6)
        if how == 0 and out:
            out[at % len(out)] = dice.randrange(256)
        elif how == 1 and out:
            out[at % len(out)] ^= 1 << dice.randrange(8)
        elif how == 2:
            del out[at:]
        elif how == 3:
            out[at:at] = dice.randbytes(dice.randint(1, 8))
        elif how == 4:
            out[at:at] = out[at : at + dice.randint(1, 40)]
        else:
            other = dice.choice(others) if others else b""
            out[at:] = other[dice.randrange(len(other) + 1) :]
    return bytes(out)


LEADS = bytes(
    [0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC4, 0xC7, 0xCA, 0xCB, 0xCF, 0xD3, 0xD4, 0xD9, 0xDB]
)


def noise(dice: random.Random) -> bytes:
    """Bytes that are no message, many of which begin some msgpack value."""
    data = dice.randbytes(dice.choice([0, 1, 5, 60, 500]))
    return bytes(dice.choice(LEADS) if byte & 1 else byte for byte in data)


def one_field_wrong(dice: random.Random, message: Message) -> bytes:
    """A message with a field replaced, left out, added, or sent twice."""
    fields = msgspec.msgpack.decode(wire.encode(message)[1])
    key = dice.choice(list(fields))
    how = dice.randrange(4)
    if how == 0:
        fields[key] = anything(dice)
    elif how == 1:
        del fields[key]
    elif how == 2:
        fields[dice.choice(["new", "t", "id", "x" * 300])] = anything(dice)
    data = msgspec.msgpack.encode(fields)
    if how == 3 and 0x80 <= data[0] < 0x8F:
        data = bytes([data[0] + 1]) + data[1:] + msgspec.msgpack.encode(key) + msgspec.msgpack.encode(anything(dice))
    return data


def parts_of(dice: random.Random, message: Message, recent: Sequence[bytes], *, right: float) -> list[bytes]:
    """The parts of a message, as they should be with probability ``right``."""
    if dice.random() < right:
        return wire.encode(message)
    what = dice.uniform(0.45, 1.0)
    if what < 0.65:
        return [wire.MAGIC, one_field_wrong(dice, message)]
    if what < 0.85:
        return [wire.MAGIC, damaged(dice, wire.encode(message)[1], recent)]
    if what < 0.95:
        return [wire.MAGIC, noise(dice)]
    shapes: list[Callable[[], list[bytes]]] = [
        lambda: [],
        lambda: [wire.MAGIC],
        lambda: [b"", b""],
        lambda: [wire.MAGIC, b""],
        lambda: [dice.randbytes(4), wire.encode(message)[1]],
        lambda: [wire.MAGIC, wire.encode(message)[1], noise(dice)],
        lambda: [wire.MAGIC, b"\x91" * dice.choice([500, 5000, 65_000])],
        lambda: [wire.MAGIC, b"\xdf\xff\xff\xff\xff" + noise(dice)],
        lambda: [wire.MAGIC, dice.randbytes(66_000)],
    ]
    return dice.choice(shapes)()
