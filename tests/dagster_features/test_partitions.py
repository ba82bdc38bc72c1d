"""Green partitions against the rows of the tables: loads, tasks, ranges, keys, and strategies that would not hold."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeSteps,
    StarlakeTranslator,
    build_definitions,
    starlake_assets,
)
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.dagster_assets.specs.partition_keys import PartitionKeyMapper
from starlake_dagster_assets.dagster_assets.specs.partitions import cron_partitions
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.resources import StarlakeResource
from tests.dagster_features.created_runs import materializations
from tests.dagster_features.projects import APPLICATION, LOAD, rows, write

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")
LOADS = pytest.mark.dagster_feature('Partitions of loads (`partitions="sink"`)')
TICKS = pytest.mark.dagster_feature('Partitions of loads (`partitions="cron"`)')
STRATEGIES = pytest.mark.dagster_feature("Partitions and write strategies")
REPLACE = pytest.mark.dagster_feature("Replacing a partition (`partition_write=replace`)")
KEYS = pytest.mark.dagster_feature("Static, dynamic and multi-dimensional partitions")
COUNTS = pytest.mark.dagster_feature("Rows per partition (`dagster/partition_row_count`)")

FROM, TO = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
ORDERS, KPI = dg.AssetKey(["sales", "orders"]), dg.AssetKey(["kpi", "by_day"])
COUNT = "dagster/partition_row_count"
ENV = "version: 1\nenv: {sl_start_date: '', sl_end_date: '', sl_partition_key: '', country: ''}\n"
WINDOW = """select day, count(*) as orders from sales.orders where true
{% if sl_start_date %} and day >= cast('{{ sl_start_date }}' as date) {% endif %}
{% if sl_end_date %} and day < cast('{{ sl_end_date }}' as date) {% endif %}
group by day
"""
BY_PARTITION = "writeStrategy: {type: OVERWRITE_BY_PARTITION}, sink: {partition: [day]}"


def table(kind: str = "date", strategy: str = "{type: APPEND}", metadata: str = "") -> str:
    return f"""version: 1
table:
  name: orders
  pattern: "orders.*.csv"
  metadata:
    {metadata}
    writeStrategy: {strategy}
    sink: {{partition: [day]}}
  attributes:
    - {{name: id, type: long}}
    - {{name: day, type: {kind}}}
"""


def project(root: Path, task: str = "", sql: str = WINDOW, orders: str | None = None, **files: str) -> StarlakeProject:
    found = {
        "metadata/application.sl.yml": APPLICATION,
        "metadata/env.sl.yml": ENV,
        "metadata/load/sales/_config.sl.yml": LOAD,
        "metadata/load/sales/orders.sl.yml": orders or table(),
    }
    if task:
        found |= {
            "metadata/transform/kpi/by_day.sl.yml": f"version: 1\ntask: {{{task}}}\n",
            "metadata/transform/kpi/by_day.sql": sql,
        }
    return StarlakeProject(write(root, {**found, **files}))


def deliver(root: Path, number: int, days: list[str]) -> None:
    lines = "".join(f"{number}{at},{day}\n" for at, day in enumerate(days))
    write(root, {f"incoming/sales/orders_{number}.csv": f"id,day\n{lines}"})


def definitions(source: StarlakeProject, translator: Any = None, **automation: Any) -> dg.Definitions:
    settings = StarlakeAutomation.from_options({"start_date": "2025-03-01", **automation})
    return build_definitions(source, starlake=StarlakeDuckDB(), automation=settings, translator=translator)


class World:
    """Definitions on an instance."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance, root: Path) -> None:
        self.assets = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
        self.defs, self.instance, self.database = defs, instance, root / "datasets/duckdb.db"

    def run(self, key: dg.AssetKey, **more: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets,
            selection=[key],
            resources={"starlake": StarlakeDuckDB()},
            instance=self.instance,
            raise_on_error=False,
            **more,
        )

    def green(self, key: dg.AssetKey = ORDERS) -> set[str]:
        return set(self.instance.get_materialized_partitions(key))

    def events(self, key: dg.AssetKey = ORDERS) -> list[dg.AssetMaterialization]:
        filters = dg.AssetRecordsFilter(asset_key=key)
        found = self.instance.fetch_materializations(filters, limit=1000, ascending=True).records
        return [one.asset_materialization for one in found if one.asset_materialization is not None]

    def observations(self, key: dg.AssetKey = ORDERS) -> list[dg.AssetObservation]:
        found = self.instance.fetch_observations(key, limit=1000, ascending=True).records
        return [one.event_log_entry.asset_observation for one in found if one.event_log_entry.asset_observation]

    def days(self, name: str = "sales.orders") -> dict[str, int]:
        sql = f"select day::date::varchar, count(*)::int from {name} where day is not null group by 1 order by 1"
        return {str(day): int(str(count)) for day, count in rows(self.database, sql)}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def counts(events: list[dg.AssetMaterialization]) -> Counter[str]:
    found: Counter[str] = Counter()
    for event in events:
        found[str(event.partition)] += int(str(event.metadata[COUNT].value))
    return found


