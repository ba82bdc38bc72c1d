"""Starlake commands as Spark jobs on Dataproc clusters, and as Serverless batches, through google-cloud-dataproc."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.execution.backends.remote.dataproc_cluster import ClusterService, EphemeralClusters, label
from starlake_dagster_assets.execution.backends.remote.driver_output import DriverOutput
from starlake_dagster_assets.execution.backends.remote.gcp import CALL, classify_gcp_error
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, State, Status, Submission

__all__ = ["DataprocBatches", "DataprocJobs", "SparkProgram"]

_EMPTY: Mapping[str, str] = MappingProxyType({})
_JOB_STATES: Mapping[str, State] = MappingProxyType(
    {
        "DONE": "succeeded",
        "ERROR": "failed",
        "ATTEMPT_FAILURE": "running",
        "CANCELLED": "cancelled",
        "PENDING": "pending",
        "SETUP_DONE": "pending",
    }
)
_BATCH_STATES: Mapping[str, State] = MappingProxyType(
    {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled", "PENDING": "pending"}
)


@dataclass(frozen=True)
class SparkProgram:
    """Program that a Spark driver runs.

    Attributes:
        jars: `spark_jar_list`: URIs.
        main_class: `spark_job_main_class`.
        properties: Spark properties of every command.
        env: Environment variables of every command; anyone who can view a job can read them.
    """

    jars: tuple[str, ...]
    main_class: str = "ai.starlake.job.Main"
    properties: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    env: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    def spark(self, submission: Submission) -> dict[str, Any]:
        """Returns the main class, jars and arguments of a driver, as fields of a request."""
        argv = list(submission.command.argv)
        return {"main_class": self.main_class, "jar_file_uris": list(self.jars), "args": argv}

    def variables(self, submission: Submission) -> dict[str, str]:
        """Returns the environment variables of a command."""
        return {**self.env, **submission.command.env}


@dataclass(frozen=True)
class DataprocJobs:
    """Environment that runs commands as jobs on a cluster.

    Attributes:
        service: Project and region.
        program: Program that a driver runs.
        output: Reader of the output of drivers.
        cluster: Name of an existing cluster, or the cluster of the run.
        deploy_mode: Location of the driver. `client`: on the master: its lines are followed, and its environment is the
            cluster's. `cluster`: on a worker: it gets the variables of each command, and its lines stay on the cluster.
    """

    service: ClusterService
    program: SparkProgram
    output: DriverOutput
    cluster: str | EphemeralClusters
    deploy_mode: Literal["client", "cluster"] = "client"

    name = "dataproc"
    uses_spark = True
    is_idempotent = True

    def submit(self, submission: Submission) -> str:
        """Calls SubmitJob under an id built from the key: a second submission finds the first."""
        from google.api_core.exceptions import AlreadyExists

        name = self.cluster if isinstance(self.cluster, str) else self.cluster.ensure(submission.is_needed)
        job_id = _id(submission.key)
        properties = {f"spark.{what}Env.{key}": value for what, key, value in self._env(submission)}
        if self.deploy_mode == "cluster":
            properties["spark.submit.deployMode"] = "cluster"
            properties["spark.yarn.maxAppAttempts"] = "1"  # YARN would run a failing load again by itself
        job = {
            "reference": {"project_id": self.service.project, "job_id": job_id},
            "placement": {"cluster_name": name},
            "labels": _labels(submission),
            "spark_job": {
                **self.program.spark(submission),
                "properties": {**properties, **self.program.properties, **submission.command.spark},
            },
        }
        request = {**self.service.location, "job": job, "request_id": job_id}
        jobs = self._jobs
        submission.confirm()
        try:
            jobs.submit_job(request=request, **CALL)
        except AlreadyExists:
            return job_id
        return job_id

    def find(self, submission: Submission) -> str | None:
        """Returns the job of a key."""
        job_id = _id(submission.key)
        return job_id if self._get(job_id) is not None else None

    def status(self, execution: str) -> Status:
        """Calls GetJob, and returns the state of the job."""
        url = self.url(execution)
        job = self._get(execution)
        if job is None:
            return Status("lost", None, "Dataproc does not know the job any more", url)
        return _status(_JOB_STATES.get(job.status.state.name, "running"), job.status.details, url)

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines of the driver's output after a cursor, and the next cursor."""
        job = self._get(execution)
        if job is None or not job.driver_output_resource_uri:
            return (), cursor
        over = _JOB_STATES.get(job.status.state.name) in ("succeeded", "failed", "cancelled")
        return self.output.after(job.driver_output_resource_uri, cursor, over=over)

    def cancel(self, execution: str) -> None:
        """Calls CancelJob; a job that has ended is not an error."""
        _unless_over(lambda: self._jobs.cancel_job(request={**self.service.location, "job_id": execution}, **CALL))

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of a call: whether to repeat it."""
        return classify_gcp_error(error)

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        self.__dict__.pop("_jobs", None)
        self.service.refresh()
        self.output.refresh()

    def close(self) -> None:
        """Deletes the cluster of the run once no step needs it."""
        if isinstance(self.cluster, EphemeralClusters):
            self.cluster.close()

    def url(self, execution: str) -> str:
        """Returns the job's page in the Google Cloud console."""
        place = f"https://console.cloud.google.com/dataproc/jobs/{execution}/monitoring"
        return f"{place}?region={self.service.region}&project={self.service.project}"

    def _env(self, submission: Submission) -> list[tuple[str, str, str]]:
        variables = sorted(self.program.variables(submission).items())
        return [(what, key, value) for what in ("yarn.appMaster", "executor") for key, value in variables]

    def _get(self, job_id: str) -> Any:
        return _get_or_none(lambda: self._jobs.get_job(request={**self.service.location, "job_id": job_id}, **CALL))

    @cached_property
    def _jobs(self) -> Any:
        return self.service.client("JobControllerClient")


