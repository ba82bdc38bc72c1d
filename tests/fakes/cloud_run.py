"""A local Cloud Run (Jobs v2) and Cloud Logging for Google's real clients: runs each execution as a process.

As the documentation says: RunJob has no request id, overrides replace args and add environment variables, an execution
that is over cannot be cancelled (FAILED_PRECONDITION), a task that fails is run again `max_retries` times.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import grpc
from google.cloud import run_v2
from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse, LogEntry
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2

from tests.fakes.containers import Container
from tests.fakes.grpc_core import GrpcServer, Refused

__all__ = ["FakeCloudRun"]

_RUN = "/google.cloud.run.v2"


class FakeCloudRun(GrpcServer):
    """The server of both services.

    Args:
        program: The entry point of the job's container.
        environ: What the job gives its containers.
        max_retries: Of the job's tasks.
    """

    def __init__(
        self, program: Sequence[str], environ: Mapping[str, str] | None = None, *, max_retries: int = 0
    ) -> None:
        super().__init__()
        self.program = list(program)
        self.environ = dict(environ or {})
        self.max_retries = max_retries
        self.executions: dict[str, run_v2.Execution] = {}
        self.containers: dict[str, list[Container]] = {}
        self.results: dict[str, run_v2.TaskAttemptResult] = {}
        self.never_start: str | None = None
        self.lacking: set[str] = set()
        """Permissions on the job that the caller lacks."""
        self.command: list[str] = []
        """The entry point that the job sets."""
        self.invisible = 0
        """Calls that name an execution after RunJob before it can be seen."""
        self.log_lag = 0.0
        """Seconds after the end of an execution until its late lines can be read."""
        self.log_late: Callable[[int], bool] = lambda index: False
        """Which lines, by their number, are late; others can be read at once, also later ones."""
        self.reads = 0
        operation = operations_pb2.Operation
        self.add(f"{_RUN}.Jobs/GetJob", run_v2.GetJobRequest, run_v2.Job, self._get_job)
        allowed = (iam_policy_pb2.TestIamPermissionsRequest, iam_policy_pb2.TestIamPermissionsResponse)
        self.add(f"{_RUN}.Jobs/TestIamPermissions", *allowed, self._allowed)
        self.add(f"{_RUN}.Jobs/RunJob", run_v2.RunJobRequest, operation, self._run_job)
        self.add(f"{_RUN}.Executions/GetExecution", run_v2.GetExecutionRequest, run_v2.Execution, self._get)
        listing = (run_v2.ListExecutionsRequest, run_v2.ListExecutionsResponse)
        self.add(f"{_RUN}.Executions/ListExecutions", *listing, self._list)
        self.add(f"{_RUN}.Executions/CancelExecution", run_v2.CancelExecutionRequest, operation, self._cancel)
        self.add(f"{_RUN}.Tasks/ListTasks", run_v2.ListTasksRequest, run_v2.ListTasksResponse, self._tasks)
        entries = (ListLogEntriesRequest, ListLogEntriesResponse, self._entries)
        self.add("/google.logging.v2.LoggingServiceV2/ListLogEntries", *entries)

    def close(self) -> None:
        """Ends the server and what still runs."""
        super().close()
        for containers in self.containers.values():
            for container in containers:
                container.stop()

    # ------------------------------------------------------------------------------------------------ methods

    def _get_job(self, request: run_v2.GetJobRequest) -> run_v2.Job:
        if not request.name.endswith("/jobs/starlake"):
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Resource '{request.name}' was not found")
        job = run_v2.Job(name=request.name)
        job.template.template.max_retries = self.max_retries
        environ = [run_v2.EnvVar(name=name, value=value) for name, value in self.environ.items()]
        job.template.template.containers = [run_v2.Container(name="main", command=self.command, env=environ)]
        return job

    def _allowed(self, request: Any) -> Any:
        return iam_policy_pb2.TestIamPermissionsResponse(
            permissions=[one for one in request.permissions if one not in self.lacking]
        )

    def _run_job(self, request: run_v2.RunJobRequest) -> operations_pb2.Operation:
        self._get_job(run_v2.GetJobRequest(name=request.name))
        name = f"{request.name}/executions/starlake-{uuid.uuid4().hex[:5]}"
        override = request.overrides.container_overrides[0]
        for pair in override.env:
            if pair.value and pair.value_source.secret_key_ref.secret:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "value and value_source exclude each other")
        container = run_v2.Container(args=list(override.args), env=list(override.env))
        execution = run_v2.Execution(
            name=name, job=request.name, task_count=1, create_time=datetime.now(timezone.utc), running_count=1
        )
        execution.template = run_v2.TaskTemplate(containers=[container], max_retries=self.max_retries)
        self.executions[name] = execution
        self.containers[name] = []
        if self.never_start is None:
            self._start(name)
        else:
            self._over(name, failed=1, message=self.never_start)
        packed = any_pb2.Any()
        packed.Pack(run_v2.Execution.pb(execution))
        return operations_pb2.Operation(name=f"operations/{uuid.uuid4()}", metadata=packed)

    def _start(self, name: str) -> None:
        container = self.executions[name].template.containers[0]
        environ = {**self.environ, **{pair.name: self._value(pair) for pair in container.env}}
        argv = [*self.program, *container.args]
        self.containers[name].append(Container(argv, environ, lambda code: self._ended(name, code)))

    @staticmethod
    def _value(pair: run_v2.EnvVar) -> str:
        """The value of a variable; of a secret that Secret Manager would have."""
        secret = pair.value_source.secret_key_ref
        return f"value of {secret.secret}:{secret.version}" if secret.secret else pair.value

    def _ended(self, name: str, code: int) -> None:
        with self.lock:
            execution = self.executions[name]
            if execution.completion_time:
                return
            result = run_v2.TaskAttemptResult(exit_code=code)
            result.status.message = "" if code == 0 else f"The container exited with an error: exit({code})."
            self.results[name] = result
            if code == 0:
                self._over(name, succeeded=1)
            elif len(self.containers[name]) <= self.max_retries:
                self._start(name)
            else:
                text = f"Task {name.rpartition('/')[2]}-task0 failed with message: {result.status.message}"
                self._over(name, failed=1, message=text)

    def _over(self, name: str, *, succeeded: int = 0, failed: int = 0, cancelled: int = 0, message: str = "") -> None:
        execution = self.executions[name]
        execution.running_count = 0
        execution.succeeded_count, execution.failed_count = succeeded, failed
        execution.cancelled_count = cancelled
        execution.completion_time = datetime.now(timezone.utc)
        state = run_v2.Condition.State
        condition = run_v2.Condition(type_="Completed", message=message)
        condition.state = state.CONDITION_SUCCEEDED if succeeded else state.CONDITION_FAILED
        execution.conditions = [condition]

    def _is_late(self, name: str, index: int) -> bool:
        ended = self.executions[name].completion_time
        late = ended is None or (datetime.now(timezone.utc) - ended).total_seconds() < self.log_lag
        return late and self.log_late(index)

    def _known(self, name: str) -> run_v2.Execution:
        self.invisible -= 1
        if self.invisible >= 0:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Resource '{name}' was not found")
        if name not in self.executions:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Resource '{name}' was not found")
        return self.executions[name]

    def _get(self, request: run_v2.GetExecutionRequest) -> run_v2.Execution:
        return self._known(request.name)

    def _list(self, request: run_v2.ListExecutionsRequest) -> run_v2.ListExecutionsResponse:
        found = [one for one in reversed(self.executions.values()) if one.job == request.parent]
        start = int(request.page_token or 0)
        end = start + request.page_size
        following = str(end) if end < len(found) else ""
        return run_v2.ListExecutionsResponse(executions=found[start:end], next_page_token=following)

    def _cancel(self, request: run_v2.CancelExecutionRequest) -> operations_pb2.Operation:
        execution = self._known(request.name)
        if execution.completion_time:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the execution has already completed")
        self._over(request.name, cancelled=1, message="The execution was cancelled.")
        for container in self.containers[request.name]:
            container.stop()
        return operations_pb2.Operation(name="operations/cancel")

    def _tasks(self, request: run_v2.ListTasksRequest) -> run_v2.ListTasksResponse:
        self._known(request.parent)
        if request.parent not in self.results:
            return run_v2.ListTasksResponse()
        task = run_v2.Task(name=f"{request.parent}/tasks/0", last_attempt_result=self.results[request.parent])
        return run_v2.ListTasksResponse(tasks=[task])

    def _entries(self, request: ListLogEntriesRequest) -> ListLogEntriesResponse:
        wanted = re.search(r'execution_name"="([^"]+)"', request.filter)
        since = re.search(r'timestamp>="([^"]+)"', request.filter)
        assert wanted is not None, request.filter
        assert 'resource.type="cloud_run_job"' in request.filter
        after = datetime.fromisoformat(since[1]) if since else datetime.min.replace(tzinfo=timezone.utc)
        entries = []
        for name, containers in self.containers.items():
            if name.endswith(f"/{wanted[1]}"):
                for attempt, container in enumerate(containers):
                    for index, (moment, text) in enumerate(list(container.lines)):
                        if moment >= after and not self._is_late(name, index):
                            entries.append((moment, f"{attempt}-{index}", text, attempt))
        self.reads += 1
        entries.sort(key=lambda entry: entry[0])
        size = 7 if len(entries) < 500 else 200  # small pages, so that tokens matter
        start = int(request.page_token or 0)
        page = [_entry(name, moment, text, attempt) for moment, name, text, attempt in entries[start : start + size]]
        more = str(start + size) if start + size < len(entries) else ""
        return ListLogEntriesResponse(entries=page, next_page_token=more)


def _entry(name: str, moment: datetime, text: str, attempt: int) -> LogEntry:
    log = "projects/p/logs/run.googleapis.com%2Fstderr"
    labels = {"run.googleapis.com/task_attempt": str(attempt)}
    entry: Any = LogEntry(insert_id=name, log_name=log, text_payload=text, labels=labels)
    entry.timestamp = moment
    return entry
