"""Validates fields, raw configuration and names as Kubernetes does, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.backends.local.shell_env import RESERVED_VARIABLES
from starlake_dagster_assets.execution.backends.remote.kubernetes_schema import ObjectSchema, schema_of
from starlake_dagster_assets.execution.backends.remote.kubernetes_values import validate_field, validate_object
from starlake_dagster_assets.execution.backends.remote.public_texts import UNKNOWN, VariableText

__all__ = [
    "KEY_LABEL",
    "MIN_TTL",
    "SECTIONS",
    "validate_annotations",
    "validate_config",
    "validate_keys",
    "validate_labels",
    "validate_names",
    "validate_reserved",
    "validate_value",
    "variables_in",
    "without_nulls",
]

KEY_LABEL = "starlake.ai/key"
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
_BY_THE_STEP = "a command that failed is run again by a retry of the step, never by Kubernetes"
_RESERVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "container_config": {
            "args": "they are the command",
            "name": "it is `starlake`",
            "restart_policy": _BY_THE_STEP,
            "restart_policy_rules": _BY_THE_STEP,
        },
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
            "managed_by": "the Job would be left to another controller",
            "manual_selector": "Kubernetes selects the Pods of a Job",
            "max_failed_indexes": _ONCE,
            "parallelism": _ONCE,
            "pod_failure_policy": _BY_THE_STEP,
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
_OWN_LABELS = re.compile(
    r"dagster/.*|app\.kubernetes\.io/(?:name|component)|(?:batch\.kubernetes\.io/)?(?:job-name|controller-uid)"
)
"""Labels by which the Jobs and Pods of a run are found."""
_DNS_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_COLLECTION = re.compile(r"(list|dict)[\[(](?:[^,]*, *)?(.*)[\])]")
_TYPE_WORDS: Mapping[str, str] = MappingProxyType(
    {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
)
_NEXT_NAME = "Next: give the `metadata.name` of an object in the namespace of the Jobs."


def without_nulls(value: Any) -> Any:
    """Removes keys with null values from the mappings of a value, since Kubernetes treats them as not set."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {name: without_nulls(item) for name, item in items if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in cast("list[object]", value)]
    return value


def validate_config(path: str, values: Mapping[str, Any]) -> None:
    """Validates the sections of a raw configuration.

    Args:
        path: The option that contains it, such as `k8s_config`.
        values: The configuration.

    Raises:
        RunnerError: When a section or a field is unknown, a value has another type, or a key cannot be set; suggests
            the closest name.
    """
    for section, value in values.items():
        if section not in SECTIONS:
            raise RunnerError(f"{path} has no section `{section}`{_hint(section, SECTIONS)}")
        if value is None or value is UNKNOWN:
            continue
        if section == "merge_behavior" and value not in ("DEEP", "SHALLOW"):
            raise RunnerError(f"{path}.merge_behavior is {value!r}; expected DEEP or SHALLOW.")
        validate_value(f"{path}.{section}", SECTIONS[section], value, partial=True)
    validate_reserved(path, values)


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
    if value is None or value is UNKNOWN or kind in ("object", "datetime"):
        return
    if found := _COLLECTION.fullmatch(kind):
        shape, inner = found.groups()
        items = _members(path, shape, value)
        for below, item in items:
            validate_value(below, inner, item)
    elif kind[:1].isupper():
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
    if not isinstance(value, Mapping):
        raise RunnerError(f"{path} is {_shown(value)}; expected a mapping ({kind.removeprefix('V1')}).")
    schema = schema_of(kind)
    if schema is None:  # of another version of the client: the API server validates it
        return
    client_names = {camel: name for name, camel in schema.names.items()} | {name: name for name in schema.names}
    given: dict[str, str] = {}
    for name, item in cast("Mapping[str, object]", value).items():
        if not isinstance(cast("object", name), str):
            raise RunnerError(f"{path} has the key {name!r} ({type(name).__name__}); expected the name of a field.")
        if name not in client_names:
            known = schema.names.values() if any(char.isupper() for char in name) else schema.names
            raise RunnerError(f"{path}.{name}: Kubernetes has no such field{_hint(name, known)}")
        field = client_names[name]
        if field in given:
            raise RunnerError(f"{path} has `{given[field]}` and `{name}`, which are the same field; keep one of them.")
        if item is not None:
            given[field] = name
        _validate_quotes(f"{path}.{name}", schema.types[field], field, item)
        validate_value(f"{path}.{name}", schema.types[field], item)
        validate_field(f"{path}.{name}", kind, field, item)
    if not partial and (missing := sorted(schema.required - {*given})):
        raise RunnerError(_missing_text(path, schema, missing, [*given.values()]))
    validate_object(path, kind, {field: cast("Mapping[str, object]", value)[name] for field, name in given.items()})


