"""Reads a warehouse through SQLAlchemy: quoting, types and limits are those of its dialect."""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.errors import QueryError, StarlakeError, WarehouseError
from starlake_dagster_assets.execution.failing_row_queries import WINDOW_COLUMN, Sample, failing_rows, with_limit
from starlake_dagster_assets.execution.warehouse.audit_rows import (
    AUDIT,
    EXPECTATIONS,
    audit_row,
    expectation_row,
    number,
)
from starlake_dagster_assets.execution.warehouse.connections import table_databases
from starlake_dagster_assets.execution.warehouse.expectation_evaluation import evaluate_expectations
from starlake_dagster_assets.execution.warehouse.partition_values import MOST_PARTITIONS, sum_by_value
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader, as_texts
from starlake_dagster_assets.project.model.project import Connection, Expectation, Project

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy import Engine
    from sqlalchemy.engine import CursorResult
    from sqlalchemy.sql.expression import TableClause

    from starlake_dagster_assets.execution.warehouse.sqlalchemy_engines import EngineFactory

__all__ = ["SqlReader"]

_CATALOGS = {"snowflake", "mssql", "databricks", "trino"}
"""Dialects in which a database name may precede the schema in a statement."""
_PAUSE_SECONDS = 30.0
_READ_ONLY = {"postgresql": {"postgresql_readonly": True}}


