"""`build_definitions`: jobs, sensors and conditions of a project, as Dagster has them."""

from __future__ import annotations

import logging

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeProject,
    StarlakeSteps,
    StarlakeTranslator,
    build_definitions,
)
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.testing import fake_starlake
from tests.automation.conftest import Place, dag, project, table, task
from tests.project.conftest import write
from tests.project.texts import ORDERS

LINEAGE = "transform_kpi_lineage"


def chain(*dags, **changes):
    tables = [table("a", "daily"), table("b")]
    return project(tables, [task("x", ["sales.a", "sales.b"], **changes), task("y", ["kpi.x"])], dags)


def test_a_project_has_jobs_and_sensors_that_are_off(locate):
    location = locate(chain())
    assert location.jobs == ["load_sales_daily", "load_sales_manual", "transform_kpi"]
    assert location.sensors == [LINEAGE]
    statuses = {sensor.default_status for sensor in location.repository.sensor_defs}
    assert statuses == {dg.DefaultSensorStatus.STOPPED}


def test_they_can_be_on_from_the_start(locate):
    location = locate(chain(), status="RUNNING")
    assert {one.default_status for one in location.repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def test_nothing_starts_by_itself_where_it_is_off(locate):
    location = locate(chain(), triggering="none", schedules=False, arrivals=False)
    assert location.sensors == [] and list(location.repository.schedule_defs) == []
    assert location.jobs == ["load_sales_manual", "transform_kpi_manual"]


def test_an_update_runs_what_follows_it(locate):
    location = locate(chain())
    location.made("sales.a")
    assert "also reads sales.b, never materialized so far: materialize it once." in location.tick(LINEAGE)
    location.made("sales.b")
    (request,) = location.tick(LINEAGE)
    assert location.run("transform_kpi", request.tags, request.asset_selection) == ["kpi.x", "kpi.y"]
    assert "which kpi.x has read" in location.tick(LINEAGE)


def test_what_two_runs_make_of_one_update_is_waited_for(locate):
    """x and y follow a, z reads both: one run of z, after both."""
    tasks = [task("x", ["sales.a"]), task("y", ["sales.a"]), task("z", ["kpi.x", "kpi.y"])]
    location = locate(project([table("a")], tasks))
    location.made("sales.a", "kpi.x", "kpi.y", "kpi.z")
    assert "z [" not in location.tick(LINEAGE)
    location.made("sales.a")
    job = location.repository.get_job("transform_kpi")
    selection = frozenset({dg.AssetKey(["kpi", "y"])})
    started = location.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=selection)
    (request,) = location.tick(LINEAGE)
    assert location.run("transform_kpi", request.tags, request.asset_selection) == ["kpi.x"]
    said = location.tick(LINEAGE)
    assert f"waits for kpi.y: run {started.run_id} (started since " in said
    location.instance.report_run_canceled(started)
    (request,) = location.tick(LINEAGE)
    assert location.run("transform_kpi", request.tags, request.asset_selection) == ["kpi.z"]
    assert f"Run {started.run_id} of kpi.y was canceled after the update of sales.a" in location.tick(LINEAGE)


def test_a_task_that_is_added_is_made_alone(locate, instance):
    location = locate(project([table("a"), table("b")], [task("x", ["sales.a"])]))
    location.made("sales.a", "sales.b")
    (request,) = location.tick(LINEAGE)
    location.run("transform_kpi", request.tags, request.asset_selection)
    assert isinstance(location.tick(LINEAGE), str)
    more = Place(instance, project([table("a"), table("b")], [task("w", ["sales.b"]), task("x", ["sales.a"])]))
    more.cursors = location.cursors
    (request,) = more.tick(LINEAGE)
    assert [key.to_user_string() for key in request.asset_selection] == ["kpi/w"]


def test_a_job_makes_what_it_says_with_its_tags(locate):
    dags = [dag("d", "nightly.py", comment="By night", tags="pii night", priority_weight="3")]
    location = locate(chain(*dags, dag="d", schedule="daily"))
    job = location.repository.get_job("nightly")
    assert (job.description, job.tags["dagster/priority"], job.tags["starlake/dag"]) == ("By night", "3", "d")
    assert {"pii", "night"} <= job.tags.keys()
    assert location.run("nightly") == ["kpi.x"]


def test_conditions_are_on_the_assets_and_have_their_sensor(locate):
    location = locate(chain(), triggering="condition")
    assert location.sensors == ["kpi_conditions"]
    watched = dg.AssetSelection.assets("kpi/x")
    first = dg.evaluate_automation_conditions(location.defs, location.instance, asset_selection=watched)
    location.made("sales.a")
    second = dg.evaluate_automation_conditions(location.defs, location.instance, watched, cursor=first.cursor)
    assert second.total_requested == 0, "sales.b was never made"
    location.made("sales.b")
    third = dg.evaluate_automation_conditions(location.defs, location.instance, watched, cursor=second.cursor)
    assert third.total_requested == 1


class EagerX(StarlakeTranslator):
    def get_automation_condition(self, node):
        return dg.AutomationCondition.eager() if node.id == "kpi.x" else super().get_automation_condition(node)