def _validate_quotes(path: str, kind: str, field: str, value: object) -> None:
    if kind == "str" and isinstance(value, int | float) and field not in ("value", "size_limit", "divisor"):
        raise RunnerError(f"{path} is {value!r} ({type(value).__name__}); expected text. Next: put it in quotes.")
    if kind != "int" or not isinstance(value, str):
        return
    is_variable = isinstance(value, VariableText)
    octal = re.fullmatch(r"0o?([0-7]+)" if is_variable else r"(?:0o?)?([0-7]{3})", value)
    if octal and field in ("mode", "default_mode"):
        raise RunnerError(
            f"{path} is the text {value!r}, which is octal; expected a number. Next: write `0o{octal[1]}` in Python, "
            f"or `{int(octal[1], 8)}`."
        )
    if not is_variable and re.fullmatch(r"-?\d{1,20}", value):
        raise RunnerError(f"{path} is the text {value!r}; expected a whole number. Next: remove the quotes.")


def _missing_text(path: str, schema: ObjectSchema, missing: Sequence[str], given: Sequence[str]) -> str:
    """Returns the message about required fields that are missing, with names as the user writes them."""
    snake_case = any("_" in name for name in given)
    shown = [f"`{name if snake_case else schema.names[name]}`" for name in missing]
    found = f"has {', '.join(f'`{name}`' for name in given)}" if given else "is empty"
    kinds = [_TYPE_WORDS.get(schema.types[name], "") for name in missing]
    kind = f" ({kinds[0]})" if len(missing) == 1 and kinds[0] else ""
    names = " and ".join(shown)
    verb = "is" if len(missing) == 1 else "are"
    return f"{path} {found}; {names} {verb} missing, and Kubernetes requires it. Next: add {names}{kind} to {path}."


def _validate_scalar(path: str, kind: str, value: object) -> None:
    fits = {
        "bool": isinstance(value, bool),
        "int": type(value) is int or (isinstance(value, VariableText) and re.fullmatch(r"-?\d+", value) is not None),
        "float": not isinstance(value, bool) and isinstance(value, int | float),
        "str": isinstance(value, str | int | float) and not isinstance(value, bool),
    }
    if not fits.get(kind, True):
        raise RunnerError(f"{path} is {_shown(value)}; expected {_TYPE_WORDS[kind]}.")


def validate_reserved(path: str, config: Mapping[str, Any]) -> None:
    """Validates that a raw configuration does not set the fields that identify a Job and make it run exactly once.

    Args:
        path: The option that contains it, such as `k8s_config`.
        config: The sections.

    Raises:
        RunnerError: Names the key, and what to set instead.
    """
    for section, names in _RESERVED.items():
        for name, reason in names.items():
            if given := _found(config, section, name):
                raise RunnerError(f"{path}.{given[0]} cannot be set: {reason}.")
    for section, name, expected, reason in _FIXED:
        given = _found(config, section, name)
        if given and given[1] not in (expected, str(expected), UNKNOWN):
            raise RunnerError(f"{path}.{given[0]} is {given[1]!r}, and it must be {expected!r}: {reason}")
    _validate_variables(path, config)
    ttl = _found(config, "job_spec_config", "ttl_seconds_after_finished")
    if ttl and ttl[1] is not UNKNOWN and int(cast("Any", ttl[1])) < MIN_TTL:
        raise RunnerError(
            f"{path}.{ttl[0]} is {ttl[1]}; it must be at least {MIN_TTL}, because the result of a finished Job is read "
            "in that time."
        )
    for section in ("job_metadata", "pod_template_spec_metadata"):
        for kind, validate in (("labels", validate_labels), ("annotations", validate_annotations)):
            given = _found(config, section, kind)
            if given and isinstance(given[1], Mapping):
                validate(f"{path}.{given[0]}", cast("Mapping[str, object]", given[1]))


def _validate_variables(path: str, config: Mapping[str, Any]) -> None:
    for name in variables_in(config):
        if reason := RESERVED_VARIABLES.get(name):
            raise RunnerError(f"{path}.container_config.env sets {name}: {reason}. Next: remove it.")


def variables_in(config: Mapping[str, Any]) -> Sequence[str]:
    """Returns the names of the environment variables that a raw configuration sets in the container."""
    given = _found(config, "container_config", "env")
    items = cast("Sequence[object]", given[1]) if given and isinstance(given[1], list | tuple) else ()
    return [str(cast("Any", item).get("name")) for item in items if isinstance(item, Mapping)]


