"""Steps on a real Dagster instance, with scripted processes."""

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeMetadata,
    StarlakeSteps,
    build_definitions,
    build_starlake_assets,
    starlake_assets,
)
from starlake_dagster_assets._compat import continues_after_failed_steps, in_process_executor, suppress_dagster_warnings
from starlake_dagster_assets.commands.model import ExpectationRow
from starlake_dagster_assets.resources import StarlakeResource
from starlake_dagster_assets.testing import FakeRunner, FakeWarehouseReader, Script, fake_starlake, loaded_lines


def key(text: str) -> dg.AssetKey:
    return dg.AssetKey(text.split("."))


def run(source, runner, instance, **settings):
    assets = build_starlake_assets(source, **settings.pop("build", {}))
    return dg.materialize(
        assets, resources={"starlake": fake_starlake(runner)}, instance=instance, raise_on_error=False, **settings
    )


def global_job(defs: dg.Definitions) -> dg.JobDefinition:
    new = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    return new() if new else defs.get_implicit_global_asset_job_def()


def materialized(result) -> list[str]:
    return [e.asset_key.to_user_string().replace("/", ".") for e in result.get_asset_materialization_events()]


def failure(result) -> dg.DagsterEvent:
    return next(event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE)


BOTH = [
    *loaded_lines("sales", "customers", accepted=10),
    *loaded_lines("sales", "orders", accepted=18, rejected=2),
    "26/01/01 00:00:00 INFO Main: Successfully load",
]


def test_one_stage_and_one_load_process_for_a_domain_then_tasks_in_order(sales, instance):
    runner = FakeRunner({"load": Script(BOTH)})
    result = run(sales, runner, instance)
    assert result.success
    assert [command.argv for command in runner.commands] == [
        ("stage", "--domains", "sales", "--tables", "customers,orders"),
        ("load", "--domains", "sales", "--tables", "customers,orders"),
        ("transform", "--name", "kpi.people"),
        ("transform", "--name", "kpi.revenue"),
        ("transform", "--name", "kpi.summary"),
    ]
    assert materialized(result) == ["sales.customers", "sales.orders", "kpi.people", "kpi.revenue", "kpi.summary"]
    metadata = result.asset_materializations_for_node("starlake_project")[1].metadata
    assert metadata["starlake/rows_input"].value == 20
    assert metadata["starlake/rows_rejected"].value == 2
    jobs = [command.job_id for command in runner.commands]
    assert len(set(jobs)) == 5 and all(job.startswith(result.run_id) for job in jobs)


def test_a_subset_runs_only_what_is_selected(sales, instance):
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))})
    result = run(sales, runner, instance, selection=[key("sales.orders"), key("kpi.summary")])
    assert result.success
    assert [command.args[-1] for command in runner.commands] == ["orders", "orders", "kpi.summary"]
    assert materialized(result) == ["sales.orders", "kpi.summary"]


def test_variables_of_transforms_may_differ_from_task_to_task(sales, instance):
    runner = FakeRunner()
    options = StarlakeSteps(options=lambda node: {"country": "FR"} if node.raw == "kpi.people" else {})
    build = {"steps": options}
    run(sales, runner, instance, build=build, selection=[key("kpi.people"), key("kpi.revenue")])
    assert [command.args for command in runner.commands] == [
        ("--name", "kpi.people", "--options", "country=FR"),
        ("--name", "kpi.revenue"),
    ]


def test_a_failed_table_takes_only_those_that_read_it_with_it(sales, instance):
    lines = [
        *loaded_lines("sales", "customers"),
        "26/01/01 00:00:00 INFO IngestionWorkflow: Ingest resolved file : o.csv as table sales.orders",
        "26/01/01 00:00:00 ERROR IngestionWorkflow: java.sql.SQLException: no such date hunter22",
        "26/01/01 00:00:00 ERROR IngestionWorkflow: Some tables failed to be loaded",
    ]
    result = run(sales, FakeRunner({"load": Script(lines, 1)}), instance)
    assert not result.success
    assert materialized(result) == ["sales.customers", "kpi.people"]
    error = failure(result).step_failure_data
    assert error.user_failure_data.description.startswith("1 of 5 failed: sales.orders")
    assert set(error.user_failure_data.metadata) == {"sales.orders", "kpi.revenue", "kpi.summary"}
    assert "no such date ***" in error.user_failure_data.metadata["sales.orders"].value
    assert "sales.orders failed" in error.user_failure_data.metadata["kpi.revenue"].value


