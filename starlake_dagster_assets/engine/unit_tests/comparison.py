"""Compares the rows of a query with the rows that a test expects, as a readable difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.unit_tests.files import Rows
from starlake_dagster_assets.engine.writing.first_run import described
from starlake_dagster_assets.errors import EngineError

__all__ = ["ChangedRow", "Difference", "compare", "insert_rows"]

_SHOWN = 10
_NESTED = ("STRUCT", "MAP", "UNION")
_ACTUAL = "sl_test_actual"
_WANTED = "sl_test_expected"
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class ChangedRow:
    """An unexpected row next to the expected row that it is most like."""

    expected: Row
    actual: Row


@dataclass(frozen=True)
class Difference:
    """What distinguishes a result from the one that a test expects.

    Attributes:
        name: The expected result: `_expected`, or `_expected_<name>`.
        columns: The columns that both have, which the rows are made of.
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
        """Whether there is one."""
        rows = self.changed or self.missing_rows or self.unexpected_rows
        return bool(self.missing_columns or self.unexpected_columns or rows)

    def lines(self) -> Iterator[str]:
        """Yields the difference for people, at most ten rows of each kind."""
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
        same = ", ".join(f"{name}={_shown(wanted)}" for name, wanted, found in both if wanted == found)
        told = [f"{name} is {_shown(one)}, expected {_shown(wanted)}" for name, wanted, one in both if wanted != one]
        return f"{same}: {'; '.join(told)}"


def compare(con: duckdb.DuckDBPyConnection, name: str, sql: str, wanted: Rows) -> Difference:
    """Compares the rows of a query with expected ones: the order does not count, the number of equal rows does.

    Expected values are converted to the types of the query's columns.

    Args:
        con: The connection.
        name: Name of the expected result.
        sql: The query, in DuckDB's SQL.
        wanted: The expected rows.

    Raises:
        EngineError: An expected value cannot be converted.
        duckdb.Error: DuckDB refuses the query.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_ACTUAL} AS {sql}")
    found = described(con, f"FROM temp.{_ACTUAL}")
    # JSON without rows does not name the columns
    named = wanted.columns or tuple(column.name for column in found)
    given = [column.lower() for column in named]
    missing = tuple(column for column in named if column.lower() not in {one.name.lower() for one in found})
    unexpected = tuple(column.name for column in found if column.name.lower() not in given)
    columns = {column.name: column.type for column in found if column.name.lower() in given}
    if not columns:
        return Difference(name, (), missing, unexpected)
    positions = [given.index(column.lower()) for column in columns]
    definition = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_WANTED} ({definition})")
    insert_rows(con, f"temp.{_WANTED}", columns, [[row[index] for index in positions] for row in wanted.rows])
    lost, extra = _except(con, _WANTED, _ACTUAL, columns), _except(con, _ACTUAL, _WANTED, columns)
    changed, lost, extra = _paired(lost, extra)
    return Difference(name, tuple(columns), missing, unexpected, changed, lost, extra)


def insert_rows(
    con: duckdb.DuckDBPyConnection, table: str, types: dict[str, str], rows: Sequence[Sequence[str | None]]
) -> None:
    """Inserts rows of texts into columns of a table, converted to their types.

    Raises:
        EngineError: A value is not one of the type of its column.
    """
    listed = ", ".join(identifier(name) for name in types)
    values = ", ".join(_converted(f"${number}", kind) for number, kind in enumerate(types.values(), start=1))
    for number, row in enumerate(rows, start=1):
        converted = con.execute(f"SELECT {values}", row).fetchall()[0]
        for (name, kind), text, value in zip(types.items(), row, converted, strict=True):
            if value is None and text is not None and not (kind == "JSON" and text == "null"):
                raise EngineError(f"row {number}: {text!r} is no value for the column {name} ({kind})")
        con.execute(f"INSERT INTO {table} ({listed}) SELECT {values}", row)


def _converted(text: str, kind: str) -> str:
    """The SQL that converts a text to a type; nested values are JSON, or what DuckDB prints."""
    plain = f"TRY_CAST({text}::VARCHAR AS {kind})"
    if kind.startswith(_NESTED) or kind.endswith("]"):
        return f"coalesce(TRY_CAST(TRY_CAST({text}::VARCHAR AS JSON) AS {kind}), {plain})"
    return plain


def _except(con: duckdb.DuckDBPyConnection, left: str, right: str, columns: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows of one table that the other has not, as often as they are missing there, as texts."""
    compared = ", ".join(
        f"json({identifier(name)})::VARCHAR AS {identifier(name)}" if kind == "JSON" else identifier(name)
        for name, kind in columns.items()
    )
    texts = ", ".join(f"{identifier(name)}::VARCHAR" for name in columns)
    sql = f"SELECT {texts} FROM (SELECT {compared} FROM temp.{left} EXCEPT ALL SELECT {compared} FROM temp.{right})"
    return tuple(con.execute(f"{sql} ORDER BY ALL").fetchall())


def _paired(
    lost: Sequence[Row], extra: Sequence[Row]
) -> tuple[tuple[ChangedRow, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Pairs each missing row with the unexpected row that shares most values with it, if at least one is shared."""
    rest, changed, alone = list(extra[: _SHOWN * 10]), list[ChangedRow](), list[Row]()
    for row in lost:
        best = max(rest, key=lambda other: _shared(row, other), default=None)
        if best is None or not _shared(row, best):
            alone.append(row)
        else:
            rest.remove(best)
            changed.append(ChangedRow(row, best))
    return tuple(changed), tuple(alone), (*rest, *extra[_SHOWN * 10 :])


def _shared(row: Row, other: Row) -> int:
    return sum(one is not None and one == two for one, two in zip(row, other, strict=True))


def _listed(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield f"{title} ({len(rows)}):"
        yield from (f"  {row}" for row in rows[:_SHOWN])
        if len(rows) > _SHOWN:
            yield f"  … {len(rows) - _SHOWN} more"


def _shown(value: str | None) -> str:
    return "NULL" if value is None else value if value and value == value.strip() else repr(value)
