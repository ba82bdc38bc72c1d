"""Writes the DAG files of a project; knows its own files by their first line."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets._arguments import ProjectLike, project_of, shown
from starlake_dagster_assets.airflow.defined import DefinitionsGraph, NamingSource
from starlake_dagster_assets.airflow.environments import environments_of
from starlake_dagster_assets.airflow.helper import helper
from starlake_dagster_assets.airflow.ids import Ids
from starlake_dagster_assets.airflow.manifest import asset_map, export_name, manifest_of
from starlake_dagster_assets.airflow.model import AirflowOptions, EnvironmentName, Granularity, Plan, Split
from starlake_dagster_assets.airflow.plan import Request, plan_dags
from starlake_dagster_assets.airflow.render import MARKER, render
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.naming import Naming
from starlake_dagster_assets.graph.select import select as select_nodes
from starlake_dagster_assets.triggers.automation import StarlakeAutomation
from starlake_dagster_assets.triggers.build import build_triggers

__all__ = ["ExportReport", "export_airflow"]

_MARKERS = (MARKER, "# Exported by starlake-dagster airflow export: changes here are lost.")
"""The first line of our files, and that of earlier versions."""


@dataclass(frozen=True)
class ExportReport:
    """What an export did, or would do.

    Attributes:
        written: Files that are new or changed.
        unchanged: Files that were right.
        removed: Files of an earlier export that nothing makes any more.
        notes: What cannot be said in Airflow, by name.
        plan: What the files say.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    notes: tuple[str, ...]
    plan: Plan

    @property
    def stale(self) -> tuple[str, ...]:
        """Files that are not as they should be."""
        return tuple(sorted([*self.written, *self.removed]))


def export_airflow(
    project: ProjectLike | DefinitionsGraph,
    output: str | Path,
    *,
    environment: EnvironmentName | None = None,
    environments: Mapping[str, EnvironmentName] | None = None,
    select: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    split: Split = "domain",
    granularity: Granularity = "task",
    ids: Ids = "starlake",
    options: AirflowOptions | None = None,
    automation: StarlakeAutomation | None = None,
    translator: NamingSource | None = None,
    check: bool = False,
) -> ExportReport:
    """Writes a project as Airflow DAG files, with `pools.json` and `asset_map.json`.

    Args:
        project: The project, the path of its directory, or the `definitions_graph` of Dagster definitions: their keys,
            groups, dependencies, exclusions and triggers hold in the files, and their other assets become external
            datasets.
        output: Directory of the files; made when it is not there.
        environment: Where commands run. By default where the definitions run them, as far as Airflow has operators for
            it, else `shell`.
        environments: Where the commands of some nodes run instead, by what they are in the selection grammar, as for
            `build_definitions`: `{"domain:logs": "dataproc"}`. The first selection that has a node counts. A DAG has
            one environment.
        select: Which nodes, in the selection grammar; all by default.
        exclude: Which of them not.
        split: What the nodes of a DAG have in common besides what starts it: their `domain`; nothing (`schedule`),
            so that loads and transforms of one clock share a DAG; being connected (`component`); or a DAG each
            (`table`).
        granularity: A task a table, or one `load` for all tables of a domain.
        ids: Task ids and dataset URIs of starlake-airflow, or of asset keys.
        options: For every DAG.
        automation: What starts each table and task, as `build_definitions` takes it; by default what the definitions
            or the project say.
        translator: Its keys, groups and dependencies hold in the files too; definitions have theirs already.
        check: Write nothing.

    Returns:
        What was done, or would be.

    Raises:
        ValueError: When both definitions and a translator are given.
        StarlakeError: For an environment that is not known.
        ProjectError: For names that collide, circles, options that cannot be read, and a file in the way that is not
            ours.
        SelectionError: When the selection names nothing.

    Examples:
        ::

            report = export_airflow(StarlakeProject("starbake", env="DUCKDB"), "dags")
            print(report.notes)
    """
    defined = project if isinstance(project, DefinitionsGraph) else None
    if defined is not None and translator is not None:
        raise ValueError("translator: the definitions have theirs; give export_airflow one of the two.")
    source = project.project if isinstance(project, DefinitionsGraph) else project_of(project, "export_airflow")
    if isinstance(translator, type) or (translator is not None and not hasattr(translator, "naming")):
        raise TypeError(f"export_airflow: `translator` is {shown(translator)}; pass an instance of StarlakeTranslator.")
    triggers = defined.triggers if defined is not None and automation is None else None
    naming = defined.naming if defined is not None else translator.naming(source) if translator is not None else None
    request = Request(
        source,
        triggers or build_triggers(source, automation),
        select_nodes(source.graph, select or "*", exclude),
        environments_of(source.graph, environment, environments or {}, defined.environments if defined else {}),
        naming or Naming(),
        options or AirflowOptions(),
        split,
        granularity,
        ids,
        f"{export_name(source, options or AirflowOptions())}.manifest.json",
    )
    plan, worker = plan_dags(request), helper(MARKER)
    files = {f"{dag.id}.py": render(dag, source, worker.name) for dag in plan.dags}
    files[f"{worker.name}.py"] = worker.text
    pools = {pool: {"slots": slots, "description": "Starlake"} for pool, slots in plan.pools.items()}
    files["pools.json"] = _json(pools)
    files["asset_map.json"] = _json(asset_map(plan))
    files[request.manifest] = _json(manifest_of(plan, source, sorted(files)))
    return _write(Path(output), files, plan, check)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _write(output: Path, files: dict[str, str], plan: Plan, check: bool) -> ExportReport:
    ours = _ours(output)
    strange = [name for name in files if name.endswith(".py") and (output / name).exists() and name not in ours]
    if strange:
        raise ProjectError([f"{output / name}: was not exported by us; move it away." for name in strange])
    written = [name for name, text in files.items() if _read(output / name) != text]
    removed = sorted(ours - files.keys())
    if not check:
        output.mkdir(parents=True, exist_ok=True)
        for name in written:
            _replace(output / name, files[name])
        for name in removed:
            (output / name).unlink()
    unchanged = [name for name in files if name not in written]
    return ExportReport(tuple(sorted(written)), tuple(sorted(unchanged)), tuple(removed), plan.notes, plan)


def _ours(output: Path) -> set[str]:
    found: set[str] = set()
    for path in output.glob("*.py"):
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().rstrip("\n") in _MARKERS:
                found.add(path.name)
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; the name does not end in `.py` until it is whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("utf-8"))
    os.chmod(name, 0o644)
    os.replace(name, path)
