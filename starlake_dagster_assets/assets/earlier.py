"""What earlier attempts of a step did, from the event log: what they made, and the files that their loads took."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from starlake_dagster_assets.assets.binding import Binding
from starlake_dagster_assets.assets.partition_results import COMPLETE_LOAD
from starlake_dagster_assets.assets.results import files_of_failure, is_failure

__all__ = [
    "Earlier",
    "materialized_keys",
    "partitioned",
    "read_earlier",
    "repeated_runs",
    "repeats_failed_assets",
    "taken_before",
]

_FROM_FAILURE = "dagster/is_resume_retry"
_FROM_ASSET_FAILURE = "dagster/is_asset_resume_retry"
_STEP_SELECTION = "dagster/step_selection"


@dataclass(frozen=True)
class Earlier:
    """What earlier attempts of a step have made for all of its partitions.

    Attributes:
        made: Asset key to the id of the run that made it: this run, or one that it repeats from its failure.
        answered: Checks of these assets that were evaluated.
    """

    made: Mapping[dg.AssetKey, str] = field(default_factory=dict[dg.AssetKey, str])
    answered: frozenset[dg.AssetCheckKey] = frozenset()


def read_earlier(context: dg.AssetExecutionContext, keys: Collection[dg.AssetKey]) -> Earlier:
    """Reads what earlier attempts of a step have made.

    Earlier attempts are those of this run, and the runs of the chain that this run repeats from their failure. A run
    of all steps or of selected steps repeats what it was asked for.

    Args:
        context: Of the step.
        keys: Assets that are selected.
    """
    runs = [context.run] if context.retry_number else []
    runs += repeated_runs(context.instance, context.run) if context.run.parent_run_id else []
    wanted = set(context.partition_keys) if partitioned(context) else set[str]()
    there: dict[dg.AssetKey, set[str | None]] = {}
    made: dict[dg.AssetKey, str] = {}
    answered: set[dg.AssetCheckKey] = set()
    for run in runs:  # the newest first
        found = _made_in(context, run.run_id, set(keys))
        answered |= found.answered
        for key, partitions in found.partitions.items():
            there.setdefault(key, set()).update(partitions)
            if key not in made and (None in there[key] or (wanted and wanted <= there[key])):
                made[key] = run.run_id
    return Earlier(made, frozenset(check for check in answered if check.asset_key in made))


def repeated_runs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.DagsterRun]:
    """The runs that a run repeats from their failure: its parent, the parent of that, and so on.

    Args:
        instance: Where the runs are.
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
    """Whether a run repeats the assets that its parent did not make, chosen by Dagster."""
    return run.tags.get(_FROM_ASSET_FAILURE) == "true"


def materialized_keys(context: dg.AssetExecutionContext, keys: Collection[dg.AssetKey]) -> set[dg.AssetKey]:
    """Which of some assets the event log of this run has a materialization of.

    Args:
        context: Of the step.
        keys: The assets.
    """
    materialized = dg.DagsterEventType.ASSET_MATERIALIZATION
    found = {key for key, _, _ in _events(context, context.run.run_id, materialized)}
    return {key for key in keys if key in found}


def taken_before(context: dg.AssetExecutionContext, binding: Binding) -> Mapping[str, Sequence[str]]:
    """By node id, the files that loads of earlier attempts took and that failed, in this run or the one it repeats."""
    runs = [context.run.parent_run_id, context.run.run_id if context.retry_number else None]
    nodes = {key: node.id for key, node in binding.nodes.items()}
    taken: dict[str, Sequence[str]] = {}
    for run in runs:
        for key, event, _ in _events(context, run, dg.DagsterEventType.ASSET_OBSERVATION) if run else ():
            observation: Any = getattr(event.event_specific_data, "asset_observation", None)
            if key in nodes and observation is not None and (files := files_of_failure(observation)):
                taken[nodes[key]] = files
    return taken


def partitioned(context: dg.AssetExecutionContext) -> bool:
    """Whether the step is of some partitions."""
    return context.has_partition_key or context.has_partition_key_range


def _failed_parent(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun | None:
    """The run that a run repeats from its failure; None where it repeats nothing, or what someone chose."""
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
    """The steps that a re-execution from failure has: `execute_job` does not say in tags that it is one."""
    from dagster._core.execution.plan.state import KnownExecutionState

    try:
        steps, _ = KnownExecutionState.build_resume_retry_reexecution(instance, parent)
    except dg.DagsterError:  # the parent did not fail, or is not known any more
        return set()
    return set(steps)


@dataclass
class _Made:
    """What one run made: partitions by asset key (None for an asset without), and the checks it evaluated."""

    partitions: dict[dg.AssetKey, set[str | None]] = field(default_factory=dict[dg.AssetKey, set[str | None]])
    answered: set[dg.AssetCheckKey] = field(default_factory=set[dg.AssetCheckKey])


def _made_in(context: dg.AssetExecutionContext, run: str, keys: set[dg.AssetKey]) -> _Made:
    """What a run made and did not take back: neither a failure nor a failed blocking check came afterwards."""
    found = _Made()
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
    for _, event, _ in _events(context, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation: Any = event.event_specific_data
        if evaluation.blocking and not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR:
            found.partitions.pop(evaluation.asset_check_key.asset_key, None)
        else:
            found.answered.add(evaluation.asset_check_key)
    return found


def _events(
    context: dg.AssetExecutionContext, run: str, kind: dg.DagsterEventType
) -> Iterator[tuple[dg.AssetKey | None, dg.DagsterEvent, int]]:
    """The events of a kind in a run, oldest first, with their numbers in the event log."""
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
