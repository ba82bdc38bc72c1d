"""Assigns each node to the environment that runs its commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from starlake_dagster_assets.airflow.plan.model import EnvironmentName
from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.errors import StarlakeError, closest_match
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.graph.select import assign_by_selection

__all__ = ["NodeEnvironments", "environments_of", "validate_environment"]

_NOWHERE: Mapping[str, EnvironmentName] = MappingProxyType({})


@dataclass(frozen=True)
class NodeEnvironments:
    """Execution environments of nodes.

    Attributes:
        default: Environment of all nodes without an entry in `overrides`.
        overrides: Environments by node id.
        dagster: Environments of Dagster definitions by node id, also those without Airflow operators.
    """

    default: EnvironmentName = "shell"
    overrides: Mapping[str, EnvironmentName] = field(default_factory=lambda: _NOWHERE)
    dagster: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)

    def of(self, node: str) -> EnvironmentName:
        """Returns the environment of a node."""
        return self.overrides.get(node, self.default)

    def parts(self, nodes: Iterable[str]) -> dict[EnvironmentName, list[str]]:
        """Groups nodes by environment."""
        found: dict[EnvironmentName, list[str]] = {}
        for node in nodes:
            found.setdefault(self.of(node), []).append(node)
        return found


def validate_environment(name: str) -> EnvironmentName:
    """Returns the name of an environment if Airflow has operators for the environment.

    Raises:
        StarlakeError: For any other name; the message suggests the closest one.
    """
    names = _names()
    if name in names:
        return name
    close = closest_match(name, names)
    hint = f"; did you mean `{close}`?" if close else "."
    raise StarlakeError(f"environment {name!r}: Airflow files are written for {', '.join(names)}{hint}")


def environments_of(
    graph: Graph, environment: str | None, selections: Mapping[str, str], dagster: Mapping[str, str]
) -> NodeEnvironments:
    """Assigns each node to an environment: by the first selection that contains it, `environment`, or the definitions.

    Args:
        graph: Graph of the project.
        environment: Environment of nodes that no selection contains; None = that of the definitions, else `shell`.
        selections: Environments by selection.
        dagster: Environments of definitions, by node id.

    Raises:
        StarlakeError: For an environment that is unknown or has no operators in Airflow.
        SelectionError: When a selection matches nothing or cannot be parsed.
    """
    known = {selection: validate_environment(name) for selection, name in selections.items()}
    others = assign_by_selection(graph, known)
    if environment is not None:
        return NodeEnvironments(validate_environment(environment), others, dagster)
    names = _names()
    for node, name in dagster.items():
        if name in names:
            others.setdefault(node, name)
    return NodeEnvironments("shell", others, dagster)


def _names() -> list[str]:
    return [name for name, one in execution_environments().items() if one.airflow]
