"""Re-execution from failure runs what the earlier runs of the chain did not make, and nothing else."""

import inspect
import os
from pathlib import Path

import dagster as dg
import dagster._daemon.auto_run_reexecution.auto_run_reexecution as daemon
import duckdb
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import execute_run
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

import starlake_dagster_assets as sda
from starlake_dagster_assets._compat import retry_tags
from tests.dagster_features import projects

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

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

    def retry_by_daemon(self, job, run_id: str):
        """Runs what Dagster's daemon would create for a failed run."""
        run = self.instance.get_run_by_id(run_id)
        strategy = daemon.get_reexecution_strategy(run, self.instance) or daemon.DEFAULT_REEXECUTION_POLICY
        origin = LoadableTargetOrigin(python_file=__file__, attribute=job.__name__.replace("_job", "_definitions"))
        with in_process_test_workspace(self.instance, origin) as workspace:
            location = workspace.code_locations[0]
            repository = next(iter(location.get_repositories().values()))
            remote = getattr(repository, "get_full_job", None) or repository.get_full_external_job
            create = self.instance.create_reexecuted_run
            known = {"request_context": workspace, "remote_job": remote(run.job_name)}
            given = {name: value for name, value in known.items() if name in inspect.signature(create).parameters}
            retry = create(parent_run=run, code_location=location, strategy=strategy, use_parent_run_tags=True, **given)
        execute_run(ReconstructableJob.for_file(__file__, job.__name__), retry, self.instance)
        records = self.instance.all_logs(retry.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        made = sorted(
            (record.dagster_event.asset_key.to_user_string(), record.dagster_event.partition) for record in records
        )
        return self.instance.get_run_by_id(retry.run_id), made

    def from_failure(self, run_id: str):
        return dg.ReexecutionOptions.from_failure(run_id, self.instance)

    def open_gate(self) -> None:
        self.sql("create table main.gate as select 1 as v")

    def sql(self, text: str) -> None:
        self.database.parent.mkdir(exist_ok=True)
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


class ByDay(sda.StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2025-03-01", end_date="2025-03-10")


def scheduled(select="*", translator=None):
    project = sda.StarlakeProject(os.environ["STEP_TEST_PROJECT"])
    schedule = sda.build_schedule_from_starlake_selection(
        project, job_name="everything", cron_schedule="0 6 * * *", select=select, translator=translator
    )
    executor = dg.in_process_executor
    built = sda.build_definitions(
        project, select=select, translator=translator, steps=sda.StarlakeSteps(executor=executor)
    )
    return dg.Definitions(assets=built.assets, jobs=[schedule.job], resources=built.resources, executor=executor)


def all_definitions():
    return scheduled()


def tasks_definitions():
    return scheduled("kpi.*")


def days_definitions():
    return scheduled("kpi.*", ByDay())


def all_job():
    return all_definitions().get_repository_def().get_job("everything")


def tasks_job():
    return tasks_definitions().get_repository_def().get_job("everything")


def days_job():
    return days_definitions().get_repository_def().get_job("everything")


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


@pytest.mark.parametrize("job", [all_job, tasks_job, days_job])
@pytest.mark.dagster_feature("`FROM_ASSET_FAILURE` of run retries")
def test_a_retry_by_the_daemon_runs_what_the_run_did_not_materialize(world, job):
    tags = {} if job is all_job else retry_tags()  # a load may fail after some rows are materialized
    assert {name: value for name, value in job().tags.items() if name == "dagster/retry_strategy"} == tags
    key = "2025-03-02" if job is days_job else None
    if job is not all_job:
        world.sql("create schema sales; create table sales.orders as select date '2025-03-02' as day")
    first, success, made, _, _ = world.execute(job, tags={"dagster/partition": key} if key else None)
    assert not success
    assert made == ["kpi/by_day", "kpi/log", *(["sales/orders"] if job is all_job else [])]
    second, made = world.retry_by_daemon(job, first)
    assert (second.is_failure, made) == (True, [])
    world.open_gate()
    third, made = world.retry_by_daemon(job, second.run_id)
    assert third.is_success
    assert made == [("kpi/after", key), ("kpi/bad", key)]
    if tags:
        assert {one.path[-1] for one in third.asset_selection} == {"after", "bad"}
    assert [world.count(f"kpi.{one}") for one in ("log", "bad", "after")] == [1, 1, 1]


def test_generated_jobs_say_what_their_retries_repeat(world):
    jobs = sda.build_definitions(world.root).get_repository_def().get_all_jobs()
    said = {job.name: job.tags.get("dagster/retry_strategy") for job in jobs if not job.name.startswith("__")}
    strategy = retry_tags().get("dagster/retry_strategy")
    assert {value for name, value in said.items() if "kpi" in name} == {strategy}
    assert {value for name, value in said.items() if "kpi" not in name} <= {None}
