"""Starlake commands as Kubernetes Jobs, through the official client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.kubernetes_client import (
    TIMEOUT,
    answer_of,
    api_client,
    classify_kubernetes_error,
    current_namespace,
    kubernetes_status,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import (
    CONTAINER,
    KEY_LABEL,
    JobTemplate,
    job_name,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_log import (
    LogPosition,
    LogUnavailableError,
    read_new_lines,
    since_time,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_settings import overrides_of
from starlake_dagster_assets.execution.backends.remote.kubernetes_state import (
    container_of,
    final_status,
    find_start_problem,
    has_started,
    oldest_first,
    part_of,
    running_sidecars,
    unreachable_node,
)
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Status, Submission

__all__ = ["KubernetesEnvironment"]

_LOG = "/api/v1/namespaces/{namespace}/pods/{name}/log"
_SIDECARS = (
    "the program has ended, and the container {} still runs: once the results are reported, the Job is deleted, which "
    "ends it. Next: make it a native sidecar, an entry of `initContainers` with `restartPolicy: Always`, so that the "
    "Job is kept"
)
_NOT_YET = ("is waiting to start", "PodInitializing", "ContainerCreating")


@dataclass
class _ExecutionProgress:
    """Progress of one execution while it is watched.

    Attributes:
        deleted: Whether this process has deleted its Job.
        given_up: The reason why its Job was deleted before the program started; "" if it was not.
        waiting_since: Time since which the program cannot start.
        notes: Warnings that are not reported yet.
        noted: Causes of the warnings so far, each reported once.
        gap: Whether lines of the log may be missing.
        ending: Final status of the command, once its Job was deleted because a sidecar kept it running.
    """

    deleted: bool = False
    given_up: str = ""
    waiting_since: float | None = None
    notes: list[Line] = field(default_factory=list[Line])
    noted: set[str] = field(default_factory=set[str])
    gap: bool = False
    ending: Status | None = None


@dataclass(frozen=True)
class KubernetesEnvironment:
    """Environment that runs commands as Jobs of one namespace.

    Attributes:
        template: Specification that all Jobs share.
        namespace: Namespace of the Jobs; that of this Pod, or of the context of the kubeconfig, by default.
        kubeconfig_file: Path of a kubeconfig; `KUBECONFIG` or `~/.kube/config` by default.
        context: Its context; the current one by default.
        load_incluster_config: Whether the credentials of the Pod are used; by default if there is one.
        start_timeout: Seconds for which a Pod may fail to start.
        now: Returns the seconds of a monotonic clock.
    """

    template: JobTemplate
    namespace: str | None = None
    kubeconfig_file: str | None = None
    context: str | None = None
    load_incluster_config: bool | None = None
    start_timeout: float = 600
    now: Callable[[], float] = time.monotonic
    _watched: dict[str, _ExecutionProgress] = field(
        default_factory=dict[str, _ExecutionProgress], init=False, repr=False, compare=False
    )

    name = "kubernetes"
    is_idempotent = True
    uses_spark = True
    overrides_of = staticmethod(overrides_of)

    # --------------------------------------------------------------------------------------------- executions

    def submit(self, submission: Submission) -> str:
        """Creates the Job, or adopts the Job of the same name and key.

        Raises:
            RunnerError: When another Job has the name, or Kubernetes does not know a field.
        """
        body = self.template.job(submission, self.namespace_name)
        jobs = self._jobs
        submission.confirm()
        try:
            answer_of(jobs.create_namespaced_job, self.namespace_name, body)
        except Exception as error:
            status = kubernetes_status(error)
            if (status.get("code"), status.get("reason")) != (409, "AlreadyExists"):
                raise
            if self.find(submission) is None:
                raise RunnerError(
                    f"namespace {self.namespace_name} has a Job {job_name(submission)} that is none of this command. "
                    "Delete it."
                ) from error
        return f"{self.namespace_name}/{job_name(submission)}"

    def find(self, submission: Submission) -> str | None:
        """Returns the execution whose Job has the name and the key of a submission."""
        job = self._job(self.namespace_name, job_name(submission))
        if job is None or part_of(job, "metadata", "annotations").get(KEY_LABEL) != submission.key:
            return None
        return f"{self.namespace_name}/{job_name(submission)}"

    def status(self, execution: str) -> Status:
        """Returns the state of Job and Pods; only exit code 0 of the container, or a complete Job, is a success."""
        namespace, _, name = execution.partition("/")
        watched = self._watch(execution)
        if watched.ending is not None:
            return watched.ending
        job, pods = self._job(namespace, name), self._pods(namespace, name)
        if job is None and not pods:
            if watched.given_up:
                return Status("failed", None, watched.given_up, started=False)
            if watched.deleted:
                return Status("cancelled", None, "its Job was deleted")
            return Status("lost", None, "Kubernetes does not know the Job any more: it was deleted")
        if watched.deleted:
            return Status("running" if has_started(pods) else "pending")
        if ending := final_status(job, pods):
            if sidecars := running_sidecars(pods):
                self._note(watched, _SIDECARS.format(" and ".join(f"`{one}`" for one in sidecars)))
            return ending
        if has_started(pods):
            watched.waiting_since = None
            if lost := unreachable_node(pods[-1]):
                self._note(watched, lost)
            return Status("running")
        return Status("pending", None, "" if job is None else self._start_problem(execution, job, pods))

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines of the container since the cursor; lines of a second Pod belong to another attempt."""
        namespace, _, name = execution.partition("/")
        watched = self._watch(execution)
        known: dict[str, Any] = json.loads(cursor) if cursor else {}
        lines: list[Line] = []
        for pod in self._pods(namespace, name):
            of = pod["metadata"]["name"]
            before = LogPosition.of(known.get(of))
            text = self._read_log(namespace, of, since_time(before))
            if text is None:
                continue
            ended = bool(part_of(container_of(pod), "state", "terminated"))
            new, after, gap = read_new_lines(text, before, ended=ended)
            known[of] = after.to_dict()
            attempt = list(known).index(of)
            lines += [Line(one, "stdout", attempt=attempt) for one in new]
            if gap:
                watched.gap = True
                self._note(watched, f"the log of Pod {of} was rotated on its node: lines may be missing")
        notes = list(watched.notes)
        watched.notes.clear()
        return [*notes, *lines], json.dumps(known) if known else cursor

    def log_gap(self, execution: str) -> str:
        """Returns why lines of the log may be missing; "" if none are missing."""
        return "it was rotated on its node while it was read" if self._watch(execution).gap else ""

    def cancel(self, execution: str) -> None:
        """Deletes the Job and its Pods, unless the Job has ended.

        The deletion applies only to the state that was read. If the Job has changed since, the call is
        retried.
        """
        namespace, _, name = execution.partition("/")
        job = self._job(namespace, name)
        if job is None or (final_status(job, self._pods(namespace, name)) and not self._watch(execution).deleted):
            return
        self._delete(job, {key: job["metadata"][key] for key in ("uid", "resourceVersion")})
        self._watch(execution).deleted = True

    def release(self, execution: str) -> None:
        """Deletes the Job of a command whose results are reported, if a sidecar keeps it running."""
        namespace, _, name = execution.partition("/")
        job, pods = self._job(namespace, name), self._pods(namespace, name)
        if job is not None and running_sidecars(pods):
            self._watch(execution).ending = final_status(job, pods)
            self._delete(job, {"uid": job["metadata"]["uid"]})

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of a call."""
        if isinstance(error, LogUnavailableError):
            return ErrorClass("retry", f"the node does not give the log: {error}")
        return classify_kubernetes_error(error)

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        for name in ("_client", "_jobs", "_core"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Does nothing: no connection is kept between commands."""

    # ------------------------------------------------------------------------------------------------ details

    def _watch(self, execution: str) -> _ExecutionProgress:
        return self._watched.setdefault(execution, _ExecutionProgress())

    def _start_problem(self, execution: str, job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
        """Returns why a command does not start; deletes its Job if the cause is permanent or lasts too long."""
        watched = self._watch(execution)
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        events = self._events(namespace, [name, *(pod["metadata"]["name"] for pod in pods)])
        obstacle = find_start_problem(job, pods, events)
        if obstacle is None or not obstacle.counts:
            watched.waiting_since = None
            return "" if obstacle is None else obstacle.text
        if watched.waiting_since is None:
            watched.waiting_since = self.now()
        seconds = self.now() - watched.waiting_since
        if not obstacle.passes or seconds >= self.start_timeout:
            self.cancel(execution)
            waited = f" for {seconds:.0f} seconds (start_timeout)" if obstacle.passes else ""
            watched.given_up = f"the command did not start{waited}, and its Job was deleted: {obstacle.text}"
        return obstacle.text

    def _delete(self, job: Mapping[str, Any], preconditions: Mapping[str, str]) -> None:
        """Deletes a Job and its Pods; a Job that no longer exists is not an error."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": preconditions,
        }
        metadata = job["metadata"]
        try:
            answer_of(self._jobs.delete_namespaced_job, metadata["name"], metadata["namespace"], body=body)
        except Exception as error:
            if kubernetes_status(error).get("code") != 404:
                raise

    def _note(self, watched: _ExecutionProgress, text: str) -> None:
        cause = "".join(char for char in text if not char.isdigit())
        if cause not in watched.noted:
            watched.noted.add(cause)
            watched.notes.append(Line(f"WARN {self.name}: {text}"))

    def _job(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            return answer_of(self._jobs.read_namespaced_job, name, namespace)
        except Exception as error:
            if kubernetes_status(error).get("code") == 404:
                return None
            raise

    def _pods(self, namespace: str, name: str) -> Sequence[Mapping[str, Any]]:
        found = answer_of(self._core.list_namespaced_pod, namespace, label_selector=f"job-name={name}")
        return oldest_first(found["items"])

    def _events(self, namespace: str, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Returns the events of some objects; none if this process may not list events."""
        found: list[Mapping[str, Any]] = []
        for name in names:
            try:
                answer = answer_of(
                    self._core.list_namespaced_event, namespace, field_selector=f"involvedObject.name={name}"
                )
            except Exception as error:
                if kubernetes_status(error).get("code") != 403:
                    raise
                return ()
            found.extend(answer["items"])
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def _read_log(self, namespace: str, pod: str, since: str | None) -> str | None:
        """Returns the log of a Pod with timestamps; None if it does not exist yet or no longer exists."""
        query = [("container", CONTAINER), ("timestamps", "true"), *([("sinceTime", since)] if since else [])]
        try:
            response = self._client.call_api(  # the client's method for logs has no `sinceTime`
                _LOG,
                "GET",
                {"namespace": namespace, "name": pod},
                query,
                {"Accept": "*/*"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=TIMEOUT,
            )
        except Exception as error:
            status = kubernetes_status(error)
            gone = status.get("code") == 404
            if gone or (status.get("code") == 400 and any(word in status["message"] for word in _NOT_YET)):
                return None
            raise
        return response.data.decode("utf-8", "replace")

    # ------------------------------------------------------------------------------------------------ clients

    @cached_property
    def namespace_name(self) -> str:
        """The namespace of the Jobs."""
        return self.namespace or current_namespace(self.kubeconfig_file, self.context, self.load_incluster_config)

    def clients(self) -> tuple[Any, Any, Any]:
        """Returns the clients of Jobs, of Pods and of authorization."""
        import kubernetes.client

        library: Any = kubernetes.client
        return self._jobs, self._core, library.AuthorizationV1Api(self._client)

    @cached_property
    def _client(self) -> Any:
        return api_client(self.kubeconfig_file, self.context, self.load_incluster_config)

    @cached_property
    def _jobs(self) -> Any:
        import kubernetes.client

        library: Any = kubernetes.client
        return library.BatchV1Api(self._client)

    @cached_property
    def _core(self) -> Any:
        import kubernetes.client

        library: Any = kubernetes.client
        return library.CoreV1Api(self._client)
