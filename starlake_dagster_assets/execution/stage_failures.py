"""Failures of `stage` by table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlake_dagster_assets.commands.model import TableFailed
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.graph.model import Node

__all__ = ["staging_failures"]


def staging_failures(ending: CommandEnd, nodes: Iterable[Node]) -> Mapping[str, str]:
    """Returns the reasons why files of tables stay in incoming, by node id; the other tables are loaded.

    Args:
        ending: How `stage` ended; only an engine that reports events names the tables concerned.
        nodes: Tables.
    """
    errors: dict[tuple[str, str], list[str]] = {}
    for event in ending.events:
        if isinstance(event, TableFailed):
            errors.setdefault((event.domain, event.table), []).append(event.error)
    found = {node.id: errors.get((node.table.domain_name, node.table.name)) for node in nodes if node.table is not None}
    return {name: f"stage failed: {'; '.join(texts)}" for name, texts in found.items() if texts}
