"""Expressions such as `a & (b | c)`: the upstreams that must have updates, by node id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Condition, Upstream
from starlake_dagster_assets.errors import StarlakeError, closest_match

__all__ = ["ExpressionError", "find_condition_node", "named_nodes", "parse_expression"]

_TOKEN = re.compile(r"""\s*(?:(?P<sign>[&|()])|"(?P<quoted>[^"]*)"|'(?P<single>[^']*)'|(?P<name>[^\s&|()"']+))""")
_DEEPEST = 100


class ExpressionError(StarlakeError):
    """Error for an expression that cannot be parsed.

    Args:
        text: The expression.
        position: 0-based position of the problem.
        message: The problem.
    """

    def __init__(self, text: str, position: int, message: str) -> None:
        self.position = position
        shown = re.sub(r"\s", " ", text)
        super().__init__(f"{message} (position {position + 1})\n    {shown}\n    {' ' * position}^")


def parse_expression(text: str, names: Mapping[str, str]) -> Condition:
    """Parses an expression into a condition; `&` binds closer than `|`, as in Python.

    Args:
        text: Names joined by `&`, `|` and parentheses; a name with other characters stands between quotes.
        names: Node ids by all names of each node, in lower case (`named_nodes`).

    Returns:
        The condition; parts of the same kind are joined.

    Raises:
        ExpressionError: With a mark below the problem, and the closest name for an unknown one. An unknown name with
            `/` is no error: it is the key of an asset of another code location.

    Examples:
        >>> parse_expression("a & (b | c)", {"a": "s.a", "b": "s.b", "c": "s.c"})
        AllOf(parts=(Upstream(node='s.a'), AnyOf(parts=(Upstream(node='s.b'), Upstream(node='s.c')))))
    """
    parser = _Parser(text, _tokens(text), names)
    found = parser.either(0)
    left = parser.peek()
    if left.text is not None:
        raise ExpressionError(text, left.position, f"expected `&` or `|`, found `{left.text}`")
    return found


def named_nodes(ids: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns node ids by lower-case name, without names that two nodes share.

    Args:
        ids: The other names of each node, by its id.
    """
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for node, others in ids.items():
        for name in {one.lower() for one in others} - {node.lower()}:
            if found.setdefault(name, node) != node:
                doubled.add(name)
    kept = {name: node for name, node in found.items() if name not in doubled}
    return kept | {node.lower(): node for node in ids}


def find_condition_node(name: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Returns the node id of a name and "", or "" and a message that suggests the closest name.

    Args:
        name: In any case, with `.` or `/`. One with `/` that is not known is the key of an asset of another location.
        names: Result of `named_nodes`.
    """
    known = names.get(name.lower()) or names.get(name.lower().replace("/", "."))
    if known is not None or "/" in name.strip("/"):
        return known or name, ""
    near = closest_match(name, names)
    return "", f"no asset `{name}`. " + (f"Did you mean `{near}`?" if near else "Name it as schema.table.")


@dataclass(frozen=True)
class _Token:
    """Token of an expression: a sign, a name, or the end, which has no text."""

    text: str | None
    position: int
    is_sign: bool = False


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise ExpressionError(text, start, "this quote is not closed")
        kind = match.lastgroup or "name"
        found.append(_Token(match[kind], match.start(kind), kind == "sign"))
        position = match.end()
    found.append(_Token(None, len(text.rstrip())))
    return found


class _Parser:
    def __init__(self, text: str, tokens: Sequence[_Token], names: Mapping[str, str]) -> None:
        self._text, self._tokens, self._names = text, tokens, names
        self._next = 0

    def peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, sign: str) -> bool:
        token = self.peek()
        if token.is_sign and token.text == sign:
            self._next += 1
            return True
        return False

    def either(self, depth: int) -> Condition:
        """Parses parts that are joined by `|`."""
        parts = [self._both(depth)]
        while self._take("|"):
            parts.append(self._both(depth))
        return joined(AnyOf, parts)

    def _both(self, depth: int) -> Condition:
        """Parses parts that are joined by `&`."""
        parts = [self._one(depth)]
        while self._take("&"):
            parts.append(self._one(depth))
        return joined(AllOf, parts)

    def _one(self, depth: int) -> Condition:
        """Parses a name or a parenthesized expression."""
        token = self.peek()
        if depth > _DEEPEST:
            raise ExpressionError(self._text, token.position, f"more than {_DEEPEST} parentheses within each other")
        if self._take("("):
            inner = self.either(depth + 1)
            if not self._take(")"):
                raise ExpressionError(self._text, token.position, "this parenthesis is not closed")
            return inner
        if token.text is None or token.is_sign:
            found = f"`{token.text}`" if token.text else "the end"
            raise ExpressionError(self._text, token.position, f"expected a name or `(`, found {found}")
        self._next += 1
        return Upstream(self._node(token.text, token.position))

    def _node(self, name: str, position: int) -> str:
        node, problem = find_condition_node(name, self._names)
        if problem:
            raise ExpressionError(self._text, position, problem)
        return node


def joined(kind: type[AllOf] | type[AnyOf], parts: Sequence[Condition]) -> Condition:
    """Returns parts as one condition, without duplicates; nested parts of the same kind are merged."""
    flat: dict[Condition, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, kind) else [part]))
    once = tuple(flat)
    return once[0] if len(once) == 1 else kind(once)
