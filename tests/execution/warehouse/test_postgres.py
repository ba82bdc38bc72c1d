"""The SQL reader on a real PostgreSQL server."""

from __future__ import annotations

from contextlib import contextmanager

import dagster as dg
import pytest

from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.errors import WarehouseError
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess, warehouse_reader
from starlake_dagster_assets.project.model.project import Expectation
from tests.execution.warehouse.bench import AUDIT, WarehouseBench

TABLES = """
CREATE SCHEMA sales;
CREATE TABLE sales.a (id BIGINT, v VARCHAR(10), day DATE, at TIMESTAMP, zoned TIMESTAMPTZ,
  price NUMERIC(10, 2), doc JSONB);
INSERT INTO sales.a VALUES
  (1, 'x', '2025-03-01', '2025-03-01 10:14:59', '2025-03-01 23:50:00-01', 1.5, '{"a": 1}'),
  (2, 'y:x', '2025-03-01', '2025-03-01 10:15:00', '2025-03-02 01:00:00+00', 2.5, NULL),
  (2, NULL, NULL, NULL, NULL, NULL, NULL), (9, '%:x', 'infinity', 'infinity', 'infinity', 1, NULL);
CREATE VIEW sales.v AS SELECT id FROM sales.a WHERE id > 1;
CREATE TABLE sales."Mixed" (id INT, "Of Mine" TEXT);
INSERT INTO sales."Mixed" VALUES (1, 'q"uoted');
"""


def reader(bench: WarehouseBench):
    found = warehouse_reader(bench.project().model)
    assert found is not None and found.supports_concurrent_reads
    return found


def test_the_rows_of_a_job_and_no_others(bench: WarehouseBench):
    found = reader(bench)
    assert found.audit("j1") is None, "no audit table: whether anything was done is unknown"
    assert (found.expectations("j1"), found.last_load("sales", "a")) == (None, None)
    bench.execute(AUDIT)
    bench.execute(
        "INSERT INTO audit.audit VALUES "
        "('j1', 'a.csv', 'sales', 'a', true, 3, 2, 1, '2025-01-01 00:00:01', 40, NULL, 'LOAD'), "
        "('j2', '', 'sales', 'a', false, -1, -1, -1, '2025-01-01 00:00:02', 40, 'boom', 'LOAD'), "
        "('j3', '', 'sales', 'a', true, -1, -1, -1, '2025-01-01 00:00:03', 40, '', 'TRANSFORM');"
        "INSERT INTO audit.rejected VALUES"
        " ('j1', now(), 'sales', 'a', 'why 1', ''), ('j1', now(), 'sales', 'b', 'no', '');"
        "INSERT INTO audit.expectations VALUES"
        " ('j1', '', 'sales', 'a', '2025-01-01 00:00:01', 'n', 'p', 's', 0, NULL, true),"
        " ('j1', '', 'sales', 'a', '2025-01-01 00:00:00', 'n', 'p', 's', 4, '', false),"
        " ('j1', '', 'sales', 'b', '2025-01-01 00:00:01', 'n', 'p', 's', 4, '', false),"
        " ('j1', '', 'sales', 'b', '2025-01-01 00:00:01', 'n', 'p', 's', 0, '', true)"
    )
    assert found.audit("j1") == [AuditRow("j1", "a.csv", "sales", "a", True, 3, 2, 1, 40, "", "LOAD")]
    assert found.audit("j1' OR '1'='1") == []
    assert [(row.schema, row.count) for row in found.expectations("j1")] == [("a", 4), ("a", 0), ("b", 0), ("b", 4)]
    assert found.rejected("j1", "sales", "a", 5) == ["why 1"]
    assert [row.job_id for row in found.last_load("sales", "a")] == ["j2"]
    assert found.last_load("sales", "none") == []


def test_tables_views_and_what_is_not_there(bench: WarehouseBench):
    found = reader(bench)
    assert (found.columns("sales", "a"), found.row_count("sales", "a"), found.rows("sales", "a", 1)) == ([], None, [])
    bench.execute(TABLES)
    assert dict(found.columns("SALES", "A")) == {
        "id": "BIGINT",
        "v": "VARCHAR(10)",
        "day": "DATE",
        "at": "TIMESTAMP WITHOUT TIME ZONE",
        "zoned": "TIMESTAMP WITH TIME ZONE",
        "price": "NUMERIC(10, 2)",
        "doc": "JSONB",
    }
    assert (found.row_count("sales", "a"), found.row_count("sales", "v")) == (4, 3)
    assert found.columns("sales", "mixed") == [("id", "INTEGER"), ("Of Mine", "TEXT")]
    assert found.rows("sales", "mixed", 5) == [["1", 'q"uoted']]
    assert (found.columns("sales", "none"), found.columns("nowhere", "a")) == ([], [])
    bench.execute("DROP TABLE sales.a CASCADE")
    assert (found.columns("sales", "a"), found.row_count("sales", "a")) == ([], None)


