"""The embedded engine: Starlake's commands on DuckDB, without a JVM.

- `session`, `open_databases`: connections to DuckDB files
- `areas`: directories of files
- `catalog`: tables of a DuckDB file
- `command_output`: log lines and results
- `quoting`: text as SQL
- `error_text`: messages of errors
"""
