"""The properties of a table that decide the result of its load."""

from __future__ import annotations

from starlake_dagster_assets.execution.evidence import RequestedTable
from starlake_dagster_assets.project.model.project import Table

__all__ = ["expected_of"]


def expected_of(table: Table) -> RequestedTable:
    """Returns the names of a table, and the properties that decide the result of its load."""
    metadata = table.metadata
    appends = metadata.write_strategy.type.upper() == "APPEND" and not metadata.write_strategy.types
    return RequestedTable(
        table.domain_name,
        table.name,
        table.final_domain,
        table.final_name,
        table.domain,
        pattern=table.pattern,
        zero_is_loss=appends and not table.filter,
        header=not (metadata.format.upper().startswith("JSON") or (not metadata.with_header)),
    )
