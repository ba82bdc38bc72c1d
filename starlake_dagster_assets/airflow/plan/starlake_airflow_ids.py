"""Ids of the DAG files that `starlake dag-generate` writes for starlake-airflow 0.6: `--ids starlake-airflow`.

A DAG is named after the `filename` of its DAG configuration, and also after its schedule if the file has several
schedules. Its tasks are `start`, `end` (with a dataset that has the name of the DAG), and one task group per domain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlake_dagster_assets.airflow.plan.ids import starlake_airflow_name
from starlake_dagster_assets.airflow.plan.model import DagSpec, ExportPlan, TaskSpec
from starlake_dagster_assets.airflow.plan.tasks import no_duplicates
from starlake_dagster_assets.automation.policies.model import Job
from starlake_dagster_assets.graph.model import Node

__all__ = ["former_ids", "starlake_airflow_dag_ids", "with_starlake_airflow_ids"]

_REFUSED_IN_DAGS = re.compile(r"[^A-Za-z0-9_.-]")
_RENAMED = {"end": "result"}
"""New ids of tasks that only this export has, if starlake-airflow uses their id for another task."""


def starlake_airflow_dag_ids(members: Sequence[tuple[Sequence[Node], Job]], names: Sequence[str]) -> list[str]:
    """Returns the DAG ids of starlake-airflow; DAGs without a DAG configuration keep the id in `names`.

    Args:
        members: The tables and tasks of each DAG, and its job.
        names: The ids without starlake-airflow's rules.
    """
    found: list[str] = []
    for (nodes, job), name in zip(members, names, strict=True):
        label = f"_{starlake_airflow_name(job.schedule)}" if nodes[0].table and job.schedule else ""
        base = _REFUSED_IN_DAGS.sub("_", job.file.lower()) + label if job.file else name
        unique, number = base, 1
        while unique in found:
            number += 1
            unique = f"{base}_{number}"
        found.append(unique)
    return found


def with_starlake_airflow_ids(
    dags: Sequence[DagSpec], members: Sequence[tuple[Sequence[Node], Job]], places: Mapping[str, tuple[str, str]]
) -> tuple[list[DagSpec], dict[str, tuple[str, str]]]:
    """Returns the DAGs with the ids of starlake-airflow, and the DAG and task id of each node.

    Args:
        dags: The DAGs, with their final ids.
        members: The tables and tasks of each DAG, and its job.
        places: DAG id and task id by node id.

    Raises:
        ProjectError: Two tasks or groups would have the same id.
    """
    renamed: dict[str, Mapping[str, str]] = {}
    made: list[DagSpec] = []
    for dag, (nodes, job) in zip(dags, members, strict=True):
        one, renamed[dag.id] = _peer_dag(dag, nodes, job)
        no_duplicates(one.id, one.tasks)
        made.append(one)
    return made, {node: (dag, renamed[dag][task]) for node, (dag, task) in places.items()}


def former_ids(former: ExportPlan, plan: ExportPlan) -> dict[str, dict[str, Any]]:
    """Returns the ids of an export by the ids of starlake-airflow: for DAGs, tasks, datasets, datasets of whole DAGs.

    Args:
        former: The DAGs with the ids of starlake-airflow.
        plan: The exported DAGs.
    """
    homes: dict[str, list[str]] = {}
    for node, (dag, _) in former.node_tasks.items():
        homes.setdefault(dag, []).append(node)
    made = {uri for dag in plan.dags for task in dag.tasks for uri in task.outlets}
    whole = {dag: starlake_airflow_name(dag).lower() for dag in homes}
    return {
        "dags": {dag: sorted({plan.node_tasks[node][0] for node in nodes}) for dag, nodes in homes.items()},
        "tasks": {".".join(place): ".".join(plan.node_tasks[node]) for node, place in former.node_tasks.items()},
        "datasets": {uri: plan.uris[node] for node, uri in former.uris.items() if node in plan.node_tasks},
        "dag_datasets": {
            uri: [uri] if uri in made else sorted(plan.uris[node] for node in homes[dag]) for dag, uri in whole.items()
        },
    }


def _peer_dag(dag: DagSpec, nodes: Sequence[Node], job: Job) -> tuple[DagSpec, Mapping[str, str]]:
    """Returns a DAG with the ids and groups of starlake-airflow, and the new ids of its tasks by their former ones.

    Args:
        dag: The DAG, with its final id.
        nodes: Tables and tasks of the DAG.
        job: Job of the DAG.
    """
    names = _Names(nodes, f"_{starlake_airflow_name(job.schedule)}" if job.schedule else "")
    places = {task.id: names.groups_and_id(task) for task in dag.tasks}
    for task in dag.tasks:
        if task.checks:
            groups, checked = places[task.checks]
            places[task.id] = (groups, f"{task.kind}_{checked}")
    ids = {one: ".".join((*groups, short)) for one, (groups, short) in places.items()}
    suffix = names.suffix if any(task.kind == "load" for task in dag.tasks) else ""
    first = f"start{suffix}"
    renamed = [
        replace(
            task,
            id=ids[task.id],
            groups=places[task.id][0],
            upstream=tuple(ids[up] for up in task.upstream) or (first,),
            checks=ids.get(task.checks, ""),
        )
        for task in dag.tasks
    ]
    made = tuple(task.id for task in renamed if task.outlets and task.kind != "finish")
    last = TaskSpec(
        f"end{suffix}",
        "end",
        upstream=made,
        outlets=(starlake_airflow_name(dag.id).lower(),),
        trigger_rule="none_failed_min_one_success",
    )
    tasks = (TaskSpec(first, "end"), *renamed, last)
    return replace(dag, tasks=tasks, prefix_groups=True), ids


@dataclass(frozen=True)
class _Names:
    """Task ids of one DAG in the form of starlake-airflow.

    Attributes:
        nodes: Tables and tasks of the DAG.
        suffix: `_<schedule>` in a file with several schedules.
    """

    nodes: Sequence[Node]
    suffix: str

    def groups_and_id(self, task: TaskSpec) -> tuple[tuple[str, ...], str]:
        """Returns the groups around a task, and its id within them."""
        flags = dict(zip(task.argv[1::2], task.argv[2::2], strict=False))
        if task.kind == "transform":
            return (), f"{starlake_airflow_name(flags['--name'])}_task"
        directory = flags.get("--domains") or flags.get("--domain")
        if directory is None:
            return (), _RENAMED.get(task.id, task.id)
        tables = [(node.table, node) for node in self.nodes if node.table and node.table.domain == directory]
        domain = starlake_airflow_name(tables[0][1].domain)
        name = f"{domain}{self.suffix}"
        if task.kind == "load":
            table = next(one for one, _ in tables if one.stem == flags["--tables"])
            return (name, f"load_{name}"), f"load_{domain}_{starlake_airflow_name(table.final_name)}"
        ids = {
            "wait": f"check_{domain}_{task.id.rpartition('_')[0].rpartition('_')[2]}_{task.id.rpartition('_')[2]}",
            "start": f"skip_or_start_loading_{name}",
            "stage": f"import_{name}",
        }
        return (name, f"pre_load_{name}"), ids[task.kind]
