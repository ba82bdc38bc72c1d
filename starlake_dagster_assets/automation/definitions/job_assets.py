"""Assets that a run materializes: keys of nodes, upstreams that run with them, jobs by partitions definition."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.policies.lineage_evaluation import condition_nodes
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.project.resolve.schedules import PRESETS

__all__ = ["asset_key", "split_by_partitions", "untriggered_upstreams", "without_translator_conditions"]


def asset_key(translator: StarlakeTranslator, node: str) -> dg.AssetKey:
    """Returns the asset key of a node; for an id outside the project, the key with the parts of the id.

    Args:
        translator: Translator that is bound to the project.
        node: Id of the node.
    """
    known = translator.graph.nodes.get(node)
    if known is not None:
        return translator.spec(known).key
    return dg.AssetKey(node.split("/" if "/" in node else "."))


def untriggered_upstreams(
    project: ProjectSource, triggers: Triggers, members: Iterable[str], made: Collection[str]
) -> set[str]:
    """Returns the upstreams without a trigger that some members of a job need (`run_dependencies_first`).

    Upstreams that a member watches are left out: a run that materializes them would start the member again.

    Args:
        project: The project.
        triggers: Triggers of the project.
        members: Ids of the nodes of one trigger.
        made: Ids of all nodes of their job.
    """
    found: set[str] = set()
    stack = list(members)
    watches = [one.upstream_condition for node in stack if (one := triggers.triggers.get(node)) is not None]
    seen = {up for watch in watches if watch is not None for up in condition_nodes(watch.condition)}
    while stack:
        for up in project.graph.upstream.get(stack.pop(), ()):
            owner = triggers.triggers[up].triggered_by if up in triggers.triggers else "none"
            if up in made and owner == "none" and up not in found | seen:
                found.add(up)
                stack.append(up)
    return found


def split_by_partitions(translator: StarlakeTranslator, triggers: Triggers) -> Triggers:
    """Returns the triggers with jobs split by partitions definition: a job of Dagster has only one.

    Unpartitioned nodes keep the name of the job, the others have that of a preset or a hash in theirs.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project; returned unchanged if no job is split.
    """
    names: dict[str, str] = {}
    jobs = dict(triggers.jobs)
    for job in triggers.jobs.values():
        grids = {node: translator.spec(translator.graph.nodes[node]).partitions_def for node in job.nodes}
        if len({grid for grid in grids.values() if grid is not None}) < 2:
            continue
        del jobs[job.name]
        for grid in dict.fromkeys(grids.values()):
            nodes = tuple(node for node in job.nodes if grids[node] == grid)
            name = job.name if grid is None else f"{job.name}_{_label(translator, grid)}"
            jobs[name] = replace(job, name=name, nodes=nodes)
            names.update({node: name for node in nodes if triggers.triggers[node].job == job.name})
    if not names:
        return triggers
    moved = {node: replace(one, job=names.get(node, one.job)) for node, one in triggers.triggers.items()}
    return replace(triggers, triggers=moved, jobs=jobs)


def without_translator_conditions(translator: StarlakeTranslator, triggers: Triggers) -> Triggers:
    """Returns the triggers without the conditions of nodes whose `AutomationCondition` the translator sets.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project; returned unchanged if no node has such a condition.
    """
    lineage = (node for node, one in triggers.triggers.items() if one.triggered_by == "lineage")
    specs: dict[str, Any] = {node: translator.spec(translator.graph.nodes[node]) for node in lineage}
    own = {
        node: replace(triggers.triggers[node], triggered_by="condition", upstream_condition=None)
        for node, spec in specs.items()
        if spec.automation_condition is not None
    }
    return replace(triggers, triggers={**triggers.triggers, **own}) if own else triggers


def _label(translator: StarlakeTranslator, grid: dg.PartitionsDefinition[Any]) -> str:
    presets = {**translator.project.application.schedule_presets, **PRESETS}
    cron = grid.cron_schedule if isinstance(grid, dg.TimeWindowPartitionsDefinition) else None
    named = next((name for name, value in presets.items() if value == cron), None)
    return named or hashlib.sha256(repr(grid).encode()).hexdigest()[:6]