class SqlReader(WarehouseReader):
    """Reader of one connection of a project; nothing is ever committed.

    Args:
        project: The project.
        connection: One of its connections.
        engine: Creates the SQLAlchemy engine when it is needed.
    """

    supports_concurrent_reads = True

    def __init__(self, project: Project, connection: Connection, engine: EngineFactory) -> None:
        self._project = project
        self._connection = connection
        self._factory = engine
        self._names: dict[tuple[str, str], tuple[str, str]] = {}
        self._databases = table_databases(project)
        self._down: tuple[float, str] | None = None

    # ---------------------------------------------------------------------------------------------- audit tables

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the rows of `audit.audit` with a JOBID, oldest first; None if there is no such table yet."""
        rows = self._audited("audit", AUDIT, {"JOBID": job_id})
        return None if rows is None else [audit_row(row) for row in rows]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` with a JOBID, oldest first; None if there is no such table.

        Rows of one second, as engines truncate their time, are in no known order: those that failed are last.
        """
        rows = self._audited("expectations", EXPECTATIONS, {"JOBID": job_id})
        if rows is None:
            return None
        found = [(row.get("TIMESTAMP"), expectation_row(row)) for row in rows]
        times = sorted({time for time, _ in found if time is not None})
        found.sort(key=lambda item: (times.index(item[0]) if item[0] in times else -1, not item[1].success))
        return [row for _, row in found]

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """Returns some texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        where = {"JOBID": job_id, "DOMAIN": domain, "SCHEMA": table}
        rows = self._audited("rejected", ("ERROR",), where, limit) or ()
        return [str(row["ERROR"]) for row in rows]

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow] | None:
        """Returns the LOAD rows of the newest JOBID with that DOMAIN and SCHEMA; None if there is no audit yet."""
        mine = {"STEP": "LOAD", "DOMAIN": domain, "SCHEMA": table}
        newest = self._audited("audit", AUDIT, mine, 1, newest=True)
        if not newest:
            return None if newest is None else []
        rows = self._audited("audit", AUDIT, {**mine, "JOBID": str(newest[0]["JOBID"])}) or ()
        return [audit_row(row) for row in rows]

    def _audited(
        self,
        table: str,
        names: Sequence[str],
        where: Mapping[str, str],
        limit: int | None = None,
        *,
        newest: bool = False,
    ) -> list[Mapping[str, Any]] | None:
        """Returns rows of an audit table by upper-case column names; None without the table. Columns may be missing."""
        import sqlalchemy as sa

        with self._open() as con:
            audit = self._table(con, self._project.application.audit.domain, table)
            if audit is None:
                return None
            columns = {column.name.upper(): column for column in audit.columns}
            if missing := where.keys() - columns.keys():
                raise WarehouseError(f"{audit.fullname} has no column {', '.join(sorted(missing))}")
            shown = [columns[name].label(f"c{index}") for index, name in enumerate(names) if name in columns]
            keys = [name for name in names if name in columns]
            query = sa.select(*shown).where(*(columns[name] == value for name, value in where.items()))
            if (moment := columns.get("TIMESTAMP")) is not None:
                query = query.order_by(moment.desc() if newest else moment)
            rows = con.execute(query.limit(limit) if limit is not None else query).fetchall()
            return [dict(zip(keys, row, strict=True)) for row in rows]

    # ----------------------------------------------------------------------------------------------------- tables

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Returns name and type of each column; empty for a table that does not exist."""
        with self._open() as con:
            found = self._table(con, schema, table)
            return [(column.name, self._type(column.type)) for column in found.columns] if found is not None else []

    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the number of rows of a table or view; None if it does not exist."""
        import sqlalchemy as sa

        with self._open() as con:
            found = self._table(con, schema, table)
            if found is None:
                return None
            return number(con.execute(sa.select(sa.func.count()).select_from(found)).scalar())

    def rows(self, schema: str, table: str, limit: int) -> Sequence[Sequence[str]]:
        """Returns some rows of a table or view as texts."""
        import sqlalchemy as sa

        with self._open() as con:
            found = self._table(con, schema, table)
            if found is None:
                return []
            return as_texts(con.execute(sa.select(*found.columns).limit(limit)).fetchall())

    def failing(self, schema: str, table: str, sql: str, limit: int) -> Sample | None:
        """Returns some rows that the query of an expectation counts now; None if it does not identify them."""
        wanted = failing_rows(sql, self._connection.dialect)
        if wanted is None:
            return None
        with self._open() as con:
            counted = self._run(con, sql).scalar()
            result = self._run(con, with_limit(wanted.sql, self._connection.dialect, limit))
            columns, rows = list(result.keys()), result.fetchmany(limit)
        kept = [index for index, name in enumerate(columns) if name != WINDOW_COLUMN]
        shown = [[row[index] for index in kept] for row in rows]
        return Sample(
            number(counted), [columns[index] for index in kept], as_texts(shown), wanted.renamed, wanted.tables
        )

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """Evaluates expectations on the current state of a table; None if it does not exist."""
        with self._open() as con:
            found = self._table(con, schema, table)
            if found is None:
                return None
            name = con.dialect.identifier_preparer.format_table(found)
            return evaluate_expectations(
                self._project, expectations, (schema, table), name, lambda sql: self._two_rows(con, sql)
            )

    def partition_counts(self, schema: str, table: str, column: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per value of a column; empty if the table does not exist, None if unknown."""
        import sqlalchemy as sa

        with self._open() as con:
            found = self._table(con, schema, table)
            if found is None:
                return {}
            named = {one.name.lower(): one for one in found.columns}
            if column.lower() not in named:
                return None
            values, offset = _parts_of(named[column.lower()], con.dialect.name)
            query = sa.select(*values, sa.func.count()).select_from(found).group_by(*values).limit(MOST_PARTITIONS + 1)
            rows = con.execute(query).fetchall()
        return sum_by_value(rows, offset) if len(rows) <= MOST_PARTITIONS else None

    # ---------------------------------------------------------------------------------------------------- details

    def _two_rows(self, con: SqlConnection, sql: str) -> Sequence[Sequence[Any]]:
        """Returns at most two rows of a query.

        Raises:
            QueryError: The warehouse rejected the query; the connection can be used again.
        """
        from sqlalchemy.exc import DBAPIError

        try:
            return self._run(con, sql).fetchmany(2)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            con.rollback()
            raise QueryError(self._text(error)) from None

    def _run(self, con: SqlConnection, sql: str) -> CursorResult[Any]:
        """Runs SQL of the project unchanged: a colon or a percent sign in the SQL is not a parameter."""
        return con.execution_options(no_parameters=True).exec_driver_sql(sql)

    def _table(self, con: SqlConnection, schema: str, table: str) -> TableClause | None:
        """Returns a table or view with its columns, regardless of case; None if it does not exist."""
        import sqlalchemy as sa
        from sqlalchemy.exc import NoSuchTableError

        inspector = sa.inspect(con)
        name = self._names.get((schema, table)) or self._find(inspector, schema, table)
        if name is None:
            return None
        try:
            columns = inspector.get_columns(name[1], schema=name[0])
        except NoSuchTableError:  # dropped since
            return None
        self._names[schema, table] = name
        return sa.table(name[1], *(sa.column(one["name"], one["type"]) for one in columns), schema=name[0])

    def _find(self, inspector: Any, schema: str, table: str) -> tuple[str, str] | None:
        """Returns the names as the warehouse spells them: unchanged, in lower or upper case, or from its own lists."""
        database = self._databases.get((schema.lower(), table.lower()), "")
        prefix = f"{database}." if database and inspector.dialect.name in _CATALOGS else ""
        spelled = [(schema, table), (schema.lower(), table.lower()), (schema.upper(), table.upper())]
        for one, other in dict.fromkeys(spelled):
            if inspector.has_table(other, schema=f"{prefix}{one}"):
                return f"{prefix}{one}", other
        schemas = [] if prefix else [one for one in inspector.get_schema_names() if one.lower() == schema.lower()]
        for one in schemas:
            listed = [*inspector.get_table_names(schema=one), *inspector.get_view_names(schema=one)]
            for other in listed:
                if other.lower() == table.lower():
                    return one, other
        return None

    def _type(self, kind: Any) -> str:
        """Returns the type of a column as its dialect writes it; "" if SQLAlchemy does not know it."""
        import sqlalchemy as sa

        if isinstance(kind, sa.types.NullType):
            return ""
        return str(kind.compile(self._engine.dialect))

    @contextmanager
    def _open(self) -> Generator[SqlConnection]:
        """Opens a connection for a few queries, rolled back at the end.

        Raises:
            WarehouseError: An error of the driver, without secrets.
        """
        try:
            with self._connected() as con:
                yield con.execution_options(**_READ_ONLY.get(con.dialect.name, {}))
        except StarlakeError:
            raise
        except Exception as error:  # SQLAlchemy's errors, or those that a driver raises around it
            raise WarehouseError(f"connection {self._connection.name!r}: {self._text(error)}") from None

    def _connected(self) -> SqlConnection:
        """Returns a connection; raises the last error for a while if the server did not answer."""
        if self._down is not None and time.monotonic() - self._down[0] < _PAUSE_SECONDS:
            raise WarehouseError(self._down[1])
        try:
            return self._engine.connect()
        except StarlakeError as error:
            self._down = (time.monotonic(), str(error))
            raise
        except Exception as error:
            text = f"connection {self._connection.name!r}: {self._text(error)}"
            self._down = (time.monotonic(), text)
            raise WarehouseError(text) from None

    def _text(self, error: Exception) -> str:
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        return redact(text, secrets_of(self._project) | self._factory.secrets) or type(error).__name__

    @cached_property
    def _engine(self) -> Engine:
        engine = self._factory.create()
        weakref.finalize(self, engine.dispose)
        return engine


def _parts_of(column: Any, dialect: str) -> tuple[list[Any], str]:
    """Returns expressions for the partition of a value (day, and time of day of a timestamp) and its UTC offset."""
    import sqlalchemy as sa

    kind = column.type
    if isinstance(kind, sa.DateTime):
        zoned = bool(getattr(kind, "timezone", False))
        if zoned and dialect != "postgresql":
            return [column], ""
        moment = sa.func.timezone("UTC", column) if zoned else column
        day = _as_text(sa.cast(moment, sa.Date), dialect)
        quarter = sa.func.floor(sa.extract("minute", moment) / sa.literal_column("15"))  # a parameter is not a constant
        return [day, sa.extract("hour", moment), quarter], "+00:00" if zoned else ""
    return [_as_text(column, dialect) if isinstance(kind, sa.Date) else column], ""


def _as_text(day: Any, dialect: str) -> Any:
    """Returns an expression for a date as ISO 8601 text: Python has no date `infinity`."""
    import sqlalchemy as sa

    return sa.cast(day, sa.String) if dialect == "postgresql" else day
