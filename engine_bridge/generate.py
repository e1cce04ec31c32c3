"""Write what other languages know of the wire protocol: ``python -m engine_bridge.generate``.

``sdk/shotstream/bridge/messages.py`` is the only place where the protocol is written down. From it come the constants
of the C, C# and GDScript clients and the page ``docs/protocol.md``; a test compares the files with what this writes.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as schema

from shotstream.bridge import messages as m
from shotstream.bridge.faults import Code
from shotstream.bridge.pixels import Origin, PixelFormat
from shotstream.bridge.wire import MAGIC

ROOT = Path(__file__).resolve().parent.parent
C_HEADER = "engine_bridge/include/shotstream/protocol.h"
C_SHARP = "engine_bridge/unity/com.shotstream.bridge/Runtime/Core/Protocol.cs"
GDSCRIPT = "engine_bridge/godot/addons/shotstream/protocol.gd"
PAGE = "docs/protocol.md"
SAID = "Generated from sdk/shotstream/bridge/messages.py by: python -m engine_bridge.generate"

DIRECTIONS = (
    ("Client to server on `ctl`", m.ClientMessage),
    ("Server to client on `ctl`", m.ServerMessage),
    ("Client to server on `frm`", m.Credit),
    ("Server to client on `frm`", m.FrameHeader),
)


# --- what there is to know ---------------------------------------------------------------------------------------


def groups() -> list[tuple[str, str, list[tuple[str, int]]]]:
    """(prefix, what it is, its names with their numbers) of everything that is a number."""

    def numbered(kind: Any, start: int = 0) -> list[tuple[str, int]]:
        return [(name.upper(), start + number) for number, name in enumerate(typing.get_args(kind))]

    def members(kind: type[Enum]) -> list[tuple[str, int]]:
        return [(member.name, int(member.value)) for member in kind]

    return [
        ("", "Versions of the protocol, and limits in bytes or frames", [
            ("PROTO_MIN", m.PROTO_MIN),
            ("PROTO_MAX", m.PROTO_MAX),
            ("MAX_CTL_BYTES", m.MAX_CTL_BYTES),
            ("MAX_CREDIT_BYTES", m.MAX_CREDIT_BYTES),
            ("MAX_HEADER_BYTES", m.MAX_HEADER_BYTES),
            ("MAX_WINDOW", m.MAX_WINDOW),
            ("MAX_CHUNK_BYTES", m.MAX_CHUNK_BYTES),
            ("MAX_SAVE_BYTES", m.MAX_SAVE_BYTES),
        ]),
        ("E", "Codes of `error` and `reject`", members(Code)),
        ("FLAG", "Bits of a frame's `fl`", members(m.Flag)),
        ("EVENTS", "Bits of `events` in `hello`", [*members(m.EventMask), ("ALL", int(m.EventMask.ALL))]),
        ("ROLE", "Roles, from the least; words on the wire", numbered(m.Role)),
        ("WHEN", "When a cut happens; words on the wire", numbered(m.When)),
        ("QUERY", "What a query asks for; words on the wire", numbered(m.Subject)),
        ("EVENT", "What an event tells; words on the wire. Numbers below 16 are left to the clients",
         numbered(m.EventKind, 16)),
        ("LOCATION", "Where pixels are; words on the wire", numbered(m.Location)),
        ("MODE", "Delivery; words on the wire", numbered(m.Mode)),
        ("STATE", "States of a command; words on the wire", numbered(m.CommandState)),
        ("FORMAT", "Pixel formats; words on the wire, numbers in shared memory",
         [(one.value.upper(), one.number) for one in PixelFormat]),
        ("ORIGIN", "First row in memory; words on the wire, numbers in shared memory",
         [(one.value.upper(), one.number) for one in Origin]),
    ]  # fmt: skip


def tags() -> list[str]:
    """The word in ``t`` of every message."""
    return [kind.__struct_config__.tag for _, union in DIRECTIONS for kind in _types_of(union)]


def _types_of(union: Any) -> tuple[type[m.Message], ...]:
    return typing.get_args(union) or (union,)


# --- C, C#, GDScript ---------------------------------------------------------------------------------------------


def c_header() -> str:
    """The constants as C99."""
    lines = [f"/* {SAID} */", "#ifndef SHOTSTREAM_PROTOCOL_H", "#define SHOTSTREAM_PROTOCOL_H", ""]
    lines += [f'#define SHS_MAGIC "{MAGIC.decode()}"']
    for prefix, about, values in groups():
        lines += ["", f"/* {about.replace('`', '')}. */"]
        for name, number in values:
            shown = (
                f"({number})"
                if number < 0
                else str(number)
                if prefix not in ("FLAG", "EVENTS", "FORMAT", "ORIGIN")
                else f"{number}u"
            )
            lines.append(f"#define {'_'.join(filter(None, ('SHS', prefix, name)))} {shown}")
        if "words on the wire" in about:
            words = ", ".join(f'"{name.lower()}"' for name, _ in values)
            lines.append(f"#define SHS_{prefix}_WORDS {words}")
    lines += ["", "/* The word in t of every message. */"]
    lines += [f'#define SHS_T_{tag.upper()} "{tag}"' for tag in tags()]
    return "\n".join([*lines, "", "#endif", ""])


def c_sharp() -> str:
    """The constants as C# 7."""
    lines = [f"// {SAID}", "namespace Shotstream", "{"]
    lines += [
        "    /// <summary>Limits and words of the wire protocol.</summary>",
        "    public static class Protocol",
        "    {",
    ]
    lines += [f'        public const string Magic = "{MAGIC.decode()}";']
    lines += [f"        public const int {_pascal(name)} = {number};" for name, number in groups()[0][2]]
    lines += ["", "        /// <summary>The word in t of every message.</summary>"]
    lines += ["        public static readonly string[] Tags =", "        {"]
    lines += [f'            "{tag}",' for tag in tags()]
    lines += ["        };", "    }"]
    names = {"E": "ErrorCode", "FLAG": "FrameFlags", "EVENTS": "EventMask", "ROLE": "Role", "WHEN": "When",
             "QUERY": "Subject", "EVENT": "EventKind", "LOCATION": "Location", "MODE": "Delivery",
             "STATE": "CommandState", "FORMAT": "PixelFormat", "ORIGIN": "Origin"}  # fmt: skip
    for prefix, about, values in groups()[1:]:
        lines += ["", f"    /// <summary>{about.replace('`', '')}.</summary>"]
        if prefix in ("FLAG", "EVENTS"):
            lines += ["    [System.Flags]"]
        lines += [f"    public enum {names[prefix]}", "    {"]
        lines += [f"        {_pascal(name)} = {number}," for name, number in values]
        lines += ["    }"]
    return "\n".join([*lines, "}", ""])


