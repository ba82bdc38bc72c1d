"""Rows of `audit.audit` that belong to one table, and what they contain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.execution.evidence import RequestedTable, TableResult

__all__ = ["file_names", "files_of_row", "is_load_of", "is_of", "is_second_step_of", "message_of", "with_counts"]


def file_names(rows: Iterable[AuditRow]) -> tuple[str, ...]:
    """Returns the distinct names of the files of some rows."""
    return tuple(dict.fromkeys(name for row in rows for name in files_of_row(row)))


def files_of_row(row: AuditRow) -> list[str]:
    """Returns the names of the files of a row."""
    return [path.strip().rsplit("/", 1)[-1] for path in row.paths.split(",") if path.strip()]


def is_load_of(row: AuditRow, one: RequestedTable) -> bool:
    """Whether a row records the load of a table, by the table's names in the project."""
    return row.step == "LOAD" and row.schema == one.table and row.domain in (one.domain, one.directory)


def is_second_step_of(row: AuditRow, one: RequestedTable) -> bool:
    """Whether a row records the final write of a load, by the table's name in the warehouse."""
    return row.step == "TRANSFORM" and is_of(row, one.final_domain, one.final_table)


def is_of(row: AuditRow, domain: str, table: str) -> bool:
    """Whether a row names a table, regardless of case."""
    return row.domain.lower() == domain.lower() and row.schema.lower() == table.lower()


def message_of(row: AuditRow) -> str:
    """Returns the message of a row without the stack trace that Starlake writes after it."""
    return row.message.partition(" \tat ")[0].strip()


def with_counts(verdict: TableResult, rows: Sequence[AuditRow]) -> TableResult:
    """Fills missing counts of a result from the LOAD rows of its table."""
    if not rows:
        return verdict
    counts = (_sum(row.count for row in rows), _sum(row.accepted for row in rows), _sum(row.rejected for row in rows))
    own = (verdict.input, verdict.accepted, verdict.rejected)
    found, accepted, rejected = (count if known is None else known for known, count in zip(own, counts, strict=True))
    return replace(verdict, input=found, accepted=accepted, rejected=rejected)


def _sum(counts: Iterable[int]) -> int | None:
    numbers = list(counts)
    return None if any(number < 0 for number in numbers) else sum(numbers)
