"""A task that appends the rows of an interval has every row once, or its run fails and says why."""

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import dagster as dg
import duckdb
import pytest
import sqlalchemy as sa

import starlake_dagster_assets as sda
from starlake_dagster_assets.dagster_assets.steps import step_intervals
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.warehouse.duckdb import DuckDBReader
from starlake_dagster_assets.execution.warehouse.sql import SqlReader
from starlake_dagster_assets.execution.warehouse.sqlalchemy_engines import EngineFactory
from starlake_dagster_assets.project.model.settings import Connection
from tests.dagster_features import projects

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

SENSOR = {"starlake/trigger": "transform_kpi_lineage"}
CONDITION = {"dagster/from_automation_condition": "true"}
FEATURE = pytest.mark.dagster_feature("Data intervals of tasks that append")
OUTAGE = pytest.mark.dagster_feature("Data intervals of loads after missed ticks")
FILES = {
    **{name: text for name, text in projects.SALES.items() if "by_day" not in name and "incoming" not in name},
    "metadata/transform/kpi/app.sl.yml": "version: 1\ntask:\n  writeStrategy: {type: APPEND}\n",
    "metadata/transform/kpi/app.sql": (
        "select id, day from sales.orders where true"
        "{% if sl_start_date %} and day >= cast('{{ sl_start_date }}' as date){% endif %}"
        "{% if sl_end_date %} and day < cast('{{ sl_end_date }}' as date){% endif %}"
    ),
}

REPLACE = "version: 1\ntask:\n  writeStrategy: {type: OVERWRITE_BY_PARTITION}\n  sink: {partition: [day]}\n"
UPSERT = "  metadata: {writeStrategy: {type: UPSERT_BY_KEY, key: [id]}, sink: {partition: [day]}}\n"
SINK = "  metadata: {writeStrategy: {type: APPEND}, sink: {partition: [day]}}\n"


def day(number, last=0):
    """Tags of a run for a day of March, or for several."""
    ends = {"start": number, "end": (last or number) + 1}
    return {f"starlake/data_interval_{end}": f"2025-03-{one:02}T00:00:00+00:00" for end, one in ends.items()}


class World:
    def __init__(self, root, instance):
        self.root, self.instance, self.count = root, instance, 0
        self.define()

    def define(self, **automation):
        chosen = sda.StarlakeAutomation(**automation)
        defs = sda.build_definitions(str(self.root), starlake=sda.StarlakeDuckDB(), automation=chosen)
        self.repository = defs.get_repository_def()

    def load(self, days, tags=None):
        """Loads one file with a row of each day; "" is no day."""
        text = "id,day\n"
        for one in days:
            self.count += 1
            text += f"{self.count},{one and f'2025-03-{one:02}'}\n"
        file = self.root / f"incoming/sales/orders_{self.count}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        assert self.run("sales/orders", tags or {}) == ""

    def run(self, key="kpi/app", tags=SENSOR, **config):
        """Runs an asset; returns why it failed."""
        job = self.repository.get_job("__ASSET_JOB").get_subset(asset_selection={dg.AssetKey(key.split("/"))})
        given = {"ops": {node.name: {"config": config} for node in job.nodes}} if config else None
        result = job.execute_in_process(instance=self.instance, tags=tags, run_config=given, raise_on_error=False)
        failed = [event.step_failure_data.user_failure_data for event in result.get_step_failure_events()]
        return " ".join(str(value.value) for one in failed for value in one.metadata.values())

    def rows(self):
        with duckdb.connect(str(self.root / "datasets/duckdb.db"), read_only=True) as connection:
            return [one for (one,) in connection.execute("select id from kpi.app order by id").fetchall()]

    def is_due(self):
        sensor = next(one for one in self.repository.sensor_defs if one.name.endswith("_lineage"))
        context = dg.build_sensor_context(self.instance, repository_def=self.repository, sensor_name=sensor.name)
        return bool(sensor.evaluate_tick(context).run_requests)


@pytest.fixture
def world(tmp_path):
    root = projects.write(tmp_path / "sales", FILES)
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(root, instance)