def gdscript() -> str:
    """The constants as GDScript of Godot 3 and 4."""
    lines = [f"# {SAID}", "extends Object", ""]
    lines += [f'const MAGIC = "{MAGIC.decode()}"']
    for prefix, about, values in groups():
        lines += ["", f"# {about.replace('`', '')}."]
        lines += [f"const {'_'.join(filter(None, (prefix, name)))} = {number}" for name, number in values]
        if "words on the wire" in about:
            words = ", ".join(f'"{name.lower()}"' for name, _ in values)
            lines.append(f"const {prefix}_WORDS = [{words}]")
    words = ", ".join(f'"{tag}"' for tag in tags())
    lines += ["", "# The word in t of every message.", f"const TAGS = [{words}]"]
    lines += ["", "# What the server says: fields with their defaults, and for those in REQUIRED a value of the type."]
    lines += ["# null stands for more than one type."]
    said = {
        kind.__struct_config__.tag: schema.type_info(kind).fields  # type: ignore[attr-defined]
        for union in (m.ServerMessage, m.FrameHeader)
        for kind in _types_of(union)
    }
    lines += ["const SERVER_FIELDS = {"]
    for tag, fields in said.items():
        shown = ", ".join(f'"{field.encode_name}": {_sample(field)}' for field in fields)
        lines.append(f'\t"{tag}": {{{shown}}},')
    lines += ["}", "const SERVER_REQUIRED = {"]
    for tag, fields in said.items():
        needed = ", ".join(f'"{field.encode_name}"' for field in fields if field.required)
        lines.append(f'\t"{tag}": [{needed}],')
    return "\n".join([*lines, "}", ""])


