"""Starlake commands as executions of a Cloud Run job, through google-cloud-run (Jobs v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.execution.backends.remote.cloud_logging import CloudLog
from starlake_dagster_assets.execution.backends.remote.gcp import CALL, classify_gcp_error, gcp_client
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Status, Submission
from starlake_dagster_assets.execution.backends.remote.read_quota import ReadQuotaError, get_read_quota

__all__ = ["CloudRunEnvironment", "job_warnings"]

_KEY = "SL_DAGSTER_KEY"
"""Environment variable that carries the key of a submission: RunJob has no request id."""
_PAGE = 100
_SHORT = 600
"""Seconds of the default task timeout of Cloud Run."""
_NO_ENV: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class CloudRunEnvironment:
    """Environment that runs commands as executions of a Cloud Run job.

    Attributes:
        project: Google Cloud project.
        job: Name of the Cloud Run job; its container's entry point is the program.
        region: Region of the job.
        container: Container of a job with several containers; the first by default.
        impersonate: Service account to act as.
        env: Environment variables of every command; anyone who can view an execution can read them.
        secrets: Secrets of Secret Manager by variable: `name` or `name:version`, of another project with its path.
        endpoint: Endpoint of Cloud Run; Google's own by default.
        logging_endpoint: Endpoint of Cloud Logging; Google's own by default.
        local: Whether the endpoints are the user's own servers, without TLS and credentials.
    """

    project: str
    job: str
    region: str = "europe-west1"
    container: str | None = None
    impersonate: str | None = None
    env: Mapping[str, str] = field(default_factory=lambda: _NO_ENV)
    secrets: Mapping[str, str] = field(default_factory=lambda: _NO_ENV)
    endpoint: str | None = None
    logging_endpoint: str | None = None
    local: bool = False
    _checked: list[bool] = field(default_factory=list[bool], init=False, repr=False, compare=False)
    _warnings: list[Line] = field(default_factory=list[Line], init=False, repr=False, compare=False)

    name = "cloud_run"

    # --------------------------------------------------------------------------------------------- executions

    def submit(self, submission: Submission) -> str:
        """Calls RunJob, and returns the name of the execution."""
        self._check(submission.timeout)
        env = {**self.env, **submission.command.env, _KEY: submission.key}
        override: dict[str, Any] = {
            "args": list(submission.command.argv),
            "env": [
                *({"name": name, "value": value} for name, value in sorted(env.items())),
                *({"name": name, "value_source": _secret(value)} for name, value in sorted(self.secrets.items())),
            ],
        }
        if self.container is not None:
            override["name"] = self.container
        overrides: dict[str, Any] = {"container_overrides": [override]}
        if submission.timeout is not None:
            overrides["timeout"] = {"seconds": max(1, int(submission.timeout))}
        jobs = self._jobs
        submission.confirm()
        operation = jobs.run_job(request={"name": self._job_name, "overrides": overrides}, **CALL)
        return str(operation.metadata.name)

    def find(self, submission: Submission) -> str | None:
        """Returns the execution with the key of a submission, among all that Cloud Run lists."""
        listed = self._executions.list_executions(request={"parent": self._job_name, "page_size": _PAGE}, **CALL)
        for execution in listed:
            for container in execution.template.containers:
                if any(pair.name == _KEY and pair.value == submission.key for pair in container.env):
                    return str(execution.name)
        return None

    def status(self, execution: str) -> Status:
        """Calls GetExecution, and returns the state of the execution, with the exit code of its task."""
        from google.api_core.exceptions import NotFound

        url = self.url(execution)
        try:
            found = self._executions.get_execution(name=execution, **CALL)
        except NotFound:
            return Status("lost", None, "Cloud Run does not know the execution any more", url)
        if not found.completion_time:
            return Status("running" if found.running_count else "pending", None, "", url)
        completed = [one for one in found.conditions if one.type_ == "Completed"]
        reason = completed[0].message if completed else ""
        if found.cancelled_count and not found.failed_count:
            return Status("cancelled", None, reason, url)
        if found.succeeded_count and not found.failed_count:
            return Status("succeeded", 0, "", url)
        code, why = self._exit(execution)
        return Status("failed", code, why or reason or "the execution failed", url)

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines that Cloud Logging has after a cursor, and the next cursor."""
        lines, following = self._log(execution).after(cursor)
        found = [*self._warnings, *lines]
        self._warnings.clear()
        return found, following

    def cancel(self, execution: str) -> None:
        """Calls CancelExecution; an execution that has ended is not an error."""
        from google.api_core.exceptions import FailedPrecondition, NotFound

        try:
            self._executions.cancel_execution(name=execution, **CALL)
        except (FailedPrecondition, NotFound):
            return

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of a call: whether to repeat it."""
        if isinstance(error, ReadQuotaError):
            return ErrorClass("retry", str(error))
        return classify_gcp_error(error)

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        for name in ("_jobs", "_executions", "_tasks", "_logging"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Does nothing: no resource is kept between commands."""

    def url(self, execution: str) -> str:
        """Returns the execution's page in the Google Cloud console."""
        short = execution.rpartition("/")[2]
        place = f"https://console.cloud.google.com/run/jobs/executions/details/{self.region}/{short}/logs"
        return f"{place}?project={self.project}"

    # ------------------------------------------------------------------------------------------------ details

    def _exit(self, execution: str) -> tuple[int | None, str]:
        for task in self._tasks.list_tasks(parent=execution, **CALL):
            result = task.last_attempt_result
            if result.exit_code or result.term_signal or result.status.message:
                code = int(result.exit_code) or (128 + int(result.term_signal) if result.term_signal else None)
                memory = "killed, often because the memory limit was reached" if code == 137 else ""
                return code, "; ".join(part for part in (memory, result.status.message) if part)
        return None, ""

    def _check(self, timeout: float | None) -> None:
        """Reads the settings of the job once, and warns of those that make the result of a load ambiguous."""
        if self._checked:
            return
        try:
            template = self._jobs.get_job(name=self._job_name, **CALL).template.template
        except Exception as error:
            if self.classify_error(error).kind in ("retry", "ambiguous"):
                raise
        else:
            found = job_warnings(self.job, template, timeout)
            self._warnings.extend(Line(f"WARN cloud_run: {text}") for text in found)
        self._checked.append(True)  # an account that cannot read the job may still run it

    def _log(self, execution: str) -> CloudLog:
        short = execution.rpartition("/")[2]
        query = f'resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="{short}"'
        return CloudLog(self._logging, self.project, query, None if self.local else get_read_quota(self.project))

    @property
    def _job_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/jobs/{self.job}"

    # ------------------------------------------------------------------------------------------------ clients

    def clients(self) -> tuple[Any, Any, Any, Any]:
        """Returns the clients of jobs, executions, tasks and of Cloud Logging."""
        return self._jobs, self._executions, self._tasks, self._logging

    @cached_property
    def _jobs(self) -> Any:
        return self._client("JobsClient")

    @cached_property
    def _executions(self) -> Any:
        return self._client("ExecutionsClient")

    @cached_property
    def _tasks(self) -> Any:
        return self._client("TasksClient")

    @cached_property
    def _logging(self) -> Any:
        from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

        endpoint = self.logging_endpoint
        return gcp_client(LoggingServiceV2Client, endpoint=endpoint, local=self.local, impersonate=self.impersonate)

    def _client(self, name: str) -> Any:
        from google.cloud import run_v2

        kind: Any = getattr(run_v2, name)
        return gcp_client(kind, endpoint=self.endpoint, local=self.local, impersonate=self.impersonate)


def job_warnings(job: str, template: Any, timeout: float | None) -> list[str]:
    """Returns warnings about settings of a job that make the result of a load ambiguous, with a command to fix each.

    Args:
        job: Name of the job.
        template: Its `TaskTemplate`.
        timeout: Seconds that executions are given instead of the job's.
    """
    found: list[str] = []
    update = f"gcloud run jobs update {job}"
    if retries := int(template.max_retries):
        found.append(
            f"job {job} has maxRetries {retries}: Cloud Run runs a failing command again by itself; set it to 0 "
            f"({update} --max-retries 0)"
        )
    seconds = int(template.timeout.total_seconds()) if template.timeout else 0
    if timeout is None and 0 < seconds <= _SHORT:
        found.append(
            f"job {job} has a task timeout of {seconds} seconds: Cloud Run kills a longer load in the middle of a "
            f"table; set `timeout` of the resource, or the job's ({update} --task-timeout 3600)"
        )
    return found


def _secret(reference: str) -> dict[str, Any]:
    """Returns the source of a secret variable; the newest version of the secret by default."""
    name, _, version = reference.partition(":")
    return {"secret_key_ref": {"secret": name, "version": version or "latest"}}
