"""The real google-cloud-bigquery against a local BigQuery: what the audit says of a command."""

import sys
from contextlib import contextmanager

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, build_starlake_assets
from starlake_dagster_assets.errors import RunnerError, WarehouseError
from starlake_dagster_assets.execution.backends.remote.gcp import gcp_http_client
from starlake_dagster_assets.execution.expectation_checks import RESERVED
from starlake_dagster_assets.execution.warehouse.bigquery import BigQueryReader
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess, warehouse_reader
from starlake_dagster_assets.project.model.project import Expectation
from starlake_dagster_assets.resources import StarlakeCloudRun
from tests.fakes.bigquery import FakeBigQuery
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.script import Scripted

AUDIT = """
CREATE SCHEMA p.audit; CREATE SCHEMA p.sales;
CREATE TABLE p.audit.audit (JOBID VARCHAR, PATHS VARCHAR, DOMAIN VARCHAR, SCHEMA VARCHAR, SUCCESS BOOLEAN, COUNT BIGINT,
  COUNTACCEPTED BIGINT, COUNTREJECTED BIGINT, TIMESTAMP TIMESTAMP, DURATION BIGINT, MESSAGE VARCHAR, STEP VARCHAR);
CREATE TABLE p.audit.expectations (JOBID VARCHAR, DOMAIN VARCHAR, SCHEMA VARCHAR, NAME VARCHAR, PARAMS VARCHAR,
  SQL VARCHAR, COUNT BIGINT, EXCEPTION VARCHAR, SUCCESS BOOLEAN, TIMESTAMP TIMESTAMP);
CREATE TABLE p.sales.orders (id INTEGER, name VARCHAR);
INSERT INTO p.sales.orders VALUES (1, 'a'), (2, 'b');
CREATE VIEW p.sales.recent AS SELECT * FROM p.sales.orders WHERE id > 1;
"""
APPLICATION = """version: 1
application:
  connectionRef: bq
  audit: {sink: {connectionRef: bq}}
  connections:
    bq: {type: BIGQUERY, options: {projectId: p, location: EU}}
"""
TABLE = """version: 1
table:
  name: orders
  pattern: "orders.*"
  attributes: [{name: id, type: int}, {name: name, type: string}]
  expectations: [{expect: "is_unique('id')", failOnError: true}]
"""


@pytest.fixture
def bigquery():
    with FakeBigQuery() as server:
        server.con.execute(AUDIT)
        yield server


@pytest.fixture
def reader(bigquery, tmp_path):
    return warehouse_reader(project(tmp_path / "project").model, WarehouseAccess(bigquery_endpoint=bigquery.url))


def test_the_rows_of_a_job_and_no_others(bigquery, reader):
    bigquery.con.execute(
        "INSERT INTO p.audit.audit VALUES "
        "('j1', 'f.csv', 'sales', 'orders', true, 3, 2, 1, '2025-01-01', 40, NULL, 'LOAD'), "
        "('j2', '', 'sales', 'orders', false, NULL, NULL, NULL, '2025-01-02', NULL, 'boom', 'LOAD')"
    )
    (row,) = reader.audit("j1")
    assert (row.success, row.count, row.accepted, row.rejected, row.message) == (True, 3, 2, 1, "")
    (row,) = reader.audit("j2")
    assert (row.success, row.count, row.message) == (False, 0, "boom")
    assert reader.audit("j1' OR '1'='1") == []
    assert reader.expectations("j1") == []
    assert [row.job_id for row in reader.last_load("sales", "orders")] == ["j2"]
    assert reader.last_load("sales", "none") == []
    bigquery.con.execute("DROP TABLE p.audit.audit")
    assert reader.audit("j1") is None, "no audit table: whether anything was done is unknown"


def test_tables_views_and_what_is_not_there(reader):
    assert reader.columns("sales", "orders") == [("id", "INTEGER"), ("name", "STRING")]
    assert reader.row_count("sales", "orders") == 2
    assert reader.row_count("sales", "recent") == 1
    assert reader.row_count("sales", "none") is None
    assert reader.columns("sales", "none") == []
    assert reader.rejected("j", "sales", "orders", 5) == []  # the table of refused rows was never made


def test_a_name_cannot_leave_its_quotes(bigquery, reader):
    with pytest.raises(RunnerError, match="backtick"):
        reader.evaluate("sales", "orders`; DROP", ())


