"""Writes the DAG files of a project, the module that they share, and the files that describe them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from starlake_dagster_assets._arguments import ProjectLike, project_of, shown
from starlake_dagster_assets.airflow.dag_folder import DagFolder
from starlake_dagster_assets.airflow.export_source import DefinitionsGraph, NamingSource
from starlake_dagster_assets.airflow.manifest import GATHERED, export_name, manifest_of
from starlake_dagster_assets.airflow.node_environments import environments_of
from starlake_dagster_assets.airflow.plan.build import plan_dags
from starlake_dagster_assets.airflow.plan.export_request import ExportRequest
from starlake_dagster_assets.airflow.plan.ids import Ids
from starlake_dagster_assets.airflow.plan.model import (
    AirflowOptions,
    DagSplit,
    EnvironmentName,
    ExportPlan,
    Granularity,
)
from starlake_dagster_assets.airflow.plan.starlake_airflow_ids import former_ids
from starlake_dagster_assets.airflow.proxied_state import SwitchFiles
from starlake_dagster_assets.airflow.render.dag_file import MARKER, render_dag_file
from starlake_dagster_assets.airflow.secret_validation import validate_no_secrets
from starlake_dagster_assets.airflow.shared_module import build_shared_module
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import ProjectError, SelectionError, StarlakeError
from starlake_dagster_assets.graph.display_names import AssetOverrides
from starlake_dagster_assets.graph.select import closest_names, quote_selection
from starlake_dagster_assets.graph.select import select as select_nodes

__all__ = ["ExportReport", "export_airflow"]

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class ExportReport:
    """Result of an export, or of its check (`check=True`).

    Attributes:
        written: Files that are new or changed.
        unchanged: Files that were up to date.
        removed: Files of an earlier export that are not exported any more.
        notes: Notes on the export, such as settings that Airflow cannot express.
        plan: The content of the files.
        request: The nodes and options that were requested.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    notes: tuple[str, ...]
    plan: ExportPlan
    request: ExportRequest

    @cached_property
    def former_ids(self) -> Mapping[str, Mapping[str, Any]]:
        """Ids of this export by the ids of starlake-airflow: for DAGs, tasks, datasets, and datasets of whole DAGs.

        Raises:
            ProjectError: Two tables or tasks have the same id in starlake-airflow.
        """
        return former_ids(plan_dags(replace(self.request, ids="starlake-airflow", granularity="task")), self.plan)

    @property
    def stale(self) -> tuple[str, ...]:
        """Sorted names of the files that differ from the export: new, changed or no longer exported."""
        return tuple(sorted([*self.written, *self.removed]))