# --------------------------------------------------------------------------------------------------------- loads


@LOADS
@COUNTS
@pytest.mark.parametrize("seed", range(4))
def test_the_green_partitions_of_a_load_are_the_days_of_its_rows(seed, tmp_path, instance):
    """Random files over random days, runs that are asked for random partitions: the invariant of all loads."""
    chance = random.Random(seed)
    kind, grouped = chance.choice(["date", "timestamp"]), chance.choice(["false", "true"])
    source = project(
        tmp_path, orders=table(kind), **{"metadata/application.sl.yml": f"{APPLICATION}  grouped: {grouped}\n"}
    )
    world = World(definitions(source, partitions="sink"), instance, tmp_path)
    start, number = date(2025, 3, 1), 0
    clock = " 23:59:00" if kind == "timestamp" else ""
    for _ in range(4):
        for _ in range(chance.randint(0, 3)):
            number += 1
            picked = [str(start + timedelta(days=chance.randint(0, 40))) for _ in range(chance.randint(1, 4))]
            deliver(tmp_path, number, [day + clock for day in picked])
        first = start + timedelta(days=chance.randint(0, 30))
        last = first + timedelta(days=chance.randint(0, 20))
        asked: list[dict[str, Any]] = [{"tags": {FROM: str(first), TO: str(last)}}, {"partition_key": str(first)}, {}]
        result = world.run(ORDERS, **chance.choice(asked))
        assert result.success
        there = world.days() if number else {}
        assert world.green() == set(there)
        assert counts(world.events()) == there