def _found(config: Mapping[str, Any], section: str, name: str) -> tuple[str, object] | None:
    """Returns path and value of a field that is written in snake case or camel case; None if it is not set."""
    values: object = config.get(section)
    if isinstance(values, Mapping):
        first, *others = name.split("_")
        for key in (name, first + "".join(word.title() for word in others)):
            value = cast("Mapping[str, object]", values).get(key)
            if value is not None:
                return f"{section}.{key}", value
    return None


def validate_labels(path: str, labels: Mapping[str, object]) -> None:
    """Validates keys and values of labels; those that this package sets cannot be set.

    Raises:
        RunnerError: Names the label, and does not show its value.
    """
    for name, value in labels.items():
        if _OWN_LABELS.fullmatch(name):
            raise RunnerError(f"{path}[{name}] cannot be set: it is a label by which the Jobs of a run are found.")
        _validate_key(f"{path}[{name}]", name, "a label")
        text = "" if value is None or value is UNKNOWN else str(value)
        if text and not _LABEL_NAME.fullmatch(text):
            raise RunnerError(
                f"{path}[{name}] has an invalid value ({len(text)} characters); expected at most 63 letters, digits, "
                "`-`, `_` and `.`. Longer texts belong in `annotations`."
            )


def validate_annotations(path: str, annotations: Mapping[str, object]) -> None:
    """Validates the keys of annotations.

    Raises:
        RunnerError: Names the annotation, and does not show its value.
    """
    for name in annotations:
        if name == KEY_LABEL:
            raise RunnerError(f"{path}[{KEY_LABEL}] cannot be set: it identifies the command.")
        _validate_key(f"{path}[{name}]", name, "an annotation")


def validate_keys(path: str, values: Mapping[str, object], what: str) -> None:
    """Validates the keys of labels and annotations.

    Raises:
        RunnerError: Names the key.
    """
    for name in values:
        _validate_key(f"{path}[{name}]", name, what)


def _validate_key(path: str, name: str, what: str) -> None:
    prefix, slash, last = name.rpartition("/")
    if not _LABEL_NAME.fullmatch(last) or (slash and not _DNS_NAME.fullmatch(prefix)):
        raise RunnerError(
            f"{path} is not a valid key of {what}; expected letters, digits, `-`, `_`, `.`, and a domain with a `/` "
            "before them or none."
        )


def validate_names(
    secrets: Mapping[str, str], names: Mapping[str, Collection[str] | str], known_secrets: Collection[str] = ()
) -> None:
    """Validates references to Secrets and names of other objects; a value that is a secret itself is never sent.

    Args:
        secrets: `SECRET:KEY` by environment variable.
        names: Names of objects, by field: one name, or a list of names.
        known_secrets: Values that are known to be secret.

    Raises:
        RunnerError: Names the field, and does not show the value.
    """
    for variable, reference in secrets.items():
        if reference is UNKNOWN:
            continue
        name, _, key = reference.partition(":")
        valid = _is_dns_name(name) and _DATA_KEY.fullmatch(key) and len(key) <= 253
        if not valid or {name, key, reference} & {*known_secrets}:
            raise RunnerError(
                f"secrets: the reference of {variable} is not `SECRET:KEY`, the name of a Secret (lower-case letters, "
                f"digits, `-`, `.`) and one of its keys; found {len(reference)} characters. The value of the secret "
                f"itself does not belong here: create a Secret with `kubectl create secret generic`."
            )
    for path, name in _with_paths(names):
        if name in known_secrets:
            raise RunnerError(f"{path} is a secret of the project, and anyone who can read Jobs sees it. {_NEXT_NAME}")
        if not _is_dns_name(name):
            raise RunnerError(
                f"{path} is not the name of an object in Kubernetes; found {len(name)} characters, expected lower-case "
                f"letters, digits, `-` and `.`. {_NEXT_NAME}"
            )


def _with_paths(names: Mapping[str, Collection[str] | str]) -> Iterator[tuple[str, str]]:
    for field, value in names.items():
        for path, name in [(field, value)] if isinstance(value, str) else _members(field, "list", value):
            if name is not UNKNOWN:
                yield path, cast("str", name)


def _is_dns_name(name: str) -> bool:
    return len(name) <= 253 and _DNS_NAME.fullmatch(name) is not None


def _hint(name: str, known: Collection[str]) -> str:
    close = closest_match(name, known)
    return f"; did you mean `{close}`?" if close else f". It has: {', '.join(sorted(known))}."


def _shown(value: object) -> str:
    """Describes a value for a message without its text, which may be a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    return "a mapping" if isinstance(value, Mapping) else "text" if isinstance(value, str) else type(value).__name__
