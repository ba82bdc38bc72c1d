"""State of a command from its Job, its Pods and their events: its end, and the reason of a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.execution.backends.remote.kubernetes_job import CONTAINER
from starlake_dagster_assets.execution.backends.remote.protocol import Status

__all__ = [
    "StartProblem",
    "container_of",
    "final_status",
    "find_start_problem",
    "has_started",
    "oldest_first",
    "running_sidecars",
    "unreachable_node",
]

_Object = Mapping[str, Any]
_NONE: _Object = MappingProxyType({})
_PERMANENT = ("InvalidImageName", "ErrImageNeverPull")
"""Reasons of a waiting container that are permanent."""
_NORMAL = ("ContainerCreating", "PodInitializing", "")
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_START_FAILED = ("StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError")
_DISRUPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "DeletionByPodGC": "its node was removed",
        "DeletionByTaintManager": "its node was lost or drained",
        "EvictionByEvictionAPI": "it was evicted, often by the drain of its node or the autoscaler",
        "PreemptionByScheduler": "it was preempted by a Pod of higher priority",
        "TerminationByKubelet": "its node ended it: the node ran out of resources, or was shut down",
    }
)
"""Reasons of the condition DisruptionTarget."""


@dataclass(frozen=True)
class StartProblem:
    """Reason why a command does not start.

    Attributes:
        text: The reason, with the message of Kubernetes.
        passes: Whether it may end without a change of the configuration.
        counts: Whether the time counts towards `start_timeout`.
    """

    text: str
    passes: bool = True
    counts: bool = True


def oldest_first(pods: Sequence[_Object]) -> Sequence[_Object]:
    """Returns the Pods of a Job in the order of their creation."""
    return sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))


def part_of(item: _Object, *names: str) -> _Object:
    """Returns the object at a path of names; empty if it does not exist."""
    found: Any = item
    for name in names:
        found = found.get(name) or {}
    return found


def container_of(pod: _Object) -> _Object:
    """Returns the status of the container that runs the program; empty before it has one."""
    return _program_container(_items(_status(pod), "containerStatuses"))


def has_started(pods: Sequence[_Object]) -> bool:
    """Whether the program of a Pod runs, or has run."""
    return any(not _waiting(container_of(pod)) for pod in pods)


def final_status(job: _Object | None, pods: Sequence[_Object]) -> Status | None:
    """Returns the final status of the command; None while its program may still run.

    Args:
        job: The Job; None if it was deleted.
        pods: Its Pods, oldest first.
    """
    if any(_is_living(pod) for pod in pods[:-1]):
        return None
    last = container_of(pods[-1]) if pods else _NONE
    ended: _Object = part_of(last, "state", "terminated")
    if ended:  # other containers of the Pod do not matter
        return Status("succeeded", 0) if ended.get("exitCode") == 0 else _failed(job, pods[-1], ended)
    if job is None or (pods and _is_living(pods[-1])):
        return None
    if not pods and job["metadata"].get("deletionTimestamp"):
        return Status("cancelled", None, "its Job was deleted")
    if _condition(job, "Complete"):
        return Status("succeeded", 0)
    if pods and _status(pods[-1]).get("phase") == "Failed":
        return _failed(job, pods[-1], ended)
    if failed := _condition(job, "Failed"):
        reason = _deadline(job) or f"its Pod was deleted, alone or with its node ({_reason_text(failed)})"
        return Status("failed", None, reason)
    return None


def running_sidecars(pods: Sequence[_Object]) -> Sequence[str]:
    """Returns the containers that keep a Pod running although its program has ended.

    Args:
        pods: The Pods of a Job, oldest first.
    """
    if not pods or not _is_living(pods[-1]) or not part_of(container_of(pods[-1]), "state", "terminated"):
        return ()
    others = _items(_status(pods[-1]), "containerStatuses")
    return [str(one["name"]) for one in others if part_of(one, "state", "running") and one["name"] != CONTAINER]


def find_start_problem(job: _Object, pods: Sequence[_Object], events: Sequence[_Object]) -> StartProblem | None:
    """Returns the reason why the command does not start; None if no reason is known.

    Args:
        job: The Job.
        pods: Its Pods, oldest first.
        events: Events of the Job and of its Pods, oldest first.
    """
    if job["spec"].get("suspend"):
        return StartProblem("its Job is suspended: a queue, such as Kueue, has not admitted it", counts=False)
    if pods:
        waiting: _Object = part_of(container_of(pods[-1]), "state", "waiting")
        reason = str(waiting.get("reason") or "")
        if reason not in _NORMAL:
            what = "its image cannot be pulled" if reason in _IMAGE else "its container cannot be created"
            image = f" ({_image(job)})" if reason in _IMAGE else ""
            return StartProblem(f"{what}{image}: {_reason_text(waiting)}", passes=reason not in _PERMANENT)
        scheduled = _pod_condition(pods[-1], "PodScheduled", "False")
        if scheduled:
            return StartProblem(f"no node takes its Pod: {_reason_text(scheduled)}")
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    what = "its Pod cannot start" if pods else "its Pod is refused (quota or admission)"
    return StartProblem(f"{what}: {_reason_text(warnings[-1])}")


# ---------------------------------------------------------------------------------------------------- reasons


def _failed(job: _Object | None, pod: _Object, ended: _Object) -> Status:
    code = int(ended["exitCode"]) if ended.get("exitCode") is not None else None
    reason, status = str(ended.get("reason") or ""), _status(pod)
    limit = part_of(_container_spec(pod), "resources", "limits")
    if reason in _START_FAILED:
        text = f"the program did not start ({reason}): {ended.get('message') or f'exit code {code}'}"
        return Status("failed", code, text, started=False)
    if job is not None and (deadline := _deadline(job)):
        return Status("failed", None, deadline)
    if reason == "OOMKilled":
        memory = f"its memory limit {limit['memory']}" if "memory" in limit else "the memory of its node"
        return Status("failed", code, f"OOMKilled: the program used more than {memory}; raise `resources`")
    if status.get("reason") == "Evicted":
        return Status("failed", code, f"Evicted from node {_node(pod)}: {status.get('message') or 'no message'}")
    if disrupted := _pod_condition(pod, "DisruptionTarget", "True"):
        why = _DISRUPTIONS.get(str(disrupted.get("reason")), "it was disrupted")
        return Status("failed", code, f"the Pod on node {_node(pod)} was ended: {why} ({_reason_text(disrupted)})")
    if status.get("reason") == "NodeLost" or reason == "ContainerStatusUnknown":
        return Status("failed", None, f"node {_node(pod)} was lost: {_reason_text(ended) or _reason_text(status)}")
    if not ended:  # a node that refused the Pod, such as OutOfcpu
        text = f"node {_node(pod)} did not run the Pod: {_reason_text(status) or 'no reason was given'}"
        return Status("failed", None, text, started=bool(container_of(pod)))
    if pod["metadata"].get("deletionTimestamp"):
        return Status("cancelled", code, "its Job or its Pod was deleted")
    killed = "exit code 137: killed" if code == 137 else "exit code 143: ended from outside" if code == 143 else ""
    return Status("failed", code, killed or str(ended.get("message") or ""))


def unreachable_node(pod: _Object) -> str:
    """Returns why the node of a running Pod does not answer; "" if it does."""
    ready = _pod_condition(pod, "Ready", "Unknown") or _pod_condition(pod, "Ready", "False")
    lost = ready.get("reason") in ("NodeStatusUnknown", "NodeLost") or _status(pod).get("reason") == "NodeLost"
    if not lost and _status(pod).get("phase") != "Unknown":
        return ""
    return f"node {_node(pod)} does not answer ({_reason_text(ready) or 'NodeLost'}): the program may still run there"


def _deadline(job: _Object) -> str:
    for kind in ("Failed", "FailureTarget"):
        failed = _condition(job, kind)
        if failed.get("reason") == "DeadlineExceeded":
            seconds = job["spec"].get("activeDeadlineSeconds")
            return f"active_deadline_seconds ({seconds}) passed (DeadlineExceeded)"
    return ""


def _reason_text(item: _Object) -> str:
    return ": ".join(str(item[name]).strip() for name in ("reason", "message") if item.get(name))


def _is_living(pod: _Object) -> bool:
    return _status(pod).get("phase") not in ("Succeeded", "Failed")


def _waiting(container: _Object) -> bool:
    state = part_of(container, "state")
    return not (state.get("running") or state.get("terminated") or container.get("restartCount"))


def _condition(job: _Object, kind: str) -> _Object:
    return _condition_with(_items(_status(job), "conditions"), kind, "True")


def _pod_condition(pod: _Object, kind: str, status: str) -> _Object:
    return _condition_with(_items(_status(pod), "conditions"), kind, status)


def _condition_with(conditions: Sequence[_Object], kind: str, status: str) -> _Object:
    found = [one for one in conditions if one.get("type") == kind and one.get("status") == status]
    return found[-1] if found else _NONE


def _status(item: _Object) -> _Object:
    return part_of(item, "status")


def _items(item: _Object, name: str) -> Sequence[_Object]:
    return item.get(name) or ()


def _program_container(containers: Sequence[_Object]) -> _Object:
    return next((one for one in containers if one.get("name") == CONTAINER), _NONE)


def _container_spec(pod: _Object) -> _Object:
    return _program_container(_items(pod["spec"], "containers"))


def _image(job: _Object) -> str:
    return str(_container_spec(job["spec"]["template"]).get("image") or "?")


def _node(pod: _Object) -> str:
    return str(pod["spec"].get("nodeName") or "?")
