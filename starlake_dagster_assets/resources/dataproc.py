"""Google Cloud Dataproc as a Dagster resource: an existing cluster, a cluster per run, or Serverless batches."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import dagster as dg
from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.steps.attempt import deployment_of, may_retry
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.dataproc import DataprocBatches, DataprocJobs, SparkProgram
from starlake_dagster_assets.execution.backends.remote.dataproc_cluster import (
    ClusterPlan,
    ClusterService,
    EphemeralClusters,
    label,
)
from starlake_dagster_assets.execution.backends.remote.dataproc_settings import (
    MIN_BATCH_EXECUTORS,
    list_exceeded_limits,
)
from starlake_dagster_assets.execution.backends.remote.driver_output import DriverOutput
from starlake_dagster_assets.execution.backends.remote.protocol import Environment
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.execution.warehouse.routing import WithoutJobIds
from starlake_dagster_assets.resources.env_vars import ResourceConfig, is_variable
from starlake_dagster_assets.resources.google import StarlakeGoogleResource

__all__ = ["DataprocCluster", "DataprocServerless", "StarlakeDataproc"]


class DataprocCluster(ResourceConfig):
    """Settings of a cluster per run, deleted at its end; names and defaults are those of Starlake's options."""

    name: str = Field(default="dataproc-cluster", description="Name of the cluster, before the id of the run.")
    image_version: str = Field(default="2.2-debian12", description="Image of the machines.")
    master_machine_type: str = "n1-standard-4"
    master_disk_type: str = "pd-standard"
    master_disk_size: int = Field(default=1024, ge=10, description="Size of the disk in GB.")
    worker_machine_type: str = "n1-standard-4"
    worker_disk_type: str = "pd-standard"
    worker_disk_size: int = Field(default=1024, ge=10, description="Size of the disk in GB.")
    num_workers: int = Field(default=4, ge=0, description="0 = a single node.")
    subnet: str = Field(default="default", description="Name or URI of the subnet.")
    service_account: str | None = Field(
        default=None, description="Service account of the machines; Dataproc's own by default."
    )
    internal_ip_only: bool = Field(default=True, description="No public addresses.")
    idle_delete_ttl: int = Field(
        default=3600, ge=300, description="Seconds without a job after which Dataproc deletes the cluster by itself."
    )
    max_age: int = Field(default=86400, ge=600, description="Seconds after which Dataproc deletes it in any case.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Metadata of the machines.")
    properties: dict[str, str] = Field(
        default_factory=dict, description="Software properties, such as spark:spark.sql.shuffle.partitions."
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="Raw ClusterConfig, merged last.")
    create_timeout: float = Field(default=900, gt=0, description="Seconds that the creation may take.")


class DataprocServerless(ResourceConfig):
    """Settings of Serverless batches, which replace a cluster."""

    version: str | None = Field(default=None, description="Runtime version; Dataproc's newest by default.")
    subnet: str | None = Field(default=None, description="Name or URI of the subnet.")
    service_account: str | None = Field(default=None, description="Service account of the driver.")
    ttl: int | None = Field(default=None, ge=600, description="Seconds after which Dataproc ends a batch by itself.")


