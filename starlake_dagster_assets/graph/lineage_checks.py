"""Problems of references that are ambiguous or circular, or that the starlake program resolves differently."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.name_resolution import NameResolution
from starlake_dagster_assets.graph.nodes import node_file
from starlake_dagster_assets.graph.starlake_lineage import StarlakeUpstreams
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Task

__all__ = [
    "ambiguous_name_problem",
    "compare_with_starlake",
    "cycle_problem",
    "renamed_table_problem",
    "self_reference_problem",
]


def ambiguous_name_problem(
    node: Node, task: Task, name: str, meant: NameResolution, nodes: Mapping[str, Node]
) -> Problem:
    """Returns the warning for an unqualified name that several tables have.

    Args:
        node: The task's node.
        task: The task that spells the name.
        name: The name, as spelled in the SQL.
        meant: The result of resolving the name, with the candidates.
        nodes: All known nodes by id.
    """
    places = ", ".join(f"{candidate} ({node_file(nodes[candidate])})" for candidate in meant.candidates)
    taken = f"{meant.node}, of the task's own domain, is taken." if meant.node else "None is in the task's own domain."
    file, line = _location(node, task, name)
    return Problem(
        file=file,
        line=line,
        message=f"`{name}` may be any of {places}. {taken}",
        hint=f"Write `<domain>.{name}`.",
        severity="warning",
        code="ambiguous-name",
    )


def renamed_table_problem(node: Node, task: Task, name: str, meant: Node) -> Problem:
    """Returns the warning for SQL that reads a renamed load table by its raw name.

    Args:
        node: The task's node.
        task: The task that spells the name.
        name: The name, as spelled in the SQL.
        meant: The load table.
    """
    file, line = _location(node, task, name)
    return Problem(
        file=file,
        line=line,
        message=f"`{name}` is the name of this table in {node_file(meant)}; its name in the warehouse is {meant.id}. "
        "The graph has no edge from it.",
        hint=f"Write `{meant.id}`.",
        severity="warning",
        code="raw-name",
    )


def self_reference_problem(node: Node, task: Task, name: str) -> Problem:
    """Returns the warning for a task that reads the table it writes."""
    file, line = _location(node, task, name)
    return Problem(
        file=file,
        line=line,
        message=f"{node.id} reads its own table: the graph has no edge for it. It runs here and with "
        "`starlake transform`, but starlake's own `lineage`, `dag-generate` and `transform --recursive` fail on it.",
        severity="warning",
        code="self-reference",
    )


def cycle_problem(cycle: tuple[str, ...], nodes: Mapping[str, Node]) -> Problem:
    """Returns the error for nodes that depend on each other.

    Args:
        cycle: Ids of its nodes in order, from the smallest.
        nodes: All nodes by id.
    """
    place = node_file(nodes[cycle[0]])
    files = ", ".join(str(node_file(nodes[name])) for name in cycle)
    return Problem(
        file=place.file,
        line=place.line,
        message=f"cycle: {' → '.join([*cycle, cycle[0]])} (files: {files}).",
        hint="They depend on each other: remove one of these references.",
        code="cycle",
    )


def compare_with_starlake(
    node: Node, task: Task, sources: Mapping[str, str], engine: StarlakeUpstreams
) -> list[Problem]:
    """Returns the warnings for edges that the starlake program misses or invents, and for names on which it fails.

    Args:
        node: The task's node.
        task: The task.
        sources: Ids of the load tables and tasks that the task reads, each with its name as spelled in the SQL.
        engine: The upstreams that the starlake program finds in the same SQL.

    Returns:
        At most one `lineage-differs` and one `engine-fails`; none if the SQL is not parsed (`parseSQL: false`).
    """
    if not task.parse_sql:
        return []
    problems: list[Problem] = []
    if engine.failures:
        file, line = _location(node, task, None)
        message = f"starlake's own `lineage` and `dag-generate` fail on this SQL: {'; '.join(engine.failures)}."
        hint = "Write names as `domain.table`, and give CTEs names that no table or task has."
        problems.append(
            Problem(file=file, line=line, message=message, hint=hint, severity="warning", code="engine-fails")
        )
    lost = sorted(sources.keys() - engine.sources - {node.id})
    invented = sorted(engine.sources - sources.keys() - {node.id})
    if lost or invented:
        file, line = _location(node, task, sources[lost[0]] if lost else None)
        differences = [f"misses {', '.join(lost)}"] if lost else []
        differences += [f"invents {', '.join(invented)}"] if invented else []
        problems.append(
            Problem(
                file=file,
                line=line,
                message=f"starlake's own lineage of {node.id} {' and '.join(differences)}.",
                hint="The graph here is right; DAGs that starlake generates are not.",
                severity="warning",
                code="lineage-differs",
            )
        )
    return problems


def _location(node: Node, task: Task, name: str | None) -> tuple[str, int | None]:
    """Returns the SQL file of a task, and the line at which a name occurs in it, if known."""
    location = task.source_location
    last = name.rsplit(".", 1)[-1].strip('"') if name else ""
    if last and task.source_sql:
        found = re.search(rf"(?<!\w){re.escape(last)}(?!\w)", task.source_sql, re.IGNORECASE)
        if found:
            return location.file, (location.line or 1) + task.source_sql.count("\n", 0, found.start())
    return location.file, location.line
