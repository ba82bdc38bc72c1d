"""Macros of the exported DAGs: the window of a run, options, paths. They run in Airflow, never in this package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import pass_context

from starlake_dagster_assets.airflow.runtime.asset_updates import (
    READ,
    WINDOW,
    run_type,
    span_of_windows,
    triggering_events,
)

__all__ = [
    "MACROS",
    "command_line",
    "embed",
    "emit_load_window",
    "emit_window",
    "expectations_query",
    "files_are_there",
    "in_dag_timezone",
    "window",
    "window_params",
]

_MOMENT = "%Y-%m-%dT%H:%M:%S"
_LOADED = "sl_loaded"
"""Key of the XCom of a load: start and end of its window; the start is empty if it is unknown."""
_NOT_SQL = {ord(char): None for char in "'\\"}
"""Translation table that removes the characters that can end an SQL literal."""


@pass_context
def window(context: Any) -> tuple[str, str]:
    """Returns start and end of the data of a run (UTC); the start is empty if nothing declares it.

    The first of these that exists: the params or configuration of the run, the span of the windows of the updates that
    the task reads or that triggered the run, the data interval of its cron. There is none if one of the updates has no
    window.

    Raises:
        ValueError: Only one of `sl_start_date` and `sl_end_date` is given, one is no date, or they are reversed.
    """
    condition = _update_condition(context.get("task")) if run_type(context) != "manual" else None
    events = triggering_events(context)
    updates = condition.window_of_updates(context) if condition is not None else span_of_windows(events)
    declared = _configured(context) or updates
    is_timed = condition is None and not events and type(context["dag"].timetable).__name__.startswith("Cron")
    if declared is None and is_timed:
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        declared = (_text(start), _text(end)) if start and end and start < end else None
    return declared or ("", _text(_moment_of(context)))


def _configured(context: Any) -> tuple[str, str] | None:
    """Returns the window that the parameters or the configuration of the run name, in the time zone of the DAG."""
    run, values = context["dag_run"], {**context.get("params", {})}
    values.update(getattr(run, "conf", None) or {})
    start, end = (values.get(name) or "" for name in WINDOW)
    if not start and not end:
        return None
    if not start or not end:
        raise ValueError(f"sl_start_date is {start!r} and sl_end_date is {end!r}: give both, or neither.")
    moments = [_parsed(text, str(context["dag"].timezone)) for text in (start, end)]
    if moments[0] > moments[1]:
        raise ValueError(f"sl_start_date {start} is after sl_end_date {end}.")
    return _text(moments[0]), _text(moments[1])


def _update_condition(task: Any) -> Any:
    """Returns the hook that evaluates the condition of a task on updates; None if it has no condition."""
    hook = getattr(task, "_pre_execute_hook", None)
    return hook if hasattr(hook, "window_of_updates") else None


def _moment_of(context: Any) -> datetime:
    run = context["dag_run"]
    return context.get("data_interval_end") or getattr(run, "run_after", None) or run.start_date


def _parsed(text: str, timezone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise ValueError(f"{text!r} is no date such as 2024-05-02T00:00:00.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(timezone))


def _text(moment: datetime) -> str:
    return moment.astimezone(ZoneInfo("UTC")).strftime(_MOMENT)


def in_dag_timezone(context: Any, text: str, codes: str = _MOMENT) -> str:
    """Formats a moment in UTC in the time zone of the DAG."""
    zone = ZoneInfo(str(context["dag"].timezone))
    return datetime.strptime(text, _MOMENT).replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).strftime(codes)


@pass_context
def options(context: Any, more: str = "") -> str:
    """Returns the options of a transform: the window in the time zone of the DAG, then its own."""
    start, end = window(context)
    pairs = ["SL_LOG_LEVEL=info"]
    if start:
        start, end = in_dag_timezone(context, start), in_dag_timezone(context, end)
        pairs += [f"sl_start_date={start}", f"sl_end_date={end}"]
        pairs += [f"sl_data_interval_start={start}", f"sl_data_interval_end={end}"]
    return ",".join([*pairs, *([more] if more else [])])


@pass_context
def dated(context: Any, codes: str) -> str:
    """Returns the end of the data of a run in the time zone of the DAG, formatted with codes of `strftime`."""
    return in_dag_timezone(context, window(context)[1], codes)


@pass_context
def job_id(context: Any, task_id: str | None = None) -> str:
    """Returns the JOBID of the command of this try in Starlake's audit.

    Args:
        context: The context of the run.
        task_id: Another task: the beginning of the JOBIDs of all of its tries.
    """
    number = "" if task_id else context["ti"].try_number
    name = f"{context['dag'].dag_id}.{task_id or context['task'].task_id}.{context['run_id']}/{number}"
    return name.translate(_NOT_SQL)


@pass_context
def attempt(context: Any) -> str:
    """Returns the task instance and the number of its try: `<DAG>/<task>/<run>/<map index>/<try>`."""
    one = context["ti"]
    index = getattr(one, "map_index", -1)
    return f"{one.dag_id}/{one.task_id}/{context['run_id']}/{index}/{one.try_number}"


def worker() -> str:
    """Returns the path of this file, which is the program that runs commands."""
    return str(Path(__file__))


@pass_context
def manifest(context: Any, file: str = "") -> str:
    """Returns the path of the manifest that lists a file; "" if there is none.

    Args:
        context: The context of the run.
        file: The file; that of the DAG by default.
    """
    file = file or f"{context['dag'].dag_id}.py"
    # Python imports this module once, from one of the folders that have it: the folder of the DAG decides
    places = (getattr(context["dag"], "fileloc", None) or __file__, __file__)
    for folder in dict.fromkeys(Path(place).parent for place in places):
        for path in sorted(folder.glob("*.manifest.json")):
            if file in _exported_files(path):
                return str(path)
    return ""


def _exported_files(path: Path) -> Sequence[str]:
    """Returns the files that the manifest of an export lists; () if a file is no such manifest."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return found["files"] if found["exported_by"] == "starlake-dagster" else ()
    except (LookupError, TypeError, ValueError):
        return ()


