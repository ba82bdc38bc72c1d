"""A code location from nothing to what Dagster's host reads of it: ours, and written by hand for the same tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.generator import TablePlan, TaskPlan
from benchmarks.measure import Meter
from benchmarks.sides import projects


def ours(meter: Meter, work: Path, **shape: Any) -> None:
    """The project from its manifest."""
    # imports are measured with the process, not with the part
    from starlake_dagster_assets import StarlakeProject, build_definitions  # noqa: F401

    with meter("ours"):
        meter.notes["assets"] = _loaded(build_definitions(projects.source(work, **shape)), meter)


def bare(meter: Meter, work: Path, **shape: Any) -> None:
    """By hand: a multi_asset a domain, with keys, dependencies, columns, descriptions and groups."""
    _by_hand(meter, work, shape, full=False)


def same(meter: Meter, work: Path, **shape: Any) -> None:
    """By hand, with all that ours has: checks, code references, settings, jobs and their sensors as well."""
    _by_hand(meter, work, shape, full=True)


def _by_hand(meter: Meter, work: Path, shape: dict[str, Any], *, full: bool) -> None:
    import dagster as dg

    made = projects.planned(**shape)
    with meter("same" if full else "bare"):
        root = projects.root_of(work, **shape)
        files = [_files(one, root if full else None) for one in made.tables]
        known = [*made.tables, *made.tasks]
        domains = [list(items) for _, items in groupby(known, key=lambda one: one.domain)]
        assets = [_step(items, root if full else None) for items in domains]
        jobs, sensors = _started(domains) if full else ([], [])
        defs = dg.Definitions([*assets, *files], jobs=jobs, sensors=sensors)
        meter.notes["assets"] = _loaded(defs, meter)


def _loaded(defs: Any, meter: Meter) -> int:
    """Loads all of it, and makes what the host reads; how many assets there are."""
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    repository = defs.get_repository_def()
    repository.load_all_definitions()
    meter.notes["snapshot_bytes"] = len(serialize_value(RepositorySnap.from_def(repository)))
    return len(repository.asset_graph.get_all_asset_keys())


def _step(items: Sequence[TablePlan], root: Path | None) -> Any:
    """The tables or tasks of one domain."""
    import dagster as dg

    specs = [_spec(one, root) for one in items]
    checks: list[dg.AssetCheckSpec] = []
    if root is not None:
        checks = [
            dg.AssetCheckSpec(name, asset=dg.AssetKey([one.domain, one.name]), description=text)
            for one in items
            if not isinstance(one, TaskPlan)
            for name, text in (
                ("rejected_rows", "No row was refused by the load."),
                ("schema_drift", "The table has the columns that the project describes."),
            )
        ]

    @dg.multi_asset(name=items[0].domain, specs=specs, check_specs=checks, can_subset=True)
    def step() -> Iterator[Any]:
        yield from ()

    return step


def _spec(one: TablePlan, root: Path | None) -> Any:
    import dagster as dg

    free = dg.TableColumnConstraints()
    key = dg.TableColumnConstraints(nullable=False)
    columns = [
        dg.TableColumn(name, kind, constraints=key if name == "id" else free, description=None)
        for name, kind in one.columns
    ]
    task = isinstance(one, TaskPlan)
    text = f"~~~sql\n{one.sql}\n~~~" if isinstance(one, TaskPlan) else f"What {one.name} holds."
    reads = [name.split(".") for name in one.reads] if isinstance(one, TaskPlan) else []
    more = _settings(one, root) if root is not None else {"metadata": {}}
    metadata = {"dagster/column_schema": dg.TableSchema(columns), **more.pop("metadata")}
    return dg.AssetSpec(
        [one.domain, one.name],
        deps=reads if task else [["incoming", one.domain, one.name]],
        description=text,
        metadata=metadata,
        group_name=one.domain,
        kinds={"starlake", "duckdb", "task" if task else "table"},
        tags={"nightly": ""} if task else {},
        skippable=True,
        **more,
    )


def _settings(one: TablePlan, root: Path) -> dict[str, Any]:
    """What ours says of a table beside its columns."""

    files = [one.file]
    settings = {"starlake/write_strategy": "OVERWRITE"}
    if isinstance(one, TaskPlan):
        files.append(one.file.removesuffix(".sl.yml") + ".sql")
    else:
        settings = {
            "starlake/write_strategy": "UPSERT_BY_KEY, key id",
            "starlake/pattern": f"{one.name}-.*[.]csv",
            "starlake/format": "DSV",
            "starlake/directory": f"{root}/datasets/incoming/{one.domain}",
        }
    return {
        "code_version": f"{hash(one.id) & 0xFFFFFFFFFFFFFFFF:016x}",
        "metadata": {
            "starlake/node": one.id,
            "starlake/raw": one.id,
            "dagster/table_name": one.id,
            "dagster/storage_kind": "duckdb",
            **settings,
            "starlake/connection": "main",
            "dagster/code_references": _references(root, files),
        },
    }


def _references(root: Path, files: Sequence[str]) -> Any:
    import dagster as dg

    found = [dg.LocalFileCodeReference(file_path=str(root / name), line_number=1, label=name) for name in files]
    return dg.CodeReferencesMetadataValue(code_references=found)


def _files(one: TablePlan, root: Path | None) -> Any:
    """The files of a table."""
    import dagster as dg

    key = ["incoming", one.domain, one.name]
    if root is None:
        return dg.AssetSpec(key, group_name=one.domain)
    return dg.AssetSpec(
        key,
        group_name=one.domain,
        description=f"Files for {one.id} that match `{one.name}-.*[.]csv`.",
        kinds={"file", "csv"},
        metadata={
            "starlake/node": f"incoming.{one.id}",
            "starlake/pattern": f"{one.name}-.*[.]csv",
            "starlake/format": "DSV",
            "starlake/directory": f"{root}/datasets/incoming/{one.domain}",
            "dagster/code_references": dg.CodeReferencesMetadataValue(
                code_references=[
                    dg.LocalFileCodeReference(file_path=str(root / one.file), line_number=1, label=one.file)
                ]
            ),
        },
    )


def _started(domains: Sequence[Sequence[TablePlan]]) -> tuple[list[Any], list[Any]]:
    """A job a domain, and a sensor for each of those of tasks, as ours has where nothing has a schedule."""
    import dagster as dg

    jobs: list[Any] = []
    sensors: list[Any] = []
    for items in domains:
        keys = [dg.AssetKey([one.domain, one.name]) for one in items]
        jobs.append(dg.define_asset_job(f"{items[0].domain}_job", selection=dg.AssetSelection.assets(*keys)))
        if isinstance(items[0], TaskPlan):
            sensors.append(dg.SensorDefinition(f"{items[0].domain}_sensor", job=jobs[-1], evaluation_fn=_nothing))
    return jobs, sensors


def _nothing(_context: Any) -> Any:
    import dagster as dg

    return dg.SkipReason("nothing")
