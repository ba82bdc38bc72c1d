"""Validates values that the types of the Kubernetes API do not describe: choices, names of variables, volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.backends.local.shell_env import VARIABLE_NAME

__all__ = ["validate_choice", "validate_volumes"]

_SELECTORS = ("DoesNotExist", "Exists", "In", "NotIn")
_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("V1Container", "image_pull_policy"): ("Always", "IfNotPresent", "Never"),
        ("V1LabelSelectorRequirement", "operator"): _SELECTORS,
        ("V1NodeSelectorRequirement", "operator"): (*_SELECTORS, "Gt", "Lt"),
        ("V1PodSpec", "dns_policy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        ("V1PodSpec", "preemption_policy"): ("Never", "PreemptLowerPriority"),
        ("V1Toleration", "effect"): ("NoExecute", "NoSchedule", "PreferNoSchedule"),
        ("V1Toleration", "operator"): ("Equal", "Exists", "Gt", "Lt"),
        ("V1TopologySpreadConstraint", "when_unsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
        ("V1VolumeMount", "mount_propagation"): ("Bidirectional", "HostToContainer", "None"),
    }
)
"""Values that the API server accepts, by kind of object and field."""


def validate_choice(path: str, kind: str, field: str, value: object) -> None:
    """Validates a text of which Kubernetes accepts only some values.

    Args:
        path: Path of the value, such as `tolerations[0].effect`.
        kind: Kind of the object, in the words of the official client.
        field: Name of the field in the client.
        value: The value.

    Raises:
        RunnerError: Names the path, what was found, and the closest value.
    """
    known = _CHOICES.get((kind, field))
    if known and isinstance(value, str) and value not in known:
        close = closest_match(value, known)
        hint = f"; did you mean `{close}`?" if close else "."
        raise RunnerError(f"{path} is {value[:40]!r}; expected one of {', '.join(known)}{hint}")
    if (kind, field) == ("V1EnvVar", "name") and isinstance(value, str) and not VARIABLE_NAME.fullmatch(value):
        shown = value.partition("=")[0]
        raise RunnerError(
            f"{path} is not the name of a variable; found {shown!r:.40} ({len(value)} characters), expected letters, "
            "digits, `_`, `-` and `.`."
        )


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
