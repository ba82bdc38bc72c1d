"""Facts of the event log for the evaluation of lineage, read in bulk once per tick."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.definitions.lineage_partitions import PartitionTable
from starlake_dagster_assets.automation.policies.lineage_evaluation import condition_nodes
from starlake_dagster_assets.automation.policies.model import Triggers, UpstreamCondition
from starlake_dagster_assets.automation.policies.skip_reasons import instant
from starlake_dagster_assets.automation.policies.upstream_updates import LineageTarget, TargetRun, UpstreamUpdate
from starlake_dagster_assets.dagster_assets.dagster_runs import IN_PROGRESS, is_over, planned_assets
from starlake_dagster_assets.dagster_assets.specs.partitions import time_window
from starlake_dagster_assets.dagster_assets.steps.consumption import (
    Consumption,
    consumption_of,
    newest_materializations,
    updates_since,
)

__all__ = ["EventLogFacts"]

_STATES = {dg.DagsterRunStatus.SUCCESS: "succeeded", dg.DagsterRunStatus.CANCELED: "canceled"}
_WILL_RETRY = "dagster/will_retry"
"""Run tag of Dagster: the daemon will retry the run."""
_MOST_RUNS = 20
"""Maximum number of unread updates of an upstream whose runs are listed."""


@dataclass(frozen=True)
class _Run:
    """A run in progress."""

    id: str
    text: str
    keys: Collection[dg.AssetKey]
    tags: Mapping[str, str]


_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
_PLANNED, _STARTED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.STEP_START
_STEP_FAILED, _STEP_SUCCEEDED = dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SUCCESS


@dataclass(frozen=True)
class _RunEvents:
    """Events of one run about its steps and assets.

    Attributes:
        steps: Step of each planned asset.
        started: Steps that were started.
        failed: Steps that failed.
        lacked: Partitions of each planned asset that its step should have materialized and did not; the partition is
            None for an asset without partitions. Steps that succeeded lack nothing.
    """

    steps: Mapping[dg.AssetKey, str]
    started: Collection[str]
    failed: Collection[str]
    lacked: Mapping[dg.AssetKey, Collection[str | None]]

    @classmethod
    def read(cls, instance: dg.DagsterInstance, run: str) -> "_RunEvents":
        """Reads the events of a run."""
        kinds = {_PLANNED, _STARTED, _STEP_FAILED, _STEP_SUCCEEDED, _MATERIALIZATION}
        events: dict[Any, list[Any]] = {kind: [] for kind in kinds}
        for record in instance.get_records_for_run(run, of_type=kinds).records:
            event: Any = record.event_log_entry.dagster_event
            events[event.event_type].append(event)
        started, failed, succeeded = (
            {event.step_key for event in events[kind]} for kind in (_STARTED, _STEP_FAILED, _STEP_SUCCEEDED)
        )
        materialized = {(event.asset_key, event.partition) for event in events[_MATERIALIZATION]}
        lacked: dict[dg.AssetKey, set[str | None]] = {event.asset_key: set() for event in events[_PLANNED]}
        for event in events[_PLANNED]:
            if event.step_key not in succeeded:
                planned = {(event.asset_key, one) for one in _planned_partitions(event)}
                lacked[event.asset_key] |= {partition for _, partition in planned - materialized}
        return cls({event.asset_key: event.step_key for event in events[_PLANNED]}, started, failed, lacked)

    def has_skipped(self, key: dg.AssetKey) -> bool:
        """Whether the step of an asset was not begun because another step failed."""
        return bool(self.failed) and key in self.steps and self.steps[key] not in self.started


def _planned_partitions(event: Any) -> Iterable[str | None]:
    return [event.partition] if event.partitions_subset is None else event.partitions_subset.get_partition_keys()


class EventLogFacts:
    """Facts of one tick about the assets of a project, see `automation.policies.upstream_updates.LineageFacts`.

    Args:
        instance: The instance.
        graph: The asset graph of the code location.
        triggers: Triggers of the project.
        keys: Asset key of each node that is watched or evaluated.
        stopped: Returns the name of the sensor of a node if it is stopped or not defined; None if it is on.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        graph: Any,
        triggers: Triggers,
        keys: Mapping[str, dg.AssetKey],
        stopped: Callable[[str], str | None],
    ) -> None:
        self.instance, self.graph, self.keys, self.now = instance, graph, keys, time.time()
        self._triggers, self._stopped = triggers, stopped
        self._tables: dict[str, PartitionTable] = {}
        self._consumed: dict[int, Consumption] = {}
        self._attempts: dict[LineageTarget, TargetRun | None] = {}
        self._known_runs: dict[str, dg.RunRecord] = {}
        self._places: dict[str, Mapping[str, int]] = {}
        self._covers: dict[tuple[str, str], Collection[str] | None] = {}
        self._events: dict[str, _RunEvents] = {}

    # --------------------------------------------------------------------------------------- the evaluator's questions

    def updates(self, target: LineageTarget) -> Mapping[str, UpstreamUpdate]:
        """Returns the newest materialization of each watched node that the target reads, by node id."""
        if target.partition is not None:
            return self.table(target.node).updates.get(target.partition, {})
        materialization, nodes = self.records.get(target.node), self.upstreams(target.node)
        found = {node: self.update(node, record) for node in nodes if (record := self.records.get(node)) is not None}
        if materialization is None:
            return found
        left_out = self._consumption(materialization).excluded
        for node, update in found.items():
            if self.keys[node].to_user_string() in left_out:
                newest, run = max(update.id, materialization.storage_id), materialization.run_id or "outside"
                found[node] = replace(update, id=newest, excluded_by=run)
        return found

    def is_consumed(self, target: LineageTarget, node: str, update: UpstreamUpdate) -> bool:
        """Whether the newest materialization of the target has read an update."""
        if target.partition is None:
            record = self.records.get(target.node)
        else:
            record = self.table(target.node).materialized.get(target.partition)
        if record is None or update.excluded_by:
            return False
        return self._consumption(record).includes(self.keys[node], update.id, update.time)

    def attempt(self, target: LineageTarget) -> TargetRun | None:
        """Returns the newest run that was created to materialize the target."""
        if target not in self._attempts:
            key, partition = self.keys[target.node], target.partition
            is_known = partition is None or partition in self.table(target.node).planned
            info = self.instance.get_latest_planned_materialization_info(key, partition) if is_known else None
            self._attempts[target] = self._attempt(info) if info is not None else None
        return self._attempts[target]

    def can_repeat(self, target: LineageTarget, attempt: TargetRun) -> bool:
        """Whether a failed run never began a target, and the upstreams that the target lacked are materialized now.

        An upstream has failed in the run, or Dagster skipped the step of the target because another step failed. There
        is no endless repetition: each one needs another materialization of that upstream, or leaves out a task that
        has failed.
        """
        run = self._run_records([attempt.run])[attempt.run].dagster_run
        if run.tags.get(_WILL_RETRY) == "true":
            return False
        key, events = self.keys[target.node], self._events_of(attempt.run)
        lacked = [
            (up, partition)
            for up in self.graph.get(key).parent_keys & events.lacked.keys() - {key}
            for partition in events.lacked[up]
            if self._reads(target, up, partition)
        ]
        if lacked:
            return all(self._newest_id(up, partition) > attempt.id for up, partition in lacked)
        return events.has_skipped(key)

    def _reads(self, target: LineageTarget, up: dg.AssetKey, partition: str | None) -> bool:
        """Whether a target reads a partition of an upstream; None stands for an upstream without partitions."""
        if target.partition is None or partition is None:
            return True
        return partition in self.table(target.node).read_by(target.partition, up)

    def running(self, target: LineageTarget) -> str:
        """Describes the run in progress that is still to materialize the target; "" if there is none."""
        key = self.keys[target.node]
        return next((run.text for run in self._runs if key in run.keys and self._is_open(run, target)), "")

    def exists(self, node: str) -> bool:
        """Whether a node was ever materialized."""
        return node in self.records

    def last_run(self, node: str) -> float:
        """Returns the time of a node's newest run or materialization, in seconds since 1970; 0 if there is none."""
        record = self.records.get(node)
        info = self.instance.get_latest_planned_materialization_info(self.keys[node])
        runs = self._run_records([info.run_id] if info is not None else ()).values()
        return max([record.timestamp if record else 0.0, *(run.create_timestamp.timestamp() for run in runs)])

    def upstream(self, target: LineageTarget, node: str) -> Sequence[LineageTarget]:
        """Returns the targets of an upstream that a target reads: the node, or some of its partitions."""
        if self.partitions(node) is None:
            return [LineageTarget(node)]
        if target.partition is None:
            return [LineageTarget(node, one) for one in self._active(node)]
        known, table = self.table(node), self.table(target.node)
        read = table.read_by(target.partition, self.keys[node])
        return [LineageTarget(node, one) for one in read if one in known.newest_by_partition or one in known.planned]

    def stopped_sensor(self, node: str) -> str | None:
        """Returns the name of the sensor that would start a node, if it is stopped or not defined; else None."""
        return self._stopped(node)

    # ------------------------------------------------------------------------------------------- questions of the tick

    def targets(self, node: str) -> list[LineageTarget]:
        """Returns the targets of a node: the node, or its partitions with a new update upstream, oldest first."""
        if self.partitions(node) is None:
            return [LineageTarget(node)]
        return [LineageTarget(node, one) for one in self.table(node).updates]

    def partitions(self, node: str) -> dg.PartitionsDefinition[Any] | None:
        """Returns the partitions definition of a node; None if unpartitioned or not defined in this code location."""
        key = self.keys[node]
        return self.graph.get(key).partitions_def if self.graph.has(key) else None

    def has_partition(self, node: str, partition: str) -> bool:
        """Whether the partitions definition of a node has a partition."""
        definition = self.partitions(node)
        if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
            return definition is not None and partition in self.partition_positions(node)
        try:
            return definition.has_partition_key(partition)
        except (ValueError, dg.DagsterInvalidInvocationError):
            return False

    def partition_positions(self, node: str) -> Mapping[str, int]:
        """Returns the position of each partition of a node in their order."""
        if node not in self._places:
            definition = self.partitions(node)
            keys = definition.get_partition_keys(dynamic_partitions_store=self.instance) if definition else ()
            self._places[node] = {key: place for place, key in enumerate(keys)}
        return self._places[node]

    def table(self, node: str) -> PartitionTable:
        """Returns the facts about the partitions of a partitioned node."""
        if node not in self._tables:
            self._tables[node] = PartitionTable(self, node)
        return self._tables[node]

    def update(self, node: str, record: Any, *, indirect: bool = False) -> UpstreamUpdate:
        """Converts a record of the event log to the update of a node."""
        window = time_window(self.partitions(node), record.partition_key)
        return UpstreamUpdate(record.storage_id, record.timestamp, record.run_id or "", window, indirect)

    def unread_runs(self, target: LineageTarget, node: str, update: UpstreamUpdate) -> Sequence[str]:
        """Returns the runs of the updates of a node that a target has not read, oldest first; "" for one from outside.

        For a target that was never materialized, and for a partition, this is only the run of the newest update.
        """
        record = self.records.get(target.node)
        if target.partition is not None or record is None:
            return [update.run]
        updates = updates_since(self.instance, self.keys[node], self._consumption(record), _MOST_RUNS)
        return ["…", update.run] if updates is None else [*dict.fromkeys(one.run_id for one in updates)]

    def all_history(self, node: str) -> bool:
        """Whether partitions are due for updates from before the first run of a node (`history=all`)."""
        condition = self._condition(node)
        return condition is not None and condition.all_history

    def upstreams(self, node: str) -> Sequence[str]:
        """Returns the nodes that a node watches."""
        condition = self._condition(node)
        return condition_nodes(condition.condition) if condition is not None else ()

    def _condition(self, node: str) -> UpstreamCondition | None:
        trigger = self._triggers.triggers.get(node)
        return trigger.upstream_condition if trigger is not None else None

    def tags(self, runs: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """Returns the tags of runs, by their ids; those of deleted runs are left out."""
        return {run: record.dagster_run.tags for run, record in self._run_records(runs).items()}

    @cached_property
    def records(self) -> Mapping[str, Any]:
        """Newest materialization of each node, read in one call for any number of nodes."""
        nodes = {key: node for node, key in self.keys.items()}
        return {nodes[key]: record for key, record in newest_materializations(self.instance, nodes).items()}

    def _consumption(self, record: Any) -> Consumption:
        """Returns the upstream updates that a materialization has consumed."""
        if record.storage_id not in self._consumed:
            self._consumed[record.storage_id] = consumption_of(self.instance, record)
        return self._consumed[record.storage_id]

    # ------------------------------------------------------------------------------------------------------------ runs

    @cached_property
    def _runs(self) -> Sequence[_Run]:
        records = self.instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS))
        return [_run(self.instance, record) for record in records]

    def _run_records(self, runs: Iterable[str]) -> dict[str, dg.RunRecord]:
        """Reads the records of runs by their ids, each once per tick; deleted runs are left out."""
        ids = sorted({run for run in runs if run})
        if missing := [run for run in ids if run not in self._known_runs]:
            found = self.instance.get_run_records(dg.RunsFilter(run_ids=missing))
            self._known_runs.update({one.dagster_run.run_id: one for one in found})
        return {run: self._known_runs[run] for run in ids if run in self._known_runs}

    def _events_of(self, run: str) -> _RunEvents:
        if run not in self._events:
            self._events[run] = _RunEvents.read(self.instance, run)
        return self._events[run]

    def _newest_id(self, key: dg.AssetKey, partition: str | None) -> int:
        """Returns the storage id of the newest materialization of an asset or its partition; 0 if there is none."""
        if partition is not None and self.graph.get(key).partitions_def is not None:
            newest = self.instance.get_latest_storage_id_by_partition(key, _MATERIALIZATION, {partition})
            return newest.get(partition, 0)
        record = newest_materializations(self.instance, [key]).get(key)
        return record.storage_id if record is not None else 0

    def _is_open(self, run: _Run, target: LineageTarget) -> bool:
        """Whether a run that plans a node has not materialized it yet."""
        covered = self._covered(run, target.node)
        if target.partition is None or covered is None:
            record = self.records.get(target.node)
            return record is None or record.run_id != run.id
        return target.partition in covered and not self.table(target.node).is_materialized_since_planned(
            target.partition
        )

    def _covered(self, run: _Run, node: str) -> Collection[str] | None:
        """Returns the partitions of a node that a run materializes; None for a run without partitions."""
        if (run.id, node) not in self._covers:
            self._covers[run.id, node] = self._partitions_of(run.tags, node)
        return self._covers[run.id, node]

    def _partitions_of(self, tags: Mapping[str, str], node: str) -> Collection[str] | None:
        if (key := tags.get("dagster/partition")) is not None:
            return {key}
        start, end = (tags.get(f"dagster/asset_partition_range_{side}", "") for side in ("start", "end"))
        if not (self.has_partition(node, start) and self.has_partition(node, end)):
            return None
        definition = self.partitions(node)
        if isinstance(definition, dg.TimeWindowPartitionsDefinition):
            return frozenset(definition.get_partition_keys_in_range(dg.PartitionKeyRange(start, end)))
        places = self.partition_positions(node)
        return {key for key, place in places.items() if places[start] <= place <= places[end]}

    def _active(self, node: str) -> Collection[str]:
        """Returns the partitions of a node with a new update upstream, or with a run in progress."""
        found = dict.fromkeys(self.table(node).updates)
        for run in self._runs:
            if self.keys[node] in run.keys:
                covered = self._covered(run, node)
                found.update(dict.fromkeys([""] if covered is None else covered))
        return found

    def _attempt(self, info: Any) -> TargetRun | None:
        record = self._run_records([info.run_id]).get(info.run_id)
        if record is None:
            return None
        run = record.dagster_run
        state: Any = _STATES.get(run.status, "failed") if is_over(run) else "in progress"
        return TargetRun(info.storage_id, run.run_id, state)


def _run(instance: dg.DagsterInstance, record: Any) -> _Run:
    run = record.dagster_run
    text = f"run {run.run_id} ({run.status.value.lower()} since {instant(record.create_timestamp.timestamp())})"
    return _Run(run.run_id, text, planned_assets(instance, run), run.tags)
