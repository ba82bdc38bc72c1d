"""Switches of the tasks that can be moved to Dagster: `proxied_state/<DAG id>.yaml`, as dagster-airlift reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from starlake_dagster_assets.airflow.plan.model import DagSpec, TaskSpec
from starlake_dagster_assets.errors import ProjectError

__all__ = ["DIRECTORY", "proxied_states", "removed_switches", "switchable_tasks"]

DIRECTORY = "proxied_state"
"""Folder of the switches, next to the DAG files."""


def switchable_tasks(dag: DagSpec) -> list[TaskSpec]:
    """Returns the tasks of a DAG that can be switched to Dagster: those that update the assets of nodes.

    Args:
        dag: The DAG.
    """
    return [task for task in dag.tasks if task.outlets and task.kind not in ("finish", "end")]


def proxied_states(
    dags: Sequence[DagSpec], read: Callable[[str], str | None]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the files with the switches, and notes on switches whose task was removed.

    Switches that exist keep their values; those of new tasks are off.

    Args:
        dags: The DAGs of the export.
        read: Returns the text of a file of the folder; None if there is none.

    Raises:
        ProjectError: An existing file has another format.
    """
    files: dict[str, str] = {}
    notes: list[str] = []
    for dag in dags:
        tasks = switchable_tasks(dag)
        if not dag.airlift or not tasks:
            continue
        name = f"{DIRECTORY}/{dag.id}.yaml"
        known = _switches(name, read(name))
        lines = [
            f"  - id: {_quoted(task.id)}\n    proxied: {_true_or_false(known.get(task.id, False))}\n" for task in tasks
        ]
        files[name] = "tasks:\n" + "".join(lines)
        gone = sorted(task for task, on in known.items() if on and task not in {one.id for one in tasks})
        notes += [_no_longer(dag.id, task) for task in gone]
    return files, tuple(notes)


def removed_switches(removed: Sequence[str], read: Callable[[str], str | None]) -> tuple[str, ...]:
    """Returns notes on switches in files that an export removes, because it no longer has their DAGs.

    Args:
        removed: Names of all files that are removed.
        read: Returns the text of a file of the folder; None if there is none.

    Raises:
        ProjectError: A file has another format.
    """
    return tuple(
        _no_longer(name.removeprefix(f"{DIRECTORY}/").removesuffix(".yaml"), task)
        for name in removed
        if name.startswith(f"{DIRECTORY}/")
        for task, on in sorted(_switches(name, read(name)).items())
        if on
    )


def _no_longer(dag: str, task: str) -> str:
    return f"{dag}: the task {task} was switched to Dagster and is no longer exported"


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
