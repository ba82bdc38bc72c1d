"""The manifest of an export: its files and assets, and the tables that its tasks load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlake_dagster_assets.airflow.plan.ids import dag_id
from starlake_dagster_assets.airflow.plan.model import AirflowOptions, ExportPlan
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.expectation_checks import named_expectations
from starlake_dagster_assets.execution.expected_load import expected_of
from starlake_dagster_assets.project.model.project import Table

__all__ = ["GATHERED", "areas_in_manifest", "export_name", "manifest_of"]

GATHERED = ("asset_map.json", "pools.json")
"""Files that combine the manifests of all exports of a folder."""


def export_name(
    project: ProjectSource,
    options: AirflowOptions,
    select: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
) -> str:
    """Returns the default name of an export: the same for the same prefix, project and selection.

    Args:
        project: The project.
        options: Options of the DAGs; the name begins with their `prefix`.
        select: The selection; with `exclude` it adds a hash to the name.
        exclude: The nodes that are left out.
    """
    selection = [select, exclude] if select or exclude else []
    digest = hashlib.sha256(json.dumps(selection).encode()).hexdigest()[:6] if selection else ""
    return dag_id([options.prefix, project.root.name, digest]) or "starlake"


def manifest_of(plan: ExportPlan, project: ProjectSource, files: Sequence[str]) -> dict[str, Any]:
    """Returns the manifest of an export.

    Args:
        plan: The exported DAGs.
        project: The project.
        files: Names of the files of the export.
    """
    outlets = {(dag.id, uri): task.id for dag in plan.dags for task in dag.tasks for uri in task.outlets}
    assets: dict[str, dict[str, str]] = {}
    for node, (dag, task) in plan.node_tasks.items():
        uri = plan.uris[node]
        assets[node] = {"uri": uri, "dag_id": dag, "task_id": task}
        if (outlet := outlets[dag, uri]) != task:
            assets[node]["outlet_task_id"] = outlet
    external = {uri: {"asset_key": "/".join(one.key), "reads": list(one.reads)} for uri, one in plan.external.items()}
    return {
        "exported_by": "starlake-dagster",
        "files": sorted(files),
        "assets": assets,
        "external": external,
        "pools": {pool: {"slots": slots, "description": "Starlake"} for pool, slots in plan.pools.items()},
        "areas": areas_in_manifest(project),
        "tables": _tables(plan, project),
    }


def areas_in_manifest(project: ProjectSource) -> Mapping[str, str]:
    """Returns the directories of the areas; `{{SL_ROOT}}` stands for the root where commands run.

    Args:
        project: The project.
    """
    application = project.model.application
    found = {"datasets": _rooted(application.datasets, project)}
    for name in ("stage", "ingesting", "archive") if application.archive else ("stage", "ingesting"):
        value: str = getattr(application.areas, name)
        absolute = "://" in value or value.startswith(("file:", "/"))
        found[name] = _rooted(value if absolute else f"{{{{datasets}}}}/{value}", project)
    return found


def _rooted(text: str, project: ProjectSource) -> str:
    found = text.rstrip("/").replace(str(project.root), "{{SL_ROOT}}")
    relative = "://" not in found and not found.startswith(("file:", "/", "{{"))
    return f"{{{{SL_ROOT}}}}/{found}" if relative else found


def _tables(plan: ExportPlan, project: ProjectSource) -> Mapping[str, Any]:
    """Returns all tables of each loaded domain, because files are matched against the patterns of all of them."""
    loaded = {table.domain for node in plan.node_tasks if (table := project.graph.nodes[node].table) is not None}
    found: dict[str, Any] = {}
    for node in project.graph.nodes.values():
        if node.table is not None and not node.is_files and node.table.domain in loaded:
            blocks = any(one.blocking for one in named_expectations(node, project.model.application))
            found[f"{node.table.domain}/{node.table.stem}"] = _table(node.table, blocks=blocks)
    return found


def _table(table: Table, *, blocks: bool) -> Mapping[str, Any]:
    expected = expected_of(table)
    found: dict[str, Any] = {
        "domain": expected.domain,
        "name": expected.table,
        "final_domain": expected.final_domain,
        "final_name": expected.final_table,
        "pattern": expected.pattern,
    }
    flags = {
        "zero_is_loss": expected.zero_is_loss,
        "blocks": blocks,
        "repeated": bool(table.metadata.write_strategy.types),
    }
    found |= {name: True for name, value in flags.items() if value}
    return found if expected.header else {**found, "header": False}
