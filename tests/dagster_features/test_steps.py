"""A step gives a result for each asset that it was asked for, under the keys that the assets have now."""

from types import ModuleType

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets._compat import in_process_executor
from starlake_dagster_assets.airflow import definitions_graph
from tests.dagster_features import projects

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))")

SALES = {
    **projects.SALES,
    "metadata/transform/kpi/by_day.sl.yml": projects.TASK,
    "metadata/transform/kpi/log.sl.yml": "version: 1\ntask:\n  writeStrategy: {type: APPEND}\n",
    "metadata/transform/kpi/log.sql": "select count(*) as n, '{{who}}' as who from kpi.by_day",
    "metadata/env.sl.yml": "version: 1\nenv: {who: nobody}\n",
}
KEYS = ["kpi/by_day", "kpi/log", "sales/items", "sales/orders"]


@pytest.fixture
def project(tmp_path):
    return sda.StarlakeProject(projects.write(tmp_path / "sales", SALES))


def run(assets, project=None, instance=None, **more):
    given = [one for one in assets if isinstance(one, dg.AssetsDefinition)]
    resources = {"starlake": sda.StarlakeDuckDB()}
    return dg.materialize(given, resources=resources, instance=instance, raise_on_error=False, **more)


def made(result) -> list[str]:
    return sorted(event.asset_key.to_user_string() for event in result.get_asset_materialization_events())


def message(result) -> str:
    return next(e for e in result.all_events if e.is_step_failure).step_failure_data.error_display_string


def by_module(assets):
    module = ModuleType("module")
    module.assets = list(assets)
    return dg.load_assets_from_modules([module], key_prefix="prod"), {key: f"prod/{key}" for key in KEYS}


def by_replacement(assets):
    new = {dg.AssetKey(["sales", "orders"]): dg.AssetKey(["raw", "o-1"])}
    changed = [one.with_attributes(asset_key_replacements=new) for one in assets]
    return changed, {**{key: key for key in KEYS}, "sales/orders": "raw/o-1"}


@pytest.mark.parametrize("rename", [by_module, by_replacement])
@pytest.mark.dagster_feature("`load_assets_from_modules(key_prefix=…)`, `with_attributes(asset_key_replacements=…)`")
def test_events_carry_the_keys_that_the_assets_have_now(project, rename):
    assets, names = rename(sda.build_starlake_assets(project))
    result = run(assets)
    assert result.success
    seen = {event.asset_observation_data.asset_observation.asset_key for event in result.get_asset_observation_events()}
    assert made(result) == sorted(names[key] for key in KEYS if key != "sales/items")
    assert dg.AssetKey(names["sales/items"].split("/")) in seen  # no file
    orders = dg.AssetKey(names["sales/orders"].split("/"))
    checks = {check.asset_check_key for check in result.get_asset_check_evaluations()}
    assert dg.AssetCheckKey(orders, "schema_drift") in checks
    lineage = next(e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "by_day")
    columns = lineage.step_materialization_data.materialization.metadata["dagster/column_lineage"].value
    assert columns.deps_by_column["day"][0].asset_key == orders
    defs = dg.Definitions(assets=list(assets), resources={"starlake": sda.StarlakeDuckDB()})
    assert definitions_graph(defs).naming.keys["sales.orders"] == tuple(orders.path)


@pytest.mark.dagster_feature("A subset of assets or checks under changed keys")
def test_a_subset_of_changed_keys_and_their_checks_alone(project):
    assets, _ = by_module(sda.build_starlake_assets(project))
    orders = dg.AssetKey(["prod", "sales", "orders"])
    with dg.DagsterInstance.ephemeral() as instance:
        assert made(run(assets, instance=instance, selection=[orders])) == ["prod/sales/orders"]
        check = dg.AssetSelection.checks(dg.AssetCheckKey(orders, "schema_drift"))
        result = run(assets, instance=instance, selection=check)
    assert result.success
    assert [one.asset_check_key for one in result.get_asset_check_evaluations()] == [
        dg.AssetCheckKey(orders, "schema_drift")
    ]


def nothing(context, starlake):
    return None


def forgotten(context, starlake):
    starlake.run(context).fetch_row_counts()


def swallowed(context, starlake):
    list(starlake.run(context))


def partly_read(context, starlake):
    yield next(starlake.run(context))


def only_loads(context, starlake):
    yield from starlake.run(context, select="domain:sales")


def not_failing(context, starlake):
    try:
        yield from starlake.run(context, options={"who": "it's no SQL"})
    except dg.Failure:
        return


def returned(context, starlake):
    return starlake.run(context)


