"""Runs of every environment with a real PostgreSQL as warehouse and audit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeMetadata, build_definitions
from starlake_dagster_assets.resources import (
    DataprocServerless,
    StarlakeCloudRun,
    StarlakeDataproc,
    StarlakeFargate,
    StarlakeKubernetes,
)
from tests.execution.warehouse.bench import WarehouseBench
from tests.fakes.aws import FakeAws
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.dataproc import FakeDataproc
from tests.fakes.kubernetes import FakeKubernetes

ALL = StarlakeMetadata(row_counts=True, columns=True, preview=5, samples=5)
FEW = "select count(*) from sales.a where id > 2"
FAST = {"poll_interval": 0.02}
DATAPROC = ["dataproc_client", "dataproc_cluster", "dataproc_batches"]


@contextmanager
def environment(name: str, bench: WarehouseBench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The resource of an environment, whose service is a local one that runs the scripted program."""
    argv, environ = [str(bench.scripted.path)], {**bench.scripted.environ, "SL_LOG_LEVEL": "info"}
    common = {"root": str(bench.root), **FAST}
    with ExitStack() as stack:
        if name == "fargate":
            for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                monkeypatch.setenv(variable, "testing")
            server: Any = stack.enter_context(FakeAws(argv, environ))
            fields = {"task_definition": "starlake", "container": "starlake", "subnets": ["subnet-1"]}
            yield StarlakeFargate(endpoint_url=server.url, **fields, **common)
        elif name == "cloud_run":
            server = stack.enter_context(FakeCloudRun(argv, environ))
            endpoints = {"endpoint": server.endpoint, "logging_endpoint": server.endpoint}
            yield StarlakeCloudRun(project="p", job="starlake", local=True, **endpoints, **common)
        elif name == "kubernetes":
            for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NO_PROXY", "no_proxy"):
                monkeypatch.delenv(variable, raising=False)
            server = stack.enter_context(FakeKubernetes(argv, environ))
            yield StarlakeKubernetes(image="starlake", kubeconfig_file=server.kubeconfig(bench.root), **common)
        elif name.startswith("dataproc"):
            server = stack.enter_context(FakeDataproc(argv, environ))
            modes = {
                "dataproc_client": {"deploy_mode": "client"},
                "dataproc_cluster": {"deploy_mode": "cluster", "log_settle": 0.2},  # no log ever comes
                "dataproc_batches": {"serverless": DataprocServerless()},
            }
            endpoints = {"endpoint": server.endpoint, "storage_endpoint": server.gcs.url, "local": True}
            yield StarlakeDataproc(project="p", jars="gs://b/s.jar", bucket="b", **modes[name], **endpoints, **common)
        else:
            yield bench.resource(launcher=name)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata by asset, of materializations and observations."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.all_events:
        data = event.event_specific_data
        seen = getattr(data, "materialization", None) or getattr(data, "asset_observation", None)
        if seen is not None:
            found.setdefault(seen.asset_key.to_user_string(), {}).update(seen.metadata)
    return found


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


@pytest.mark.parametrize("name", ["process", "console", "fargate", "cloud_run", "kubernetes", *DATAPROC])
def test_what_is_shown_is_what_the_warehouse_holds(name: str, bench: WarehouseBench, monkeypatch: pytest.MonkeyPatch):
    bench.project(
        {"a": "id,v\n1,x\n2,y\n3,z\n", "b": "id,v\n1,x\nno,y\n"},
        tasks={"t": "select id from sales.a"},
        expectations="[{expect: 'few(2)', failOnError: false}]",
    )
    found = {"few(2)": FEW}
    bench.scripted.tables({"sales.a": {"do": "load", "move": True, "expectations": found}})
    bench.scripted.tasks({"kpi.t": {"do": "ok", "sql": "select id from sales.a"}})
    with environment(name, bench, monkeypatch) as resource:
        result = bench.materialize(resource, metadata=ALL)
    assert result.success and materialized(result) == {"sales/a", "sales/b", "kpi/t"}
    shown = metadata(result)
    assert {key: value["dagster/row_count"].value for key, value in shown.items()} == {
        "sales/a": 3,
        "sales/b": 1,
        "kpi/t": 3,
    }
    columns = shown["sales/a"]["dagster/column_schema"].schema.columns
    assert [(column.name, column.type) for column in columns] == [("id", "BIGINT"), ("v", "TEXT")]
    assert "| 2 | y |" in shown["sales/a"]["starlake/preview"].value
    checks = {
        (check.asset_key.to_user_string(), check.check_name): check for check in result.get_asset_check_evaluations()
    }
    few = checks["sales/a", "few_2"]
    assert (few.passed, few.metadata["starlake/rows_failed"].value) == (False, 1)
    assert "| 3 | z |" in few.metadata["starlake/failing_rows"].value
    assert checks["sales/b", "few_2"].passed, "the engine left no row of it: it is evaluated now"
    assert checks["sales/a", "schema_drift"].passed
    assert checks["sales/b", "rejected_rows"].metadata["starlake/rows_rejected"].value == 1
    if name != "dataproc_client":  # its driver gets no SL_JOB_ID
        assert "expected a number" in checks["sales/b", "rejected_rows"].metadata["starlake/rejected_sample"].value