def test_rows_by_partition(bench: WarehouseBench):
    bench.execute(TABLES)
    found = reader(bench)
    assert found.partition_counts("sales", "a", "DAY") == {"2025-03-01": 2, None: 1, "infinity": 1}
    at = {"2025-03-01T10:00:00": 1, "2025-03-01T10:15:00": 1, None: 1, "infinity": 1}
    assert found.partition_counts("sales", "a", "at") == at
    zoned = {"2025-03-02T00:45:00+00:00": 1, "2025-03-02T01:00:00+00:00": 1, None: 1, "infinity": 1}
    assert found.partition_counts("sales", "a", "zoned") == zoned
    assert found.partition_counts("sales", "a", "id") == {"1": 1, "2": 2, "9": 1}
    assert found.partition_counts("sales", "a", "none") is None
    assert found.partition_counts("sales", "none", "id") == {}


def test_expectations_are_evaluated_now(bench: WarehouseBench):
    found = reader(bench)
    items = [Expectation(expect=text) for text in ("few(1)", "like()", "broken()", "few(9)", "nomacro()")]
    assert found.evaluate("sales", "a", items) is None
    bench.execute(TABLES)
    rows = found.evaluate("sales", "a", items)
    assert [(row.count, row.success) for row in rows] == [(3, False), (2, False), (0, False), (0, True), (0, False)]
    assert "nowhere" in rows[2].exception and "cannot render expectation" in rows[4].exception
    assert rows[0].sql == "select count(*) from sales.a where id > 1"
    (mixed,) = found.evaluate("sales", "mixed", [Expectation(expect="few(0)")])
    assert (mixed.count, mixed.sql) == (1, 'select count(*) from sales."Mixed" where id > 0')


def test_rows_behind_an_expectation(bench: WarehouseBench):
    bench.execute(TABLES)
    found = reader(bench)
    sample = found.failing("sales", "a", "select count(*) from sales.a where v like '%:x%'", 1)
    assert (sample.count, len(sample.rows), sample.columns[:2]) == (2, 1, ["id", "v"])
    sample = found.failing("sales", "a", "select count(*) - count(distinct id) from sales.v", 5)
    assert (sample.count, sample.columns, sample.rows) == (1, ["id"], [["2"], ["2"]])
    assert found.failing("sales", "a", "select 1", 5) is None


def test_nothing_is_ever_written(bench: WarehouseBench):
    bench.execute(TABLES)
    found = reader(bench)
    bench.write("metadata/expectations/e.j2", "{% macro evil() %}delete from sl_this returning 0{% endmacro %}")
    found = warehouse_reader(bench.source().model)
    (row,) = found.evaluate("sales", "a", [Expectation(expect="evil()")])
    assert "read-only" in row.exception
    assert bench.execute("select count(*) from sales.a") == [(4,)]


def test_a_server_that_does_not_let_us_in(bench: WarehouseBench):
    found = warehouse_reader(bench.project(password="wrong-and-secret").model)
    for _ in range(2):  # the second time the server is not asked
        with pytest.raises(WarehouseError, match=r"connection 'pg': .*password authentication failed") as caught:
            found.row_count("sales", "a")
        assert "wrong-and-secret" not in str(caught.value)
    given = WarehouseAccess(urls={"pg": bench.server.url(bench.database)})
    assert warehouse_reader(bench.source().model, given).row_count("sales", "a") is None


def test_redshift_reads_what_both_have(bench: WarehouseBench):
    bench.execute(AUDIT + ";" + TABLES)
    source = bench.project(url=bench.server.jdbc(bench.database).replace("postgresql", "redshift"))
    found = warehouse_reader(source.model)
    assert found.audit("none") == [] and found.expectations("none") == []
    assert found.columns("sales", "a")[:3] == [("id", "BIGINT"), ("v", "CHARACTER VARYING"), ("day", "DATE")]
    assert (found.row_count("sales", "v"), found.row_count("sales", "none")) == (3, None)
    assert found.rows("sales", "mixed", 1) == [["1", 'q"uoted']]
    (row,) = found.evaluate("sales", "a", [Expectation(expect="few(1)")])
    assert row.count == 3
    assert found.partition_counts("sales", "a", "id") == {"1": 1, "2": 2, "9": 1}


def test_connections_of_a_resource_are_used(bench: WarehouseBench):
    import psycopg

    class Resource:
        @contextmanager
        def get_connection(self):
            url = bench.server.url(bench.database).replace("+psycopg", "")
            with psycopg.connect(url) as con:
                yield con

    source = bench.project(url="jdbc:postgresql://elsewhere/x", password="unknown")
    bench.execute(TABLES)
    found = warehouse_reader(source.model, WarehouseAccess(resource=Resource()))
    assert (found.row_count("sales", "a"), found.row_count("sales", "v")) == (4, 3)


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run")  # Dagster itself, for nested resources
def test_a_resource_without_connections_is_named(bench: WarehouseBench):
    class Other(dg.ConfigurableResource):
        """Something else."""

    bench.project()
    result = bench.materialize(bench.resource(warehouse=Other()))
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "`warehouse` is a Other; expected a resource with" in str(failure.event_specific_data)