def export_airflow(
    project: ProjectLike | DefinitionsGraph,
    output: str | Path,
    *,
    environment: EnvironmentName | None = None,
    environments: Mapping[str, EnvironmentName] | None = None,
    select: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    split: DagSplit = "domain",
    granularity: Granularity = "task",
    ids: Ids = "starlake",
    options: AirflowOptions | None = None,
    automation: StarlakeAutomation | None = None,
    translator: NamingSource | None = None,
    name: str | None = None,
    task_groups: bool = False,
    check: bool = False,
) -> ExportReport:
    """Writes a project as Airflow DAG files, with the module that they share and the files that describe them.

    Args:
        project: The project, the path of its directory, or the `definitions_graph` of Dagster definitions: their keys,
            groups, dependencies, exclusions and triggers hold in the files, and their other assets become external
            datasets.
        output: Directory of the files; created if it does not exist.
        environment: Where commands run. By default as in the definitions, if Airflow has operators for it; otherwise
            `shell`.
        environments: Where the commands of some nodes run instead, by selections in the selection grammar, as for
            `build_definitions`: `{"domain:logs": "dataproc"}`. The first selection that contains a node applies to
            it. A DAG has one environment.
        select: Tables and tasks in the selection grammar; all by default.
        exclude: Tables and tasks that are left out.
        split: The property that the nodes of a DAG share, in addition to its trigger: `domain`; nothing (`schedule`),
            so that loads and transforms with one schedule share a DAG; a connection (`component`); or one DAG per
            node (`table`).
        granularity: One task per table, or one `load` for all tables of a domain.
        ids: Task ids and dataset URIs like those of starlake-airflow; exactly those of its generated DAG files, with
            their DAGs, groups and datasets of whole DAGs (`starlake-airflow`); or those of asset keys.
        options: Options of every DAG.
        automation: The trigger of each table and task, as `build_definitions` takes it; by default that of the
            definitions or the project.
        translator: Defines keys, groups and dependencies of the files. Definitions have their own translator.
        name: Name of the export. An export replaces the files of the export of the same name, and no others. By
            default it consists of prefix, project and a hash of `select` and `exclude`.
        task_groups: Whether each file has a function `task_group` that adds its tasks to your own DAG, and the
            `SCHEDULE` for that DAG, instead of a DAG.
        check: Whether to compare the files only, without writing any.

    Returns:
        The files that were written, or would be, and notes on the export.

    Raises:
        ValueError: When both definitions and a translator are given.
        StarlakeError: For an unknown environment, batches with ids of starlake-airflow, and task groups with `airlift`.
        ProjectError: For names that collide, cycles, options that cannot be read, secrets that would be written, and
            existing files that belong to another export or to none.
        SelectionError: When the selection contains no table and no task; no file is written or removed.

    Examples:
        ::

            report = export_airflow(StarlakeProject("starbake", env="DUCKDB"), "dags")
            print(report.notes)
    """
    if ids == "starlake-airflow" and granularity == "batch":
        raise StarlakeError(
            "ids=starlake-airflow: it has no task for several tables. Next: leave out granularity=batch."
        )
    if name is not None and not _NAME.fullmatch(name):
        raise ProjectError([f"name: {name!r} is not a name of files; expected letters, digits and any of `_-.`."])
    if task_groups and options is not None and options.airlift:
        raise StarlakeError("task_groups and airlift: dagster-airlift needs DAGs. Next: leave out one of the two.")
    defined = project if isinstance(project, DefinitionsGraph) else None
    if defined is not None and translator is not None:
        raise ValueError("translator: the definitions have theirs; give export_airflow one of the two.")
    source = project.project if isinstance(project, DefinitionsGraph) else project_of(project, "export_airflow")
    if isinstance(translator, type) or (translator is not None and not hasattr(translator, "naming")):
        raise TypeError(f"export_airflow: `translator` is {shown(translator)}; pass an instance of StarlakeTranslator.")
    triggers = defined.triggers if defined is not None and automation is None else None
    naming = defined.naming if defined is not None else translator.naming(source) if translator is not None else None
    selected = _selected_nodes(source, select, exclude, (naming or AssetOverrides()).excluded)
    folder = DagFolder(Path(output))
    nodes = [node.id for node in source.graph.nodes.values() if node.kind != "external"]
    name = name or folder.free_name(export_name(source, options or AirflowOptions(), select, exclude), nodes)
    request = ExportRequest(
        source,
        triggers or build_triggers(source, automation),
        selected,
        environments_of(source.graph, environment, environments or {}, defined.environments if defined else {}),
        naming or AssetOverrides(),
        options or AirflowOptions(),
        split,
        granularity,
        ids,
    )
    plan, worker = plan_dags(request), build_shared_module(MARKER)
    dags = [replace(dag, embedded=task_groups) for dag in plan.dags]
    files = {f"{dag.id}.py": render_dag_file(dag, source, worker.name) for dag in dags}
    files[f"{worker.name}.py"] = worker.text
    switches = SwitchFiles(dags, folder.read, plan.uris, folder.manifests.get(name, {}).get("assets", {}))
    files |= switches.files
    files |= folder.gathered(name, manifest_of(plan, source, [*files, *GATHERED, f"{name}.manifest.json"]))
    validate_no_secrets(files, source, plan, request.options.settings)
    changes = folder.changes(name, source.root.name, (options or AirflowOptions()).prefix, files)
    variable = f"{request.options.variables_prefix}starlake_root"
    notes = (
        *switches.notes(changes.removed),
        *folder.deleted_nodes(name, nodes),
        *folder.shared_root(name, source.root.name, files, variable),
    )
    if not check:
        folder.write(files, changes)
    return ExportReport(changes.written, changes.unchanged, changes.removed, (*plan.notes, *notes), plan, request)


def _selected_nodes(
    source: ProjectSource,
    select: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
    absent: Collection[str],
) -> frozenset[str]:
    """Returns the ids of the nodes that a selection contains.

    Args:
        source: The project.
        select: Tables and tasks in the selection grammar; None = all.
        exclude: Tables and tasks that are left out.
        absent: Ids of nodes that the definitions do not contain.

    Raises:
        SelectionError: The selection contains no table and no task.
    """
    found = select_nodes(source.graph, "*" if select is None else select, exclude)
    known = {node.id for node in source.graph.nodes.values() if node.kind != "external"} - {*absent}
    if not known:
        raise SelectionError(f"{source.root.name}: the project has no table and no task to export.")
    if not found & known:
        raise SelectionError(
            f"the selection {quote_selection(select, exclude)} contains no table and no task to export; closest names: "
            f"{', '.join(closest_names(known, select))}. Next: change the selection. No file was written or removed."
        )
    return found
