"""Names of DAGs and of their files: short, and unchanged as long as the first node of the DAG is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlake_dagster_assets.airflow.plan.grouping import DagNodes
from starlake_dagster_assets.airflow.plan.ids import dag_id
from starlake_dagster_assets.airflow.plan.model import AssetExpression, DagSplit
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.project.resolve.schedules import PRESETS

__all__ = ["DagNameParts", "name_of_cron", "names_of_dags"]

_SIGNS = {"*": "x", "/": "by", "-": "to", ",": "and", "#": "nth", "?": "x"}


@dataclass(frozen=True)
class DagNameParts:
    """Parts of the name of a DAG.

    Attributes:
        label: Word for the trigger of the DAG; "" if assets or nothing starts the DAG.
        file: The file of its DAG configuration, if it has one.
        environment: Execution environment; part of the name only if two DAGs would have the same name.
    """

    label: str
    file: str | None
    environment: str


def name_of_cron(cron: str, presets: Mapping[str, str]) -> str:
    """Returns a cron expression as a word: the name of its preset, or else its fields.

    Examples:
        >>> name_of_cron("0 5 * * *", {"morning": "0 5 * * *"}), name_of_cron("*/15 6-18 * * 1-5", {})
        ('morning', 'cron_xby15_6to18_x_x_1to5')
    """
    for known in (presets, {name: text for name, text in PRESETS.items() if name not in presets}):
        for name, text in sorted(known.items()):
            if " ".join(text.split()) == cron:
                return name
    return "cron_" + "_".join("".join(_SIGNS.get(char, char) for char in field) for field in cron.split())


def names_of_dags(
    found: Sequence[DagNodes],
    graph: Graph,
    prefix: str,
    split: DagSplit,
    name_parts: Callable[[DagNodes], DagNameParts],
    groups: Mapping[str, str],
) -> list[str]:
    """Returns the name of each DAG, in the order of the DAGs.

    Args:
        found: The DAGs.
        graph: The graph.
        prefix: Prefix of the names, except those from DAG configurations.
        split: Property that the nodes of a DAG share.
        name_parts: Returns the parts of the name of a DAG.
        groups: The groups of a translator, by node id.
    """
    names: dict[str, None] = {}
    parts_of_dags = [name_parts(dag_nodes) for dag_nodes in found]
    several = len({about.environment for about in parts_of_dags}) > 1
    for dag_nodes, about in zip(found, parts_of_dags, strict=True):
        first = graph.nodes[dag_nodes.nodes[0]]
        phase = "load" if first.kind == "table" else "transform"
        whole = groups.get(first.id) or (first.table.domain if first.table else first.domain)
        name, file = about.label, about.file
        if file:
            parts = [file] if dag_id([file]) not in names else [file, first.key[-1]]
        elif dag_nodes.follows_updates and split == "domain":
            parts = [prefix, phase, whole]
        elif split == "table" or (isinstance(dag_nodes.start, AssetExpression) and first.kind == "task"):
            parts = [prefix, phase, whole, first.key[-1], name]
        elif split == "domain":
            parts = [prefix, phase, whole, name]
        else:
            parts = [prefix, "" if split == "schedule" else first.key[-1], name or phase]
        if several and dag_id(parts) in names:
            parts.append(about.environment)
        base, number = dag_id(parts), 1
        unique = base
        while unique in names:
            number += 1
            unique = f"{base}_{number}"
        names[unique] = None
    return list(names)
