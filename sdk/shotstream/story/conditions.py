"""Conditions on the blackboard: ``threat > 0.5 and weather in ['fog', 'rain'] and not alarm``.

    any    = all ("or" all)*             value = number | 'text' | true | false | name
    all    = one ("and" one)*            list  = "[" value ("," value)* "]"
    one    = "not" one | "(" any ")" | value [("==" "!=" "<" "<=" ">" ">=") value | ["not"] "in" list]

Names and types are checked when a condition is read, so evaluating one cannot fail. There are no calls, no attributes
and no arithmetic; length and nesting are bounded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ScriptError
from .variables import MAX_NUMBER, Value, Variable, shorten

MAX_CHARS = 400
_MAX_DEPTH = 20
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

_Test = Callable[[Mapping[str, Value]], bool]


@dataclass(frozen=True)
class Condition:
    """A checked condition.

    Attributes:
        source: the text it was read from.
        names: variables that it reads.
        literals: the values that stand in it, for tools that look for cases.
    """

    source: str
    names: frozenset[str]
    literals: tuple[Value, ...]
    _test: _Test

    @classmethod
    def parse(cls, source: object, variables: Mapping[str, Variable]) -> Condition:
        """Read a condition over ``variables``.

        Raises:
            ScriptError: not of the grammar above, an unknown name, or types that cannot be compared.
        """
        if not isinstance(source, str):
            raise ScriptError(f'the condition is {shorten(source)}; expected text such as "threat > 0.5"; quote it')
        if len(source) > MAX_CHARS:
            raise ScriptError(f"the condition has {len(source)} characters; at most {MAX_CHARS} are read; split it")
        reader = _Reader(source, variables)
        test = reader.read()
        return cls(source, frozenset(reader.names), tuple(reader.literals), test)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether it is true; ``values`` holds every variable that it names."""
        return self._test(values)


@dataclass(frozen=True)
class _Operand:
    """One value of a comparison: how to get it, its type ("number", "text", "bool"), and where it came from."""

    get: Callable[[Mapping[str, Value]], Value]
    type: str
    shown: str
    literal: Value | None = None
    choices: tuple[str, ...] = ()


class _Reader:
    """Recursive descent; builds closures."""

    def __init__(self, source: str, variables: Mapping[str, Variable]) -> None:
        self.source, self.variables = source, variables
        self.names: set[str] = set()
        self.literals: list[Value] = []
        self.tokens = self._split()
        self.at = self.depth = 0

    def _split(self) -> list[tuple[str, str]]:
        tokens, at, end = [], 0, len(self.source.rstrip())
        while at < end:
            match = _TOKEN.match(self.source, at)
            if match is None:
                raise self._wrong(f"{shorten(self.source[at:].strip()[:12])} cannot be read")
            tokens.append((match.lastgroup or "", match.group(match.lastgroup or 0)))
            at = match.end()
        return tokens

    def _wrong(self, problem: str) -> ScriptError:
        return ScriptError(
            f"the condition {shorten(self.source)}: {problem}; expected comparisons joined by and, or, not, such as "
            "\"threat > 0.5 and weather in ['fog', 'rain']\"; correct it"
        )

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _take(self, wanted: str) -> bool:
        # A quoted 'and' keeps its quotes, so it is never mistaken for the word.
        found = self._peek() == wanted
        self.at += found
        return found

    def read(self) -> _Test:
        test = self._any()
        if self.at < len(self.tokens):
            raise self._wrong(f"{shorten(self._peek())} is left over")
        return test

    def _any(self) -> _Test:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._wrong(f"nested deeper than {_MAX_DEPTH}")
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        self.depth -= 1
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def _all(self) -> _Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def _one(self) -> _Test:
        negations = 0
        while self._take("not"):
            negations += 1
        if self._take("("):
            test = self._any()
            if not self._take(")"):
                raise self._wrong("a parenthesis is not closed")
        else:
            test = self._comparison()
        return test if negations % 2 == 0 else lambda values: not test(values)

    def _comparison(self) -> _Test:
        left = self._value()
        get = left.get
        sign = self._peek()
        if sign in _COMPARE:
            self.at += 1
            right = self._value()
            self._check_pair(left, right, sign)
            compare, other = _COMPARE[sign], right.get
            return lambda values: compare(get(values), other(values))
        negated = self._take("not")
        if self._take("in"):
            among = self._list(left)
            return lambda values: (get(values) in among) != negated
        if negated:
            raise self._wrong("'not' after a value needs 'in'")
        if left.type != "bool":
            raise self._wrong(f"{left.shown} is a {left.type} and stands alone; compare it with something")
        return lambda values: bool(get(values))

    def _list(self, left: _Operand) -> tuple[Value, ...]:
        if not self._take("["):
            raise self._wrong("'in' needs a list in brackets")
        items: list[Value] = []
        while True:
            item = self._value()
            if item.literal is None:
                raise self._wrong(f"{item.shown} is a variable; a list holds values")
            self._check_pair(left, item, "==")
            items.append(item.literal)
            if self._take("]"):
                return tuple(items)
            if not self._take(","):
                raise self._wrong("a list needs ',' between values and ']' at its end")

    def _check_pair(self, left: _Operand, right: _Operand, sign: str) -> None:
        if left.type != right.type:
            raise self._wrong(f"{left.shown} is a {left.type} and {right.shown} a {right.type}")
        if sign not in ("==", "!=") and left.type != "number":
            raise self._wrong(f"{sign} compares numbers, and {left.shown} is a {left.type}")
        for one, other in ((left, right), (right, left)):
            if one.choices and other.literal is not None and other.literal not in one.choices:
                raise self._wrong(f"{one.shown} is never {other.shown}; it is one of {', '.join(one.choices)}")

    def _value(self) -> _Operand:
        if self.at >= len(self.tokens):
            raise self._wrong("it ends where a value should stand")
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "name" and text not in ("and", "or", "not", "in", "true", "false"):
            return self._variable(text)
        literal: Value
        if kind == "number":
            literal = float(text)
            if abs(literal) > MAX_NUMBER:
                raise self._wrong(f"the number {shorten(text)} is beyond {MAX_NUMBER:g}")
        elif kind == "text":
            literal = text[1:-1]
        elif text in ("true", "false"):
            literal = text == "true"
        else:
            raise self._wrong(f"{shorten(text)} stands where a value should")
        self.literals.append(literal)
        types = {bool: "bool", float: "number", str: "text"}
        return _Operand(lambda values: literal, types[type(literal)], shorten(text), literal)

    def _variable(self, name: str) -> _Operand:
        variable = self.variables.get(name)
        if variable is None:
            known = ", ".join(self.variables) or "none"
            raise self._wrong(f"the variable {shorten(name)} is unknown, declared are {known}")
        self.names.add(name)
        kind = "text" if variable.kind == "choice" else variable.kind
        return _Operand(lambda values: values[name], kind, name, choices=variable.values)