class StarlakeDataproc(StarlakeGoogleResource):
    """Resource that runs Starlake commands as Spark jobs on Dataproc.

    With `cluster` jobs run on an existing cluster; with `serverless` each is a batch; else `ephemeral` is created
    for each run.

    Examples:
        ::

            StarlakeDataproc(
                project="my-project",
                jars=["gs://my-bucket/starlake-core-assembly.jar"],
                bucket="my-bucket",
                ephemeral=DataprocCluster(num_workers=2),
            )
    """

    option_names: ClassVar[Mapping[str, str]] = {
        "cluster_id": "cluster",
        "dataproc_job_wait_timeout": "timeout",
        "dataproc_project_id": "project",
        "dataproc_region": "region",
        "spark_bucket": "bucket",
        "spark_executor_cores": "executor_cores",
        "spark_executor_instances": "executor_instances",
        "spark_executor_memory": "executor_memory",
        "spark_jar_list": "jars",
        "spark_job_main_class": "main_class",
        "sl_env_var": "env",
        **{
            f"dataproc_{name}": f"ephemeral.{name}"
            for name in (
                "image_version",
                "idle_delete_ttl",
                "master_disk_size",
                "master_disk_type",
                "master_machine_type",
                "name",
                "num_workers",
                "service_account",
                "subnet",
                "worker_disk_size",
                "worker_disk_type",
                "worker_machine_type",
            )
        },
        "dataproc_cluster_metadata": "ephemeral.metadata",
    }

    secret_advice: ClassVar[str] = (
        "Dataproc resolves no reference to a secret in a variable: write the value into an env.<NAME>.sl.yml that only "
        "the machines can read (page `dataproc`, section on secrets)."
    )

    option_variables: ClassVar[Mapping[str, str]] = {"project": "GCP_PROJECT", "region": "GCP_REGION"}

    visible_fields: ClassVar[tuple[str, ...]] = (
        *StarlakeGoogleResource.visible_fields,
        *("jars", "bucket", "main_class", "cluster", "ephemeral", "serverless", "spark_properties"),
    )

    region: str = Field(default="europe-west1", description="Region of clusters and batches.")
    jars: list[str] = Field(
        min_length=1,
        description="The Starlake assembly jar in Cloud Storage, and others: a list, comma-separated text or JSON "
        "(see docs/dataproc.md).",
    )
    bucket: str | None = Field(default=None, description="Staging bucket.")
    main_class: str = Field(default="ai.starlake.job.Main", description="Class of the driver.")
    cluster: str | None = Field(default=None, description="Name of an existing cluster.")
    ephemeral: DataprocCluster | None = Field(default=None, description="A cluster that is created for a run.")
    serverless: DataprocServerless | None = Field(default=None, description="Batches instead of a cluster.")
    executor_memory: str = Field(default="11g", description="spark.executor.memory.")
    executor_cores: int = Field(default=4, ge=1, description="spark.executor.cores.")
    executor_instances: int | None = Field(
        default=None, ge=1, description="spark.executor.instances; 1 on a cluster and 2 in a batch by default."
    )
    spark_properties: dict[str, str] = Field(default_factory=dict, description="Spark properties of every command.")
    deploy_mode: Literal["client", "cluster"] = Field(
        default="client",
        description="Location of the driver of a cluster job: its lines are read in client mode only.",
    )
    timeout: float | None = Field(default=3600, gt=0, description="Seconds after which a job is canceled.")
    endpoint: str | None = Field(default=None, description="host:port of Dataproc; the region's own by default.")
    storage_endpoint: str | None = Field(default=None, description="URL of Cloud Storage; Google's own by default.")

    def __init__(self, **data: Any) -> None:
        if data.get("secrets"):
            raise RunnerError(f"StarlakeDataproc has no `secrets`. {self.secret_advice}")
        super().__init__(**_without_cluster_options(data))
        given = [name for name in ("cluster", "ephemeral", "serverless") if getattr(self, name) is not None]
        if len(given) > 1:
            raise RunnerError(f"StarlakeDataproc: {' and '.join(given)} are given; keep one.")
        if "serverless" in given:
            self._validate_batch_limits()

    @classmethod
    def from_dataproc_resource(cls, resource: Any, **fields: Any) -> "StarlakeDataproc":
        """Returns a resource with the settings of a `DataprocResource` of dagster-gcp.

        Args:
            resource: Its `project_id`, `region` and `cluster_name` are used: the cluster must exist.
            fields: Other settings, such as `jars`; they take precedence.
        """
        located = {"project": resource.project_id, "region": resource.region, "cluster": resource.cluster_name}
        return cls(**{**located, **fields})

    def warehouse_reader(self, project: ProjectSource) -> WarehouseReader | None:
        """Returns the reader of the project's warehouse.

        A driver in client mode gets no `SL_JOB_ID`, so the audit rows of a command cannot be found.
        """
        reader = super().warehouse_reader(project)
        if reader is None or self.deploy_mode == "cluster" or self._dumped("serverless"):
            return reader
        return WithoutJobIds(reader)

    def environment(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Returns the environment that runs commands as Dataproc jobs or batches.

        Raises:
            RunnerError: When the extra is not installed.
        """
        require_extra("dataproc", "google.cloud.dataproc_v1", "google.cloud.storage")
        program = SparkProgram(tuple(self.jars), self.main_class, self._spark(), self.variables(project))
        output = DriverOutput(self.project, self.impersonate, self.storage_endpoint)
        service = self._service()
        if self._dumped("serverless"):
            return DataprocBatches(service, program, output, bucket=self.bucket, **self._dumped("serverless"))
        cluster = self.cluster or EphemeralClusters(
            service,
            self._plan(),
            attempt.run_id or "local",
            {name: value for name, value in attempt.labels.items() if name != "partition"},
            program.env,
            poll=self.poll_interval,
            other_steps_ended=attempt.other_steps_ended,
        )
        return DataprocJobs(service, program, output, cluster, self.deploy_mode)

    def sensors(self, resource_key: str = "starlake", *, prefix: str = "") -> Sequence[dg.SensorDefinition]:
        """Returns a sensor that deletes the clusters of ended runs, if each run has its own cluster."""
        if self.cluster is not None or self._dumped("serverless") or "serverless" in self.from_environment:
            return ()
        from starlake_dagster_assets.resources.dataproc_sweeper import build_sweeper

        return (build_sweeper(resource_key, prefix=prefix),)

    def sweep(self, instance: dg.DagsterInstance) -> list[str]:
        """Deletes the clusters of runs that have ended.

        It deletes clusters of its own deployment only: those of a run that the instance knows, and those of a run that
        was deleted from it once the cluster has expired. A cluster with a job that runs, or whose run is or will be
        retried, stays.

        Args:
            instance: The instance with the runs.

        Returns:
            Their names.
        """
        require_extra("dataproc", "google.cloud.dataproc_v1")
        service, swept = self._service(), list[str]()
        own = label(deployment_of(instance))
        for cluster in service.managed():
            run = instance.get_run_by_id(cluster.run_id)
            if run is not None:
                useless = run.is_finished and not may_retry(instance, run)
            else:
                expired = cluster.expires is not None and time.time() > cluster.expires
                useless = bool(own) and cluster.deployment == own and expired
            if useless and not service.has_active_job(cluster.name):
                service.delete(cluster.name)
                swept.append(cluster.name)
        return swept

    def _service(self) -> ClusterService:
        return ClusterService(self.project, self.region, self.impersonate, self.endpoint, self.local)

    def _spark(self) -> dict[str, str]:
        least = MIN_BATCH_EXECUTORS if self._dumped("serverless") else 1
        return {
            "spark.executor.memory": self.executor_memory,
            "spark.executor.cores": str(self.executor_cores),
            "spark.executor.instances": str(self.executor_instances or least),
            **self.spark_properties,
        }

    def _validate_batch_limits(self) -> None:
        """Raises an error for Spark properties that Dataproc Serverless would reject.

        Raises:
            RunnerError: Names the property, its value and what is allowed.
        """
        properties = {
            name: value
            for name, value in self._spark().items()
            if not any(is_variable(one) for one in (self.executor_cores, self.executor_instances, value))
        }
        for name, reason in list_exceeded_limits(properties):
            raise RunnerError(f"StarlakeDataproc: {name} is {properties[name]}; {reason}.")

    def _plan(self) -> ClusterPlan:
        return ClusterPlan(bucket=self.bucket, **self._dumped("ephemeral"))

    def _dumped(self, name: str) -> dict[str, Any]:
        """Returns the fields of a nested configuration; none if it is not given."""
        config: ResourceConfig | dict[str, Any] | None = getattr(self, name)
        return config.values() if isinstance(config, ResourceConfig) else {**(config or {})}


def _without_cluster_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Removes, with one warning, the options of a new cluster from the fields if they name an existing cluster.

    Starlake's DAG configurations hold both: `cluster_id` decides there too.
    """
    options = StarlakeDataproc.option_names
    described = sorted(name for name in data if options.get(name, "").startswith("ephemeral."))
    cluster = data.get("cluster") or data.get("cluster_id")
    if cluster is None or not described:
        return dict(data)
    dg.get_dagster_logger("starlake").warning(
        f"StarlakeDataproc: jobs run on the existing cluster {cluster}; options of a new one have no effect: "
        f"{', '.join(described)}."
    )
    return {name: value for name, value in data.items() if name not in described}
