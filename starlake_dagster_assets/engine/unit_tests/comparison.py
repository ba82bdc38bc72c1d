"""Compares the rows of a query with the rows that a test expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.reading.type_patterns import python_function
from starlake_dagster_assets.engine.unit_tests.files import Rows
from starlake_dagster_assets.engine.unit_tests.values import canonical_json, is_exact, is_nested_or_union, nested_text
from starlake_dagster_assets.engine.writing.first_run import describe_query
from starlake_dagster_assets.errors import EngineError

__all__ = ["ChangedRow", "Difference", "InexactValue", "compare", "insert_texts"]

_SHOWN = 10
_ACTUAL = "sl_test_actual"
_EXPECTED = "sl_test_expected"
_CANONICAL = "sl_test_json"
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class InexactValue:
    """A value that the type of its column cannot hold exactly.

    Attributes:
        row: Number of the row, from 1.
        column: Name of the column.
        type: DuckDB type of the column.
        text: The value as written in the file.
        closest: The value that DuckDB converts it to.
    """

    row: int
    column: str
    type: str
    text: str
    closest: str

    def __str__(self) -> str:
        """Returns the message for a table that exists before the test."""
        return (
            f"row {self.row}: the column {self.column} ({self.type}) cannot hold {self.text!r} exactly: "
            f"it would be {self.closest}"
        )


@dataclass(frozen=True)
class ChangedRow:
    """A row that differs from an expected row in some columns.

    Attributes:
        expected: Values of the expected row as text, in the order of `Difference.columns`; None is NULL.
        actual: Values of the row of the result.
    """

    expected: Row
    actual: Row


@dataclass(frozen=True)
class Difference:
    """Difference between a result and the expected result of a test; false if they are equal.

    Attributes:
        name: The expected result: `_expected`, or `_expected_<name>`.
        columns: Names of the columns that both have; rows have their values in this order.
        missing_columns: Expected columns that the result does not have.
        unexpected_columns: Columns of the result that the test does not expect.
        changed: Rows that differ in some columns.
        missing_rows: Expected rows that the result does not have.
        unexpected_rows: Rows of the result that the test does not expect.
    """

    name: str
    columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    unexpected_columns: tuple[str, ...] = ()
    changed: tuple[ChangedRow, ...] = ()
    missing_rows: tuple[Row, ...] = ()
    unexpected_rows: tuple[Row, ...] = ()

    def __bool__(self) -> bool:
        """Whether the result differs from the expected one."""
        rows = self.changed or self.missing_rows or self.unexpected_rows
        return bool(self.missing_columns or self.unexpected_columns or rows)

    def lines(self) -> Iterator[str]:
        """Yields lines of text that describe the difference, with at most ten rows of each kind."""
        if self.missing_columns:
            yield f"missing columns: {', '.join(self.missing_columns)}"
        if self.unexpected_columns:
            yield f"unexpected columns: {', '.join(self.unexpected_columns)}"
        yield from _listed("differing rows", [self._changed(row) for row in self.changed])
        yield from _listed("missing rows", [self._row(row) for row in self.missing_rows])
        yield from _listed("unexpected rows", [self._row(row) for row in self.unexpected_rows])

    def _row(self, row: Row) -> str:
        return ", ".join(f"{name}={_shown(value)}" for name, value in zip(self.columns, row, strict=True))

    def _changed(self, row: ChangedRow) -> str:
        both = list(zip(self.columns, row.expected, row.actual, strict=True))
        same = ", ".join(f"{name}={_shown(expected)}" for name, expected, actual in both if expected == actual)
        changes = [
            f"{name} is {_shown(actual)}, expected {_shown(expected)}"
            for name, expected, actual in both
            if expected != actual
        ]
        return f"{same}: {'; '.join(changes)}"


def compare(con: duckdb.DuckDBPyConnection, name: str, sql: str, expected: Rows) -> Difference:
    """Compares the rows of a query with expected rows. Their order is ignored; the number of equal rows is not.

    Expected values are converted to the types of the query's columns; a row with a value that the type of its column
    cannot hold exactly, such as 1.6 for an integer, is a row that the result does not have.

    Args:
        con: The connection.
        name: Name of the expected result.
        sql: The query, in DuckDB's SQL.
        expected: The expected rows.

    Raises:
        EngineError: An expected value cannot be converted.
        duckdb.Error: DuckDB rejects the query.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_ACTUAL} AS {sql}")
    found = describe_query(con, f"FROM temp.{_ACTUAL}")
    # JSON without rows does not name the columns
    named = expected.columns or tuple(column.name for column in found)
    wanted = [column.lower() for column in named]
    missing = tuple(column for column in named if column.lower() not in {one.name.lower() for one in found})
    unexpected = tuple(column.name for column in found if column.name.lower() not in wanted)
    columns = {column.name: column.type for column in found if column.name.lower() in wanted}
    if not columns:
        return Difference(name, (), missing, unexpected)
    positions = [wanted.index(column.lower()) for column in columns]
    definition = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_EXPECTED} ({definition})")
    rows = [[row[index] for index in positions] for row in expected.rows]
    inexact = insert_texts(con, f"temp.{_EXPECTED}", columns, rows)
    missing_rows = (*(tuple(rows[value.row - 1]) for value in inexact), *_except(con, _EXPECTED, _ACTUAL, columns))
    unexpected_rows = _except(con, _ACTUAL, _EXPECTED, columns)
    return Difference(name, tuple(columns), missing, unexpected, *_paired(missing_rows, unexpected_rows))


