"""Attempts of steps that run commands, and their execution log in the event log of the run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import has_no_run
from starlake_dagster_assets.execution.backends.protocol import Execution, StepAttempt

__all__ = ["build_command_attempt", "build_step_attempt", "deployment_of", "may_retry"]

_KEY = "starlake/execution"
_PAGE = 1000
_ROOT = "dagster/root_run_id"
_WILL_RETRY = "dagster/will_retry"
_RETRY = "dagster/auto_retry_run_id"
_ENDED = ("SUCCESS", "FAILURE", "SKIPPED")


def build_step_attempt(context: dg.AssetExecutionContext) -> StepAttempt:
    """Returns the attempt that a context belongs to, with an execution log in the event log of its run."""
    run, step = context.run, context.assets_def.op.name
    labels = {"job": run.job_name, "deployment": deployment_of(context.instance)}
    if context.has_partition_key:
        labels["partition"] = context.partition_key
    execution_log = _EventLogExecutions(context.instance, run, step, first=context.retry_number == 0)
    return StepAttempt(
        run.run_id,
        step,
        context.retry_number,
        labels,
        execution_log,
        lambda: _other_steps_ended(context.instance, run, step),
    )


def build_command_attempt(context: "dg.OpExecutionContext | dg.AssetExecutionContext | None") -> StepAttempt:
    """Returns the attempt of an op or asset that runs a single command.

    Args:
        context: Context of the op or asset. If it is None or has no run, the attempt belongs to no run.
    """
    if context is None or has_no_run(context):
        return StepAttempt()
    instance, run, step = context.instance, context.run, context.op_def.name
    other_steps_ended = partial(_other_steps_ended, instance, run, step)
    execution_log = _EventLogExecutions(instance, run, step, first=context.retry_number == 0)
    labels = {"job": run.job_name, "deployment": deployment_of(instance)}
    return StepAttempt(run.run_id, step, context.retry_number, labels, execution_log, other_steps_ended)


def deployment_of(instance: dg.DagsterInstance) -> str:
    """Returns the identity of a Dagster deployment: the id of its run storage; "" if the storage has none."""
    read: Any = getattr(instance.run_storage, "get_run_storage_id", None)
    return str(read()) if callable(read) else ""


def may_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run that has ended is being retried or will be retried."""
    root = run.root_run_id or run.run_id
    if any(not one.is_finished for one in instance.get_runs(dg.RunsFilter(tags={_ROOT: root}))):
        return True
    return run.tags.get(_WILL_RETRY) == "true" and _RETRY not in run.tags


def _other_steps_ended(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str) -> bool:
    """Whether every other step of the run has ended."""
    snapshot = run.execution_plan_snapshot_id
    plan = instance.get_execution_plan_snapshot(snapshot) if snapshot else None
    others = {key for key in (plan.step_keys_to_execute if plan is not None else ()) if key != step}
    if not others:
        return True
    stats = instance.get_run_step_stats(run.run_id, step_keys=sorted(others))
    ended = {one.step_key for one in stats if one.status is not None and one.status.value in _ENDED}
    return others <= ended


class _EventLogExecutions:
    """Execution log in the engine events of a run, which outlive the process and are shown in the UI.

    Args:
        instance: Instance that stores the event log.
        run: The run.
        step: The step; executions of other steps are ignored.
        first: Whether this is the first attempt of the step in this run.
    """

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, *, first: bool) -> None:
        self._instance = instance
        self._run = run
        self._step = step
        self._first = first

    def record(self, execution: Execution) -> None:
        """Writes an engine event with an execution that is being submitted or has started."""
        typed = " ".join(execution.argv)
        text = f"{execution.environment}: {execution.id or 'submitting'}: {typed[:300]}"
        self._report(text, {"state": "started" if execution.id else "submitting"}, execution)

    def ended(self, execution: Execution, state: str) -> None:
        """Writes an engine event with the end of an execution."""
        self._report(
            f"{execution.environment}: {execution.id or execution.job_id} {state}", {"state": "ended"}, execution
        )

    def unfinished(self, environment: str) -> Sequence[Execution]:
        """Returns an environment's executions of earlier attempts whose results were not reported, oldest first."""
        return [one for one in self._open if one.environment == environment]

    @cached_property
    def _open(self) -> tuple[Execution, ...]:
        """The executions of earlier attempts whose results were not reported, oldest first."""
        known: dict[str, Execution] = {}
        for fact in self._recorded_facts():
            execution = Execution(
                fact["environment"], fact["id"], tuple(fact["argv"]), fact["job_id"], fact.get("url", "")
            )
            if fact["state"] == "ended":
                known.pop(execution.job_id, None)
            else:
                known[execution.job_id] = execution
        return tuple(known.values())

    def _recorded_facts(self) -> Iterator[Mapping[str, Any]]:
        """Yields the recorded executions, oldest first: of the runs that this run repeats, then of this run."""
        for run_id in reversed([*self._runs()]):
            cursor: str | None = None
            while True:
                page = self._instance.get_records_for_run(
                    run_id, cursor=cursor, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_PAGE
                )
                for record in page.records:
                    yield from self._read(record.event_log_entry)
                if not page.has_more:
                    break
                cursor = page.cursor

    def _read(self, entry: Any) -> Iterator[Mapping[str, Any]]:
        event = entry.dagster_event
        data = getattr(event, "engine_event_data", None)
        if data is None:
            return
        value = data.metadata.get(_KEY)
        fact: Any = getattr(value, "data", None)
        if isinstance(fact, dict) and fact.get("step") == self._step:  # pyright: ignore[reportUnknownMemberType]
            yield fact

    def _runs(self) -> Iterator[str]:
        """Yields the ids of this run, if it retries the step, and of the runs that it re-executes, newest first."""
        if not self._first:
            yield self._run.run_id
        seen = {self._run.run_id}
        parent = self._run.parent_run_id
        while parent is not None and parent not in seen:
            seen.add(parent)
            yield parent
            run = self._instance.get_run_by_id(parent)
            parent = run.parent_run_id if run is not None else None

    def _report(self, text: str, fact: Mapping[str, str], execution: Execution) -> None:
        data = {
            "step": self._step,
            "environment": execution.environment,
            "id": execution.id,
            "argv": list(execution.argv),
            "job_id": execution.job_id,
            "url": execution.url,
            **fact,
        }
        metadata: dict[str, Any] = {_KEY: dg.MetadataValue.json(json.loads(json.dumps(data)))}
        if execution.url:
            metadata["url"] = dg.MetadataValue.url(execution.url)
        from dagster._core.events import EngineEventData

        self._instance.report_engine_event(text, self._run, EngineEventData(metadata=metadata), step_key=self._step)
