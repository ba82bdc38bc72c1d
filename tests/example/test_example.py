"""The example project, loaded, drawn and run for two days; all numbers are computed from the files in plain Python."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from starlake_dagster_assets import StarlakeProject
from tests.example.conftest import CUSTOMERS, ORDERS, Daemon

NODES = {
    "reference.Shops": "table",
    "starbake.Customers": "table",
    "starbake.Ingredients": "table",
    "starbake.Orders": "table",
    "starbake.Products": "table",
    "Customers.CustomerLifeTimeValue": "task",
    "Customers.HighValueCustomers": "task",
    "Customers.OrdersWithoutCustomer": "task",
    "Products.PriceHistory": "task",
    "Products.ProductCost": "task",
    "kpi.daily_revenue": "task",
    "kpi.order_lines": "task",
    "kpi.revenue_by_product": "task",
    "kpi.shop_ranking": "task",
    "kpi.top_products": "task",
}
EDGES = {
    ("starbake.Orders", "kpi.order_lines"),
    ("kpi.order_lines", "Customers.CustomerLifeTimeValue"),
    ("starbake.Customers", "Customers.CustomerLifeTimeValue"),
    ("Customers.CustomerLifeTimeValue", "Customers.HighValueCustomers"),
    ("starbake.Customers", "Customers.OrdersWithoutCustomer"),
    ("starbake.Orders", "Customers.OrdersWithoutCustomer"),
    ("starbake.Products", "Products.PriceHistory"),
    ("starbake.Ingredients", "Products.ProductCost"),
    ("starbake.Products", "Products.ProductCost"),
    ("Products.ProductCost", "kpi.revenue_by_product"),
    ("kpi.order_lines", "kpi.revenue_by_product"),
    ("starbake.Products", "kpi.revenue_by_product"),
    ("kpi.revenue_by_product", "kpi.top_products"),
    ("kpi.order_lines", "kpi.daily_revenue"),
    ("reference.Shops", "kpi.daily_revenue"),
    ("kpi.daily_revenue", "kpi.shop_ranking"),
}


def test_the_project_has_no_problem(example):
    project = StarlakeProject(example / "starbake", env="DUCKDB")
    assert [str(problem) for problem in project.problems] == []


def test_loading_the_project_writes_nothing_into_it(copy):
    before = sorted(copy.rglob("*"))
    project = StarlakeProject(copy / "starbake", env="DUCKDB")
    assert project.graph.nodes
    assert sorted(copy.rglob("*")) == before


def test_the_graph_has_these_tables_and_tasks(example):
    graph = StarlakeProject(example / "starbake", env="DUCKDB").graph
    made = {name: node.kind for name, node in graph.nodes.items() if node.kind != "external"}
    assert made == NODES
    assert {(e.source, e.target) for e in graph.edges if {e.source, e.target} <= made.keys()} == EDGES
    assert not graph.cycles
    assert not graph.self_references


def test_what_python_adds_stands_after_the_kpis(copy, module_of):
    report = module_of(copy / "definitions.py").weekly_report
    upstream = {".".join(key.path) for key in report.asset_deps[dg.AssetKey("weekly_report")]}
    leaves = NODES.keys() - {source for source, _ in EDGES}
    assert leaves <= upstream, "it runs last, when nothing writes to the DuckDB file"


# ------------------------------------------------------------------------------------------------ two days


@dataclass
class Days:
    """Dagster's results and the warehouse after each run, by name."""

    results: dict[str, dg.ExecuteInProcessResult]
    warehouses: dict[str, Path]
    project: Path

    def rows(self, run: str, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouses[run]), read_only=True) as warehouse:
            return warehouse.sql(query).fetchall()


