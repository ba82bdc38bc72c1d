"""Derives a task definition from another one, with secrets in one container.

Overrides of ECS have no secrets; a task definition has references to them, which anyone may read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.aws import aws_error

__all__ = ["derived_definition"]

_ANSWERED = frozenset(
    {
        "compatibilities",
        "deregisteredAt",
        "registeredAt",
        "registeredBy",
        "requiresAttributes",
        "revision",
        "status",
        "taskDefinitionArn",
    }
)
"""Fields that ECS adds to a task definition, and does not accept in a registration."""


def derived_definition(ecs: Any, definition: str, container: str, secrets: Mapping[str, str]) -> str:
    """Returns the ARN of a task definition with secrets; registers a revision if the newest one differs.

    Args:
        ecs: Client of ECS.
        definition: Family, `family:revision` or ARN of the definition that it derives from.
        container: Name of the container that gets the secrets.
        secrets: ARNs by environment variable.

    Raises:
        RunnerError: When the definition has no such container.
    """
    wanted = _with_secrets(_registration(ecs, definition), definition, container, secrets)
    wanted["family"] = f"{wanted['family']}-starlake"
    try:
        newest = ecs.describe_task_definition(taskDefinition=wanted["family"])["taskDefinition"]
    except Exception as error:
        if aws_error(error) != "ClientException":  # there is no such family
            raise
    else:
        if _without_answer(newest) == wanted:
            return str(newest["taskDefinitionArn"])
    return str(ecs.register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"])


def _registration(ecs: Any, definition: str) -> dict[str, Any]:
    return _without_answer(ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"])


def _without_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in _ANSWERED}


def _with_secrets(
    registration: dict[str, Any], definition: str, container: str, secrets: Mapping[str, str]
) -> dict[str, Any]:
    containers: Sequence[Mapping[str, Any]] = registration["containerDefinitions"]
    if container not in [one["name"] for one in containers]:
        names = ", ".join(str(one["name"]) for one in containers)
        raise RunnerError(f"task definition {definition!r} has no container {container!r}; it has: {names}.")
    changed = [_changed(one, secrets) if one["name"] == container else dict(one) for one in containers]
    return {**registration, "containerDefinitions": changed}


def _changed(container: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    kept = [one for one in container.get("secrets", ()) if one["name"] not in secrets]
    plain = [one for one in container.get("environment", ()) if one["name"] not in secrets]
    added = [{"name": name, "valueFrom": arn} for name, arn in sorted(secrets.items())]
    environment = {"environment": plain} if "environment" in container else {}
    return {**container, **environment, "secrets": [*kept, *added]}