def test_no_file_is_an_observation_and_what_reads_the_table_still_runs(sales, instance):
    result = run(sales, FakeRunner({"load": Script(loaded_lines("sales", "orders"))}), instance)
    assert result.success
    assert materialized(result) == ["sales.orders", "kpi.people", "kpi.revenue", "kpi.summary"]
    seen = [e for e in result.all_events if e.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    observation = seen[0].asset_observation_data.asset_observation
    assert observation.asset_key == key("sales.customers")
    assert "no file" in observation.description


def test_a_retry_runs_only_what_this_run_has_not_made(sales, instance):
    attempts = {"n": 0}

    def script(command):
        if command.name == "load":
            return Script(loaded_lines("sales", command.args[-1].split(",")[0]) + loaded_lines("sales", "orders"))
        if command.args[-1] == "kpi.revenue":
            attempts["n"] += 1
            return Script(["ERROR Main: out of luck"], 1) if attempts["n"] == 1 else None
        return None

    runner = FakeRunner(script)
    result = run(sales, runner, instance, build={"steps": StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1))})
    assert result.success
    typed = [command.argv[0] + " " + command.args[-1] for command in runner.commands]
    assert typed == [
        "stage customers,orders",
        "load customers,orders",
        "transform kpi.people",
        "transform kpi.revenue",
        "transform kpi.revenue",
        "transform kpi.summary",
    ]
    assert sorted(materialized(result)) == sorted(
        ["sales.customers", "sales.orders", "kpi.people", "kpi.revenue", "kpi.summary"]
    )
    jobs = [command.job_id for command in runner.commands]
    assert len(set(jobs)) == len(jobs)


def test_a_failed_blocking_expectation_withholds_the_table_and_stops_its_readers(make, instance):
    source = make.source(
        [make.table("orders", expectations=(make.expectation(expect='no_null("id")', fail_on_error=True),))],
        [make.task("revenue", ["sales.orders"])],
    )
    row = ExpectationRow("", "sales", "orders", "no_null", 'no_null("id")', "select 3", 3, "", True)
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))}, FakeWarehouseReader(expectation_rows=[row]))
    result = run(source, runner, instance)
    assert not result.success
    assert materialized(result) == []
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "no_null_id"]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["starlake/rows_failed"].value == 3
    assert "transform" not in {command.name for command in runner.commands}


def test_the_expectations_of_a_load_are_asked_for_once_and_not_for_each_table(make, instance):
    class Asked(FakeWarehouseReader):
        jobs: tuple[str, ...] = ()

        def expectations(self, job_id):
            self.jobs += (job_id,)
            return super().expectations(job_id)

    names = [f"t{number}" for number in range(5)]
    source = make.source([make.table(name, expectations=(make.expectation(expect="few()"),)) for name in names])
    rows = [ExpectationRow("", "sales", name, "few", "few()", "select 0", 0, "", True) for name in names]
    reader = Asked(expectation_rows=rows)
    lines = [line for name in names for line in loaded_lines("sales", name)]
    result = run(source, FakeRunner({"load": Script(lines)}, reader), instance)
    passed = [check.passed for check in result.get_asset_check_evaluations() if check.check_name == "few"]
    assert passed == [True] * 5 and len(reader.jobs) == 1


