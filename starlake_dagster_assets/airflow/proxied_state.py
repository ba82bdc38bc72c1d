"""Switches of the tasks that can be moved to Dagster: `proxied_state/<DAG id>.yaml`, as dagster-airlift reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from starlake_dagster_assets.airflow.plan.model import DagSpec, TaskSpec
from starlake_dagster_assets.errors import ProjectError

__all__ = ["DIRECTORY", "SwitchFiles", "switchable_tasks"]

DIRECTORY = "proxied_state"
"""Folder of the switches, next to the DAG files."""


def switchable_tasks(dag: DagSpec) -> list[TaskSpec]:
    """Returns the tasks of a DAG that can be switched to Dagster: those that update the assets of nodes.

    Args:
        dag: The DAG.
    """
    return [task for task in dag.tasks if task.outlets and task.kind not in ("finish", "end")]


class SwitchFiles:
    """The files with the switches of an export: those that exist keep their values, and those of new tasks are off.

    A task in another DAG, or with another id, keeps the switches of the tasks that materialized its assets before.

    Args:
        dags: The DAGs of the export.
        read: Returns the text of a file of the folder; None if there is none.
        uris: URIs of the assets by node id.
        earlier: The assets in the manifest of the earlier export, by node id.

    Raises:
        ProjectError: An existing file has another format.
    """

    def __init__(
        self,
        dags: Sequence[DagSpec],
        read: Callable[[str], str | None],
        uris: Mapping[str, str],
        earlier: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._tasks = {dag.id: (dag, switchable_tasks(dag)) for dag in dags}
        self._read = read
        self._earlier = {
            uris[node]: (one["dag_id"], one.get("outlet_task_id", one["task_id"]))
            for node, one in earlier.items()
            if node in uris
        }
        self._known: dict[str, Mapping[str, bool]] = {}
        self._kept: set[tuple[str, str]] = set()
        self.files = {
            _file(dag.id): "tasks:\n" + "".join(self._line(dag.id, task) for task in tasks)
            for dag, tasks in self._tasks.values()
            if dag.airlift and tasks
        }
        """Texts by name."""

    def notes(self, removed: Sequence[str]) -> tuple[str, ...]:
        """Returns notes on switches that were on and that the export does not have.

        Args:
            removed: Names of all files that the export removes.
        """
        return tuple(
            self._note(_dag_of(name), task)
            for name in (*self.files, *(name for name in removed if name.startswith(f"{DIRECTORY}/")))
            for task, on in sorted(self._switches(name).items())
            if on and not self._is_kept(name, task)
        )

    def _line(self, dag: str, task: TaskSpec) -> str:
        known = self._switches(_file(dag)).get(task.id)
        if known is None:
            earlier = {self._earlier.get(uri) for uri in task.outlets}
            places = {one for one in earlier if one is not None and self._switches(_file(one[0])).get(one[1])}
            known = bool(places) and places == earlier
            self._kept |= places if known else set()
        return f"  - id: {_quoted(task.id)}\n    proxied: {_true_or_false(known)}\n"

    def _switches(self, name: str) -> Mapping[str, bool]:
        if name not in self._known:
            self._known[name] = _switches(name, self._read(name))
        return self._known[name]

    def _is_kept(self, name: str, task: str) -> bool:
        dag = _dag_of(name)
        tasks = self._tasks[dag][1] if name in self.files else ()
        return (dag, task) in self._kept or any(one.id == task for one in tasks)

    def _note(self, dag: str, task: str) -> str:
        text = f"{dag}: the task {task} was switched to Dagster and is no longer"
        tasks = [(name, one) for name, (_, all_tasks) in self._tasks.items() for one in all_tasks]
        if any(name == dag and one.id == task for name, one in tasks):
            return f"{text} switched, because this export has no --airlift"
        now = [f"{name}.{one.id}" for name, one in tasks if (dag, task) in map(self._earlier.get, one.outlets)]
        more = f"; {', '.join(now)} now materializes its assets in Airflow" if now else ""
        return f"{text} exported{more}"


def _dag_of(name: str) -> str:
    return name.removeprefix(f"{DIRECTORY}/").removesuffix(".yaml")


def _file(dag: str) -> str:
    return f"{DIRECTORY}/{dag}.yaml"


def _switches(name: str, text: str | None) -> Mapping[str, bool]:
    if text is None:
        return {}
    try:
        found: Any = yaml.safe_load(text)
        return {str(one["id"]): _boolean(one["proxied"]) for one in found["tasks"]}
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ProjectError(
            [f"{name}: expected `tasks`, a list of entries with `id` and `proxied: true` or `false` ({error})."]
        ) from error


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"found {value!r}")
    return value


def _true_or_false(value: bool) -> str:
    return "true" if value else "false"


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=10_000).removesuffix("...\n").strip()