@dataclass(frozen=True)
class DataprocBatches:
    """Environment that runs commands as Serverless batches, without a cluster.

    Attributes:
        service: Project and region.
        program: Program that a driver runs.
        output: Reader of the output of drivers.
        version: Runtime version; Dataproc's newest by default.
        subnet: Name or URI of the subnet.
        service_account: Service account of the driver; Compute Engine's own by default.
        bucket: Staging bucket.
        ttl: Seconds after which Dataproc ends a batch; the timeout of the command takes precedence.
    """

    service: ClusterService
    program: SparkProgram
    output: DriverOutput
    version: str | None = None
    subnet: str | None = None
    service_account: str | None = None
    bucket: str | None = None
    ttl: int | None = None

    name = "dataproc_serverless"
    uses_spark = True
    is_idempotent = True

    def submit(self, submission: Submission) -> str:
        """Calls CreateBatch under an id built from the key: a second submission finds the first."""
        from google.api_core.exceptions import AlreadyExists

        batch_id = _id(submission.key)
        variables = sorted(self.program.variables(submission).items())
        env = {f"spark.dataproc.driverEnv.{key}": value for key, value in variables}
        env |= {f"spark.executorEnv.{key}": value for key, value in variables}
        batch = {
            "labels": _labels(submission),
            "spark_batch": self.program.spark(submission),
            "runtime_config": {
                "version": self.version or "",
                "properties": {**env, **self.program.properties, **submission.command.spark},
            },
            "environment_config": {"execution_config": self._execution(submission.timeout)},
        }
        request = {"parent": self._parent, "batch": batch, "batch_id": batch_id, "request_id": batch_id}
        batches = self._batches
        submission.confirm()
        try:
            batches.create_batch(request=request, **CALL)
        except AlreadyExists:
            return batch_id
        return batch_id

    def find(self, submission: Submission) -> str | None:
        """Returns the batch of a key."""
        batch_id = _id(submission.key)
        return batch_id if self._get(batch_id) is not None else None

    def status(self, execution: str) -> Status:
        """Calls GetBatch, and returns the state of the batch."""
        url = self.url(execution)
        batch = self._get(execution)
        if batch is None:
            return Status("lost", None, "Dataproc does not know the batch any more", url)
        return _status(_BATCH_STATES.get(batch.state.name, "running"), batch.state_message, url)

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines of the driver's output after a cursor, and the next cursor."""
        batch = self._get(execution)
        if batch is None or not batch.runtime_info.output_uri:
            return (), cursor
        over = _BATCH_STATES.get(batch.state.name) in ("succeeded", "failed", "cancelled")
        return self.output.after(batch.runtime_info.output_uri, cursor, over=over)

    def cancel(self, execution: str) -> None:
        """Cancels the operation of a batch, since there is no CancelBatch; a batch that has ended is not an error."""
        batch = self._get(execution)
        if batch is not None:
            _unless_over(lambda: self._batches.transport.operations_client.cancel_operation(batch.operation))

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of a call: whether to repeat it."""
        return classify_gcp_error(error)

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        self.__dict__.pop("_batches", None)
        self.service.refresh()
        self.output.refresh()

    def close(self) -> None:
        """Does nothing: no resource is kept between commands."""

    def url(self, execution: str) -> str:
        """Returns the batch's page in the Google Cloud console."""
        place = f"https://console.cloud.google.com/dataproc/batches/{self.service.region}/{execution}/monitoring"
        return f"{place}?project={self.service.project}"

    @property
    def _parent(self) -> str:
        return f"projects/{self.service.project}/locations/{self.service.region}"

    def _execution(self, timeout: float | None) -> dict[str, Any]:
        ttl = int(timeout) if timeout is not None else self.ttl
        fields = {
            "service_account": self.service_account,
            "subnetwork_uri": self.subnet,
            "staging_bucket": self.bucket,
            "ttl": {"seconds": max(600, ttl)} if ttl is not None else None,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _get(self, batch_id: str) -> Any:
        return _get_or_none(lambda: self._batches.get_batch(name=f"{self._parent}/batches/{batch_id}", **CALL))

    @cached_property
    def _batches(self) -> Any:
        return self.service.client("BatchControllerClient")


def _id(key: str) -> str:
    return f"sl-{uuid.uuid5(uuid.NAMESPACE_URL, key).hex}"


def _labels(submission: Submission) -> dict[str, str]:
    return {label(name): label(value) for name, value in submission.labels.items()}


def _status(state: State, details: Any, url: str) -> Status:
    """Returns a status with exit code 1 for a failed driver: Dataproc reports no exit code."""
    return Status(
        state,
        {"succeeded": 0, "failed": 1}.get(state),
        str(details) if state in ("failed", "cancelled") else "",
        url,
    )


def _get_or_none(call: Callable[[], Any]) -> Any:
    """Returns the answer of a call; None if the object does not exist."""
    from google.api_core.exceptions import NotFound

    try:
        return call()
    except NotFound:
        return None


def _unless_over(call: Callable[[], Any]) -> None:
    from google.api_core.exceptions import FailedPrecondition, NotFound

    try:
        call()
    except (FailedPrecondition, NotFound):
        return