@pytest.fixture(scope="module")
def second_day_by_sensors(copy, module_of, tmp_path_factory) -> tuple[Path, list[Any], list[Any]]:
    """Day 1 by *Materialize all*, day 2 by the sensors: the warehouse, and the runs of the sensors after each day."""
    deliver = module_of(copy / "deliver.py").deliver
    defs = module_of(copy / "definitions.py").defs
    now = time.time
    with dg.instance_for_test() as instance, pytest.MonkeyPatch.context() as later:
        later.setattr(time, "time", lambda: now() + 60)  # files are at rest
        deliver("1", reset=True)
        daemon = Daemon(defs, instance)
        done = daemon.repository.get_job("__ASSET_JOB").execute_in_process(instance=instance, raise_on_error=False)
        assert done.success
        first = daemon.rest()
        deliver("2")
        second = daemon.rest()
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert not failed
    warehouse = copy / "starbake" / "datasets" / "duckdb.db"
    return Path(shutil.copyfile(warehouse, tmp_path_factory.mktemp("sensors") / "sensors.duckdb")), first, second


@pytest.fixture(scope="module")
def days(second_day_by_sensors, copy, module_of, tmp_path_factory) -> Days:
    """Day 1, day 2, day 2 delivered once more, and a run without any file; and day 2 by sensors."""
    saved = tmp_path_factory.mktemp("warehouses")
    deliver = module_of(copy / "deliver.py").deliver
    defs = module_of(copy / "definitions.py").defs
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None) or defs.get_implicit_global_asset_job_def
    found = Days({}, {"sensors": second_day_by_sensors[0]}, copy / "starbake")
    with dg.DagsterInstance.ephemeral() as instance:
        for run, day in (("1", "1"), ("2", "2"), ("again", "2"), ("idle", None)):
            if day:
                deliver(day, reset=run == "1")
            found.results[run] = resolve().execute_in_process(instance=instance, raise_on_error=False)
            found.warehouses[run] = Path(
                shutil.copyfile(found.project / "datasets" / "duckdb.db", saved / f"{run}.duckdb")
            )
    return found


BOTH = ("1", "2")
RUNS = pytest.mark.parametrize(("run", "until"), [("1", ("1",)), ("2", BOTH), ("again", BOTH), ("sensors", BOTH)])


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize("run", ["1", "2", "again", "idle"])
def test_every_run_succeeds(days, run):
    result = days.results[run]
    assert result.success, [event.message for event in result.all_events if event.is_failure]


def test_sensors_repeat_nothing_and_the_second_day_reaches_every_asset_once(second_day_by_sensors):
    _, first, second = second_day_by_sensors
    assert first == [], "everything was materialized by hand"
    keys = [key.replace("/", ".") for _, keys in second for key in keys]
    assert sorted(key for key in keys if key != "weekly_report") == sorted(NODES)
    assert keys[-1] == "weekly_report", "it is made after all that it reads"
    loads = [name for name, keys in second if any(NODES.get(key.replace("/", ".")) == "table" for key in keys)]
    assert len(loads) == 2, "one run of each domain"


@pytest.mark.parametrize("run", ["1", "2", "again"])
def test_every_asset_is_materialized_once(days, run):
    keys = [event.asset_key.path for event in days.results[run].get_asset_materialization_events()]
    assert sorted(map(".".join, keys)) == sorted([*NODES, "weekly_report"])


def test_without_files_no_table_is_materialized(days):
    keys = {".".join(e.asset_key.path) for e in days.results["idle"].get_asset_materialization_events()}
    assert not keys & {name for name, kind in NODES.items() if kind == "table"}


@RUNS
def test_every_table_has_the_rows_that_the_files_say(days, truth_of, run, until):
    for query, expected in truth_of(*until).tables().items():
        rows = days.rows(run, query)
        assert set(rows) == expected and len(rows) == len(expected), query


@RUNS
def test_customers(days, truth_of, run, until):
    rows = days.rows(run, CUSTOMERS)
    assert set(rows) == truth_of(*until).customer_rows()
    assert len(rows) == len(set(rows))
    columns = [name for name, *_ in days.rows(run, "describe starbake.Customers")]
    assert "internal_note" not in columns
    assert "id" not in columns


