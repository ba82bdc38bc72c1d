"""Unconsumed updates of the upstreams of a step's assets, and assets that another run has written meanwhile."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of
from starlake_dagster_assets.automation.policies.data_intervals import Interval
from starlake_dagster_assets.automation.policies.run_options import OPTIONS
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.dagster_assets.dagster_runs import TRIGGER, recorded_end
from starlake_dagster_assets.dagster_assets.specs.partitions import partitions_read
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.dagster_assets.steps.consumption import (
    Consumption,
    Update,
    consumption_of,
    newest_materializations,
    updates_since,
)
from starlake_dagster_assets.dagster_assets.steps.update_intervals import intervals_of_updates
from starlake_dagster_assets.graph.model import Node

__all__ = ["StepUpdates", "is_automatic"]

_MOST_UPDATES = 1000
_RETRY = "dagster/retry_number"
"""Run tag of Dagster: the run is a retry by the daemon."""
_BY_CONDITION = ("dagster/from_automation_condition", "dagster/auto_materialize")
_STARTED_BY = (*_BY_CONDITION, TRIGGER)


def is_automatic(run: dg.DagsterRun) -> bool:
    """Whether a lineage sensor or an automation condition started a run."""
    return any(name in run.tags for name in _STARTED_BY)


class StepUpdates:
    """Updates of upstreams that the tasks of a step consume, as the event log has them when the step begins."""

    def __init__(
        self, context: dg.AssetExecutionContext, binding: StepBinding, nodes: Mapping[dg.AssetKey, Node]
    ) -> None:
        self._context, self._binding, self._nodes = context, binding, nodes
        self._instance = context.instance
        self._new: dict[tuple[dg.AssetKey, dg.AssetKey], Sequence[Update] | None] = {}
        self._consumed: dict[dg.AssetKey, Consumption] = {}

    def ignored_options(self) -> str:
        """Describes options of upstream runs that the run of a condition cannot take over; "" if there are none."""
        tags = self._context.run.tags
        if OPTIONS in tags or not any(name in tags for name in _BY_CONDITION):
            return ""
        reads = {
            (node.id, up): run
            for key, node in self._nodes.items()
            if node.task is not None
            for up in self.upstream(key)
            if up not in self._nodes and (run := self._newest_run(key, up))
        }
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=sorted(set(reads.values())))) if reads else ()
        options = {one.dagster_run.run_id: one.dagster_run.tags.get(OPTIONS) for one in records}
        found = [
            f"{task} reads {up.to_user_string()}, which run {run} materialized with the options {options[run]}"
            for (task, up), run in reads.items()
            if options.get(run)
        ]
        if not found:
            return ""
        return (
            f"{listed(found, ';')}. A run of a condition cannot take them over. Next: materialize the task by hand "
            f"with the tag `{OPTIONS}`, or set triggering=sensor."
        )

    def _newest_run(self, key: dg.AssetKey, up: dg.AssetKey) -> str:
        """Returns the run id of the newest update of an upstream if a task has not read it; "" if it has."""
        if self._is_partitioned and self._context.has_partition_key:
            record, consumption = self._newest_read(key, up), self._consumption_in_partition(key)
        else:
            record, consumption = self.newest.get(up), self.consumption(key)
        return record.run_id if record is not None and _is_unread(consumption, up, record) else ""

    def materialized_meanwhile(self) -> Mapping[dg.AssetKey, str]:
        """Finds the tasks that another run has materialized from all current upstreams since this run was created.

        Returns:
            The id of that run by asset key. Empty for a run that no lineage sensor or condition started, for a manual
            re-execution, and for a run of several partitions.
        """
        run = self._context.run
        is_retry = _RETRY in run.tags or bool(self._context.retry_number)
        if not is_automatic(run) or (run.parent_run_id is not None and not is_retry):
            return {}
        if self._is_partitioned and not self._context.has_partition_key:
            return {}
        own = {run.run_id, run.parent_run_id, run.root_run_id}
        found: dict[dg.AssetKey, str] = {}
        for key, node in self._nodes.items():  # upstream first
            consumption = self._consumption_in_partition(key)
            if node.task is None or consumption is None or consumption.update.run_id in own:
                continue
            if not all(self._has_read(key, consumption, up, found) for up in self.upstream(key)):
                continue
            if is_retry or self._was_planned_before(key, consumption.update):
                found[key] = consumption.update.run_id
        return found

    @cached_property
    def _is_partitioned(self) -> bool:
        return self._context.assets_def.partitions_def is not None

    def _consumption_in_partition(self, key: dg.AssetKey) -> Consumption | None:
        """Returns the consumption of the newest materialization of an asset, in the partition of a partitioned step."""
        if not self._is_partitioned:
            return self.consumption(key)
        record = self._newest_record(key, [self._context.partition_key])
        return consumption_of(self._instance, record) if record is not None else None

    def _newest_read(self, key: dg.AssetKey, up: dg.AssetKey) -> Any:
        """Returns the record of the newest materialization of an upstream, of the partitions that the step reads."""
        graph = self._context.job_def.asset_layer.asset_graph
        if not self._is_partitioned or graph.get(up).partitions_def is None:
            return self.newest.get(up)
        return self._newest_record(up, partitions_read(self._instance, graph, key, self._context.partition_key, up))

    def _newest_record(self, key: dg.AssetKey, partitions: Collection[str]) -> Any:
        """Returns the record of the newest materialization of some partitions of an asset; None if there is none."""
        filters = dg.AssetRecordsFilter(asset_key=key, asset_partitions=sorted(partitions))
        records = self._instance.fetch_materializations(filters, limit=1).records
        return records[0] if records else None

    def _has_read(
        self, key: dg.AssetKey, consumption: Consumption, up: dg.AssetKey, made: Collection[dg.AssetKey]
    ) -> bool:
        if up in self._nodes and up not in made:
            return False
        return not _is_unread(consumption, up, self._newest_read(key, up))

    def _is_new(self, consumption: Consumption | None, up: dg.AssetKey) -> bool:
        """Whether an upstream has a materialization that was not read."""
        return _is_unread(consumption, up, self.newest.get(up))

    def unread(self, key: dg.AssetKey, up: dg.AssetKey) -> Sequence[Update] | None:
        """Returns the updates of an upstream that a task has not read; None if there are more than 1000."""
        if (key, up) not in self._new:
            consumption, is_new = self.consumption(key), self._is_new(self.consumption(key), up)
            self._new[key, up] = updates_since(self._instance, up, consumption, _MOST_UPDATES) if is_new else ()
        return self._new[key, up]

    def declared(self, key: dg.AssetKey, updates: Sequence[Update]) -> list[Interval | None]:
        """Returns the data interval that each given update of an asset declares; None for an update without one."""
        return intervals_of_updates(self._instance, updates, self._context.job_def.asset_layer.get(key).partitions_def)

    def end_of_rows(self, key: dg.AssetKey, update: Update, moment: float) -> datetime:
        """Returns the end of the rows of an update that declares no interval.

        Args:
            key: Key of its asset.
            update: The update. Its metadata may have the end.
            moment: Otherwise the end is the last tick before this moment of the schedule of the asset, or of its
                nearest upstreams; the moment if none has one.
        """
        if (end := recorded_end(update.metadata)) is not None:
            return end
        translator = self._binding.translator
        graph, node = translator.graph, self._node_ids.get(key)
        near = [node] if node is not None else []
        while near:
            clocks = [one for up in near if (one := translator.trigger(graph.nodes[up]).cron_schedule) is not None]
            if clocks:
                return max(cycle_of(one.cron, moment, one.timezone)[0] for one in clocks)
            near = sorted({up for one in near for up in graph.upstream[one] if up in graph.nodes})
        return datetime.fromtimestamp(moment, timezone.utc)

    @cached_property
    def _node_ids(self) -> Mapping[dg.AssetKey, str]:
        specs = self._binding.translator.specs()
        return {spec.key: node for node, spec in specs.items()} | {
            key: node.id for key, node in self._binding.nodes.items()
        }

    def upstream(self, key: dg.AssetKey) -> list[dg.AssetKey]:
        """Returns the assets that an asset of the step reads, other than itself."""
        return sorted(up for up in self._context.assets_def.asset_deps.get(key, ()) if up != key)

    def consumption(self, key: dg.AssetKey) -> Consumption | None:
        """Returns the consumption of the newest materialization of an asset; None if it has none."""
        record = self.newest.get(key)
        if record is None:
            return None
        if key not in self._consumed:
            self._consumed[key] = consumption_of(self._instance, record)
        return self._consumed[key]

    @cached_property
    def newest(self) -> Mapping[dg.AssetKey, Any]:
        """Newest materializations of the tasks and their upstreams, read once."""
        keys = {up for key in self._nodes for up in self.upstream(key)} | self._nodes.keys()
        return newest_materializations(self._instance, keys)

    def _was_planned_before(self, key: dg.AssetKey, update: Update) -> bool:
        """Whether this run was planned to materialize an asset before another run materialized it."""
        partition = self._context.partition_key if self._is_partitioned else None
        plan = self._instance.event_log_storage.get_latest_planned_materialization_info(key, partition)
        if plan is None:
            return False
        if plan.run_id == self._context.run.run_id:
            return plan.storage_id < update.storage_id
        return plan.run_id == update.run_id  # planned after this run


def _is_unread(consumption: Consumption | None, up: dg.AssetKey, record: Any) -> bool:
    if record is None or consumption is None:
        return record is not None
    return up.to_user_string() in consumption.excluded or not consumption.includes(
        up, record.storage_id, record.timestamp
    )
