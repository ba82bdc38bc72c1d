"""The nodes of a project's graph: one an object, ids by final names, collisions reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model import Domain, ExternalTable, Location, Project, Table
from starlake_dagster_assets.project.problems import Problem

__all__ = ["NodeSet", "collect_nodes", "node_file"]


@dataclass
class NodeSet:
    """The nodes found so far.

    Attributes:
        made: Load tables, tasks and declared external tables, in file order.
        files: The nodes of incoming files.
        problems: Collisions of names.
    """

    made: list[Node] = field(default_factory=list[Node])
    files: list[Node] = field(default_factory=list[Node])
    problems: list[Problem] = field(default_factory=list[Problem])


def collect_nodes(project: Project) -> NodeSet:
    """All nodes that the project's own files describe.

    Args:
        project: The resolved project.

    Returns:
        Its nodes; of two objects with one final name the first is kept and the other is an error, of two with one
        name for the command line as well.
    """
    found = NodeSet()
    by_id: dict[str, Node] = {}
    by_raw: dict[tuple[str, str], Node] = {}
    for node in _described(project):
        other = by_id.setdefault(node.id.lower(), node)
        if other is not node:
            found.problems.append(_collision(other, node))
            continue
        namesake = by_raw.setdefault((node.kind, node.raw.lower() or node.id.lower()), node)
        if namesake is not node:
            found.problems.append(_same_raw(namesake, node))
            continue
        found.made.append(node)
    kept = {node.id for node in found.made}
    found.files = [node for node in _incoming(project) if node.table and node.table.id in kept]
    return found


def node_file(node: Node) -> Location:
    """The file that describes a node: its SQL for a task that has one, else its YAML."""
    if node.task:
        return node.task.sql_location or node.task.location
    described: Table | ExternalTable | None = node.table or node.external
    return described.location if described else Location(file="")


def _described(project: Project) -> Iterator[Node]:
    for table in project.tables:
        key = (table.final_domain, table.final_name)
        yield Node(id=table.id, kind="table", raw=table.raw, key=key, table=table)
    for task in project.tasks:
        yield Node(id=task.id, kind="task", raw=task.raw, key=(task.domain, task.table), task=task)
    for external in project.externals:
        yield Node(id=external.id, kind="external", raw="", key=(external.domain, external.name), external=external)


def _incoming(project: Project) -> Iterator[Node]:
    for domain in project.domains:
        for table in domain.tables:
            if _directory(domain, table):
                key = ("incoming", domain.directory, table.stem)
                yield Node(id=".".join(key), kind="external", raw="", key=key, table=table, is_files=True)


def _directory(domain: Domain, table: Table) -> str | None:
    return domain.incoming or table.metadata.directory


def _collision(first: Node, second: Node) -> Problem:
    here, there = _yaml(second), _yaml(first)
    if second.kind == "external":
        message = f"{second.id} is described as an external table, but {there} makes it; this description is not used."
        hint = "Delete it, or rename one of the two."
        return Problem(file=here.file, line=here.line, message=message, hint=hint, severity="warning", code="collision")
    if first.kind == second.kind == "task":
        message = f"writes {second.id}, and so does {there}."
        hint = "Give one of them another `table` (or `domain`), or merge the two."
    else:
        message = f"{second.id} is the final name of this {second.kind} and of the {first.kind} in {there}."
        hint = "Rename one of them (`rename` for a load table, `table` for a task)."
    if first.id != second.id:
        hint += f" Names that differ only by case, such as {first.id}, are one table."
    return Problem(file=here.file, line=here.line, message=message, hint=hint, code="collision")


def _same_raw(first: Node, second: Node) -> Problem:
    here, there = _yaml(second), _yaml(first)
    message = f"the command line cannot tell this {second.kind} from the one in {there}: both are named {second.raw}."
    return Problem(file=here.file, line=here.line, message=message, hint="Rename one of the files.", code="collision")


def _yaml(node: Node) -> Location:
    described = node.table or node.task or node.external
    return described.location if described else Location(file="")