@FEATURE
@pytest.mark.parametrize("tags", [SENSOR, CONDITION])
def test_a_second_file_of_an_interval_is_not_appended_and_the_next_day_is(world, tags):
    world.load([1], day(1))
    assert world.run(tags=tags) == ""
    world.load([1], day(1))
    said = world.run(tags=tags)
    (first,) = world.instance.fetch_materializations(dg.AssetKey(["kpi", "app"]), limit=9).records
    assert f"run {first.run_id} has appended the rows of 2025-03-01T00:00:00+00:00/2025-03-02" in said
    assert "full_refresh" in said and "OVERWRITE_BY_PARTITION" in said
    assert world.rows() == [1] and not world.is_due(), "the failed run is not repeated for the same update"
    world.load([2], day(2))
    assert world.is_due()
    assert world.run(tags=tags) == "" and world.rows() == [1, 3]
    assert world.is_due(), "row 2 is still missing, which another failed run says"
    assert "run would append" in world.run(tags=tags)
    assert world.rows() == [1, 3] and not world.is_due()
    assert world.run(tags={}, full_refresh=True) == ""
    assert world.rows() == [1, 2, 3] and not world.is_due()


@FEATURE
@pytest.mark.parametrize(
    ("tags", "config"),
    [
        (day(1), {}),
        (day(1, 2), {}),
        ({}, {"options": {"sl_start_date": "2025-03-01", "sl_end_date": "2025-03-02"}}),
        ({}, {"options": {"sl_start_date": "2025-03-01"}}),
        ({}, {}),
    ],
    ids=["tags", "more days", "variables", "one variable", "no interval"],
)
def test_a_run_by_hand_does_not_append_an_interval_again(world, tags, config):
    world.load([1], day(1))
    variables = {"options": {"sl_start_date": "2025-03-01", "sl_end_date": "2025-03-02"}}
    assert world.run(tags={}, **variables) == "", "the interval of the variables is recorded"
    assert "would append" in world.run(tags=tags, **config)
    assert world.run(tags=day(2)) == "" and world.rows() == [1]


@FEATURE
@pytest.mark.parametrize("first", ["load", "append"])
def test_of_a_load_of_several_days_the_days_that_are_missing_are_appended(world, first):
    """A run by hand has appended one of its days, from the rows of this load or from those of an earlier one."""
    if first == "append":
        world.load([2], day(2))
        assert world.run() == ""
    world.load([1, 2, 3], day(1, 3))
    if first == "load":
        assert world.run(tags=day(2)) == "" and world.rows() == [2]
    assert [world.is_due(), world.run(), world.is_due(), world.run()] == [True, "", True, ""]
    assert world.rows() == ([1, 2, 3] if first == "load" else [1, 2, 4])
    assert world.is_due() is (first == "append"), "row 3 is another row of a day that was appended"
    if first == "append":
        assert "would append the interval 2025-03-02" in world.run() and not world.is_due()


@FEATURE
def test_after_a_run_without_an_interval_what_comes_later_is_appended(world):
    world.load([1], day(1))
    world.load([2], day(2))
    assert world.run(tags={}) == "" and world.rows() == [1, 2]
    world.load([3], day(3))
    assert world.run() == "" and world.rows() == [1, 2, 3]
    world.load([2], day(2))
    assert "has appended the rows of 2025-03-03" not in world.run() and world.rows() == [1, 2, 3]
    world.load([4])
    assert "all rows, since it has no interval" in world.run() and world.rows() == [1, 2, 3]


@FEATURE
def test_a_load_by_hand_has_the_rows_before_the_last_tick_of_its_schedule(tmp_path, monkeypatch):
    """*Materialize all*, then the schedule is switched on: the next interval is appended."""
    yaml = "metadata/load/sales/_config.sl.yml"
    text = FILES[yaml].replace("{directory", '{schedule: "0 0 * * *", directory')
    root = projects.write(tmp_path / "sales", {**FILES, yaml: text})
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(root, instance)
        world.load([1])
        assert world.run(tags={}) == ""
        now = instance.fetch_materializations(dg.AssetKey(["kpi", "app"]), limit=1).records[0].timestamp
        today = datetime.fromtimestamp(now, timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        later = now + timedelta(days=2).total_seconds()  # both days are over
        monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: later))
        for days, is_new in ((-1, False), (0, True)):
            start = today + timedelta(days=days)
            ends = {"start": start, "end": start + timedelta(days=1)}
            world.load([2], {f"starlake/data_interval_{end}": moment.isoformat() for end, moment in ends.items()})
            assert (world.run() == "") is is_new


