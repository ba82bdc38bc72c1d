"""Unknown tables in SQL: names in a domain of the project, or similar to a known name, that nothing produces."""

from __future__ import annotations

from collections.abc import Iterator

from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.graph.name_resolution import TableNames
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.references import split_name

__all__ = ["unknown_tables"]

_CLOSE = 0.8
"""Minimum similarity to a known name, for names whose domain is not one of the project."""


def unknown_tables(graph: Graph, project: Project, positions: Positions) -> Iterator[Problem]:
    """Reports the tables that tasks read and that nothing in the project produces, with the closest name.

    Args:
        graph: The graph of the project.
        project: The resolved project.
        positions: Finds words in its files.
    """
    known = [n for n in graph.nodes.values() if not n.is_files and (n.kind != "external" or n.external)]
    names = TableNames(known, project.application.refs)
    tables: dict[str, dict[str, str]] = {}
    for node in known:
        domain, table = node.target
        tables.setdefault(domain.lower(), {})[table] = node.id
    audit = project.application.audit.domain.lower() if project.application.audit.domain else ""
    for task in project.tasks:
        for name in task.references:
            meant = names.resolve(name, task)
            if meant.node or meant.unknown is None or meant.renamed or meant.candidates:
                continue
            domain, table = meant.unknown
            if domain.lower() != audit:
                yield from _problem(task, name, domain, table, tables, positions)


def _problem(
    task: Task, name: str, domain: str, table: str, tables: dict[str, dict[str, str]], positions: Positions
) -> Iterator[Problem]:
    own = tables.get(domain.lower())
    is_qualified = len(split_name(name)) > 1
    if is_qualified and own is not None:
        close = closest_match(table, own)
        meant = own[close] if close else None
        message = f"`{name}` is not a table of the domain `{domain}`: nothing in this project produces it."
    else:
        everything = {node: node for names in tables.values() for node in names.values()}
        shown = name if is_qualified else table
        pool = everything if is_qualified else {node.rsplit(".", 1)[-1]: node for node in everything}
        close = closest_match(shown, pool, cutoff=_CLOSE)
        if close is None:
            return
        meant = pool[close]
        message = f"`{name}` is not a table of this project."
    file, line, column = positions.find_in_task(task, split_name(name)[-1])
    hint = (
        f"Did you mean `{meant}`?"
        if meant
        else f"Describe it in metadata/external/{domain} if it is produced elsewhere."
    )
    yield Problem(
        file=file, line=line, column=column, message=message, hint=hint, severity="warning", code="unknown-table"
    )
