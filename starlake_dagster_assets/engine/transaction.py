"""One transaction a table: everything a job writes is committed at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import duckdb

from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.engine.session import Session

__all__ = ["QueryAborted", "in_transaction", "insist", "usable"]

T = TypeVar("T")


class QueryAborted(Exception):
    """A query that may fail took the whole transaction with it: the job starts again without that query.

    Args:
        key: Names the query within the job.
        message: Its error.
    """

    def __init__(self, key: int, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def in_transaction(session: Session, body: Callable[[Mapping[int, str]], T]) -> T:
    """Runs a job in a transaction.

    DuckDB has no savepoints and gives a transaction up when a query of it fails while running. A job that runs queries
    which are allowed to fail raises `QueryAborted`; it is then rolled back and run again, told of the errors so far.

    Args:
        session: The connection, not in a transaction.
        body: The job; its argument maps keys of queries that failed to their errors.

    Returns:
        What the job returns, after the commit. When it raises, nothing of it is left.
    """
    failed: dict[int, str] = {}
    while True:
        session.con.begin()
        try:
            result = body(failed)
            session.con.commit()
        except QueryAborted as aborted:
            roll_back(session)
            failed[aborted.key] = aborted.message
        except BaseException:
            roll_back(session)
            raise
        else:
            return result


def usable(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the current transaction still takes statements."""
    try:
        con.execute("SELECT 1").fetchall()
    except duckdb.Error:
        return False
    return True


def roll_back(session: Session) -> None:
    """Gives the current transaction up, and goes back to the default schema that the session began with."""
    insist(session.con.rollback)
    insist(lambda: session.con.execute(f"USE {qualified(*session.home)}"))


def insist(action: Callable[[], object]) -> None:
    """Does what has to be done even while the command is being interrupted."""
    while True:
        try:
            action()
        except duckdb.InterruptException:
            continue
        except duckdb.TransactionException as error:
            if "no transaction is active" not in str(error):
                raise
        return
