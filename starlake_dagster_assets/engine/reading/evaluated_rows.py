"""Records of a source with their attribute values: which are valid, and why the others are rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.attribute_sql import AttributeSql, RowCompiler
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.scratch import count, execute_insert
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["EvaluatedRows", "evaluate_rows"]


@dataclass(frozen=True)
class EvaluatedRows:
    """SQL of the records of a source.

    Attributes:
        source: The source.
        typed: Its attributes, in order.
        replay: Whether rejected records are kept as written in the file (`application.sinkReplayToFile`).
    """

    source: Source
    typed: tuple[AttributeSql, ...]
    replay: bool

    @property
    def rows(self) -> str:
        """Table expression with the raw cells, the shared expressions, and the values as `sl_v0`, `sl_v1`…."""
        rows = self.source.sql
        for step in range(max((len(item.shared) for item in self.typed), default=0)):
            columns = [
                f"{_replaced(item.shared[step], item.shared[:step], index)} AS {_shared_name(index, step)}"
                for index, item in enumerate(self.typed)
                if step < len(item.shared)
            ]
            rows = f"(SELECT {', '.join(['*', *columns])} FROM {rows})"
        values = [
            f"{_replaced(item.value, item.shared, index)} AS sl_v{index}" for index, item in enumerate(self.typed)
        ]
        return f"(SELECT {', '.join(['*', *values])} FROM {rows})"

    @property
    def is_accepted(self) -> str:
        """SQL of whether a row of `rows` is accepted; cheaper than the reasons of rejections."""
        reason = self.source.reason
        tests = [
            _replaced(item.accepted(f"sl_v{index}") if item.accepted else f"({item.error}) IS NULL", item.shared, index)
            for index, item in enumerate(self.typed)
            if item.error != "NULL"
        ]
        tests += [f"{reason} IS NULL"] if reason != "NULL" else []
        accepted = " AND ".join(test for test in tests if test != "true") or "true"
        # CASE leaves out tests that change nothing; a random number keeps DuckDB from computing the values a second
        # time, below the filter, and is never below 0
        return f"(CASE WHEN {accepted} THEN true ELSE random() < 0 END)"

    @property
    def rejection_reason_sql(self) -> str:
        """SQL of the errors of a row of `rows`, one per line, or NULL."""
        errors = [item.error for item in self.typed if item.error != "NULL"]
        joined = f"nullif(concat_ws(chr(10), {', '.join(errors)}), '')" if errors else "NULL"
        return f"coalesce({self.source.reason}, {joined})" if self.source.reason != "NULL" else joined

    def reject(self, con: duckdb.DuckDBPyConnection, rejects: str, wrong: int, file: Path) -> int:
        """Reads the source again and inserts the reasons of the rejected rows.

        Args:
            con: The connection.
            rejects: The table for the reasons; see `Scratch.create_rejects`.
            wrong: Number of rejected rows.
            file: The file of the rows, for the messages.

        Returns:
            The number of rejected rows that were found.
        """
        source, unreadable = self.source, f"{self.source.reason} IS NOT NULL"
        # Where all of them are records that could not be read at all, the others need not be typed again.
        alone = source.reason != "NULL" and count(con, f"{source.sql} WHERE {unreadable}") == wrong
        chosen = unreadable if alone else f"NOT {self.is_accepted}"
        path = literal(str(file))
        message = f"'ERR -> ' || chr(10) || sl_error || chr(10) || chr(10) || 'FILE -> ' || {path}"
        header = "NULL" if source.header is None else literal(source.header)
        more, line = (f", sl_record, {header}", f", {source.line} AS sl_record") if self.replay else ("", "")
        return execute_insert(
            con,
            f"INSERT INTO {rejects} SELECT {message}, {path}{more} FROM "
            f"(SELECT {self.rejection_reason_sql} AS sl_error{line} FROM {self.rows} WHERE {chosen})",
        )


def _replaced(sql: str, shared: Sequence[str], index: int) -> str:
    """Replaces shared expressions in SQL with their names; the last ones contain those before them."""
    for step in reversed(range(len(shared))):
        sql = sql.replace(shared[step], _shared_name(index, step))
    return sql


def _shared_name(index: int, step: int) -> str:
    return f"sl_s{index}_{step}"


def evaluate_rows(con: duckdb.DuckDBPyConnection, project: Project, table: Table, source: Source) -> EvaluatedRows:
    """Compiles the attributes of a table for a source.

    Raises:
        EngineError: See `RowCompiler.compile`.
    """
    typed = RowCompiler(con, project, table, restored=source.restored).compile(source.cells)
    return EvaluatedRows(source, typed, project.application.sink_replay_to_file)
