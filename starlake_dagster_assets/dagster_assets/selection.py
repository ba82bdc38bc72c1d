"""Asset selections in the selection grammar of Starlake projects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.decorator import Selection, selected_nodes
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator, bound_translator
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding, find_step_binding
from starlake_dagster_assets.errors import SelectionError, StarlakeError
from starlake_dagster_assets.graph.select import format_names, quote_selection

__all__ = ["ProjectOrAssets", "SelectedAssets", "build_starlake_asset_selection", "selected_assets"]

ProjectOrAssets: TypeAlias = ProjectLike | dg.Definitions | dg.AssetsDefinition | Iterable[Any]
"""A project, the path of its directory, or the assets that were built from it, alone or in definitions."""


@dataclass(frozen=True)
class SelectedAssets:
    """The tables and tasks of a selection.

    Attributes:
        source: The project.
        keys: Asset keys by node id, in topological order.
        partitions: The partitions definitions of the assets, each with the key of one asset that has it; empty if a
            project was passed.
    """

    source: ProjectSource
    keys: Mapping[str, dg.AssetKey]
    partitions: Mapping[dg.PartitionsDefinition[Any], dg.AssetKey] = field(
        default_factory=dict[dg.PartitionsDefinition[Any], dg.AssetKey]
    )


def build_starlake_asset_selection(
    project_or_assets: ProjectOrAssets,
    select: Selection = "*",
    exclude: Selection | None = None,
    translator: StarlakeTranslator | None = None,
) -> dg.AssetSelection:
    """Builds an asset selection from a selection of tables and tasks.

    Args:
        project_or_assets: The project or the path of its directory, or the assets that were built from it: a list,
            one definition, or `Definitions`. Pass the assets if their keys were changed after they were built, for
            example by a key prefix.
        select: Tables and tasks in the selection grammar, such as `tag:daily+`; all by default.
        exclude: Tables and tasks that are left out, in the same grammar.
        translator: The translator of the assets, if a project is passed and the translator changes asset keys.

    Returns:
        A selection of their assets, for jobs, schedules and sensors.

    Raises:
        SelectionError: When the selection names no table and no task.
        StarlakeError: When the assets are not of a Starlake project, or of several.
        TypeError: When an argument has the wrong type.

    Examples:
        A job for all assets with the tag `daily` and their downstreams::

            daily = build_starlake_asset_selection(project, "tag:daily+")
            daily_job = dg.define_asset_job("daily", selection=daily)

        Tables of one domain, and your own asset::

            build_starlake_asset_selection(project, "domain:sales") | dg.AssetSelection.assets("report")
    """
    found = selected_assets(project_or_assets, select, exclude, translator, "build_starlake_asset_selection")
    return dg.AssetSelection.assets(*found.keys.values())


def selected_assets(
    project_or_assets: ProjectOrAssets,
    select: Selection,
    exclude: Selection | None,
    translator: StarlakeTranslator | None,
    function: str,
) -> SelectedAssets:
    """Returns the assets of a selection, with their keys and partitions.

    Args:
        project_or_assets: As for `build_starlake_asset_selection`.
        select: Tables and tasks.
        exclude: Those that are left out.
        translator: The translator of the assets, if a project is passed.
        function: The function that was called, for messages.

    Raises:
        SelectionError: When the selection names no table and no task.
        StarlakeError: When the assets are not of a Starlake project, or of several.
        TypeError: When an argument has the wrong type.
    """
    assets = _assets(project_or_assets)
    if assets is None:
        project = project_of(project_or_assets, function)
        bound = bound_translator(translator, project, function)
        nodes = selected_nodes(project, select, exclude)
        specs = bound.specs()
        return SelectedAssets(project, {node: specs[node].key for node in nodes})
    if translator is not None:
        raise TypeError(f"{function}: the assets have a translator already; pass `translator` with a project only.")
    bindings = [(one, binding) for one in assets if (binding := find_step_binding(one)) is not None]
    source = _source([binding for _, binding in bindings], function)
    keys = {node.id: key for one, binding in bindings for key, node in binding.nodes.items() if key in one.keys}
    nodes = [node for node in selected_nodes(source, select, exclude) if node in keys]
    if not nodes:
        raise SelectionError(
            f"{function}: the selection {quote_selection(select, exclude)} names no table and no task of the assets. "
            "The assets "
            f"have: {format_names(keys)}. Select one of them, or pass the project instead."
        )
    chosen = {node: keys[node] for node in nodes}
    return SelectedAssets(source, chosen, _partitions(assets, set(chosen.values())))


def _assets(assets: Any) -> list[dg.AssetsDefinition] | None:
    """Returns the assets that were passed; None if a project was passed."""
    if isinstance(assets, dg.Definitions):
        assets = list(assets.assets or ())
    elif isinstance(assets, dg.AssetsDefinition):
        assets = [assets]
    if not isinstance(assets, list | tuple | set | frozenset):
        return None
    return [one for one in cast("Iterable[Any]", assets) if isinstance(one, dg.AssetsDefinition)]


def _source(bindings: list[StepBinding], function: str) -> ProjectSource:
    sources = {(one.source.root, one.source.env): one.source for one in bindings}
    if len(sources) == 1:
        return next(iter(sources.values()))
    if not sources:
        raise StarlakeError(f"{function}: none of the assets is of a Starlake project; pass the project instead.")
    names = ", ".join(str(root) for root, _ in sources)
    raise StarlakeError(f"{function}: the assets are of several projects ({names}); pass the assets of one.")


def _partitions(
    assets: list[dg.AssetsDefinition], keys: set[dg.AssetKey]
) -> dict[dg.PartitionsDefinition[Any], dg.AssetKey]:
    found: dict[dg.PartitionsDefinition[Any], dg.AssetKey] = {}
    for one in assets:
        for spec in one.specs:
            if spec.key in keys and spec.partitions_def is not None:
                found.setdefault(spec.partitions_def, spec.key)
    return found