def insert_texts(
    con: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, str], rows: Sequence[Sequence[str | None]]
) -> tuple[InexactValue, ...]:
    """Inserts rows of texts into columns of a table, converted to their types.

    Args:
        con: The connection.
        table: The table, quoted.
        types: DuckDB types by column name.
        rows: Values in the order of `types`; None is NULL.

    Returns:
        The first value of each row that is not inserted because a column cannot hold it exactly.

    Raises:
        EngineError: A value cannot be converted to the type of its column.
    """
    listed = ", ".join(identifier(name) for name in types)
    values = ", ".join(_converted(f"${number}", kind) for number, kind in enumerate(types.values(), start=1))
    python = ", ".join(
        f"({_converted(f'${number}', kind)}){'' if is_nested_or_union(kind) else '::VARCHAR'}"
        for number, kind in enumerate(types.values(), start=1)
    )
    inexact = list[InexactValue]()
    for number, row in enumerate(rows, start=1):
        texts: list[str | None] = []
        for kind, text in zip(types.values(), row, strict=True):
            texts.append(_nested_text(con, text, kind) if text is not None and is_nested_or_union(kind) else text)
        found = con.execute(f"SELECT {python}", texts).fetchall()[0]
        wrong = next(_inexact(number, types, row, found), None)
        if wrong is None:
            con.execute(f"INSERT INTO {table} ({listed}) SELECT {values}", texts)
        else:
            inexact.append(wrong)
    return tuple(inexact)


def _inexact(
    number: int, types: Mapping[str, str], row: Sequence[str | None], found: Sequence[Any]
) -> Iterator[InexactValue]:
    """Yields the values of a row that their columns cannot hold exactly."""
    for (name, kind), text, value in zip(types.items(), row, found, strict=True):
        if text is None:
            continue
        if value is None and not (kind == "JSON" and text == "null"):
            raise EngineError(f"row {number}: {text!r} is not a value for the column {name} ({kind})")
        if value is not None and not is_exact(text, kind, str(value), value):
            yield InexactValue(number, name, kind, text, str(value))


def _nested_text(con: duckdb.DuckDBPyConnection, text: str, kind: str) -> str:
    """Returns a text with its numbers quoted, which keeps their digits, if DuckDB converts them exactly to the type."""
    quoted = nested_text(text)
    found = con.execute(f"SELECT {_converted('$1', kind)}", [quoted]).fetchall()[0][0]
    return quoted if found is not None and is_exact(text, kind, "", found) else text


def _converted(text: str, kind: str) -> str:
    """Returns the SQL that converts a text to a type; nested values are JSON, or written as DuckDB prints them."""
    plain = f"TRY_CAST({text}::VARCHAR AS {kind})"
    return (
        f"coalesce(TRY_CAST(TRY_CAST({text}::VARCHAR AS JSON) AS {kind}), {plain})"
        if is_nested_or_union(kind)
        else plain
    )


def _except(con: duckdb.DuckDBPyConnection, left: str, right: str, columns: Mapping[str, str]) -> tuple[Row, ...]:
    """Returns the rows of one table that the other does not have, as often as they are missing there, as texts."""
    if "JSON" in columns.values():
        python_function(con, _CANONICAL, canonical_json, "VARCHAR", "a comparison of JSON")
    compared = ", ".join(
        f"{_CANONICAL}({identifier(name)}::VARCHAR) AS {identifier(name)}" if kind == "JSON" else identifier(name)
        for name, kind in columns.items()
    )
    texts = ", ".join(f"{identifier(name)}::VARCHAR" for name in columns)
    sql = f"SELECT {texts} FROM (SELECT {compared} FROM temp.{left} EXCEPT ALL SELECT {compared} FROM temp.{right})"
    return tuple(con.execute(f"{sql} ORDER BY ALL").fetchall())


def _paired(
    missing: Sequence[Row], unexpected: Sequence[Row]
) -> tuple[tuple[ChangedRow, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Pairs each missing row with the unexpected row that shares the most values with it, if any does."""
    rest, changed, alone = list(unexpected[: _SHOWN * 10]), list[ChangedRow](), list[Row]()
    for row in missing:
        best = max(rest, key=lambda other: _shared(row, other), default=None)
        if best is None or not _shared(row, best):
            alone.append(row)
        else:
            rest.remove(best)
            changed.append(ChangedRow(row, best))
    return tuple(changed), tuple(alone), (*rest, *unexpected[_SHOWN * 10 :])


def _shared(row: Row, other: Row) -> int:
    return sum(left is not None and left == right for left, right in zip(row, other, strict=True))


def _listed(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield f"{title} ({len(rows)}):"
        yield from (f"  {row}" for row in rows[:_SHOWN])
        if len(rows) > _SHOWN:
            yield f"  … {len(rows) - _SHOWN} more"


def _shown(value: str | None) -> str:
    return "NULL" if value is None else value if value and value == value.strip() else repr(value)
