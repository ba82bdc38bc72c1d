"""Settings of a table or task for Kubernetes: reads them from its tags, and validates them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from starlake_dagster_assets.commands.redaction import contains_secret
from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.backends.remote.kubernetes_fields import validate_config, validate_value
from starlake_dagster_assets.execution.backends.remote.kubernetes_values import validate_quantity
from starlake_dagster_assets.execution.backends.remote.public_texts import list_public_texts
from starlake_dagster_assets.execution.node_settings import InvalidSetting, NodeSettings
from starlake_dagster_assets.execution.spark_settings import find_invalid_properties

if TYPE_CHECKING:
    from starlake_dagster_assets.resources.base import StarlakeResource

__all__ = ["TAG", "find_invalid_settings", "overrides_of", "parse_override", "validate_resources"]

TAG = "dagster-k8s/config"
"""Tag with raw configuration, as on Dagster ops."""
_REQUEST_TAGS = ("kubernetes_cpu", "kubernetes_memory")
"""Tags of a table or task with a request of the container."""
_TRANSLATOR = "get_environment_config"


def overrides_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Returns the raw configuration in the tags of a table or task, as JSON objects.

    The tags are `dagster-k8s/config={…}`, as on Dagster ops, `kubernetes_cpu=2` (a request) and `kubernetes_memory=8Gi`
    (request and limit). The last two take precedence.
    """
    texts: list[str] = []
    requests: dict[str, str] = {}
    for name, value in _pairs(tags):
        if name == TAG:
            texts.append(value)
        elif name in _REQUEST_TAGS:
            requests[name.removeprefix("kubernetes_")] = value
    if requests:
        limits = {"limits": {"memory": requests["memory"]}} if "memory" in requests else {}
        texts.append(json.dumps({"container_config": {"resources": {"requests": requests, **limits}}}, sort_keys=True))
    return tuple(texts)


def parse_override(path: str, text: str) -> Mapping[str, Any]:
    """Parses and validates the raw configuration of a table or task.

    Args:
        path: The tag or method that has it, for messages.
        text: A JSON object.

    Raises:
        RunnerError: When it is not valid, or contains a value that looks like a secret.
    """
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RunnerError(f"{path}: expected a JSON object, found {text[:100]!r}.")
    raw = cast("Mapping[str, Any]", found)
    validate_config(path, raw)
    for one in list_public_texts(path, raw):
        if one.text and one.is_secret:
            raise RunnerError(
                f"{one.path} `{one.name}` of a table looks like a secret, and anyone who can read Jobs can "
                "read it. Next: pass a reference (`valueFrom`) instead."
            )
    return raw


def validate_resources(resources: object) -> None:
    """Validates the resources of the container of a table, merged from all settings.

    Raises:
        RunnerError: When a request of the table and a limit of the resource do not fit together.
    """
    validate_value("resources of the table", "V1ResourceRequirements", resources)


def find_invalid_settings(settings: NodeSettings, resource: StarlakeResource | None) -> Iterator[InvalidSetting]:
    """Yields the tags and other settings of a table or task that Kubernetes or Starlake's launcher would reject.

    Args:
        settings: The settings.
        resource: The `StarlakeKubernetes` with whose fields they are merged; None if it is not known.
    """
    yield from _ignored_tags(settings.tags)
    is_used = resource is not None
    yield from find_invalid_properties(settings, is_launched=is_used, is_public=is_used)
    is_valid = True
    for one in _invalid_overrides(settings):
        is_valid = False
        yield one
    if is_valid and resource is not None:
        yield from _invalid_limits(settings, resource)


def _invalid_overrides(settings: NodeSettings) -> Iterator[InvalidSetting]:
    for name, value in _pairs(settings.tags):
        if problem := _problem(name, value, settings.secrets):
            yield InvalidSetting(problem, name)
    if settings.config:
        try:
            text = json.dumps(settings.config)
        except (TypeError, ValueError) as error:
            yield InvalidSetting(f"{_TRANSLATOR}: expected values of JSON; {error}")
            return
        if problem := _problem(_TRANSLATOR, text, settings.secrets):
            yield InvalidSetting(problem)


def _problem(name: str, value: str, secrets: Collection[str]) -> str:
    """Returns why a tag or the configuration of the translator is not valid; "" if it is valid."""
    try:
        if name in _REQUEST_TAGS:
            validate_quantity(f"the tag `{name}`", value)
        elif name in (TAG, _TRANSLATOR):
            _validate_override(name, value, secrets)
    except RunnerError as error:
        return str(error)
    return ""


def _validate_override(path: str, text: str, secrets: Collection[str]) -> None:
    parse_override(path, text)
    if contains_secret(text, secrets):
        raise RunnerError(
            f"{path} has a secret or a URL with a password, and anyone who can read Jobs can read it. Next: pass a "
            "reference (`valueFrom`) instead."
        )


def _invalid_limits(settings: NodeSettings, resource: Any) -> Iterator[InvalidSetting]:
    texts = overrides_of(settings.tags)
    raws: list[Mapping[str, Any]] = [*(json.loads(text) for text in texts), settings.config]
    if not any(_resources(raw) for raw in raws) or _has_variable(resource, "resources", "k8s_config"):
        return
    merged: dict[str, Any] = dict(resource.resources)
    for raw in (resource.k8s_config, *raws):
        merged = _merged(merged, _resources(raw), is_deep=raw.get("merge_behavior") != "SHALLOW")
    try:
        validate_resources(merged)
    except RunnerError as error:
        tags = [name for name, _ in _pairs(settings.tags) if name in (*_REQUEST_TAGS, TAG)]
        yield InvalidSetting(str(error), tags[0] if tags else "")


def _has_variable(resource: Any, *fields: str) -> bool:
    return any(path.partition("/")[0] in fields for path in resource.from_environment)


def _resources(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = raw.get("container_config") or {}
    return container.get("resources") or {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any], *, is_deep: bool) -> dict[str, Any]:
    """Merges resources of a container as `dagster_k8s` does."""
    if not is_deep:
        return dict(above or below)
    return {
        kind: {**(below.get(kind) or {}), **(above.get(kind) or {})}
        for kind in ("requests", "limits")
        if below.get(kind) or above.get(kind)
    }


def _ignored_tags(tags: Sequence[str]) -> Iterator[InvalidSetting]:
    """Yields the tags that look like settings of Kubernetes, but have no effect."""
    for tag in dict.fromkeys(tags):
        name, equals, _ = (part.strip() for part in tag.partition("="))
        if not name.startswith("kubernetes_") or (equals and name in _REQUEST_TAGS):
            continue
        close = closest_match(name, _REQUEST_TAGS)
        hint = f" (did you mean `{close}=…`?)" if close else ""
        yield InvalidSetting(
            f"StarlakeKubernetes ignores the tag `{name}`{hint}; expected `kubernetes_cpu=…`, `kubernetes_memory=…` or "
            f"`{TAG}={{…}}`.",
            name,
            "warning",
        )


def _pairs(tags: Sequence[str]) -> Iterator[tuple[str, str]]:
    for tag in tags:
        name, equals, value = (part.strip() for part in tag.partition("="))
        if equals:
            yield name, value
