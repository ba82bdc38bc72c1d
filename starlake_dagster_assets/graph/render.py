"""The graph as text for people and programs: JSON, Mermaid, an indented tree."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator

from starlake_dagster_assets.graph.build import find_starlake_edges
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["GraphView", "build_graph_view", "to_json", "to_mermaid", "to_text"]

_DEEPEST = 40
"""Number of indented levels of the tree; deeper nodes start again at the left margin."""
_SHAPES = {"table": ('[("', '")]'), "task": ('["', '"]'), "external": ('(["', '"])'), "view": ('[/"', '"/]')}


class GraphView:
    """The part of a graph to show.

    Attributes:
        nodes: Sorted by id.
        edges: (upstream id, downstream id), sorted; both ends are in `nodes`.
    """

    def __init__(self, nodes: list[Node], edges: list[tuple[str, str]]) -> None:
        self.nodes = nodes
        self.edges = edges


def build_graph_view(
    graph: Graph, selection: Collection[str] | None = None, *, files: bool = False, parity: bool = False
) -> GraphView:
    """Returns the part of a graph to show: the selected nodes and the edges between them.

    Args:
        graph: The graph.
        selection: Node ids, None for all.
        files: Whether the incoming files are shown.
        parity: Whether the edges are those that the starlake program's regular expressions find.
    """
    wanted = set(graph.nodes) if selection is None else set(selection)
    nodes = [node for node in graph.nodes.values() if node.id in wanted and (files or not node.is_files)]
    shown = {node.id for node in nodes}
    edges = (
        [edge for edge in graph.edges if edge.via == "files"] + list(find_starlake_edges(graph))
        if parity
        else graph.edges
    )
    pairs = {(edge.source, edge.target) for edge in edges if edge.source in shown and edge.target in shown}
    return GraphView(sorted(nodes, key=lambda node: node.id), sorted(pairs))


def to_json(shown: GraphView) -> str:
    """Returns `{"nodes": [{"id", "kind", "raw", "key"}], "edges": [[upstream, downstream]]}`, sorted."""
    nodes = [{"id": n.id, "kind": n.kind, "raw": n.raw or n.id, "key": list(n.key)} for n in shown.nodes]
    return json.dumps({"nodes": nodes, "edges": [list(pair) for pair in shown.edges]}, ensure_ascii=False, indent=2)


def to_mermaid(shown: GraphView) -> str:
    """Returns a Mermaid flow chart, one subgraph per schema: cylinders are load tables, slanted boxes views."""
    short = {node.id: f"n{number}" for number, node in enumerate(shown.nodes)}
    schemas: dict[str, list[Node]] = {}
    for node in shown.nodes:
        schemas.setdefault(_schema(node), []).append(node)
    lines = ["flowchart LR"]
    for number, (schema, nodes) in enumerate(sorted(schemas.items())):
        lines.append(f'  subgraph s{number}["{_escape(schema)}"]')
        for node in nodes:
            left, right = _SHAPES["view" if node.is_view else node.kind]
            lines.append(f"    {short[node.id]}{left}{_escape(node.key[-1])}{right}")
        lines.append("  end")
    lines += [f"  {short[source]} --> {short[target]}" for source, target in shown.edges]
    return "\n".join(lines)


def to_text(shown: GraphView) -> str:
    """Returns the graph as a text tree from the sources down; a node that was shown already is not expanded again.

    Nodes below 40 levels start again at the left margin, so that the size of the text is bounded by that of the graph.
    """
    following: dict[str, list[str]] = {node.id: [] for node in shown.nodes}
    fed = {target for _, target in shown.edges}
    for source, target in shown.edges:
        following[source].append(target)
    by_id = {node.id: node for node in shown.nodes}
    seen: set[str] = set()
    lines: list[str] = []
    # nodes on cycles have no root: they are last, as roots of the remaining graph
    for start in [*(n for n in by_id if n not in fed), *by_id]:
        later = deque([start])
        while later:
            begin = later.popleft()
            if begin not in seen:
                lines += _branch(begin, following, by_id, seen, later)
    return "\n".join(lines)


def _branch(
    start: str, following: dict[str, list[str]], by_id: dict[str, Node], seen: set[str], later: deque[str]
) -> Iterator[str]:
    """Yields the lines of one tree; nodes that are too deep for it are added to `later`."""
    todo: list[tuple[str, str, str]] = [(start, "", "")]
    while todo:
        name, lead, indent = todo.pop()
        again = following[name] and (name in seen or len(indent) >= 3 * _DEEPEST)
        yield f"{lead}{name} ({_label(by_id[name])})" + (" …" if again else "")
        if name in seen:
            continue
        if len(indent) >= 3 * _DEEPEST and following[name]:
            later.append(name)
            continue
        seen.add(name)
        below = following[name]
        for position, child in reversed(list(enumerate(below))):
            last = position == len(below) - 1
            todo.append((child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")))


def _label(node: Node) -> str:
    return "files" if node.is_files else "view" if node.is_view else node.kind


def _schema(node: Node) -> str:
    return ".".join(node.key[:-1]) or node.id


def _escape(text: str) -> str:
    for char, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("`", "#96;")):
        text = text.replace(char, code)
    return " ".join(text.split())
