"""Leaves out the tasks that depend on objects with errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project

__all__ = ["DEPENDS_ON_BROKEN", "add_unreadable_nodes", "drop_broken_dependents"]

DEPENDS_ON_BROKEN = "depends-on-broken"
"""Code of the problem of a task that is left out because a file that it depends on has an error."""

_SUFFIX = ".sl.yml"
_CONFIG = f"_config{_SUFFIX}"


def add_unreadable_nodes(graph: Graph, problems: Sequence[Problem]) -> Graph:
    """Returns a graph with a node for each file that could not be read, so that a selection can name it.

    Args:
        graph: The graph, including the objects with errors whose files could be read.
        problems: The problems of the files.
    """
    described = {location for node in graph.nodes.values() for location in _files(node)}
    nodes = dict(graph.nodes)
    for file in sorted({problem.file for problem in problems if problem.stops_object} - described):
        path = PurePosixPath(file)
        domain, _, name = _name(file)[0].partition(".")
        if len(path.parts) > 3 and not any(one.raw.lower() == f"{domain}.{name}" for one in nodes.values()):
            nodes.setdefault(f"{domain}.{name}".rstrip("."), Node(f"{domain}.{name}", "external", "", (domain, name)))
    return replace(graph, nodes=dict(sorted(nodes.items())))


def drop_broken_dependents(
    project: Project, graph: Graph, problems: Sequence[Problem]
) -> tuple[Project, tuple[Problem, ...]]:
    """Leaves out the tasks that read an object with errors, directly or through other tasks.

    Args:
        project: The project without the objects whose files have errors.
        graph: The graph, including the objects with errors that could be read.
        problems: The problems of the files.

    Returns:
        The project without these tasks, and one problem per task.
    """
    causes = dict(_broken(graph, project, problems))
    todo, found = list(causes), list[Problem]()
    left_out: set[str] = set()
    while todo:
        name = todo.pop(0)
        for reader in graph.downstream.get(name, ()):
            task = graph.nodes[reader].task
            if reader in causes or task is None:
                continue
            causes[reader] = causes[name]
            todo.append(reader)
            left_out.add(task.raw)
            found.append(
                Problem(
                    file=task.location.file,
                    line=task.location.line,
                    message=f"the task `{task.id}` is left out: it depends on {name}, and {causes[name]} has an error.",
                    hint=f"Correct {causes[name]}.",
                    code=DEPENDS_ON_BROKEN,
                )
            )
    transforms = [
        domain.model_copy(update={"tasks": tuple(task for task in domain.tasks if task.raw not in left_out)})
        for domain in project.transforms
    ]
    kept = tuple(domain for domain in transforms if domain.tasks)
    return project.model_copy(update={"transforms": kept}), tuple(found)


def _broken(graph: Graph, project: Project, problems: Sequence[Problem]) -> Iterator[tuple[str, str]]:
    """Yields the nodes that are not in the project, with the file that has the error."""
    files = {problem.file for problem in problems if problem.stops_object}
    kept = {("table", table.raw) for table in project.tables} | {("task", task.raw) for task in project.tasks}
    names = dict(map(_name, sorted(files)))
    for node in graph.nodes.values():
        if node.is_files or (node.kind, node.raw) in kept:
            continue
        file = _own_file(node, files) if node.kind != "external" else _file_of(node.id, names)
        if file:
            yield node.id, file


def _own_file(node: Node, files: set[str]) -> str:
    """Returns the file with the error: the YAML file of the object, its SQL file, or the file of its domain."""
    locations = _files(node)
    if not locations:
        return ""
    config = str(PurePosixPath(locations[0]).with_name(_CONFIG))
    return next((file for file in (*locations, config) if file in files), locations[0])


def _files(node: Node) -> list[str]:
    """Returns the files of a table or task."""
    item = node.table or node.task
    if item is None:
        return []
    return [item.location.file, *([node.task.sql_location.file] if node.task and node.task.sql_location else [])]


def _name(file: str) -> tuple[str, str]:
    """Returns `<directory>.<stem>`, or `<directory>.` for the file of a domain, in lower case, and the file."""
    path = PurePosixPath(file)
    stem = "" if path.name == _CONFIG else path.name.removesuffix(_SUFFIX).removesuffix(".sql")
    return f"{path.parent.name}.{stem}".lower(), file


def _file_of(name: str, names: Mapping[str, str]) -> str:
    """Returns the file with an error that describes the table of a name, or its domain; "" if there is none."""
    lower = name.lower()
    return names.get(lower) or names.get(f"{lower.rpartition('.')[0]}.") or ""
