"""Assets of the user's own that follow the tables and tasks of a project."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from starlake_dagster_assets import build_definitions
from starlake_dagster_assets.automation import upstreams_updated
from starlake_dagster_assets.automation.policies.model import UpstreamCondition
from tests.automation.definitions.lineage_sensors.conftest import World, any_of, watching
from tests.dagster_assets.conftest import make_source, make_table, make_task

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

FEATURE = pytest.mark.dagster_feature("`upstreams_updated()` on your own assets")
REPORT = dg.AssetKey(["report"])


@dg.asset(deps=[dg.AssetKey(["kpi", "x"]), dg.AssetKey(["sales", "a"])], automation_condition=upstreams_updated())
def report() -> None: ...


@pytest.fixture
def it():
    source = make_source([make_table("a")], [make_task("x", ["sales.a"])])
    triggers = replace(watching({"kpi": (["kpi.x"], UpstreamCondition(any_of("sales.a")))}), status="RUNNING")
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, source, triggers, extra=[report])


def is_requested(it: World) -> bool:
    selection = dg.AssetSelection.assets(REPORT)
    return dg.evaluate_automation_conditions(it.defs, it.instance, selection).get_num_requested(REPORT) == 1


@FEATURE
def test_it_is_made_once_all_that_it_reads_is_up_to_date(it):
    assert not is_requested(it), "nothing is there"
    it.made("sales.a")
    assert not is_requested(it), "kpi.x is due and was never materialized"
    it.daemon()
    assert is_requested(it)
    it.by_hand("report")
    assert not is_requested(it), "whoever has started the run"
    it.made("sales.a")
    assert not is_requested(it), "kpi.x is due"
    it.daemon()
    assert is_requested(it)


@FEATURE
def test_an_update_during_its_own_run_starts_the_next_one(it):
    it.made("sales.a", "kpi.x")
    run = it.in_progress("report")
    read = {"sales/a": 1, "kpi/x": 2}
    it.made("kpi.x")
    it.in_run(run, "report", read=read)
    it.ends(run)
    assert is_requested(it)


@FEATURE
def test_its_sensor_is_one_of_the_definitions_and_it_needs_the_project():
    source = make_source([make_table("a")], [make_task("x", ["sales.a"])])
    defs = build_definitions(source, extra_assets=[report])
    assert "own_assets_conditions" in [one.name for one in defs.sensors or ()]
    alone = dg.Definitions(assets=[report])
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(Exception, match="conditions for report") as caught:
        dg.evaluate_automation_conditions(alone, instance, dg.AssetSelection.assets(REPORT))
    assert "`extra_assets`" in str(caught.value.__cause__)
