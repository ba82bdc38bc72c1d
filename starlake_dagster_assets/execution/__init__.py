"""Runs loads and transforms and determines their results.

- `run_selection`: runs tables and tasks in order
- `load_run`, `transform_run`: the loads and the transforms of a run
- `run_state`: the state of a run
- `node_settings`: settings of single tables and tasks for the execution environment
- `command_executor`: one command at a time
- `parse`, `table_progress`, `load_progress`: from output lines to events, per table and per load
- `engine_events`: events of an engine in this process
- `errors_in_log`: error lines of a command
- `reconcile`: results of tables and tasks, from facts
- `load_facts`, `evidence`, `audit_row_matching`, `load_files`: the facts of a load
- `expected_load`, `empty_loads`, `unapplied_settings`: properties of a table that decide about its load
- `spark_settings`: validation of Spark properties of a table or task
- `unfinished_loads`, `stage_failures`, `unstaged_files`: tables without a new file
- `restaged_file_name`: names of files that return to `stage`
- `expectation_checks`, `expectation_results`, `failing_row_queries`: expectations, their results, and the rows behind
  them
- `outcome`: the result per table and task
- `file_store`: files on disks and object stores
- `audit_read_limit`: the time that reading the audit may take
"""
