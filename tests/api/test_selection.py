"""Keys, selections and schedules by the names of the project, from the project or from its assets."""

import re
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets import Node, StarlakeProject, StarlakeTranslator
from starlake_dagster_assets.errors import SelectionError, StarlakeError

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")


class Prefixed(StarlakeTranslator):
    def get_asset_key(self, node: Node) -> dg.AssetKey:
        return super().get_asset_key(node).with_prefix("shop")


def resolved(selection: dg.AssetSelection, assets: list[dg.AssetsDefinition]) -> set[str]:
    return {key.to_user_string() for key in selection.resolve(assets)}


def renamed(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    keys = {key: key.with_prefix("bronze") for one in assets for key in one.keys}
    return [one.with_attributes(asset_key_replacements=keys) for one in assets]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("kpi.by_day", "kpi/by_day"),
        ("sales.Orders", "sales/Orders"),
        ("sales.orders", "sales/Orders"),
        ("KPI.BY_DAY", "kpi/by_day"),
        ("by_day", "kpi/by_day"),
        ("incoming.sales.orders", "incoming/sales/orders"),
    ],
)
def test_a_key_by_name(root: Path, name: str, key: str):
    project = StarlakeProject(root)
    assert project.asset_key(name).to_user_string() == key
    assert project.asset_key(name, translator=Prefixed()).to_user_string() == f"shop/{key}"


def test_an_unknown_name_is_refused_with_the_closest_one(root: Path):
    project = StarlakeProject(root)
    with pytest.raises(
        SelectionError, match=re.escape("`kpi.by_dya` names nothing in this project: did you mean `kpi.by_day`?")
    ):
        project.asset_key("kpi.by_dya")
    with pytest.raises(TypeError, match=r"such as `kpi.revenue`, not AssetKey"):
        project.asset_key(dg.AssetKey("a"))
    other = root / "metadata/load/sales/by_day.sl.yml"
    other.write_text("version: 1\ntable: {name: by_day, pattern: 'by_day.csv', attributes: [{name: id}]}\n")
    with pytest.raises(SelectionError, match=r"`by_day` may be kpi\.by_day or sales\.by_day"):
        StarlakeProject(root).asset_key("by_day")


def test_a_selection_of_the_project_and_of_its_assets(root: Path):
    project = StarlakeProject(root)
    assets = sda.build_starlake_assets(project)
    daily = {"sales/Orders", "kpi/by_day", "kpi/best_day"}
    for given in (project, root, assets, assets[0], sda.build_definitions(project)):
        assert resolved(sda.build_starlake_asset_selection(given, "tag:daily+"), assets) == daily
    assert resolved(sda.build_starlake_asset_selection(project, "tag:daily+", "domain:sales"), assets) == {
        "kpi/by_day",
        "kpi/best_day",
    }
    prefixed = sda.build_starlake_assets(project, translator=Prefixed())
    chosen = sda.build_starlake_asset_selection(project, "kpi.by_day", translator=Prefixed())
    assert resolved(chosen, prefixed) == {"shop/kpi/by_day"}


@pytest.mark.dagster_feature("`AssetSelection`")
def test_a_selection_of_assets_follows_keys_that_were_changed(root: Path):
    assets = renamed(sda.build_starlake_assets(root))
    chosen = sda.build_starlake_asset_selection(assets, "+kpi.by_day")
    assert resolved(chosen, assets) == {"bronze/sales/Orders", "bronze/kpi/by_day"}
    kpi = sda.build_starlake_assets(root, select="domain:kpi")
    assert resolved(sda.build_starlake_asset_selection(kpi, "+kpi.best_day"), kpi) == {"kpi/by_day", "kpi/best_day"}


