"""Finds tasks that append the rows of an interval although updates of their upstreams declare none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from starlake_dagster_assets.automation.policies.model import Trigger
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.select import format_names

__all__ = ["appends", "appends_without_interval", "reads_interval"]

_VARIABLES = re.compile(r"\bsl_(start_date|end_date|data_interval_(start|end))\b")


def appends_without_interval(graph: Graph, triggers: Mapping[str, Trigger]) -> Iterator[tuple[Node, str]]:
    """Finds tasks whose second run fails because it would append rows again.

    Such a task has the write strategy APPEND, its SQL has a variable of the data interval, and it runs when upstreams
    are updated of which at least one never declares an interval. A run that consumes such an update computes all rows.

    Args:
        graph: Graph of the project.
        triggers: Triggers of the nodes, by node id.

    Yields:
        The task, and a message.
    """

    @cache
    def declares(name: str) -> bool:
        trigger = triggers.get(name)
        if trigger is None or trigger.cron_schedule is not None or trigger.partitions != "none":
            return trigger is not None
        if trigger.interval == "since_last_run":
            return True
        return trigger.is_lineage and not silent(name)

    def silent(name: str) -> list[str]:
        return [up for up in graph.upstream[name] if up in triggers and not declares(up)]

    for name, trigger in sorted(triggers.items()):
        node = graph.nodes[name]
        is_followed = trigger.is_lineage and trigger.partitions == "none" and trigger.interval == "declared"
        variable = _appended_interval(node) if is_followed else ""
        if variable and (silent_names := silent(name)):
            names = format_names(silent_names)
            yield (
                node,
                f"{name} appends the rows of an interval (`{variable}`), but updates of {names} declare none: a run "
                "that consumes one computes everything, and fails where rows are there already. Next: set a "
                f"schedule or partitions on {names}, interval=since_last_run on {name} if its SQL filters by the "
                "time at which rows were written, or another writeStrategy.",
            )


def appends(node: Node) -> bool:
    """Whether a task appends the rows of the data interval."""
    return bool(_appended_interval(node))


def reads_interval(node: Node) -> bool:
    """Whether the SQL of a task has a variable of the data interval; true for a task without SQL."""
    task = node.task
    text = (task.source_sql or task.sql) if task is not None else None
    return task is not None and (not text or _VARIABLES.search(text) is not None)


def _appended_interval(node: Node) -> str:
    """Returns the first variable of the data interval in the SQL of a task that appends; "" if there is none."""
    task = node.task
    if task is None or task.write_strategy.type.upper() != "APPEND":
        return ""
    found = _VARIABLES.search(task.source_sql or task.sql or "")
    return found.group() if found else ""
