"""Text that becomes SQL: identifiers and literals, quoted once and in one place."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

__all__ = ["SqlValue", "identifier", "literal", "path_literal", "qualified", "value"]

SqlValue = str | int | bool | datetime | None


def identifier(name: str) -> str:
    """Returns a name as a quoted DuckDB identifier: `a"b` becomes `"a""b"`."""
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str) -> str:
    """Returns a dotted, quoted name; empty parts are left out."""
    return ".".join(identifier(part) for part in parts if part)


def literal(text: str) -> str:
    """Returns a text as a DuckDB string literal: `a'b` becomes `'a''b'`."""
    return "'" + text.replace("'", "''") + "'"


def path_literal(path: Path) -> str:
    """Returns a path as a literal for DuckDB's readers, with `*`, `?` and `[` escaped: these would form a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def value(item: SqlValue) -> str:
    """Returns a value as SQL, a naive time as a TIMESTAMP.

    Statements contain their values: to bind the first parameter, DuckDB imports pandas and pyarrow if they are
    installed, which takes longer than the load of a small file.
    """
    if isinstance(item, str):
        return literal(item) if "\0" not in item else f"({literal(item)})".replace("\0", "' || chr(0) || '")
    if isinstance(item, datetime):
        return f"TIMESTAMP {literal(item.isoformat(sep=' '))}"
    return "NULL" if item is None else str(item)
