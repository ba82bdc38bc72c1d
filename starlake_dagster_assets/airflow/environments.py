"""How a Starlake command is said with an operator of each environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlake_dagster_assets.airflow.model import EnvironmentName, TaskSpec
from starlake_dagster_assets.airflow.source import Raw

__all__ = ["IMPORTS", "constants", "operator"]

Arguments = list[tuple[str, Any]]

IMPORTS: Mapping[EnvironmentName, str] = {
    "shell": """try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator
""",
    "cloud_run": "from airflow.providers.google.cloud.operators.cloud_run import (\n"
    "    CloudRunExecuteJobOperator,\n)\n",
    "dataproc": "from airflow.providers.google.cloud.operators.dataproc import (\n    DataprocSubmitJobOperator,\n)\n",
    "fargate": "from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator\n",
}


def _variable(name: str, default: str = "") -> str:
    return "{{ var.value.get('" + name + "', '" + default + "') }}"


def constants(environment: EnvironmentName, tasks: Sequence[TaskSpec]) -> list[tuple[str, Any]]:
    """Names that a file defines before its DAG; `ROOT` and `ENV` come before them."""
    if environment != "shell":
        return []
    shapes = {_shape(task)[0]: _shape(task)[1] for task in tasks if task.kind in {"stage", "load", "transform"}}
    return sorted(shapes.items())


def operator(environment: EnvironmentName, task: TaskSpec) -> tuple[str, Arguments]:
    """The class and the arguments of its own; values may hold Jinja."""
    args = list(task.args)
    if environment == "shell":
        name, _ = _shape(task)
        return "BashOperator", [("bash_command", Raw(name)), ("env", _Env(_values(task)))]
    if environment == "cloud_run":
        return "CloudRunExecuteJobOperator", [
            ("project_id", _variable("cloud_run_project_id")),
            ("region", _variable("cloud_run_job_region", "europe-west1")),
            ("job_name", _variable("cloud_run_job_name")),
            ("overrides", {"container_overrides": [{"args": args, "env": Raw("ENV_LIST")}]}),
        ]
    if environment == "fargate":
        override = {
            "name": _variable("aws_task_definition_container_name"),
            "command": args,
            "environment": Raw("ENV_LIST"),
        }
        return "EcsRunTaskOperator", [
            ("cluster", _variable("aws_cluster_name", "default")),
            ("task_definition", _variable("aws_task_definition_name")),
            ("launch_type", "FARGATE"),
            ("overrides", {"containerOverrides": [override]}),
            ("network_configuration", Raw("NETWORK")),
        ]
    return "DataprocSubmitJobOperator", [
        ("project_id", _variable("dataproc_project_id")),
        ("region", _variable("dataproc_region", "europe-west1")),
        (
            "job",
            {
                "placement": {"cluster_name": _variable("cluster_id")},
                "spark_job": {
                    "main_class": "ai.starlake.job.Main",
                    "jar_file_uris": [_variable("spark_jar")],
                    "args": args,
                    "properties": {f"spark.{side}Env.SL_ROOT": Raw("ROOT") for side in ("executor", "yarn.appMaster")},
                },
            },
        ),
    ]


class _Env(dict[str, str]):
    """Variables of a task, after those that all share."""


def _shape(task: TaskSpec) -> tuple[str, str]:
    """The name and the text of a shell command whose values are variables."""
    parts = ['"$STARLAKE"', task.args[0]]
    parts += [arg if arg in _flags(task) else f'"${_name(before)}"' for before, arg in _pairs(task)]
    return task.kind.upper(), " ".join(parts)


def _values(task: TaskSpec) -> dict[str, str]:
    return {_name(before): arg for before, arg in _pairs(task) if arg not in _flags(task)}


def _pairs(task: TaskSpec) -> list[tuple[str, str]]:
    return list(zip(task.args, task.args[1:], strict=False))


def _flags(task: TaskSpec) -> set[str]:
    # flags stand at odd places: no name begins with a dash, the command builder refuses those
    return set(task.args[1::2])


def _name(flag: str) -> str:
    return "ARG_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", flag.lstrip("-")).upper()