def python() -> str:
    """Returns the path of the Python interpreter of the worker."""
    return sys.executable


def window_params() -> dict[str, Any]:
    """Returns the params `sl_start_date` and `sl_end_date` of a DAG, for the window of a manual run."""
    try:
        param: Any = import_module("airflow.sdk").Param
    except (ImportError, AttributeError):  # Airflow 2
        param = import_module("airflow.models.param").Param
    text = "{} of the data in the DAG's time zone, such as 2024-05-02T00:00:00; the run's own if empty"
    bounds = zip(WINDOW, ("Start", "End"), strict=True)
    return {name: param(None, type=["null", "string"], description=text.format(bound)) for name, bound in bounds}


def embed(group: Any) -> None:
    """Adds the macros and the window params, which templates of tasks need, to the DAG around a task group.

    Args:
        group: The task group.
    """
    dag = group.dag
    dag.user_defined_macros = {**(dag.user_defined_macros or {}), **MACROS}
    for name, param in window_params().items():
        if name not in dag.params:
            dag.params[name] = param


def emit_window(context: Any, result: Any = None) -> None:
    """Adds the window of a task, and the events that it has read, to the events of its outlets (`post_execute`)."""
    reading = _recorded_reading(context)
    if reading is None:
        _add_window(context, *window(context))
        return
    _add_window(context, *reading["window"])
    for asset in context["task"].outlets:
        context["outlet_events"][asset].extra[READ] = reading["read"]


