"""A local Dataproc for Google's real clients: clusters that take a while, jobs and batches that are real processes.

As the documentation says: ids are unique (ALREADY_EXISTS), a cluster that fails stays in state ERROR with its detail, a
driver in client mode has the cluster's `spark-env:` variables and its output goes to Cloud Storage, one in cluster mode
has `spark.yarn.appMasterEnv.*`, a batch has `spark.dataproc.driverEnv.*`; there is no CancelBatch.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
from google.cloud import dataproc_v1 as dataproc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from tests.fakes.containers import Container
from tests.fakes.gcs import FakeGcs
from tests.fakes.grpc_core import GrpcServer, Refused

__all__ = ["FakeDataproc"]

_V1 = "/google.cloud.dataproc.v1"
_PIECE = 400
_BATCH_LIMITS = {
    "spark.driver.cores": (4, 8, 16),
    "spark.executor.cores": (4, 8, 16),
    "spark.executor.instances": range(2, 2001),
    "spark.dynamicAllocation.maxExecutors": range(2, 2001),
}


class FakeDataproc(GrpcServer):
    """The server.

    Args:
        program: What a driver runs.
        environ: What the image of every cluster has.
        looks: How many GetCluster calls a cluster takes to run.
    """

    def __init__(self, program: Sequence[str], environ: Mapping[str, str] | None = None, *, looks: int = 2) -> None:
        super().__init__()
        self.program = list(program)
        self.environ = dict(environ or {})
        self.looks = looks
        self.quota: str | None = None
        self.creation_error: str | None = None
        """The error of the operation of a cluster that never comes to be."""
        self.operations: dict[str, operations_pb2.Operation] = {}
        self.clusters: dict[str, dataproc.Cluster] = {}
        self.deleted: list[str] = []
        self.made: list[dataproc.Cluster] = []
        self.jobs: dict[str, dataproc.Job] = {}
        self.batches: dict[str, dataproc.Batch] = {}
        self.containers: dict[str, Container] = {}
        self.gcs = FakeGcs(self._objects)
        operation, empty = operations_pb2.Operation, empty_pb2.Empty
        add, v1 = self.add, _V1
        add(f"{v1}.ClusterController/CreateCluster", dataproc.CreateClusterRequest, operation, self._create)
        add(f"{v1}.ClusterController/GetCluster", dataproc.GetClusterRequest, dataproc.Cluster, self._cluster)
        add(f"{v1}.ClusterController/DeleteCluster", dataproc.DeleteClusterRequest, operation, self._delete)
        listing = (dataproc.ListClustersRequest, dataproc.ListClustersResponse, self._list)
        add(f"{v1}.ClusterController/ListClusters", *listing)
        jobs = (dataproc.ListJobsRequest, dataproc.ListJobsResponse, self._list_jobs)
        add(f"{v1}.JobController/ListJobs", *jobs)
        operations = (operations_pb2.GetOperationRequest, operation, self._operation)
        add("/google.longrunning.Operations/GetOperation", *operations)
        add(f"{v1}.JobController/SubmitJob", dataproc.SubmitJobRequest, dataproc.Job, self._submit)
        add(f"{v1}.JobController/GetJob", dataproc.GetJobRequest, dataproc.Job, self._job)
        add(f"{v1}.JobController/CancelJob", dataproc.CancelJobRequest, dataproc.Job, self._cancel_job)
        add(f"{v1}.BatchController/CreateBatch", dataproc.CreateBatchRequest, operation, self._create_batch)
        add(f"{v1}.BatchController/GetBatch", dataproc.GetBatchRequest, dataproc.Batch, self._batch)
        cancelling = (operations_pb2.CancelOperationRequest, empty, self._cancel_operation)
        add("/google.longrunning.Operations/CancelOperation", *cancelling)

    def close(self) -> None:
        """Ends the server and what still runs."""
        super().close()
        self.gcs.close()
        for container in self.containers.values():
            container.stop()

    def age(self, name: str, seconds: float) -> None:
        """Makes a cluster older."""
        born = datetime.now(timezone.utc) - timedelta(seconds=seconds)
        self.clusters[name].status.state_start_time = born
        labels = self.clusters[name].labels
        labels["starlake-dagster-expires"] = str(int(labels["starlake-dagster-expires"]) - int(seconds))

    # ----------------------------------------------------------------------------------------------- clusters

    def _create(self, request: dataproc.CreateClusterRequest) -> operations_pb2.Operation:
        cluster = dataproc.Cluster(request.cluster)
        if cluster.cluster_name in self.clusters:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: {cluster.cluster_name}")
        if self.creation_error is not None:
            operation = operations_pb2.Operation(name=f"operations/{uuid.uuid4()}", done=True)
            operation.error.code, operation.error.message = (
                grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
                self.creation_error,
            )
            self.operations[operation.name] = operation
            return operations_pb2.Operation(name=operation.name)
        state = dataproc.ClusterStatus.State
        cluster.status = dataproc.ClusterStatus(
            state=state.ERROR if self.quota else state.CREATING,
            detail=self.quota or "",
            state_start_time=datetime.now(timezone.utc),
        )
        self.clusters[cluster.cluster_name] = cluster
        self.made.append(cluster)
        return operations_pb2.Operation(name=f"operations/{uuid.uuid4()}")

    def _cluster(self, request: dataproc.GetClusterRequest) -> dataproc.Cluster:
        cluster = self._known(self.clusters, request.cluster_name)
        state = dataproc.ClusterStatus.State
        if cluster.status.state == state.CREATING:
            looks = sum(
                1 for name, one in self.calls if name == "GetCluster" and one.cluster_name == request.cluster_name
            )
            if looks > self.looks:
                cluster.status.state = state.RUNNING
        return cluster

    def _delete(self, request: dataproc.DeleteClusterRequest) -> operations_pb2.Operation:
        self._known(self.clusters, request.cluster_name)
        self.clusters.pop(request.cluster_name)
        self.deleted.append(request.cluster_name)
        return operations_pb2.Operation(name=f"operations/{uuid.uuid4()}")

    def _list(self, request: dataproc.ListClustersRequest) -> dataproc.ListClustersResponse:
        assert request.filter == "labels.starlake-dagster = managed", request.filter
        found = [one for one in self.clusters.values() if one.labels.get("starlake-dagster") == "managed"]
        return dataproc.ListClustersResponse(clusters=found)

    def _operation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        return self.operations.get(request.name, operations_pb2.Operation(name=request.name))

    # --------------------------------------------------------------------------------------------------- jobs

    def _list_jobs(self, request: dataproc.ListJobsRequest) -> dataproc.ListJobsResponse:
        assert request.job_state_matcher == dataproc.ListJobsRequest.JobStateMatcher.ACTIVE
        running = dataproc.JobStatus.State.RUNNING
        found = [
            job
            for job in self.jobs.values()
            if job.placement.cluster_name == request.cluster_name and job.status.state == running
        ]
        return dataproc.ListJobsResponse(jobs=found)

    def _submit(self, request: dataproc.SubmitJobRequest) -> dataproc.Job:
        job = dataproc.Job(request.job)
        job_id = job.reference.job_id
        if job_id in self.jobs:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: job {job_id}")
        cluster = self._known(self.clusters, job.placement.cluster_name)
        if cluster.status.state != dataproc.ClusterStatus.State.RUNNING:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the cluster is not running")
        spark = job.spark_job
        assert spark.main_class == "ai.starlake.job.Main"
        prefix = "spark-env:"
        environ = {
            name.removeprefix(prefix): value
            for name, value in cluster.config.software_config.properties.items()
            if name.startswith(prefix)
        }
        if spark.properties.get("spark.submit.deployMode") == "cluster":
            environ |= _variables(spark.properties, "spark.yarn.appMasterEnv.")
        else:
            job.driver_output_resource_uri = f"gs://staging/jobs/{job_id}/driveroutput"
        job.status = dataproc.JobStatus(state=dataproc.JobStatus.State.RUNNING)
        self.jobs[job_id] = job
        self._start(job_id, spark.args, environ)
        return job

    def _job(self, request: dataproc.GetJobRequest) -> dataproc.Job:
        return self._known(self.jobs, request.job_id)

    def _cancel_job(self, request: dataproc.CancelJobRequest) -> dataproc.Job:
        job = self._known(self.jobs, request.job_id)
        if job.status.state != dataproc.JobStatus.State.RUNNING:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the job is not running")
        job.status = dataproc.JobStatus(state=dataproc.JobStatus.State.CANCELLED)
        self.containers[request.job_id].stop()
        return job

    # ------------------------------------------------------------------------------------------------ batches

    def _create_batch(self, request: dataproc.CreateBatchRequest) -> operations_pb2.Operation:
        if request.batch_id in self.batches:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: batch {request.batch_id}")
        batch = dataproc.Batch(request.batch)
        for name, allowed in _BATCH_LIMITS.items():
            value = batch.runtime_config.properties.get(name)
            if value is not None and not (value.isdigit() and int(value) in allowed):
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid value for {name}")
        batch.name = f"{request.parent}/batches/{request.batch_id}"
        batch.operation = f"{request.parent}/operations/{request.batch_id}"
        batch.state = dataproc.Batch.State.RUNNING
        batch.runtime_info.output_uri = f"gs://staging/jobs/{request.batch_id}/driveroutput"
        self.batches[request.batch_id] = batch
        environ = _variables(batch.runtime_config.properties, "spark.dataproc.driverEnv.")
        self._start(request.batch_id, batch.spark_batch.args, environ)
        return operations_pb2.Operation(name=batch.operation)

    def _batch(self, request: dataproc.GetBatchRequest) -> dataproc.Batch:
        return self._known(self.batches, request.name.rpartition("/")[2])

    def _cancel_operation(self, request: operations_pb2.CancelOperationRequest) -> empty_pb2.Empty:
        name = request.name.rpartition("/")[2]
        batch = self._known(self.batches, name)
        if batch.state == dataproc.Batch.State.RUNNING:
            batch.state = dataproc.Batch.State.CANCELLED
            self.containers[name].stop()
        return empty_pb2.Empty()

    # ---------------------------------------------------------------------------------------------- processes

    def _start(self, name: str, args: Sequence[str], environ: Mapping[str, str]) -> None:
        argv = [*self.program, *args]
        self.containers[name] = Container(argv, {**self.environ, **environ}, lambda code: self._ended(name, code))

    def _ended(self, name: str, code: int) -> None:
        with self.lock:
            if name in self.batches:
                batch, state = self.batches[name], dataproc.Batch.State
                if batch.state == state.RUNNING:
                    batch.state = state.FAILED if code else state.SUCCEEDED
                    batch.state_message = f"Job failed with message [exit {code}]" if code else ""
                return
            job, state = self.jobs[name], dataproc.JobStatus.State
            if job.status.state == state.RUNNING:
                text = f"Job failed with message [Driver exited with {code}]" if code else ""
                job.status = dataproc.JobStatus(state=state.ERROR if code else state.DONE, details=text)

    def _objects(self) -> dict[str, bytes]:
        """Each driver's output, in pieces."""
        found: dict[str, bytes] = {}
        for name, container in list(self.containers.items()):
            data = b"".join(list(container.raw_lines))
            for index in range(0, (len(data) + _PIECE - 1) // _PIECE):
                piece = data[index * _PIECE : (index + 1) * _PIECE]
                found[f"staging/jobs/{name}/driveroutput.{index:09d}"] = piece
        return found

    @staticmethod
    def _known(known: Mapping[str, Any], name: str) -> Any:
        if name not in known:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Not found: {name}")
        return known[name]


def _variables(properties: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in properties.items() if name.startswith(prefix)}
