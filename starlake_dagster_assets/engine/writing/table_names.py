"""Resolves the names of tables in a task's SQL, before the embedded engine runs the SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.project.resolve.ref_rules import apply_refs
from starlake_dagster_assets.project.sql.references import find_references

__all__ = ["resolve_names"]


def resolve_names(sql: str, project: Project, dialect: str) -> str:
    """Applies `refs` to the tables a query reads, and gives one-part names the domain of the only table they can mean.

    Args:
        sql: One query, rendered.
        project: The project, for refs, load tables and tasks.
        dialect: sqlglot dialect of the query.

    Returns:
        The query with those names replaced and everything else unchanged. A query that cannot be parsed, or
        with a name that several tables have, is returned unchanged: DuckDB then raises the error.
    """
    written = [item for item in _tables(sql, dialect) if project.application.refs or len(item[0]) == 1]
    reads = {name.lower() for name in find_references(sql, dialect)} if written else set[str]()
    edits: list[tuple[int, int, str]] = []
    for parts, start, end in written:
        if ".".join(parts).lower() not in reads:
            continue
        found: tuple[str, ...] | None = apply_refs(project.application.refs, parts) if len(parts) <= 3 else None
        if found is None and len(parts) == 1:
            candidates = _candidates(parts[0], project)
            if len(candidates) > 1:
                return sql
            found = next(iter(candidates), None)
        if found is not None:
            edits.append((start, end, qualified(*found)))
    for start, end, text in sorted(edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


def _tables(sql: str, dialect: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yields the parts, the start and the end of each table name in SQL text."""
    try:
        trees: list[Any] = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except (SqlglotError, ValueError, RecursionError):
        return
    for tree in trees:
        for table in tree.find_all(exp.Table):
            parts: list[Any] = [part for part in table.parts if isinstance(part, exp.Identifier)]
            spans = [(part.meta.get("start"), part.meta.get("end")) for part in parts]
            if parts and len(parts) == len(table.parts) and all(start is not None for start, _ in spans):
                yield tuple(part.name for part in parts), spans[0][0], spans[-1][1] + 1


def _candidates(name: str, project: Project) -> set[tuple[str, ...]]:
    tables = {
        (item.final_domain, item.final_name) for item in project.tables if item.final_name.lower() == name.lower()
    }
    tasks = {(item.domain, item.table) for item in project.tasks if item.table.lower() == name.lower()}
    unique = {tuple(part.lower() for part in pair): pair for pair in sorted(tables | tasks)}
    return set(unique.values())
