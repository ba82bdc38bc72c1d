"""A Dataproc cluster that lives as long as a run: created once, deleted at its end, and by itself if all else fails."""

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
from starlake_dagster_assets.runners.gcp import CALL, gcp_client

__all__ = ["ClusterPlan", "ClusterService", "EphemeralClusters", "label"]

MANAGED = ("starlake-dagster", "managed")
RUN_LABEL = "dagster-run-id"
_ENDED = ("ERROR", "ERROR_DUE_TO_UPDATE")
_NAME = 51
"""Characters that Dataproc allows for the name of a cluster."""
_EMPTY: Mapping[str, str] = MappingProxyType({})


def label(text: str) -> str:
    """A text as a label of Google Cloud: small letters, digits, `-` and `_`, at most 63."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]


@dataclass(frozen=True)
class ClusterPlan:
    """What a cluster is made of; the names and defaults are those of Starlake's DAG options.

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
        max_age: Seconds after which Dataproc deletes it whatever it does.
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
        """The cluster of a run: the same in each of its processes."""
        tail = re.sub(r"[^a-z0-9]", "", run_id.lower())[:12]
        stem = re.sub(r"[^a-z0-9-]", "-", self.name.lower()).strip("-")[: _NAME - 1 - len(tail)]
        return f"{stem if stem[:1].isalpha() else 'sl-' + stem}-{tail}"

    def cluster(self, project: str, run_id: str, labels: Mapping[str, str], env: Mapping[str, str]) -> dict[str, Any]:
        """The request's `Cluster`.

        Args:
            project: Google Cloud project.
            run_id: Of the run.
            labels: What else is said of it.
            env: Environment variables of every driver and executor (`spark-env:`).
        """
        said = {label(name): label(value) for name, value in labels.items()}
        return {
            "project_id": project,
            "cluster_name": self.cluster_name(run_id),
            "labels": {**said, MANAGED[0]: MANAGED[1], RUN_LABEL: label(run_id)},
            "config": self.config(env),
        }

    def config(self, env: Mapping[str, str]) -> dict[str, Any]:
        """The request's `ClusterConfig`.

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
class ClusterService:
    """Dataproc's clusters of one project and region.

    Attributes:
        project: Google Cloud project.
        region: Where the clusters are.
        impersonate: Service account to act as.
        endpoint: `host:port`; the region's own by default.
        local: The endpoint is a server of one's own, without TLS and credentials.
    """

    project: str
    region: str
    impersonate: str | None = None
    endpoint: str | None = None
    local: bool = False

    def client(self, name: str) -> Any:
        """A client of Dataproc, by its class' name."""
        from google.cloud import dataproc_v1

        endpoint = self.endpoint or f"{self.region}-dataproc.googleapis.com:443"
        kind: Any = getattr(dataproc_v1, name)
        return gcp_client(kind, endpoint=endpoint, local=self.local, impersonate=self.impersonate)

    @property
    def place(self) -> dict[str, str]:
        """Project and region, as every request names them."""
        return {"project_id": self.project, "region": self.region}

    @cached_property
    def clusters(self) -> Any:
        """The client of the clusters."""
        return self.client("ClusterControllerClient")

    def get(self, name: str) -> Any:
        """A cluster; None when there is none."""
        from google.api_core.exceptions import NotFound

        try:
            return self.clusters.get_cluster(request={**self.place, "cluster_name": name}, **CALL)
        except NotFound:
            return None

    def delete(self, name: str) -> None:
        """Asks for the end of a cluster; one that is not there, or is going, is no error."""
        from google.api_core.exceptions import FailedPrecondition, NotFound

        try:
            self.clusters.delete_cluster(
                request={**self.place, "cluster_name": name, "request_id": str(uuid.uuid4())}, **CALL
            )
        except (FailedPrecondition, NotFound):
            return

    def managed(self) -> Iterator[tuple[str, str, float]]:
        """Name, run id (as a label has it) and age in seconds of each cluster that was made for a run."""
        query = f"labels.{MANAGED[0]} = {MANAGED[1]}"
        for cluster in self.clusters.list_clusters(request={**self.place, "filter": query}, **CALL):
            if cluster.status.state.name != "DELETING":
                states = [*cluster.status_history, cluster.status]
                born = min(one.state_start_time.timestamp() for one in states)
                yield str(cluster.cluster_name), str(cluster.labels.get(RUN_LABEL, "")), time.time() - born


@dataclass(frozen=True)
class EphemeralClusters:
    """The cluster of a run.

    Attributes:
        service: Where clusters are.
        plan: What it is made of.
        run_id: Of the run.
        labels: What else is said of the run.
        env: Environment variables of every driver and executor.
        poll: Seconds between two looks at a cluster that is being made.
        others_ended: Whether no other step of the run can still need the cluster.
    """

    service: ClusterService
    plan: ClusterPlan
    run_id: str
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    env: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    poll: float = 5
    others_ended: Callable[[], bool] = lambda: True
    _ready: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Its name."""
        return self.plan.cluster_name(self.run_id)

    def ensure(self) -> str:
        """The name of the cluster, which runs: made by whoever comes first.

        Raises:
            RunnerError: When it cannot be made; what there is of it is deleted.
        """
        if self._ready:
            return self.name
        until = time.monotonic() + self.plan.create_timeout
        while True:
            cluster = self.service.get(self.name)
            state = cluster.status.state.name if cluster is not None else ""
            if cluster is None:
                self._create()
            elif state == "RUNNING":
                self._ready.append(self.name)
                return self.name
            elif state in _ENDED:
                self.service.delete(self.name)
                raise RunnerError(f"Dataproc could not make cluster {self.name}: {cluster.status.detail or state}")
            if time.monotonic() > until:
                self.service.delete(self.name)
                seconds = f"{self.plan.create_timeout:g}"
                raise RunnerError(f"cluster {self.name} did not run after {seconds} seconds ({state}); it is deleted")
            time.sleep(self.poll)

    def close(self) -> None:
        """Deletes the cluster when no other step of the run can still need it."""
        try:
            if self.others_ended() and self.service.get(self.name) is not None:
                self.service.delete(self.name)
        except Exception:  # whatever a client raises: the sweeper and the cluster's own limits are there for that
            return
        finally:
            self._ready.clear()

    def _create(self) -> None:
        from google.api_core.exceptions import AlreadyExists

        cluster = self.plan.cluster(self.service.project, self.run_id, self.labels, self.env)
        request = {**self.service.place, "cluster": cluster, "request_id": str(uuid.uuid4())}
        try:
            self.service.clusters.create_cluster(request=request, **CALL)
        except AlreadyExists:  # another step came first
            return


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
