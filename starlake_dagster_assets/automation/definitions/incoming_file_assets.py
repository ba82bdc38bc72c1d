"""The incoming files of tables as observed assets, so that automation conditions of the tables see deliveries."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.automation.file_arrivals.directory_scan import FileMatcher, FileSet
from starlake_dagster_assets.automation.file_arrivals.paths import directory
from starlake_dagster_assets.automation.policies.model import PreLoad, Triggers
from starlake_dagster_assets.automation.policies.skip_reasons import short_hash
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.execution.file_store import Store

__all__ = ["build_incoming_files", "build_observation", "file_keys", "find_condition_nodes", "is_observed"]

_VERSION = "dagster/data_version"
"""Tag of Dagster: the data version of an observation. For conditions, a changed data version is an update."""
_MOST_NAMED = 100


def file_keys(translator: StarlakeTranslator, nodes: Collection[str]) -> dict[str, dg.AssetKey]:
    """Returns the asset keys of the incoming files of tables, by node id of the table."""
    graph = translator.graph
    ups = {node: next((up for up in graph.upstream[node] if graph.nodes[up].is_files), None) for node in nodes}
    return {node: translator.spec(graph.nodes[up]).key for node, up in ups.items() if up is not None}


def find_condition_nodes(translator: StarlakeTranslator, nodes: Collection[str]) -> frozenset[str]:
    """Returns the nodes that an automation condition of the translator starts."""
    specs: dict[str, Any] = {node: translator.spec(translator.graph.nodes[node]) for node in nodes}
    return frozenset(node for node, spec in specs.items() if spec.automation_condition is not None)


def build_observation(key: dg.AssetKey, files: FileSet, place: str) -> dg.AssetObservation:
    """Returns the observation of a set of files: names, sizes, and a data version of the set.

    Args:
        key: Asset key of the incoming files.
        files: The set of files.
        place: Directory of the files.
    """
    return dg.AssetObservation(key, metadata=_metadata(files, place), tags={_VERSION: files.digest})


def is_observed(instance: dg.DagsterInstance, key: dg.AssetKey, files: FileSet) -> bool:
    """Whether the newest observation of incoming files is of the given set of files."""
    records = instance.fetch_observations(dg.AssetRecordsFilter(asset_key=key), limit=1).records
    found = records[0].asset_observation if records else None
    return found is not None and (found.tags or {}).get(_VERSION) == files.digest


def build_incoming_files(
    translator: StarlakeTranslator, triggers: Triggers, defined: Collection[dg.AssetKey]
) -> list[dg.AssetsDefinition]:
    """Builds observable assets for the files of tables that wait for files and have an automation condition.

    Arrival sensors report their observations; *Observe* in the UI lists the files at once.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project.
        defined: Keys of assets that are defined elsewhere.
    """
    waiting = {node: one.preload for node, one in triggers.triggers.items() if one.preload is not None}
    keys = file_keys(translator, find_condition_nodes(translator, waiting.keys()))
    nodes = {key: node for node, key in keys.items() if key not in defined}
    if not nodes:
        return []
    specs = [dg.AssetSpec(key, group_name=key.path[-2] if len(key.path) > 1 else None) for key in nodes]
    root = short_hash(str(translator.source.root))
    decorate = cast("Any", dg).multi_observable_source_asset  # its type is partly unknown to pyright
    with suppress_dagster_warnings():

        @decorate(specs=specs, name=f"{triggers.prefix}incoming_files_{root}", can_subset=True)
        def incoming_files(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
            yield from _observed(translator, waiting, {key: nodes[key] for key in context.selected_asset_keys})

    return [incoming_files]


def _observed(
    translator: StarlakeTranslator, waiting: Mapping[str, PreLoad], nodes: Mapping[dg.AssetKey, str]
) -> Iterator[dg.ObserveResult]:
    """Yields an observation of the files of each table; a table without files keeps its last observation."""
    for key, node in nodes.items():
        table, pre_load = translator.graph.nodes[node].table, waiting[node]
        assert table is not None
        domain = translator.graph.domains[table.domain]
        now = datetime.now(ZoneInfo(pre_load.timezone))
        place = directory(pre_load, translator.project, domain, now)
        watched = FileMatcher({node: table}, staged=pre_load.strategy == "pending")
        files = watched.scan(now.timestamp(), Store(pre_load.storage_options).listing(place)).sets.get(node)
        if files is not None:
            version = dg.DataVersion(files.digest)
            with suppress_dagster_warnings():  # experimental in 1.9
                result = dg.ObserveResult(asset_key=key, metadata=_metadata(files, place), data_version=version)
            yield result


def _metadata(files: FileSet, place: str) -> dict[str, Any]:
    sizes = dict(zip(files.names[:_MOST_NAMED], files.sizes, strict=False))
    counts = {"starlake/file_count": len(files.names), "starlake/bytes": sum(files.sizes)}
    return {"starlake/directory": place, **counts, "starlake/files": dg.MetadataValue.json(sizes)}
