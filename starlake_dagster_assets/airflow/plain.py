"""Triggers of a project without trigger options: the crons of its files, and lineage for the rest."""

from __future__ import annotations

from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.triggers.model import AllOf, Clock, Trigger, Triggers, Upstream, Watch

__all__ = ["plain_triggers"]


def plain_triggers(graph: Graph, timezone: str) -> Triggers:
    """A schedule where there is a cron; tasks without one follow all that they read.

    Args:
        graph: The graph.
        timezone: IANA name.
    """
    found: dict[str, Trigger] = {}
    for node in graph.nodes.values():
        made = node.task or (None if node.is_files else node.table)
        if made is None or node.kind == "external":
            continue
        made_here = tuple(Upstream(up) for up in graph.upstream[node.id] if graph.nodes[up].kind != "external")
        if made.cron:
            found[node.id] = Trigger(node.id, "schedule", "", clock=Clock(made.cron, timezone))
        elif node.kind == "task" and made_here:
            found[node.id] = Trigger(node.id, "lineage", "", watch=Watch(AllOf(made_here)))
        else:
            found[node.id] = Trigger(node.id, "none", "")
    return Triggers(found, {})
