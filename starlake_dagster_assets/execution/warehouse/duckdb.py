"""Reads the DuckDB files of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow
from starlake_dagster_assets.engine.quoting import literal, qualified
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.execution.failing_row_queries import Sample
from starlake_dagster_assets.execution.warehouse.connections import used_connections, writes_duckdb_file
from starlake_dagster_assets.execution.warehouse.duckdb_tables import (
    QualifiedName,
    TableInfo,
    count_rows,
    find_tables,
    name_of,
)
from starlake_dagster_assets.execution.warehouse.partition_values import find_column
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader, as_texts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from starlake_dagster_assets.engine.session import EngineOptions, Session
    from starlake_dagster_assets.project.model.project import Expectation, Project

__all__ = ["DuckDBReader", "duckdb_reader"]

_Stamp = tuple[tuple[int, int], ...]
"""Time and size of each file."""

_PATIENCE_SECONDS = 10.0
_AUDIT_COLUMNS = {
    "audit": "JOBID, PATHS, DOMAIN, SCHEMA, SUCCESS, COUNT, COUNTACCEPTED, COUNTREJECTED, DURATION, MESSAGE, STEP",
    "expectations": "JOBID, DOMAIN, SCHEMA, NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS",
    "rejected": "DOMAIN, SCHEMA, ERROR",
    "partitions": "DOMAIN, SCHEMA, PARTITION, COUNT",
}
_OF_LOADS = ("rejected", "partitions")
_STEP = 10
"""Index of STEP in a row of the audit."""


class DuckDBReader(WarehouseReader):
    """Reader of the DuckDB files of a project; it waits while a command has a file open.

    The project is loaded once. What a command wrote is read at once when its audit rows are queried: a command has
    ended by then, and opening a file costs more than reading it.

    Args:
        project: Returns the project; called once, when it is needed.
        options: Options: which files, how long to wait for them, and whether they are only read.
    """

    def __init__(self, project: Callable[[], Project], options: EngineOptions) -> None:
        self._ask_project = project
        self._options = options
        self._job = ""
        self._stamped: _Stamp | None = None
        self._seen: dict[QualifiedName, TableInfo] = {}
        self._left: Mapping[str, list[tuple[Any, ...]]] = {}
        """Rows of the newest command by audit table; a table that does not exist is missing."""

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the rows of `audit.audit` with a JOBID, oldest first; None if there is no such table yet."""
        self._job, self._left = job_id, self._read(job_id)
        rows = self._left.get("audit")
        return None if rows is None else [AuditRow(*row) for row in rows]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` with a JOBID, oldest first; None if there is no such table."""
        rows = self._of(job_id).get("expectations")
        return None if rows is None else [ExpectationRow(*row) for row in rows]

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """Returns at most `limit` texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        rows = self._of(job_id).get("rejected", ())
        return [str(row[2]) for row in rows if row[:2] == (domain, table)][:limit]

    def load_partition_counts(self, job_id: str, domain: str, table: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per partition that the embedded engine wrote in a job; None if not counted."""
        rows = [row for row in self._of(job_id).get("partitions", ()) if row[:2] == (domain, table)]
        found: dict[str | None, int] = {}
        for _, _, partition, count in rows:
            found[partition] = found.get(partition, 0) + int(count)
        return {name: count for name, count in found.items() if count} if rows else None

    def partition_counts(self, schema: str, table: str, column: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per value of a column; empty if the table does not exist, None if unknown."""
        from starlake_dagster_assets.engine.writing.partition_counts import count_by_partition

        columns = self.columns(schema, table)
        if not columns:
            return {}
        found = find_column(columns, column)
        if found is None:
            return None
        name, kind = found
        wanted = name_of(schema, table)
        for con in self._open():
            if wanted in find_tables(con, [wanted]):
                return count_by_partition(con, qualified("", schema, table), name, kind)
        return None

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Returns name and DuckDB type of each column of a table or view; empty if it does not exist."""
        return list(self._read_table(schema, table).columns)

    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the number of rows of a table or view; None if it does not exist."""
        seen = self._read_table(schema, table)
        if seen.kind != "VIEW":
            return seen.rows
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        target = Target(schema, table)
        counts = (count_rows(con, target.name) for con in self._open() if kind_of(con, target) is not None)
        return next(counts, None)

    def rows(self, schema: str, table: str, limit: int) -> Sequence[Sequence[str]]:
        """Returns at most `limit` rows of a table or view as texts; none if it does not exist."""
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        target = Target(schema, table)
        for con in self._open():
            if kind_of(con, target) is not None:
                found = con.execute(f"SELECT * FROM {target.name} LIMIT {int(limit)}").fetchall()
                return as_texts(found)
        return []

    def failing(self, schema: str, table: str, sql: str, limit: int) -> Sample | None:
        """Returns at most `limit` rows that the query of an expectation counts; None if it does not identify them."""
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of
        from starlake_dagster_assets.engine.writing.user_statements import translated
        from starlake_dagster_assets.execution.failing_row_queries import failing_rows

        for session in self._sessions():
            if kind_of(session.con, Target(schema, table)) is None:
                continue
            query = translated(session, sql)
            wanted = failing_rows(query, "duckdb")
            if wanted is None:
                return None
            counted = session.con.execute(query).fetchall()[0][0]
            shown = session.con.execute(f"SELECT * FROM ({wanted.sql}) LIMIT {int(limit)}")
            columns = [str(column[0]) for column in shown.description or ()]
            return Sample(int(counted), columns, as_texts(shown.fetchall()), wanted.renamed, wanted.tables)
        return None

    def _read_table(self, schema: str, table: str) -> TableInfo:
        """Returns kind, columns and row count of a table; read with all tables of the newest command, and cached.

        Opening a file costs more than reading it, so it is not opened for each table of a load.
        """
        stamp, name = self._stamp(), name_of(schema, table)
        if stamp != self._stamped:
            self._stamped, self._seen = stamp, {}
        if name not in self._seen:
            wanted = {name, *self._audited()} - self._seen.keys()
            found = dict.fromkeys(wanted, TableInfo())
            for con in self._open():  # the first file that has a table counts
                missing = [one for one, seen in found.items() if not seen.kind]
                if not missing:
                    break
                found |= find_tables(con, missing)
            self._seen |= found
        return self._seen[name]

    def _audited(self) -> set[QualifiedName]:
        """Returns the tables in the audit rows of the newest command, loaded ones also by their final names."""
        named = {name_of(domain, table) for _, _, domain, table, *_ in self._left.get("audit", ())}
        return named | {self._final[name] for name in named & self._final.keys()}

    @cached_property
    def _final(self) -> Mapping[QualifiedName, QualifiedName]:
        """The final name of each loaded table, by the names under which the audit may know it."""
        return {
            name_of(domain, table.name): name_of(table.final_domain, table.final_name)
            for table in self._project.tables
            for domain in (table.domain_name, table.domain)
        }

    def _stamp(self) -> _Stamp:
        """Returns time and size of each file, which change whenever a command writes."""
        files = (file for path in self._files() for file in (path, path.with_name(f"{path.name}.wal")))
        found = [file.stat() for file in files if file.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow] | None:
        """Returns the LOAD rows of the newest JOBID with that DOMAIN and SCHEMA; None if there is no audit yet."""
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        audit = Target(self._project.application.audit.domain, "audit")
        found: list[AuditRow] | None = None
        for connection in self._open():
            if kind_of(connection, audit) is None:
                continue
            found = []
            mine = f"STEP = 'LOAD' AND DOMAIN = {literal(domain)} AND SCHEMA = {literal(table)}"
            newest = f"SELECT JOBID FROM {audit.name} WHERE {mine} ORDER BY rowid DESC LIMIT 1"
            whole = f"SELECT {_AUDIT_COLUMNS['audit']} FROM {audit.name} WHERE {mine} AND JOBID = ({newest})"
            rows = connection.execute(f"{whole} ORDER BY rowid").fetchall()
            if rows:
                return [AuditRow(*row) for row in rows]
        return found

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """Evaluates expectations on the rows of a table; None if it does not exist. Writes no audit."""
        from starlake_dagster_assets.engine.writing.expectations import evaluate
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        target = Target(schema, table)
        for session in self._sessions():
            if kind_of(session.con, target) is not None:
                checked = evaluate(session, self._project, expectations, target)
                return [ExpectationRow("", schema, table, *item.row) for item in checked]
        return None

    def _of(self, job_id: str) -> Mapping[str, list[tuple[Any, ...]]]:
        if self._job != job_id:
            self._job, self._left = job_id, self._read(job_id)
        return self._left

    def _read(self, job_id: str) -> Mapping[str, list[tuple[Any, ...]]]:
        import duckdb

        found: dict[str, list[tuple[Any, ...]]] = {}
        for connection in self._open():
            for name, columns in _AUDIT_COLUMNS.items():
                if name in _OF_LOADS and any(row[_STEP] == "TRANSFORM" for row in found.get("audit", ())):
                    continue
                table = qualified("", self._project.application.audit.domain, name)
                sql = f"SELECT {columns} FROM {table} WHERE JOBID = {literal(job_id)} ORDER BY rowid"
                with suppress(duckdb.CatalogException):  # a table that does not exist
                    rows = connection.execute(sql).fetchall()
                    found.setdefault(name, []).extend(rows)
        return found

    @cached_property
    def _project(self) -> Project:
        return self._ask_project()

    def _open(self) -> Iterator[DuckDBPyConnection]:
        for session in self._sessions():
            yield session.con

    def _sessions(self) -> Iterator[Session]:
        """Yields a session per existing DuckDB file of the project."""
        from starlake_dagster_assets.engine.command_output import CommandOutput
        from starlake_dagster_assets.engine.session import open_session

        project, options = self._project, self._options
        journal = CommandOutput(lambda line: None)
        for path, name in self._files().items():
            if path.exists():
                with open_session(project, name, journal, options, audited=False) as session:
                    yield session

    def _files(self) -> Mapping[Path, str]:
        """Returns the DuckDB files of the project, which need not exist, each with the name of a connection."""
        from starlake_dagster_assets.engine.session import database_path

        paths: dict[Path, str] = {}
        for name in sorted(used_connections(self._project)):
            with suppress(EngineError):
                paths[database_path(self._project, name, self._options)] = name
        return paths


def duckdb_reader(project: Project) -> DuckDBReader | None:
    """Returns a reader of the DuckDB files that another program writes; it opens them read-only and briefly.

    Args:
        project: The project.

    Returns:
        None if the project has no such file, or duckdb is not installed.
    """
    if not writes_duckdb_file(project):
        return None
    try:
        from starlake_dagster_assets.engine.session import EngineOptions
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "duckdb":
            raise
        return None
    return DuckDBReader(lambda: project, EngineOptions(read_only=True, lock_timeout=_PATIENCE_SECONDS))
