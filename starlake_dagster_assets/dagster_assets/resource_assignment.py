"""Assigns nodes to resources, for projects with several resources."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from starlake_dagster_assets._arguments import instance_of, shown
from starlake_dagster_assets.checking.environment_settings import find_invalid_settings
from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import secrets_of
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.environments import environment_of, get_environment
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.select import assign_by_selection
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.resources import StarlakeResource

__all__ = ["find_settings_problems", "named_environments", "resource_keys", "resource_of"]


def resource_of(value: object, function: str, argument: str) -> StarlakeResource:
    """Returns the resource that a user passed; the embedded engine for None.

    Args:
        value: What was passed.
        function: The function that was called, for the message.
        argument: The name of the argument.

    Raises:
        TypeError: When it is something else, or a class instead of an instance.
    """
    if value is None:
        return _default_resource()
    kind = getattr(value, "resource_cls", None)
    if isinstance(kind, type) and issubclass(kind, StarlakeResource):  # `StarlakeShell.configure_at_launch()`
        return cast("StarlakeResource", value)
    return instance_of(value, StarlakeResource, function, argument, "StarlakeDuckDB(), StarlakeShell(…)")


@cache  # Dagster merges definitions whose resources of one key are one object
def _default_resource() -> StarlakeResource:
    """Returns the embedded engine: one object for all definitions that are built without a resource."""
    from starlake_dagster_assets.resources import StarlakeDuckDB

    return StarlakeDuckDB()


def named_environments(environments: object, resource_key: str) -> tuple[dict[str, str], dict[str, StarlakeResource]]:
    """Assigns a key to each resource that is given by selection.

    Args:
        environments: Resources by selection.
        resource_key: Key of the resource that runs the other nodes; the assigned keys consist of it and the name of the
            environment.

    Returns:
        The key by selection, and the resource by key. An object that is given twice has one key.
    """
    if not environments:
        return {}, {}
    if not isinstance(environments, Mapping):
        example = '{"domain:logs": StarlakeShell(…)}'
        raise TypeError(f"`environments` is {shown(environments)}; pass resources by selection, such as {example}.")
    keys: dict[str, str] = {}
    resources: dict[str, StarlakeResource] = {}
    for selection, value in cast("Mapping[str, Any]", environments).items():
        resource = resource_of(value, "build_definitions", f'environments["{selection}"]')
        known = next((key for key, other in resources.items() if other is resource), None)
        stem = f"{resource_key}_{environment_of(resource) or 'other'}"
        number = 1 + sum(key == stem or key.startswith(f"{stem}_") for key in resources)
        keys[selection] = known or (stem if number == 1 else f"{stem}_{number}")
        resources[keys[selection]] = resource
    return keys, resources


def resource_keys(
    project: ProjectSource, chosen: Sequence[str], environments: Mapping[str, str], resource_key: str
) -> dict[str, str]:
    """Returns the key of the resource that runs each node.

    Args:
        project: The project.
        chosen: Node ids.
        environments: Keys by selection; the first selection that contains a node applies to it.
        resource_key: Key for nodes that no selection contains.

    Raises:
        SelectionError: When a selection matches nothing or cannot be parsed.
    """
    keys = assign_by_selection(project.graph, environments)
    return {node: keys.get(node, resource_key) for node in chosen}


def find_settings_problems(
    translator: StarlakeTranslator, resources: Mapping[str, StarlakeResource], keys: Mapping[str, str]
) -> list[Problem]:
    """Returns problems of settings of single tables and tasks: a warning for each setting that an environment ignores.

    Args:
        translator: The translator, bound to the project.
        resources: Resources by key.
        keys: Key of the resource that runs each node.

    Raises:
        ProjectError: When an environment rejects a setting. With `on_error="skip"`, such problems are returned instead.
    """
    project = translator.source
    positions, secrets = Positions(project.root), secrets_of(project.model)
    found: list[Problem] = []
    for key, resource in resources.items():
        nodes = [project.graph.nodes[node] for node, its_key in keys.items() if its_key == key]
        if hasattr(resource, "resource_cls") or not (environment := environment_of(resource)):
            continue  # some of its fields are set in run config, and are not known yet
        found += find_invalid_settings(
            nodes,
            [get_environment(environment)],
            positions,
            resource=resource,
            spark=translator.get_spark_config,
            config=translator.get_environment_config,
            secrets=secrets,
        )
    errors = [one for one in found if one.severity == "error"]
    if errors and getattr(project, "on_error", "raise") == "raise":
        raise ProjectError(errors)
    return found
