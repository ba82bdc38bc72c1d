"""Definitions of a project beside those of others: who defines what it reads, merges in any order, parts of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeTranslator,
    build_definitions,
    export_airflow,
)
from starlake_dagster_assets.airflow import definitions_graph
from starlake_dagster_assets.dagster_assets.decorator import default_name
from tests.dagster_features.projects import REPORTS, SALES, rows, write

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

MERGED = pytest.mark.dagster_feature("`Definitions.merge` with assets for incoming files and external tables")
PARTS = pytest.mark.dagster_feature("`Definitions.merge` of two projects, or of two selections of one")
SOURCES = pytest.mark.dagster_feature("External assets")
FILES = dg.AssetKey(["incoming", "sales", "orders"])
ORDERS, BY_DAY, MID = dg.AssetKey(["sales", "orders"]), dg.AssetKey(["kpi", "by_day"]), dg.AssetKey(["py", "mid"])
BUSY = dg.AssetKey(["report", "busy"])


@pytest.fixture
def sales(tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(write(tmp_path / "sales", SALES))


@pytest.fixture
def reports(tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(write(tmp_path / "reports", REPORTS))


def own(key: dg.AssetKey, *deps: dg.AssetKey) -> dg.Definitions:
    @dg.asset(key=key, deps=list(deps))
    def mine() -> None: ...

    return dg.Definitions(assets=[mine])


def merged(*parts: dg.Definitions) -> Any:
    repository = dg.Definitions.merge(*parts).get_repository_def()
    repository.load_all_definitions()
    return repository


def parents(repository: Any) -> dict[dg.AssetKey, set[dg.AssetKey]]:
    graph = repository.asset_graph
    return {key: set(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}


def materialized(repository: Any) -> set[dg.AssetKey]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = repository.get_job("__ASSET_JOB").execute_in_process(instance=instance)
    assert result.success
    return {event.asset_key for event in result.get_asset_materialization_events()}


@MERGED
@pytest.mark.parametrize("first", ["ours", "others"])
@pytest.mark.parametrize("external", ["dependencies", "without_files"])
@pytest.mark.parametrize("key", [FILES, MID])
def test_another_asset_may_define_what_a_project_reads(sales, key, external, first):
    parts = [build_definitions(sales, starlake=StarlakeDuckDB(), external=external), own(key)]
    repository = merged(*(parts if first == "ours" else reversed(parts)))
    assert repository.asset_graph.get(key).is_materializable
    edges = parents(repository)
    assert edges[ORDERS] == ({FILES} if external == "dependencies" else set())
    assert edges[BY_DAY] == {ORDERS, MID}
    assert materialized(repository) == {key, ORDERS, BY_DAY}
    assert rows(sales.root / "datasets/duckdb.db", "select orders from kpi.by_day order by 1") == [(1,), (2,)]


@MERGED
def test_specs_are_defined_unless_extra_assets_define_them(sales):
    (mine,) = own(FILES).assets or ()
    repository = merged(build_definitions(sales, external="specs", extra_assets=[mine]))
    assert repository.asset_graph.get(FILES).is_materializable
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="Duplicate asset key"):
        merged(build_definitions(sales, external="specs"), own(FILES))


@SOURCES
@pytest.mark.parametrize(
    ("external", "described", "files"),
    [("dependencies", False, True), ("specs", True, True), ("without_files", False, False)],
)
def test_what_incoming_files_and_external_tables_are(sales, external, described, files):
    defs = build_definitions(sales, external=external)
    graph = defs.get_repository_def().asset_graph
    assert graph.has(FILES) is files
    assert graph.has(MID)
    if files:
        assert bool(graph.get(FILES).description) is described
        assert (graph.get(FILES).group_name == "sales") is described
    metadata = graph.get(ORDERS).metadata
    said = {str(getattr(value, "value", value)) for value in metadata.values()}
    assert {"orders.*.csv", str(sales.root / "incoming/sales")} <= said, "the page of the table tells of its files"


@SOURCES
def test_an_unknown_value_of_external_is_refused(sales):
    with pytest.raises(ValueError, match="unknown value `none` of `external`; expected one of `dependencies`"):
        build_definitions(sales, external="none")  # pyright: ignore[reportArgumentType]


@SOURCES
@pytest.mark.parametrize("external", ["dependencies", "specs", "without_files"])
def test_airflow_is_told_the_same_whatever_dagster_shows(sales, external, tmp_path):
    defs = build_definitions(sales, external=external)
    graph = definitions_graph(defs)
    assert (dict(graph.naming.reads), graph.naming.excluded) == ({}, frozenset())
    plan = export_airflow(graph, tmp_path / "dags").plan
    assert ("py", "mid") in {one.key for one in plan.external.values()}


class Prefixed(StarlakeTranslator):
    """Another key, by the hook for specs: what is read has it as well."""

    def get_asset_spec(self, node: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(node)
        return spec.replace_attributes(key=spec.key.with_prefix("prod"))


@SOURCES
@pytest.mark.parametrize("external", ["dependencies", "specs", "without_files"])
def test_keys_of_a_translator_are_those_of_the_dependencies(sales, external):
    edges = parents(merged(build_definitions(sales, translator=Prefixed(), external=external)))
    assert edges[BY_DAY.with_prefix("prod")] == {ORDERS.with_prefix("prod"), MID.with_prefix("prod")}


@PARTS
@pytest.mark.parametrize("first", ["sales", "reports"])
@pytest.mark.parametrize("external", ["dependencies", "without_files"])
def test_a_project_reads_a_table_of_another_one(sales, reports, external, first):
    shared = StarlakeDuckDB(database=str(sales.root / "datasets/duckdb.db"))
    parts = [build_definitions(one, starlake=shared, external=external) for one in (sales, reports)]
    repository = merged(*(parts if first == "sales" else reversed(parts)))
    assert parents(repository)[BUSY] == {BY_DAY}
    assert materialized(repository) == {ORDERS, BY_DAY, BUSY}
    assert rows(sales.root / "datasets/duckdb.db", "select day::varchar from report.busy") == [("2025-03-02",)]


@PARTS
@pytest.mark.parametrize("starlake", [None, StarlakeDuckDB()])
@pytest.mark.parametrize("first", ["loads", "tasks"])
def test_two_selections_of_one_project_are_one_graph(sales, first, starlake):
    parts = [
        build_definitions(sales, starlake=starlake, select=select, exclude=exclude)
        for select, exclude in (("kind:table", "sales.items"), (["kpi.*"], None))
    ]
    repository = merged(*(parts if first == "loads" else reversed(parts)))
    assert parents(repository)[BY_DAY] == {ORDERS, MID}
    assert {one.name for one in repository.sensor_defs} == {"transform_kpi_lineage"}
    steps = {node.op.name for node in {repository.assets_defs_by_key[key] for key in (ORDERS, BY_DAY)}}
    assert steps == {"starlake_sales_kind_table_without_sales_items", "starlake_sales_kpi"}
    assert materialized(repository) == {ORDERS, BY_DAY}


@PARTS
def test_selections_that_share_a_job_need_a_name_prefix(sales):
    def parts(*prefixes: str) -> list[dg.Definitions]:
        automations = [StarlakeAutomation(name_prefix=prefix) for prefix in prefixes]
        return [
            build_definitions(sales, select=name, automation=automation)
            for name, automation in zip(("sales.orders", "sales.items"), automations, strict=True)
        ]

    with pytest.raises(dg.DagsterInvalidDefinitionError, match="load_sales_manual"):
        merged(*parts("", ""))
    jobs = {job.name for job in merged(*parts("", "items")).get_all_jobs()}
    assert {"load_sales_manual", "items_load_sales_manual"} <= jobs


@PARTS
def test_long_selections_have_short_names_that_differ(sales):
    names = {default_name(sales, ["domain:sales", f"{'o' * 60}{letter}"]) for letter in "ab"}
    assert len(names) == 2
    assert all(name.startswith("starlake_sales_domain_sales_oooo") and len(name) < 70 for name in names)
