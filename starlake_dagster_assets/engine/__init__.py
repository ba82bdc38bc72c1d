"""The embedded engine: Starlake's commands on DuckDB, without a JVM."""
