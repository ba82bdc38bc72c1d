"""Python source in the layout of `ruff format`: `python_literal` renders values, `jinja` renders templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

__all__ = ["Call", "Raw", "call", "jinja", "jinja_text", "python_literal", "text_block"]

_WIDTH = 88
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_TEMPLATE = re.compile(r"\{(?=[{%#]|\Z)")
_FILE = re.compile(r"\.(sh|bash|json|ya?ml|sql|md)$", re.I)
_PLAIN = frozenset(" /._-:@,=")


class Raw(str):
    """Python expression that is rendered unchanged."""

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes:
        name: The function.
        arguments: Positional arguments.
        named: Arguments by name.
    """

    name: str
    arguments: Sequence[Any] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])


def jinja(text: str) -> str:
    """Returns an Airflow template that renders to a text, and that no operator mistakes for the name of a file."""
    escaped = _TEMPLATE.sub("{{ '{' }}", text)
    return escaped + "{{ '' }}" if _FILE.search(escaped) else escaped


def jinja_text(text: str) -> str:
    """Returns a text as a literal inside a Jinja expression; characters that could end it are escaped."""
    plain = all(char.isascii() and (char.isalnum() or char in _PLAIN) for char in text)
    return f"'{text}'" if plain else "'" + "".join(f"\\U{ord(char):08x}" for char in text) + "'"


def python_literal(value: Any, indent: int = 0, used: int = 0) -> str:
    """Returns a value as Python source.

    Args:
        value: Texts, numbers, None, durations, sequences, mappings and `Raw`.
        indent: Indentation of the lines after the first one, in columns.
        used: Columns of the first line that other text takes, before and after the value.
    """
    if isinstance(value, Raw):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Call):
        items = [*(("", one) for one in value.arguments), *((f"{name}=", one) for name, one in value.named.items())]
        return _wrapped(f"{value.name}(", ")", items, indent, used)
    if isinstance(value, Mapping):
        items = [(_key(key), one) for key, one in cast("Mapping[Any, Any]", value).items()]
        return _wrapped("{", "}", items, indent, used)
    if isinstance(value, (list, tuple)):
        return _wrapped("[", "]", [("", one) for one in cast("Sequence[Any]", value)], indent, used)
    return repr(value)


def call(name: str, arguments: Sequence[tuple[str, Any]], indent: int = 0, used: int = 0) -> str:
    """Returns a call as Python source; an argument without a name is positional."""
    return _wrapped(f"{name}(", ")", [(f"{key}=" if key else "", one) for key, one in arguments], indent, used)


def text_block(text: str) -> str:
    """Returns a text of several lines as a Python literal in triple quotes."""
    body = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    body = _CONTROL.sub(_escape, body)
    body = re.sub(r"[ \t]+(?=\n|$)", lambda match: "".join(f"\\x{ord(char):02x}" for char in match[0]), body)
    if body.endswith('"'):
        body = body[:-1] + '\\"'
    return f'"""{body}"""'


def _key(key: Any) -> str:
    """Returns the start of an item of a mapping; a `Raw` key is a mapping that is unpacked."""
    return f"**{key}" if isinstance(key, Raw) else f"{python_literal(key)}: "


def _wrapped(left: str, right: str, items: Sequence[tuple[str, Any]], indent: int, used: int) -> str:
    flat = left + ", ".join(before + python_literal(one, used=-(10**9)) for before, one in items) + right
    if not items or ("\n" not in flat and used + len(flat) <= _WIDTH):
        return flat
    pad = " " * (indent + 4)
    lines = [f"{pad}{before}{python_literal(one, indent + 4, indent + 5 + len(before))},\n" for before, one in items]
    return f"{left}\n{''.join(lines)}{' ' * indent}{right}"


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for name, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size and seconds % size == 0:
            return f"timedelta({name}={int(seconds // size)})"
    return f"timedelta(seconds={int(seconds) if seconds == int(seconds) else seconds!r})"


def _text(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    body = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n").replace("\t", "\\t")
    return quote + _CONTROL.sub(_escape, body) + quote


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
