"""Which resource runs which nodes, where a project has several."""

from collections.abc import Mapping, Sequence

from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.graph.select import assigned
from starlake_dagster_assets.resources import StarlakeResource

__all__ = ["named_environments", "resource_keys"]


def named_environments(
    environments: Mapping[str, StarlakeResource], resource_key: str
) -> tuple[dict[str, str], dict[str, StarlakeResource]]:
    """Keys for resources that are given by what they run.

    Args:
        environments: Resources by selection.
        resource_key: Of the resource that runs the rest; the other keys begin with it and end with the environment.

    Returns:
        The key by selection, and the resource by key. One object that is given twice has one key.
    """
    if not environments:
        return {}, {}
    from starlake_dagster_assets.resources.environments import environment_of  # all of them

    keys: dict[str, str] = {}
    resources: dict[str, StarlakeResource] = {}
    for selection, resource in environments.items():
        known = next((key for key, other in resources.items() if other is resource), None)
        stem = f"{resource_key}_{environment_of(resource) or 'other'}"
        number = 1 + sum(key == stem or key.startswith(f"{stem}_") for key in resources)
        keys[selection] = known or (stem if number == 1 else f"{stem}_{number}")
        resources[keys[selection]] = resource
    return keys, resources


def resource_keys(
    project: ProjectSource, chosen: Sequence[str], environments: Mapping[str, str], resource_key: str
) -> dict[str, str]:
    """The key of the resource that runs each node.

    Args:
        project: The project.
        chosen: Node ids.
        environments: Keys by selection; the first selection that has a node counts.
        resource_key: Of what no selection has.

    Raises:
        SelectionError: When a selection names nothing or is not of the grammar.
    """
    keys = assigned(project.graph, environments)
    return {node: keys.get(node, resource_key) for node in chosen}
