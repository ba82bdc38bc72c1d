"""Settings of single tables and tasks for the execution environment, for steps and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.graph.model import Node

__all__ = ["InvalidSetting", "NodeSettings", "settings_by_node"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class NodeSettings:
    """Settings of one table or task for an execution environment.

    Attributes:
        tags: Its tags, such as `kubernetes_cpu=4`.
        spark: Its Spark properties, from tags and `StarlakeTranslator.get_spark_config`.
        config: The settings that `StarlakeTranslator.get_environment_config` returns.
        secrets: Values that are known to be secret.
    """

    tags: tuple[str, ...] = ()
    spark: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    config: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class InvalidSetting:
    """A setting of a table or task that is not valid.

    Attributes:
        text: The setting, what was found, what was expected, and the next step.
        tag: Name of the tag, such as `kubernetes_cpu`; empty if no tag has the setting.
        severity: `error` if the command would fail; `warning` if the setting has no effect.
    """

    text: str
    tag: str = ""
    severity: Literal["error", "warning"] = "error"


def _spark_of_tags(node: Node) -> Mapping[str, str]:
    return spark_of(node.tags)


def _no_config(node: Node) -> Mapping[str, Any]:
    return {}


def settings_by_node(
    capabilities: RunnerCapabilities,
    spark: Callable[[Node], Mapping[str, str]] = _spark_of_tags,
    config: Callable[[Node], Mapping[str, Any]] = _no_config,
) -> dict[str, Any]:
    """Returns the fields `spark` and `overrides` of `RunSettings` that have an effect; others would only split loads.

    Args:
        capabilities: Properties of the runner.
        spark: Returns the Spark properties of a node.
        config: Returns the configuration of a node for the environment, which takes precedence over its tags.
    """
    found: dict[str, Any] = {"spark": spark} if capabilities.uses_spark else {}
    of_tags = capabilities.overrides_of
    if of_tags is None:
        return found

    def overrides(node: Node) -> tuple[str, ...]:
        given = config(node)
        return (*of_tags(node.tags), *([json.dumps(given, sort_keys=True)] if given else []))

    return {**found, "overrides": overrides}
