"""A small project on disk for the tests of this directory, and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

APPLICATION = """version: 1
application:
  connectionRef: duck
  timezone: UTC
  connections:
    duck:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}
"""
LOAD = """version: 1
load:
  name: sales
  metadata: {directory: "{{SL_ROOT}}/incoming/sales", format: DSV, separator: ",", withHeader: true}
"""
TABLE = """version: 1
table:
  name: {name}
  pattern: "{name}.*.csv"
  attributes:
    - {{name: id, type: long}}
    - {{name: day, type: date}}
"""
TASK = "version: 1\ntask: {}\n"

SALES: Mapping[str, str] = {
    "metadata/application.sl.yml": APPLICATION,
    "metadata/load/sales/_config.sl.yml": LOAD,
    "metadata/load/sales/orders.sl.yml": TABLE.format(name="orders"),
    "metadata/load/sales/items.sl.yml": TABLE.format(name="items"),
    "metadata/transform/kpi/by_day.sl.yml": "version: 1\ntask:\n  tags: [dagster_deps=py.mid]\n",
    "metadata/transform/kpi/by_day.sql": "select day, count(*) as orders from sales.orders group by day",
    "incoming/sales/orders_1.csv": "id,day\n1,2025-03-01\n2,2025-03-02\n3,2025-03-02\n",
}
"""Loads `sales.orders` and `sales.items`; `kpi.by_day` reads the first, and `py.mid` that is not of the project."""

REPORTS: Mapping[str, str] = {
    "metadata/application.sl.yml": APPLICATION,
    "metadata/transform/report/busy.sl.yml": TASK,
    "metadata/transform/report/busy.sql": "select day from kpi.by_day where orders > 1",
}
"""`report.busy` reads `kpi.by_day` of the other project."""


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Writes the files of a project below `root`."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(sql).fetchall()
