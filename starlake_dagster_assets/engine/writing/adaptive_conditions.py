"""Boolean conditions of adaptive strategies (`writeStrategy.types`), parsed instead of run as code.

The grammar is the part of Scala that conditions use: `||`, `&&`, `!`, comparisons, arithmetic, texts, numbers,
`true`, `false`, names, `group(1)`, `group("name")`, and the methods `.toInt`, `.equals(x)`, `.startsWith(x)`,
`.endsWith(x)`, `.contains(x)`, `.toLowerCase`, `.toUpperCase`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlake_dagster_assets.errors import EngineError, closest_match

__all__ = ["evaluate_condition"]

Value = Any
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)[LlDd]?|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<symbol>\|\||&&|==|!=|<=|>=|[-+*/%<>!().,]))"
)
_COMPARE: Mapping[str, Callable[[Value, Value], Value]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _same_letters(left: Value, right: Value) -> bool:
    return str(left).lower() == str(right).lower()


def _starts(text: Value, part: Value) -> bool:
    return str(text).startswith(str(part))


def _ends(text: Value, part: Value) -> bool:
    return str(text).endswith(str(part))


def _contains(text: Value, part: Value) -> bool:
    return str(part) in str(text)


def _lower(text: Value) -> str:
    return str(text).lower()


def _upper(text: Value) -> str:
    return str(text).upper()


_METHODS: Mapping[str, tuple[int, Callable[..., Value]]] = {
    "toInt": (0, int),
    "toLong": (0, int),
    "toDouble": (0, float),
    "equals": (1, operator.eq),
    "equalsIgnoreCase": (1, _same_letters),
    "startsWith": (1, _starts),
    "endsWith": (1, _ends),
    "contains": (1, _contains),
    "toLowerCase": (0, _lower),
    "toUpperCase": (0, _upper),
}


def evaluate_condition(text: str, names: Mapping[str, Value], group: Callable[[int | str], str]) -> bool:
    """Evaluates a condition.

    Args:
        text: The condition.
        names: Values of the plain names, such as `fileSize` and `dayOfWeek`.
        group: The capture group of the table's pattern in the file's name, by number or name.

    Raises:
        EngineError: The condition is invalid, or is not a boolean.
    """
    parser = _Parser(text, names, group)
    try:
        value = parser.parse()
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise EngineError(f"condition {text!r}: {error}") from error
    if not isinstance(value, bool):
        raise EngineError(f"condition {text!r} gives {value!r}, which is neither true nor false")
    return value


class _Parser:
    """Recursive-descent parser that evaluates a condition; both operands are parsed even if one decides the result."""

    def __init__(self, text: str, names: Mapping[str, Value], group: Callable[[int | str], str]) -> None:
        self._text = text
        self._names = names
        self._group = group
        self._tokens = self._split()
        self._at = 0

    def parse(self) -> Value:
        value = self._either()
        if self._at < len(self._tokens):
            raise self._wrong(f"unexpected {self._tokens[self._at][1]!r}")
        return value

    def _split(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._wrong(f"cannot read {self._text[at:end]!r}")
            tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        return tokens

    def _wrong(self, what: str) -> EngineError:
        return EngineError(f"condition {self._text!r} of writeStrategy.types: {what}")

    def _take(self, *symbols: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at] in {("symbol", symbol) for symbol in symbols}:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _expect(self, symbol: str) -> None:
        if self._take(symbol) is None:
            raise self._wrong(f"expected {symbol!r}")

    def _either(self) -> Value:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = self._boolean(value) or self._boolean(other)
        return value

    def _both(self) -> Value:
        value = self._compared()
        while self._take("&&"):
            other = self._compared()
            value = self._boolean(value) and self._boolean(other)
        return value

    def _compared(self) -> Value:
        value = self._sum()
        while symbol := self._take(*_COMPARE):
            value = _COMPARE[symbol](value, self._sum())
        return value

    def _sum(self) -> Value:
        value = self._product()
        while symbol := self._take("+", "-"):
            other = self._product()
            value = value + other if symbol == "+" else value - other
        return value

    def _product(self) -> Value:
        value = self._unary()
        while symbol := self._take("*", "/", "%"):
            other = self._unary()
            if symbol == "*":
                value = value * other
            elif symbol == "%":
                value = value % other
            else:
                whole = isinstance(value, int) and isinstance(other, int)
                value = int(value / other) if whole else value / other
        return value

    def _unary(self) -> Value:
        if self._take("!"):
            return not self._boolean(self._unary())
        if self._take("-"):
            return -self._unary()
        value = self._primary()
        while self._take("."):
            value = self._method(value)
        return value

    def _primary(self) -> Value:
        if self._take("("):
            value = self._either()
            self._expect(")")
            return value
        kind, text = self._next()
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind != "name":
            raise self._wrong(f"unexpected {text!r}")
        return self._named(text)

    def _named(self, name: str) -> Value:
        if name in {"true", "false"}:
            return name == "true"
        if name == "group":
            self._expect("(")
            value = self._either()
            self._expect(")")
            return self._group(value)
        if name in self._names:
            return self._names[name]
        guess = closest_match(name, [*self._names, "group"])
        raise self._wrong(f"unknown name {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))

    def _method(self, value: Value) -> Value:
        _, name = self._next()
        if name not in _METHODS:
            raise self._wrong(f"unknown method .{name}; known: {', '.join(sorted(_METHODS))}")
        count, function = _METHODS[name]
        arguments: list[Value] = []
        if self._take("("):
            if count:
                arguments.append(self._either())
            self._expect(")")
        if len(arguments) != count:
            raise self._wrong(f".{name} takes {count} argument(s)")
        return function(value, *arguments)

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _boolean(self, value: Value) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(f"{value!r} is neither true nor false")
        return value
