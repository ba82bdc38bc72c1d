"""Text that becomes SQL: identifiers and literals, quoted once and in one place."""

from __future__ import annotations

__all__ = ["identifier", "literal", "qualified"]


def identifier(name: str) -> str:
    """A name as a quoted DuckDB identifier: `a"b` becomes `"a""b"`."""
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str) -> str:
    """A dotted, quoted name; empty parts are left out."""
    return ".".join(identifier(part) for part in parts if part)


def literal(text: str) -> str:
    """A text as a DuckDB string literal: `a'b` becomes `'a''b'`."""
    return "'" + text.replace("'", "''") + "'"
