"""Previous attempts of a step, from the event log: assets that they materialized, and files that their loads took."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from starlake_dagster_assets._compat import is_blocking
from starlake_dagster_assets.dagster_assets.results.events import files_of_failure, is_failure, is_unknown
from starlake_dagster_assets.dagster_assets.results.partition_results import COMPLETE_LOAD
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.execution.outcome import PreviousLoad

__all__ = [
    "PreviousAttempts",
    "materialized_keys",
    "partitioned",
    "previous_jobs",
    "previous_loads",
    "read_previous_attempts",
    "repeated_runs",
    "repeats_failed_assets",
]

_FROM_FAILURE = "dagster/is_resume_retry"
_FROM_ASSET_FAILURE = "dagster/is_asset_resume_retry"
_STEP_SELECTION = "dagster/step_selection"


@dataclass(frozen=True)
class PreviousAttempts:
    """Assets that previous attempts of a step have materialized for all partitions of the step.

    Attributes:
        materialized: Id of the run by asset key: this run, or one that it repeats from its failure.
        evaluated_checks: Checks of these assets that were evaluated.
    """

    materialized: Mapping[dg.AssetKey, str] = field(default_factory=dict[dg.AssetKey, str])
    evaluated_checks: frozenset[dg.AssetCheckKey] = frozenset()


def read_previous_attempts(context: dg.AssetExecutionContext, keys: Collection[dg.AssetKey]) -> PreviousAttempts:
    """Reads the assets that previous attempts of a step have materialized.

    Previous attempts are those of this run, and the runs of the chain that this run repeats from their failure. A run
    of all steps or of selected steps has none: it repeats everything that is selected.

    Args:
        context: Context of the step.
        keys: Assets that are selected.
    """
    runs = [context.run] if context.retry_number else []
    runs += repeated_runs(context.instance, context.run) if context.run.parent_run_id else []
    wanted = set(context.partition_keys) if partitioned(context) else set[str]()
    there: dict[dg.AssetKey, set[str | None]] = {}
    materialized: dict[dg.AssetKey, str] = {}
    checks: set[dg.AssetCheckKey] = set()
    for run in runs:  # the newest first
        found = _results_of(context, run.run_id, set(keys))
        checks |= found.checks
        for key, partitions in found.partitions.items():
            there.setdefault(key, set()).update(partitions)
            if key not in materialized and (None in there[key] or (wanted and wanted <= there[key])):
                materialized[key] = run.run_id
    return PreviousAttempts(materialized, frozenset(check for check in checks if check.asset_key in materialized))


def repeated_runs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.DagsterRun]:
    """Returns the runs that a run repeats from their failure: its parent, the parent of the parent, and so on.

    Args:
        instance: Instance that stores the runs.
        run: The run.
    """
    found: list[dg.DagsterRun] = []
    seen = {run.run_id}
    while (parent := _failed_parent(instance, run)) is not None and parent.run_id not in seen:
        found.append(parent)
        seen.add(parent.run_id)
        run = parent
    return found


def repeats_failed_assets(run: dg.DagsterRun) -> bool:
    """Whether a run repeats only the assets that its parent did not materialize, as Dagster has selected them."""
    return run.tags.get(_FROM_ASSET_FAILURE) == "true"


def materialized_keys(context: dg.AssetExecutionContext, keys: Collection[dg.AssetKey]) -> set[dg.AssetKey]:
    """Returns the assets that have a materialization in the event log of this run.

    Args:
        context: Context of the step.
        keys: The assets to look for.
    """
    materialized = dg.DagsterEventType.ASSET_MATERIALIZATION
    found = {key for key, _, _ in _events(context, context.run.run_id, materialized)}
    return {key for key in keys if key in found}


def previous_jobs(context: dg.AssetExecutionContext) -> tuple[str, ...]:
    """Returns the prefixes of the job ids of previous attempts of a step, in this run and the runs that it repeats."""
    runs = [run.run_id for run in repeated_runs(context.instance, context.run)]
    runs += [context.run.run_id] if context.retry_number else []
    return tuple(f"{run}-{context.assets_def.op.name}-" for run in runs)


def previous_loads(context: dg.AssetExecutionContext, binding: StepBinding) -> Mapping[str, PreviousLoad]:
    """Returns the loads of previous attempts, in this run and its parent, that failed or are unknown, by node id."""
    runs = [context.run.parent_run_id, context.run.run_id if context.retry_number else None]
    nodes = {key: node.id for key, node in binding.nodes.items()}
    taken: dict[str, PreviousLoad] = {}
    for run in runs:
        for key, event, _ in _events(context, run, dg.DagsterEventType.ASSET_OBSERVATION) if run else ():
            observation: Any = getattr(event.event_specific_data, "asset_observation", None)
            if key not in nodes or observation is None:
                continue
            files, unknown = files_of_failure(observation), is_unknown(observation)
            if files or unknown:
                taken[nodes[key]] = PreviousLoad(files, unknown)
    return taken


def partitioned(context: dg.AssetExecutionContext) -> bool:
    """Whether a step runs for partitions; the tags of a partitioned run do not apply to unpartitioned assets."""
    if context.assets_def.partitions_def is None:
        return False
    return context.has_partition_key or context.has_partition_key_range


def _failed_parent(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun | None:
    """Returns the run that a run repeats from its failure; None if it repeats no run, all steps or selected steps."""
    if run.parent_run_id is None or _STEP_SELECTION in run.tags:
        return None
    parent = instance.get_run_by_id(run.parent_run_id)
    if parent is None or repeats_failed_assets(run):
        return parent
    snapshot = run.execution_plan_snapshot_id
    plan = instance.get_execution_plan_snapshot(snapshot) if snapshot else None
    known = plan.initial_known_state if plan is not None else None
    if plan is None or known is None or known.parent_state is None:  # all steps
        return None
    steps = set(plan.step_keys_to_execute)
    return parent if run.tags.get(_FROM_FAILURE) == "true" or steps == _steps_to_retry(instance, parent) else None


def _steps_to_retry(instance: dg.DagsterInstance, parent: dg.DagsterRun) -> set[str]:
    """Returns the steps of a re-execution of a run from its failure; `execute_job` does not tag such a re-execution."""
    from dagster._core.execution.plan.state import KnownExecutionState

    try:
        steps, _ = KnownExecutionState.build_resume_retry_reexecution(instance, parent)
    except dg.DagsterError:  # the parent did not fail, or is not known any more
        return set()
    return set(steps)


@dataclass
class _RunResults:
    """Results of one run: materialized partitions by asset key (None for an asset without), and evaluated checks."""

    partitions: dict[dg.AssetKey, set[str | None]] = field(default_factory=dict[dg.AssetKey, set[str | None]])
    checks: set[dg.AssetCheckKey] = field(default_factory=set[dg.AssetCheckKey])


def _results_of(context: dg.AssetExecutionContext, run: str, keys: set[dg.AssetKey]) -> _RunResults:
    """Returns the results of a run, without assets that failed later or that have a failed blocking check."""
    found = _RunResults()
    newest: dict[dg.AssetKey, int] = {}
    for key, event, number in _events(context, run, dg.DagsterEventType.ASSET_MATERIALIZATION):
        if key is not None and key in keys:
            whole = COMPLETE_LOAD in event.step_materialization_data.materialization.metadata
            found.partitions.setdefault(key, set()).add(None if whole else event.partition)
            newest[key] = number
    if not newest:
        return found
    for key, event, number in _events(context, run, dg.DagsterEventType.ASSET_OBSERVATION):
        observation: Any = getattr(event.event_specific_data, "asset_observation", None)
        if key in newest and number > newest[key] and observation is not None and is_failure(observation):
            found.partitions.pop(key, None)
    own = context.assets_def.node_check_specs_by_output_name.values()
    for _, event, _ in _events(context, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation: Any = event.event_specific_data
        if (
            is_blocking(evaluation, own)
            and not evaluation.passed
            and evaluation.severity is dg.AssetCheckSeverity.ERROR
        ):
            found.partitions.pop(evaluation.asset_check_key.asset_key, None)
        else:
            found.checks.add(evaluation.asset_check_key)
    return found


def _events(
    context: dg.AssetExecutionContext, run: str, kind: dg.DagsterEventType
) -> Iterator[tuple[dg.AssetKey | None, dg.DagsterEvent, int]]:
    """Yields the events of a kind in a run, oldest first, with their asset keys and storage ids."""
    cursor: str | None = None
    while True:
        page = context.instance.get_records_for_run(run, cursor=cursor, of_type=kind, limit=1000)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                yield event.asset_key, event, record.storage_id
        if not page.has_more:
            return
        cursor = page.cursor
