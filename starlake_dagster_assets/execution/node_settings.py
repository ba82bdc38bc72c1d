"""Settings of single tables and tasks for the execution environment, for steps and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.graph.model import Node

__all__ = ["settings_by_node"]


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
