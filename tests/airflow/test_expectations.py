"""Expectations as tasks: what holds what back, and the query that asks the audit."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from jinja2 import Environment

from starlake_dagster_assets import export_airflow
from starlake_dagster_assets.airflow.dag_options import Templates
from starlake_dagster_assets.airflow.operators.expectation_tasks import ExpectationCheckRenderer
from starlake_dagster_assets.airflow.plan.model import AirflowOptions, AuditSchema, TaskSpec
from starlake_dagster_assets.airflow.render.source import python_literal
from starlake_dagster_assets.airflow.runtime import macros
from starlake_dagster_assets.project.model.project import Connection, Expectation
from tests.airflow.projects import Source
from tests.graph.conftest import project, table, task

BLOCKS = "expect_unique('id')"
WARNS = 'expect_between("n", 1, 9)'
TABLE = "audit.expectations"


def source(*, engine: str = "duckdb", **changes) -> Source:
    """A table that blocks and warns, and a task that reads it and only warns."""
    items = (Expectation(expect=BLOCKS, fail_on_error=True), Expectation(expect=WARNS, fail_on_error=False))
    load = table("sales", "orders", cron="0 5 * * *", expectations=items)
    made = task("kpi", "sums", "select * from sales.orders", cron="0 5 * * *", expectations=items[1:])
    model = project(load, made)
    known = {"connection_ref": "db", "connections": {"db": Connection(name="db", type=engine)}}
    return Source(model.model_copy(update={"application": model.application.model_copy(update={**known, **changes})}))


def tasks_of(report) -> dict[str, TaskSpec]:
    return {one.id: one for dag in report.plan.dags for one in dag.tasks}


def query(*expectations: str, idle: bool = False) -> str:
    """What a check asks, as Airflow renders it."""
    checks = ExpectationCheckRenderer(AuditSchema("warehouse", "audit"), False, Templates(source()))
    (_, asked), _ = checks.task(TaskSpec("check", "check", checks="load", expectations=expectations, idle=idle))[1][1:]
    names = {"expectations_query": macros.expectations_query, **dict(checks.constants())}
    run = "manual__2025-01-01T00:00:00+00:00"
    context = {"dag": type("Dag", (), {"dag_id": "d"}), "run_id": run, "job_id": macros.job_id}
    return Environment().from_string(eval(python_literal(asked), names)).render(context)


# ------------------------------------------------------------------------------------------------ what holds what


@pytest.mark.parametrize("granularity", ["task", "batch"])
def test_what_blocks_holds_the_asset_and_what_reads_it_and_what_warns_holds_nothing(tmp_path, granularity):
    options = AirflowOptions(checks="warehouse")
    report = export_airflow(source(), tmp_path, options=options, split="schedule", granularity=granularity)
    tasks, load = tasks_of(report), {"task": "load_sales_orders", "batch": "load_sales"}[granularity]
    assert (tasks[load].outlets, tasks[f"check_{load}"].outlets) == ((), ("sales_orders",))
    assert tasks[f"check_{load}"].expectations == (BLOCKS,) and tasks[f"warn_{load}"].expectations == (WARNS,)
    assert tasks["kpi_sums_task"].upstream == (f"check_{load}",)
    assert tasks["kpi_sums_task"].outlets == ("kpi_sums",)
    assert tasks["warn_kpi_sums_task"].upstream == ("kpi_sums_task",)
    assert not any(note.startswith("expectations") for note in report.notes)


def test_an_expectation_is_checked_once_and_an_empty_one_never(tmp_path):
    items = tuple(Expectation(expect=text, fail_on_error=True) for text in (BLOCKS, "", BLOCKS, " "))
    orders = table("sales", "orders", expectations=items)
    empty = table("sales", "items", expectations=items[1:2])
    report = export_airflow(Source(project(orders, empty)), tmp_path, options=AirflowOptions(checks="w"))
    checks = {one.id: one.expectations for one in tasks_of(report).values() if one.kind in ("check", "warn")}
    assert checks == {"check_load_sales_orders": (BLOCKS,)}


def test_a_run_ends_well_where_something_only_warns_and_badly_where_something_is_not_made(tmp_path):
    tasks = tasks_of(export_airflow(source(), tmp_path, options=AirflowOptions(checks="w"), split="schedule"))
    below = {up for one in tasks.values() for up in one.upstream}
    last = {name: one for name, one in tasks.items() if name not in below}
    assert {name: one.trigger_rule for name, one in last.items()} == {
        "end": "none_failed",
        "warnings_noted": "all_done",
    }
    assert set(last["end"].upstream) == {"check_load_sales_orders", "kpi_sums_task"}


@pytest.mark.parametrize(
    ("environment", "engine", "connection", "found"),
    [
        ("shell", "duckdb", None, None),
        ("shell", "duckdb", "mine", "mine"),
        ("shell", "bigquery", None, None),
        ("cloud_run", "bigquery", None, "google_cloud_default"),
        ("cloud_run", "snowflake", None, None),
        ("fargate", "redshift", "mine", "mine"),
        ("dataproc", "bigquery", "mine", None),
    ],
)
def test_checks_are_where_the_audit_can_be_asked(tmp_path, environment, engine, connection, found):
    options = AirflowOptions(checks=connection)
    report = export_airflow(source(engine=engine), tmp_path, environment=environment, options=options)
    assert {dag.audit.connection for dag in report.plan.dags if dag.audit} == ({found} if found else set())
    told = [note for note in report.notes if note.startswith("expectations of")]
    assert bool(told) is (found is None)
    text = "".join(path.read_text() for path in tmp_path.glob("*.py"))
    assert ("BigQueryCheckOperator(" in text) is (found is not None and engine == "bigquery")
    assert ("SQLCheckOperator(" in text) is (found is not None and engine != "bigquery")


def test_an_audit_of_another_name_is_quoted_and_one_that_no_query_can_name_is_not_asked(tmp_path):
    for domain, found in (("my-audit", '"my-audit"'), ('a"b', None)):
        audit = source().model.application.audit.model_copy(update={"domain": domain})
        report = export_airflow(source(audit=audit), tmp_path, options=AirflowOptions(checks="w"))
        assert {dag.audit.name for dag in report.plan.dags if dag.audit} == ({found} if found else set())


@pytest.mark.parametrize(
    ("environment", "granularity", "idle"),
    [("shell", "task", False), ("fargate", "task", True), ("shell", "batch", True)],
)
def test_a_load_that_may_find_no_file_is_not_blamed(tmp_path, environment, granularity, idle):
    source_ = Source(project(*(table("sales", name, expectations=(Expectation(expect=BLOCKS),)) for name in "ab")))
    options = {"environment": environment, "granularity": granularity, "options": AirflowOptions(checks="w")}
    tasks = tasks_of(export_airflow(source_, tmp_path, **options))
    assert {one.idle for one in tasks.values() if one.kind == "warn"} == {idle}


# ------------------------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("dialect", ["bigquery", "databricks", "duckdb", "postgres", "redshift", "snowflake", "spark"])
def test_the_query_is_sql_of_every_warehouse(dialect):
    assert sqlglot.parse_one(query(BLOCKS, WARNS), dialect=dialect).find(sqlglot.exp.Window)


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        ([], None),
        ([(BLOCKS, 1, True)], None),
        ([(BLOCKS, 1, True), (WARNS, 1, True)], True),
        ([(BLOCKS, 1, True), (WARNS, 1, False)], False),
        ([(BLOCKS, 1, False), (BLOCKS, 2, True), (WARNS, 1, True)], True),
        ([(BLOCKS, 1, True), (BLOCKS, 2, False), (WARNS, 1, True)], False),
        ([(BLOCKS.replace("'", '"'), 1, True), (WARNS.replace(" ", ""), 1, True), ("other()", 1, False)], True),
    ],
    ids=["none", "one_missing", "all", "one_not", "newest_good", "newest_bad", "as_the_engine_alters_them"],
)
def test_all_expectations_hold_by_their_newest_result(rows, held):
    with duckdb.connect() as warehouse:
        warehouse.execute("create schema audit")
        columns = "jobid text, domain text, schema text, timestamp timestamp, params text, success bool"
        warehouse.execute(f"create table {TABLE} ({columns})")
        job = "d.load.manual__2025-01-01T00:00:00+00:00/{}"
        for params, hour, success in [*rows, (BLOCKS, 9, False), (WARNS, 9, True)]:
            of = job.format(hour) if (params, hour, success) in rows else "d.load.another_run"
            moment = f"2025-01-01 {hour:02}:00:00"
            warehouse.execute(
                f"insert into {TABLE} values (?, 'sales', 'orders', ?, ?, ?)", [of, moment, params, success]
            )
        assert warehouse.execute(query(BLOCKS, WARNS)).fetchone() == (bool(held),)
        # what may have been idle is not blamed for what it did not leave
        assert warehouse.execute(query(BLOCKS, WARNS, idle=True)).fetchone() == (held is None or held,)
        # the audit has one result for expectations that are the same, or differ only in characters that are altered
        twice = query(BLOCKS, BLOCKS.replace("'", '"'), WARNS)
        assert warehouse.execute(twice).fetchone() == (bool(held),)


def test_expectations_are_texts_whatever_is_in_them():
    nasty = "expect_like('x', '''; drop table t; --', \"{{ 7*7 }}\", `$(id)`, '\\', 'é%s')"
    asked = query(nasty)
    tree = sqlglot.parse_one(asked, dialect="duckdb")
    assert [type(one) for one in sqlglot.parse(asked, dialect="duckdb")] == [sqlglot.exp.Select]
    assert (
        "7*7" in asked
        and tree.find(sqlglot.exp.In).expressions[0].name == "expect_like(x,;droptablet;--,7*7,$(id),,é%s)"
    )
