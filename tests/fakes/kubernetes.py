"""A local API server of Kubernetes for the real client: runs the container of each Job's Pod as a process.

What it does is what the API's documentation says of Jobs (AlreadyExists, validation with causes, a Pod made later by
the controller, conditions, foreground and background deletion, preconditions), of Pods (phases, container states,
conditions), of the log (`sinceTime` of whole seconds, 400 while a container waits, the current file alone after a
rotation) and of events. Answers that are no success are `Status` objects. An operation it does not know is answered
with 501, so that a test cannot pass by accident.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.containers import Container
from tests.fakes.servers import LocalServer

__all__ = ["FakeKubernetes", "Fault", "Pod", "write_kubeconfig"]

Answer = tuple[int, dict[str, Any] | bytes]
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_ROUTES: Sequence[tuple[str, str, str]] = (
    ("POST", r"/apis/batch/v1/namespaces/([^/]+)/jobs", "CreateJob"),
    ("GET", r"/apis/batch/v1/namespaces/([^/]+)/jobs/([^/]+)", "GetJob"),
    ("DELETE", r"/apis/batch/v1/namespaces/([^/]+)/jobs/([^/]+)", "DeleteJob"),
    ("GET", r"/api/v1/namespaces/([^/]+)/pods", "ListPods"),
    ("GET", r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log", "GetLog"),
    ("GET", r"/api/v1/namespaces/([^/]+)/events", "ListEvents"),
    ("POST", r"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "ReviewAccess"),
)


@dataclass
class Fault:
    """What happens to the next calls of an operation.

    Attributes:
        code: HTTP status; 0 cuts the connection, before the answer or in its middle.
        message: Of the `Status`.
        reason: Of the `Status`; that of the code by default.
        times: How many calls.
        after: The call takes effect first; only its answer is lost.
        retry_after: Header `Retry-After`; 1 for a throttled call by default.
        plain: The answer is no `Status`, but the message alone: a text of a proxy, or of a node.
    """

    code: int
    message: str = "injected"
    reason: str = ""
    times: int = 1
    after: bool = False
    plain: bool = False
    retry_after: str = ""


@dataclass
class Pod:
    """One Pod of a Job, and its process."""

    name: str
    namespace: str
    job: str
    spec: dict[str, Any]
    labels: dict[str, str]
    created: str
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    waiting: tuple[str, str] = ("ContainerCreating", "")
    terminated: dict[str, Any] | None = None
    conditions: list[dict[str, str]] = field(default_factory=list)
    process: Container | None = None
    deleted: str = ""
    looks: int = 0
    rotated: int = 0
    """Lines at the beginning of the log that the node does not keep."""

    @property
    def over(self) -> bool:
        """Whether its container has ended, or never will run."""
        return self.phase in ("Succeeded", "Failed")


class Refused(Exception):
    """An answer that is not a success."""

    def __init__(self, code: int, message: str, reason: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
        self.reason = reason or _REASONS[code]


class FakeKubernetes(LocalServer):
    """The server.

    Args:
        program: What the container runs before its arguments: an argument list.
        environ: The environment that the image gives.
        starts: Looks at a Job until its Pod runs.
        token: The bearer token that a call must have; none by default.
    """

    namespaces = ("default", "data")

    def __init__(
        self, program: Sequence[str], environ: Mapping[str, str] | None = None, *, starts: int = 2, token: str = ""
    ) -> None:
        self.program, self.environ, self.starts, self.token = list(program), dict(environ or {}), starts, token
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.events: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.config_maps: dict[str, dict[str, str]] = {}
        self.obstacle = ""
        """Why Pods do not start: `image`, `image_name`, `unschedulable`, `quota`, `secret`, `volume`, `suspended`."""
        self.sidecars: tuple[str, ...] = ()
        """Other containers that a webhook adds to each Pod; they run until the Pod is deleted."""
        self.deletes = 1
        """Looks at a Job that is being deleted until it is gone, once its Pods have ended."""
        self.half_lines = False
        """Whether the last line of a running program comes without its end in every second read."""
        self.forbidden: set[str] = set()
        """Verb and resource (`create jobs`) that the caller may not use."""
        self.faults: dict[str, list[Fault]] = {}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.lock = threading.RLock()
        self._version = 100
        self._reads = 0
        self.serve("GET", "POST", "DELETE", "PUT", "PATCH")

    def close(self) -> None:
        """Ends the server and what still runs."""
        super().close()
        for pod in self.pods.values():
            if pod.process is not None:
                pod.process.stop()

    def kubeconfig(self, directory: Path, *, namespace: str = "data", token: str = "") -> str:
        """Writes a kubeconfig that names this server, and returns its path."""
        return write_kubeconfig(directory, self.url, namespace=namespace, token=token)

    def fail(self, operation: str, code: int, message: str = "injected", **how: Any) -> None:
        """Lets the next calls of an operation fail."""
        self.faults.setdefault(operation, []).append(Fault(code, message, **how))

    def count(self, operation: str) -> int:
        """How many calls of an operation came."""
        return sum(1 for name, _ in self.calls if name == operation)

    @property
    def only_job(self) -> dict[str, Any]:
        """The Job, where there is one."""
        (job,) = self.jobs.values()
        return job

    @property
    def only_pod(self) -> Pod:
        """The Pod, where there is one."""
        (pod,) = self.pods.values()
        return pod

    # ------------------------------------------------------------------------------------------- what happens

    def disrupt(self, pod: Pod, how: str) -> None:
        """Ends a Pod from outside: `evicted`, `preempted`, `drained`, `node_lost`, `oom`, `deadline`."""
        with self.lock:
            pod.reason = {"evicted": "Evicted", "node_lost": "NodeLost", "deadline": "DeadlineExceeded"}.get(how, "")
            reason = {"preempted": "PreemptionByScheduler", "drained": "EvictionByEvictionAPI"}.get(how)
            if how == "evicted":
                pod.message = "The node was low on resource: memory."
            if reason:
                pod.conditions.append(
                    {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "told by a test"}
                )
            ended = {"oom": "OOMKilled", "node_lost": "ContainerStatusUnknown"}.get(how, "Error")
            pod.terminated = {"reason": ended, "exitCode": 137 if how in ("oom", "node_lost") else 143}
            if how == "deadline":
                self._condition(self.jobs[pod.job], "FailureTarget", "DeadlineExceeded")
        if pod.process is not None:
            pod.process.stop()

    def node_unreachable(self, pod: Pod) -> None:
        """Its node does not answer any more; the process goes on."""
        pod.conditions.append(
            {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting"}
        )
        self.fail("GetLog", 500, 'Get "https://10.0.0.7:10250/containerLogs/": dial tcp: i/o timeout', times=10_000)

    def delete(self, key: str, propagation: str = "Background") -> None:
        """Deletes a Job as a person would."""
        with self.lock:
            self._delete(key, propagation)

    # ------------------------------------------------------------------------------------------------- http

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one call."""
        url = urlsplit(handler.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)) or b"{}")
        operation, names = _route(handler.command, url.path)
        with self.lock:
            self.calls.append((operation, {"names": names, "query": query, "body": body}))
            if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
                _send(handler, 401, _status(Refused(401, "Unauthorized")))
                return
            fault = self._fault(operation)
            code, told = (0, b"") if fault and not fault.after else self._do(operation, names, query, body)
        if fault is not None and fault.code == 0:
            content = told if isinstance(told, bytes) else json.dumps(told).encode()
            handler.send_response(code or 200)
            handler.send_header("Content-Length", str(len(content) + 100))
            handler.end_headers()
            handler.wfile.write(content[: len(content) // 2])
            handler.close_connection = True
            handler.connection.close()
            return
        if fault is not None:
            code = fault.code
            told = fault.message.encode() if fault.plain else _status(Refused(code, fault.message, fault.reason))
        _send(handler, code, told, fault.retry_after if fault else "")

    def _fault(self, operation: str) -> Fault | None:
        waiting = self.faults.get(operation, [])
        if not waiting:
            return None
        waiting[0].times -= 1
        return waiting.pop(0) if waiting[0].times <= 0 else waiting[0]

    def _do(self, operation: str, names: Sequence[str], query: Mapping[str, str], body: dict[str, Any]) -> Answer:
        action: Callable[..., dict[str, Any] | bytes] | None = {
            "CreateJob": self._create_job,
            "GetJob": self._get_job,
            "DeleteJob": self._delete_job,
            "ListPods": self._list_pods,
            "GetLog": self._get_log,
            "ListEvents": self._list_events,
            "ReviewAccess": self._review_access,
        }.get(operation)
        if action is None or "watch" in query:
            return 501, {"kind": "FakeBug", "message": f"the fake does not know {operation} {query}"}
        try:
            self._authorize(operation, names)
            return (201 if operation in ("CreateJob", "ReviewAccess") else 200), action(names, query, body)
        except Refused as refused:
            return refused.code, _status(refused)

    def _authorize(self, operation: str, names: Sequence[str]) -> None:
        verb, resource = {
            "CreateJob": ("create", "jobs"),
            "GetJob": ("get", "jobs"),
            "DeleteJob": ("delete", "jobs"),
            "ListPods": ("list", "pods"),
            "GetLog": ("get", "pods/log"),
            "ListEvents": ("list", "events"),
        }.get(operation, ("", ""))
        if f"{verb} {resource}" in self.forbidden:
            group = "batch" if resource == "jobs" else ""
            raise Refused(
                403,
                f'{resource} is forbidden: User "system:serviceaccount:dagster:dagster" cannot {verb} resource '
                f'"{resource}" in API group "{group}" in the namespace "{names[0]}"',
            )

    # ------------------------------------------------------------------------------------------------- jobs

    def _create_job(self, names: Sequence[str], query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        namespace = names[0]
        if namespace not in self.namespaces:
            raise Refused(404, f'namespaces "{namespace}" not found')
        if body["metadata"].get("namespace", namespace) != namespace:
            raise Refused(400, "the namespace of the provided object does not match the namespace sent on the request")
        _validate(body)
        key = f"{namespace}/{body['metadata']['name']}"
        if key in self.jobs:
            raise Refused(409, f'jobs.batch "{names[0]}" already exists', "AlreadyExists")
        job = json.loads(json.dumps(body))
        job["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "namespace": namespace}
        job["status"] = {}
        if query.get("dryRun") == "All":
            return job
        if self.obstacle == "suspended":
            job["spec"]["suspend"] = True
        self.jobs[key] = job
        self._changed(job)
        return job

    def _get_job(self, names: Sequence[str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        key = "/".join(names)
        self._advance(key)
        return self._known(key)

    def _known(self, key: str) -> dict[str, Any]:
        if key not in self.jobs:
            raise Refused(404, f'jobs.batch "{key.partition("/")[2]}" not found')
        return self.jobs[key]

    def _delete_job(self, names: Sequence[str], query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        key = "/".join(names)
        job = self._known(key)
        for name, value in (body.get("preconditions") or {}).items():
            if job["metadata"][name] != value:
                raise Refused(
                    409,
                    f'Operation cannot be fulfilled on Job.batch "{names[1]}": the {name} in the precondition '
                    f"({value}) does not match the {name} in record ({job['metadata'][name]})",
                )
        self._delete(key, body.get("propagationPolicy") or "Background")
        return job

    def _delete(self, key: str, propagation: str) -> None:
        job = self.jobs[key]
        if propagation == "Foreground":
            job["metadata"]["deletionTimestamp"] = _now()
            job["metadata"]["finalizers"] = ["foregroundDeletion"]
            self._changed(job)
        else:
            del self.jobs[key]
        if propagation == "Orphan":
            return
        for pod in [one for one in self.pods.values() if one.job == key]:
            pod.deleted = pod.deleted or _now()
            if pod.terminated is not None and not pod.over:
                pod.phase = "Failed"  # the kubelet ends the sidecars
            if pod.process is None:
                del self.pods[pod.name]
            else:
                threading.Thread(target=pod.process.stop, daemon=True).start()

    def _advance(self, key: str) -> None:
        """What controllers, scheduler and nodes do meanwhile."""
        job = self.jobs.get(key)
        pods = [pod for pod in self.pods.values() if pod.job == key]
        for pod in pods:
            if pod.deleted and pod.over:
                pod.looks += 1
                if pod.looks > self.deletes:
                    del self.pods[pod.name]
        if job is None:
            return
        if "deletionTimestamp" in job["metadata"]:
            if not [pod for pod in self.pods.values() if pod.job == key]:
                del self.jobs[key]
            return
        if self.obstacle == "suspended":
            return
        job["spec"].pop("suspend", None)
        if not pods:
            if not job["status"].get("conditions"):
                self._create_pod(key, job)
            return
        self._start(pods[-1])

    def _create_pod(self, key: str, job: dict[str, Any]) -> None:
        namespace, name = key.split("/")
        if self.obstacle == "quota":
            message = f'Error creating: pods "{name}-abcde" is forbidden: exceeded quota: compute, limited: cpu=1'
            self._event(namespace, name, "FailedCreate", message)
            return
        template = job["spec"]["template"]
        pod = Pod(
            f"{name}-{uuid.uuid4().hex[:5]}",
            namespace,
            key,
            json.loads(json.dumps(template["spec"])),
            {**template["metadata"].get("labels", {}), "job-name": name, "batch.kubernetes.io/job-name": name},
            _now(),
        )
        pod.spec["containers"] += [{"name": name} for name in self.sidecars]
        self.pods[pod.name] = pod
        self._changed(job)

    def _start(self, pod: Pod) -> None:
        pod.looks += 1
        if pod.process is not None or pod.over or pod.looks < self.starts or pod.deleted:
            return
        pod.conditions = []
        if self.obstacle == "unschedulable":
            message = "0/3 nodes are available: 3 Insufficient memory."
            pod.conditions = [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            ]
            return
        pod.spec["nodeName"] = "node-7"
        pod.waiting = {
            "image": ("ImagePullBackOff", 'Back-off pulling image "starlake:none": not found'),
            "image_name": ("InvalidImageName", "couldn't parse image name"),
            "secret": ("CreateContainerConfigError", 'secret "pg" not found'),
        }.get(self.obstacle, ("ContainerCreating", ""))
        if self.obstacle == "volume":
            self._event(pod.namespace, pod.name, "FailedMount", 'MountVolume.SetUp failed for volume "data"')
        if self.obstacle:
            return
        pod.phase = "Running"
        container = pod.spec["containers"][0]
        own = self._environment(container)
        argv = [*self.program, *(_expanded(arg, own) for arg in container.get("args", []))]
        environ = {**self.environ, **own}
        pod.process = Container(argv, environ, lambda code: self._ended(pod, code))

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                found |= self.secrets[source["secretRef"]["name"]]
            else:
                found |= self.config_maps[source["configMapRef"]["name"]]
        for pair in container.get("env", []):
            if "valueFrom" in pair:
                reference = pair["valueFrom"]["secretKeyRef"]
                found[pair["name"]] = self.secrets[reference["name"]][reference["key"]]
            else:
                found[pair["name"]] = _expanded(pair.get("value", ""), found)
        return found

    def _ended(self, pod: Pod, code: int) -> None:
        with self.lock:
            if pod.terminated is None:
                pod.terminated = {"reason": "Completed" if code == 0 else "Error", "exitCode": code}
            pod.looks = 0
            if len(pod.spec["containers"]) > 1 and not pod.deleted and not pod.reason:
                return  # the Pod, and so its Job, go on
            pod.phase = "Succeeded" if pod.terminated["exitCode"] == 0 else "Failed"
            job = self.jobs.get(pod.job)
            if job is None or "deletionTimestamp" in job["metadata"]:
                return
            if pod.phase == "Succeeded":
                self._condition(job, "Complete", "CompletionsReached")
            elif pod.reason == "DeadlineExceeded":
                self._condition(job, "Failed", "DeadlineExceeded")
            else:
                self._condition(job, "Failed", "BackoffLimitExceeded")

    def _condition(self, job: dict[str, Any], kind: str, reason: str) -> None:
        told = {"type": kind, "status": "True", "reason": reason, "message": f"told: {reason}"}
        job["status"].setdefault("conditions", []).append(told)
        self._changed(job)

    def _changed(self, job: dict[str, Any]) -> None:
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)

    def _event(self, namespace: str, name: str, reason: str, message: str) -> None:
        told = {"namespace": namespace, "name": name, "reason": reason, "message": message, "at": _now()}
        if not any(one["message"] == message for one in self.events):
            self.events.append(told)

    # ------------------------------------------------------------------------------------------ pods and logs

    def _list_pods(self, names: Sequence[str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        wanted = dict(part.split("=") for part in query["labelSelector"].split(","))
        self._advance(f"{names[0]}/{wanted['job-name']}")
        found = [
            _shown(pod)
            for pod in self.pods.values()
            if pod.namespace == names[0] and wanted.items() <= pod.labels.items()
        ]
        return {"kind": "PodList", "metadata": {"resourceVersion": str(self._version)}, "items": found}

    def _list_events(self, names: Sequence[str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        name = query["fieldSelector"].removeprefix("involvedObject.name=")
        found = [one for one in self.events if (one["namespace"], one["name"]) == (names[0], name)]
        items = [
            {"type": "Warning", "reason": one["reason"], "message": one["message"], "lastTimestamp": one["at"]}
            for one in found
        ]
        return {"kind": "EventList", "metadata": {}, "items": items}

    def _get_log(self, names: Sequence[str], query: Mapping[str, str], body: Any) -> bytes:
        pod = self.pods.get(names[1])
        if pod is None or pod.namespace != names[0]:
            raise Refused(404, f'pods "{names[1]}" not found')
        containers = [one["name"] for one in pod.spec["containers"]]
        if query.get("container") not in containers:
            raise Refused(400, f"container {query.get('container')} is not valid for pod {pod.name}")
        if pod.process is None:
            waiting = pod.waiting[0]
            raise Refused(400, f'container "starlake" in pod "{pod.name}" is waiting to start: {waiting}')
        since = datetime.fromisoformat(query.get("sinceTime", "2000-01-01T00:00:00Z").replace("Z", "+00:00"))
        lines = zip(pod.process.lines[pod.rotated :], pod.process.raw_lines[pod.rotated :], strict=False)
        kept = [(moment, raw) for (moment, _), raw in lines if moment >= since]
        data = b"".join(_stamp(moment).encode() + b" " + raw for moment, raw in kept)
        self._reads += 1
        if self.half_lines and pod.terminated is None and self._reads % 2 and kept:
            data = data[: -len(kept[-1][1]) // 2]
        return data

    def _review_access(self, names: Sequence[str], query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        wanted = body["spec"]["resourceAttributes"]
        resource = "/".join(part for part in (wanted["resource"], wanted.get("subresource")) if part)
        allowed = f"{wanted['verb']} {resource}" not in self.forbidden
        return {**body, "status": {"allowed": allowed, "reason": "" if allowed else "no RBAC policy matched"}}


def write_kubeconfig(directory: Path, url: str, *, namespace: str = "data", token: str = "") -> str:
    """Writes a kubeconfig that names a server, and returns its path."""
    path = directory / "kubeconfig.yaml"
    user = {"token": token} if token else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [
            {"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": namespace}},
            {"name": "other", "context": {"cluster": "fake", "user": "me"}},
        ],
        "current-context": "fake",
    }
    path.write_text(json.dumps(config))
    return str(path)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with its references `$(NAME)`: of unknown variables they stay as they are, and `$$` is `$`."""
    return re.sub(r"\$\$|\$\(([^)]*)\)", lambda found: variables.get(found[1], found[0]) if found[1] else "$", text)


def _route(method: str, path: str) -> tuple[str, Sequence[str]]:
    for verb, pattern, operation in _ROUTES:
        if verb == method and (found := re.fullmatch(pattern, path)):
            return operation, found.groups()
    return f"{method} {path}", ()


def _send(handler: BaseHTTPRequestHandler, code: int, told: dict[str, Any] | bytes, retry_after: str = "") -> None:
    content = told if isinstance(told, bytes) else json.dumps(told).encode()
    handler.send_response(code)
    handler.send_header("Content-Type", "text/plain" if isinstance(told, bytes) else "application/json")
    handler.send_header("Content-Length", str(len(content)))
    if retry_after or code == 429:
        handler.send_header("Retry-After", retry_after or "1")
    handler.end_headers()
    handler.wfile.write(content)


def _status(refused: Refused) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": refused.message,
        "reason": refused.reason,
        "details": refused.details,
        "code": refused.code,
    }


def _shown(pod: Pod) -> dict[str, Any]:
    state: dict[str, Any] = {"waiting": {"reason": pod.waiting[0], "message": pod.waiting[1]}}
    others = [one["name"] for one in pod.spec["containers"][1:]]
    if pod.terminated is not None and (pod.over or others):
        state = {"terminated": pod.terminated}
    elif pod.process is not None:
        state = {"running": {"startedAt": pod.created}}
    statuses = [{"name": "starlake", "state": state, "restartCount": 0}] if pod.spec.get("nodeName") else []
    if pod.process is not None:
        running = {"running": {"startedAt": pod.created}}
        ended = {"terminated": {"reason": "Completed", "exitCode": 0}}
        statuses += [{"name": name, "state": ended if pod.over else running, "restartCount": 0} for name in others]
    metadata = {
        "name": pod.name,
        "namespace": pod.namespace,
        "labels": pod.labels,
        "creationTimestamp": pod.created,
        **({"deletionTimestamp": pod.deleted} if pod.deleted else {}),
    }
    status = {
        "phase": pod.phase,
        "conditions": pod.conditions,
        "containerStatuses": statuses,
        **({"reason": pod.reason, "message": pod.message} if pod.reason else {}),
    }
    return {"kind": "Pod", "metadata": metadata, "spec": pod.spec, "status": status}


def _validate(job: Mapping[str, Any]) -> None:
    """Raises for what the API server does not take."""
    causes: list[tuple[str, str]] = []
    name = job["metadata"].get("name", "")
    if not _NAME.fullmatch(name) or len(name) > 63:
        causes.append(("metadata.name", f"Invalid value: {name!r}: must be a DNS label of at most 63 characters"))
    template = job["spec"]["template"]
    for where, metadata in (("metadata", job["metadata"]), ("spec.template.metadata", template["metadata"])):
        for label, value in metadata.get("labels", {}).items():
            if not _LABEL_KEY.fullmatch(label) or len(value) > 63 or not _LABEL.fullmatch(value):
                causes.append((f"{where}.labels", f"Invalid value: {value!r} of {label}"))
        if not all(isinstance(value, str) for value in metadata.get("annotations", {}).values()):
            causes.append((f"{where}.annotations", "must be texts"))
    pod = template["spec"]
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        causes.append(("spec.template.spec.restartPolicy", "Required value: valid values: OnFailure, Never"))
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for number, container in enumerate(pod["containers"]):
        where = f"spec.template.spec.containers[{number}]"
        causes += [(f"{where}.{path}", text) for path, text in _container_causes(container, volumes)]
    if causes:
        message = f'Job.batch "{name}" is invalid: {"; ".join(f"{path}: {text}" for path, text in causes)}'
        details = [{"field": path, "message": text} for path, text in causes]
        raise Refused(422, message, causes=details)


def _container_causes(container: Mapping[str, Any], volumes: set[str]) -> list[tuple[str, str]]:
    causes: list[tuple[str, str]] = []
    if not container.get("image"):
        causes.append(("image", "Required value"))
    if container.get("imagePullPolicy", "Always") not in ("Always", "IfNotPresent", "Never"):
        causes.append(("imagePullPolicy", f"Unsupported value: {container['imagePullPolicy']!r}"))
    lacking = [mount["name"] for mount in container.get("volumeMounts", []) if mount["name"] not in volumes]
    causes += [("volumeMounts", f"Not found: {name!r}") for name in lacking]
    for pair in container.get("env", []):
        if "value" in pair and "valueFrom" in pair:
            causes.append(("env", "may not be specified when `value` is not empty"))
        if not isinstance(pair.get("value", ""), str) or not pair["name"]:
            causes.append(("env", f"Invalid value of {pair['name']}"))
    for kind in ("limits", "requests"):
        for resource, value in ((container.get("resources") or {}).get(kind) or {}).items():
            if not _QUANTITY.fullmatch(str(value)):
                causes.append((f"resources.{kind}[{resource}]", f"Invalid value: {value!r}"))
    return causes


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(moment: datetime) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")  # as RFC 3339 of Go: no zeros at the end
    return f"{text}Z"
