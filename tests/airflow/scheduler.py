"""A scheduler for DAG files that the stand-in reads: it runs the programs of their tasks, within one process.

It knows the trigger rules that exported files use, retries, skips, events of assets and their windows. A task does
what its file says: the Bash command, the callable, the hooks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from jinja2 import Environment

from tests.airflow.standin import Dag, Task, read

__all__ = ["Scheduler", "events_of", "skips"]

NOW = datetime(2025, 3, 10, 6, tzinfo=timezone.utc)
BAD = ("failed", "upstream_failed")


class SkippedTask(Exception):
    """The exception by which a task is skipped."""


def skips(monkeypatch: Any) -> None:
    """Gives the exported module the exceptions of Airflow, which is not installed here."""
    for name in ("airflow", "airflow.sdk", "airflow.sdk.exceptions"):
        module: Any = ModuleType(name)
        module.AirflowSkipException = SkippedTask
        monkeypatch.setitem(sys.modules, name, module)


@dataclass
class Run:
    """A run of a DAG: states by task, and the events of assets with what they carry."""

    states: dict[str, str] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Scheduler:
    """The DAG files of a folder.

    Attributes:
        folder: The folder.
        environ: Variables of every process.
        variables: Variables of Airflow.
        retries: How often a failed task is tried again.
    """

    folder: Path
    environ: Mapping[str, str]
    variables: Mapping[str, str]
    retries: int = 1
    number: int = 0
    log: list[Any] = field(default_factory=list)
    xcoms: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        files = [path for path in sorted(self.folder.glob("*.py")) if "starlake_worker" not in path.name]
        self.dags = {path.stem: read(path) for path in files}

    def run(
        self,
        name: str,
        *,
        interval: tuple[datetime, datetime] | None = None,
        conf: Mapping[str, str] | None = None,
        kind: str = "scheduled",
        events: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """A run of a DAG."""
        self.number += 1
        done, dag = Run(), self.dags[name]
        known: dict[str, Any] = {"interval": interval, "conf": conf or {}, "kind": kind, "events": events or {}}
        waiting = dict(dag.tasks)
        while waiting:
            task = next(one for one in waiting.values() if not waiting.keys() & set(one.upstream))
            del waiting[task.id]
            done.states[task.id] = self._task(dag, task, done, known)
        return done

    def cascade(self, first: Run) -> dict[str, Run]:
        """The runs that the events of a run start, and those that theirs start."""
        found: dict[str, Run] = {}
        queue = [first]
        while queue:
            run = queue.pop(0)
            for name, dag in self.dags.items():
                schedule = dag.given.get("schedule")
                uris = {*_uris(schedule)}
                hit = {uri: extra for uri, extra in run.events.items() if uri in uris}
                if hit:
                    found[name] = self.run(name, kind="asset_triggered", events=hit)
                    queue.append(found[name])
        return found

    def _task(self, dag: Dag, task: Task, done: Run, known: Mapping[str, Any]) -> str:
        ups = [done.states[up] for up in task.upstream]
        state = _by_rule(task.given.get("trigger_rule", "all_success"), ups)
        if state is not None:
            return state
        for number in range(1, self.retries + 2 if task.given.get("retries", 1) else 2):
            state = self._try(dag, task, done, known, number)
            if state != "failed":
                break
        return state or ""

    def _try(self, dag: Dag, task: Task, done: Run, known: Mapping[str, Any], number: int) -> str:
        context = self._context(dag, task, done, known, number)
        try:
            if before := task.given.get("pre_execute"):
                before(context)
            state = self._work(task, context)
        except SkippedTask:
            return "skipped"
        if state == "success":
            after = task.given.get("post_execute", dag.given["default_args"]["post_execute"])
            if after is not None:
                after(context, None)
            for asset in task.given.get("outlets", ()):
                extra = done.events[asset.uri] = dict(context["outlet_events"][asset].extra)
                self.log.append(
                    SimpleNamespace(
                        id=len(self.log) + 1,
                        uri=asset.uri,
                        extra=extra,
                        timestamp=NOW,
                        source_dag_id=dag.given["dag_id"],
                        source_run_id=context["run_id"],
                    )
                )
        return state

    def _work(self, task: Task, context: Mapping[str, Any]) -> str:
        given = task.given
        if task.operator == "BashOperator":
            env = {**os.environ, **self.environ, **self._rendered(given["env"], context)}
            command = self._rendered(given["bash_command"], context)
            ended = subprocess.run(["bash", "-c", command], env=env, capture_output=True, check=False, text=True)
            print(ended.stdout, ended.stderr, sep="")  # pytest shows it with a failure
            return {0: "success", 99: "skipped"}.get(ended.returncode, "failed")
        if task.operator == "PythonSensor":
            argv, env = (self._rendered(given["op_kwargs"][name], context) for name in ("argv", "env"))
            if given["python_callable"](argv, {**self.environ, **env}):
                return "success"
            return "skipped" if given["soft_fail"] else "failed"
        if task.operator == "PythonOperator":
            given["python_callable"](**context)
        return "success"

    def _rendered(self, value: Any, context: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            return Environment().from_string(value).render(context)
        if isinstance(value, Mapping):
            return {key: self._rendered(one, context) for key, one in value.items()}
        return [self._rendered(one, context) for one in value]

    def _context(self, dag: Dag, task: Task, done: Run, known: Mapping[str, Any], number: int) -> dict[str, Any]:
        name = dag.given["dag_id"]
        schedule = dag.given.get("schedule")
        is_cron = isinstance(schedule, tuple) and schedule[:1] == ("CronDataIntervalTimetable",)
        timetable = type("CronDataIntervalTimetable" if is_cron else "AssetTriggered", (), {})()
        start, end = known["interval"] or (None, None)
        value = SimpleNamespace(**self.variables, get=lambda one, default=None: self.variables.get(one, default))
        inlets = task.given.get("inlets", ())
        events = {uri: [SimpleNamespace(extra=dict(extra), uri=uri)] for uri, extra in known["events"].items()}
        run_id = f"{known['kind']}_{self.number}"
        states = {run_id: done.states}

        def pulled(task_ids: Any, key: str, include_prior_dates: bool = False, map_indexes: int = -1) -> Any:
            found = [one for one in self.xcoms if one[1:3] == (name, key) and (include_prior_dates or one[0] == run_id)]
            of = {one[3][0]: one[3][1] for one in found}
            return [of.get(one) for one in task_ids] if isinstance(task_ids, list) else of.get(task_ids)

        def pushed(key: str, value: Any) -> None:
            self.xcoms.append((run_id, name, key, (task.id, value)))

        tasks = {
            one.id: SimpleNamespace(
                task_id=one.id,
                inlets=one.given.get("inlets", ()),
                outlets=one.given.get("outlets", ()),
                upstream_task_ids={*one.upstream},
                _pre_execute_hook=one.given.get("pre_execute"),
            )
            for one in dag.tasks.values()
        }
        return {
            "dag": SimpleNamespace(
                dag_id=name,
                fileloc=str(self.folder / f"{name}.py"),
                timezone="UTC",
                timetable=timetable,
                get_task=tasks.__getitem__,
            ),
            "dag_run": SimpleNamespace(
                conf=known["conf"],
                run_type=known["kind"],
                run_after=end or datetime.fromisoformat("2025-03-10T06:00Z"),
                run_id=run_id,
            ),
            "data_interval_start": start,
            "data_interval_end": end,
            "run_id": run_id,
            "params": {},
            "var": SimpleNamespace(value=value),
            "ti": SimpleNamespace(
                dag_id=name,
                task_id=task.id,
                map_index=-1,
                try_number=number,
                get_task_states=lambda **_: states,
                xcom_pull=pulled,
                xcom_push=pushed,
            ),
            "task": tasks[task.id],
            "triggering_asset_events": events,
            "inlet_events": events_of(self.log)(inlets),
            "outlet_events": {one: SimpleNamespace(extra={}) for one in task.given.get("outlets", ())},
            **dag.given["user_defined_macros"],
        }


def events_of(log: list[Any]) -> Any:
    """The class by which tasks of Airflow read the events of assets, over a list of events."""

    class InletEvents:
        def __init__(self, assets: Any) -> None:
            self.assets = assets

        def __getitem__(self, number: int) -> list[Any]:
            return [event for event in log if event.uri == self.assets[number].uri]

    return InletEvents


def _uris(schedule: Any) -> list[str]:
    """The assets that start a DAG, each of them alone."""
    parts = schedule if isinstance(schedule, list) else getattr(schedule, "objects", ())
    return [schedule.uri] if hasattr(schedule, "uri") else [uri for one in parts for uri in _uris(one)]


def _by_rule(rule: str, ups: list[str]) -> str | None:
    """The state of a task that does not run; None where it does."""
    bad, skipped = any(one in BAD for one in ups), "skipped" in ups
    if rule == "all_done" or not ups:
        return None
    if bad:
        return "upstream_failed"
    if rule == "none_failed_min_one_success" and "success" not in ups:
        return "skipped"
    return "skipped" if rule == "all_success" and skipped else None
