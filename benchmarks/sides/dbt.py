"""dagster-dbt with dbt-duckdb next to this package: the same SQL, as a dbt project and as a Starlake project."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.generator import APPLICATION
from benchmarks.measure import Meter

DBT_PROJECT = """name: kpi
version: "1.0"
profile: kpi
model-paths: [models]
models: {kpi: {+materialized: table}}
flags: {send_anonymous_usage_stats: false}
"""
PROFILE = "kpi: {target: dev, outputs: {dev: {type: duckdb, path: warehouse.db, threads: 1, schema: kpi}}}\n"
TASK = "version: 1\ntask: {{name: {name}, writeStrategy: {{type: OVERWRITE}}}}\n"
LAYER = 20
"""Transforms of a layer; each reads one of the layer before."""


def write(_meter: Meter, work: Path, transforms: int) -> None:
    """Writes both projects."""
    for name in ("starlake", "dbt"):
        shutil.rmtree(_root(work, name, transforms), ignore_errors=True)
    starlake, dbt = _root(work, "starlake", transforms), _root(work, "dbt", transforms)
    tasks, models = starlake / "metadata" / "transform" / "kpi", dbt / "models"
    tasks.mkdir(parents=True)
    models.mkdir(parents=True)
    (starlake / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (dbt / "dbt_project.yml").write_text(DBT_PROJECT)
    (dbt / "profiles.yml").write_text(PROFILE)
    for number in range(transforms):
        (tasks / f"t{number}.sl.yml").write_text(TASK.format(name=f"t{number}"))
        (tasks / f"t{number}.sql").write_text(_sql(number, f"kpi.t{number - LAYER}"))
        (models / f"t{number}.sql").write_text(_sql(number, f"{{{{ ref('t{number - LAYER}') }}}}"))


def ours_location(meter: Meter, work: Path, transforms: int, state: str) -> None:
    """A code location of the Starlake project."""
    root = _root(work, "starlake", transforms)
    _set_state(state, root / "metadata" / "transform" / "kpi" / "t0.sql", _cache(root))
    with meter(f"ours {state}"):
        _snapshot(_ours(root))


def theirs_location(meter: Meter, work: Path, transforms: int, state: str) -> None:
    """A code location of the dbt project; the manifest is parsed as `dagster dev` does, but where nothing changed."""
    root = _root(work, "dbt", transforms)
    _set_state(state, root / "models" / "t0.sql", root / "target")
    with meter(f"theirs {state}"):
        _snapshot(_theirs(root, row_counts=False, columns=False, prepare=state != "warm"))


def ours_run(meter: Meter, work: Path, transforms: int, metadata: bool) -> None:
    """All transforms in one run, with row counts and columns or without."""
    root = _root(work, "starlake", transforms)
    shutil.rmtree(root / "datasets", ignore_errors=True)
    _executed(_ours(root, row_counts=metadata, columns=metadata), meter, "ours", work, transforms)
    _check_rows(root / "datasets" / "duckdb.db", transforms)


def theirs_run(meter: Meter, work: Path, transforms: int, metadata: bool) -> None:
    """The same by `dbt build`, with `fetch_row_counts()` and `fetch_column_metadata()` or without."""
    root = _root(work, "dbt", transforms)
    (root / "warehouse.db").unlink(missing_ok=True)
    _executed(_theirs(root, row_counts=metadata, columns=metadata, prepare=True), meter, "theirs", work, transforms)
    if not metadata:  # then dagster-dbt holds the file until the process ends
        _check_rows(root / "warehouse.db", transforms)


def ours_import(meter: Meter, _work: Path) -> None:
    """What the definitions.py of this package imports."""
    with meter("ours"):
        from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions  # noqa: F401


def theirs_import(meter: Meter, _work: Path) -> None:
    """What that of dagster-dbt imports."""
    with meter("theirs"):
        from dagster_dbt import DbtCliResource, DbtProject, dbt_assets  # noqa: F401


def _ours(root: Path, **metadata: Any) -> Any:
    from starlake_dagster_assets import StarlakeDuckDB, StarlakeMetadata, StarlakeProject, build_definitions

    more = {"metadata": StarlakeMetadata(**metadata)} if metadata else {}
    project = StarlakeProject(root, cache_dir=_cache(root))
    return build_definitions(project, starlake=StarlakeDuckDB(), **more)


def _theirs(root: Path, *, row_counts: bool, columns: bool, prepare: bool) -> Any:
    import dagster as dg
    from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

    # dbt's own command stands next to the interpreter of this process
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    os.chdir(root)
    project = DbtProject(project_dir=root, profiles_dir=root)
    if prepare:
        project.preparer.prepare(project)

    def build(context: Any, dbt: DbtCliResource) -> Any:
        events = dbt.cli(["build"], context=context).stream()
        if row_counts:
            events = events.fetch_row_counts()
        if columns:
            events = events.fetch_column_metadata()
        yield from events

    build.__annotations__ = {"context": dg.AssetExecutionContext, "dbt": DbtCliResource}
    assets = dbt_assets(manifest=project.manifest_path, project=project)(build)
    return dg.Definitions([assets], resources={"dbt": DbtCliResource(project_dir=project)})


def _snapshot(defs: Any) -> None:
    """Makes what a code server sends to Dagster."""
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    repository = defs.get_repository_def()
    repository.load_all_definitions()
    serialize_value(RepositorySnap.from_def(repository))


def _executed(defs: Any, meter: Meter, side: str, work: Path, transforms: int) -> None:
    import dagster as dg

    job = defs.resolve_implicit_global_asset_job_def()
    home = work / f"home-{side}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        with meter(side):
            done = job.execute_in_process(instance=instance)
        made = sum(event.is_step_materialization for event in done.all_events)
        if not done.success or made != transforms:
            raise AssertionError(f"{made} of {transforms} transforms were materialized")


def _check_rows(database: Path, transforms: int) -> None:
    import duckdb

    with duckdb.connect(str(database), read_only=True) as con:
        found = con.execute(f"SELECT count(*), max(amount) FROM kpi.t{transforms - 1}").fetchall()[0]
    expected = (1, 1.5 + (transforms - 1) // LAYER)
    if (found[0], float(found[1])) != expected:
        raise AssertionError(f"the last transform holds {found}, not {expected}")


def _set_state(state: str, sql: Path, cache: Path) -> None:
    """Cold: nothing is known of the project. Warm: nothing has changed since. Edited: one SQL file has."""
    if state == "cold":
        shutil.rmtree(cache, ignore_errors=True)
    elif state == "edited":
        sql.write_text(f"{sql.read_text()}-- edited\n")


def _sql(number: int, upstream: str) -> str:
    if number < LAYER:
        return f"SELECT {number} AS id, 'name' AS name, CAST(1.5 AS DOUBLE) AS amount\n"
    return f"SELECT id, name, amount + 1 AS amount FROM {upstream}\n"


def _root(work: Path, name: str, transforms: int) -> Path:
    return work / f"transforms-{name}-{transforms}"


def _cache(root: Path) -> Path:
    return root.parent / f"{root.name}-cache"
