"""The selection grammar: `domain:sales tag:daily,kind:task +kpi.revenue`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, TypeVar, cast

from starlake_dagster_assets.errors import SelectionError, closest_match
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.plural import first_of

__all__ = ["assign_by_selection", "closest_names", "format_names", "quote_selection", "select"]

_T = TypeVar("_T")
_TERM = re.compile(r"(?:(?P<up>\d{0,9})\+)?(?P<atom>[^+]*(?:\+(?!\d{0,9}$)[^+]*)*)(?:\+(?P<down>\d{0,9}))?", re.DOTALL)
_KINDS: Mapping[str, Callable[[Node], bool]] = {
    "table": lambda node: node.kind == "table",
    "task": lambda node: node.kind == "task",
    "view": lambda node: node.is_view,
    "external": lambda node: node.kind == "external" and not node.is_files,
    "files": lambda node: node.is_files,
}


def select(graph: Graph, expression: str | Sequence[str], exclude: str | Sequence[str] | None = None) -> frozenset[str]:
    """Returns the ids of the nodes that an expression selects.

    White space is union, a comma is intersection. A term is `domain:x`, `tag:x` (also `tag:key=value`),
    `kind:table|task|view|external|files`, or a name: `table`, `schema.table` or a raw name, with `*` and `?`; case does
    not count. `+term` adds all upstreams, `term+` all downstreams, `2+term+1` two and one levels of them.

    Args:
        graph: The graph.
        expression: One expression, or several whose union is meant. `*` is everything.
        exclude: Expressions of nodes to remove from the result, in the same grammar.

    Returns:
        Node ids. Nodes of incoming files are only found as upstreams, as `kind:files` and by their own ids.

    Raises:
        SelectionError: When a term is invalid or selects nothing; the message suggests the closest name.
    """
    chosen = _union(graph, expression)
    return chosen - _union(graph, exclude) if exclude else chosen


def assign_by_selection(graph: Graph, by_selection: Mapping[str, _T]) -> dict[str, _T]:
    """Assigns values to nodes by selections; the first selection that contains a node takes precedence.

    Args:
        graph: The graph.
        by_selection: The settings, by selection expression (see `select`).

    Returns:
        The settings by node id, without nodes that are in no selection.

    Raises:
        SelectionError: As `select` does.
    """
    found: dict[str, _T] = {}
    for expression, value in by_selection.items():
        for node in select(graph, expression):
            found.setdefault(node, value)
    return found


def quote_selection(select: str | Sequence[str] | None, exclude: str | Sequence[str] | None) -> str:
    """Returns a selection as messages quote it: `'tag:daily' (without 'kpi.*')`.

    Args:
        select: Tables and tasks; None for all.
        exclude: Tables and tasks that are left out.
    """
    text = repr("*" if select is None else select)
    return f"{text} (without {exclude!r})" if exclude else text


def format_names(names: Iterable[str], limit: int = 20) -> str:
    """Returns the first names in order, for messages.

    Args:
        names: Names, such as node ids.
        limit: The number of names that are shown.
    """
    return first_of(sorted(names), limit)


def closest_names(names: Iterable[str], select: str | Sequence[str] | None, limit: int = 5) -> list[str]:
    """Returns the names that are most similar to the names in a selection, for messages; the most similar first.

    Args:
        names: Names, such as node ids.
        select: The selection; None for all.
        limit: The number of names that are returned.
    """
    text = re.sub(r"\bkind:\w*|\b(?:domain|tag):", " ", " ".join(_expressions(select or "*")).lower())
    words = [word for word in re.split(r"[\s,+*?]+", text) if word]
    scores = {
        name: max((SequenceMatcher(None, word, name.lower()).ratio() for word in words), default=0.0) for name in names
    }
    return sorted(scores, key=lambda name: (-scores[name], name))[:limit]


def _union(graph: Graph, expression: str | Sequence[str]) -> frozenset[str]:
    texts = _expressions(expression)
    index = _Index(graph)
    found: set[str] = set()
    for text in texts:
        if not text.strip():
            raise SelectionError("empty selection: name something, or write * for everything")
        for item in re.sub(r"\s*,\s*", ",", text.strip()).split():
            first, *others = (_term(index, term, item) for term in item.split(","))
            found |= first.intersection(*others)
    return frozenset(found)


def _expressions(given: Any) -> list[str]:
    """Returns the expressions of a user's selection: one text, or several.

    Raises:
        TypeError: For anything else, such as a node or an `AssetSelection`.
    """
    is_record = hasattr(given, "_fields")  # of Dagster's: some are sequences too
    several = isinstance(given, Sequence | Set) and not isinstance(given, str | bytes) and not is_record
    found: list[Any] = list(cast("Iterable[Any]", given)) if several else [given]
    for one in found:
        if not isinstance(one, str):
            kind = f"the class {one.__name__}" if isinstance(one, type) else type(one).__name__
            raise TypeError(
                f'select and exclude take an expression such as "tag:daily+", or a list of them; found {kind}.'
            )
    return found


def _term(index: _Index, term: str, item: str) -> set[str]:
    match = _TERM.fullmatch(term)
    if match is None or not match["atom"]:
        raise SelectionError(f"`{item}` is not a selection: a name or a word such as `domain:x` is missing")
    found = index.atom(match["atom"])
    ups = _walk(index.graph.upstream, found, match["up"])
    return ups | _walk(index.graph.downstream, found, match["down"])


def _walk(neighbours: Mapping[str, Sequence[str]], start: set[str], steps: str | None) -> set[str]:
    """Returns all ids within a number of steps: None for no step, "" for no limit."""
    limit = 0 if steps is None else len(neighbours) if not steps else int(steps)
    seen, frontier = set(start), set(start)
    while frontier and limit > 0:
        frontier = {other for node in frontier for other in neighbours[node]} - seen
        seen |= frontier
        limit -= 1
    return seen


@dataclass
class _Index:
    graph: Graph

    def __post_init__(self) -> None:
        self._ids: dict[str, set[str]] = defaultdict(set)
        for node in self.graph.nodes.values():
            for name in _names(node):
                self._ids[name.lower()].add(node.id)

    def atom(self, atom: str) -> set[str]:
        """Returns the ids that the name or method of one term selects, without upstreams and downstreams."""
        method, colon, value = atom.partition(":")
        if not colon:
            return self._named(atom)
        if method == "kind":
            return self._kind(value)
        if method in {"domain", "tag"}:
            return self._valued(method, value, _domains if method == "domain" else _tags)
        close = closest_match(method, ["domain", "tag", "kind"])
        hint = f"did you mean {close}?" if close else "known are domain, tag and kind"
        raise SelectionError(f"`{atom}`: unknown word `{method}:`, {hint}")

    def _kind(self, value: str) -> set[str]:
        test = _KINDS.get(value.lower())
        if test is None:
            raise SelectionError(f"`kind:{value}`: unknown kind, known are {', '.join(_KINDS)}")
        return {node.id for node in self.graph.nodes.values() if test(node)}

    def _named(self, name: str) -> set[str]:
        if name == "*":
            return {node.id for node in self.graph.nodes.values() if not node.is_files}
        found = self._matching(self._ids, name)
        if not found:
            close = self._closest(name)
            raise SelectionError(
                f"`{name}` names nothing in this project" + (f": did you mean {close}?" if close else "")
            )
        return found

    def _closest(self, name: str) -> str | None:
        """Returns the closest name; for a pattern such as `kip.*`, a pattern with the closest domain that has nodes."""
        domain, dot, rest = name.partition(".")
        if dot and ("*" in rest or "?" in rest):
            near = closest_match(domain, [known for node in self.graph.nodes.values() for known in _domains(node)])
            if near and self._matching(self._ids, f"{near}.{rest}"):
                return f"{near}.{rest}"
        return closest_match(name, [known for node in self.graph.nodes.values() for known in _names(node)])

    def _valued(self, method: str, value: str, values: Callable[[Node], Iterable[str]]) -> set[str]:
        ids: dict[str, set[str]] = defaultdict(set)
        spelled: list[str] = []
        for node in self.graph.nodes.values():
            for known in values(node):
                spelled.append(known)
                ids[known.lower()].add(node.id)
        found = self._matching(ids, value)
        if not found:
            close = closest_match(value, spelled)
            hint = f": did you mean {method}:{close}?" if close else ""
            raise SelectionError(f"`{method}:{value}` names nothing in this project{hint}")
        return found

    @staticmethod
    def _matching(ids: Mapping[str, set[str]], wanted: str) -> set[str]:
        if "*" not in wanted and "?" not in wanted:
            return set(ids.get(wanted.lower(), ()))
        parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in wanted.lower())
        pattern = re.compile("".join(parts), re.DOTALL)
        return {node for name, nodes in ids.items() if pattern.fullmatch(name) for node in nodes}


def _names(node: Node) -> list[str]:
    """Returns the names that a user may give to a node: ids and raw names, with and without the schema."""
    if node.is_files:
        return [node.id]
    names = [node.id, node.key[-1]]
    if node.raw:
        names += [node.raw, node.raw.split(".")[-1]]
    return names


def _domains(node: Node) -> Iterable[str]:
    if node.is_files:
        return ()
    if node.table:
        return (node.table.final_domain, node.table.domain, node.table.domain_name)
    return (node.task.domain, node.task.transform_domain) if node.task else (node.domain,)


def _tags(node: Node) -> Iterable[str]:
    """Returns the tags of a node as written, and the keys of tags of the form `key=value`."""
    return [known for tag in node.tags for known in (tag, tag.partition("=")[0])]
