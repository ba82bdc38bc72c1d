"""Commands as executions of a Cloud Run job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.operators.google import Google
from starlake_dagster_assets.airflow.operators.renderer import Arguments
from starlake_dagster_assets.airflow.plan.model import TaskSpec

__all__ = ["CloudRun"]

_STARLAKE = '''\
def starlake(command, **flags):
    """Returns the overrides of an execution that runs a command of Starlake."""
    args = command_line(command, **flags)
    return {"container_overrides": [{"args": args, "env": ENV}]}
'''
_ARGUMENTS = """
deferrable gcp_conn_id impersonation_chain job_name polling_period_seconds project_id region timeout_seconds
transport use_regional_endpoint
"""
"""Arguments of the operator that tags may set."""


@dataclass(frozen=True)
class CloudRun(Google):
    """Operators of Cloud Run: one `CloudRunExecuteJobOperator` per command; the entry point is `starlake`."""

    operator: ClassVar[str] = "CloudRunExecuteJobOperator"
    operator_arguments: ClassVar[tuple[str, ...]] = tuple(_ARGUMENTS.split())
    reserved: ClassVar[tuple[str, ...]] = ("ENV", "ROOT", "starlake")
    bigquery_connection: ClassVar[str | None] = "google_cloud_default"

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators in use."""
        module = "airflow.providers.google.cloud.operators.cloud_run"
        return [f"from {module} import (\n    CloudRunExecuteJobOperator,\n)", *self.waiting_imports()]

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constants for environment variables and for the file locations of loads."""
        return [("ENV", [{"name": name, "value": value} for name, value in self.env.items()]), *self.root]

    def functions(self) -> Sequence[str]:
        """Returns the helper functions of a file that runs commands on Cloud Run."""
        return (_STARLAKE,)

    def default_args(self) -> dict[str, Any]:
        """Returns the arguments that all tasks share: project, region, name and service account of the job."""
        found: dict[str, Any] = {
            "project_id": self.templated_option("cloud_run_project_id"),
            "region": self.templated_option("cloud_run_job_region", "europe-west1", options=["cloud_run_region"]),
            "job_name": self.templated_option("cloud_run_job_name"),
            **self.deferrable,
        }
        if account := self.dag_option("cloud_run_service_account"):
            found["impersonation_chain"] = account
        return found

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its arguments."""
        if task.kind == "wait":
            return self.waiting(task)
        if self.runs_no_command(task):
            return "EmptyOperator", []
        return "CloudRunExecuteJobOperator", [
            ("overrides", self.command_line(task, "starlake")),
            *self.result_arguments(task),
        ]
