"""Validates values that the types of the Kubernetes API do not describe: choices, ranges, fields that belong together.

The official client and the published schema have no such rules; these are the ones that a configuration of a Job may
plausibly break.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.backends.local.shell_env import VARIABLE_NAME
from starlake_dagster_assets.execution.backends.remote.public_texts import UNKNOWN

__all__ = ["validate_field", "validate_object", "validate_quantity", "validate_volumes"]

_MAX_SECONDS = 2**31 - 1
"""Longest duration that Kubernetes accepts, in seconds."""
_SELECTORS = ("DoesNotExist", "Exists", "In", "NotIn")
_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("V1Container", "image_pull_policy"): ("Always", "IfNotPresent", "Never"),
        ("V1HostPathVolumeSource", "type"): (
            *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
        ),
        ("V1LabelSelectorRequirement", "operator"): _SELECTORS,
        ("V1NodeSelectorRequirement", "operator"): (*_SELECTORS, "Gt", "Lt"),
        ("V1PodSecurityContext", "fs_group_change_policy"): ("Always", "OnRootMismatch"),
        ("V1PodSpec", "dns_policy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        ("V1PodSpec", "preemption_policy"): ("Never", "PreemptLowerPriority"),
        ("V1SeccompProfile", "type"): ("Localhost", "RuntimeDefault", "Unconfined"),
        ("V1Toleration", "effect"): ("NoExecute", "NoSchedule", "PreferNoSchedule"),
        ("V1Toleration", "operator"): ("Equal", "Exists", "Gt", "Lt"),
        ("V1TopologySpreadConstraint", "when_unsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
        ("V1VolumeMount", "mount_propagation"): ("Bidirectional", "HostToContainer", "None"),
    }
)
"""Values that the API server accepts, by kind of object and field."""
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])|([eE][+-]?\d+))?")
_UNITS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def _quantity(value: object) -> Decimal | None:
    """Parses a quantity, such as `500m` or `16Gi`, as a number; returns None for any other value."""
    found = _QUANTITY.fullmatch(str(value))
    if found is None:
        return None
    number, binary, unit, exponent = found.groups()
    if binary:
        return Decimal(number) * 1024 ** ("KMGTPE".index(binary[0]) + 1)
    return Decimal(number).scaleb(_UNITS[unit] if unit else int(exponent[1:]) if exponent else 0)


_Format = tuple[str, Callable[[Any], bool]]


def _between(low: int, high: int, note: str = "") -> _Format:
    return f"a whole number from {low} to {high}{note}", lambda value: low <= int(value) <= high


def _matches(pattern: str, expected: str) -> _Format:
    return expected, lambda value: re.fullmatch(pattern, str(value), re.DOTALL) is not None


_MODE = _between(0, 0o777, " (octal 0777)")
_ID = _between(0, 2**31 - 1)
_LABEL = _matches(".+", "the label of a node, such as `kubernetes.io/hostname`")
_SECONDS = _between(0, _MAX_SECONDS)
_SUB_PATH = _matches(
    r"(?!/)(?!(?:.*/)?\.\.(?:/|$)).*", "a path within the volume, without `..` and without `/` at its start"
)
_QUANTITIES: _Format = (
    "a quantity of Kubernetes that is not negative, such as `500m`, `2` or `16Gi`",
    lambda value: (-1 if (number := _quantity(value)) is None else number) >= 0,
)
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_RESOURCE = re.compile(rf"{'|'.join(_RESOURCES)}|hugepages-.+|.+/.+", re.DOTALL)
_RESOURCE_ALIASES = {"mem": "memory", "ram": "memory", "storage": "ephemeral-storage", "gpu": "nvidia.com/gpu"}
_DEVICES = _matches(r"\d+", "a whole number, such as `1`")
_FORMATS: Mapping[tuple[str, str], _Format] = MappingProxyType(
    {
        ("V1ConfigMapVolumeSource", "default_mode"): _MODE,
        ("V1DownwardAPIVolumeSource", "default_mode"): _MODE,
        ("V1EmptyDirVolumeSource", "medium"): _matches("|Memory|HugePages(?:-.+)?", "Memory, or none for the disk"),
        ("V1EmptyDirVolumeSource", "size_limit"): _QUANTITIES,
        ("V1HostPathVolumeSource", "path"): _matches(r"(?!(?:.*/)?\.\.(?:/|$)).+", "a path without `..`"),
        ("V1JobSpec", "active_deadline_seconds"): _between(1, _MAX_SECONDS),
        ("V1JobSpec", "ttl_seconds_after_finished"): _SECONDS,
        ("V1KeyToPath", "mode"): _MODE,
        ("V1KeyToPath", "path"): _SUB_PATH,
        ("V1ObjectFieldSelector", "field_path"): _matches(
            r"metadata\.(?:name|namespace|uid|(?:labels|annotations)(?:\['[^']+'\])?)|spec\.(?:nodeName|serviceAccountName)"
            r"|status\.(?:hostIPs?|podIPs?)",
            "metadata.name, metadata.namespace, metadata.uid, metadata.labels['…'], metadata.annotations['…'], "
            "spec.nodeName, spec.serviceAccountName, status.hostIP, status.hostIPs, status.podIP or status.podIPs",
        ),
        ("V1PodAffinityTerm", "topology_key"): _LABEL,
        ("V1PodSecurityContext", "fs_group"): _ID,
        ("V1PodSecurityContext", "run_as_group"): _ID,
        ("V1PodSecurityContext", "run_as_user"): _ID,
        ("V1PodSpec", "active_deadline_seconds"): _between(1, _MAX_SECONDS),
        ("V1PodSpec", "termination_grace_period_seconds"): _SECONDS,
        ("V1PreferredSchedulingTerm", "weight"): _between(1, 100),
        ("V1ProjectedVolumeSource", "default_mode"): _MODE,
        ("V1ResourceFieldSelector", "resource"): _matches(
            rf"(?:limits|requests)\.(?:{'|'.join(_RESOURCES)}|hugepages-.+)",
            "limits or requests of cpu, memory or ephemeral-storage, such as `limits.memory`",
        ),
        ("V1SecretVolumeSource", "default_mode"): _MODE,
        ("V1SecurityContext", "run_as_group"): _ID,
        ("V1SecurityContext", "run_as_user"): _ID,
        ("V1TopologySpreadConstraint", "max_skew"): _between(1, 2**31 - 1),
        ("V1TopologySpreadConstraint", "topology_key"): _LABEL,
        ("V1Volume", "name"): _matches(
            r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", "at most 63 lower-case letters, digits and `-`, as in `my-data`"
        ),
        ("V1VolumeMount", "mount_path"): _matches(r"[^:]+", "a path without `:`"),
        ("V1VolumeMount", "sub_path"): _SUB_PATH,
        ("V1VolumeMount", "sub_path_expr"): _SUB_PATH,
        ("V1WeightedPodAffinityTerm", "weight"): _between(1, 100),
    }
)
"""Description and test of a value, by kind of object and field."""


def validate_field(path: str, kind: str, field: str, value: object) -> None:
    """Validates the value of a field for which Kubernetes accepts only certain values.

    Args:
        path: Path of the value, such as `tolerations[0].effect`.
        kind: Kind of the object, in the words of the official client.
        field: Name of the field in the client.
        value: The value, whose type is right.

    Raises:
        RunnerError: Names the path, what was found, what was expected, and the closest value.
    """
    if value is None or value is UNKNOWN:
        return
    known = _CHOICES.get((kind, field))
    if known and isinstance(value, str) and value not in known:
        close = closest_match(value, known)
        hint = f"; did you mean `{close}`?" if close else "."
        raise RunnerError(f"{path} is {value[:40]!r}; expected one of {', '.join(filter(None, known))}{hint}")
    expected, is_valid = _FORMATS.get((kind, field), ("", bool))
    if expected and not is_valid(value):
        raise RunnerError(f"{path} is {str(value)[:40]!r}; expected {expected}.")
    if (kind, field) == ("V1EnvVar", "name") and isinstance(value, str) and not VARIABLE_NAME.fullmatch(value):
        shown = value.partition("=")[0]
        raise RunnerError(
            f"{path} is not the name of a variable; found {shown!r:.40} ({len(value)} characters), expected letters, "
            "digits, `_`, `-` and `.`."
        )


def validate_quantity(path: str, value: str) -> None:
    """Validates a quantity of a resource.

    Raises:
        RunnerError: Names the path, what was found, and what was expected.
    """
    expected, is_valid = _QUANTITIES
    if not is_valid(value):
        raise RunnerError(f"{path}: found {value[:40]!r}, expected {expected}.")


# -------------------------------------------------------------------------------------- fields that belong together

_Object = Mapping[str, Any]


def _volume_problem(values: _Object) -> str:
    sources = sorted(values.keys() - {"name"})
    return f"has the sources {' and '.join(sources)}; expected one of them" if len(sources) > 1 else ""


def _mount_problem(values: _Object) -> str:
    both = {"sub_path", "sub_path_expr"} <= values.keys()
    return "has both `subPath` and `subPathExpr`; expected one of them" if both else ""


def _variable_problem(values: _Object) -> str:
    both = bool(values.get("value")) and "value_from" in values
    return "has both `value` and `valueFrom`; expected one of them" if both else ""


def _variable_source_problem(values: _Object) -> str:
    sources = " and ".join(sorted(values))
    return "" if len(values) == 1 else f"has {f'the sources {sources}' if sources else 'no source'}; expected one"


def _toleration_problem(values: _Object) -> str:
    operator = values.get("operator") or "Equal"
    if operator == "Exists" and values.get("value"):
        return "has the operator Exists and a `value`; expected no value, or the operator Equal"
    if operator == "Equal" and not values.get("key"):
        return "has no `key`; expected one, or the operator Exists, which tolerates all taints"
    if values.get("toleration_seconds") is not None and values.get("effect") not in ("NoExecute", UNKNOWN):
        return f"has `tolerationSeconds` and the effect {values.get('effect') or 'of all taints'}; expected NoExecute"
    return ""


def _requirement_problem(values: _Object) -> str:
    operator, found = values.get("operator"), cast("Sequence[object]", values.get("values") or ())
    if found is UNKNOWN:
        return ""
    number = len(found)
    if operator in ("In", "NotIn") and not number:
        return f"has the operator {operator} and no `values`; expected at least one"
    if operator in ("Exists", "DoesNotExist") and number:
        return f"has the operator {operator} and `values`; expected none"
    if operator in ("Gt", "Lt") and (number != 1 or not str(found[0]).lstrip("-").isdigit()):
        return f"has the operator {operator}; expected one whole number in `values`, found {number} values"
    return ""


def _terms_problem(values: _Object) -> str:
    return "" if values.get("node_selector_terms") else "has no `nodeSelectorTerms`; expected at least one"


def _resources_problem(values: _Object) -> str:
    found = {kind: values[kind] for kind in ("requests", "limits") if isinstance(values.get(kind), Mapping)}
    for kind, name, value in ((kind, *pair) for kind, items in found.items() for pair in items.items()):
        if not _RESOURCE.fullmatch(name):
            close = _RESOURCE_ALIASES.get(name.lower()) or closest_match(name.lower().replace("_", "-"), _RESOURCES)
            hint = f"did you mean `{close}`?" if close else f"expected {', '.join(_RESOURCES)}, or a name with `/`"
            return f".{kind}[{name}]: Kubernetes has no such resource of a container; {hint}"
        expected, is_valid = _DEVICES if "/" in name else _QUANTITIES
        if value is not UNKNOWN and not is_valid(value):
            return f".{kind}[{name}] is {str(value)[:40]!r}; expected {expected}"
    return "" if UNKNOWN in values.values() else _limit_problem(found.get("requests", {}), found.get("limits", {}))


def _limit_problem(requests: _Object, limits: _Object) -> str:
    for name, request in requests.items():
        limit = limits.get(name)
        if UNKNOWN in (request, limit):
            continue
        if "/" in name and (limit is None or _quantity(limit) != _quantity(request)):
            shown = "no limit" if limit is None else f"the limit {limit}"
            return f".requests[{name}] is {request} with {shown}; expected `limits` with the same number"
        if limit is not None and cast("Decimal", _quantity(limit)) < cast("Decimal", _quantity(request)):
            return f".limits[{name}] is {limit}, less than the request {request}; expected at least the request"
    return ""


_PROBLEMS: Mapping[str, Callable[[_Object], str]] = MappingProxyType(
    {
        "V1EnvVar": _variable_problem,
        "V1EnvVarSource": _variable_source_problem,
        "V1LabelSelectorRequirement": _requirement_problem,
        "V1NodeSelector": _terms_problem,
        "V1NodeSelectorRequirement": _requirement_problem,
        "V1ResourceRequirements": _resources_problem,
        "V1Toleration": _toleration_problem,
        "V1Volume": _volume_problem,
        "V1VolumeMount": _mount_problem,
    }
)
"""Function that returns what is wrong with the fields of an object, by its kind."""


def validate_object(path: str, kind: str, values: Mapping[str, object]) -> None:
    """Validates the fields of an object together.

    Args:
        path: Path of the object, such as `tolerations[0]`.
        kind: Its kind, in the words of the official client.
        values: The fields that are set, by their names in the client; their types are right.

    Raises:
        RunnerError: Names the path, what was found, and what was expected.
    """
    problem = _PROBLEMS[kind](values) if kind in _PROBLEMS else ""
    if problem:
        end = "" if problem.endswith("?") else "."
        raise RunnerError(f"{path}{'' if problem.startswith('.') else ' '}{problem}{end}")


def validate_volumes(volumes: object, mounts: object, config: Mapping[str, Any]) -> None:
    """Validates that each mount has a volume, and that no volume and no mount path occurs twice.

    Args:
        volumes: The field `volumes`.
        mounts: The field `volume_mounts`.
        config: Raw configuration, which is merged over the fields.

    Raises:
        RunnerError: Names the mount or the volume.
    """
    pod, container = "k8s_config.pod_spec_config.volumes", "k8s_config.container_config.volume_mounts"
    below = _items(config, "pod_spec_config", ("volumes",))
    more = _items(config, "container_config", ("volume_mounts", "volumeMounts"))
    declared = _mappings(volumes)
    is_complete = isinstance(volumes, list | tuple) and all(
        isinstance(one.get("name"), str) for one in (*declared, *below)
    )
    known: set[str] = set()
    for path, items in (("volumes", declared), (pod, below)):
        known |= _unique(path, items, ("name",), "volume")
    for path, items in (("volume_mounts", _mappings(mounts)), (container, more)):
        _unique(path, items, ("mount_path", "mountPath"), "mount path")
        for number, item in enumerate(items):
            name = item.get("name")
            if is_complete and isinstance(name, str) and name not in known:
                close = closest_match(name, known)
                hint = f" Did you mean `{close}`?" if close else ""
                raise RunnerError(
                    f"{path}[{number}] mounts the volume `{name}`, which does not exist.{hint} Next: add it to "
                    "`volumes`."
                )


def _mappings(value: object) -> Sequence[Mapping[str, object]]:
    items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    return [cast("Mapping[str, object]", item) for item in items if isinstance(item, Mapping)]


def _items(config: Mapping[str, Any], section: str, names: Sequence[str]) -> Sequence[Mapping[str, object]]:
    values: object = config.get(section)
    found: Mapping[str, object] = cast("Mapping[str, object]", values) if isinstance(values, Mapping) else {}
    return [item for name in names for item in _mappings(found.get(name))]


def _unique(path: str, items: Sequence[Mapping[str, object]], names: Sequence[str], what: str) -> set[str]:
    found: set[str] = set()
    for number, item in enumerate(items):
        for text in (item[name] for name in names if isinstance(item.get(name), str)):
            if text in found:
                raise RunnerError(f"{path}[{number}] has the {what} `{text}` of an earlier item. Next: remove one.")
            found.add(cast("str", text))
    return found