@OUTAGE
@pytest.mark.parametrize("partitions", ["none", "cron"])
@pytest.mark.parametrize("by", ["schedule", "sensor"])
def test_a_load_after_an_outage_is_read_as_a_whole(tmp_path, partitions, by, monkeypatch):
    """The files of three days, loaded by the tick of the last one; what reads them by their interval reads them all."""
    yaml = "metadata/load/sales/_config.sl.yml"
    text = FILES[yaml].replace("{directory", '{schedule: "0 0 * * *", directory')
    root = projects.write(tmp_path / "sales", {**FILES, yaml: text})

    def tick(number):
        now = datetime(2025, 3, number + 1, 1, tzinfo=timezone.utc).timestamp()
        monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: now))
        tags = day(number) if partitions == "none" else {"dagster/partition": f"2025-03-{number:02}"}
        return {**tags, f"dagster/{by}_name": "load"}

    with dg.DagsterInstance.ephemeral() as instance:
        world = World(root, instance)
        world.define(partitions=partitions)
        world.load([1], tick(1))
        assert world.run() == ""
        world.load([2, 3, 4], tick(4))
        assert world.run() == "" and world.rows() == [1, 2, 3, 4]
        assert not world.is_due()


@FEATURE
def test_a_partition_that_gets_more_rows_is_not_appended_again(world):
    (world.root / "metadata/load/sales/orders.sl.yml").write_text(FILES["metadata/load/sales/orders.sl.yml"] + SINK)
    world.define(partitions="sink")
    world.load([1, 3])
    assert [world.run(), world.run(), world.rows()] == ["", "", [1, 2]]
    world.load([1, 4])
    assert world.run() == "" and world.rows() == [1, 2, 4]
    assert world.is_due() and "would append the interval 2025-03-01" in world.run()
    assert world.rows() == [1, 2, 4] and not world.is_due()


@pytest.mark.dagster_feature("Data intervals of runs that sensors and conditions start")
@pytest.mark.parametrize(
    ("days", "tags"),
    [([4, 5], {}), ([4, ""], {**day(4), "dagster/schedule_name": "load"})],
    ids=["the partition of today", "rows of no partition"],
)
def test_rows_whose_interval_is_unknown_are_read_all_the_same(world, days, tags, monkeypatch):
    now = datetime(2025, 3, 5, 20, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: now))
    (world.root / "metadata/load/sales/orders.sl.yml").write_text(FILES["metadata/load/sales/orders.sl.yml"] + SINK)
    merge = "version: 1\ntask:\n  writeStrategy: {type: UPSERT_BY_KEY, key: [id]}\n"
    (world.root / "metadata/transform/kpi/app.sl.yml").write_text(merge)
    world.define(partitions="sink")
    world.load(days, tags)
    assert world.run() == "" and world.rows() == [1, 2] and not world.is_due()