def _sample(field: schema.Field) -> str:
    """The default of a field as GDScript, or a value of its type."""
    if not field.required:
        return _plain(field)
    samples = {schema.IntType: "0", schema.FloatType: "0.0", schema.StrType: '""', schema.LiteralType: '""',
               schema.BoolType: "false", schema.StructType: "{}", schema.DictType: "{}", schema.VarTupleType: "[]",
               schema.TupleType: "[]"}  # fmt: skip
    return samples.get(type(field.type), "null")


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


# --- the page ----------------------------------------------------------------------------------------------------


def page() -> str:
    """Every message with its fields, as Markdown."""
    lines = [
        "# Messages of the bridge",
        "",
        f"<!-- {SAID} -->",
        "",
        "`docs/bridge.md` tells who says what when; this page lists every field. A message is the part "
        f"`{MAGIC.decode()}`, a msgpack map whose key `t` names its type, and for an inline frame one part of pixels. "
        "A field with a default may be left out. Unknown fields are passed over, an unknown type is refused.",
    ]
    helpers: dict[str, type] = {}
    for title, union in DIRECTIONS:
        lines += ["", f"## {title}"]
        for kind in _types_of(union):
            lines += _section(kind, f"`{kind.__struct_config__.tag}`", helpers)
    lines += ["", "## Maps inside messages"]
    for kind in list(helpers.values()):
        lines += _section(kind, kind.__name__, helpers)
    lines += ["", "## Numbers"]
    for prefix, about, values in groups():
        lines += ["", f"{about}:", ""]
        lines += [f"* `{'_'.join(filter(None, (prefix, name)))}` {number}" for name, number in values]
    return "\n".join([*lines, ""])


def _section(kind: type, title: str, helpers: dict[str, type]) -> list[str]:
    text = re.sub("``", "`", inspect.cleandoc(kind.__doc__ or ""))
    described = schema.type_info(kind)
    assert isinstance(described, schema.StructType)
    lines = ["", f"### {title}", "", text, ""]
    if described.fields:
        lines += ["| field | type | default |", "| --- | --- | --- |"]
    for field in described.fields:
        default = "" if field.required else f"`{_plain(field)}`"
        lines.append(f"| `{field.encode_name}` | {_shown(field.type, helpers)} | {default} |")
    return lines


def _plain(field: schema.Field) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.encode(value).decode()


def _shown(kind: schema.Type, helpers: dict[str, type]) -> str:
    """A type in words, with its range."""
    bounds = [
        f"{sign} {value}"
        for sign, name in ((">=", "ge"), ("<=", "le"), ("at least", "min_length"), ("at most", "max_length"))
        if (value := getattr(kind, name, None)) is not None
    ]
    end = f" ({', '.join(bounds)})" if bounds else ""
    if isinstance(kind, schema.StructType):
        helpers.setdefault(kind.cls.__name__, kind.cls)
        return f"map {kind.cls.__name__}"
    if isinstance(kind, schema.LiteralType):
        return " or ".join(f'`"{value}"`' for value in kind.values)
    if isinstance(kind, schema.UnionType):
        return " or ".join(_shown(one, helpers) for one in kind.types)
    if isinstance(kind, schema.DictType):
        return f"map of {_shown(kind.key_type, helpers)} to {_shown(kind.value_type, helpers)}{end}"
    if isinstance(kind, schema.VarTupleType):
        return f"array of {_shown(kind.item_type, helpers)}{end}"
    if isinstance(kind, schema.TupleType):
        return "array of " + ", ".join(_shown(one, helpers) for one in kind.item_types)
    if isinstance(kind, schema.StrType) and kind.pattern:
        return f"string like `{kind.pattern}`"
    names = {schema.IntType: "integer", schema.FloatType: "float", schema.StrType: "string", schema.BoolType: "bool",
             schema.NoneType: "nil", schema.BytesType: "bytes"}  # fmt: skip
    return names[type(kind)] + end


# --- all of it ---------------------------------------------------------------------------------------------------


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file and its text."""
    for path, make in ((C_HEADER, c_header), (C_SHARP, c_sharp), (GDSCRIPT, gdscript), (PAGE, page)):
        yield ROOT / path, make()


def main() -> None:
    """Write them."""
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
