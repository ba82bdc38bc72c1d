"""Groups assets into steps: as few as resources, partitions, pools and the user's own assets allow."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any, Literal

import dagster as dg

from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.partitions import partitioned_by_rows
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.acyclic_groups import group_into_steps

__all__ = ["FEW", "Step", "StepSplit", "steps_of"]

StepSplit = Literal["auto", "project", "group", "task"]
FEW = 500
"""Largest number of assets in one step by default: each job that selects a part rebuilds all assets of its step."""

Step = tuple[str, tuple[str, ...]]
"""The name of a step, and its node ids in topological order."""
_NOWHERE: Mapping[str, str] = MappingProxyType({})


def steps_of(
    translator: StarlakeTranslator,
    chosen: Sequence[str],
    steps: StepSplit,
    name: str,
    around: Iterable[Any] = (),
    resource_keys: Mapping[str, str] = _NOWHERE,
) -> list[Step]:
    """Groups the nodes of a project into steps.

    Args:
        translator: Translator that is bound to the project.
        chosen: Node ids, in topological order.
        steps: `project`, `group` or `task`; `auto`: `project` up to `FEW` nodes; for more, one step per job, so that a
            run of a job behaves as in one step, or `group` if the jobs are not known.
        name: Name of the step of the whole project, and prefix of the names of other steps.
        around: The user's own assets. If one of them reads an asset of the project and another asset of the project
            reads it, these two cannot share a step: Dagster 1.9 would fail in the middle of the run.
        resource_keys: Key of the resource that runs each node, by node id: a step has one.

    Returns:
        The steps, with unique names.
    """
    jobs = _jobs(translator, chosen) if steps == "auto" and len(chosen) > FEW else _NOWHERE
    kinds = {node: (_kind(translator, node), resource_keys.get(node), jobs.get(node)) for node in chosen}
    floor = _floors(translator, chosen, list(around), kinds)
    cut = _by_job(chosen, name, jobs) if jobs else _by_way(translator, chosen, steps, name)
    sets: dict[tuple[str, int, Any], list[str]] = {}
    for step, nodes in cut:
        for node in nodes:
            sets.setdefault((step, floor.get(node, 0), kinds[node]), []).append(node)
    taken: set[str] = set()
    return [(_free(step, taken), tuple(nodes)) for (step, _, _), nodes in sets.items()]


def _kind(translator: StarlakeTranslator, node: str) -> Hashable:
    """Returns the properties that all nodes of a step share: a step has one partitions definition and one pool.

    Loads whose rows determine their partitions run without a partition. In one step with tasks that read them, Dagster
    would read the partitions of the upstream tables from the run, and fail.
    """
    known = translator.graph.nodes[node]
    definition = translator.spec(known).partitions_def
    by_rows = partitioned_by_rows(known, definition, translator.trigger(known))
    return definition, by_rows, translator.get_pool(known)


def _jobs(translator: StarlakeTranslator, chosen: Sequence[str]) -> Mapping[str, str]:
    """Returns the job that runs each node; empty if the translator has no trigger for one of the nodes."""
    triggers = translator.triggers
    if triggers is None or any(node not in triggers.triggers for node in chosen):
        return _NOWHERE
    return {node: triggers.triggers[node].job for node in chosen}


def _by_job(chosen: Sequence[str], name: str, jobs: Mapping[str, str]) -> list[Step]:
    return [(f"{name}__{group_name(jobs[node])}", (node,)) for node in chosen]


def _by_way(translator: StarlakeTranslator, chosen: Sequence[str], steps: StepSplit, name: str) -> list[Step]:
    if steps == "project" or (steps == "auto" and len(chosen) <= FEW):
        return [(name, tuple(chosen))]
    found: list[Step] = []
    for group in group_into_steps(translator.graph, chosen):
        if steps == "task" and group.kind == "transform":
            found.extend((f"{name}__transform__{group_name(node)}", (node,)) for node in group.node_ids)
        else:
            found.append((f"{name}__{group.kind}__{group_name(group.name)}", group.node_ids))
    return found


def _floors(
    translator: StarlakeTranslator, chosen: Sequence[str], around: Sequence[Any], kinds: Mapping[str, Hashable]
) -> Mapping[str, int]:
    """Counts the step boundaries on the longest path to each node.

    A path crosses a boundary through one of the user's own assets, or from a node of one kind to a node of another
    kind. Nodes on both sides of a boundary cannot be in one step.
    """
    outside = _outside(around)
    if not outside and len(set(kinds.values())) < 2:
        return {}
    graph = translator.graph
    keys = {translator.spec(graph.nodes[node]).key: node for node in graph.nodes}
    inside = set(chosen)
    reads: dict[Hashable, set[Hashable]] = {key: {keys.get(dep, dep) for dep in deps} for key, deps in outside.items()}
    for node in chosen:
        spec = translator.spec(graph.nodes[node])
        reads[node] = {keys.get(dep.asset_key, dep.asset_key) for dep in spec.deps}
        # An external node of the graph that an asset of the user writes is known by its key.
        reads[node] |= {dep.asset_key for dep in spec.deps if dep.asset_key in outside}
    floors: dict[Hashable, int] = {}

    def _leaves(dep: Hashable, one: Hashable) -> bool:
        return one in inside and (dep in outside or (dep in inside and kinds[str(dep)] != kinds[str(one)]))

    try:
        order = list(TopologicalSorter(reads).static_order())
    except CycleError:  # Dagster names the assets of the cycle
        return {}
    for one in order:
        before = [floors.get(dep, -1) + (1 if _leaves(dep, one) else 0) for dep in reads.get(one, ())]
        floors[one] = max([0 if one in inside else -1, *before])
    return {node: floors[node] for node in chosen}


def _outside(around: Sequence[Any]) -> dict[dg.AssetKey, set[dg.AssetKey]]:
    """Maps each of the user's own assets to the assets that its step reads: all outputs wait for all inputs."""
    found: dict[dg.AssetKey, set[dg.AssetKey]] = {}
    for asset in around:
        if not isinstance(asset, dg.AssetsDefinition):
            continue
        deps = {dep.asset_key for spec in asset.specs for dep in spec.deps} - set(asset.keys)
        found.update(dict.fromkeys(asset.keys, deps))
    return found


def _free(stem: str, taken: set[str]) -> str:
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name
