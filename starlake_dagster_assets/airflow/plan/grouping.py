"""Groups nodes into DAGs: nodes with the same trigger, and nodes that only follow these."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from starlake_dagster_assets.airflow.plan.model import AssetExpression
from starlake_dagster_assets.automation.policies.expression import joined
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Condition, CronSchedule, PreLoad, Upstream
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Graph

__all__ = [
    "DagNodes",
    "FileTrigger",
    "Start",
    "connected_components",
    "drop_covered_upstreams",
    "group_into_dags",
    "is_met_by_any_update",
    "reduce_condition",
    "topological_order",
]


@dataclass(frozen=True)
class FileTrigger:
    """Trigger by incoming files."""

    preload: PreLoad


Start = CronSchedule | FileTrigger | AssetExpression | None
"""Trigger of a DAG: a cron, files or assets; None if the DAG is only started by hand."""


@dataclass
class DagNodes:
    """Nodes of one DAG, upstream first.

    Attributes:
        scope: Values that the nodes have in common, apart from their trigger.
        start: Trigger of the DAG; an `AssetExpression` names nodes of other DAGs.
        nodes: Ids of the nodes.
        follows_updates: Whether an update of any followed node starts the DAG, and each node runs only if its own
            condition is met.
    """

    scope: tuple[Hashable, ...]
    start: Start
    nodes: list[str] = field(default_factory=list[str])
    follows_updates: bool = False


def reduce_condition(condition: Condition, made: Iterable[str], patient: frozenset[str]) -> AssetExpression | None:
    """Reduces a condition to exported nodes: `&` does not wait for optional or slower ones, `|` counts them.

    Returns None if no node of the condition has a task.

    Args:
        condition: Condition of a node on its upstreams.
        made: Ids of the nodes that have a task.
        patient: Ids of the optional and slower nodes, which are watched but not waited for.
    """
    known = frozenset(made)
    found = _reduced(condition, known, patient)
    if found is None:  # all is optional: any of them
        found = _reduced(condition, known, frozenset())
        names = found.names if isinstance(found, AssetExpression) else (found,) if found else ()
        return AssetExpression("|", names) if len(names) > 1 else AssetExpression("&", names) if names else None
    return found if isinstance(found, AssetExpression) else AssetExpression("&", (found,))


def drop_covered_upstreams(condition: Condition, conditions: Mapping[str, Condition]) -> Condition:
    """Removes members upstream of another member from an `|` condition: Airflow would run the task for each of them.

    Args:
        condition: Condition of a node on its upstreams.
        conditions: Conditions of all nodes that have one, by id.
    """
    if not isinstance(condition, AnyOf):
        return condition
    covered: set[str] = set()
    stack: list[Condition] = list(condition.parts)
    while stack:
        one = stack.pop()
        below = conditions.get(one.node) if isinstance(one, Upstream) else None
        parts = below.parts if isinstance(below, AnyOf) else (below,)
        more = {part.node for part in parts if isinstance(part, Upstream)} - covered
        covered |= more
        stack.extend(Upstream(node) for node in more)
    kept = [part for part in condition.parts if not (isinstance(part, Upstream) and part.node in covered)]
    return joined(AnyOf, kept)


def group_into_dags(
    order: Iterable[str],
    starts: Mapping[str, Start],
    scopes: Mapping[str, tuple[Hashable, ...]],
    size: int,
) -> list[DagNodes]:
    """Groups nodes into DAGs.

    A node that follows others joins their DAG, if that DAG follows updates itself or contains all of them. Otherwise a
    node joins the newest DAG of its scope whose nodes have the same trigger, or also follow others; else it opens a
    DAG. An update of any followed node starts a DAG that follows updates, and each node of the DAG runs only if its
    own condition is met. The DAGs never wait for each other in a cycle.

    Args:
        order: Node ids, upstream first.
        starts: Trigger of each node by id.
        scopes: Values that the nodes of one DAG must have in common, by node id.
        size: Maximum number of nodes per DAG.
    """
    found: list[DagNodes] = []
    dag_of: dict[str, DagNodes] = {}
    newest: dict[tuple[Hashable, ...], DagNodes] = {}
    for node in order:
        start, scope = starts[node], scopes[node]
        follows_updates = isinstance(start, AssetExpression)
        dag_nodes = _followed(start, scope, dag_of, size)
        if dag_nodes is None:
            key = (scope, "updates" if follows_updates else start)
            known = newest.get(key)
            if (
                known is None
                or len(known.nodes) >= size
                or (known.follows_updates and _would_form_cycle(start, known, dag_of))
            ):
                known = newest[key] = DagNodes(scope, start, follows_updates=follows_updates)
                found.append(known)
            dag_nodes = known
        dag_nodes.nodes.append(node)
        dag_of[node] = dag_nodes
        if dag_nodes.follows_updates:
            names = [*(dag_nodes.start.names if isinstance(dag_nodes.start, AssetExpression) else ()), *_names(start)]
            dag_nodes.start = AssetExpression(
                "|", tuple(dict.fromkeys(one for one in names if dag_of[one] is not dag_nodes))
            )
    return found


def is_met_by_any_update(rule: AssetExpression) -> bool:
    """Whether an update of any single name of a rule satisfies it."""
    return (rule.operator == "|" or len(rule.parts) == 1) and all(isinstance(part, str) for part in rule.parts)


def _names(start: Start) -> tuple[str, ...]:
    return start.names if isinstance(start, AssetExpression) else ()


def _would_form_cycle(start: Start, dag_nodes: DagNodes, dag_of: Mapping[str, DagNodes]) -> bool:
    """Whether an upstream of a node runs, through other DAGs, after the DAG that the node would join."""
    seen: set[int] = set()
    stack = [dag_of[name] for name in _names(start) if dag_of[name] is not dag_nodes]
    while stack:
        one = stack.pop()
        if one is dag_nodes:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            stack += [dag_of[name] for name in _names(one.start)]
    return False


def _followed(start: Start, scope: tuple[Hashable, ...], dag_of: Mapping[str, DagNodes], size: int) -> DagNodes | None:
    """Returns the DAG of a followed node that a node can join; None if there is none."""
    if not isinstance(start, AssetExpression):
        return None
    for name in start.names:
        dag_nodes = dag_of[name]
        if dag_nodes.scope != scope or len(dag_nodes.nodes) >= size:
            continue
        if dag_nodes.follows_updates:
            can_join = not _would_form_cycle(start, dag_nodes, dag_of)
        else:
            can_join = all(dag_of[one] is dag_nodes for one in start.names)
        if can_join:
            return dag_nodes
    return None


def _reduced(condition: Condition, known: frozenset[str], patient: frozenset[str]) -> AssetExpression | str | None:
    if isinstance(condition, Upstream):
        return condition.node if condition.node in known else None
    every = isinstance(condition, AllOf)
    parts: list[AssetExpression | str] = []
    for one in condition.parts:
        if every and isinstance(one, Upstream) and one.node in patient:
            continue
        part = _reduced(one, known, patient)
        if part is None:
            continue
        same = isinstance(part, AssetExpression) and part.operator == ("&" if every else "|")
        parts += part.parts if isinstance(part, AssetExpression) and same else [part]
    once = tuple(dict.fromkeys(parts))
    if not once:
        return None
    return once[0] if len(once) == 1 else AssetExpression("&" if every else "|", once)


def topological_order(before: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns ids in topological order; ids that do not depend on each other are sorted.

    Args:
        before: The ids that come before each id, by id.

    Raises:
        ProjectError: For a cycle.
    """
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ProjectError([f"{circle}: Airflow has no cycles. Exclude one of them."]) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order


def connected_components(graph: Graph, ids: Collection[str]) -> Mapping[str, str]:
    """Returns the first node of each node's connected component in the subgraph of given nodes, by node id."""
    found: dict[str, str] = {}
    for start in ids:
        stack = [start]
        while stack:
            one = stack.pop()
            if one in ids and one not in found:
                found[one] = start
                stack += [*graph.upstream[one], *graph.downstream[one]]
    return found
