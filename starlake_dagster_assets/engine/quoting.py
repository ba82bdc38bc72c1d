"""Text that becomes SQL: identifiers and literals, quoted once and in one place."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

__all__ = ["Value", "identifier", "literal", "path_literal", "qualified", "value"]

Value = str | int | bool | datetime | None


def identifier(name: str) -> str:
    """A name as a quoted DuckDB identifier: `a"b` becomes `"a""b"`."""
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str) -> str:
    """A dotted, quoted name; empty parts are left out."""
    return ".".join(identifier(part) for part in parts if part)


def literal(text: str) -> str:
    """A text as a DuckDB string literal: `a'b` becomes `'a''b'`."""
    return "'" + text.replace("'", "''") + "'"


def path_literal(path: Path) -> str:
    """A path as a literal for DuckDB's readers, which take `*`, `?` and `[` in it for a pattern of several files."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def value(given: Value) -> str:
    """A value as SQL, a naive time as a TIMESTAMP.

    Statements carry their values: the first parameter that DuckDB binds makes it import pandas and pyarrow where they
    are installed, which takes longer than the load of a small file.
    """
    if isinstance(given, str):
        return literal(given) if "\0" not in given else f"({literal(given)})".replace("\0", "' || chr(0) || '")
    if isinstance(given, datetime):
        return f"TIMESTAMP {literal(given.isoformat(sep=' '))}"
    return "NULL" if given is None else str(given)