def _recorded_reading(context: Any) -> Mapping[str, Any] | None:
    """Returns the record of what a task, or the task whose expectations it checks, has read; None without a record."""
    task, one = context["task"], context["ti"]
    if _update_condition(task) is not None:
        return one.xcom_pull(task_ids=one.task_id, key=READ)
    uris = {asset.uri for asset in task.outlets}
    for name in sorted(task.upstream_task_ids) if uris else ():
        condition = _update_condition(context["dag"].get_task(name))
        if condition is not None and condition.own is not None and condition.own.uri in uris:
            return one.xcom_pull(task_ids=name, key=READ)
    return None


def emit_load_window(context: Any, result: Any = None) -> None:
    """Adds the window of a load, or of the loads upstream of a task, to the events of its outlets (`post_execute`)."""
    one, ups = context["ti"], sorted(context["task"].upstream_task_ids)
    found = [span for span in (one.xcom_pull(task_ids=ups, key=_LOADED) if ups else None) or () if span]
    if not found:  # the load itself
        found = [_window_of_load(context)]
        one.xcom_push(key=_LOADED, value=found[0])
    _add_window(context, min(start for start, _ in found), max(end for _, end in found))


def _window_of_load(context: Any) -> list[str]:
    """Returns start and end of the files of a load, by the rule of loads in Dagster.

    They begin where those of the load before ended, also if ticks were missed. The start is empty for the first load,
    whose files may have rows from before its first tick, unless the configuration of the run names it.
    """
    one, (start, end) = context["ti"], window(context)
    if _configured(context) is None:
        earlier = one.xcom_pull(task_ids=one.task_id, key=_LOADED, include_prior_dates=True, map_indexes=-1)
        start = min(start, earlier[1]) if earlier else ""
    return [start, end]


def _add_window(context: Any, start: str, end: str) -> None:
    for asset in context["task"].outlets if start else ():
        context["outlet_events"][asset].extra.update(sl_start_date=start, sl_end_date=end)


def command_line(command: str, **flags: str) -> list[str]:
    """Returns the arguments of the `starlake` program.

    Args:
        command: Name of the command, such as `load`.
        flags: Values by flag, such as `domains="sales"` for `--domains sales`.
    """
    return [command, *(word for name, value in flags.items() for word in (f"--{name}", value))]


def files_are_there(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether `starlake preload` finds files to load.

    Args:
        argv: The command without `--notReadySentinel`.
        env: Variables in addition to those of the process.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        marker = Path(directory, "not_ready")
        subprocess.run([*argv, "--notReadySentinel", str(marker)], env={**os.environ, **env}, check=True)
        return not marker.exists()


def expectations_query(table: str, task_id: str, *expectations: str, idle: bool = False) -> str:
    """Returns the query that checks whether the newest result of each expectation of a task is a success.

    Args:
        table: The table of results, `audit.expectations`.
        task_id: The task.
        expectations: Texts of the expectations, without the characters that Starlake alters.
        idle: Whether the task may have found no file, so that only existing results count.
    """
    distinct = sorted({*expectations})
    texts = ", ".join(f"'{text}'" for text in distinct)
    complete = "" if idle else f" AND count(DISTINCT expectation) = {len(distinct)}"
    altered = " || ".join(f"chr({ord(char)})" for char in " \t\n\r'\"`{}\\")
    return f"""
        SELECT coalesce(sum(CASE WHEN success THEN 0 ELSE 1 END), 0) = 0{complete}
        FROM (
            SELECT
                success,
                translate(params, {altered}, '') AS expectation,
                row_number() OVER (
                    PARTITION BY domain, schema, params ORDER BY timestamp DESC
                ) AS age
            FROM {table}
            WHERE substr(jobid, 1, {{{{ job_id('{task_id}')|length }}}}) = '{{{{ job_id('{task_id}') }}}}'
                AND translate(params, {altered}, '') IN ({texts})
        ) AS results
        WHERE age = 1
    """


MACROS = {one.__name__: one for one in (attempt, dated, job_id, manifest, options, python, window, worker)}