def test_an_expectation_that_warns_does_not_block_and_one_without_a_row_has_no_result(make, instance):
    source = make.source(
        [
            make.table(
                "orders",
                expectations=[
                    make.expectation(expect="a()"),
                    make.expectation(expect="b()", fail_on_error=False),
                    make.expectation(expect="c()", fail_on_error=False),
                ],
            )
        ],
    )
    rows = [
        ExpectationRow("", "sales", "orders", "a", "a()", "select 0", 0, "", True),
        ExpectationRow("", "sales", "orders", "b", "b()", "select 2", 2, "", False),
    ]
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))}, FakeWarehouseReader(expectation_rows=rows))
    result = run(source, runner, instance)
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["a"].passed and not checks["b"].passed
    assert checks["b"].severity == dg.AssetCheckSeverity.WARN
    assert "c" not in checks
    assert checks["rejected_rows"].passed


def test_the_audit_turns_a_success_into_a_failure(sales, instance):
    from starlake_dagster_assets.commands.model import AuditRow

    rows = [AuditRow("", "orders.csv", "sales", "orders", False, 0, 0, 0, 5, "second step failed", "TRANSFORM")]
    runner = FakeRunner({"load": Script(BOTH)}, FakeWarehouseReader(audit_rows=rows))
    result = run(sales, runner, instance)
    assert not result.success
    assert "second step failed" in failure(result).step_failure_data.user_failure_data.metadata["sales.orders"].value


def test_schema_drift_and_row_counts_come_from_the_warehouse(make, instance):
    from starlake_dagster_assets.project.model.project import Attribute

    source = make.source(
        [make.table("orders", attributes=(Attribute(name="id"), Attribute(name="gone")), connection="")]
    )
    reader = FakeWarehouseReader(
        tables={("sales", "orders"): [("id", "VARCHAR"), ("added", "DATE")]}, counts={("sales", "orders"): 42}
    )
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))}, reader)
    result = run(source, runner, instance)
    assert result.success
    drift = next(check for check in result.get_asset_check_evaluations() if check.check_name == "schema_drift")
    assert not drift.passed and drift.severity == dg.AssetCheckSeverity.WARN
    assert drift.metadata["starlake/missing_columns"].value == ["gone"]
    assert drift.metadata["starlake/extra_columns"].value == ["added"]
    (made,) = result.asset_materializations_for_node("starlake_project")
    assert made.metadata["dagster/row_count"].value == 42
    assert [column.name for column in made.metadata["dagster/column_schema"].value.columns] == ["id", "added"]


def test_the_types_of_thousands_of_columns_are_compared_once_each(make, instance, monkeypatch):
    from sqlglot import exp

    from starlake_dagster_assets.project.model.project import Attribute, TypeDef

    built: list[str] = []
    build = exp.DataType.build
    monkeypatch.setattr(exp.DataType, "build", lambda text, **more: built.append(text) or build(text, **more))
    names = [f"c{number}" for number in range(20)]
    table = make.table("orders", attributes=tuple(Attribute(name=name, type="ratio") for name in names))
    source = make.source([table])
    ratio = TypeDef(name="ratio", pattern=".*", primitive_type="double", ddl_mapping={"duckdb": "FLOAT8"})
    source.model = source.model.model_copy(update={"types": {"ratio": ratio}})
    columns = [(name, "DOUBLE PRECISION") for name in names]
    runner = FakeRunner(
        {"load": Script(loaded_lines("sales", "orders"))}, FakeWarehouseReader(tables={("sales", "orders"): columns})
    )
    result = run(source, runner, instance)
    (drift,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "schema_drift"]
    assert drift.passed
    assert sorted(built) == ["DOUBLE PRECISION", "FLOAT8"]


def test_results_stream_while_the_command_still_runs(sales, instance):
    """A process that dies in the middle has already given the table that was done."""
    script = Script(loaded_lines("sales", "customers"), error=dg.DagsterExecutionInterruptedError())
    runner = FakeRunner({"load": script})
    assets = build_starlake_assets(sales, metadata=StarlakeMetadata(row_counts=False, columns=False))
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        dg.materialize(assets, resources={"starlake": fake_starlake(runner)}, instance=instance)
    assert runner.handles[-1].cancelled
    assert instance.get_latest_materialization_event(key("sales.customers")) is not None


