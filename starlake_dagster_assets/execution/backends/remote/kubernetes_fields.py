"""Validates fields, raw configuration and names as Kubernetes does, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError, closest_match

__all__ = [
    "KEY",
    "MIN_TTL",
    "SECTIONS",
    "validate_config",
    "validate_labels",
    "validate_names",
    "validate_reserved",
    "validate_value",
]

KEY = "starlake.ai/key"
"""Annotation with the key of a submission."""
MIN_TTL = 600
"""Seconds for which a finished Job must be kept, because its result is read in that time."""
SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "container_config": "V1Container",
        "job_config": "V1Job",
        "job_metadata": "V1ObjectMeta",
        "job_spec_config": "V1JobSpec",
        "merge_behavior": "str",
        "pod_spec_config": "V1PodSpec",
        "pod_template_spec_metadata": "V1ObjectMeta",
    }
)
"""Types of the sections of raw configuration in the Kubernetes API."""
_ONCE = "a command runs once"
_RESERVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "container_config": {"args": "they are the command", "name": "it is `starlake`"},
        "job_config": dict.fromkeys(("metadata", "spec"), "set `job_metadata` or `job_spec_config`"),
        "job_metadata": {
            "name": "it is derived from the step and the command, so that a command is submitted once",
            "namespace": "set the field `namespace`",
            "generate_name": "a generated name would submit a command twice",
        },
        "job_spec_config": {
            "backoff_limit_per_index": _ONCE,
            "completion_mode": _ONCE,
            "completions": _ONCE,
            "manual_selector": "Kubernetes selects the Pods of a Job",
            "max_failed_indexes": _ONCE,
            "parallelism": _ONCE,
            "pod_failure_policy": "a command that failed is run again by a retry of the step, never by Kubernetes",
            "selector": "Kubernetes selects the Pods of a Job",
            "success_policy": _ONCE,
            "template": "set `pod_spec_config` and `container_config`",
        },
    }
)
_AGAIN = "Kubernetes would run a failed command again. For retries, set a Dagster `RetryPolicy`."
_FIXED = (
    ("job_spec_config", "backoff_limit", 0, _AGAIN),
    ("pod_spec_config", "restart_policy", "Never", _AGAIN),
    ("job_spec_config", "pod_replacement_policy", "Failed", "a second Pod could start while the first one still runs."),
)
_OWN_LABELS = re.compile(r"dagster/.*|app\.kubernetes\.io/(?:name|component)|(?:batch\.kubernetes\.io/)?job-name")
"""Labels by which the Jobs and Pods of a run are found."""
_DNS_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_COLLECTION = re.compile(r"(list|dict)[\[(](?:[^,]*, *)?(.*)[\])]")
_REQUIRED = re.compile(r"Invalid value for `(\w+)`")


def validate_config(path: str, values: Mapping[str, Any]) -> None:
    """Validates the sections of a raw configuration.

    Args:
        path: Where it comes from, such as `k8s_config`.
        values: The configuration.

    Raises:
        RunnerError: When a section or a field is unknown, or a value has another type; suggests the closest name.
    """
    for section, value in values.items():
        if section not in SECTIONS:
            raise RunnerError(f"{path} has no section `{section}`{_hint(section, SECTIONS)}")
        if section == "merge_behavior" and value not in ("DEEP", "SHALLOW"):
            raise RunnerError(f"{path}.merge_behavior is {value!r}; expected DEEP or SHALLOW.")
        validate_value(f"{path}.{section}", SECTIONS[section], value, partial=True)


def validate_value(path: str, kind: str, value: object, *, partial: bool = False) -> None:
    """Validates a value against a type of the Kubernetes API.

    Args:
        path: Path of the value, such as `tolerations[0]`.
        kind: Type in the words of the official client: `V1Container`, `list[V1Volume]`, `dict(str, str)`.
        value: The value.
        partial: Whether required fields may be missing, because other settings are merged with it.

    Raises:
        RunnerError: Names the path, what was found, and the closest name.
    """
    if value is None or kind in ("object", "datetime"):
        return
    if found := _COLLECTION.fullmatch(kind):
        shape, inner = found.groups()
        items = _members(path, shape, value)
        for below, item in items:
            validate_value(below, inner, item)
    elif kind.startswith("V"):
        _validate_model(path, kind, value, partial=partial)
    else:
        _validate_scalar(path, kind, value)


def _members(path: str, shape: str, value: object) -> list[tuple[str, object]]:
    if shape == "list" and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [(f"{path}[{number}]", item) for number, item in enumerate(cast("Sequence[object]", value))]
    if shape == "dict" and isinstance(value, Mapping):
        return [(f"{path}[{name}]", item) for name, item in cast("Mapping[object, object]", value).items()]
    raise RunnerError(f"{path} is {_shown(value)}; expected a {'list' if shape == 'list' else 'mapping'}.")


def _validate_model(path: str, kind: str, value: object, *, partial: bool) -> None:
    import kubernetes.client

    if not isinstance(value, Mapping):
        raise RunnerError(f"{path} is {_shown(value)}; expected a mapping ({kind.removeprefix('V1')}).")
    library: Any = kubernetes.client
    model: Any = getattr(library, kind)
    names: Mapping[str, str] = model.attribute_map
    snake = {camel: name for name, camel in names.items()} | {name: name for name in names}
    given: dict[str, object] = {}
    for name, item in cast("Mapping[str, object]", value).items():
        if name not in snake:
            known = names.values() if any(char.isupper() for char in name) else names
            raise RunnerError(f"{path}.{name}: Kubernetes has no such field{_hint(name, known)}")
        if snake[name] in given:
            raise RunnerError(f"{path} has `{name}` twice, in camel case and in snake case; keep one of them.")
        given[snake[name]] = item
        validate_value(f"{path}.{name}", model.openapi_types[snake[name]], item)
    if partial:
        return
    try:
        model(**given)
    except ValueError as error:
        required = _REQUIRED.search(str(error))
        reason = f"`{names.get(required[1], required[1])}` is missing" if required else str(error)
        raise RunnerError(f"{path}: {reason}; Kubernetes requires it.") from error


def _validate_scalar(path: str, kind: str, value: object) -> None:
    fits = {
        "bool": isinstance(value, bool),
        "int": not isinstance(value, bool) and re.fullmatch(r"-?\d+", str(value)) is not None,
        "float": not isinstance(value, bool) and isinstance(value, int | float),
        "str": isinstance(value, str | int | float) and not isinstance(value, bool),
    }
    if not fits.get(kind, True):
        expected = {"bool": "true or false", "int": "a whole number", "float": "a number"}.get(kind, "text")
        raise RunnerError(f"{path} is {_shown(value)}; expected {expected}.")


def validate_reserved(path: str, config: Any) -> None:
    """Validates that a raw configuration leaves alone what identifies a Job and runs it exactly once.

    Args:
        path: Where it comes from, such as `k8s_config`.
        config: A `UserDefinedDagsterK8sConfig`.

    Raises:
        RunnerError: Names the key, and what to set instead.
    """
    for section, names in _RESERVED.items():
        for name, reason in names.items():
            if name in getattr(config, section):
                raise RunnerError(f"{path}.{section}.{name} cannot be set: {reason}.")
    for section, name, value, reason in _FIXED:
        given = getattr(config, section).get(name, value)
        if given != value:
            raise RunnerError(f"{path}.{section}.{name} is {given!r}, and it must be {value!r}: {reason}")
    seconds = config.job_spec_config.get("ttl_seconds_after_finished", MIN_TTL)
    if seconds is None or int(seconds) < MIN_TTL:
        raise RunnerError(
            f"{path}.job_spec_config.ttl_seconds_after_finished is {seconds}; it must be at least {MIN_TTL}, because "
            "the result of a finished Job is read in that time."
        )
    for section in ("job_metadata", "pod_template_spec_metadata"):
        metadata = getattr(config, section)
        validate_labels(f"{path}.{section}.labels", metadata.get("labels") or {})
        if KEY in (metadata.get("annotations") or {}):
            raise RunnerError(f"{path}.{section}.annotations[{KEY}] cannot be set: it identifies the command.")


def validate_labels(path: str, labels: Mapping[str, object]) -> None:
    """Validates keys and values of labels; those that this package sets cannot be set.

    Raises:
        RunnerError: Names the label, and does not show its value.
    """
    for name, value in labels.items():
        prefix, slash, last = name.rpartition("/")
        if _OWN_LABELS.fullmatch(name):
            raise RunnerError(f"{path}[{name}] cannot be set: it is a label by which the Jobs of a run are found.")
        if not _LABEL_NAME.fullmatch(last) or (slash and not _DNS_NAME.fullmatch(prefix)):
            raise RunnerError(f"{path}[{name}] is not a valid key of a label; expected letters, digits, `-`, `_`, `.`.")
        text = str(value or "")
        if text and not _LABEL_NAME.fullmatch(text):
            raise RunnerError(
                f"{path}[{name}] has an invalid value ({len(text)} characters); expected at most 63 letters, digits, "
                "`-`, `_` and `.`. Longer texts belong in `annotations`."
            )


def validate_names(
    secrets: Mapping[str, str], names: Mapping[str, Collection[str]], known_secrets: Collection[str] = ()
) -> None:
    """Validates references to Secrets and names of other objects; a value that is a secret itself is never sent.

    Args:
        secrets: `SECRET:KEY` by environment variable.
        names: Names of objects, by field.
        known_secrets: Values that are known to be secret.

    Raises:
        RunnerError: Names the field, and does not show the value.
    """
    for variable, reference in secrets.items():
        name, _, key = reference.partition(":")
        valid = _is_dns_name(name) and _DATA_KEY.fullmatch(key) and len(key) <= 253
        if not valid or {name, key, reference} & {*known_secrets}:
            raise RunnerError(
                f"secrets: the reference of {variable} is not `SECRET:KEY`, the name of a Secret (lower-case letters, "
                f"digits, `-`, `.`) and one of its keys; found {len(reference)} characters. The value of the secret "
                f"itself does not belong here: create a Secret with `kubectl create secret generic`."
            )
    for field, given in names.items():
        for number, name in enumerate(given):
            if not _is_dns_name(name) or name in known_secrets:
                raise RunnerError(
                    f"{field}[{number}] is not the name of an object in Kubernetes (lower-case letters, digits, `-`, "
                    f"`.`); found {len(name)} characters."
                )


def _is_dns_name(name: str) -> bool:
    return len(name) <= 253 and _DNS_NAME.fullmatch(name) is not None


def _hint(name: str, known: Collection[str]) -> str:
    close = closest_match(name, known)
    return f"; did you mean `{close}`?" if close else f". It has: {', '.join(sorted(known))}."


def _shown(value: object) -> str:
    """Returns a value for a message without its text, which may be a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    return "a mapping" if isinstance(value, Mapping) else "text" if isinstance(value, str) else type(value).__name__
