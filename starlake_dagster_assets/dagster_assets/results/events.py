"""Converts outcomes to Dagster events: materializations, observations, check results."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import dagster as dg

from starlake_dagster_assets.automation.policies.data_intervals import parse_interval
from starlake_dagster_assets.automation.policies.partition_support import partition_column
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.dagster_assets.dagster_runs import DATA_INTERVAL, OLDEST_ROW
from starlake_dagster_assets.dagster_assets.results.checks import drift_result, expectation_results, rejected_result
from starlake_dagster_assets.dagster_assets.results.columns import TaskColumnLineage, warehouse_schema
from starlake_dagster_assets.dagster_assets.results.existing_table_checks import existing_table_results
from starlake_dagster_assets.dagster_assets.results.iterator import Fetch, StarlakeEvent
from starlake_dagster_assets.dagster_assets.results.partition_results import LoadPartitions
from starlake_dagster_assets.dagster_assets.results.samples import Samples
from starlake_dagster_assets.dagster_assets.results.unmaterialized_outputs import unchanged_output
from starlake_dagster_assets.dagster_assets.specs.metadata import engine_of
from starlake_dagster_assets.dagster_assets.specs.row_previews import as_table, may_be_shown
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.expectation_checks import RESERVED
from starlake_dagster_assets.execution.outcome import FinalOutcome, Outcome, RunSettings
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.privacy import PrivateColumns

__all__ = ["StepEventBuilder", "files_of_failure", "is_failure", "is_unknown"]

_T = TypeVar("_T")
_EVIDENCE = "starlake/evidence"
_FILES = "starlake/files"
_WARNING = "starlake/warning"
_STATUS = "starlake/status"
_ROW_COUNT = "dagster/row_count"


class StepEventBuilder:
    """Builds the events of one step.

    Args:
        context: Context of the step, with the selected checks.
        binding: The project and its assets.
        runner: Runner whose warehouse reader is used.
        fetch: The metadata to read for each table written.
        settings: Settings of the run, with its partitions and data intervals.
        about_interval: Metadata on the interval that a materialization covers, by node id.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        binding: StepBinding,
        runner: Runner,
        fetch: Fetch,
        settings: RunSettings,
        about_interval: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._about_interval = about_interval
        self._context = context
        self._binding = binding
        self._reader = runner.warehouse_reader()
        self._fetch = fetch
        self._keys = {node.id: key for key, node in binding.nodes.items()}
        self._secrets = secrets_of(binding.source.model) | runner.capabilities.secrets
        self._lineage = TaskColumnLineage(binding.translator, self._keys)
        self._private = PrivateColumns(lambda: self._lineage.columns, binding.translator.graph, binding.source.model)
        self._samples = Samples(self._reader, self._private, binding.source.model, fetch.samples)
        self._settings, self._partition = settings, settings.partition
        self._partitioned = context.assets_def.partitions_def is not None
        texts = {node: about.get(DATA_INTERVAL, "") for node, about in about_interval.items()}
        intervals = {node: known for node, text in texts.items() if (known := parse_interval(text)) is not None}
        self._loads = LoadPartitions(
            context,
            runner,
            settings.partition,
            binding.translator,
            intervals,
            settings.unreported_jobs,
            self._read_optional,
        )
        self._columns: dict[str, Sequence[tuple[str, str]] | None] = {}
        self._reported: set[str] = set()
        self._warned: set[str] = set()
        self.unanswered: dict[str, Sequence[str]] = {}
        """Checks selected without their assets that the environment cannot evaluate, by node id."""

    def counts_partitions(self, nodes: Iterable[Node]) -> bool:
        """Whether loads are reported only after the rows of their partitions have been counted."""
        return any(self._loads.by_rows(node) or self._loads.by_late_rows(node) for node in nodes)

    def before(self, nodes: Iterable[Node]) -> None:
        """Counts the rows of tables whose counts must be known before the first command."""
        self._loads.read_before(list(nodes))

    def of(self, item: Outcome | FinalOutcome) -> Iterator[StarlakeEvent]:
        """Yields the events of an outcome; of a final outcome, the checks and metadata that were not yielded before."""
        if isinstance(item, FinalOutcome):
            yield from self._late_checks(item.outcome)
            yield from self._late_metadata(item.outcome.node)
            return
        key = self._keys[item.node.id]
        if item.status == "materialized":
            self._reported.add(item.node.id)
            checks = list(self._checks(item)) if item.is_final else list(self._early_checks(item))
            yield from self._materialized(item, key, checks)
            return
        if item.status == "nothing" and item.node.kind == "table":
            yield from self._loads.nothing(key, item.reason, {_EVIDENCE: item.evidence.value})
            yield from self._unchanged(item, key)
        elif item.status == "skipped":
            yield dg.AssetObservation(asset_key=key, description=item.reason, metadata={_STATUS: item.status})
        if item.status == "unknown":
            yield dg.AssetObservation(asset_key=key, description=item.reason, metadata=_unknown(item))
            if self._settings.policies.unknown_result == "warn":
                yield from unchanged_output(self._context, key)
        if item.status == "failed":
            yield from self._failed(item, key)

    def _failed(self, item: Outcome, key: dg.AssetKey) -> Iterator[StarlakeEvent]:
        by_rows = self._loads.by_rows(item.node)
        if by_rows:  # rows of other files may have been committed before the failure
            yield from self._loads.events(item, key, {}, ())
        elif item.landed:
            metadata = {"starlake/rows_accepted": item.landed, _WARNING: f"another file failed: {item.reason}"}
            yield dg.AssetMaterialization(asset_key=key, metadata=metadata)
        if item.files or by_rows or item.node.id in self._reported:
            # another attempt reads here that the files were taken, and that earlier materializations do not count
            metadata = {_STATUS: "failed", _EVIDENCE: item.evidence.value}
            metadata |= {_FILES: ", ".join(item.files)} if item.files else {}
            yield dg.AssetObservation(asset_key=key, description=item.reason, metadata=metadata)
        # A failed blocking check withholds the materialization; its result still states why.
        yield from self._selected(expectation_results(item, key, self._samples))

    def _materialized(
        self, item: Outcome, key: dg.AssetKey, checks: Sequence[dg.AssetCheckResult]
    ) -> Iterator[StarlakeEvent]:
        """Yields the materialization of a table or task, or of its partitions."""
        metadata = self._metadata(item)
        if self._partitioned and (rows := metadata.pop("dagster/row_count", None)) is not None:
            metadata["starlake/rows_in_table"] = rows  # of all partitions
        if self._partitioned and item.node.kind == "table":
            if self._partition is not None and not self._loads.by_rows(item.node):
                metadata |= self._interval_metadata(item)
                metadata |= {"dagster/partition_row_count": item.accepted} if item.accepted is not None else {}
            yield from self._loads.events(item, key, metadata, checks)
            return
        if self._partition is not None and item.is_final and self._fetch.row_counts:
            metadata |= self._partition_rows(item.node, key, metadata.get("starlake/rows_in_table"))
        if self._partition is None:
            metadata |= self._interval_metadata(item)
        yield dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=list(checks))

    def _interval_metadata(self, item: Outcome) -> dict[str, Any]:
        """Returns metadata on the interval that a materialization covers."""
        found = self._about_interval.get(item.node.id, {})
        oldest = self._loads.oldest_row(item) if self._loads.by_late_rows(item.node) else None
        return dict(found) if oldest is None else {**found, OLDEST_ROW: oldest.isoformat()}

    def _partition_rows(self, node: Node, key: dg.AssetKey, rows_in_table: int | None) -> dict[str, Any]:
        """Returns the row count of a task's partition as metadata; adds those of several partitions to their events."""
        partition, column = self._partition, self._binding.translator.trigger(node).replaced_column
        column = column or partition_column(node)
        counts = self._loads.rows(node, column) if rows_in_table != 0 else dict[str, int]()
        if counts is None or partition is None:
            return self._uncounted_note(node, column)
        note = self._no_rows_note(node, column, rows_in_table) if not any(map(counts.get, partition.keys)) else {}
        found = {name: {"dagster/partition_row_count": counts.get(name, 0), **note} for name in partition.keys}
        if partition.key is not None:
            return found[partition.key]
        for name, metadata in found.items():
            self._context.add_asset_metadata(metadata, asset_key=key, partition_key=name)
        return {}

    def _no_rows_note(self, node: Node, column: str, rows_in_table: int | None) -> dict[str, str]:
        """Warns that the table has no row of the partitions of the run, and returns the warning as metadata."""
        if rows_in_table is None:
            return {}
        found = f"none of the {rows_in_table} rows of the table is of the partitions of this run, by column {column!r}"
        return self._partition_note(
            node,
            f"{found if rows_in_table else 'the table has no rows, so the partitions of this run have none'}. "
            "Next: where rows were expected, compare the window or key in the SQL of the task with it.",
        )

    def _uncounted_note(self, node: Node, column: str) -> dict[str, str]:
        """Notes that the row count of a partition is unknown; also warns if the partitions are not time windows."""
        definition = self._context.assets_def.partitions_def
        if isinstance(definition, dg.MultiPartitionsDefinition):
            cause = "partitions with several dimensions are not counted"
        elif not column:
            cause = "the task has no partition column. Next: set sink.partition to the column of the partition"
        else:  # the warehouse could not be read, which was a warning
            return {}
        is_timed = isinstance(definition, dg.TimeWindowPartitionsDefinition)
        return self._partition_note(
            node, f"the number of rows of this partition is unknown: {cause}.", warn=not is_timed
        )

    def _partition_note(self, node: Node, text: str, *, warn: bool = True) -> dict[str, str]:
        if warn:
            self._context.log.warning(f"{node.id}: {text}")
        return {"starlake/partition_note": text}

    def _unchanged(self, item: Outcome, key: dg.AssetKey) -> Iterator[Any]:
        """Yields the checks and the output of a table without a new file."""
        if item.checks:
            yield from self._selected(expectation_results(item, key, self._samples))
        if self._columns_of(item.node):
            yield from self._selected(iter(self._existing_table_checks(item.node, key, set(RESERVED))))
        if self._columns_of(item.node) != ():
            yield from unchanged_output(self._context, key)

    def evaluate_checks(self, nodes: Collection[str]) -> Iterator[dg.AssetCheckResult]:
        """Evaluates checks that are selected without their assets, on the current state of the tables.

        Args:
            nodes: Node ids whose checks are selected.
        """
        chosen = self._context.selected_asset_check_keys
        for key, node in self._binding.nodes.items():
            if node.id not in nodes:
                continue
            named = {name for name, check in self._binding.checks[key].items() if check.key in chosen}
            if not named or key in self._context.selected_asset_keys:
                continue
            answered: set[str] = set()
            for result in self._existing_table_checks(node, key, named):
                answered.add(result.check_name or "")
                yield from self._selected(iter([result]))
            if left := sorted(named - answered):
                self.unanswered[node.id] = left

    def _existing_table_checks(self, node: Node, key: dg.AssetKey, named: set[str]) -> Sequence[dg.AssetCheckResult]:
        reader, project, samples = self._reader, self._binding.source.model, self._samples
        if reader is None:
            return ()
        return (
            self._read_optional(lambda: list(existing_table_results(node, key, named, project, reader, samples))) or ()
        )

    # ------------------------------------------------------------------------------------------------- checks

    def _early_checks(self, outcome: Outcome) -> Iterator[dg.AssetCheckResult]:
        if outcome.node.kind == "table" and outcome.rejected is not None:
            yield from self._selected(iter([rejected_result(outcome, self._keys[outcome.node.id], self._samples)]))

    def _late_checks(self, outcome: Outcome) -> Iterator[dg.AssetCheckResult]:
        key = self._keys[outcome.node.id]
        yield from self._selected(expectation_results(outcome, key, self._samples))
        yield from self._selected(self._drift(outcome.node, key))

    def _late_metadata(self, node: Node) -> Iterator[dg.AssetObservation]:
        """Yields the warehouse metadata of a table that was reported before the warehouse could be read."""
        found = self._fetched(node, self._reader) if self._reader is not None else {}
        if found:
            yield dg.AssetObservation(asset_key=self._keys[node.id], metadata=found)

    def _checks(self, outcome: Outcome) -> Iterator[dg.AssetCheckResult]:
        key = self._keys[outcome.node.id]
        if outcome.node.kind == "table":
            yield from self._selected(iter([rejected_result(outcome, key, self._samples)]))
        yield from self._late_checks(outcome)

    def _drift(self, node: Node, key: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
        if node.kind != "table":
            return
        project = self._binding.source.model
        there, engine = self._columns_of(node), engine_of(node, project)
        result = self._read_optional(lambda: drift_result(node, key, project, there or (), engine))
        if result is not None:
            yield result

    def _selected(self, results: Iterator[dg.AssetCheckResult]) -> Iterator[dg.AssetCheckResult]:
        """Yields the results of selected checks, under the names that the checks have in this step."""
        for result in results:
            spec = self._binding.checks[_key(result)].get(result.check_name or "")
            if spec is None or spec.key not in self._context.selected_asset_check_keys:
                continue
            yield dg.AssetCheckResult(
                passed=result.passed,
                asset_key=spec.asset_key,
                check_name=spec.name,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
            )

    # ----------------------------------------------------------------------------------------------- metadata

    def _metadata(self, outcome: Outcome) -> dict[str, Any]:
        """Returns the metadata of an outcome in the order of the UI: rows, files, columns, then duration and ids."""
        fetched = self._fetched(outcome.node, self._reader) if self._reader is not None and outcome.is_final else {}
        counts = {"accepted": outcome.accepted, "rejected": outcome.rejected, "input": outcome.input}
        metadata: dict[str, Any] = {key: fetched.pop(key) for key in [_ROW_COUNT] if key in fetched}
        metadata |= {f"starlake/rows_{name}": count for name, count in counts.items() if count is not None}
        if outcome.files:
            metadata[_FILES] = ", ".join(outcome.files)
        metadata |= fetched
        if self._fetch.columns:
            lineage = self._read_optional(lambda: self._lineage.of(outcome.node))
            metadata |= {"dagster/column_lineage": lineage} if lineage is not None else {}
        if outcome.warnings:
            metadata[_WARNING] = "\n".join(outcome.warnings)
        metadata[_EVIDENCE] = outcome.evidence.value
        metadata["starlake/duration_seconds"] = round(outcome.seconds, 3)
        if outcome.job_id:
            metadata["starlake/job_id"] = outcome.job_id
        return metadata

    def _fetched(self, node: Node, reader: WarehouseReader) -> dict[str, Any]:
        found: dict[str, Any] = {}
        count = (lambda: reader.row_count(*node.target)) if self._fetch.row_counts else None
        if count is not None and (rows := self._read_optional(count)) is not None:
            found[_ROW_COUNT] = rows
        if (limit := self._fetch.preview) and may_be_shown(node):
            rows = self._read_optional(lambda: reader.rows(*node.target, limit)) or ()
            if rows and (columns := self._columns_of(node)):
                names = [name for name, _ in columns]
                found["starlake/preview"] = as_table(names, rows, lambda column: self._private.shows(node, column))
        if self._fetch.columns and (columns := self._columns_of(node)):
            found["dagster/column_schema"] = warehouse_schema(node, columns)
        return found

    def _columns_of(self, node: Node) -> Sequence[tuple[str, str]] | None:
        """Returns the warehouse columns of a table, read once per step; `()` if it does not exist, None if unknown."""
        reader = self._reader
        if reader is not None and node.id not in self._columns:
            found = self._read_optional(lambda: reader.columns(*node.target))
            self._columns[node.id] = None if found is None else tuple(found)
        return self._columns.get(node.id)

    def _read_optional(self, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except Exception as error:  # metadata is optional: whatever a driver raises, the table was written
            text = redact(f"the warehouse cannot be read: {error}", self._secrets)
            if text not in self._warned:  # once for all tables
                self._warned.add(text)
                self._context.log.warning(text)
            return None


def files_of_failure(observation: dg.AssetObservation) -> tuple[str, ...]:
    """Returns the files of a failed or unknown load that an observation lists; empty for other observations."""
    if not is_failure(observation):
        return ()
    return tuple(name for name in _text(observation, _FILES).split(", ") if name)


def is_failure(observation: dg.AssetObservation) -> bool:
    """Whether an observation reports that its asset failed, or that its result is unknown."""
    return _text(observation, _STATUS) in ("failed", "unknown")


def is_unknown(observation: dg.AssetObservation) -> bool:
    """Whether an observation reports that the result of its asset is unknown."""
    return _text(observation, _STATUS) == "unknown"


def _unknown(item: Outcome) -> dict[str, Any]:
    """Returns the metadata of an unknown result, with which a retry or a user can find it out."""
    found = {_STATUS: "unknown", _EVIDENCE: item.evidence.value, "starlake/job_id": item.job_id}
    return {**found, _FILES: ", ".join(item.files), "starlake/command": item.command}


def _text(observation: dg.AssetObservation, name: str) -> str:
    value = observation.metadata.get(name)
    return value.text or "" if isinstance(value, dg.TextMetadataValue) else ""


def _key(result: dg.AssetCheckResult) -> dg.AssetKey:
    assert isinstance(result.asset_key, dg.AssetKey)
    return result.asset_key
