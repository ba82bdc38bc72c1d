"""Finds settings of single tables and tasks that an execution environment rejects or ignores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.commands.redaction import redact
from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.environments import ExecutionEnvironment, NodeSettings
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.problems import Problem

if TYPE_CHECKING:
    from starlake_dagster_assets.resources.base import StarlakeResource

__all__ = ["find_invalid_settings"]


def _spark_of_tags(node: Node) -> Mapping[str, str]:
    return spark_of(node.tags)


def _no_config(node: Node) -> Mapping[str, Any]:
    return {}


def find_invalid_settings(
    nodes: Iterable[Node],
    environments: Iterable[ExecutionEnvironment],
    positions: Positions,
    *,
    resource: StarlakeResource | None = None,
    spark: Callable[[Node], Mapping[str, str]] = _spark_of_tags,
    config: Callable[[Node], Mapping[str, Any]] = _no_config,
    secrets: frozenset[str] = frozenset(),
) -> Iterator[Problem]:
    """Yields the settings of tables and tasks that their environments reject or ignore.

    Args:
        nodes: The nodes.
        environments: The environments that may run their commands.
        positions: Finder of the lines of tags.
        resource: The resource that runs their commands; None if it is not known.
        spark: Function that returns the Spark properties of a node; by default, those of its tags.
        config: Function that returns the settings of a node from the translator; by default, none.
        secrets: Values that are never shown.

    Yields:
        Errors for settings that an environment rejects, warnings for those that it ignores.
    """
    validating = [one for one in environments if one.settings]
    for node in nodes if validating else ():
        if node.definition is None or node.is_files:
            continue
        settings = NodeSettings(tuple(node.tags), spark(node), config(node), secrets)
        for one in (one for environment in validating for one in environment.invalid_settings(settings, resource)):
            at = node.location
            file, line, _ = positions.find_text(at, one.tag) if one.tag else (at.file, at.line, None)
            yield Problem(
                file=file,
                line=line,
                message=f"{node.id}: {redact(one.text, secrets)}",
                severity=one.severity,
                code="invalid-setting" if one.severity == "error" else "ignored-setting",
            )
