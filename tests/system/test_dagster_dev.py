"""What an engineer sees who starts runs from the UI: the buttons' own GraphQL, a real server, real processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from tests.system.conftest import ROOT, copy_of_the_example
from tests.system.dagster_dev import DagsterDev

CUSTOMERS = "starbake/Customers"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("dagster_dev")


@pytest.fixture(scope="session")
def server(work):
    environ = copy_of_the_example(work)
    running = DagsterDev(work, environ)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def datasets(work) -> Path:
    return work / "example_project" / "starbake" / "datasets"


def deliver(datasets: Path, day: str) -> None:
    shutil.copytree(ROOT / "example_project" / "deliveries" / day, datasets / "incoming", dirs_exist_ok=True)


def rows(datasets: Path, table: str) -> int:
    with duckdb.connect(str(datasets / "duckdb.db"), read_only=True) as con:
        return con.execute(f"select count(*) from {table}").fetchall()[0][0]


def made(events) -> set[str]:
    return {"/".join(e["assetKey"]["path"]) for e in events if e["__typename"] == "MaterializationEvent"}


def checks(events) -> dict[tuple[str, str], dict]:
    found = [e["evaluation"] for e in events if e["__typename"] == "AssetCheckEvaluationEvent"]
    return {("/".join(check["assetKey"]["path"]), check["checkName"]): check for check in found}


def logged(events, level: str) -> str:
    return "\n".join(e["message"] for e in events if e["__typename"] == "LogMessageEvent" and e["level"] == level)


@pytest.fixture(scope="session")
def everything(server, datasets):
    """The first run: all assets on the files of day one."""
    deliver(datasets, "day1")
    nodes = server.query("query { assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
    keys = ["/".join(node["assetKey"]["path"]) for node in nodes if node["isMaterializable"]]
    status, events = server.ended(server.launch(keys))
    return keys, status, events


def test_everything_is_made_and_refused_rows_are_shown(everything):
    keys, status, events = everything
    assert status == "SUCCESS"
    assert made(events) == set(keys) and len(keys) == 16
    refused = checks(events)[CUSTOMERS, "rejected_rows"]
    assert (
        not refused["success"]
        and refused["description"] == "3 rows were rejected; some reasons are in `starlake/rejected_sample`"
    )
    sample = next(
        entry["mdStr"] for entry in refused["metadataEntries"] if entry["label"] == "starlake/rejected_sample"
    )
    assert len(sample.splitlines()) == 2 + 3 and sample.count("customers_20250309.csv") == 3
    assert "Running Starlake transform --name kpi.daily_revenue" in logged(events, "INFO")


def test_checks_are_evaluated_without_their_tables(server, everything):
    wanted = [
        (CUSTOMERS, "expect_unique_customer_id"),
        (CUSTOMERS, "rejected_rows"),
        (CUSTOMERS, "schema_drift"),
        ("Customers/OrdersWithoutCustomer", "expect_empty"),
    ]
    status, events = server.ended(server.launch(checks=wanted))
    assert status == "SUCCESS" and not made(events)
    assert {name: check["success"] for name, check in checks(events).items()} == {
        wanted[0]: True,
        wanted[1]: False,
        wanted[2]: True,
        wanted[3]: False,
    }


def test_what_is_broken_is_named_and_the_rest_goes_on(server, work, datasets, everything):
    (datasets / "incoming" / "starbake" / "customers_20250310.csv").write_text("nothing;of;ours\n1;2;3\n")
    sql = work / "example_project" / "starbake" / "metadata" / "transform" / "kpi" / "daily_revenue.sql"
    kept = sql.read_text()
    sql.write_text(kept.replace("s.shop_name", "s.shop_nam", 1))
    run = server.launch(everything[0])
    status, events = server.ended(run)
    sql.write_text(kept)
    assert status == "FAILURE"
    assert {"kpi/order_lines", "Products/ProductCost", "kpi/top_products"} <= made(events)
    assert not {CUSTOMERS, "kpi/daily_revenue", "kpi/shop_ranking", "Customers/HighValueCustomers"} & made(events)
    failure = next(e for e in events if e["__typename"] == "ExecutionStepFailureEvent")
    assert "2 of 15 failed" in failure["error"]["message"] and "4 skipped" in failure["error"]["message"]
    told = {entry["label"]: entry["text"] for entry in failure["failureMetadata"]["metadataEntries"]}
    assert "metadata/transform/kpi/daily_revenue.sql" in told["kpi.daily_revenue"]
    assert "shop_nam" in told["kpi.daily_revenue"] and f"job {run}" in told["kpi.daily_revenue"]
    assert "metadata/load/starbake/Customers.sl.yml" in told["starbake.Customers"]
    assert "Found: nothing, of, ours" in told["starbake.Customers"]
    assert told["kpi.shop_ranking"].endswith("not run: kpi.daily_revenue failed")
    assert all(name in logged(events, "ERROR") for name in ("kpi.daily_revenue failed", "starbake.Customers failed"))
    back = datasets / "stage" / "starbake" / "customers_20250310.csv"
    assert back.exists()
    back.unlink()


def test_a_load_is_cancelled_and_the_next_run_finds_its_file(server, datasets, everything):
    before = rows(datasets, "starbake.Customers")
    head, row = (ROOT / "example_project/deliveries/day1/starbake/customers_20250309.csv").read_text().splitlines()[:2]
    rest, many = row.partition(";")[2], 600_000
    incoming = datasets / "incoming" / "starbake" / "customers_20250311.csv"
    incoming.write_text("\n".join([head, *(f"{number};{rest}" for number in range(10_000, 10_000 + many))]) + "\n")
    run = server.launch([CUSTOMERS])
    server.said(run, "Ingest resolved file")
    server.terminate(run)
    status, events = server.ended(run)
    assert status == "CANCELED" and not made(events)
    assert rows(datasets, "starbake.Customers") == before
    assert [path.parent.name for path in datasets.rglob("customers_20250311.csv")] == ["starbake"]
    assert (datasets / "stage" / "starbake" / "customers_20250311.csv").exists()
    status, events = server.ended(server.launch([CUSTOMERS]))
    assert status == "SUCCESS" and made(events) == {CUSTOMERS}
    assert rows(datasets, "starbake.Customers") == before + many
