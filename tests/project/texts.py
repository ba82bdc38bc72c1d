"""Files that most tests of a project start from."""

APPLICATION = """\
version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb:
      type: jdbc
      options:
        url: "jdbc:duckdb:{{SL_ROOT}}/duckdb.db"
"""

ORDERS = """\
version: 1
table:
  name: orders
  pattern: "orders-.*.csv"
  attributes:
    - name: id
      type: int
    - name: amount
      type: double
"""
