"""YAML as plain data with line numbers. Only what a story needs: no tags, no aliases, no repeated keys, bounded
size."""

from __future__ import annotations

from typing import Any

import yaml

from ..errors import ScriptError
from .located import Key, Located

_MAX_NODES = 20_000
_MAX_DEPTH = 16


class _Loader(yaml.SafeLoader):
    """SafeLoader that counts: an alias can make a small file grow without end, and a story has no use for one."""

    num_nodes = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(event, f"the alias *{event.anchor} is not accepted")
        if event.tag is not None:
            raise _refusal(event, f"the tag {event.tag} is not accepted")
        self.num_nodes += 1
        self.depth += 1
        if self.num_nodes > _MAX_NODES or self.depth > _MAX_DEPTH:
            limit = f"{_MAX_DEPTH} levels" if self.depth > _MAX_DEPTH else f"{_MAX_NODES} values"
            raise _refusal(event, f"more than {limit}")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refusal(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # the stubs name two classes of marks for one thing
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def read_yaml(text: str, name: str) -> Located:
    """Parse one document.

    Raises:
        ScriptError: not YAML, or not of the accepted subset; the message gives ``name`` and line.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise ScriptError(f"{name}: the file is empty; expected a story with 'shots'; write at least one shot")
        lines: dict[tuple[Key, ...], int] = {}
        data = _plain(loader, root, (), lines, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ScriptError(
            f"{name}{line}: not a story in YAML ({error.problem}); correct the line; texts with ': ' need quotes"
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ScriptError(f"{name}: not a story in YAML ({str(error).splitlines()[0]}); correct the file") from error
    return Located(data, lines)


def _plain(
    loader: _Loader, node: yaml.Node, keys: tuple[Key, ...], lines: dict[tuple[Key, ...], int], name: str
) -> Any:
    lines[keys] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ScriptError(
                    f"{name}:{line}: a key must be a word; correct the line; texts with braces need quotes"
                )
            key = key_node.value
            if key in mapping:
                raise ScriptError(f"{name}:{line}: the key {key!r} stands twice; expected each key once; remove one")
            mapping[key] = _plain(loader, value_node, (*keys, key), lines, name)
            here = (*keys, key)
            lines[here] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, child, (*keys, index), lines, name) for index, child in enumerate(node.value)]
    try:
        value = loader.construct_object(node)
    except ValueError as error:  # looks like a date or a number, and is none that exists or can be held
        raise ScriptError(
            f"{name}:{node.start_mark.line + 1}: {node.value[:40]!r} is no valid date or number; "
            "correct it, or put it in quotes if it is text"
        ) from error
    # Dates and byte strings are YAML's idea, not the writer's: hand them on as the text that stands there.
    return value if isinstance(value, (str, int, float, bool, type(None))) else node.value
