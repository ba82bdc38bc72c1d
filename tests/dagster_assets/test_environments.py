"""A project in several environments: each node runs where its selection says, in one run."""

import dagster as dg
import pytest

from starlake_dagster_assets import build_definitions
from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.resources import StarlakeDataproc
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines

LOADED = Script([*loaded_lines("sales", "customers", accepted=1), *loaded_lines("sales", "orders", accepted=1)])


def typed(runner: FakeRunner) -> list[str]:
    return [" ".join(command.argv) for command in runner.commands]


def job_of(defs: dg.Definitions) -> dg.JobDefinition:
    return defs.get_repository_def().get_job("__ASSET_JOB")


def test_each_node_runs_in_its_environment(sales, instance):
    here, there = FakeRunner({"load": LOADED}), FakeRunner()
    defs = build_definitions(
        sales, starlake=fake_starlake(here), environments={"kpi.people kpi.summary": fake_starlake(there)}
    )
    result = job_of(defs).execute_in_process(instance=instance)
    assert result.success
    assert [line.split()[0] for line in typed(here)] == ["stage", "load", "transform"]
    assert typed(here)[-1] == "transform --name kpi.revenue"
    assert typed(there) == ["transform --name kpi.people", "transform --name kpi.summary"]
    assert set(defs.resources or {}) == {"starlake", "starlake_other"}
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == {"sales/customers", "sales/orders", "kpi/people", "kpi/revenue", "kpi/summary"}


def test_a_way_that_leaves_an_environment_and_comes_back_is_cut_into_steps(make, instance):
    tasks = [make.task("a"), make.task("b", ["kpi.a"]), make.task("c", ["kpi.b"])]
    here, there = FakeRunner(), FakeRunner()
    defs = build_definitions(
        make.source(tasks=tasks), starlake=fake_starlake(here), environments={"kpi.b": fake_starlake(there)}
    )
    assert job_of(defs).execute_in_process(instance=instance).success
    assert typed(here) == ["transform --name kpi.a", "transform --name kpi.c"]
    assert typed(there) == ["transform --name kpi.b"]


def test_the_first_selection_counts_and_one_object_has_one_key(sales):
    one, two = fake_starlake(), fake_starlake()
    defs = build_definitions(sales, environments={"kpi.people": one, "domain:kpi": two, "kpi.summary": one})
    needed = {
        key.to_user_string(): sorted(asset.op.required_resource_keys)
        for asset in defs.assets or ()
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable
        for key in asset.keys
    }
    assert needed == {
        "sales/customers": ["starlake"],
        "sales/orders": ["starlake"],
        "kpi/people": ["starlake_other"],
        "kpi/revenue": ["starlake_other_2"],
        "kpi/summary": ["starlake_other_2"],
    }


def test_a_selection_of_nothing_is_refused_with_the_nearest(sales):
    with pytest.raises(SelectionError, match=r"kpi\.people"):
        build_definitions(sales, environments={"kpi.poeple": fake_starlake()})


def test_each_environment_brings_its_own_sensors(sales):
    def dataproc(region: str) -> StarlakeDataproc:
        return StarlakeDataproc(project="p", region=region, jars="gs://b/starlake.jar")

    defs = build_definitions(
        sales,
        starlake=dataproc("europe-west1"),
        environments={"kpi.people": dataproc("europe-west2"), "kpi.summary": dataproc("europe-west3")},
    )
    dg.Definitions.validate_loadable(defs)
    sweepers = sorted(sensor.name for sensor in defs.sensors or () if "sweeper" in sensor.name)
    assert sweepers == [
        "dataproc_2_starlake_dataproc_sweeper",
        "dataproc_starlake_dataproc_sweeper",
        "starlake_dataproc_sweeper",
    ]
