"""Preflight checks of Kubernetes: permissions, admission, entry point, log level and memory. They start nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.doctor.environment import entry_point, log_level_findings
from starlake_dagster_assets.doctor.project import Finding
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes_client import answer_of
from starlake_dagster_assets.execution.backends.remote.kubernetes_state import part_of
from starlake_dagster_assets.execution.backends.remote.protocol import Submission
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource

__all__ = ["examine_kubernetes"]

_NEEDED = (
    ("create", "batch", "jobs", ""),
    ("get", "batch", "jobs", ""),
    ("delete", "batch", "jobs", ""),
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
)
_EVENTS = ("list", "", "events", "")
_ROLE = "Bind the Role of the page Kubernetes to the account of this process."


def examine_kubernetes(resource: StarlakeRemoteResource, project: ProjectSource) -> Iterator[Finding]:
    """Examines the permissions in the namespace of a `StarlakeKubernetes`, and the container of its Jobs."""
    environment = resource.environment(project, StepAttempt())
    if not isinstance(environment, KubernetesEnvironment):
        return
    namespace = environment.namespace_name
    yield Finding("ok", "namespace", namespace)
    try:
        lacking = [one for one in (*_NEEDED, _EVENTS) if not _allowed(environment, namespace, one)]
    except Exception as error:
        text = str(environment.classify_error(error).text)
        yield Finding("error", "permissions", text, "Give credentials that the API server knows.")
    else:
        yield from _permissions(lacking)
        if _NEEDED[0] not in lacking:
            yield _dry_run(environment, namespace)
    container = environment.template.sections()["container_config"]
    yield entry_point(
        container.get("command", ()), 'Set k8s_config={"container_config": {"command": ["starlake"]}}, or none of it.'
    )
    level = next((one.get("value") for one in container.get("env", ()) if one["name"] == "SL_LOG_LEVEL"), None)
    yield from log_level_findings(level)
    yield _memory(container)
    yield Finding("ok", "retries", "backoffLimit 0, restartPolicy Never: Kubernetes runs no command a second time")


def _permissions(lacking: list[tuple[str, str, str, str]]) -> Iterator[Finding]:
    needed = [_permission_text(one) for one in lacking if one != _EVENTS]
    if needed:
        yield Finding("error", "permissions", f"not allowed: {', '.join(needed)}", _ROLE)
    else:
        yield Finding("ok", "permissions", ", ".join(_permission_text(one) for one in _NEEDED if one[3] == ""))
    if "get pods/log" not in needed:
        yield Finding("ok", "log", "get pods/log is allowed")
    else:
        yield Finding("error", "log", "get pods/log is not allowed: results are read from the warehouse only", _ROLE)
    if _EVENTS in lacking:
        text = "list events is not allowed: a refused Pod and a volume that cannot be mounted are not explained"
        yield Finding("warning", "events", text, _ROLE)


def _dry_run(environment: KubernetesEnvironment, namespace: str) -> Finding:
    """Sends a Job that the API server validates and admits, but does not create (dry run)."""
    command = Command("settings", job_id="starlake-dagster-doctor")
    job = environment.template.job(Submission(command, command.job_id), namespace)
    try:
        answer_of(environment.clients()[0].create_namespaced_job, namespace, job, dry_run="All")
    except Exception as error:
        return Finding(
            "error", "job", str(environment.classify_error(error).text), "Change the fields of the resource."
        )
    return Finding("ok", "job", "a Job passes validation and admission (dry run)")


def _memory(container: Mapping[str, Any]) -> Finding:
    limits = part_of(container, "resources", "limits")
    if "memory" in limits:
        return Finding("ok", "memory", f"limit {limits['memory']}")
    text = "the container has no memory limit: a large load may be evicted with the Pods of its node"
    return Finding("warning", "memory", text, 'Set resources={"requests": {"memory": …}, "limits": {"memory": …}}.')


def _allowed(environment: KubernetesEnvironment, namespace: str, needed: tuple[str, str, str, str]) -> bool:
    """Checks whether the API server gives this process a permission (SelfSubjectAccessReview)."""
    verb, group, resource, subresource = needed
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    if subresource:
        attributes["subresource"] = subresource
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = answer_of(environment.clients()[2].create_self_subject_access_review, body)
    return bool(answer["status"]["allowed"])


def _permission_text(needed: tuple[str, str, str, str]) -> str:
    verb, _, resource, subresource = needed
    return f"{verb} {resource}" + (f"/{subresource}" if subresource else "")
