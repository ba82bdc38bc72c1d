"""Commands as Spark jobs on Dataproc: on an existing cluster, or on one that is created for each run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.operators.google import Google
from starlake_dagster_assets.airflow.operators.renderer import Arguments
from starlake_dagster_assets.airflow.plan.model import TaskSpec
from starlake_dagster_assets.airflow.render.source import Raw
from starlake_dagster_assets.execution.backends.remote.dataproc_cluster import ClusterPlan

__all__ = ["Dataproc"]

_STARLAKE = '''\
def starlake(command, spark=None, **flags):
    """Returns the Spark job that runs a command of Starlake."""
    return {
        "placement": {"cluster_name": CLUSTER},
        "spark_job": {
            "main_class": MAIN_CLASS,
            "jar_file_uris": JARS,
            "args": command_line(command, **flags),
            "properties": {**SPARK, **(spark or {})},
        },
    }
'''
_EXECUTORS = (("memory", "11g"), ("cores", "4"), ("instances", "1"))
_MODULE = "from airflow.providers.google.cloud.operators.dataproc import "
_NAME = 26
_NUMBERS = ("master_disk_size", "worker_disk_size", "num_workers", "idle_delete_ttl")
_TEXTS = (
    "image_version",
    "master_machine_type",
    "master_disk_type",
    "worker_machine_type",
    "worker_disk_type",
    "subnet",
)
_ARGUMENTS = """
cancel_on_kill deferrable gcp_conn_id impersonation_chain metadata openlineage_inject_parent_job_info
openlineage_inject_transport_info polling_interval_seconds project_id region retry timeout wait_timeout
"""
"""Arguments of the operator that tags may set."""


@dataclass(frozen=True)
class Dataproc(Google):
    """Operators of Dataproc: one `DataprocSubmitJobOperator` per command; without `cluster_id`, a cluster per run."""

    operator: ClassVar[str] = "DataprocSubmitJobOperator"
    operator_arguments: ClassVar[tuple[str, ...]] = tuple(_ARGUMENTS.split())
    has_job_ids: ClassVar[bool] = False
    reads_log: ClassVar[bool] = True
    reserved: ClassVar[tuple[str, ...]] = (
        "CLUSTER",
        "CLUSTER_CONFIG",
        "JARS",
        "MAIN_CLASS",
        "ROOT",
        "SPARK",
        "create_cluster",
        "delete_cluster",
        "starlake",
    )

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators in use."""
        waiting = self.waiting_imports()
        if self.dag_option("cluster_id"):
            return [f"{_MODULE}(\n    DataprocSubmitJobOperator,\n)", *waiting]
        names = ("DataprocCreateClusterOperator", "DataprocDeleteClusterOperator", "DataprocSubmitJobOperator")
        block = f"{_MODULE}(\n" + "".join(f"    {name},\n" for name in names) + ")"
        return [block, *waiting]

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constants for the cluster, the program and Spark."""
        found: list[tuple[str, Any]] = [("CLUSTER", self._cluster_name())]
        if not self.dag_option("cluster_id"):
            found.append(("CLUSTER_CONFIG", self._cluster_config()))
        found.append(("MAIN_CLASS", self.dag_option("spark_job_main_class") or "ai.starlake.job.Main"))
        found.append(("JARS", self._jars()))
        spark = {
            f"spark.executor.{name}": self.dag_option(f"spark_executor_{name}") or default
            for name, default in _EXECUTORS
        }
        for name, value in self.env.items():
            spark |= {f"spark.executorEnv.{name}": value, f"spark.yarn.appMasterEnv.{name}": value}
        return [*found, ("SPARK", spark), *self.root]

    def functions(self) -> Sequence[str]:
        """Returns the helper functions of a file that runs commands on Dataproc."""
        return (_STARLAKE,)

    def default_args(self) -> dict[str, Any]:
        """Returns the arguments that all tasks share: project and region of the clusters."""
        return {
            "project_id": self.templated_option("dataproc_project_id"),
            "region": self.templated_option("dataproc_region", "europe-west1"),
            **self.deferrable,
        }

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its arguments."""
        if task.kind == "wait":
            return self.waiting(task)
        if self.runs_no_command(task):
            return "EmptyOperator", []
        found: Arguments = [("job", self.command_line(task, "starlake"))]
        if timeout := self.integer_option("dataproc_job_wait_timeout"):
            found.append(("wait_timeout", timeout))
        return "DataprocSubmitJobOperator", [*found, *self.result_arguments(task)]

    def result_arguments(self, task: TaskSpec) -> Arguments:
        """Returns the callbacks that determine the result of a command from the output of its driver and from files."""
        if task.kind == "transform":
            return [("post_execute", Raw("end_driver"))]
        log = {"log": Raw("read_driver")}
        return [
            (name, replace(one, named=log) if name == "post_execute" else one)
            for name, one in super().result_arguments(task)
        ]

    @property
    def shared(self) -> Sequence[str]:
        """Names that the file imports from the shared module."""
        kinds = {task.kind for task in self.dag.tasks}
        used = [name for kind, name in (("load", "read_driver"), ("transform", "end_driver")) if kind in kinds]
        return (*super().shared, *used)

    @property
    def setup_and_teardown(self) -> tuple[tuple[str, str, Arguments], tuple[str, str, Arguments]] | None:
        """Tasks that create and delete the cluster of a run; None for an existing cluster (`cluster_id`)."""
        if self.dag_option("cluster_id"):
            return None
        name: Arguments = [("cluster_name", Raw("CLUSTER"))]
        create: Arguments = [*name, ("cluster_config", Raw("CLUSTER_CONFIG"))]
        return (
            ("create_cluster", "DataprocCreateClusterOperator", create),
            ("delete_cluster", "DataprocDeleteClusterOperator", name),
        )

    def _cluster_name(self) -> str:
        if self.dag_option("cluster_id"):
            return self.templated_option("cluster_id")
        stem = re.sub(r"[^a-z0-9-]", "-", (self.dag_option("dataproc_name") or "dataproc-cluster").lower())[:_NAME]
        own = hashlib.sha256(self.dag.id.encode()).hexdigest()[:8]
        return f"{stem.strip('-')}-{own}-{{{{ dag_run.start_date.strftime('%Y%m%d%H%M%S') }}}}"

    def _cluster_config(self) -> dict[str, Any]:
        """Returns the configuration of the cluster, as the resource `StarlakeDataproc` builds it."""
        config: dict[str, Any] = {name: value for name in _TEXTS if (value := self.dag_option(f"dataproc_{name}"))}
        numbers = {name: self.integer_option(f"dataproc_{name}") for name in _NUMBERS}
        config |= {name: value for name, value in numbers.items() if value is not None}
        plan = ClusterPlan(
            **config,
            service_account=self.dag_option("dataproc_service_account"),
            bucket=self.dag_option("spark_bucket"),
            metadata=self.mapping_option("dataproc_cluster_metadata"),
        )
        return plan.config(self.env)

    def _jars(self) -> list[str]:
        text = self.dag_option("spark_jar_list")
        if not text:
            return [self.templated_option("spark_jar_list")]
        return re.findall(r"[^\s,\[\]'\"]+", text)