@LOADS
def test_a_partition_that_was_asked_for_and_has_no_row_is_observed_with_the_reason(tmp_path, instance):
    world = World(definitions(project(tmp_path), partitions="sink"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02", "2025-03-02"])
    assert world.run(ORDERS, partition_key="2025-08-17").success
    assert world.green() == {"2025-03-01", "2025-03-02"}
    seen = {one.partition: one for one in world.observations()}
    assert "no row of this partition" in str(seen["2025-08-17"].description)
    whole = seen[None]
    assert whole.metadata["starlake/rows_accepted"].value == 3
    assert all("starlake/rows_accepted" not in event.metadata for event in world.events())

    assert world.run(ORDERS, tags={FROM: "2025-03-01", TO: "2025-12-31"}).success, "no file is there"
    assert world.green() == {"2025-03-01", "2025-03-02"}
    assert len([one for one in world.observations() if one.partition]) == 1 + 306


@LOADS
def test_rows_of_no_partition_are_reported(tmp_path, instance, caplog):
    world = World(definitions(project(tmp_path), partitions="sink"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "", "2019-12-31", "2999-01-01"])
    result = world.run(ORDERS, partition_key="2025-03-01")
    assert result.success and world.green() == {"2025-03-01"}
    (whole,) = [one for one in world.events() if one.partition is None]
    assert whole.metadata["starlake/rows_without_partition"].value == 3
    for value in ("NULL (1)", "2019-12-31 (1)", "2999-01-01 (1)"):
        assert value in str(whole.description)
    assert counts([one for one in world.events() if one.partition]) == {"2025-03-01": 1}


@LOADS
@pytest.mark.parametrize("days", [["2019-12-31", ""], ["2025-03-01", "2999-01-01"]])
@pytest.mark.parametrize("is_counted", [True, False])
def test_rows_of_no_partition_are_an_update_for_what_reads_the_whole_table(
    tmp_path, instance, monkeypatch, days, is_counted
):
    if not is_counted:
        monkeypatch.setattr(EmbeddedRunner, "capabilities", RunnerCapabilities(has_lossless_log=True))
        monkeypatch.setattr("starlake_dagster_assets.engine.writing.audit.Auditor.record_partitions", lambda *_: None)
        monkeypatch.setattr(
            "starlake_dagster_assets.execution.warehouse.duckdb.DuckDBReader.partition_counts", lambda *_: None
        )
    total = {"metadata/transform/kpi/total.sql": "select count(*) as n from sales.orders"}
    source = project(
        tmp_path,
        **total,
        **{"metadata/transform/kpi/total.sl.yml": "version: 1\ntask: {writeStrategy: {type: OVERWRITE}}\n"},
    )
    defs = definitions(source, partitions="sink")
    world = World(defs, instance, tmp_path)
    (sensor,) = (one for one in defs.sensors or () if one.name == "transform_kpi_lineage")

    def tick() -> Any:
        context = dg.build_sensor_context(instance, repository_def=defs.get_repository_def())
        return sensor.evaluate_tick(context).run_requests or []

    for number, delivered in enumerate((["2025-03-01"], days), 1):
        deliver(tmp_path, number, delivered)
        assert world.run(ORDERS).success
        (request,) = tick()
        assert world.run(dg.AssetKey(["kpi", "total"]), tags=request.tags).success and not tick()
        assert rows(world.database, "from kpi.total") == [(1 if number == 1 else 1 + len(delivered),)]


@LOADS
def test_where_nobody_counts_the_rows_no_partition_is_green(tmp_path, instance, monkeypatch):
    """An environment whose reader cannot tell: unknown, loudly; and one that can read counts before and after."""
    monkeypatch.setattr(EmbeddedRunner, "capabilities", RunnerCapabilities(has_lossless_log=True))
    monkeypatch.setattr("starlake_dagster_assets.engine.writing.audit.Auditor.record_partitions", lambda *_: None)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-01"])
    world = World(definitions(project(tmp_path), partitions="sink"), instance, tmp_path)
    assert world.run(ORDERS, partition_key="2025-08-17").success
    assert counts(world.events()) == {"2025-03-01": 2}, "by the difference"

    monkeypatch.setattr(
        "starlake_dagster_assets.execution.warehouse.duckdb.DuckDBReader.partition_counts", lambda *_: None
    )
    deliver(tmp_path, 2, ["2025-03-05"])
    assert world.run(ORDERS, partition_key="2025-03-05").success
    assert world.green() == {"2025-03-01"}
    told = [one for one in world.observations() if one.partition == "2025-03-05"]
    assert told and told[0].metadata["starlake/status"].value == "unknown"


@LOADS
def test_rows_that_landed_before_a_file_failed_are_green(tmp_path, instance):
    """Of two files one is refused: the rows of the other are there, and their partition says so."""
    source = project(tmp_path, **{"metadata/application.sl.yml": f"{APPLICATION}  rejectAllOnError: true\n"})
    world = World(definitions(source, partitions="sink"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01"])
    deliver(tmp_path, 2, ["2025-03-02", "no date"])
    result = world.run(ORDERS, partition_key="2025-03-02")
    assert not result.success
    assert world.green() == set(world.days()) == {"2025-03-01"}


@LOADS
@pytest.mark.parametrize(
    ("strategy", "days"),
    [
        ("{type: OVERWRITE_BY_PARTITION}", {"2025-03-01": 1, "2025-03-02": 1}),
        ("{type: UPSERT_BY_KEY, key: [id], on: SOURCE_AND_TARGET}", {"2025-03-01": 1, "2025-03-02": 1}),
    ],
)
def test_other_strategies_of_loads_count_what_they_wrote(strategy, days, tmp_path, instance):
    world = World(
        definitions(project(tmp_path, orders=table(strategy=strategy)), partitions="sink"), instance, tmp_path
    )
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    assert world.run(ORDERS).success
    assert counts(world.events()) == days == world.days()
    assert world.green() == set(days)


@LOADS
def test_a_load_that_overwrites_its_table_is_left_unpartitioned_with_a_warning(tmp_path):
    from starlake_dagster_assets.automation.policies.build import build_triggers

    source = project(tmp_path, orders=table(strategy="{type: OVERWRITE}"))
    triggers = build_triggers(source, StarlakeAutomation(partitions="sink"))
    assert triggers.triggers["sales.orders"].partitions == "none"
    (warning,) = triggers.warnings
    assert "sales.orders" in warning and "OVERWRITE_BY_PARTITION" in warning


@TICKS
def test_a_cron_partition_of_a_load_is_the_tick_that_loaded_it(tmp_path, instance):
    source = project(tmp_path, orders=table(metadata='schedule: "0 5 * * *"'))
    world = World(definitions(source, partitions="cron"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    assert world.run(ORDERS, tags={FROM: "2025-03-01", TO: "2025-03-10"}).success
    assert world.green() == {"2025-03-10"}, "of a range, the last window"
    assert counts(world.events()) == {"2025-03-10": 2}
    assert len([one for one in world.observations() if one.partition]) == 9
    deliver(tmp_path, 2, ["2025-03-01"])
    assert world.run(ORDERS, partition_key="2025-03-05").success
    assert world.green() == {"2025-03-05", "2025-03-10"}


# --------------------------------------------------------------------------------------------------------- tasks


@STRATEGIES
@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("schedule: daily, writeStrategy: {type: OVERWRITE}", "OVERWRITE replaces the whole table"),
        ("schedule: daily, writeStrategy: {type: APPEND}", "APPEND writes the rows of a partition again"),
        ("schedule: daily, writeStrategy: {type: SCD2, key: [day]}", "depends on the order"),
        ("schedule: daily, sink: {materializedView: VIEW}", "a view shows the window"),
    ],
)
def test_strategies_that_would_not_hold_are_left_unpartitioned_with_one_warning(task, why, tmp_path):
    from starlake_dagster_assets.automation.policies.build import build_triggers

    source = project(
        tmp_path,
        task,
        **{
            "metadata/transform/kpi/again.sl.yml": f"version: 1\ntask: {{{task}}}\n",
            "metadata/transform/kpi/again.sql": WINDOW,
        },
    )
    triggers = build_triggers(source, StarlakeAutomation(partitions="cron"))
    (warning,) = [text for text in triggers.warnings if "unpartitioned" in text]
    assert why in warning and "2 of the partitioned assets" in warning and "kpi.again, kpi.by_day" in warning
    assert {triggers.triggers[node].partitions for node in ("kpi.by_day", "kpi.again")} == {"none"}


@STRATEGIES
@pytest.mark.parametrize("asked", ["tag", "translator", "decorator"])
def test_a_task_that_asks_for_partitions_and_overwrites_is_an_error(asked, tmp_path):
    tags = ", tags: [partitions=cron]" if asked == "tag" else ""
    source = project(tmp_path, f"schedule: daily, writeStrategy: {{type: OVERWRITE}}{tags}")
    days = dg.DailyPartitionsDefinition("2025-03-01")

    class Days(StarlakeTranslator):
        def get_partitions_def(self, node: Any) -> Any:
            return days if node.id == "kpi.by_day" else None

    with pytest.raises(ProjectError, match=r"kpi.by_day cannot be partitioned: .*OVERWRITE replaces the whole table"):
        if asked == "decorator":

            @starlake_assets(project=source, select="kpi.by_day", partitions_def=days)
            def mine(context: dg.AssetExecutionContext, starlake: StarlakeResource):
                yield from starlake.run(context)
        else:
            definitions(source, Days() if asked == "translator" else None)


@STRATEGIES
def test_a_second_run_of_a_partition_is_refused_where_it_would_append(tmp_path, instance):
    source = project(tmp_path, "schedule: daily, writeStrategy: {type: APPEND}, tags: [partitions=cron]")
    world = World(definitions(source), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    assert world.run(ORDERS).success
    assert world.run(KPI, partition_key="2025-03-01").success
    again = world.run(KPI, tags={FROM: "2025-03-01", TO: "2025-03-02"})
    assert not again.success
    failure = next(event for event in again.all_events if event.is_step_failure)
    assert "2025-03-01 is materialized already" in str(failure.step_failure_data.error)
    assert world.days("kpi.by_day") == {"2025-03-01": 1} and world.green(KPI) == {"2025-03-01"}


@REPLACE
@pytest.mark.parametrize("strategy", ["APPEND", "OVERWRITE"])
def test_a_partition_is_replaced_in_one_transaction(strategy, tmp_path, instance):
    source = project(tmp_path, f"schedule: daily, writeStrategy: {{type: {strategy}}}")
    settings = {"partitions": "cron", "partition_write": "replace", "partition_column": "day"}
    world = World(definitions(source, **settings), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02", "2025-03-03"])
    assert world.run(ORDERS).success
    for day in ("2025-03-01", "2025-03-02", "2025-03-01"):
        assert world.run(KPI, partition_key=day).success
    assert world.days("kpi.by_day") == {"2025-03-01": 1, "2025-03-02": 1}
    assert world.green(KPI) == {"2025-03-01", "2025-03-02"}
    assert world.run(KPI, tags={FROM: "2025-03-02", TO: "2025-03-03"}).success, "a range is one window"
    assert world.days("kpi.by_day") == {"2025-03-01": 1, "2025-03-02": 1, "2025-03-03": 1}


@REPLACE
def test_rows_outside_of_the_replaced_partition_are_refused(tmp_path, instance):
    source = project(
        tmp_path,
        "schedule: daily, writeStrategy: {type: APPEND}, tags: [partition_write=replace, partition_column=day]",
        "select day from sales.orders",
    )
    world = World(definitions(source, partitions="cron"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    assert world.run(ORDERS).success
    result = world.run(KPI, partition_key="2025-03-01")
    assert not result.success and world.green(KPI) == set()
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "returns 1 rows whose 'day' is not from 2025-03-01" in str(failure.step_failure_data.error)


@REPLACE
def test_an_environment_that_cannot_replace_refuses_by_name(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(EmbeddedRunner, "capabilities", RunnerCapabilities(has_lossless_log=True))
    source = project(tmp_path, "schedule: daily, tags: [partition_write=replace, partition_column=day]")
    world = World(definitions(source, partitions="cron"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01"])
    assert world.run(ORDERS).success
    result = world.run(KPI, partition_key="2025-03-01")
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert not result.success and "only the embedded engine" in str(failure.step_failure_data.error)


@REPLACE
def test_a_replaced_partition_needs_a_column(tmp_path):
    source = project(tmp_path, "schedule: daily, tags: [partition_write=replace]")
    with pytest.raises(ProjectError, match=r"kpi.by_day: partition_write=replace needs sink.partition"):
        definitions(source, partitions="cron")


# ---------------------------------------------------------------------------------------------------------- keys


def by_key(definition: Any, node_id: str = "kpi.by_day") -> StarlakeTranslator:
    class Mine(StarlakeTranslator):
        def get_partitions_def(self, node: Any) -> Any:
            return definition if node.id == node_id else None

    return Mine()


DAYS = dg.DailyPartitionsDefinition("2025-03-01")
COUNTRIES = dg.StaticPartitionsDefinition(["BE", "FR"])
BY_COUNTRY = dg.MultiPartitionsDefinition({"day": DAYS, "country": COUNTRIES})
KEYED = "select '{{ sl_partition_key }}' as c, count(*) as n from sales.orders"
TWO = "select '{{ sl_partition_country }}' as c, cast('{{ sl_start_date }}' as date) as day"


@KEYS
@pytest.mark.parametrize(
    ("definition", "sql", "keys", "expected"),
    [
        (COUNTRIES, KEYED, ["FR", "BE"], [("BE", 2), ("FR", 2)]),
        (dg.DynamicPartitionsDefinition(name="shop"), KEYED, ["a b", "c=d"], [("a b", 2), ("c=d", 2)]),
        (
            BY_COUNTRY,
            TWO,
            [dg.MultiPartitionKey({"day": "2025-03-02", "country": country}) for country in ("FR", "BE")],
            [("BE", date(2025, 3, 2)), ("FR", date(2025, 3, 2))],
        ),
    ],
)
def test_the_key_of_a_partition_reaches_the_sql(definition, sql, keys, expected, tmp_path, instance):
    source = project(tmp_path, "writeStrategy: {type: APPEND}", sql)
    world = World(definitions(source, by_key(definition)), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    assert world.run(ORDERS).success
    if isinstance(definition, dg.DynamicPartitionsDefinition):
        instance.add_dynamic_partitions("shop", keys)
    for key in keys:
        assert world.run(KPI, partition_key=key).success
    assert sorted(rows(world.database, "select * from kpi.by_day")) == expected
    assert world.green(KPI) == set(keys)


@KEYS
def test_several_keys_in_one_run_are_refused_and_a_backfill_runs_one_each(tmp_path, instance):
    world = World(
        definitions(project(tmp_path, "writeStrategy: {type: APPEND}", KEYED), by_key(COUNTRIES)), instance, tmp_path
    )
    (step,) = [one for one in world.assets if KPI in one.keys]
    assert step.backfill_policy == dg.BackfillPolicy.multi_run(1)
    deliver(tmp_path, 1, ["2025-03-01"])
    assert world.run(ORDERS).success
    result = world.run(KPI, tags={FROM: "BE", TO: "FR"})
    assert not result.success and world.green(KPI) == set()


@KEYS
@pytest.mark.parametrize(
    ("node", "definition", "sql", "why"),
    [
        ("sales.orders", COUNTRIES, KEYED, "a load takes the files"),
        ("kpi.by_day", COUNTRIES, WINDOW, "uses neither sl_partition_key"),
        ("kpi.by_day", BY_COUNTRY, WINDOW, "does not use the dimension 'country'"),
        ("kpi.by_day", dg.StaticPartitionsDefinition(["a,b"]), KEYED, "contains a comma"),
        ("kpi.by_day", dg.StaticPartitionsDefinition(["O'Brien"]), KEYED, "contains an apostrophe"),
    ],
)
def test_partitions_whose_key_cannot_reach_the_sql_are_refused_when_assets_are_built(
    node, definition, sql, why, tmp_path
):
    source = project(tmp_path, "writeStrategy: {type: APPEND}", sql)
    with pytest.raises(ProjectError, match=why):
        definitions(source, by_key(definition, node))


@KEYS
@pytest.mark.parametrize("key", ["O'Brien", "a,b"])
def test_a_key_that_is_added_later_and_cannot_reach_the_sql_fails_with_the_reason(key, tmp_path, instance):
    source = project(tmp_path, "writeStrategy: {type: APPEND}", "select '{{ sl_partition_key }}' as c")
    world = World(definitions(source, by_key(dg.DynamicPartitionsDefinition(name="shop"))), instance, tmp_path)
    instance.add_dynamic_partitions("shop", [key])
    result = world.run(KPI, partition_key=key)
    (failed,) = [event.step_failure_data.user_failure_data for event in result.get_step_failure_events()]
    assert not result.success and world.green(KPI) == set()
    assert f"the partition key {key!r} contains" in str(failed.description)
    assert "Next: name the partition without it" in str(failed.description)


@KEYS
@pytest.mark.parametrize(
    ("task", "sql", "expected", "note"),
    [
        ("writeStrategy: {type: APPEND}, sink: {partition: [c]}", "select '{{ sl_partition_key }}' as c", 1, None),
        (
            "writeStrategy: {type: APPEND}, sink: {partition: [c]}",
            "select '{{ sl_partition_key }}' as c where false",
            0,
            "the table has no rows",
        ),
        (
            "writeStrategy: {type: APPEND}, sink: {partition: [c]}",
            "select 'x' || '{{ sl_partition_key }}' as c",
            0,
            "none of the 1 rows",
        ),
        ("writeStrategy: {type: APPEND}", "select '{{ sl_partition_key }}' as c", None, "set sink.partition"),
        ("writeStrategy: {type: APPEND}", "select '{{ sl_partition_key }}' as c where false", 0, "has no rows"),
    ],
)
def test_a_partition_by_key_has_its_rows_or_a_note(task, sql, expected, note, tmp_path, instance):
    world = World(definitions(project(tmp_path, task, sql), by_key(COUNTRIES)), instance, tmp_path)
    assert world.run(KPI, partition_key="FR").success
    (event,) = world.events(KPI)
    count = event.metadata.get(COUNT)
    assert (count.value if count else None) == expected
    assert (note or "") in str(event.metadata.get("starlake/partition_note", ""))
    assert ("starlake/partition_note" in event.metadata) is (note is not None)


@KEYS
def test_options_of_two_arguments_see_the_partition(tmp_path, instance):
    """The SQL has a variable of its own; the function of one argument still works."""
    source = project(tmp_path, "writeStrategy: {type: APPEND}", "select '{{ country }}' as c")
    seen: list[Any] = []

    def variables(node: Any, partition: Any) -> dict[str, str]:
        seen.append(partition)
        return {"country": partition.key.lower()}

    built = build_definitions(source, translator=by_key(COUNTRIES), steps=StarlakeSteps(options=variables))
    world = World(built, instance, tmp_path)
    assert world.run(KPI, partition_key="FR").success
    assert rows(world.database, "select * from kpi.by_day") == [("fr",)]
    assert seen[0].keys == ("FR",) and seen[0].window is None

    plain = StarlakeProject(source.root)
    steps = StarlakeSteps(options=lambda node: {"country": node.id})
    world = World(build_definitions(plain, steps=steps), instance, tmp_path)
    assert world.run(KPI).success
    assert ("kpi.by_day",) in rows(world.database, "select * from kpi.by_day")


@KEYS
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")  # Dagster's own tag of a dimension
def test_a_schedule_asks_for_the_day_that_has_closed_in_every_country(tmp_path):
    source = project(tmp_path, "schedule: '0 5 * * *', writeStrategy: {type: APPEND}", TWO)
    repository = definitions(source, by_key(BY_COUNTRY)).get_repository_def()
    (schedule,) = repository.schedule_defs
    tick = datetime(2025, 3, 4, 5, tzinfo=timezone.utc)
    with dg.instance_for_test() as lasting:
        context = dg.build_schedule_context(lasting, scheduled_execution_time=tick, repository_def=repository)
        asked = schedule.evaluate_tick(context).run_requests or []
    assert [str(one.partition_key) for one in asked] == ["BE|2025-03-03", "FR|2025-03-03"]


@COUNTS
def test_the_rows_of_each_partition_of_a_range_are_its_own(tmp_path, instance):
    world = World(
        definitions(project(tmp_path, f"schedule: daily, {BY_PARTITION}"), partitions="cron"), instance, tmp_path
    )
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02", "2025-03-02"])
    assert world.run(ORDERS).success
    assert world.run(KPI, tags={FROM: "2025-03-01", TO: "2025-03-03"}).success
    assert counts(world.events(KPI)) == {"2025-03-01": 1, "2025-03-02": 1, "2025-03-03": 0}
    assert all("dagster/row_count" not in event.metadata for event in world.events(KPI))


@COUNTS
@pytest.mark.parametrize("replaces", [False, True])
def test_days_are_compared_with_the_dates_of_a_window_that_begins_in_the_morning(replaces, tmp_path, instance):
    """The example of the documentation: the cron ticks at 05:00, and the SQL casts the ends of the window to dates."""
    strategy = "tags: [partition_write=replace, partition_column=day]" if replaces else BY_PARTITION
    source = project(tmp_path, f"schedule: '0 5 * * *', {strategy}")
    world = World(definitions(source, partitions="cron"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-07", "2025-03-08", "2025-03-08", "2025-03-09"])
    assert world.run(ORDERS).success
    for _ in range(2):
        assert world.run(KPI, partition_key="2025-03-08").success
        assert world.events(KPI)[-1].metadata[COUNT].value == 1
    assert rows(world.database, "select day, orders from kpi.by_day") == [(date(2025, 3, 8), 2)]
    if replaces:
        (tmp_path / "metadata/transform/kpi/by_day.sql").write_text(f"select * from ({WINDOW}) where false")
        again = World(definitions(StarlakeProject(tmp_path), partitions="cron"), instance, tmp_path)
        assert again.run(KPI, partition_key="2025-03-08").success
        assert world.days("kpi.by_day") == {}, "no row comes, so the type of the column is that of the table"


@COUNTS
@pytest.mark.parametrize(
    ("cron", "value", "landed", "key"),
    [
        ("0 5 * * *", "2025-03-08", False, "2025-03-08"),
        ("0 5 * * *", "2025-03-08T04:59:00", False, "2025-03-07"),
        ("0 5 * * 1", "2025-03-09", True, "2025-03-03"),
        ("0 5 1 * *", "2025-03", True, "2025-03-01"),
        ("0 * * * *", "2025-03-08", False, "2025-03-08-23:00"),
        ("0 * * * *", "2025-03-08", True, "2025-03-08-00:00"),
        ("0 5 * * *", "2025-03-30", True, "2025-03-30"),
    ],
)
def test_the_partition_of_a_day(cron, value, landed, key):
    windows = cron_partitions(CronSchedule(cron, "Europe/Paris", datetime(2025, 3, 1)))
    assert PartitionKeyMapper(windows, landed=landed)(value) == key


@STRATEGIES
def test_the_range_of_a_run_says_nothing_of_unpartitioned_assets(tmp_path, instance):
    world = World(definitions(project(tmp_path, "writeStrategy: {type: OVERWRITE}")), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-09"])
    for key in (ORDERS, KPI):
        assert world.run(key, tags={FROM: "2025-03-01", TO: "2025-03-04"}).success
        assert [event.partition for event in world.events(key)] == [None]
    assert world.days("kpi.by_day") == {"2025-03-01": 1, "2025-03-09": 1}, "no window"


@LOADS
@pytest.mark.parametrize("schedule", ["", 'schedule: "0 5 * * *"'])
def test_partitions_of_a_sink_begin_and_end_at_the_dates_said_with_and_without_a_schedule(schedule, tmp_path):
    day = f"{BY_PARTITION}, attributes: [{{name: day, type: date}}]"
    source = project(tmp_path, f"{schedule}, {day}" if schedule else day)
    said = {"start_date": "2025-03-01", "end_date": "2025-03-04", "timezone": "Europe/Paris"}
    graph = definitions(source, partitions="sink", **said).get_repository_def().asset_graph
    for key in (ORDERS, KPI):
        found = graph.get(key).partitions_def
        assert isinstance(found, dg.TimeWindowPartitionsDefinition) and found.timezone == "Europe/Paris"
        assert found.get_partition_keys()[0] == "2025-03-01"
        assert found.get_partition_keys()[-1] in ("2025-03-04", "2025-03-05")


@REPLACE
@pytest.mark.parametrize("column", ["country", "day"])
def test_a_partition_of_several_dimensions_is_not_replaced_by_one_column(column, tmp_path):
    tags = f"tags: [partition_write=replace, partition_column={column}]"
    with pytest.raises(
        ProjectError, match=rf"deletes by one column \({column}\), but there are the dimensions country, day"
    ):
        definitions(project(tmp_path, tags, TWO), by_key(BY_COUNTRY))


@COUNTS
@pytest.mark.parametrize(("shown", "noted"), [("day - 1 as day", True), ("day", False)])
def test_rows_that_all_went_to_other_partitions_are_a_warning(shown, noted, tmp_path, instance):
    source = project(tmp_path, f"schedule: daily, {BY_PARTITION}", WINDOW.replace("select day", f"select {shown}"))
    world = World(definitions(source, partitions="cron"), instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01"])
    assert world.run(ORDERS).success
    result = world.run(KPI, partition_key="2025-03-01")
    assert result.success and world.green(KPI) == {"2025-03-01"}
    (event,) = world.events(KPI)
    assert event.metadata[COUNT].value == int(not noted)
    assert ("starlake/partition_note" in event.metadata) == noted
    if noted:
        assert "none of the 1 rows of the table" in str(event.metadata["starlake/partition_note"].value)


@pytest.mark.dagster_feature("Data intervals of runs that sensors and conditions start")
@pytest.mark.parametrize("partitions", ["cron", "sink"])
def test_a_queued_run_of_a_partition_does_not_repeat_another_run(tmp_path, instance, partitions):
    task = f"schedule: daily, {BY_PARTITION}, attributes: [{{name: day, type: date}}]"
    defs = definitions(project(tmp_path, task), partitions=partitions)
    world = World(defs, instance, tmp_path)
    deliver(tmp_path, 1, ["2025-03-01", "2025-03-02"])
    load = {"partition_key": "2025-03-01"} if partitions == "sink" else {}
    assert world.run(ORDERS, **load).success
    queued = [Queued(defs, instance, "2025-03-01") for _ in range(3)]
    first = world.run(KPI, partition_key="2025-03-01")
    assert world.run(KPI, partition_key="2025-03-02").success
    assert first.success and queued[0].execute() == []
    assert first.run_id in str(world.observations(KPI)[-1].description)

    deliver(tmp_path, 2, ["2025-03-02"])
    assert world.run(ORDERS, **({"partition_key": "2025-03-02"} if load else {})).success
    same = (
        partitions == "sink"
    )  # the new rows are in another partition, which is known only if the partitions are the same
    assert queued[1].execute() == ([] if same else ["2025-03-01"])
    deliver(tmp_path, 3, ["2025-03-01"])
    assert world.run(ORDERS, **load).success
    assert queued[2].execute() == ["2025-03-01"]
    assert world.days("kpi.by_day")["2025-03-01"] == 1
    assert rows(world.database, "select orders from kpi.by_day where day = date '2025-03-01'") == [(2,)]


class Queued:
    """A run of one partition of `kpi.by_day` that a sensor requested."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance, partition: str) -> None:
        job = defs.get_repository_def().get_job("__ASSET_JOB")
        self.instance, self.job = instance, job.get_subset(asset_selection={KPI})
        tags = {"starlake/trigger": "transform_kpi_lineage", "dagster/partition": partition}
        self.run = instance.create_run_for_job(self.job, tags=tags, asset_selection=frozenset({KPI}))

    def execute(self) -> list[str | None]:
        """Executes the run and returns the partitions that it materializes."""
        return [event.partition for event in materializations(self.job, self.run, self.instance)]
