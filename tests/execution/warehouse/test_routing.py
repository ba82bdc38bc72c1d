"""One reader for a project whose audit is in another warehouse than its tables, and the deprecated names."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.execution.warehouse.routing import RoutingReader, WithoutJobIds
from starlake_dagster_assets.testing import FakeRunner, FakeWarehouseReader, FakeWitness

ROW = AuditRow("j", "", "sales", "orders", True, 1, 1, 0, 1, "", "LOAD")
COLUMNS = [("id", "INTEGER")]


def test_the_audit_and_a_table_are_read_from_their_own_connections():
    audit = FakeWarehouseReader(audit_rows=[ROW], supports_concurrent_reads=True)
    tables = FakeWarehouseReader(tables={("Sales", "orders"): COLUMNS}, counts={("Sales", "orders"): 3})
    reader = RoutingReader(audit, {("sales", "orders"): tables, ("kpi", "spark"): None}, audit)
    assert reader.audit("j") == [ROW]
    assert (reader.columns("Sales", "orders"), reader.row_count("Sales", "orders")) == (COLUMNS, 3)
    assert (reader.columns("kpi", "spark"), reader.columns("kpi", "other")) == (None, [])
    assert not reader.supports_concurrent_reads, "a DuckDB file among them has to be waited for"


def test_an_audit_that_cannot_be_read_is_unknown_and_not_empty():
    tables = FakeWarehouseReader(audit_rows=[ROW], tables={("sales", "orders"): COLUMNS})
    for reader in (RoutingReader(None, {}, tables), WithoutJobIds(tables)):
        assert (reader.audit("j"), reader.expectations("j")) == (None, None)
        assert reader.columns("sales", "orders") == COLUMNS


def test_deprecated_names():
    with pytest.warns(DeprecationWarning, match="use `FakeWarehouseReader`"):
        former = FakeWitness([ROW], live=True)
    assert (former.audit("j"), former.supports_concurrent_reads) == ([ROW], True)
    with pytest.warns(DeprecationWarning, match=r"`FakeRunner\(witness=…\)` is deprecated.*use `reader`"):
        assert FakeRunner(witness=former).warehouse_reader() is former
    with pytest.raises(TypeError, match="did you mean `reader`"):
        FakeRunner(readr=former)
