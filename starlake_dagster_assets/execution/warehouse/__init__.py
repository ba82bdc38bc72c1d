"""Readers of the warehouse: what a command wrote, and what tables hold.

- `reader`: the interface, `WarehouseReader`
- `reader_factory`: the reader of a project, and which reader each of its connections has
- `routing`: several connections behind one reader
- `connections`: the connections that a project uses, and its DuckDB files
- `duckdb`, `duckdb_tables`: DuckDB files
- `bigquery`: BigQuery
- `sql`: the others, through SQLAlchemy
- `urls`, `sqlalchemy_engines`, `resource_login`, `redshift`: SQLAlchemy URLs and engines, login by resources, a dialect
- `audit_rows`, `expectation_evaluation`, `partition_values`: what the readers share
"""