@pytest.mark.filterwarnings("ignore:Static method `Definitions.merge` is experimental")  # in Dagster 1.9
def test_checks_alone(bench: WarehouseBench):
    bench.project({"a": "id,v\n1,x\nno,y\n"}, expectations="[{expect: 'few(0)'}]")
    assert bench.materialize().success
    bench.execute("alter table sales.a add column more int")
    defs = build_definitions(bench.source(), starlake=bench.resource())
    graph = defs.resolve_asset_graph() if hasattr(defs, "resolve_asset_graph") else defs.get_asset_graph()
    keys = list(graph.asset_check_keys)
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks(*keys))
    with_job = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    resolve = getattr(with_job, "resolve_job_def", with_job.get_job_def)
    result = resolve("checks").execute_in_process(instance=bench.instance, raise_on_error=False)
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not any(found[name].passed for name in ("few_0", "rejected_rows", "schema_drift"))
    assert "not in the project: more" in found["schema_drift"].description


def test_a_failed_blocking_expectation_of_the_audit_fails_its_task(bench: WarehouseBench):
    bench.project({}, tasks={"t": "select 1 as id", "u": "select * from kpi.t"})
    text = "version: 1\ntask:\n  expectations:\n    - {expect: 'few(0)', failOnError: true}\n"
    bench.write("metadata/transform/kpi/t.sl.yml", text)
    expectations = {"few(0)": "select count(*) from kpi.t where id > 0"}
    bench.scripted.tasks({"kpi.t": {"do": "ok", "sql": "select 1 as id", "expectations": expectations}})
    result = bench.materialize()
    assert not result.success and materialized(result) == set()
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_the_audit_in_another_database_than_the_tables(bench: WarehouseBench):
    other = bench.another_database()
    login = f'user: starlake, password: "{bench.server.password}"'
    more = f'    other: {{type: jdbc, options: {{url: "{bench.server.jdbc(other)}", {login}}}}}\n'
    bench.project(audit="other", more=more)
    bench.execute("create schema sales; create table sales.a (id bigint, v text); insert into sales.a values (1, 'x')")
    bench.scripted.tell(warehouse=bench.server.client(other))  # the audit goes there; so do the stand-in's rows
    result = bench.materialize(metadata=ALL)
    assert result.success
    shown = metadata(result)["sales/a"]
    assert (shown["dagster/row_count"].value, shown["starlake/rows_accepted"].value) == (1, 2)


def test_no_password_is_shown(bench: WarehouseBench):
    bench.project(password="a-wrong-password")
    result = bench.materialize(metadata=ALL)
    text = "\n".join(f"{event!r} {event.user_message}" for event in bench.instance.all_logs(result.run_id))
    assert "password authentication failed" in text and "a-wrong-password" not in text
    said = [event.user_message for event in bench.instance.all_logs(result.run_id)]
    assert sum("the warehouse cannot be read" in message for message in said) == 2, "by the command, by the metadata"


def test_a_warehouse_without_its_driver_names_the_extra(bench: WarehouseBench, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    bench.project()
    result = bench.materialize(metadata=ALL)
    text = "\n".join(event.user_message for event in bench.instance.all_logs(result.run_id))
    assert "pip install 'starlake-dagster-assets[postgres]'" in text


def test_a_url_of_the_resource_takes_precedence_and_is_not_shown(
    bench: WarehouseBench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WAREHOUSE_URL", bench.server.url(bench.database))
    bench.project(password="{{PG_PASSWORD}}", url="jdbc:postgresql://db-of-the-cluster/x")
    resource = bench.resource(warehouse_urls={"pg": dg.EnvVar("WAREHOUSE_URL")})
    result = bench.materialize(resource, metadata=ALL)
    assert metadata(result)["sales/a"]["dagster/row_count"].value == 2
    text = "\n".join(f"{event!r} {event.user_message}" for event in bench.instance.all_logs(result.run_id))
    assert bench.server.password not in text
    assert bench.server.password not in repr(bench.resource(warehouse_urls={"pg": bench.server.url("x")}))
    wrong = bench.materialize(bench.resource(warehouse_urls={"pgg": "postgresql://x"}))
    (failure,) = [event for event in wrong.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "did you mean `pg`" in str(failure.event_specific_data)
