"""What earlier attempts of a step did, from the event log: what they made, and the files that their loads took."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from starlake_dagster_assets.assets.binding import Binding
from starlake_dagster_assets.assets.partition_results import COMPLETE_LOAD
from starlake_dagster_assets.assets.results import files_of_failure

__all__ = ["made_before", "partitioned", "taken_before"]


def made_before(context: dg.AssetExecutionContext) -> set[dg.AssetKey]:
    """What an earlier attempt of this step already materialized in this run, for all of its partitions."""
    if not context.retry_number:
        return set()
    partitions = set(context.partition_keys) if partitioned(context) else set[str]()
    found: dict[dg.AssetKey, set[str | None]] = {}
    for key, event in _said(context, context.run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        whole = COMPLETE_LOAD in event.step_materialization_data.materialization.metadata
        found.setdefault(key, set()).add(None if whole else event.partition)
    return {key for key, there in found.items() if None in there or (partitions and partitions <= there)}


def taken_before(context: dg.AssetExecutionContext, binding: Binding) -> Mapping[str, Sequence[str]]:
    """By node id, the files that loads of earlier attempts took and that failed, in this run or the one it repeats."""
    runs = [context.run.parent_run_id, context.run.run_id if context.retry_number else None]
    nodes = {key: node.id for key, node in binding.nodes.items()}
    taken: dict[str, Sequence[str]] = {}
    for run in runs:
        for key, event in _said(context, run, dg.DagsterEventType.ASSET_OBSERVATION) if run else ():
            observation: Any = getattr(event.event_specific_data, "asset_observation", None)
            if key in nodes and observation is not None and (files := files_of_failure(observation)):
                taken[nodes[key]] = files
    return taken


def partitioned(context: dg.AssetExecutionContext) -> bool:
    """Whether the step is of some partitions."""
    return context.has_partition_key or context.has_partition_key_range


def _said(
    context: dg.AssetExecutionContext, run: str, kind: dg.DagsterEventType
) -> Iterator[tuple[dg.AssetKey, dg.DagsterEvent]]:
    """The events of a kind in a run, oldest first."""
    cursor: str | None = None
    while True:
        page = context.instance.get_records_for_run(run, cursor=cursor, of_type=kind, limit=1000)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event is not None and event.asset_key is not None:
                yield event.asset_key, event
        if not page.has_more:
            return
        cursor = page.cursor
