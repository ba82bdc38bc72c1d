"""A Dataproc cluster per run: created once, and deleted at the end of the run, or later by Dataproc itself."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.gcp import CALL, gcp_client

__all__ = ["ClusterPlan", "ClusterService", "EphemeralClusters", "label"]

MANAGED = ("starlake-dagster", "managed")
RUN_LABEL = "dagster-run-id"
DEPLOYMENT_LABEL = "dagster-deployment"
EXPIRY_LABEL = "starlake-dagster-expires"
_OF_ANOTHER = "another step"
_ENDED = ("ERROR", "ERROR_DUE_TO_UPDATE")
_NAME = 51
"""Maximum number of characters that Dataproc allows for the name of a cluster."""
_EMPTY: Mapping[str, str] = MappingProxyType({})


def label(text: str) -> str:
    """Converts a text to a label of Google Cloud: lower-case letters, digits, `-` and `_`, at most 63."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]


@dataclass(frozen=True)
class ClusterPlan:
    """Configuration of a cluster; names and defaults are those of Starlake's DAG options.

    Attributes:
        name: `dataproc_name`: the run's id follows it.
        image_version: `dataproc_image_version`.
        master_machine_type, master_disk_type, master_disk_size: `dataproc_master_…`, GB.
        worker_machine_type, worker_disk_type, worker_disk_size: `dataproc_worker_…`, GB.
        num_workers: `dataproc_num_workers`; 0 = a single node.
        subnet: `dataproc_subnet`: name or URI.
        service_account: `dataproc_service_account`; Dataproc's own by default.
        internal_ip_only: No public addresses.
        idle_delete_ttl: `dataproc_idle_delete_ttl`: seconds without a job after which Dataproc deletes the cluster.
        max_age: Seconds after which Dataproc deletes it in any case.
        metadata: `dataproc_cluster_metadata`.
        bucket: `spark_bucket`: staging bucket.
        properties: Software properties, such as `spark:spark.sql.shuffle.partitions`.
        extra: Raw `ClusterConfig`, merged last.
        create_timeout: Seconds that the creation may take.
    """

    name: str = "dataproc-cluster"
    image_version: str = "2.2-debian12"
    master_machine_type: str = "n1-standard-4"
    master_disk_type: str = "pd-standard"
    master_disk_size: int = 1024
    worker_machine_type: str = "n1-standard-4"
    worker_disk_type: str = "pd-standard"
    worker_disk_size: int = 1024
    num_workers: int = 4
    subnet: str = "default"
    service_account: str | None = None
    internal_ip_only: bool = True
    idle_delete_ttl: int = 3600
    max_age: int = 86400
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    bucket: str | None = None
    properties: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    extra: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    create_timeout: float = 900

    def cluster_name(self, run_id: str) -> str:
        """Returns the name of the cluster of a run: the same in each of its processes."""
        tail = re.sub(r"[^a-z0-9]", "", run_id.lower())[:12]
        stem = re.sub(r"[^a-z0-9-]", "-", self.name.lower()).strip("-")[: _NAME - 1 - len(tail)]
        return f"{stem if stem[:1].isalpha() else 'sl-' + stem}-{tail}"

    def cluster(self, project: str, run_id: str, labels: Mapping[str, str], env: Mapping[str, str]) -> dict[str, Any]:
        """Returns the `Cluster` of a create request.

        Args:
            project: Google Cloud project.
            run_id: Id of the run.
            labels: Its other labels.
            env: Environment variables of every driver and executor (`spark-env:`).
        """
        run_labels = {label(name): label(value) for name, value in labels.items() if name != "deployment"}
        owner = {DEPLOYMENT_LABEL: label(labels["deployment"])} if labels.get("deployment") else {}
        expiry = {EXPIRY_LABEL: str(int(time.time()) + self.max_age)}
        return {
            "project_id": project,
            "cluster_name": self.cluster_name(run_id),
            "labels": {**run_labels, **owner, **expiry, MANAGED[0]: MANAGED[1], RUN_LABEL: label(run_id)},
            "config": self.config(env),
        }

    def config(self, env: Mapping[str, str]) -> dict[str, Any]:
        """Returns the `ClusterConfig` of a create request.

        Args:
            env: Environment variables of every driver and executor (`spark-env:`).
        """
        return _merged(self._config(env), self.extra)

    def _config(self, env: Mapping[str, str]) -> dict[str, Any]:
        single = self.num_workers <= 0
        properties = {**{f"spark-env:{name}": value for name, value in env.items()}, **self.properties}
        if single:
            properties["dataproc:dataproc.allow.zero.workers"] = "true"
        network: dict[str, Any] = {"subnetwork_uri": self.subnet, "internal_ip_only": self.internal_ip_only}
        if self.service_account is not None:
            network |= {
                "service_account": self.service_account,
                "service_account_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }
        config: dict[str, Any] = {
            "gce_cluster_config": {**network, "metadata": dict(self.metadata)},
            "master_config": _group(1, self.master_machine_type, self.master_disk_type, self.master_disk_size),
            "software_config": {"image_version": self.image_version, "properties": properties},
            "lifecycle_config": {
                "idle_delete_ttl": {"seconds": self.idle_delete_ttl},
                "auto_delete_ttl": {"seconds": self.max_age},
            },
            "endpoint_config": {"enable_http_port_access": True},
        }
        if not single:
            workers = (self.num_workers, self.worker_machine_type, self.worker_disk_type, self.worker_disk_size)
            config["worker_config"] = _group(*workers)
        if self.bucket is not None:
            config["config_bucket"] = self.bucket
        return config


@dataclass(frozen=True)
class ManagedCluster:
    """A cluster that was created for a run.

    Attributes:
        name: Its name.
        run_id: Id of the run, as a label value.
        deployment: Identity of the Dagster deployment that created it, as a label value; "" if unknown.
        expires: Time in seconds since 1970 after which nothing needs it; None if it is not known.
    """

    name: str
    run_id: str
    deployment: str
    expires: float | None


@dataclass(frozen=True)
class ClusterService:
    """Client of the Dataproc clusters of one project and region.

    Attributes:
        project: Google Cloud project.
        region: Region of the clusters.
        impersonate: Service account to act as.
        endpoint: `host:port`; the region's own by default.
        local: Whether the endpoint is the user's own server, without TLS and credentials.
    """

    project: str
    region: str
    impersonate: str | None = None
    endpoint: str | None = None
    local: bool = False

    def client(self, name: str) -> Any:
        """Returns a client of Dataproc, by the name of its class."""
        from google.cloud import dataproc_v1

        endpoint = self.endpoint or f"{self.region}-dataproc.googleapis.com:443"
        kind: Any = getattr(dataproc_v1, name)
        return gcp_client(kind, endpoint=endpoint, local=self.local, impersonate=self.impersonate)

    @property
    def location(self) -> dict[str, str]:
        """Project and region, as fields of a request."""
        return {"project_id": self.project, "region": self.region}

    @cached_property
    def clusters(self) -> Any:
        """The client of the clusters."""
        return self.client("ClusterControllerClient")

    def refresh(self) -> None:
        """Creates a new client, with the credentials that are valid now."""
        self.__dict__.pop("clusters", None)

    def get(self, name: str) -> Any:
        """Returns a cluster; None if it does not exist."""
        from google.api_core.exceptions import NotFound

        try:
            return self.clusters.get_cluster(request={**self.location, "cluster_name": name}, **CALL)
        except NotFound:
            return None

    def delete(self, name: str) -> None:
        """Requests the deletion of a cluster; one that does not exist, or is being deleted, is not an error."""
        from google.api_core.exceptions import FailedPrecondition, NotFound

        try:
            self.clusters.delete_cluster(
                request={**self.location, "cluster_name": name, "request_id": str(uuid.uuid4())}, **CALL
            )
        except (FailedPrecondition, NotFound):
            return

    def managed(self) -> Iterator[ManagedCluster]:
        """Returns the clusters that were created for runs, of all deployments, except those that are being deleted."""
        query = f"labels.{MANAGED[0]} = {MANAGED[1]}"
        for cluster in self.clusters.list_clusters(request={**self.location, "filter": query}, **CALL):
            if cluster.status.state.name != "DELETING":
                labels = cluster.labels
                expires = str(labels.get(EXPIRY_LABEL, ""))
                yield ManagedCluster(
                    str(cluster.cluster_name),
                    str(labels.get(RUN_LABEL, "")),
                    str(labels.get(DEPLOYMENT_LABEL, "")),
                    float(expires) if expires.isdigit() else None,
                )

    def has_active_job(self, cluster: str) -> bool:
        """Whether a cluster has a job that is pending or running."""
        request = {**self.location, "cluster_name": cluster, "job_state_matcher": "ACTIVE"}
        return any(True for _ in self.client("JobControllerClient").list_jobs(request=request, **CALL))

    def operation_error(self, name: str) -> str:
        """Returns the error of a long-running operation; "" while it has none."""
        operation = self.clusters.transport.operations_client.get_operation(name, **CALL)
        return str(operation.error.message) if operation.done and operation.HasField("error") else ""


@dataclass(frozen=True)
class EphemeralClusters:
    """The cluster of a run.

    Attributes:
        service: The cluster service.
        plan: Its configuration.
        run_id: Id of the run.
        labels: Other properties of the run.
        env: Environment variables of every driver and executor.
        poll: Seconds between two queries of a cluster that is being created.
        other_steps_ended: Whether no other step of the run can still need the cluster.
    """

    service: ClusterService
    plan: ClusterPlan
    run_id: str
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    env: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    poll: float = 5
    other_steps_ended: Callable[[], bool] = lambda: True
    _ready: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)
    _rejections: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.plan.cluster_name(self.run_id)

    def ensure(self, is_needed: Callable[[], bool] = lambda: True) -> str:
        """Returns the name of the cluster once it runs; the first step that needs it creates it.

        Args:
            is_needed: Returns whether the cluster is still needed.

        Raises:
            RunnerError: When it cannot be created, or is not needed any more; a partial cluster is deleted.
        """
        if self._ready:
            return self.name
        if self._rejections:
            raise RunnerError(self._rejections[0])
        until = time.monotonic() + self.plan.create_timeout
        operation = ""
        while True:
            cluster = self.service.get(self.name)
            state = cluster.status.state.name if cluster is not None else ""
            if cluster is None:
                operation = self._requested(operation)
            elif state == "RUNNING":
                self._ready.append(self.name)
                return self.name
            elif state in _ENDED:
                self.service.delete(self.name)
                raise self._reject(f"Dataproc could not create cluster {self.name}: {cluster.status.detail or state}")
            if time.monotonic() > until:
                self.service.delete(self.name)
                seconds = f"{self.plan.create_timeout:g}"
                raise RunnerError(f"cluster {self.name} did not run after {seconds} seconds ({state}); it is deleted")
            if not is_needed():
                raise RunnerError(f"cluster {self.name} is not needed any more")
            time.sleep(self.poll)

    def _requested(self, operation: str) -> str:
        """Requests the cluster unless it was requested before; returns the name of the operation.

        Raises:
            RunnerError: The operation failed.
        """
        if not operation:
            return self._create()
        if operation == _OF_ANOTHER:  # the other step did not succeed
            return ""
        if error := self.service.operation_error(operation):
            raise self._reject(f"Dataproc could not create cluster {self.name}: {error}")
        return operation

    def _reject(self, text: str) -> RunnerError:
        """Records a rejection, which applies to the rest of the step, and returns its error."""
        self._rejections.append(text)
        return RunnerError(text)

    def close(self) -> None:
        """Deletes the cluster when no other step of the run can still need it."""
        try:
            if self.other_steps_ended() and self.service.get(self.name) is not None:
                self.service.delete(self.name)
        except Exception:  # whatever a client raises: the sweeper and the cluster's own limits are there for that
            return
        finally:
            self._ready.clear()

    def _create(self) -> str:
        """Requests the cluster; returns the name of the operation."""
        from google.api_core.exceptions import AlreadyExists

        cluster = self.plan.cluster(self.service.project, self.run_id, self.labels, self.env)
        request = {**self.service.location, "cluster": cluster, "request_id": str(uuid.uuid4())}
        try:
            return str(self.service.clusters.create_cluster(request=request, **CALL).operation.name)
        except AlreadyExists:  # another step was first
            return _OF_ANOTHER


def _group(count: int, machine: str, disk: str, size: int) -> dict[str, Any]:
    disks = {"boot_disk_type": disk, "boot_disk_size_gb": size}
    return {"num_instances": count, "machine_type_uri": machine, "disk_config": disks}


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in extra.items():
        below = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[name] = _merged(cast("Any", below), cast("Any", value)) if both else value
    return merged
