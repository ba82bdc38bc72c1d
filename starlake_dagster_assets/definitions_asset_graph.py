"""Extracts the asset graph of a project from Dagster `Definitions`, for the Airflow exporter."""

from collections.abc import Iterable

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.airflow.export_source import DefinitionsGraph
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.dagster_free_translator import build_asset_overrides
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding, find_step_binding
from starlake_dagster_assets.environments import environment_of
from starlake_dagster_assets.errors import StarlakeError

__all__ = ["definitions_graph"]


def definitions_graph(defs: dg.Definitions, project: ProjectLike | None = None) -> DefinitionsGraph:
    """Returns the asset graph of a project in definitions: keys, groups, dependencies, triggers, and your own assets.

    Args:
        defs: Definitions with assets of `build_definitions`, `build_starlake_assets` or `starlake_assets`, and others.
        project: The project, or the path of its directory; required if the definitions contain several.

    Returns:
        An argument of `export_airflow`, instead of a project.

    Raises:
        StarlakeError: When the definitions have no project, several projects although `project` is not passed, or not
            the project that is passed.

    Examples:
        ::

            defs = build_definitions(project, extra_assets=[weekly_report])
            export_airflow(definitions_graph(defs), "dags")
    """
    wanted = None if project is None else project_of(project, "definitions_graph")
    with suppress_dagster_warnings():
        found = {id(one): one for one in defs.get_repository_def().assets_defs_by_key.values()}.values()
    bound = [(assets, binding) for assets in found if (binding := find_step_binding(assets)) is not None]
    source = _chosen([binding.source for _, binding in bound], wanted)
    mine = [(assets, binding) for assets, binding in bound if binding.source is source]
    steps = {id(assets) for assets, _ in mine}
    here = {
        node: spec for assets, binding in mine for spec in assets.specs if (node := _node(spec, binding)) is not None
    }
    translator = mine[0][1].translator
    specs = {**translator.specs(), **here}
    external = {spec.key for node, spec in specs.items() if node not in here}
    own = {
        spec.key: tuple(tuple(dep.asset_key.path) for dep in spec.deps)
        for assets in found
        for spec in assets.specs
        if id(assets) not in steps
    }
    nodes = source.graph.nodes.values()
    naming = build_asset_overrides(
        source.graph,
        specs,
        excluded=frozenset(node.id for node in nodes if node.kind != "external" and node.id not in here),
        own={tuple(key.path): ups for key, ups in own.items() if ups or key not in external},
        airflow=translator.airflow_arguments(),
    )
    triggers = next((one.translator.triggers for _, one in mine if one.translator.triggers is not None), None)
    return DefinitionsGraph(source, naming, triggers, _environments(defs, mine))


def _environments(defs: dg.Definitions, mine: Iterable[tuple[dg.AssetsDefinition, StepBinding]]) -> dict[str, str]:
    """Returns the execution environment of each node whose step uses exactly one, by node id."""
    given = defs.resources or {}
    words = {key: word for key, one in given.items() if (word := environment_of(one))}
    found: dict[str, str] = {}
    for assets, binding in mine:
        used = {words[key] for key in assets.required_resource_keys if key in words}
        if len(used) == 1:
            (word,) = used
            found |= {node.id: word for node in binding.nodes.values()}
    return found


def _chosen(sources: Iterable[ProjectSource], project: ProjectSource | None) -> ProjectSource:
    found = list({id(source): source for source in sources}.values())
    names = ", ".join(str(source.root) for source in found)
    if project is not None:
        same = [one for one in found if one is project]
        same = same or [one for one in found if (one.root, one.env) == (project.root, project.env)]
        if not same:
            raise StarlakeError(
                f"The definitions hold no asset of the project {project.root}"
                + (f"; they hold those of {names}." if found else "; they hold no Starlake project at all.")
            )
        return same[0]
    if len(found) != 1:
        raise StarlakeError(
            f"The definitions hold several projects ({names}): pass one, as definitions_graph(defs, project)."
            if found
            else "The definitions hold no Starlake project: expected assets of build_definitions or starlake_assets."
        )
    return found[0]


def _node(spec: dg.AssetSpec, binding: StepBinding) -> str | None:
    """Returns the id of the node of an asset spec; None for an asset that is not of a node."""
    known = binding.nodes.get(spec.key)
    return known.id if known is not None else None