@OUTAGE
@pytest.mark.parametrize(
    ("partitions", "sink", "counts", "rows"),
    [
        ("sink", SINK, True, [1, 2, 3, 4]),
        ("none", SINK, True, [1, 2, 3, 4]),
        ("none", SINK, False, [1, 2, 3, 4]),
        ("none", SINK, SqlReader, [1, 2, 3, 4]),
        ("none", UPSERT, SqlReader, [1, 2, 4]),
        ("cron", SINK, True, [1, 2, 3, 4]),
        ("none", "", True, [1, 2, 4]),
    ],
    ids=[
        "sink",
        "days of rows",
        "by difference",
        "by a SQL reader",
        "merge by a SQL reader",
        "cron",
        "no column of days",
    ],
)
def test_late_rows_are_read_where_the_days_of_rows_are_known(tmp_path, partitions, sink, counts, rows, monkeypatch):
    """The ticks of the 2nd and the 3rd each bring a row of the 1st as well; the first load has all that was there."""
    now = datetime(2025, 3, 9, 1, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: now))
    capabilities = RunnerCapabilities(has_lossless_log=True, replaces_partitions=True, counts_partitions=counts is True)
    monkeypatch.setattr(EmbeddedRunner, "capabilities", capabilities)
    if counts is not True:
        monkeypatch.setattr(DuckDBReader, "load_partition_counts", lambda *_: None)
    yaml, table = "metadata/load/sales/_config.sl.yml", "metadata/load/sales/orders.sl.yml"
    files = {
        yaml: FILES[yaml].replace("{directory", '{schedule: "0 0 * * *", directory'),
        table: FILES[table] + sink,
        "metadata/transform/kpi/app.sl.yml": REPLACE,
    }
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(projects.write(tmp_path / "sales", {**FILES, **files}), instance)
        if counts is SqlReader:
            monkeypatch.setattr(DuckDBReader, "partition_counts", counts_of_sql_reader(world.root))
        world.define(partitions=partitions)
        for number in (2, 3):
            by_tick = {"dagster/partition": f"2025-03-{number:02}"} if partitions == "cron" else {}
            world.load([1, number], {**day(number), "dagster/schedule_name": "load", **by_tick})
            assert world.is_due() and world.run() == "" and not world.is_due()
        assert world.rows() == rows
        said = [one.user_message for one in instance.all_logs(instance.get_runs(limit=2)[1].run_id)]
        assert any("the days of its rows are unknown" in one for one in said) is (sink == UPSERT)


def counts_of_sql_reader(root):
    """`partition_counts` of the reader of other warehouses, over a copy of the table in SQLite."""
    project, connection = sda.StarlakeProject(str(root)).model, Connection(name="sqlite", type="sqlite")

    def counts(found, schema, table, column):
        class Sqlite(SqlReader):
            def _connected(self):
                con = sa.create_engine("sqlite://", poolclass=sa.StaticPool).connect()
                con.exec_driver_sql("attach ':memory:' as sales")
                if found.columns(schema, table):
                    con.exec_driver_sql(f"create table {schema}.{table} (id integer, day date)")
                for number, of in found.rows(schema, table, 99):
                    con.exec_driver_sql(f"insert into {schema}.{table} values (?, ?)", (number, of))
                return con

        return Sqlite(project, connection, EngineFactory(connection)).partition_counts(schema, table, column)

    return counts


@OUTAGE
@pytest.mark.parametrize(("settings", "rows"), [({}, [1, 2]), ({"start_date": "2025-03-02"}, [2])])
def test_the_first_load_has_no_interval_unless_a_start_date_declares_it(tmp_path, settings, rows, monkeypatch):
    """Its file has a row from before its first tick."""
    now = datetime(2025, 3, 9, 1, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: now))
    yaml = "metadata/load/sales/_config.sl.yml"
    files = {
        yaml: FILES[yaml].replace("{directory", '{schedule: "0 0 * * *", directory'),
        "metadata/transform/kpi/app.sl.yml": REPLACE,
    }
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(projects.write(tmp_path / "sales", {**FILES, **files}), instance)
        world.define(schedules=sda.ScheduleSettings(**settings))
        world.load([1, 2], {**day(2), "dagster/schedule_name": "load"})
        event = instance.get_latest_materialization_event(dg.AssetKey(["sales", "orders"]))
        text = event.asset_materialization.metadata["starlake/data_interval"].text
        assert text == f"{'2025-03-02T00:00:00+00:00' if settings else '..'}/2025-03-03T00:00:00+00:00"
        assert world.run() == "" and world.rows() == rows and not world.is_due()
        world.load([3], {**day(3), "dagster/schedule_name": "load"})
        assert world.run() == "" and world.rows() == [*rows, 3] and not world.is_due()


