"""Rows of the audit tables: the columns that are read, and the values of rows that a driver returns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow

__all__ = ["AUDIT", "EXPECTATIONS", "audit_row", "expectation_row", "number"]

_AUDIT = ("JOBID", "PATHS", "DOMAIN", "SCHEMA", "SUCCESS", "COUNT", "COUNTACCEPTED", "COUNTREJECTED", "DURATION")
AUDIT = (*_AUDIT, "MESSAGE", "STEP", "TIMESTAMP")
"""Columns of `audit.audit` in the order of `AuditRow`."""
EXPECTATIONS = ("JOBID", "DOMAIN", "SCHEMA", "NAME", "PARAMS", "SQL", "COUNT", "EXCEPTION", "SUCCESS", "TIMESTAMP")
"""Columns of `audit.expectations` in the order of `ExpectationRow`, and the time of a row."""

_TRUE = {"true", "t", "1", "y", "yes"}


def audit_row(row: Mapping[str, Any]) -> AuditRow:
    """Returns a row of `audit.audit`; a column that is missing or NULL is empty, 0 or false."""
    return AuditRow(
        _text(row, "JOBID"),
        _text(row, "PATHS"),
        _text(row, "DOMAIN"),
        _text(row, "SCHEMA"),
        _flag(row, "SUCCESS"),
        number(row.get("COUNT")),
        number(row.get("COUNTACCEPTED")),
        number(row.get("COUNTREJECTED")),
        number(row.get("DURATION")),
        _text(row, "MESSAGE"),
        _text(row, "STEP"),
        moment if isinstance(moment := row.get("TIMESTAMP"), datetime) else None,
    )


def expectation_row(row: Mapping[str, Any]) -> ExpectationRow:
    """Returns a row of `audit.expectations`; a column that is missing or NULL is empty, 0 or false."""
    return ExpectationRow(
        _text(row, "JOBID"),
        _text(row, "DOMAIN"),
        _text(row, "SCHEMA"),
        _text(row, "NAME"),
        _text(row, "PARAMS"),
        _text(row, "SQL"),
        number(row.get("COUNT")),
        _text(row, "EXCEPTION"),
        _flag(row, "SUCCESS"),
    )


def number(value: Any) -> int:
    """Returns a count from the value of a driver: an integer, a decimal, or NULL, which becomes 0."""
    return int(value or 0)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)
