"""Writes rows to tables: strategies, transactions, audit, expectations.

- `ingest`: loads the rows of a file in one transaction
- `load_settings`: the settings of a load
- `file_moves`: the way of a file through the areas
- `strategies`, `adaptive`, `adaptive_conditions`, `templates`: write strategies, and how one is chosen
- `partition_replacement`, `partition_counts`: replaced partitions, and row counts per partition
- `task_write`: the result of a task
- `first_run`: a table before its first run
- `schema_sync`: columns of existing tables
- `transaction`: one transaction per table
- `audit`: the audit tables
- `expectations`: expectations after a write
- `replay`: files of rejected records
- `export`: export to CSV
- `table_names`, `user_statements`: names and statements in SQL of users
- `transpile`, `transpile_rules`, `transpile_casts`, `transpile_kinds`: SQL of other warehouses
- `unsupported_settings`: settings that are errors
"""