def test_the_decorator_runs_a_function_of_the_user(sales, instance):
    @starlake_assets(project=sales, select="domain:sales", name="mine")
    def body(context: dg.AssetExecutionContext, starlake: StarlakeResource):
        context.log.info("mine")
        yield from starlake.run(context, options={"country": "FR"}).fetch_row_counts()

    assert body.op.name == "mine"
    assert body.keys == {key("sales.orders"), key("sales.customers")}
    runner = FakeRunner({"load": Script(BOTH)})
    result = dg.materialize([body], resources={"starlake": fake_starlake(runner)}, instance=instance)
    assert materialized(result) == ["sales.customers", "sales.orders"]


def test_partitions_give_the_window_and_the_scheduled_date(make, instance):
    source = make.source(tasks=[make.task("daily")])

    @starlake_assets(project=source, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
    def body(context: dg.AssetExecutionContext, starlake: StarlakeResource):
        yield from starlake.run(context)

    runner = FakeRunner()
    dg.materialize([body], resources={"starlake": fake_starlake(runner)}, instance=instance, partition_key="2024-03-01")
    args = dict(zip(runner.commands[0].args[::2], runner.commands[0].args[1::2], strict=True))
    assert args["--scheduledDate"] == "2024-03-02T00:00:00+0000"
    options = dict(pair.split("=") for pair in args["--options"].split(","))
    assert options == {
        "sl_start_date": "2024-03-01T00:00:00",
        "sl_end_date": "2024-03-02T00:00:00",
        "sl_data_interval_start": "2024-03-01T00:00:00",
        "sl_data_interval_end": "2024-03-02T00:00:00",
        "sl_partition_key": "2024-03-01",
        "partition_key": "2024-03-01",
    }


@pytest.mark.parametrize("steps", ["project", "group", "task"])
def test_definitions_hold_assets_externals_checks_and_the_resource(sales, instance, steps):
    @dg.asset(deps=[key("kpi.summary")])
    def report():
        return None

    runner = FakeRunner({"load": Script(BOTH)})
    defs = build_definitions(sales, starlake=fake_starlake(runner), steps=steps, extra_assets=[report])
    job = global_job(defs)
    result = job.execute_in_process(instance=instance)
    assert result.success
    assert len(materialized(result)) == 6
    graph = defs.get_repository_def().asset_graph
    assert graph.external_asset_keys == {key("incoming.sales.orders"), key("incoming.sales.customers")}
    assert len(graph.asset_check_keys) == 4


@dg.multi_asset(specs=[dg.AssetSpec("good", skippable=True), dg.AssetSpec("bad", skippable=True)], can_subset=True)
def two_tables():
    yield dg.MaterializeResult(asset_key="good")
    raise dg.Failure("bad")


@dg.asset(deps=["good"])
def reads_good() -> None: ...


@dg.asset(deps=["bad"])
def reads_bad() -> None: ...


def flagged_job() -> dg.JobDefinition:
    assets = [two_tables, reads_good, reads_bad]
    job = dg.define_asset_job("everything")
    defs = dg.Definitions(assets=assets, jobs=[job], executor=in_process_executor())
    return getattr(defs, "resolve_job_def", defs.get_job_def)("everything")


def test_a_failure_in_one_step_lets_the_others_go_on_where_dagster_can():
    with dg.DagsterInstance.local_temp() as instance:
        result = dg.execute_job(dg.reconstructable(flagged_job), instance=instance)
    assert not result.success
    made = {e.asset_key.to_user_string() for e in result.get_asset_materialization_events()}
    assert made == ({"good", "reads_good"} if continues_after_failed_steps() else {"good"})


def test_the_embedded_engine_runs_in_one_process_by_default(sales):
    defs = build_definitions(sales)
    assert defs.executor.name.startswith("in_process")
    assert build_definitions(sales, starlake=fake_starlake()).executor is None


def test_names_that_dagster_refuses(make, instance):
    source = make.source(
        [make.table("été$2", domain="naïve"), make.table("a-b", domain="naïve")],
        [make.task("vue", ["naïve.été$2"], domain="K.P.I")],
    )
    runner = FakeRunner({"load": Script(loaded_lines("naïve", "été$2"))})
    result = run(source, runner, instance)
    assert result.success, result.all_events[-2]
    assert materialized(result)[0] == "naive.ete_2"
    assert "été$2" in runner.commands[0].args[-1]


def test_run_outside_a_step_says_what_to_do(sales):
    with pytest.raises(Exception, match="@starlake_assets"):
        fake_starlake().run(None)


@pytest.mark.parametrize("steps", ["project", "group", "task"])
def test_an_asset_of_ones_own_between_two_of_the_project(make, instance, steps):
    source = make.source(
        [make.table("orders")],
        [make.task("a", ["sales.orders"]), make.task("z", ["ml.scores", "kpi.a"]), make.task("b", ["kpi.a"])],
    )

    @dg.asset(key=["ml", "scores"], deps=[key("kpi.a")])
    def scores():
        return None

    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))})
    defs = build_definitions(source, starlake=fake_starlake(runner), extra_assets=[scores], steps=steps)
    result = global_job(defs).execute_in_process(instance=instance)
    order = materialized(result)
    assert sorted(order) == ["kpi.a", "kpi.b", "kpi.z", "ml.scores", "sales.orders"]
    assert order.index("kpi.a") < order.index("ml.scores") < order.index("kpi.z")