@RUNS
def test_orders_keep_their_newest_state(days, truth_of, run, until):
    rows = days.rows(run, ORDERS)
    assert set(rows) == truth_of(*until).order_rows()
    assert len(rows) == len(set(rows))


@RUNS
def test_types_are_those_of_the_project(days, run, until):
    types = {name: kind for name, kind, *_ in days.rows(run, "describe starbake.Orders")}
    assert types["ordered_at"] == "TIMESTAMP"
    assert types["order_date"] == "DATE"
    assert types["lines"] == "STRUCT(product_id VARCHAR, quantity INTEGER, unit_price DECIMAL(18,2))[]"
    assert dict(row[:2] for row in days.rows(run, "describe starbake.Products"))["allergens"] == "VARCHAR[]"


@RUNS
def test_ingredients_products_and_shops_are_replaced(days, truth_of, run, until):
    truth = truth_of(*until)
    assert dict(days.rows(run, "select ingredient_code, unit_cost from starbake.Ingredients")) == truth.costs
    assert dict(days.rows(run, "select shop_id, shop_name from reference.Shops")) == truth.shops
    prices = {name: Decimal(str(row["price"])) for name, row in truth.products.items()}
    assert dict(days.rows(run, "select product_id, price from starbake.Products")) == prices
    assert ("Crème fraîche", "Laiterie Échiré") in days.rows(run, "select name, supplier from starbake.Ingredients")


@RUNS
def test_revenue_by_product(days, truth_of, run, until):
    truth = truth_of(*until)
    revenue = truth.revenue_by(lambda order, line: line["product_id"])
    rows = days.rows(run, "select product_id, name, revenue from kpi.revenue_by_product")
    assert {row[0]: row[2] for row in rows} == {name: revenue.get(name, 0) for name in truth.products}
    assert {row[0]: row[1] for row in rows} == {name: row["name"] for name, row in truth.products.items()}
    costs = dict(days.rows(run, "select product_id, unit_cost from Products.ProductCost"))
    assert costs == {name: cents(truth.unit_cost(name)) for name in truth.products}


@RUNS
def test_daily_revenue(days, truth_of, run, until):
    revenue = truth_of(*until).revenue_by(lambda order, line: (order["ordered_at"][:10], order["shop_id"]))
    rows = days.rows(run, "select order_date::varchar, shop_id, revenue from kpi.daily_revenue")
    assert {row[:2]: row[2] for row in rows} == revenue
    assert len(rows) == len(revenue)
    last = "select sum(revenue_to_date) from kpi.shop_ranking qualify rank() over (order by order_date desc) = 0"
    assert last
    running = days.rows(
        run, "select sum(top) from (select max(revenue_to_date) top from kpi.shop_ranking group by shop_id)"
    )
    assert running == [(sum(revenue.values()),)]


@RUNS
def test_customer_values(days, truth_of, run, until):
    truth = truth_of(*until)
    spent = truth.revenue_by(lambda order, line: order["customer_id"])
    rows = dict(days.rows(run, "select customer_id, lifetime_value from Customers.CustomerLifeTimeValue"))
    assert rows == {number: spent.get(number, 0) for number in truth.customers}
    best = {number for number, value in rows.items() if value >= 60}
    assert {row[0] for row in days.rows(run, "select customer_id from Customers.HighValueCustomers")} == best
    lost = {row[0] for row in days.rows(run, "select order_id from Customers.OrdersWithoutCustomer")}
    assert lost == truth.orders_without_customer() != set()


@RUNS
def test_price_history(days, truth_of, run, until):
    rows = days.rows(
        run, "select product_id, price, valid_from, valid_to from Products.PriceHistory order by updated_at"
    )
    versions: dict[str, list[Decimal]] = {}
    for product, price, _, _ in rows:
        versions.setdefault(product, []).append(price)
    assert versions == truth_of(*until).versions
    assert all(row[2] is not None for row in rows)
    assert sorted(row[0] for row in rows if row[3] is None) == sorted(versions), "one version of each is open"


