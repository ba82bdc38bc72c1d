"""Reads files and separates accepted from rejected rows, set-wise in DuckDB.

Call `read_incoming` outside of a transaction: a failed attempt to parse must not abort the caller's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows
from starlake_dagster_assets.engine.reading.archives import plain_files
from starlake_dagster_assets.engine.reading.attribute_sql import Cell, RowCompiler
from starlake_dagster_assets.engine.reading.column_types import column_type, duplicate_names, target_columns
from starlake_dagster_assets.engine.reading.computed import computed_select, rows_with_failing_expression
from starlake_dagster_assets.engine.reading.evaluated_rows import EvaluatedRows, evaluate_rows
from starlake_dagster_assets.engine.reading.formats.registry import InputFile, check_format, sources
from starlake_dagster_assets.engine.reading.privacy import BAD_VALUES, shown_error
from starlake_dagster_assets.engine.reading.scratch import REFUSALS, Scratch, count, execute_insert
from starlake_dagster_assets.engine.reading.type_patterns import Patterns
from starlake_dagster_assets.engine.reading.workspace import workspace
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["check_readable", "read_incoming"]


def check_readable(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, patterns: Patterns | None = None
) -> None:
    """Raises an error for a table that the embedded engine cannot read, before any file is moved.

    Args:
        con: Any connection: patterns are tried on it.
        project: Types and settings.
        table: The table.
        patterns: Patterns of the connection, if several tables are checked.

    Raises:
        EngineError: When a format, type, pattern, privacy key, option or column name is not supported.
    """
    check_format(table)
    duplicate_names((attribute.name for attribute in table.attributes), f"table '{table.raw}'")
    target_columns(table, project)
    RowCompiler(con, project, table, patterns).compile({attribute.name: Cell("NULL") for attribute in table.attributes})


def read_incoming(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, files: Sequence[Path], *, misread: bool = False
) -> AcceptedRows:
    """Reads files of one table.

    Args:
        con: An open connection without an open transaction. It gets temporary tables; see `drop_temporary_tables`.
        project: Types and settings.
        table: The table the files belong to.
        files: The files, compressed or not; read in order.
        misread: Whether `stream_incoming` failed; the fastest way to read the file is then not tried again.

    Returns:
        The accepted rows, exact counts, and the rejected rows with their reasons. `accepted` counts the rows that
        are valid, as the starlake program does; `filtered` of them are left out by `table.filter`.

    Raises:
        EngineError: When the table cannot be read by this engine, or a file cannot be read at all.
    """
    check_readable(con, project, table)
    job = _IncomingReader(Scratch(con), project, table, tuple(path.absolute() for path in files), misread)
    job.create()
    replay = project.application.sink_replay_to_file
    try:
        with workspace(con) as work:
            for part, path in enumerate(job.files, start=1):
                for plain in plain_files(path, work):
                    job.load(InputFile(plain, str(path), work, replay), part)
        return job.finish()
    except BaseException:
        job.scratch.drop()
        raise


@dataclass(frozen=True)
class _IncomingReader:
    """State of a call of `read_incoming`."""

    scratch: Scratch
    project: Project
    table: Table
    files: tuple[Path, ...]
    misread: bool

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        return self.scratch.con

    def name(self, suffix: str) -> str:
        return self.scratch.name(suffix)

    def create(self) -> None:
        read = [attribute for attribute in self.table.attributes if attribute.script is None]
        columns = [f"sl_v{index} {column_type(item, self.project)}" for index, item in enumerate(read)]
        columns += ["sl_ok BOOLEAN", "sl_part INTEGER"]
        self.con.execute(f"CREATE TEMP TABLE {self.name('rows')} ({', '.join(columns)})")
        self.scratch.create_rejects(replay=self.project.application.sink_replay_to_file)

    def load(self, file: InputFile, part: int) -> None:
        """Loads an uncompressed file with the first reader that can parse it."""
        failure = "no way to read it"
        attempts = list(sources(self.con, self.project, self.table, file))
        for attempt in (attempts[1:] if self.misread else attempts) or attempts:
            source = attempt()
            if source is None:
                continue
            done = 0
            try:
                evaluated = evaluate_rows(self.con, self.project, self.table, source)
                done = self._insert(evaluated, part)
                if source.expected_rows in (None, done):
                    self._reject(evaluated, part)
                    return
            except duckdb.InterruptException:
                raise
            except (duckdb.OutOfMemoryException, duckdb.TransactionException) as error:
                raise EngineError(f"{file.shown}: {error}") from error
            except REFUSALS as error:
                failure = shown_error(error, self.table).split("\n\n")[0]
                self._undo(done)
                continue
            failure = f"{done} rows were parsed where {source.expected_rows} were counted"
            self._undo(done)
        raise EngineError(f"{file.shown}: cannot be read as {self.table.metadata.format}: {failure}")

    def _insert(self, evaluated: EvaluatedRows, part: int) -> int:
        """Inserts all rows of a source, accepted or rejected, and returns their number."""
        columns = [*(f"sl_v{index}" for index in range(len(evaluated.typed))), evaluated.is_accepted, str(part)]
        return execute_insert(
            self.con, f"INSERT INTO {self.name('rows')} SELECT {', '.join(columns)} FROM {evaluated.rows}"
        )

    def _reject(self, evaluated: EvaluatedRows, part: int) -> None:
        rows, rejects, file = self.name("rows"), self.name("rejects"), self.files[part - 1]
        wrong = count(self.con, f"{rows} WHERE NOT sl_ok") - count(self.con, rejects)
        if wrong and evaluated.reject(self.con, rejects, wrong, file) != wrong:
            raise EngineError(f"{file}: the file changed while it was read")

    def _undo(self, done: int) -> None:
        """Deletes the rows that the last attempt has inserted."""
        last = f"(SELECT coalesce(max(rowid), -1) - {done} FROM {self.name('rows')})"
        self.con.execute(f"DELETE FROM {self.name('rows')} WHERE rowid > {last}")

    def finish(self) -> AcceptedRows:
        rows = self.name("rows")
        total, rejected = count(self.con, rows), count(self.con, self.name("rejects"))
        paths = f"[{', '.join(literal(str(path)) for path in self.files)}][sl_part]"
        if rejected:
            # without a filter over them DuckDB knows how many rows there are, and plans joins by it
            self.con.execute(f"DELETE FROM {rows} WHERE NOT sl_ok")
        kept = self._accept(rows, paths)
        rejected = count(self.con, self.name("rejects"))
        return AcceptedRows(
            relation=self.name("accepted"),
            columns=target_columns(self.table, self.project),
            files=self.files,
            input=total,
            accepted=total - rejected,
            rejected=rejected,
            rejects=self.name("rejects") if rejected else None,
            filtered=0 if kept is None else total - rejected - kept,
        )

    def _accept(self, rows: str, paths: str) -> int | None:
        """Creates the relation of the accepted rows; returns their number after the filter if rows are computed."""
        read = [attribute for attribute in self.table.attributes if attribute.script is None]
        named = [f"sl_v{index} AS {identifier(item.final_name)}" for index, item in enumerate(read)]
        wanted = ", ".join(identifier(item.final_name) for item in self.table.attributes if not item.ignore)
        select = computed_select(self.con, self.project, self.table, rows, paths)
        if select is None:
            plain = f"SELECT {wanted} FROM (SELECT {', '.join(named)} FROM {rows})"
            self.con.execute(f"CREATE TEMP VIEW {self.name('accepted')} AS {plain}")
            return None
        computed = f"CREATE TEMP TABLE {self.name('computed')} AS {select}"
        try:
            try:
                kept = execute_insert(self.con, computed)
            except BAD_VALUES as error:
                if not self._reject_failing(rows, paths):
                    raise error from None
                kept = execute_insert(self.con, computed)
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            what = "a script, privacy or filter expression failed"
            raise EngineError(f"table '{self.table.raw}': {what}: {shown_error(error, self.table)}") from error
        self.con.execute(f"DROP TABLE {rows}")
        self.con.execute(f"CREATE TEMP VIEW {self.name('accepted')} AS SELECT * FROM {self.name('computed')}")
        return kept

    def _reject_failing(self, rows: str, paths: str) -> bool:
        """Rejects the rows for which an expression fails; returns whether these rows can be identified."""
        failing = self.name("failing")
        try:
            select = rows_with_failing_expression(self.con, self.project, self.table, rows, paths)
        except EngineError:
            return False
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {failing} AS {select}")
        message = f"'ERR -> ' || chr(10) || sl_error || chr(10) || chr(10) || 'FILE -> ' || {paths}"
        found = f"SELECT {message}, {paths} FROM {failing} JOIN {rows} AS r ON r.rowid = sl_row ORDER BY sl_row"
        self.con.execute(f"INSERT INTO {self.name('rejects')} (ERROR, PATH) {found}")
        self.con.execute(f"DELETE FROM {rows} WHERE rowid IN (SELECT sl_row FROM {failing})")
        return True
