"""The interface of all warehouse readers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow
from starlake_dagster_assets.execution.failing_row_queries import Sample
from starlake_dagster_assets.project.model.project import Expectation

__all__ = ["WarehouseReader", "as_texts"]


class WarehouseReader(ABC):
    """Reader of the audit tables and the tables of a project.

    Tables are named by their final schema and table, rows of the audit by what Starlake writes there. A method that
    cannot know returns None, never an empty answer: a missing audit table is no evidence about a command,
    because the audit may be inactive or in another database. A warehouse that does not answer raises. A subclass
    implements the first four methods, and of the others those that its warehouse allows.
    """

    supports_concurrent_reads: bool = False
    """Whether the warehouse can be read while a command writes to it."""

    @abstractmethod
    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the rows of `audit.audit` with a JOBID, oldest first; None if there is no such table to read."""

    @abstractmethod
    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` with a JOBID, oldest first; None if they cannot be read."""

    @abstractmethod
    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]] | None:
        """Returns name and warehouse type of each column; empty for a table that does not exist, None if unknown."""

    @abstractmethod
    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the number of rows of a table or view; None if it does not exist or is unknown."""

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """Returns at most `limit` texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        return ()

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow] | None:
        """Returns the LOAD rows of the newest JOBID with that DOMAIN and SCHEMA; empty if there is none."""
        return None

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """Evaluates expectations on the current state of a table; returns a row for each, or None if not possible."""
        return None

    def failing(self, schema: str, table: str, sql: str, limit: int) -> Sample | None:
        """Returns at most `limit` rows that the query of an expectation counts now; None if they are unknown."""
        return None

    def rows(self, schema: str, table: str, limit: int) -> Sequence[Sequence[str]]:
        """Returns at most `limit` rows of a table or view as texts, in the order of its columns."""
        return ()

    def load_partition_counts(self, job_id: str, domain: str, table: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per partition that a load wrote, by raw names; None if not counted."""
        return None

    def partition_counts(self, schema: str, table: str, column: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per value of a column; empty if the table does not exist, None if unknown.

        Dates and timestamps are in ISO 8601, timestamps truncated to a quarter of an hour; None stands for NULL.
        """
        return None


def as_texts(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Returns rows with values as text; NULL becomes ""."""
    return [["" if value is None else str(value) for value in row] for row in rows]