@pytest.mark.parametrize(("run", "day"), [("1", ("1",)), ("2", ("1", "2"))])
def test_rows_found_accepted_and_rejected(days, truth_of, run, day):
    query = """
        select parse_filename(PATHS), COUNT, COUNTACCEPTED, COUNTREJECTED from audit.audit
        where STEP = 'LOAD' and SUCCESS
    """
    counts = {row[0]: row[1:] for row in days.rows(run, query)}
    expected = truth_of(*day).counts
    assert {name: counts[name] for name in expected} == expected
    rejected = days.rows(run, "select parse_filename(PATH), count(*) from audit.rejected group by 1")
    bad = {name: row[2] for name, row in expected.items() if row[2]}
    assert {name: count for name, count in rejected if name in expected} == bad


@pytest.mark.parametrize("run", ["1", "2"])
def test_one_expectation_fails_and_only_warns(days, run):
    failed = days.rows(run, "select distinct DOMAIN, SCHEMA, NAME from audit.expectations where not SUCCESS")
    assert [row[:2] for row in failed] == [("Customers", "OrdersWithoutCustomer")]
    checks = [e for e in days.results[run].get_asset_check_evaluations() if "expect_empty" in e.check_name]
    assert [(check.passed, check.severity) for check in checks] == [(False, dg.AssetCheckSeverity.WARN)]


def test_running_again_changes_nothing(days):
    names = [
        f'"{schema}"."{table}"'
        for schema, table in days.rows("2", "select schema_name, table_name from duckdb_tables()")
        if schema != "audit"
    ]
    assert len(names) == len(NODES) - 1, "all but the view"
    for name in names:
        query = f"select * from {name} order by all"
        assert days.rows("2", query) == days.rows("again", query) == days.rows("idle", query), name


LOCKS = {".starbake.lock", ".network.lock"}
"""Of the embedded engine, next to the stage area of each domain."""


def test_files_are_archived_and_nothing_is_left(days):
    datasets = days.project / "datasets"
    left = {
        area: [path for path in (datasets / area).rglob("*") if path.is_file() and path.name not in LOCKS]
        for area in ("incoming", "stage", "ingesting", "unresolved")
    }
    assert left == {area: [] for area in left}
    archived = {path.name for path in (datasets / "archive").rglob("*") if path.is_file()}
    delivered = {path.name for path in days.project.parent.glob("deliveries/*/*/*") if path.suffix != ".ack"}
    again = {f"{Path(name).stem}.2{Path(name).suffix}" for name in delivered if "20250310" in name}
    assert archived == delivered | again, "the archive overwrites nothing"


def test_the_report_is_written(days):
    page = (days.project / "datasets" / "reports" / "weekly.md").read_text(encoding="utf-8")
    assert page.startswith("# Starbake, 2025-03-10")
    assert "Starbake Bastille 🥖" in page
    assert "orders of unknown customers: 4" in page


def test_one_day_is_rebuilt_by_its_window(copy, tmp_path):
    """`--options sl_start_date=…,sl_end_date=…` bound what the incremental task reads."""
    window = {"sl_start_date": "2025-03-10", "sl_end_date": "2025-03-11"}
    whole = StarlakeProject(copy / "starbake", env="DUCKDB").graph.nodes["kpi.daily_revenue"].task
    part = StarlakeProject(copy / "starbake", env="DUCKDB", options=window).graph.nodes["kpi.daily_revenue"].task
    assert "2025-03-10" in part.sql
    assert "order_date >=" not in whole.sql
    assert whole.references == part.references


def test_a_run_leaves_the_checkout_clean(example):
    ignored = ["starbake/datasets/duckdb.db", "starbake/datasets/incoming/starbake/orders_1.json"]
    done = subprocess.run(["git", "check-ignore", *ignored], cwd=example, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.split() == ignored