def test_an_asset_of_ones_own_before_the_project_costs_no_step(make):
    source = make.source([make.table("orders")], [make.task("z", ["ml.scores", "sales.orders"])])

    @dg.asset(key=["ml", "scores"])
    def scores():
        return None

    assert len(build_starlake_assets(source, extra_assets=[scores])) == 1


def test_tables_are_told_early_and_their_checks_follow(make, instance):
    source = make.source([make.table("orders", expectations=(make.expectation(expect="few()"),))])
    row = ExpectationRow("", "sales", "orders", "few", "few()", "select 2", 2, "", False)
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))}, FakeWarehouseReader(expectation_rows=[row]))
    result = run(source, runner, instance, build={"metadata": StarlakeMetadata(row_counts=False, columns=False)})
    assert result.success
    kinds = [e.event_type_value for e in result.all_events]
    made = kinds.index("ASSET_MATERIALIZATION")
    checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations()}
    assert checks["rejected_rows"] and not checks["few"]
    assert "ASSET_CHECK_EVALUATION" in kinds[made:]


def test_what_was_told_early_and_is_contradicted_fails_in_the_end(sales, instance):
    from starlake_dagster_assets.commands.model import AuditRow

    rows = [AuditRow("", "orders.csv", "sales", "orders", False, 0, 0, 0, 5, "second step failed", "TRANSFORM")]
    runner = FakeRunner({"load": Script(BOTH)}, FakeWarehouseReader(audit_rows=rows))
    result = run(sales, runner, instance, build={"metadata": StarlakeMetadata(row_counts=False, columns=False)})
    assert not result.success
    assert "kpi.revenue" not in materialized(result) and "kpi.people" in materialized(result)


def test_two_projects_live_side_by_side(make):
    from pathlib import Path

    one, two = make.source([make.table("orders")]), make.source([make.table("bills", domain="office")])
    two.root = Path("/elsewhere/bureau.é")
    fake = fake_starlake()
    with suppress_dagster_warnings():
        both = dg.Definitions.merge(build_definitions(one, starlake=fake), build_definitions(two, starlake=fake))
    names = {asset.op.name for asset in both.assets if isinstance(asset, dg.AssetsDefinition)}
    assert names == {"starlake_project", "starlake_bureau_e"}
    assert both.get_repository_def()