def test_rows_expectations_and_partitions(bigquery, reader):
    bigquery.con.execute(
        "CREATE TABLE p.sales.days (id INTEGER, day DATE, moment TIMESTAMP);"
        "INSERT INTO p.sales.days VALUES (1, '2025-03-01', '2025-03-01 10:14:59'), (2, '2025-03-01', NULL);"
        "INSERT INTO p.sales.days VALUES (2, NULL, NULL)"
    )
    assert reader.rows("sales", "orders", 1) == [["1", "a"]]
    assert reader.rows("sales", "recent", 5) == [["2", "b"]]
    assert reader.rows("sales", "none", 5) == []
    assert reader.partition_counts("sales", "days", "DAY") == {"2025-03-01": 2, None: 1}
    assert reader.partition_counts("sales", "days", "moment") == {"2025-03-01T10:00:00": 1, None: 2}
    assert (reader.partition_counts("sales", "days", "x"), reader.partition_counts("sales", "none", "x")) == (None, {})
    expectations = [Expectation(expect="is_unique('id')"), Expectation(expect="broken()")]
    held, broken = reader.evaluate("sales", "days", expectations)
    assert (held.count, held.success, held.sql) == (0, True, "SELECT 0 FROM `p`.`sales`.`days` limit 1")
    assert "nowhere" in broken.exception and not broken.success
    assert reader.evaluate("sales", "none", expectations) is None
    sample = reader.failing("sales", "days", "select count(*) - count(distinct id) from p.sales.days", 5)
    assert (sample.count, sample.columns, len(sample.rows)) == (1, ["id", "day", "moment"], 2)


def test_a_client_that_is_not_installed_names_the_extra(reader, monkeypatch):
    import google.cloud

    monkeypatch.delattr(google.cloud, "bigquery", raising=False)
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    with pytest.raises(WarehouseError, match=r"pip install 'starlake-dagster-assets\[bigquery\]'"):
        reader.row_count("sales", "orders")


def test_the_client_of_a_resource_is_used(bigquery, tmp_path):
    class BigQueryResource:
        project = "p"

        @contextmanager
        def get_client(self):
            yield gcp_http_client(bigquery_client(), project="p", endpoint=bigquery.url, impersonate=None)

    found = warehouse_reader(project(tmp_path).model, WarehouseAccess(resource=BigQueryResource()))
    assert found.row_count("sales", "orders") == 2


def bigquery_client():
    from google.cloud import bigquery

    return bigquery.Client


def project(root) -> StarlakeProject:
    for name, text in {
        "application.sl.yml": APPLICATION,
        "load/sales/_config.sl.yml": "version: 1\nload: {name: sales}\n",
        "load/sales/orders.sl.yml": TABLE,
        "expectations/e.j2": "{% macro is_unique(c) %}SELECT 0 FROM sl_this limit 1{% endmacro %}"
        "{% macro broken() %}SELECT nowhere FROM sl_this{% endmacro %}",
    }.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StarlakeProject(root)


def test_only_a_project_that_audits_into_bigquery_has_one(tmp_path):
    source = project(tmp_path)
    found = warehouse_reader(source.model, WarehouseAccess(gcp_project="other"))
    assert isinstance(found, BigQueryReader)
    assert found.gcp_project == "p"
    (tmp_path / "metadata" / "application.sl.yml").write_text("version: 1\napplication: {}\n")
    assert warehouse_reader(StarlakeProject(tmp_path).model, WarehouseAccess(gcp_project="other")) is None


@pytest.mark.parametrize(("count", "passes"), [(0, True), (4, False)])
def test_expectations_of_a_cloud_run_execution_come_from_bigquery(bigquery, tmp_path, count, passes):
    scripted = Scripted(tmp_path / "scripted").tables({"sales.orders": {"do": "load", "rows": 2}})
    source = project(tmp_path / "project")

    class Audited(FakeCloudRun):
        """The engine's own words in the audit: what it would have written under the job id it was given."""

        def _ended(self, name, code):
            env = {pair.name: pair.value for pair in self.executions[name].template.containers[0].env}
            bigquery.con.cursor().execute(
                "INSERT INTO p.audit.expectations "
                "VALUES (?, 'sales', 'orders', 'is_unique', 'is_unique(''id'')', '', ?, '', ?, '2025-01-01')",
                [env["SL_JOB_ID"], count, passes],
            )
            super()._ended(name, code)

    with Audited([str(scripted.path)], scripted.environ) as server:
        starlake = StarlakeCloudRun(
            project="p",
            job="starlake",
            poll_interval=0.02,
            endpoint=server.endpoint,
            logging_endpoint=server.endpoint,
            bigquery_endpoint=bigquery.url,
            local=True,
        )
        assets = build_starlake_assets(source)
        result = dg.materialize(assets, resources={"starlake": starlake}, raise_on_error=False)
    assert result.success == passes
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    (check,) = [one for name, one in checks.items() if name not in RESERVED]
    assert check.passed == passes
    assert bool(result.get_asset_materialization_events()) == passes