@pytest.mark.dagster_feature("Data intervals of scheduled tasks")
@pytest.mark.parametrize("first", ["tick", "by hand"])
def test_a_scheduled_task_covers_its_tick_and_names_the_rows_that_no_run_covers(tmp_path, first, monkeypatch):
    """The first load has no start; then two ticks are missed."""
    now = datetime(2025, 3, 9, 1, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr(step_intervals, "time", SimpleNamespace(time=lambda: now))
    task = FILES["metadata/transform/kpi/app.sl.yml"].replace("task:", 'task:\n  schedule: "0 0 * * *"')
    yaml = "metadata/load/sales/_config.sl.yml"
    files = {
        yaml: FILES[yaml].replace("{directory", '{schedule: "0 0 * * *", directory'),
        "metadata/transform/kpi/app.sl.yml": task,
    }

    def tick(number):
        return {**day(number), "dagster/schedule_name": "daily"}

    with dg.DagsterInstance.ephemeral() as instance:
        world = World(projects.write(tmp_path / "sales", {**FILES, **files}), instance)

        def warnings():
            said = [one for one in instance.all_logs(instance.get_runs(limit=1)[0].run_id) if one.level == 30]
            return " ".join(one.user_message for one in said if one.user_message.startswith("kpi.app"))

        world.load([1, 2], tick(2))
        assert world.run(tags={} if first == "by hand" else tick(2)) == ""
        assert world.rows() == ([1, 2] if first == "by hand" else [2])
        assert ("rows of sales/orders from before its data interval" in warnings()) is (first == "tick")
        world.load([3], tick(3))
        assert world.run(tags=tick(3)) == "" and warnings() == "" and 3 in world.rows()
        world.load([4, 5, 6], tick(6))
        assert world.run(tags=tick(6)) == "" and world.rows()[-1] == 6
        assert "no run covers 2025-03-04T00:00:00+00:00/2025-03-06T00:00:00+00:00" in warnings()


@FEATURE
@pytest.mark.parametrize("tags", [SENSOR, {}])
def test_rows_that_no_recorded_run_has_written_are_not_appended_again(world, tags):
    """After a migration, or after the asset was wiped, the table has rows and the event log does not."""
    world.load([1], day(1))
    assert world.run(tags=tags) == ""
    world.instance.wipe_assets([dg.AssetKey(["kpi", "app"])])
    assert "the table of kpi.app has 1 row that no recorded run has written" in world.run(tags=tags)
    assert world.rows() == [1]
    world.instance.report_runless_asset_event(dg.AssetMaterialization(["kpi", "app"]))
    assert not world.is_due()
    world.load([2], day(2))
    assert world.run(tags=tags or day(2)) == "" and world.rows() == [1, 2]


@FEATURE
def test_a_first_run_whose_table_cannot_be_read_says_what_is_unknown(world, monkeypatch):
    world.load([1], day(1))
    monkeypatch.setattr(EmbeddedRunner, "warehouse_reader", lambda self: None)
    assert world.run() == "" and world.rows() == [1]
    (run,) = world.instance.get_runs(limit=1)
    logged = [one.user_message for one in world.instance.all_logs(run.run_id) if one.level == 30]
    assert any("it is unknown whether its table has rows" in text for text in logged)


@FEATURE
@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("2025-03-02T00:00:00+00:00", "2025-03-01T00:00:00+00:00", "is empty"),
        ("2025-03-01T00:00:00+00:00", "2025-03-01T00:00:00+00:00", "is empty"),
        ("2025-03-01", "2025-03-02", "with its offset"),
        ("2025-03-01T00:00:00+00:00", None, "both tags"),
        ("2025-03-01T00:00:00+00:00", "2925-03-01T00:00:00+00:00", "ends in the future"),
    ],
)
@pytest.mark.parametrize("key", ["kpi/app", "sales/orders"])
def test_a_run_by_hand_with_an_unusable_interval_runs_nothing(world, start, end, reason, key):
    world.load([1], day(1))
    given = {"starlake/data_interval_start": start, "starlake/data_interval_end": end}
    job = world.repository.get_job("__ASSET_JOB").get_subset(asset_selection={dg.AssetKey(key.split("/"))})
    with pytest.raises(dg.Failure, match=reason):
        job.execute_in_process(instance=world.instance, tags={name: text for name, text in given.items() if text})
    assert not world.instance.fetch_materializations(dg.AssetKey(["kpi", "app"]), limit=1).records


@FEATURE
def test_an_interval_may_have_a_z_as_offset(world):
    world.load([1, 2], day(1, 2))
    tags = {name: text.replace("+00:00", "Z") for name, text in day(1).items()}
    assert world.run(tags=tags) == "" and world.rows() == [1]
