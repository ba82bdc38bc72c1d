"""Moves tasks of an exported DAG to Dagster and back, by dagster-airlift: one switch per task.

Exported next to the DAG files. dagster-airlift is imported only if a switch is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import new_class
from typing import Any

from starlake_dagster_assets.airflow.runtime.asset_updates import skip_task
from starlake_dagster_assets.airflow.runtime.macros import emit_window, in_dag_timezone, window
from starlake_dagster_assets.airflow.runtime.update_condition import UpdateCondition

__all__ = ["proxy_to_dagster"]

_MATERIALIZED = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { assetMaterializations { __typename } } } }"
_RUNS = "query ($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1) { ... on Runs { results { runId } } } }"
_ACTIVE = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")
_TASK_INSTANCE = tuple(f"dagster-airlift/airflow-{name}" for name in ("dag-id", "dag-run-id", "task-id"))
_TRY = "starlake/airflow_try"
"""Tag of a run in Dagster: the number of the try in Airflow that launched it."""
_PATIENCE = 60
"""Timeout of a request to Dagster, in seconds; dagster-airlift waits 3 or 10 seconds."""
_DEFAULT_OPERATOR = "dagster_airlift.in_airflow:DefaultProxyTaskToDagsterOperator"
_NONE_ELSE: Mapping[str, Sequence[str]] = {}
_COPIED = (
    *("owner", "retries", "retry_delay", "retry_exponential_backoff", "max_retry_delay", "execution_timeout"),
    *("trigger_rule", "priority_weight", "pool", "queue", "inlets", "outlets", "doc_md", "email_on_failure"),
    *("on_failure_callback", "on_success_callback", "on_retry_callback", "on_skipped_callback"),
)
"""Arguments that are copied from a task to the operator that replaces the task."""


def proxy_to_dagster(
    dag: Any, also: Mapping[str, Sequence[str]] = _NONE_ELSE, operator: str = _DEFAULT_OPERATOR
) -> None:
    """Replaces the tasks that are switched on in `proxied_state/<DAG id>.yaml` with runs of their assets in Dagster.

    Args:
        dag: The DAG.
        also: Ids of other tasks whose work Dagster then also does, by the id of a task that can be switched.
        operator: Class of dagster-airlift that reaches Dagster, as `module:Name`.
    """
    switches = _switches(dag.dag_id)
    wanted = [task for task, is_proxied in switches.items() if is_proxied]
    if not wanted:
        return
    airlift = import_module("dagster_airlift.in_airflow")
    kind = _operator(operator)

    def build(task: Any) -> Any:
        return _build(kind, task)

    state = airlift.DagProxiedState.from_dict(
        {"tasks": [{"id": task, "proxied": is_proxied} for task, is_proxied in switches.items()]}
    )
    airlift.proxying_to_dagster(
        global_vars={"dag": dag},
        proxied_state=airlift.AirflowProxiedState({dag.dag_id: state}),
        build_from_task_fn=build,
    )
    for task in wanted:
        for name in also.get(task, ()):
            _leave_to_dagster(dag.task_dict[name])


def _switches(dag_id: str) -> Mapping[str, bool]:
    """Reads the switches of a DAG."""
    path = Path(__file__).parent / "proxied_state" / f"{dag_id}.yaml"
    if not path.exists():
        return {}
    state = import_module("yaml").safe_load(path.read_text(encoding="utf-8"))
    return {one["id"]: one["proxied"] for one in state["tasks"]}


def _operator(reference: str) -> Any:
    """Returns the class of the operator that runs assets in Dagster instead of a task in Airflow."""
    module, _, name = reference.partition(":")
    return new_class("StarlakeProxyOperator", (RunsInDagster, getattr(import_module(module), name)))


class RunsInDagster:
    """Mixin for an operator of dagster-airlift: passes the window, skips a task without files, and waits longer.

    A task instance has one run in Dagster at a time, even if an answer of Dagster is lost.
    """

    has_materialized = False

    def get_dagster_session(self, context: Any) -> Any:
        """Returns the session of the operator; its requests wait a minute for an answer."""
        parent: Any = super()
        session = parent.get_dagster_session(context)
        request = session.request

        def patient(*args: Any, **options: Any) -> Any:
            return request(*args, **{**options, "timeout": max(_PATIENCE, options.get("timeout") or 0)})

        session.request = patient
        return session

    def default_dagster_run_tags(self, context: Any) -> dict[str, str]:
        """Returns the tags of the run in Dagster, among them the window of the run in Airflow."""
        parent: Any = super()
        window_of_run = zip(("start", "end"), window(context), strict=True)
        interval = {f"starlake/data_interval_{name}": f"{moment}+00:00" for name, moment in window_of_run}
        number = {_TRY: str(context["ti"].try_number)}
        return {**parent.default_dagster_run_tags(context), **number, **(interval if window(context)[0] else {})}

    def launch_dagster_run(self, context: Any, session: Any, dagster_url: str, execution_params: Any) -> str:
        """Launches a run, and returns its id.

        A run that an earlier try of the task launched and that has not ended is returned instead. If the answer is
        lost, the run is found by its tags.

        Raises:
            OSError: Dagster cannot be reached, and has no run of this try.
        """
        parent: Any = super()
        tags = {one["key"]: one["value"] for one in execution_params["executionMetadata"]["tags"]}
        same = [{"key": name, "value": tags[name]} for name in _TASK_INSTANCE]
        if active := self._run_of(session, dagster_url, {"tags": same, "statuses": _ACTIVE}):
            return active
        try:
            return parent.launch_dagster_run(context, session, dagster_url, execution_params)
        except OSError:
            mine = [*same, {"key": _TRY, "value": tags[_TRY]}]
            if launched := self._run_of(session, dagster_url, {"tags": mine}):
                return launched
            raise

    def _run_of(self, session: Any, dagster_url: str, wanted: Mapping[str, Any]) -> str | None:
        """Returns the id of the newest run that a filter selects; None if there is none."""
        parent: Any = super()
        query = {"query": _RUNS, "variables": {"filter": wanted}}
        found = parent.get_valid_graphql_response(session.post(f"{dagster_url}/graphql", json=query), "runsOrError")
        return next((one["runId"] for one in found["results"]), None)

    def get_partition_key(self, context: Any, partitioning_info: Any) -> str:
        """Returns the key of the time partition that has the window of the run."""
        return _partition_key(context, partitioning_info)

    def wait_for_run_to_complete(self, session: Any, dagster_url: str, run_id: str) -> Any:
        """Waits for a run, and reads whether it materialized assets."""
        parent: Any = super()
        result = parent.wait_for_run_to_complete(session=session, dagster_url=dagster_url, run_id=run_id)
        query = {"query": _MATERIALIZED, "variables": {"run": run_id}}
        run = parent.get_valid_graphql_response(session.post(f"{dagster_url}/graphql", json=query), "runOrError")
        self.has_materialized = self.has_materialized or bool(run["assetMaterializations"])
        return result

    def launch_runs_for_task(self, context: Any, dag_id: str, task_id: str) -> None:
        """Runs the assets in Dagster and waits for the end of the run.

        Raises:
            AirflowSkipException: The run succeeded and materialized nothing, because there was no file.
        """
        parent: Any = super()
        parent.launch_runs_for_task(context, dag_id, task_id)
        if not self.has_materialized:
            skip_task("the run in Dagster materialized nothing")


def _partition_key(context: Any, partitioning_info: Any) -> str:
    """Returns the key of the time partition that has the window of a run.

    Raises:
        ValueError: No partition has the window.
    """
    start, end = window(context)
    keys: list[str] = [*partitioning_info.partition_keys]
    form = getattr(partitioning_info.additional_info, "fmt", "")
    key, following = (in_dag_timezone(context, at, form) if start and form else "" for at in (start, end))
    place = keys.index(key) if key in keys else -1
    if place < 0 or keys[place + 1 : place + 2] not in ([], [following]):
        between = f"from {start} to {end} (UTC)" if start else "none"
        raise ValueError(
            f"the assets have time partitions in Dagster, and the window of this run ({between}) is not one of them. "
            "Start the run with sl_start_date and sl_end_date of one partition, or set `proxied: false` for the task."
        )
    return key


def _build(kind: Any, task: Any) -> Any:
    """Builds the operator that replaces a task."""
    arguments = {name: value for name in _COPIED if (value := getattr(task, name, None)) is not None}
    return kind(
        task_id=task.label,
        task_group=task.task_group,
        pre_execute=_update_hook(task),
        post_execute=emit_window,
        **arguments,
    )


def _leave_to_dagster(task: Any) -> None:
    """Turns a task into a no-op, because the run of its assets in Dagster does its work."""
    task._pre_execute_hook, task._post_execute_hook, task.execute = _update_hook(task), None, _do_nothing  # noqa: SLF001


def _update_hook(task: Any) -> Callable[[Any], None] | None:
    """Returns the hook of a task that evaluates its condition on upstream updates; None for other hooks."""
    hook: Any = getattr(task, "_pre_execute_hook", None)
    return hook if isinstance(hook, UpdateCondition) else None


def _do_nothing(context: Any) -> None:
    """Does nothing: the `execute` of tasks whose work Dagster does."""
