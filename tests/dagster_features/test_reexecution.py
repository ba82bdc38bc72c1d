"""Re-execution from failure runs what the earlier runs of the chain did not make, and nothing else."""

import os
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob

import starlake_dagster_assets as sda
from tests.dagster_features import projects

APPEND = "version: 1\ntask:\n  writeStrategy: {type: APPEND}\n"
FILES = {
    **projects.SALES,
    "metadata/transform/kpi/by_day.sl.yml": projects.TASK,
    "metadata/transform/kpi/log.sl.yml": APPEND,
    "metadata/transform/kpi/log.sql": "select count(*) as n from kpi.by_day",
    "metadata/transform/kpi/bad.sl.yml": APPEND,
    "metadata/transform/kpi/bad.sql": "select count(*) as n, min(v) as v from main.gate",
    "metadata/transform/kpi/after.sl.yml": APPEND,
    "metadata/transform/kpi/after.sql": "select n from kpi.bad",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    root = projects.write(tmp_path / "sales", FILES)
    monkeypatch.setenv("STEP_TEST_PROJECT", str(root))
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home"), overrides={"telemetry": {"enabled": False}}) as instance:
        yield World(root, instance)


class World:
    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance, self.database = root, instance, root / "datasets/duckdb.db"

    def execute(self, job, options=None, tags=None):
        more = {"reexecution_options": options} if options else {}
        pointer = ReconstructableJob.for_file(__file__, job.__name__)
        with dg.execute_job(pointer, self.instance, tags=tags, raise_on_error=False, **more) as opened:
            keys = sorted(e.asset_key.to_user_string() for e in opened.all_events if e.is_step_materialization)
            checks = [e for e in opened.all_events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION]
            status = {
                observation.asset_key.to_user_string(): observation.metadata["starlake/run"].value
                for e in opened.all_events
                if e.event_type == dg.DagsterEventType.ASSET_OBSERVATION
                and (observation := e.asset_observation_data.asset_observation).metadata.get("starlake/run")
            }
            return opened.run_id, opened.success, keys, status, checks

    def from_failure(self, run_id: str):
        return dg.ReexecutionOptions.from_failure(run_id, self.instance)

    def open_gate(self) -> None:
        self.sql("create table main.gate as select 1 as v")

    def sql(self, text: str) -> None:
        with duckdb.connect(str(self.database)) as connection:
            connection.execute(text)

    def count(self, table: str) -> int:
        return projects.rows(self.database, f"select count(*) from {table}")[0][0]


@dg.asset(deps=[dg.AssetKey(["kpi", "log"])])
def report() -> None:
    """An asset of one's own that reads what the first run made."""


def definitions(executor=dg.in_process_executor):
    project = sda.StarlakeProject(os.environ["STEP_TEST_PROJECT"])
    extra = dg.Definitions(jobs=[dg.define_asset_job("everything")], executor=executor)
    built = sda.build_definitions(project, extra_assets=[report], steps=sda.StarlakeSteps(executor=executor))
    return dg.Definitions.merge(built, extra).get_repository_def().get_job("everything")


def in_process_job():
    return definitions()


def multiprocess_job():
    return definitions(dg.multiprocess_executor.configured({"max_concurrent": 1}))


@pytest.mark.parametrize("job", [in_process_job, multiprocess_job])
@pytest.mark.dagster_feature("Re-execute from failure; run retries by the daemon")
def test_from_failure_runs_what_no_run_of_the_chain_made(world, job):
    first, success, made, _, _ = world.execute(job)
    assert not success
    assert made == ["kpi/by_day", "kpi/log", "sales/orders"]
    # still broken: what the root run made is not made again by the grandchild either
    second, success, made, status, _ = world.execute(job, world.from_failure(first))
    assert (success, made) == (False, [])
    assert set(status.values()) == {first}
    world.open_gate()
    _, success, made, status, checks = world.execute(job, world.from_failure(second))
    assert success
    assert made == ["kpi/after", "kpi/bad", "report"]
    assert status == dict.fromkeys(["kpi/by_day", "kpi/log", "sales/orders"], first)
    assert {e.event_specific_data.asset_check_key.asset_key.path[-1] for e in checks} <= {"items"}
    assert [world.count(f"kpi.{one}") for one in ("log", "bad", "after")] == [1, 1, 1]
    assert world.count("sales.orders") == 3


@pytest.mark.dagster_feature("Re-execute all steps, re-execute selected steps")
def test_all_steps_and_selected_steps_repeat_what_was_asked_for(world):
    first, *_ = world.execute(in_process_job)
    world.open_gate()
    _, success, made, status, _ = world.execute(in_process_job, dg.ReexecutionOptions(first))
    assert success
    assert "kpi/log" in made
    assert not status
    selected = dg.ReexecutionOptions(first, step_selection=["starlake_sales"])
    _, success, made, status, _ = world.execute(in_process_job, selected, {"dagster/step_selection": "starlake_sales"})
    assert success
    assert "kpi/log" in made
    assert world.count("kpi.log") == 3