@pytest.mark.parametrize("others", ["sensor", "condition"])
def test_a_task_with_a_condition_of_the_translator_has_no_sensor(others):
    """`kpi.y`, which reads it, keeps its own trigger."""
    automation = StarlakeAutomation(lineage={"triggering": others})
    defs = build_definitions(chain(), starlake=fake_starlake(), automation=automation, translator=EagerX())
    repository = defs.get_repository_def()
    made = [one.metadata.get("starlake/makes") for one in repository.sensor_defs]
    started = [text.value for text in made if text is not None]
    assert started == (["kpi.y"] if others == "sensor" else [])
    eager = repository.asset_graph.get(dg.AssetKey(["kpi", "x"])).automation_condition
    assert type(eager) is type(dg.AutomationCondition.eager())


def test_a_tick_makes_what_it_reads_first_in_one_run(locate):
    location = locate(chain(schedule="daily"), run_dependencies_first=True)
    (schedule,) = location.repository.schedule_defs
    assert (schedule.name, schedule.job_name) == ("transform_kpi_daily_schedule", "transform_kpi_daily")
    location.run("transform_kpi_daily")
    names = [command.name for command in location.runner.commands if command.name in ("load", "transform")]
    assert names[0] == "load" and "transform" in names


def test_a_schedule_says_whom_it_does_not_wait_for(locate):
    location = locate(chain(schedule="daily"))
    said = location.repository.get_schedule_def("transform_kpi_daily_schedule").description
    assert said.startswith("Materializes kpi.x at 0 0 * * * (UTC). sales.a may be materialized at the same time by")
    other = locate(project([table("a", "0 5 * * *")], [task("x", ["sales.a"], "daily")]))
    said = other.repository.get_schedule_def("transform_kpi_daily_schedule").description
    assert said == "Materializes kpi.x at 0 0 * * * (UTC)."


def test_a_selection_has_the_jobs_of_its_nodes(instance):
    location = Place(instance, chain(), options={"select": "kpi.x"})
    assert location.jobs == ["transform_kpi"] and location.sensors == [LINEAGE]
    location.made("sales.a", "sales.b")
    assert isinstance(location.tick(LINEAGE), list)


def test_a_job_may_have_the_name_of_a_step_or_of_a_group(locate):
    location = locate(chain(dag("d", "starlake_project.py"), dag="d", schedule="daily"))
    assert location.run("starlake_project") == ["kpi.x"]


def test_a_translator_of_the_user_names_the_assets(instance):
    class Mine(StarlakeTranslator):
        def get_asset_key(self, node):
            return super().get_asset_key(node).with_prefix("dwh")

    location = Place(instance, chain(), options={"translator": Mine()})
    location.made("dwh.sales.a", "dwh.sales.b")
    (request,) = location.tick(LINEAGE)
    assert location.run("transform_kpi", request.tags, request.asset_selection) == ["dwh.kpi.x", "dwh.kpi.y"]


def test_what_nobody_knows_is_warned_about_once(caplog):
    source = chain(dag("d", retrys="2"), dag="d")
    build_definitions(source, starlake=fake_starlake())
    assert caplog.text.count("the option `retrys` is not used here. Did you mean `retries`?") == 1


def test_problems_of_a_project_that_loads_nevertheless_are_told(tmp_path, caplog):
    broken = {f"load/shop/t{number}.sl.yml": "version: 1\ntable: [\n" for number in range(20)}
    root = write(tmp_path / "project", {**broken, "load/shop/orders.sl.yml": ORDERS})
    source = StarlakeProject(root, cache_dir=tmp_path / "cache", on_error="skip")
    build_definitions(source, starlake=fake_starlake())
    (record,) = caplog.records
    assert record.getMessage().startswith("20 errors (yaml), the first: metadata/load/shop/t0.sl.yml:3: not valid YAML")
    assert record.getMessage().endswith(f"To list them: starlake-dagster check {root}")


def test_a_schedule_that_cannot_be_read_is_refused_where_schedules_are_made(tmp_path):
    text = f"{ORDERS}  metadata:\n    schedule: 30 0 5 * * *\n"
    source = StarlakeProject(write(tmp_path / "project", {"load/shop/orders.sl.yml": text}), cache_dir=tmp_path / "c")
    assert [table.cron for table in source.model.tables] == [None]
    with pytest.raises(ProjectError, match="has seconds"):
        build_definitions(source, starlake=fake_starlake())
    build_definitions(source, starlake=fake_starlake(), automation=StarlakeAutomation.off())


def test_a_project_that_says_nothing_wrong_is_quiet(caplog):
    with caplog.at_level(logging.WARNING):
        build_definitions(chain(), starlake=fake_starlake())
    assert not caplog.records


@pytest.mark.parametrize(("given", "wanted"), [({}, "a=1,b=2"), ({"b": "3"}, "a=1,b=3")])
def test_the_options_of_one_task_reach_its_transform_alone(instance, given, wanted):
    options = {"kpi.x": '{"options": "a=1,b=2"}'}
    location = Place(
        instance, chain(dag("d", **options), dag="d", schedule="daily"), options={"steps": StarlakeSteps(options=given)}
    )
    location.run("kpi")
    (command,) = location.runner.commands
    assert command.argv == ("transform", "--name", "kpi.x", "--options", wanted)
    location.run("transform_kpi")
    assert "a=1" not in " ".join(location.runner.commands[-1].argv)
