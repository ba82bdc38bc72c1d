"""Options of a run flow along lineage: a run that its upstreams' runs started is given what they were given."""

from __future__ import annotations

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation.policies.model import Upstream, UpstreamCondition
from starlake_dagster_assets.project.model.values import WriteStrategy
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from tests.automation.definitions.lineage_sensors.conftest import all_of, any_of, watching
from tests.dagster_assets.conftest import make_source, make_table, make_task

CHAIN = {
    "one": (["kpi.x"], UpstreamCondition(all_of("sales.a", "sales.b"), all_history=True)),
    "two": (["kpi.y"], UpstreamCondition(Upstream("kpi.x"), all_history=True)),
}


def runner() -> FakeRunner:
    return FakeRunner({"load": Script([line for name in "abc" for line in loaded_lines("sales", name)])})


def load(it, table: str, options: str, partition: str | None = None) -> str:
    """A run that loads a table, started in the launchpad with options."""
    job = it.repository.get_job("__ASSET_JOB")
    key = dg.AssetKey(["sales", table])
    tags = {"starlake/options": options} if options else {}
    given = {"tags": tags, "asset_selection": [key], "partition_key": partition}
    result = job.execute_in_process(instance=it.instance, **given)
    assert result.success
    return result.run_id


def transforms(fake: FakeRunner) -> dict[str, str]:
    """The `--options` of each transform that ran."""
    found = {}
    for argv in (command.argv for command in fake.commands):
        if argv[0] == "transform":
            given = argv[argv.index("--options") + 1] if "--options" in argv else ""
            kept = [pair for pair in given.split(",") if not pair.startswith(("sl_", "SL_", "partition_key="))]
            found[argv[argv.index("--name") + 1]] = ",".join(sorted(kept))
    return found


def test_options_flow_from_loads_to_transforms_and_on(world):
    it = world(watching(CHAIN), runner=runner())
    load(it, "a", '{"all": {"country": "FR"}, "kpi.y": {"limit": 10}}')
    load(it, "b", "")
    for _ in range(3):
        it.daemon()
    assert transforms(it.runner) == {"kpi.x": "country=FR", "kpi.y": "country=FR,limit=10"}


@pytest.mark.dagster_feature("Options of upstream runs, and conditions")
def test_a_run_of_a_condition_fails_where_it_would_lose_options(world):
    it = world(watching(CHAIN, "condition"), runner=runner())
    run = load(it, "a", '{"all": {"country": "FR"}}')
    load(it, "b", "")
    it.daemon()
    assert it.count("kpi.x") == 0 and transforms(it.runner) == {}
    failed = it.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))[0].dagster_run
    events = it.instance.all_logs(failed.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    said = events[0].dagster_event.step_failure_data.user_failure_data.description
    assert f"kpi.x reads sales/a, which run {run} materialized with the options" in said and "country" in said
    load(it, "a", "")
    it.daemon()
    assert it.count("kpi.x") == 1, "the newest update has none"


def test_contradicting_options_are_a_failed_run_that_names_them(world):
    it = world(watching(CHAIN), runner=runner())
    first, second = load(it, "a", '{"all": {"country": "FR"}}'), load(it, "b", '{"all": {"country": "DE"}}')
    (request,) = it.tick("one_lineage")
    run = it.run("one_lineage", request)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE
    assert transforms(it.runner) == {} and it.count("kpi.x") == 0
    said = request.tags["starlake/options_conflict"]
    assert "'FR'" in said and "'DE'" in said
    assert first in said and second in said and "`country` of `all`" in said
    events = it.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert said in str(events[0].dagster_event)
    load(it, "b", '{"all": {"country": "FR"}}')
    it.quiet()
    assert transforms(it.runner) == {"kpi.x": "country=FR", "kpi.y": "country=FR"}


class Daily(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04")


def test_options_flow_into_runs_of_partitions_each_from_what_made_its_own(world):
    it = world(watching(CHAIN), translator=Daily(), runner=runner())
    load(it, "a", '{"all": {"country": "FR"}}', "2024-01-01")
    load(it, "a", '{"all": {"country": "DE"}}', "2024-01-02")
    assert isinstance(it.tick("one_lineage"), str)
    load(it, "b", '{"kpi.x": {"limit": "10"}}', "2024-01-01")  # what made `a` was looked at by the tick before
    load(it, "b", "", "2024-01-02")
    requests = {request.partition_key: request for request in it.tick("one_lineage")}
    assert {key: request.tags["starlake/options"] for key, request in requests.items()} == {
        "2024-01-01": '{"all": {"country": "FR"}, "kpi.x": {"limit": "10"}}',
        "2024-01-02": '{"all": {"country": "DE"}}',
    }
    it.run("one_lineage", requests["2024-01-01"])
    (request,) = it.tick("two_lineage")
    it.run("two_lineage", request)
    assert transforms(it.runner) == {"kpi.x": "country=FR,limit=10", "kpi.y": "country=FR"}


def test_contradicting_options_of_a_partition_are_a_failed_run(world):
    it = world(watching(CHAIN), translator=Daily(), runner=runner())
    first = load(it, "a", '{"all": {"country": "FR"}}', "2024-01-01")
    second = load(it, "b", '{"all": {"country": "DE"}}', "2024-01-01")
    (request,) = it.tick("one_lineage")
    assert {first, second} <= {word.strip(",;.") for word in request.tags["starlake/options_conflict"].split()}
    assert first in request.tags["starlake/upstreams"] and second in request.tags["starlake/upstreams"]
    run = it.run("one_lineage", request)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE


def test_a_tag_of_another_form_fails_the_run_before_anything_starts(world):
    it = world(watching(CHAIN), runner=runner())
    result = it.repository.get_job("__ASSET_JOB").execute_in_process(
        instance=it.instance,
        tags={"starlake/options": "country=FR"},
        asset_selection=[dg.AssetKey(["kpi", "x"])],
        raise_on_error=False,
    )
    assert not result.success and it.runner.commands == []
    events = it.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert 'expected {"all": {"name": "value"}' in events[0].dagster_event.event_specific_data.error.message


@pytest.mark.parametrize("partition", [None, "2024-01-01"])
def test_options_of_an_update_that_was_read_do_not_fail_a_run_of_a_condition(world, partition):
    given = {"one": (["kpi.x"], UpstreamCondition(any_of("sales.a", "sales.b"), all_history=True))}
    upsert = WriteStrategy(type="UPSERT_BY_KEY", key=("id",))
    task = make_task("x", ["sales.a", "sales.b"], write_strategy=upsert)
    source = make_source([make_table("a"), make_table("b"), make_table("c")], [task])
    it = world(watching(given, "condition"), source, translator=Daily() if partition else None, runner=runner())
    options = '{"all": {"country": "FR"}}'
    load(it, "a", options, partition)
    assert it.by_hand("kpi.x", partition=partition, tags={"starlake/options": options}).success
    it.daemon()
    load(it, "b", "", partition)
    it.daemon()
    assert it.count("kpi.x") == 2
