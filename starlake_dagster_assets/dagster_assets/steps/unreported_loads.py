"""Runs that ended before they reported the result of a table, for example because their process was killed."""

from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.dagster_runs import is_over

__all__ = ["has_ended_without_result", "unreported_jobs"]

_RESULTS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
}
_MOST_RUNS = 50
"""Maximum number of planned materializations of a table, newest first, whose runs are examined."""
_MOST_RESULTS = 5000
"""Maximum number of events of a run that are examined."""


def unreported_jobs(context: dg.AssetExecutionContext, key: dg.AssetKey, node: str) -> tuple[str, ...]:
    """Returns the prefixes of the job ids of runs that ended without a result for a table, since its last result.

    Args:
        context: Context of the step.
        key: Asset key of the table.
        node: Node id of the table.
    """
    instance, found = context.instance, dict[str, None]()
    planned = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=key)
    for record in instance.event_log_storage.get_event_records(planned, limit=_MOST_RUNS):
        if record.run_id == context.run.run_id or record.run_id in found:
            continue
        run = instance.get_run_by_id(record.run_id)
        if run is None or not is_over(run):
            continue
        if not has_ended_without_result(instance, run, key, node):
            break
        found[record.run_id] = None
    return tuple(f"{run}-" for run in found)


def has_ended_without_result(instance: dg.DagsterInstance, run: dg.DagsterRun, key: dg.AssetKey, node: str) -> bool:
    """Whether a run has ended, and its event log contains no result of a table.

    Args:
        instance: Instance that stores the event log.
        run: The run.
        key: Asset key of the table.
        node: Node id of the table; the metadata of a failed step has it as a key.
    """
    if not is_over(run):
        return False
    records = instance.get_records_for_run(run.run_id, of_type=_RESULTS, limit=_MOST_RESULTS).records
    return not any(_is_result(record.event_log_entry.dagster_event, key, node) for record in records)


def _is_result(event: dg.DagsterEvent | None, key: dg.AssetKey, node: str) -> bool:
    """Whether an event is a materialization, observation, check or failure of a table."""
    if event is None:
        return False
    if event.event_type is dg.DagsterEventType.STEP_FAILURE:
        failure = event.step_failure_data.user_failure_data
        return failure is not None and node in failure.metadata
    data: Any = event.event_specific_data
    check = getattr(data, "asset_check_key", None)
    return key == (event.asset_key if check is None else check.asset_key)
