"""The embedded engine as an execution environment: commands run in this process, on a DuckDB file."""
