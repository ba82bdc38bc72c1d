"""Runs that a sensor or condition starts cover the intervals that the updates which they consume declare."""

import itertools

import dagster as dg
import duckdb
import pytest

import starlake_dagster_assets as sda
from tests.dagster_features import projects
from tests.dagster_features.created_runs import materializations

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

TRIGGERED = {"starlake/trigger": "transform_kpi_lineage"}
DAY_1 = {
    "starlake/data_interval_start": "2025-03-01T00:00:00+00:00",
    "starlake/data_interval_end": "2025-03-02T00:00:00+00:00",
}
DAY_2 = {
    "starlake/data_interval_start": "2025-03-02T00:00:00+00:00",
    "starlake/data_interval_end": "2025-03-03T00:00:00+00:00",
}
DAY_3 = {
    "starlake/data_interval_start": "2025-03-03T00:00:00+00:00",
    "starlake/data_interval_end": "2025-03-04T00:00:00+00:00",
}
OVERWRITE = "version: 1\ntask:\n  writeStrategy: {type: OVERWRITE}\n"
VARIABLES = "'{{ sl_start_date | default('none') }}' as a, '{{ sl_end_date | default('none') }}' as b"
SQL = f"select {VARIABLES} from sales.orders"
FILES = {
    **{name: text for name, text in projects.SALES.items() if "by_day" not in name and "incoming" not in name},
    "metadata/transform/kpi/first.sl.yml": OVERWRITE,
    "metadata/transform/kpi/second.sl.yml": OVERWRITE,
    "metadata/transform/kpi/first.sql": f"{SQL} limit 1",
    "metadata/transform/kpi/second.sql": f"{SQL.replace('sales.orders', 'kpi.first')} limit 1",
}
BOTH_OF_1, NONE = ("2025-03-01T00:00:00", "2025-03-02T00:00:00"), ("none", "none")


@pytest.fixture
def world(tmp_path):
    root = projects.write(tmp_path / "sales", FILES)
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(root, instance)


class World:
    def __init__(self, root, instance) -> None:
        self.root, self.instance, self.files = root, instance, 0
        self.define()

    def define(self, **lineage):
        automation = sda.StarlakeAutomation(lineage=sda.LineageSettings(**lineage))
        defs = sda.build_definitions(str(self.root), starlake=sda.StarlakeDuckDB(), automation=automation)
        self.repository = defs.get_repository_def()
        self.job = self.repository.get_job("__ASSET_JOB")

    def run(self, *keys, tags=None, options=None):
        job = self.job.get_subset(asset_selection={dg.AssetKey(key.split("/")) for key in keys})
        config = {"ops": {node.name: {"config": {"options": options}} for node in job.nodes}} if options else None
        result = job.execute_in_process(instance=self.instance, tags=tags or {}, run_config=config)
        assert result.success
        return result

    def load(self, tags=None):
        self.files += 1
        file = self.root / f"incoming/sales/orders_{self.files}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("id,day\n1,2025-03-01\n")
        return self.run("sales/orders", tags=tags)

    def rows(self, table):
        with duckdb.connect(str(self.root / "datasets/duckdb.db"), read_only=True) as connection:
            return connection.execute(f"select a, b from {table}").fetchall()

    def interval(self, key):
        event = self.instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        value = event.asset_materialization.metadata.get("starlake/data_interval")
        return value.text if value is not None else None


@pytest.mark.dagster_feature("Data intervals of runs that sensors and conditions start")
def test_a_triggered_run_covers_the_union_of_the_updates_that_it_consumes(world):
    world.load(DAY_1)
    world.run("kpi/first", "kpi/second", tags=TRIGGERED)
    assert world.rows("kpi.first") == world.rows("kpi.second") == [BOTH_OF_1]
    assert world.interval("kpi/first") == "2025-03-01T00:00:00+00:00/2025-03-02T00:00:00+00:00"

    world.load(DAY_2)
    world.load(DAY_3)
    world.run("kpi/first", tags=TRIGGERED)
    assert world.rows("kpi.first") == [("2025-03-02T00:00:00", "2025-03-04T00:00:00")]
    world.run("kpi/second", tags=TRIGGERED)  # what a triggered run has covered is declared for what reads it
    assert world.rows("kpi.second") == [("2025-03-02T00:00:00", "2025-03-04T00:00:00")]


def test_one_update_without_an_interval_leaves_none(world):
    world.load(DAY_1)
    world.load()
    world.run("kpi/first", tags=TRIGGERED)
    assert world.rows("kpi.first") == [NONE]
    assert world.interval("kpi/first") is None
    world.load(DAY_2)
    world.run("kpi/first", tags=TRIGGERED)  # the update without an interval is consumed
    assert world.rows("kpi.first") == [("2025-03-02T00:00:00", "2025-03-03T00:00:00")]


def test_a_materialization_reported_from_outside_has_no_interval(world):
    world.load(DAY_1)
    world.run("kpi/first", tags=TRIGGERED)
    world.instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(["sales", "orders"])))
    world.run("kpi/first", tags=TRIGGERED)
    assert world.rows("kpi.first") == [NONE]


