"""SQL of tasks: sections, tables that it reads, columns and column lineage.

- `analysis`: tables and columns that a task reads
- `sections`: sections, comments and statements
- `parsing`: from SQL to syntax trees
- `references`, `tables`: the tables that SQL reads
- `column_lineage`, `scopes`: column lineage
- `rewriting`: forms of DuckDB that sqlglot does not bind
- `single_statement`: tasks with several statements
"""
