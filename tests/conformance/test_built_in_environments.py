"""The environments of this package pass the suite that it offers for others, by the real clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import grpc
import pytest

from starlake_dagster_assets.conformance import EnvironmentConformance, ScriptedProgram
from starlake_dagster_assets.environments import Policy
from starlake_dagster_assets.execution.backends.remote.cloud_run import CloudRunEnvironment
from starlake_dagster_assets.execution.backends.remote.dataproc import DataprocBatches, SparkProgram
from starlake_dagster_assets.execution.backends.remote.dataproc_cluster import ClusterService
from starlake_dagster_assets.execution.backends.remote.driver_output import DriverOutput
from starlake_dagster_assets.execution.backends.remote.fargate import FargateEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate
from tests.fakes.aws import FakeAws
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.dataproc import FakeDataproc
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig

_ENV = {"SL_LOG_LEVEL": "info"}
CODE = grpc.StatusCode


class Fast(EnvironmentConformance):
    """Runs the program in a service of this process, which ends with the test."""

    __test__ = False
    time_limit = 60
    policy = Policy(
        poll=0.02, longest_poll=0.05, starting=20, outage=0.5, grace=0.3, longest_pause=0.02, settle=1, cancelling=20
    )

    @pytest.fixture(autouse=True)
    def _service(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        self.server: Any = None
        self.connection: list[str] = []
        yield
        if self.server is not None:
            self.server.close()

    def serve(self, kind: Callable[[list[str]], Any], program: ScriptedProgram, *names: str) -> tuple[str, ...]:
        """Starts the service, unless another process has; returns attributes of it, such as its URL."""
        if not self.connection:
            self.server = kind([str(program.path)])
            self.connection = [attrgetter(name)(self.server) for name in names]
        return tuple(self.connection)

    def attributes_of_new_process(self) -> Mapping[str, Any]:
        return {"connection": self.connection}

    def fault(self, operation: str, code: Any, **how: Any) -> Callable[[], None]:
        return lambda: self.server.fail(operation, code, **how)


class TestKubernetes(Fast):
    __test__ = True

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        (url,) = self.serve(FakeKubernetes, program, "url")
        return KubernetesEnvironment(
            JobTemplate("starlake:1.6.0", env=_ENV), kubeconfig_file=write_kubeconfig(directory, url)
        )

    def faults(self, environment: Any) -> Any:
        return {
            "throttled": self.fault("CreateJob", 429, times=2),
            "lost_answer": self.fault("CreateJob", 504, after=True),
            "outage": self.fault("GetJob", 503, times=3),
            "endless_outage": self.fault("GetJob", 503, times=10_000),
        }


class TestFargate(Fast):
    __test__ = True

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        (url,) = self.serve(FakeAws, program, "url")
        return FargateEnvironment("starlake", "starlake", ("subnet-1",), env=_ENV, endpoint_url=url)

    def faults(self, environment: Any) -> Any:
        return {
            "throttled": self.fault("RunTask", "ThrottlingException", times=2),
            "lost_answer": self.fault("RunTask", "ServerException", status=500, after=True),
            "outage": self.fault("DescribeTasks", "ServerException", status=503, times=3),
            "endless_outage": self.fault("DescribeTasks", "ServerException", status=503, times=10_000),
        }


class TestCloudRun(Fast):
    __test__ = True

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        (endpoint,) = self.serve(FakeCloudRun, program, "endpoint")
        return CloudRunEnvironment("p", "starlake", env=_ENV, endpoint=endpoint, logging_endpoint=endpoint, local=True)

    def faults(self, environment: Any) -> Any:
        return {
            "throttled": self.fault("RunJob", CODE.RESOURCE_EXHAUSTED, times=2, text="Quota exceeded"),
            "lost_answer": self.fault("RunJob", CODE.UNAVAILABLE, after=True),
            "outage": self.fault("GetExecution", CODE.UNAVAILABLE, times=3),
            "endless_outage": self.fault("GetExecution", CODE.UNAVAILABLE, times=10_000),
        }


class TestDataprocServerless(Fast):
    __test__ = True
    reports_exit_codes = False

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        endpoint, storage = self.serve(FakeDataproc, program, "endpoint", "gcs.url")
        service = ClusterService("p", "europe-west1", endpoint=endpoint, local=True)
        output = DriverOutput("p", endpoint=storage)
        return DataprocBatches(service, SparkProgram(("gs://b/s.jar",), env=_ENV), output)

    def faults(self, environment: Any) -> Any:
        return {
            "throttled": self.fault("CreateBatch", CODE.RESOURCE_EXHAUSTED, times=2),
            "lost_answer": self.fault("CreateBatch", CODE.UNAVAILABLE, after=True),
            "outage": self.fault("GetBatch", CODE.UNAVAILABLE, times=3),
            "endless_outage": self.fault("GetBatch", CODE.UNAVAILABLE, times=10_000),
        }