def test_a_run_by_hand_has_the_interval_of_its_tags_only(world):
    world.load(DAY_1)
    world.run("kpi/first")
    assert world.rows("kpi.first") == [NONE]
    world.run("kpi/first", tags=DAY_2)
    assert world.rows("kpi.first") == [("2025-03-02T00:00:00", "2025-03-03T00:00:00")]


def test_since_last_run_is_processing_time(world, monkeypatch):
    world.define(interval="since_last_run")
    world.load()
    world.run("kpi/first")
    assert world.rows("kpi.first") == [NONE]  # nothing came before
    world.run("kpi/first")
    ((start, _),) = world.rows("kpi.first")
    _, end = world.interval("kpi/first").split("/")
    world.run("kpi/first", tags=TRIGGERED)
    assert start != "none" and world.interval("kpi/first").split("/")[0] == end  # from the end of the one before


def test_what_another_run_has_made_meanwhile_is_not_run_again(world):
    world.load()
    queued = world.instance.create_run_for_job(
        world.job.get_subset(asset_selection={dg.AssetKey(["kpi", "first"]), dg.AssetKey(["kpi", "second"])}),
        tags=TRIGGERED,
        asset_selection=frozenset({dg.AssetKey(["kpi", "first"]), dg.AssetKey(["kpi", "second"])}),
    )
    other = world.run("kpi/first")
    opened = execute(world, queued)
    assert set(opened) == {"kpi/second"}
    observations = world.instance.fetch_observations(dg.AssetKey(["kpi", "first"]), limit=1).records
    assert other.run_id in observations[0].asset_observation.description


def test_what_another_run_made_of_less_is_run(world):
    world.load()
    queued = world.instance.create_run_for_job(
        world.job.get_subset(asset_selection={dg.AssetKey(["kpi", "first"])}),
        tags=TRIGGERED,
        asset_selection=frozenset({dg.AssetKey(["kpi", "first"])}),
    )
    world.run("kpi/first")
    world.load()
    assert set(execute(world, queued)) == {"kpi/first"}


def execute(world, run):
    """The assets that a run which was created before materializes."""
    job = world.job.get_subset(asset_selection=set(run.asset_selection))
    return [event.asset_key.to_user_string() for event in materializations(job, run, world.instance)]


def due(world, node="kpi.first"):
    """What the lineage sensor of a task says of it."""
    sensor = next(one for one in world.repository.sensor_defs if one.name.endswith("_lineage"))
    context = dg.build_sensor_context(world.instance, repository_def=world.repository, sensor_name=sensor.name)
    data = sensor.evaluate_tick(context)
    nodes = {key.to_user_string() for request in data.run_requests or () for key in request.asset_selection}
    return node.replace(".", "/") in nodes, data.skip_message


@pytest.mark.dagster_feature("Data intervals of runs that sensors and conditions start")
def test_a_run_by_hand_reads_the_updates_of_its_interval_only(world):
    world.load(DAY_1)
    world.load(DAY_2)
    world.load(DAY_3)
    world.run("kpi/first", tags=DAY_2)
    assert due(world)[0], "those of the days before and after are not read"
    world.run("kpi/first", tags=DAY_1)
    assert due(world)[0]
    world.run("kpi/first", tags=TRIGGERED)
    assert world.rows("kpi.first") == [("2025-03-03T00:00:00", "2025-03-04T00:00:00")], "what is left of them"
    assert not due(world)[0]
    world.load()
    world.run("kpi/first", tags=DAY_3)
    assert due(world)[0], "an update without an interval may be of any day"
    world.run("kpi/first")
    assert not due(world)[0], "a run without an interval reads everything"


@pytest.mark.parametrize("lineage", [{}, {"data_cycle": "0 0 1 * *"}])
def test_a_task_that_appends_does_not_cover_what_lies_between_two_updates(world, lineage):
    sql = world.root / "metadata/transform/kpi/first.sql"
    sql.with_suffix(".sl.yml").write_text("version: 1\ntask:\n  writeStrategy: {type: APPEND}\n")
    world.define(**lineage)
    world.load(DAY_2)
    world.run("kpi/first", tags=TRIGGERED)
    world.load(DAY_1)
    world.load(DAY_3)
    for _ in range(2):
        assert due(world)[0]
        world.run("kpi/first", tags=TRIGGERED)
    assert not due(world)[0]
    days = [f"2025-03-0{day}T00:00:00" for day in range(1, 5)]
    assert sorted(world.rows("kpi.first")) == [(start, end) for start, end in itertools.pairwise(days)]


@pytest.mark.parametrize(
    ("given", "is_due"),
    [
        ({"sl_start_date": "2025-03-02", "sl_end_date": "2025-03-03"}, True),
        ({"sl_start_date": "2025-03-01", "sl_end_date": "2025-03-03"}, False),
        ({"sl_start_date": "2025-03-01"}, True),
        ({"country": "FR"}, False),
    ],
)
def test_variables_of_the_run_config_are_an_interval(world, given, is_due):
    world.load(DAY_1)
    world.load(DAY_2)
    world.run("kpi/first", options=given)
    assert due(world)[0] is is_due
