"""What the UI shows of an asset, a materialization and a check: the order, the names and the words."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions
from starlake_dagster_assets.dagster_assets.specs.wording import schedule_text
from tests.dagster_features.projects import SALES, TABLE, write

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

EXPECTED = "  expectations: [{expect: no_null('day'), failOnError: false}]\n"
FILES = {
    **SALES,
    "metadata/load/sales/orders.sl.yml": TABLE.format(name="orders") + "  metadata: {schedule: 0 5 * * *}\n" + EXPECTED,
    "metadata/expectations/own.j2": "{% macro no_null(c) %}select count(*) from sl_this where {{ c }} is null"
    "{% endmacro %}",
    "incoming/sales/orders_1.csv": "id,day\n1,2025-03-01\n2,\nx,2025-03-02\n",
}
ORDERS = dg.AssetKey(["sales", "orders"])


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    project = StarlakeProject(write(tmp_path / "sales", FILES), cache_dir=tmp_path / "cache")
    return build_definitions(project, select="sales.orders", starlake=StarlakeDuckDB())


@pytest.mark.dagster_feature("Metadata of materializations and asset definitions")
def test_rows_come_first_and_ids_last(definitions):
    [assets] = [one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition) and ORDERS in one.keys]
    defined = assets.specs_by_key[ORDERS].metadata
    shown = [key for key in defined if key != "dagster/code_references"]
    assert shown[0] == "dagster/table_name" and shown[-2:] == ["starlake/raw", "starlake/node"]
    assert defined["starlake/write_strategy"] == "APPEND: adds rows"
    assert defined["starlake/schedule"] == "every day at 05:00 (0 5 * * *)"
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([assets], instance=instance, resources=definitions.resources, raise_on_error=False)
        event = instance.get_latest_materialization_event(ORDERS)
    found = list(event.asset_materialization.metadata)
    assert found[:5] == [
        "dagster/row_count",
        *(f"starlake/rows_{name}" for name in ("accepted", "rejected", "input")),
        "starlake/files",
    ]
    assert found[-2:] == ["starlake/duration_seconds", "starlake/job_id"]


@pytest.mark.dagster_feature("Descriptions and results of asset checks")
def test_a_check_says_when_it_fails_and_how_many_rows_failed(definitions):
    [assets] = [one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition) and ORDERS in one.keys]
    described = {spec.name: spec.description for spec in assets.check_specs}
    assert described["rejected_rows"] == "Fails when a row of a file was rejected; shows the reason per row."
    assert described["no_null_day"] == "Fails when rows break `no_null('day')` (no null)."
    result = dg.materialize([assets], resources=definitions.resources, raise_on_error=False)
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    rejected, expectation = checks["rejected_rows"], checks["no_null_day"]
    assert not rejected.passed and not expectation.passed
    assert rejected.description == "1 row was rejected; some reasons are in `starlake/rejected_sample`"
    assert list(rejected.metadata)[:2] == ["starlake/rows_rejected", "starlake/rejected_sample"]
    assert expectation.description == "1 row fails no_null('day'); expected none"
    assert list(expectation.metadata)[:2] == ["starlake/rows_failed", "starlake/failing_rows"]


@pytest.mark.parametrize(
    ("cron", "text"),
    [
        ("15 * * * *", "every hour at minute 15 (15 * * * *)"),
        ("0 6 * * 1", "every Monday at 06:00 (0 6 * * 1)"),
        ("30 0 1 * *", "on day 1 of every month at 00:30 (30 0 1 * *)"),
        ("0 0 1 1 *", "0 0 1 1 *"),
        ("*/5 * * * *", "*/5 * * * *"),
    ],
)
def test_plain_schedules_are_in_words(cron, text):
    assert schedule_text(cron) == text
