"""Unit tests of a project as asset checks."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeTranslator,
    StarlakeTranslatorSettings,
    build_definitions,
)
from tests.dagster_features.projects import SALES, TABLE, write

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

TESTS = "metadata/tests"
FILES = {
    **SALES,
    "metadata/load/sales/orders.sl.yml": TABLE.format(name="orders"),
    "metadata/transform/kpi/total.sql": "select count(*) as n from sales.orders",
    f"{TESTS}/load/sales/orders/reads/_incoming.orders_1.csv": "id,day\n1,2025-03-01\n",
    f"{TESTS}/load/sales/orders/reads/_expected.csv": "id,day\n1,2025-03-01\n",
    f"{TESTS}/transform/kpi/total/two-rows/sales.orders.csv": "id\n1\n2\n",
    f"{TESTS}/transform/kpi/total/two-rows/_expected.csv": "n\n2\n",
    f"{TESTS}/transform/kpi/total/wrong/sales.orders.csv": "id\n1\n",
    f"{TESTS}/transform/kpi/total/wrong/_expected.csv": "n\n3\n",
    "incoming/sales/orders_1.csv": "id,day\n1,2025-03-01\n",
}


def definitions(tmp_path: Path, **settings: bool) -> tuple[Path, dg.Definitions]:
    root = write(tmp_path / "sales", FILES)
    project = StarlakeProject(root, cache_dir=tmp_path / "cache")
    translator = StarlakeTranslator(settings=StarlakeTranslatorSettings(**settings))
    return root, build_definitions(project, starlake=StarlakeDuckDB(), translator=translator)


@pytest.mark.dagster_feature("Asset checks without a materialization")
def test_unit_tests_run_as_checks_without_their_assets(tmp_path):
    root, defs = definitions(tmp_path, enable_unit_test_checks=True)
    chosen = dg.AssetSelection.checks_for_assets(dg.AssetKey(["kpi", "total"]))
    job = dg.define_asset_job("checks", selection=chosen)
    built = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            built.get_repository_def().get_job("checks").execute_in_process(instance=instance, raise_on_error=False)
        )
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "unit_test_two_rows": True,
        "unit_test_wrong": False,
    }
    failed = checks["unit_test_wrong"]
    assert "unexpected rows (1):\n    n=1" in str(failed.metadata["starlake/difference"].value)
    assert failed.severity == dg.AssetCheckSeverity.ERROR
    assert not result.get_asset_materialization_events()
    assert not (root / "datasets").exists()


def test_they_are_off_by_default_and_run_with_their_asset(tmp_path):
    _, defs = definitions(tmp_path)
    assert not list(defs.asset_checks or ())
    _, defs = definitions(tmp_path, enable_unit_test_checks=True)
    job = dg.define_asset_job("load", selection=dg.AssetSelection.assets(dg.AssetKey(["sales", "orders"])))
    built = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.ephemeral() as instance:
        result = built.get_repository_def().get_job("load").execute_in_process(instance=instance)
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["unit_test_reads"] is True
    assert len(result.get_asset_materialization_events()) == 1
