"""Runs a job in one transaction per table: everything is committed at once, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import duckdb

from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.engine.session import Session

__all__ = ["in_transaction", "run_uninterrupted", "usable"]

T = TypeVar("T")


def in_transaction(session: Session, body: Callable[[], T]) -> T:
    """Runs a job in a transaction.

    Args:
        session: The connection, not in a transaction.
        body: The job.

    Returns:
        The result of the job, after the commit. If the job raises, all of its changes are rolled back.
    """
    session.con.begin()
    try:
        result = body()
        session.con.commit()
    except BaseException:
        roll_back(session)
        raise
    return result


def usable(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the current transaction accepts statements; DuckDB aborts it if a query fails while it runs."""
    try:
        con.execute("SELECT 1").fetchall()
    except duckdb.Error:
        return False
    return True


def roll_back(session: Session) -> None:
    """Rolls back the current transaction, and restores the default schema of the session."""
    run_uninterrupted(session.con.rollback)
    run_uninterrupted(lambda: session.con.execute(f"USE {qualified(*session.home)}"))


def run_uninterrupted(action: Callable[[], T]) -> T | None:
    """Calls an action until it ends without an interruption, such as a rollback while a command is interrupted.

    Returns:
        Its result; None for a rollback without a transaction.
    """
    while True:
        try:
            result = action()
        except duckdb.InterruptException:
            continue
        except duckdb.TransactionException as error:
            if "no transaction is active" not in str(error):
                raise
            return None
        return result
