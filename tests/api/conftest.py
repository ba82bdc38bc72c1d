"""A small project on disk: two loads, two tasks of which one reads the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dagster_features.projects import APPLICATION, LOAD, write

FILES = {
    "metadata/application.sl.yml": APPLICATION,
    "metadata/load/sales/_config.sl.yml": LOAD,
    "metadata/load/sales/orders.sl.yml": """version: 1
table:
  name: orders
  rename: Orders
  pattern: "orders.*.csv"
  tags: [daily]
  attributes:
    - {name: id, type: long}
    - {name: day, type: date}
""",
    "metadata/load/sales/customers.sl.yml": """version: 1
table: {name: customers, pattern: "customers.*.csv", attributes: [{name: id, type: long}]}
""",
    "metadata/transform/kpi/by_day.sl.yml": """version: 1
task:
  name: by_day
  expectations:
    - {expect: "expect_rows()", failOnError: false}
""",
    "metadata/transform/kpi/by_day.sql": "select day, count(*) as orders from sales.Orders group by day\n",
    "metadata/transform/kpi/best_day.sl.yml": "version: 1\ntask: {name: best_day}\n",
    "metadata/transform/kpi/best_day.sql": "select max(orders) as orders from kpi.by_day\n",
    "metadata/expectations/counts.j2": """{% macro expect_rows(table="sl_this") %}
select count(*) from {{ table }} where orders < 1
{% endmacro %}
""",
    "incoming/sales/orders_1.csv": "id,day\n1,2025-03-01\n2,2025-03-02\n3,2025-03-02\n",
    "incoming/sales/customers_1.csv": "id\n7\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "shop", FILES)
