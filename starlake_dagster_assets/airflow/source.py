"""Python text, laid out as `ruff format` would leave it; values come in through `literal` only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["Raw", "call", "literal", "text_block"]

_WIDTH = 88
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069\u2028\u2029]")


class Raw(str):
    """An expression that is already Python."""

    __slots__ = ()


def literal(value: Any, indent: int = 0, used: int = 0) -> str:
    """A value as Python source.

    Args:
        value: Texts, numbers, None, sequences, mappings and `Raw`.
        indent: Columns before the lines that follow the first.
        used: Columns that the first line has taken, and those after the value.
    """
    if isinstance(value, Raw):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        items = [(f"{literal(key)}: ", one) for key, one in cast("Mapping[Any, Any]", value).items()]
        return _wrapped("{", "}", items, indent, used)
    if isinstance(value, (list, tuple)):
        return _wrapped("[", "]", [("", one) for one in cast("Sequence[Any]", value)], indent, used)
    return repr(value)


def call(name: str, arguments: Sequence[tuple[str, Any]], indent: int = 0, used: int = 0) -> str:
    """A call; an argument without a name is positional."""
    return _wrapped(f"{name}(", ")", [(f"{key}=" if key else "", one) for key, one in arguments], indent, used)


def text_block(text: str) -> str:
    """A text of several lines between triple quotes."""
    body = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    body = _CONTROL.sub(_escape, body)
    if body.endswith('"'):
        body = body[:-1] + '\\"'
    return f'"""{body}"""'


def _wrapped(left: str, right: str, items: Sequence[tuple[str, Any]], indent: int, used: int) -> str:
    flat = left + ", ".join(before + literal(one, used=-(10**9)) for before, one in items) + right
    if not items or ("\n" not in flat and used + len(flat) <= _WIDTH):
        return flat
    pad = " " * (indent + 4)
    lines = [f"{pad}{before}{literal(one, indent + 4, indent + 5 + len(before))},\n" for before, one in items]
    return f"{left}\n{''.join(lines)}{' ' * indent}{right}"


def _text(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    body = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n").replace("\t", "\\t")
    return quote + _CONTROL.sub(_escape, body) + quote


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
