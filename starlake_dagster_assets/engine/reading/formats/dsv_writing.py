"""Writes fields as a record of delimited text again, in the dialect of the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.formats.dsv_records import DsvDialect

__all__ = ["header_text", "record_sql"]


def record_sql(columns: Sequence[str], dialect: DsvDialect) -> str:
    """Returns SQL of the text of a record.

    Args:
        columns: SQL of its fields, which are texts; NULL is written as an empty field.
        dialect: Delimiters of the fields.
    """
    if not columns:
        return "NULL"
    fields = [f"coalesce({_field(column, dialect)}, '')" for column in columns]
    return f"concat_ws({literal(dialect.separator)}, {', '.join(fields)})"


def header_text(names: Sequence[str], dialect: DsvDialect) -> str:
    """Returns the header line in the dialect of a table, without line end."""
    special, mark = re.compile(_special(dialect)), dialect.quote
    return dialect.separator.join(
        f"{mark}{name.replace(mark, (dialect.escape or mark) + mark)}{mark}" if mark and special.search(name) else name
        for name in names
    )


def _field(column: str, dialect: DsvDialect) -> str:
    quote, escape = dialect.quote, dialect.escape
    if not quote:
        return column
    text = column
    if escape and escape != quote:
        text = f"replace({text}, {literal(escape)}, {literal(escape + escape)})"
    text = f"replace({text}, {literal(quote)}, {literal((escape or quote) + quote)})"
    return (
        f"CASE WHEN regexp_matches({column}, {literal(_special(dialect))}) "
        f"THEN {literal(quote)} || {text} || {literal(quote)} ELSE {column} END"
    )


def _special(dialect: DsvDialect) -> str:
    """Returns a pattern of texts that must be quoted."""
    signs = [dialect.separator[0], dialect.quote, dialect.escape, "\n", "\r"]
    return "|".join(["[" + "".join(re.escape(sign) for sign in signs if sign) + "]", r"^\s", r"\s$"])
