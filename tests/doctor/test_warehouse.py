"""`starlake-dagster doctor --environment`: what it finds of a warehouse, on a real PostgreSQL server."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.doctor.warehouse import examine_warehouse
from starlake_dagster_assets.resources import StarlakeDataproc, StarlakeFargate
from tests.execution.warehouse.bench import AUDIT, WarehouseBench
from tests.execution.warehouse.conftest import bench, postgres_server  # noqa: F401 - fixtures


def found(resource, source) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in examine_warehouse(resource, source)]


@pytest.fixture
def fargate():
    return StarlakeFargate(task_definition="starlake", container="starlake", subnets=["subnet-1"])


def test_before_and_after_the_first_run(bench: WarehouseBench, fargate):  # noqa: F811
    source = bench.project(expectations="[{expect: 'few(2)'}]")
    (audit, expectations, table) = found(fargate, source)
    assert (audit[0], expectations[0], table) == (
        "warning",
        "warning",
        ("ok", "connection 'pg': readable; sales.a does not exist yet"),
    )
    assert "audit.audit does not exist yet" in audit[1]
    bench.execute(
        f"{AUDIT}; CREATE SCHEMA sales; CREATE TABLE sales.a (id INT, v TEXT); INSERT INTO sales.a VALUES (1)"
    )
    assert found(fargate, source) == [
        ("ok", "audit.audit is readable (SqlReader)"),
        ("ok", "audit.expectations is readable"),
        ("ok", "connection 'pg': sales.a has 2 columns, 1 row"),
    ]
    client = StarlakeDataproc(project="p", jars=["gs://b/s.jar"])
    (audit, *_) = found(client, source)
    assert audit[0] == "warning" and "no SL_JOB_ID" in audit[1]


def test_what_cannot_be_read_is_named_without_its_secret(bench: WarehouseBench, fargate):  # noqa: F811
    source = bench.project(password="wrong-and-secret")
    findings = list(examine_warehouse(fargate, source))
    assert {one.level for one in findings} == {"error"} and all(one.advice for one in findings)
    text = "\n".join(one.text for one in findings)
    assert "password authentication failed" in text and "wrong-and-secret" not in text


def test_an_audit_elsewhere_and_an_inactive_one(bench: WarehouseBench, fargate):  # noqa: F811
    more = '    other: {type: jdbc, options: {url: "jdbc:h2:mem:x"}}\n'
    (audit, table) = found(fargate, bench.project(audit="other", more=more))
    assert audit[0] == "warning" and "connection 'other' of the audit" in audit[1]
    assert table[0] == "ok"
    bench.project()
    path = bench.root / "metadata/application.sl.yml"
    path.write_text(path.read_text().replace("audit: {", "audit: {active: false, "))
    assert found(fargate, bench.source())[0] == (
        "warning",
        "`audit.active` is false: commands leave no audit rows",
    )
