"""Temporary tables that one read of files uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4

import duckdb

from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows

__all__ = ["REFUSALS", "Scratch", "count", "drop_temporary_tables", "execute_insert"]

REFUSALS = (duckdb.Error, UnicodeDecodeError)
"""Errors with which DuckDB rejects a file: they quote a piece of it, which may be cut inside a character."""


@dataclass(frozen=True)
class Scratch:
    """Temporary tables of one read, with unique names.

    Attributes:
        con: The connection, whose temporary tables they are.
        token: Common part of the names.
    """

    con: duckdb.DuckDBPyConnection
    token: str = field(default_factory=lambda: uuid4().hex[:12])

    def name(self, suffix: str) -> str:
        """Returns the quoted name of a table or view: rows, rejects, computed or accepted."""
        return qualified("temp", "main", f"sl_incoming_{self.token}_{suffix}")

    def create_rejects(self, *, replay: bool) -> str:
        """Creates the table of the rejected rows (see `AcceptedRows.rejects`); `replay`: with the records."""
        name, more = self.name("rejects"), ", LINE VARCHAR, HEADER VARCHAR" if replay else ""
        self.con.execute(f"CREATE TEMP TABLE {name} (ERROR VARCHAR, PATH VARCHAR{more})")
        return name

    def drop(self) -> None:
        """Drops the temporary tables and views, as far as they exist."""
        self.con.execute(f"DROP VIEW IF EXISTS {self.name('accepted')}")
        for suffix in ("computed", "failing", "rejects", "rows"):
            self.con.execute(f"DROP TABLE IF EXISTS {self.name(suffix)}")


def drop_temporary_tables(con: duckdb.DuckDBPyConnection, incoming: AcceptedRows) -> None:
    """Drops the temporary tables of a reading, once its rows were written or abandoned."""
    Scratch(con, incoming.relation.split("sl_incoming_")[1].split("_")[0]).drop()


def count(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Returns the number of rows of a table expression, which a WHERE may follow."""
    return int(con.execute(f"SELECT count(*) FROM {rows}").fetchall()[0][0])


def execute_insert(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Runs an INSERT or a CREATE TABLE AS; returns the number of rows."""
    return int(con.execute(sql).fetchall()[0][0])
