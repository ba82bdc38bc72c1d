"""Events of partitioned loads: exactly the partitions that rows were written into are materialized."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from starlake_dagster_assets._compat import unrecorded_output
from starlake_dagster_assets.automation.policies.append_interval_checks import reads_interval
from starlake_dagster_assets.automation.policies.data_intervals import Interval
from starlake_dagster_assets.automation.policies.partition_support import partition_column, partition_column_type
from starlake_dagster_assets.commands.partitions import PartitionInfo, added_rows
from starlake_dagster_assets.dagster_assets.dagster_runs import PARTITIONED_BY
from starlake_dagster_assets.dagster_assets.results.iterator import StarlakeEvent
from starlake_dagster_assets.dagster_assets.specs.partition_keys import PartitionKeyMapper, moment_of_value
from starlake_dagster_assets.dagster_assets.specs.partitions import partitioned_by_rows
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.outcome import Outcome
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import counted

__all__ = ["COMPLETE_LOAD", "LoadPartitions"]

COMPLETE_LOAD = "starlake/partitions_of_load"
"""Metadata key of the number of partitions of a complete load. A retry of the step does not repeat such a load."""

_Counts = Mapping[str | None, int]
_MOST_OBSERVED = 1000
"""Maximum number of partitions that are observed one by one; a larger number has a single observation."""
_MOST_VALUES = 10
_STATUS = "starlake/status"


@dataclass(frozen=True)
class _RowsByPartition:
    """Row counts by partition; rows outside all partitions are counted by column value."""

    partitions: Mapping[str, int]
    unassigned: _Counts


class LoadPartitions:
    """Counts the rows of loads by partition, and builds the events of partitioned loads.

    Args:
        context: Context of the step.
        runner: Runner whose warehouse reader counts rows, if the environment has one.
        partition: The partitions that the step runs for.
        translator: Translator of the assets.
        intervals: Data intervals of the ticks whose files the loads take, by node id.
        unreported_jobs: Function that returns the prefixes of the job ids of runs that ended without a result for a
            table.
        ask: Queries the warehouse; if it cannot be read, logs a warning and returns None.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        runner: Runner,
        partition: PartitionInfo | None,
        translator: StarlakeTranslator,
        intervals: Mapping[str, Interval],
        unreported_jobs: Callable[[Node], tuple[str, ...]],
        ask: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._context, self._partition, self._translator, self._ask = context, partition, translator, ask
        self._intervals, self._unreported_jobs = intervals, unreported_jobs
        definition: Any = context.assets_def.partitions_def
        self._windows = definition if isinstance(definition, dg.TimeWindowPartitionsDefinition) else None
        # the keys of all partitions are read once for the tasks of the step
        self._find = PartitionKeyMapper(self._windows) if self._windows is not None else _same
        self._reader = runner.warehouse_reader()
        self._counts_itself = runner.capabilities.counts_partitions
        self._before: dict[str, _Counts | None] = {}
        self._unreported: dict[str, str] = {}
        self._keys = partition.keys if partition is not None else ()

    def by_rows(self, node: Node) -> bool:
        """Whether the rows of a load determine its partitions."""
        return partitioned_by_rows(node, self._windows, self._translator.trigger(node))

    def by_late_rows(self, node: Node) -> bool:
        """Whether to look for rows older than the interval of a load: if a task reads the table by its interval."""
        graph, types = self._translator.graph, self._translator.project.types
        if node.table is None or node.id not in self._intervals or self.by_rows(node):
            return False
        is_time = partition_column_type(node, types).startswith(("date", "timestamp"))
        return is_time and any(reads_interval(graph.nodes[down]) for down in graph.downstream[node.id])

    def read_before(self, nodes: Sequence[Node]) -> None:
        """Counts the rows of tables before their loads, if the environment does not count the rows that it writes.

        If it does, finds the loads whose runs have ended without reporting them: this load reports their partitions.

        Args:
            nodes: Tables and tasks that the step runs.
        """
        reader = self._reader
        if reader is None:
            return
        for node in nodes:
            counts = self.by_rows(node) or self.by_late_rows(node)
            if counts and self._counts_itself:
                self._unreported[node.id] = self._unreported_job(node)
            elif counts and _appends(node) and (column := partition_column(node)):
                schema, table = node.target
                self._before[node.id] = self._ask(lambda s=schema, t=table, c=column: reader.partition_counts(s, t, c))

    def events(
        self,
        outcome: Outcome,
        key: dg.AssetKey,
        metadata: Mapping[str, Any],
        checks: Sequence[dg.AssetCheckResult],
    ) -> Iterator[StarlakeEvent]:
        """Yields the events of a load that is partitioned by time.

        Args:
            outcome: A completed load, or one that failed after rows were committed.
            key: Key of the asset.
            metadata: Metadata of the load as a whole.
            checks: Check results of the load.
        """
        if not self.by_rows(outcome.node):
            yield from self._of_tick(key, metadata, checks)
            return
        rows = self._rows_of_load(outcome)
        if rows is None:
            if outcome.status == "materialized":
                yield from self._unknown(outcome.node, key, metadata)
                yield unrecorded_output(key, checks)
            return
        alone = len(rows.partitions) == 1 and not rows.unassigned and outcome.status == "materialized"
        yield from self._materializations(outcome, key, rows.partitions, metadata if alone else None)
        if rows.unassigned:
            self._context.log.warning(f"{outcome.node.id}: {_unassigned_text(rows.unassigned)}")
        if rows.unassigned or (outcome.status == "materialized" and not alone):
            yield self._load_as_a_whole(key, rows, metadata, outcome.status)
        if outcome.status != "materialized":
            return
        without = [name for name in self._keys if name not in rows.partitions]
        yield from self._observed(key, without, "no rows", "the loaded files hold no row of this partition.")
        yield unrecorded_output(key, checks)

    def oldest_row(self, outcome: Outcome) -> datetime | None:
        """Returns the time of the oldest row of a load if it is older than the interval of its ticks; else None.

        Rows whose partition column is NULL have no time: no interval selects them.
        """
        node = outcome.node
        clock = self._translator.trigger(node).cron_schedule
        timezone = clock.timezone if clock is not None else self._translator.timezone
        counts, start = self._counted(outcome), self._intervals[node.id][0]
        if counts is None:
            self._context.log.warning(
                f"{node.id}: the days of its rows are unknown. Tasks that read the table by their data interval do not "
                f"read rows from before {start.isoformat()} that this load may have brought. Next: let their SQL reach "
                "back as far as rows may be late, or use the write strategy APPEND and an environment whose warehouse "
                "can be read."
            )
            return None
        moments = (moment_of_value(value, timezone) for value in counts)
        oldest = min((one for one in moments if one is not None), key=datetime.timestamp, default=None)
        return oldest if oldest is not None and oldest.timestamp() < start.timestamp() else None

    def nothing(self, key: dg.AssetKey, reason: str, metadata: Mapping[str, str]) -> Iterator[dg.AssetObservation]:
        """Yields an observation that a load found no file, for each requested partition."""
        if not self._keys or self._windows is None:
            yield dg.AssetObservation(asset_key=key, description=reason, metadata={_STATUS: "nothing", **metadata})
        yield from self._observed(key, list(self._keys) if self._windows is not None else [], "nothing", reason)

    def rows(self, node: Node, column: str) -> Mapping[str, int] | None:
        """Counts the current rows of a task's table by partition; None if they cannot be counted.

        Args:
            node: A task.
            column: The column of its partitions.
        """
        reader, definition = self._reader, self._context.assets_def.partitions_def
        if reader is None or not column or isinstance(definition, dg.MultiPartitionsDefinition):
            return None
        counts = self._ask(lambda: reader.partition_counts(*node.target, column))
        if counts is None:
            return None
        return _rows_by_partition(counts, self._find).partitions

    # ------------------------------------------------------------------------------------------- by tick

    def _of_tick(
        self, key: dg.AssetKey, metadata: Mapping[str, Any], checks: Sequence[dg.AssetCheckResult]
    ) -> Iterator[StarlakeEvent]:
        """Yields a materialization of the last window of the run only, since the files were loaded once."""
        if len(self._keys) < 2:
            yield dg.MaterializeResult(asset_key=key, metadata=dict(metadata), check_results=list(checks))
            return
        yield self._materialization(key, self._keys[-1], {**metadata, COMPLETE_LOAD: 1})
        reason = f"the files of this run were loaded once, for its last window ({self._keys[-1]})."
        yield from self._observed(key, list(self._keys[:-1]), "no load", reason)
        yield unrecorded_output(key, checks)

    # ------------------------------------------------------------------------------------------- by rows

    def _rows_of_load(self, outcome: Outcome) -> _RowsByPartition | None:
        """Returns the numbers of rows that a load wrote, by partition; None if they cannot be counted."""
        counts = self._counted(outcome)
        if counts is None:
            return None
        # read again for each load: a partition may have begun since the one before
        return _rows_by_partition(
            counts, PartitionKeyMapper(self._windows, landed=True) if self._windows is not None else _same
        )

    def _counted(self, outcome: Outcome) -> _Counts | None:
        reader, node = self._reader, outcome.node
        if reader is None or node.table is None or not outcome.job_id:
            return None
        counts = self._counts_of_job(node, outcome.job_id)
        if counts is not None or self._counts_itself:
            return counts if counts is None else self._with_unreported(outcome, counts)
        before = self._before.get(node.id)
        if before is None or not outcome.is_final:
            return None
        after = self._ask(lambda: reader.partition_counts(*node.target, partition_column(node)))
        if after is None:
            return None
        return added_rows(after, before)

    def _counts_of_job(self, node: Node, job_id: str) -> _Counts | None:
        reader, table = self._reader, node.table
        if reader is None or table is None or not job_id:
            return None
        return self._ask(lambda: reader.load_partition_counts(job_id, table.domain_name, table.name))

    def _with_unreported(self, outcome: Outcome, counts: _Counts) -> _Counts:
        """Adds the rows of the previous load of the table, if its run has ended without a result for the table."""
        job = self._unreported.pop(outcome.node.id, "")
        before = self._counts_of_job(outcome.node, job) if job != outcome.job_id else None
        if not before:
            return counts
        self._context.log.warning(
            f"{outcome.node.id}: the run of the previous load (job {job}) ended without a result for the table: its "
            "rows are reported with those of this load."
        )
        return {value: counts.get(value, 0) + before.get(value, 0) for value in (*counts, *before)}

    def _unreported_job(self, node: Node) -> str:
        """Returns the job id of the newest load of a table if its run has ended without a result; "" otherwise."""
        reader, table = self._reader, node.table
        if reader is None or table is None or not (jobs := self._unreported_jobs(node)):
            return ""
        rows = self._ask(lambda: reader.last_load(table.domain_name, table.name)) or ()
        return rows[-1].job_id if rows and rows[0].job_id.startswith(jobs) else ""

    def _materializations(
        self, outcome: Outcome, key: dg.AssetKey, partitions: Mapping[str, int], whole: Mapping[str, Any] | None
    ) -> Iterator[dg.AssetMaterialization]:
        """Yields a materialization per partition; `whole` is the metadata of a load that wrote into one partition."""
        known: dict[str, Any] = {"starlake/job_id": outcome.job_id} if whole is None else dict(whole)
        known[PARTITIONED_BY] = "rows"
        known.pop("dagster/row_count", None)
        if whole is None and outcome.files:
            known["starlake/files"] = ", ".join(outcome.files)
        if outcome.status == "materialized":
            known[COMPLETE_LOAD] = len(partitions)
        else:
            known[_STATUS] = outcome.status
        for name, count in partitions.items():
            yield self._materialization(key, name, {"dagster/partition_row_count": count, **known})

    def _load_as_a_whole(
        self, key: dg.AssetKey, rows: _RowsByPartition, metadata: Mapping[str, Any], status: str
    ) -> dg.AssetObservation | dg.AssetMaterialization:
        """Returns the event of the whole load. Its counts are not on a partition, so that those of partitions add up.

        The event is an observation. If rows belong to no partition, it is a materialization without a partition: assets
        that read the whole table have an update.
        """
        text = f"The load wrote rows of {len(rows.partitions)} partitions."
        of_load = {COMPLETE_LOAD: len(rows.partitions), **metadata}
        found: dict[str, Any] = of_load if status == "materialized" else {_STATUS: status}
        if not rows.unassigned:
            return dg.AssetObservation(asset_key=key, description=text, metadata=found)
        found |= {"starlake/rows_without_partition": sum(rows.unassigned.values()), PARTITIONED_BY: "rows"}
        text = f"{text} {_unassigned_text(rows.unassigned)}"
        return dg.AssetMaterialization(asset_key=key, description=text, metadata=found)

    def _unknown(
        self, node: Node, key: dg.AssetKey, metadata: Mapping[str, Any]
    ) -> Iterator[dg.AssetObservation | dg.AssetMaterialization]:
        text = (
            "the load is complete, but the partitions of its rows are unknown, so no partition is materialized. "
            f"Next: {self._remedy(node)}"
        )
        self._context.log.warning(f"{node.id}: {text}")
        yield dg.AssetObservation(asset_key=key, description=text, metadata={**metadata, _STATUS: "unknown"})
        yield from self._observed(key, list(self._keys), "unknown", text)
        # without a partition, and after the unknown results: whatever reads the whole table has an update
        found = {COMPLETE_LOAD: 0, PARTITIONED_BY: "rows"}
        yield dg.AssetMaterialization(asset_key=key, description=text, metadata=found)

    def _remedy(self, node: Node) -> str:
        if not partition_column(node):
            return "set sink.partition of the table to the column of its partitions."
        if self._reader is None:
            return (
                "set partitions=none (or cron) for this table, or run it where the warehouse can be read "
                "(a DuckDB file, or the embedded engine)."
            )
        if not _appends(node) and not self._counts_itself:
            return (
                "the rows of this write strategy are counted by the embedded engine only: "
                "set partitions=none (or cron) for this table."
            )
        return "look at the warnings above, then report the partitions in the UI (Report materialization)."

    # ------------------------------------------------------------------------------------------- events

    def _materialization(self, key: dg.AssetKey, name: str, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
        tags = {}
        if backfill := self._context.run.tags.get("dagster/backfill"):
            tags["dagster/backfill"] = backfill
        spec = self._context.assets_def.specs_by_key.get(key)
        if spec is not None and spec.code_version:
            tags["dagster/code_version"] = spec.code_version
        return dg.AssetMaterialization(asset_key=key, partition=name, metadata=dict(metadata), tags=tags)

    def _observed(
        self, key: dg.AssetKey, names: Sequence[str], status: str, reason: str
    ) -> Iterator[dg.AssetObservation]:
        if len(names) > _MOST_OBSERVED:
            text = f"{len(names)} partitions from {names[0]} to {names[-1]}: {reason}"
            yield dg.AssetObservation(asset_key=key, description=text, metadata={_STATUS: status})
            return
        for name in names:
            found = {_STATUS: status}
            yield dg.AssetObservation(asset_key=key, partition=name, description=reason, metadata=found)


def _rows_by_partition(counts: _Counts, find: Callable[[str | None], str | None]) -> _RowsByPartition:
    partitions: dict[str, int] = {}
    unassigned: dict[str | None, int] = {}
    for value, count in counts.items():
        name = find(value)
        if name is None:
            unassigned[value] = count
        else:
            partitions[name] = partitions.get(name, 0) + count
    return _RowsByPartition(dict(sorted(partitions.items())), unassigned)


def _same(value: str | None) -> str | None:
    """Returns a value as its own partition key, for partitions that are not time windows."""
    return value


def _appends(node: Node) -> bool:
    """Whether a load only adds rows, so that the counts before and after it differ by the rows that it wrote."""
    strategy = node.table.metadata.write_strategy if node.table is not None else None
    return strategy is not None and strategy.type.upper() == "APPEND" and not strategy.types


def _unassigned_text(unassigned: _Counts) -> str:
    shown = ", ".join(
        f"{'NULL' if value is None else value} ({count})" for value, count in list(unassigned.items())[:_MOST_VALUES]
    )
    more = f" and {len(unassigned) - _MOST_VALUES} more values" if len(unassigned) > _MOST_VALUES else ""
    return (
        f"{counted(sum(unassigned.values()), 'row')} without a partition: {shown}{more}. Assets that read the whole "
        "table read such rows, and partitioned assets do not. "
        "Next: fix the values in the files, or set start_date so that the partitions begin early enough."
    )
