"""Runs inside an environment of Airflow: reads DAG files back and tells what Airflow understood, as JSON.

Standard library and Airflow only: `python inside.py FOLDER...` prints one JSON object by folder.
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from pathlib import Path
from typing import Any

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag


def read(folder: str) -> dict[str, Any]:
    """What a folder of DAG files is for Airflow."""
    given = {"dag_folder": folder, "include_examples": False, "read_dags_from_db": False, "safe_mode": True}
    known = inspect.signature(DagBag).parameters
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bag = DagBag(**{name: value for name, value in given.items() if name in known})
    told = [f"{one.category.__name__}: {one.message} ({one.filename})" for one in caught if theirs(one, folder)]
    told += [str(one) for found in getattr(bag, "captured_warnings", {}).values() for one in found]
    # a sensor of the standard provider imports by a name that its own Airflow has left behind
    told = [text for text in told if not ("/providers/standard/" in text and "determine_kwargs" in text)]
    return {
        "errors": {Path(file).name: str(text) for file, text in bag.import_errors.items()},
        "warnings": told,
        "dags": {name: dag_of(dag) for name, dag in bag.dags.items()},
    }


def theirs(warning: warnings.WarningMessage, folder: str) -> bool:
    """Whether a warning is about the files: raised in them, or one of Airflow about what they use."""
    return warning.filename.startswith(folder) or "Airflow" in warning.category.__name__


def dag_of(dag: Any) -> dict[str, Any]:
    """What a DAG is."""
    timetable = dag.timetable
    condition = getattr(timetable, "asset_condition", None) or getattr(timetable, "dataset_condition", None)
    return {
        "file": Path(dag.fileloc).name,
        "schedule": type(timetable).__name__,
        "cron": getattr(timetable, "_expression", None) or getattr(timetable, "expression", None),
        "timezone": str(getattr(timetable, "_timezone", None) or getattr(timetable, "timezone", None) or ""),
        "condition": condition_of(condition) if condition is not None and uris(condition) else None,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "start_date": str(dag.start_date),
        "end_date": str(dag.end_date) if dag.end_date else None,
        "doc": dag.doc_md,
        "tasks": {task.task_id: task_of(task) for task in dag.tasks},
    }


def condition_of(condition: Any) -> Any:
    """An asset condition as nested lists: `["&", a, b]`."""
    kind = type(condition).__name__
    if hasattr(condition, "objects"):
        return ["|" if kind.endswith("Any") else "&", *(condition_of(one) for one in condition.objects)]
    return condition.uri


def uris(condition: Any) -> list[str]:
    """The URIs of a condition."""
    if hasattr(condition, "objects"):
        return [uri for one in condition.objects for uri in uris(one)]
    return [condition.uri] if hasattr(condition, "uri") else []


def task_of(task: Any) -> dict[str, Any]:
    """What a task is."""
    group = task.task_group
    return {
        "operator": type(task).__name__,
        "upstream": sorted(task.upstream_task_ids),
        "inlets": [one.uri for one in task.inlets],
        "outlets": [one.uri for one in task.outlets],
        "pool": task.pool,
        "retries": task.retries,
        "owner": task.owner,
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "group": getattr(group, "group_id", None),
        "doc": task.doc_md,
        "setup": task.is_setup,
        "teardown": task.is_teardown,
        "mode": getattr(task, "mode", None),
        "soft_fail": getattr(task, "soft_fail", None),
        "timeout": getattr(task, "timeout", None),
        "env": {name: str(value) for name, value in (getattr(task, "env", None) or {}).items()},
        "command": getattr(task, "bash_command", None),
        "pod": pod_of(task) if type(task).__name__ == "KubernetesPodOperator" else None,
    }


def pod_of(task: Any) -> dict[str, Any]:
    """Returns the Pod of a `KubernetesPodOperator`, as its constructor has understood the arguments."""
    resources = task.container_resources
    return {
        "image": task.image,
        "namespace": task.namespace,
        "arguments": task.arguments,
        "variables": [getattr(variable, "name", variable) for variable in task.env_vars],
        "secrets": [secret.secret for secret in task.secrets],
        "limits": resources.limits if resources else None,
        "service_account_name": task.service_account_name,
        "deferrable": task.deferrable,
    }


if __name__ == "__main__":
    print(json.dumps({folder: read(folder) for folder in sys.argv[1:]}))
