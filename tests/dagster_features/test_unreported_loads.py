"""Loads whose run was killed after the rows were committed and before the table was reported."""

import os

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.api import execute_run

import starlake_dagster_assets as sda
from starlake_dagster_assets.dagster_assets.steps import unreported_loads
from starlake_dagster_assets.dagster_assets.steps.unreported_loads import UnreportedLoads
from tests.dagster_features import projects

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))"),
    pytest.mark.dagster_feature("Loads of runs that were killed"),
]

FILES = {
    name: text
    for name, text in projects.SALES.items()
    if not any(word in name for word in ("kpi", "items", "incoming"))
}
SINK = "  metadata: {writeStrategy: {type: APPEND}, sink: {partition: [day]}}\n"
ORDERS = dg.AssetKey(["sales", "orders"])


class World:
    """A project with a load and a task, and an instance on disk that a killed child process shares."""

    def __init__(self, root, instance, **automation):
        self.root, self.instance, self.count = root, instance, 0
        chosen = sda.StarlakeAutomation(pre_load=sda.PreLoadSettings(strategy="imported", stable_for=0), **automation)
        defs = sda.build_definitions(str(root), starlake=sda.StarlakeDuckDB(), automation=chosen)
        self.repository = defs.get_repository_def()

    def deliver(self, day):
        self.count += 1
        file = self.root / f"incoming/sales/orders_{self.count}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"id,day\n{self.count},2025-03-{day:02}\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))

    def job(self):
        return self.repository.get_job("load_sales_files").get_subset(asset_selection={ORDERS})

    def load(self):
        return self.job().execute_in_process(instance=self.instance, raise_on_error=False)

    def load_and_kill(self):
        """Starts a load in a child process that ends without cleanup when it would report the table."""
        job = self.job()
        (request,) = self.tick().run_requests
        run = self.instance.create_run_for_job(
            job_def=job, asset_selection=frozenset([ORDERS]), tags={**request.tags, "dagster/run_key": request.run_key}
        )
        child = os.fork()
        if child == 0:
            DagsterEvent.asset_materialization = staticmethod(lambda *_, **__: os._exit(9))  # type: ignore[method-assign]
            try:
                execute_run(InMemoryJob(job), run, self.instance)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        started = self.instance.get_run_by_id(run.run_id)
        self.instance.report_run_failed(started)
        return started

    def partitions(self):
        return sorted(self.instance.get_materialized_partitions(ORDERS))

    def rows(self):
        with duckdb.connect(str(self.root / "datasets/duckdb.db"), read_only=True) as connection:
            return [one for (one,) in connection.execute("select id from sales.orders order by id").fetchall()]

    def tick(self):
        sensor = next(one for one in self.repository.sensor_defs if one.name.endswith("_arrival"))
        context = dg.build_sensor_context(self.instance, repository_def=self.repository, sensor_name=sensor.name)
        return sensor.evaluate_tick(context)


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home"), overrides={"telemetry": {"enabled": False}}) as found:
        yield found


@pytest.fixture
def world(tmp_path, instance):
    return World(projects.write(tmp_path / "sales", FILES), instance)


@pytest.fixture
def by_day(tmp_path, instance):
    yaml = "metadata/load/sales/orders.sl.yml"
    files = {**FILES, yaml: FILES[yaml].replace("table:\n", f"table:\n{SINK}")}
    chosen = {"partitions": "sink", "schedules": sda.ScheduleSettings(start_date="2025-03-01")}
    return World(projects.write(tmp_path / "sales", files), instance, **chosen)


def test_the_next_run_without_files_reports_the_load(world):
    world.deliver(1)
    killed = world.load_and_kill()
    assert world.rows() == [1]
    assert f"run {killed.run_id} for orders_1.csv ended without a result for sales.orders" in world.tick().skip_message
    (event,) = world.load().get_asset_materialization_events()
    assert f"(job {killed.run_id}-" in event.materialization.metadata["starlake/warning"].value
    assert world.rows() == [1] and "nothing is there" in world.tick().skip_message
    assert not world.load().get_asset_materialization_events(), "it is reported once"


@pytest.mark.parametrize("has_files", [True, False])
def test_the_partitions_of_the_load_are_materialized(by_day, has_files):
    by_day.deliver(1)
    by_day.load_and_kill()
    if has_files:
        by_day.deliver(2)
    assert by_day.load().success
    assert by_day.partitions() == ["2025-03-01", "2025-03-02"][: 1 + has_files]
    by_day.deliver(3)
    assert by_day.load().success
    records = by_day.instance.fetch_materializations(ORDERS, limit=9).records
    assert [one.partition_key for one in records if one.partition_key].count("2025-03-01") == 1


@pytest.mark.parametrize(("size", "pages"), [(2, 3), (1000, 1)])
def test_all_results_of_a_run_are_read_once(instance, monkeypatch, size, pages):
    keys = [dg.AssetKey(["sales", f"t{number}"]) for number in range(6)]

    @dg.multi_asset(specs=[dg.AssetSpec(key, skippable=True) for key in keys])
    def tables():
        for key in keys[:5]:
            yield dg.MaterializeResult(asset_key=key)

    job = dg.Definitions([tables]).get_repository_def().get_job("__ASSET_JOB")
    run = instance.get_run_by_id(job.execute_in_process(instance=instance).run_id)
    monkeypatch.setattr(unreported_loads, "_RECORDS", size)
    read, asked = dg.DagsterInstance.get_records_for_run, []
    monkeypatch.setattr(dg.DagsterInstance, "get_records_for_run", lambda *a, **k: asked.append(k) or read(*a, **k))
    loads = UnreportedLoads(instance)
    assert [loads.has_ended_without_result(run, key, key.path[-1]) for key in keys] == [False] * 5 + [True]
    assert len(asked) == pages
    assert loads.jobs(keys[5], "sales.t5", "") == (f"{run.run_id}-",) and loads.jobs(keys[0], "sales.t0", "") == ()
    assert loads.jobs(keys[5], "sales.t5", run.run_id) == ()