def returned_late(context, starlake):
    yield from starlake.run(context, select="sales.orders")
    return starlake.run(context, exclude="sales.orders")


def twice(context, starlake):
    yield from starlake.run(context, select="domain:sales")
    yield from starlake.run(context, select="kpi.by_day")
    yield from starlake.run(context)


def by_hand(context, starlake):
    yield from starlake.run(context, select="domain:sales")
    yield dg.MaterializeResult(asset_key=dg.AssetKey(["kpi", "by_day"]))
    context.log_event(dg.AssetObservation(dg.AssetKey(["kpi", "log"]), description="not on Sundays"))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (nothing, "4 of 4 selected assets have no result: kpi/by_day, kpi/log, sales/items, sales/orders"),
        (forgotten, "write `yield from starlake.run(context)`"),
        (swallowed, "No call of `starlake.run(context)` yielded an event for them"),
        (partly_read, "were not read to the end"),
        (only_loads, "2 of 4 selected assets have no result: kpi/by_day, kpi/log"),
        (not_failing, "the body of the step went on"),
        (returned, None),
        (returned_late, None),
        (twice, None),
        (by_hand, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.dagster_feature("The body of a step: `yield from`, `return`, several calls, your own results")
def test_each_selected_asset_has_a_result_or_the_step_fails(project, body, text):
    if body is returned:  # also the way of build_starlake_assets
        result = run(sda.build_starlake_assets(project, steps=sda.StarlakeSteps(execute=body)))
    else:

        @sda.starlake_assets(project=project, name="mine")
        def mine(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
            found = body(context, starlake)
            return (yield from found) if found is not None and hasattr(found, "send") else found

        result = run([mine])
    if text is not None:
        assert not result.success
        assert text in message(result)
        return
    assert result.success, message(result)
    log = projects.rows(project.root / "datasets/duckdb.db", "select count(*) from kpi.log") if body is twice else None
    assert log in (None, [(1,)])


@pytest.mark.dagster_feature("Run config in the launchpad")
def test_run_config_of_a_launch(project):
    database = project.root / "datasets/duckdb.db"
    defs = sda.build_definitions(
        project, starlake=sda.StarlakeDuckDB(), steps=sda.StarlakeSteps(executor=in_process_executor())
    )
    jobs = [dg.define_asset_job("all_of_it")]
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=jobs)).get_repository_def().get_job("all_of_it")

    def launch(tags=None, **config):
        run_config = {"ops": {"starlake_sales": {"config": config}}} if config else None
        return job.execute_in_process(run_config=run_config, raise_on_error=False, tags=tags)

    assert launch().success
    assert launch(options={"who": "me"}, tags={"starlake/options": '{"all": {"who": "tag"}}'}).success
    assert projects.rows(database, "select who from kpi.log order by all") == [("me",), ("nobody",)]
    full = launch(full_refresh=True, scheduled_date="2026-01-31")
    assert full.success
    assert projects.rows(database, "select who from kpi.log") == [("nobody",)]
    wrong = launch(scheduled_date="tomorrow")
    assert not wrong.success
    assert "`scheduled_date`: 'tomorrow' is not a date" in message(wrong)


def text_as_options(context, starlake):
    starlake.run(context, options="x=1")


def number_as_option(context, starlake):
    yield from starlake.run(context, options={"who": 1})


def number_of_function(context, starlake):
    yield from starlake.run(context, options=lambda node: {"who": 1} if node.id == "kpi.log" else {})


def comma_in_option(context, starlake):
    yield from starlake.run(context, options={"who": "a,b"})


def comma_in_run_config(context, starlake):
    yield from starlake.run(context, config=sda.StarlakeRunConfig(options={"who": "a,b"}))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (text_as_options, "TypeError: starlake.run(context): `options` is a str; pass texts by name"),
        (number_as_option, "TypeError: starlake.run(context): `options` has an int as the value of `who`; pass texts"),
        (number_of_function, "TypeError: kpi.log: `options` has an int as the value of `who`; pass texts"),
        (comma_in_option, "option 'who': its value contains a comma"),
        (comma_in_run_config, "option 'who': its value contains a comma"),
    ],
)
@pytest.mark.dagster_feature("Run config in the launchpad")
def test_options_that_no_command_can_carry_fail_before_the_first_command(project, body, text):
    @sda.starlake_assets(project=project, name="mine")
    def mine(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
        yield from body(context, starlake) or ()

    result = run([mine])
    assert not result.success
    assert text in message(result)
    assert made(result) == []
    assert not (project.root / "datasets/duckdb.db").exists()  # nothing was run
