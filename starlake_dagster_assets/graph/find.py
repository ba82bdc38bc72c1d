"""Finds a node by a name that a user passes."""

from __future__ import annotations

from starlake_dagster_assets.errors import SelectionError, closest_match
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["find_node"]


def find_node(graph: Graph, name: str) -> Node:
    """Returns the table, task, external table or set of incoming files with a given name.

    Args:
        graph: The graph of the project.
        name: `schema.table` by final names, the raw name (`<directory>.<file>`), or a table name that only one node
            has; case does not count. The incoming files of a table are `incoming.<domain>.<table>`.

    Raises:
        SelectionError: When no node has this name (the message suggests the closest one), or several nodes have it.
        TypeError: When the name is not a string.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users are not type-checked
        raise TypeError(f"a name is a text such as `kpi.revenue`, not {type(name).__name__}.")
    if name in graph.nodes:
        return graph.nodes[name]
    wanted = name.strip().lower()
    for names in (_whole_names, _table_names):
        found = [node for node in graph.nodes.values() if wanted in names(node)]
        if len(found) == 1:
            return found[0]
        if found:
            raise SelectionError(f"`{name}` may be {' or '.join(node.id for node in found)}: pass one of these names.")
    known = [spelled for node in graph.nodes.values() for spelled in (node.id, node.raw) if spelled]
    close = closest_match(name, known)
    raise SelectionError(f"`{name}` names nothing in this project" + (f": did you mean `{close}`?" if close else "."))


def _whole_names(node: Node) -> set[str]:
    return {node.id.lower(), node.raw.lower()} - {""}


def _table_names(node: Node) -> set[str]:
    if node.is_files:
        return set()
    return {node.key[-1].lower(), node.raw.lower().rpartition(".")[2]} - {""}
