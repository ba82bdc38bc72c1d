"""Source of a format's reader: SQL that returns one row per record of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlake_dagster_assets.engine.reading.attribute_sql import Cell

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """The records of one file, or of one member of an archive.

    Attributes:
        sql: A table expression for a FROM clause.
        cells: Raw values by attribute name, as SQL over `sql`.
        reason: SQL of the reason why a record could not be read at all, NULL for the others.
        line: SQL of the record as a text, in the form of the file; for replay files.
        header: The header line of the file, if there is one.
        expected_rows: Number of rows that `sql` must return; another number means that DuckDB misreads the file.
        restored: SQL of a text of a JSON value → SQL of it with all digits of its numbers (see `json_numbers`).
    """

    sql: str
    cells: Mapping[str, Cell]
    reason: str = "NULL"
    line: str = "NULL"
    header: str | None = None
    expected_rows: int | None = None
    restored: Callable[[str], str] = str
