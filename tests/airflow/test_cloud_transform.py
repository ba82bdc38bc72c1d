"""Transforms in a cloud: their row in the audit decides the result, where Airflow can query it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import sqlglot

from starlake_dagster_assets import export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.airflow.runtime import cloud_transform
from starlake_dagster_assets.airflow.runtime.cloud_transform import end_transform
from starlake_dagster_assets.airflow.runtime.macros import job_id
from tests.airflow.test_expectations import source, tasks_of

MINE, FIRST = ("d.t.run/2", "TRANSFORM", "kpi", "sums"), ("d.t.run/1", "TRANSFORM", "kpi", "sums")


class Context(dict):
    """The context of the second try of a task."""

    def __init__(self, run: str = "run") -> None:
        self.outlet_events: dict[str, Any] = {}
        moment = SimpleNamespace(astimezone=lambda zone: SimpleNamespace(strftime=lambda codes: "now"))
        one = SimpleNamespace(dag_id="d", task_id="t", map_index=-1, try_number=2)
        task = SimpleNamespace(task_id="t", outlets=[], impersonation_chain="robot@mine")
        dag = SimpleNamespace(dag_id="d", timezone="UTC", timetable=None)
        super().__init__(ti=one, task=task, dag=dag, run_id=run, dag_run=SimpleNamespace(run_after=moment, conf={}))


@pytest.fixture
def warehouse(monkeypatch):
    """A warehouse, and the hooks by which Airflow reaches it: what they were made with is in `asked`."""
    with duckdb.connect() as found:
        found.execute("create schema audit")
        columns = "jobid text, step text, domain text, schema text, success boolean, message text"
        found.execute(f"create table audit.audit ({columns})")
        asked: list[Any] = []

        class Hook:
            def __init__(self, **given: Any) -> None:
                asked.append(given)

            def get_records(self, sql: str) -> list[Any]:
                asked.append(sql)
                return found.execute(sql).fetchall()

        operator = SimpleNamespace(get_hook=lambda conn_id: Hook(conn_id=conn_id))
        hooks = SimpleNamespace(BaseSQLOperator=operator, BigQueryHook=Hook)
        monkeypatch.setattr(cloud_transform, "import_module", lambda name: hooks)
        yield found, asked


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([(*MINE, True, "")], None),
        ([(*MINE[:2], "KPI", "SUMS", True, None)], None),
        ([(*FIRST, False, "first"), (*MINE, True, "")], None),
        ([], "unknown: the command ended with exit code 0, and audit.audit has no row of it .JOBID d.t.run/2"),
        ([(*FIRST, True, "")], "unknown"),
        ([(*MINE, False, "no such column \tat some.Class")], "kpi.sums: failed: no such column$"),
        ([(*MINE, True, ""), (*MINE, False, None)], "kpi.sums: failed: see audit.audit .JOBID d.t.run.2"),
        ([(*MINE[:3], "others", True, "")], "unknown"),
        ([(MINE[0], "LOAD", *MINE[2:], True, "")], "unknown"),
        ([("d.t.run/22", *MINE[1:], True, ""), ("e.t.run/2", *MINE[1:], True, "")], "unknown"),
    ],
    ids=[
        *("recorded", "any_case", "retried", "no_row", "earlier_try", "failed_row", "one_of_two", "other_table"),
        *("load_row", "other_runs"),
    ],
)
def test_a_transform_succeeds_by_its_row_in_the_audit_and_not_by_its_exit_code(warehouse, rows, error):
    database, asked = warehouse
    for row in rows:
        database.execute("insert into audit.audit values (?, ?, ?, ?, ?, ?)", row)
    end = end_transform("kpi", "sums", conn_id="mine", table="audit.audit")
    if error is None:
        end(Context(), "result")
    else:
        with pytest.raises(RuntimeError, match=error):
            end(Context(), "result")
    assert asked[0] == {"conn_id": "mine"}
    for dialect in ("bigquery", "databricks", "duckdb", "postgres", "redshift", "snowflake", "spark"):
        assert sqlglot.parse_one(asked[1], dialect=dialect)


def test_bigquery_is_asked_by_its_own_hook_and_the_account_of_the_task(warehouse):
    database, asked = warehouse
    database.execute("insert into audit.audit values (?, ?, ?, ?, ?, ?)", (*MINE, True, ""))
    end_transform("kpi", "sums", gcp_conn_id="google", table="audit.audit")(Context())
    assert asked[0] == {"gcp_conn_id": "google", "use_legacy_sql": False, "impersonation_chain": "robot@mine"}


def test_an_audit_that_cannot_be_read_fails_the_task(warehouse):
    end = end_transform("kpi", "sums", conn_id="mine", table="nowhere.audit")
    with pytest.raises(duckdb.CatalogException):
        end(Context())


def test_ids_of_commands_have_no_character_that_ends_a_literal():
    assert job_id(Context(run="a'; drop table t; --\\")) == "d.t.a; drop table t; --/2"
    assert job_id(Context(), "other") == "d.other.run/"


@pytest.mark.parametrize(
    ("environment", "engine", "connection", "expected"),
    [
        ("cloud_run", "bigquery", None, {"gcp_conn_id": "google_cloud_default", "table": "audit.audit"}),
        ("cloud_run", "snowflake", "mine", {"conn_id": "mine", "table": "audit.audit"}),
        ("fargate", "redshift", "mine", {"conn_id": "mine", "table": "audit.audit"}),
        ("kubernetes", "duckdb", "mine", {"conn_id": "mine", "table": "audit.audit"}),
        ("fargate", "redshift", None, None),
        ("kubernetes", "bigquery", None, None),
        ("dataproc", "bigquery", "mine", None),
        ("shell", "duckdb", "mine", None),
    ],
)
def test_each_transform_in_a_cloud_asks_the_audit_or_says_that_it_cannot(
    tmp_path, environment, engine, connection, expected
):
    options = AirflowOptions(checks=connection)
    report = export_airflow(source(engine=engine), tmp_path, environment=environment, options=options)
    task, text = tasks_of(report)["kpi_sums_task"], "".join(path.read_text() for path in tmp_path.glob("starlake_t*"))
    assert (task.audited is not None) is (expected is not None)
    assert ('post_execute=end_transform("kpi", "sums", **AUDIT)' in text) is (expected is not None)
    if expected is not None:
        dag = next(one for one in report.plan.dags if task in one.tasks)
        assert dag.audit.arguments == expected
        assert '"SL_JOB_ID"' in text
    assert ("post_execute=end_driver," in text) is (environment == "dataproc"), "its driver's output decides"
    only = environment in ("fargate", "kubernetes") and expected is None
    assert ("Result: exit code only." in task.doc) is only
    told = [note for note in report.notes if note.startswith(f"transforms of kpi.sums on {environment}: exit code 0")]
    assert len(told) == only
