"""The nodes of a project's graph: one per object, ids by final names, collisions reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Domain, Location, Project, Table

__all__ = ["NodeSet", "collect_nodes", "node_file"]


@dataclass
class NodeSet:
    """Nodes of the graph of a project, and the collisions of their names.

    Attributes:
        produced: Load tables, tasks and declared external tables, in file order.
        files: The nodes of incoming files.
        problems: Collisions of names.
        writers: By node id, all nodes that write the same table, if there are several.
    """

    produced: list[Node] = field(default_factory=list[Node])
    files: list[Node] = field(default_factory=list[Node])
    problems: list[Problem] = field(default_factory=list[Problem])
    writers: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def collect_nodes(project: Project) -> NodeSet:
    """Returns all nodes that the project's own files describe.

    Args:
        project: The resolved project.

    Returns:
        Its nodes. Several tasks, or a load table and tasks, may write one table: each has a node of its own. If two
        load tables have the same final name, or two objects the same raw name, the first is kept and the other is
        an error.
    """
    found = NodeSet()
    by_id: dict[str, Node] = {}
    by_raw: dict[tuple[str, str], Node] = {}
    by_target: dict[tuple[str, ...], list[Node]] = {}
    for node in _name_tasks(list(_described(project))):
        written = by_target.get(_target(node), [])
        other = written[0] if written and node.kind == "external" else by_id.setdefault(node.id.lower(), node)
        if other is not node:
            found.problems.append(_collision(other, node))
            continue
        namesake = by_raw.setdefault((node.kind, node.raw.lower() or node.id.lower()), node)
        if namesake is not node:
            found.problems.append(_same_raw(namesake, node))
            continue
        found.produced.append(node)
        if node.kind != "external":
            by_target.setdefault(_target(node), []).append(node)
    kept = {node.id for node in found.produced}
    shared = [tuple(node.id for node in nodes) for nodes in by_target.values() if len(nodes) > 1]
    found.writers = {one: ids for ids in shared for one in ids}
    found.problems += _replacing(found)
    found.files = [node for node in _incoming(project) if node.table and node.table.id in kept]
    return found


def node_file(node: Node) -> Location:
    """Returns the file that describes a node: the SQL file of a task if it has one, otherwise the YAML file."""
    return node.task.source_location if node.task else node.location


def _described(project: Project) -> Iterator[Node]:
    for table in project.tables:
        key = (table.final_domain, table.final_name)
        yield Node(id=table.id, kind="table", raw=table.raw, key=key, table=table)
    for task in project.tasks:
        yield Node(id=task.id, kind="task", raw=task.raw, key=(task.domain, task.table), task=task)
    for external in project.externals:
        yield Node(id=external.id, kind="external", raw="", key=(external.domain, external.name), external=external)


def _name_tasks(nodes: list[Node]) -> Iterator[Node]:
    """Yields the nodes; a task whose table has other writers is named after its file, as in Starlake."""
    shared = Counter(_target(node) for node in nodes if node.kind != "external")
    taken = {node.id.lower() for node in nodes if not node.task or shared[_target(node)] == 1}
    for node in nodes:
        if node.task is None or shared[_target(node)] == 1:
            yield node
            continue
        domain, stem = node.task.domain, node.task.stem
        while f"{domain}.{stem}".lower() in taken:  # a load writes a table of this name
            stem += "__task"
        yield replace(node, id=f"{domain}.{stem}", key=(domain, stem))


def _target(node: Node) -> tuple[str, ...]:
    return tuple(part.lower() for part in node.target)


def _replacing(found: NodeSet) -> Iterator[Problem]:
    """Yields a warning per task that replaces the rows of the other writers of its table."""
    for node in found.produced:
        task = node.task
        if task is None or node.id not in found.writers:
            continue
        kind = "VIEW" if node.is_view else task.write_strategy.type.upper()
        if kind in {"OVERWRITE", "VIEW"}:
            others = ", ".join(one for one in found.writers[node.id] if one != node.id)
            here = node_file(node)
            yield Problem(
                file=here.file,
                line=here.line,
                message=f"{node.id} replaces {task.id} ({kind}), which {others} also write: the last one to run wins.",
                hint="Use APPEND or an UPSERT strategy, or give the task a table of its own.",
                severity="warning",
                code="several-writers",
            )


def _incoming(project: Project) -> Iterator[Node]:
    for domain in project.domains:
        for table in domain.tables:
            if _directory(domain, table):
                key = ("incoming", domain.directory, table.stem)
                yield Node(id=".".join(key), kind="external", raw="", key=key, table=table, is_files=True)


def _directory(domain: Domain, table: Table) -> str | None:
    return domain.incoming or table.metadata.directory


def _collision(first: Node, second: Node) -> Problem:
    here, there = second.location, first.location
    if second.kind == "external":
        message = f"{second.id} is described as an external table, but {there} writes it; this description is not used."
        hint = "Delete it, or rename one of the two."
        return Problem(file=here.file, line=here.line, message=message, hint=hint, severity="warning", code="collision")
    message = f"{second.id} is the final name of this {second.kind} and of the {first.kind} in {there}."
    hint = "Rename one of them (`rename` for a load table, `table` for a task)."
    if first.id != second.id:
        hint += f" Names that differ only by case, such as {first.id}, are one table."
    return Problem(file=here.file, line=here.line, message=message, hint=hint, code="collision")


def _same_raw(first: Node, second: Node) -> Problem:
    here, there = second.location, first.location
    message = f"on the command line, this {second.kind} and that in {there} have the same name: {second.raw}."
    return Problem(file=here.file, line=here.line, message=message, hint="Rename one of the files.", code="collision")