def with_replacements(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    return [
        one.with_attributes(asset_key_replacements={key: key.with_prefix("bronze") for key in one.keys})
        for one in assets
    ]


def from_module(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    module = ModuleType("of_user")
    for number, one in enumerate(assets):
        setattr(module, f"assets_{number}", one)
    return list(dg.load_assets_from_modules([module], key_prefix="bronze"))


@pytest.mark.dagster_feature("`AssetSelection`")
@pytest.mark.parametrize("change", [with_replacements, from_module])
@pytest.mark.parametrize("decorated", [True, False])
def test_a_selection_and_a_schedule_of_assets_whose_keys_were_changed(root: Path, change: Any, decorated: bool):
    @sda.starlake_assets(project=root, name="of_function")
    def of_function(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
        yield from starlake.run(context)

    assets = change([of_function] if decorated else sda.build_starlake_assets(root))
    for select, keys in (
        ("kpi.by_day", {"bronze/kpi/by_day"}),
        ("domain:kpi", {"bronze/kpi/by_day", "bronze/kpi/best_day"}),
        ("sales.orders+", {"bronze/sales/Orders", "bronze/kpi/by_day", "bronze/kpi/best_day"}),
    ):
        assert resolved(sda.build_starlake_asset_selection(assets, select), assets) == keys
        nightly = sda.build_schedule_from_starlake_selection(
            assets, job_name="nightly", cron_schedule="0 3 * * *", select=select
        )
        defs = dg.Definitions(assets, schedules=[nightly], resources={"starlake": sda.StarlakeDuckDB()})
        job = defs.get_repository_def().get_job("nightly")
        selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        assert selected == keys


def test_what_a_selection_cannot_be_of(root: Path, tmp_path: Path):
    kpi = sda.build_starlake_assets(root, select="domain:kpi")

    @dg.asset
    def mine() -> None: ...

    for given, select, error, message in (
        (
            kpi,
            "sales.customers",
            SelectionError,
            r"the selection 'sales\.customers' names no table and no task of the assets\. The assets have: "
            r"kpi\.best_day, kpi\.by_day\. Select one of them, or pass the project instead\.",
        ),
        (root, "kind:files", SelectionError, "the selection 'kind:files' names no table and no task"),
        ([mine], "*", StarlakeError, "none of the assets is of a Starlake project"),
        (7, "*", TypeError, "build_starlake_asset_selection: the project is an int"),
    ):
        with pytest.raises(error, match=message):
            sda.build_starlake_asset_selection(given, select)
    with pytest.raises(TypeError, match="the assets have a translator already"):
        sda.build_starlake_asset_selection(kpi, translator=Prefixed())


def tick(defs: dg.Definitions, name: str, moment: datetime) -> list[dg.RunRequest]:
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance, moment, repository_def=repository)
        return list(repository.get_schedule_def(name).evaluate_tick(context).run_requests or ())


@pytest.mark.dagster_feature("Jobs and schedules by selection")
def test_a_schedule_runs_its_selection_with_the_interval_of_the_tick(root: Path):
    project = StarlakeProject(root)
    daily = sda.build_schedule_from_starlake_selection(
        project,
        job_name="daily",
        cron_schedule="0 6 * * *",
        select="tag:daily+",
        exclude="kpi.best_day",
        tags={"team": "sales"},
        execution_timezone="Europe/Paris",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    assert (daily.name, daily.job_name, daily.default_status.value) == ("daily_schedule", "daily", "RUNNING")
    defs = dg.Definitions.merge(sda.build_definitions(project), dg.Definitions(schedules=[daily]))
    (request,) = tick(defs, "daily_schedule", datetime(2026, 3, 6, 6, tzinfo=ZoneInfo("Europe/Paris")))
    assert request.tags["team"] == "sales"
    assert request.tags["starlake/data_interval_start"] == "2026-03-05T06:00:00+01:00"
    assert request.tags["starlake/data_interval_end"] == "2026-03-06T06:00:00+01:00"
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.get_repository_def().get_job("daily")
        result = job.execute_in_process(instance=instance, tags=request.tags)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == {"sales/Orders", "kpi/by_day"}
    with duckdb.connect(str(root / "datasets/duckdb.db"), read_only=True) as connection:
        assert connection.execute("select count(*) from kpi.by_day").fetchone() == (2,)


class ByDay(StarlakeTranslator):
    def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition | None:
        return dg.DailyPartitionsDefinition("2026-03-01") if node.id == "kpi.by_day" else None


@pytest.mark.parametrize("of_assets", [True, False])
def test_a_schedule_of_partitioned_assets_asks_for_the_partitions_that_have_closed(root: Path, of_assets: bool):
    defs = sda.build_definitions(root, translator=ByDay())
    given = list(defs.assets or ()) if of_assets else root
    nightly = sda.build_schedule_from_starlake_selection(
        given, job_name="nightly", cron_schedule="0 3 * * *", select="kpi.by_day", schedule_name="at_night"
    )
    both = dg.Definitions.merge(defs, dg.Definitions(schedules=[nightly]))
    (request,) = tick(both, "at_night", datetime(2026, 3, 6, 3, tzinfo=ZoneInfo("UTC")))
    assert request.partition_key == "2026-03-05"


def test_a_schedule_that_cannot_be_is_refused(root: Path):
    build = sda.build_schedule_from_starlake_selection
    for cron, zone, message in (
        ("@daily", None, "job `j`: `@daily` is not a cron of five fields"),
        ("0 99 * * *", None, "Dagster does not know the schedule `0 99"),
        ("0 3 * * *", "Europe/Pariss", "`Europe/Pariss` is not a time zone"),
    ):
        with pytest.raises(StarlakeError, match=re.escape(message)):
            build(root, job_name="j", cron_schedule=cron, execution_timezone=zone)

    class Mixed(ByDay):
        def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition | None:
            static = dg.StaticPartitionsDefinition(["a"])
            return static if node.id == "kpi.best_day" else super().get_partitions_def(node)

    steps = sda.StarlakeSteps(options=lambda node, partition: {})  # they read the partition
    assets = sda.build_starlake_assets(root, translator=Mixed(), steps=steps)
    with pytest.raises(StarlakeError, match="have different partitions"):
        build(assets, job_name="j", cron_schedule="0 3 * * *", select="domain:kpi")
