"""Dagster events of a step: materializations, observations, check results and their metadata.

- `iterator`: `StarlakeEventIterator`
- `events`: conversion of outcomes to events
- `checks`: results of checks
- `existing_table_checks`: checks without a materialization
- `unit_test_checks`: unit tests as checks
- `columns`: column schema and column lineage
- `partition_results`: events per partition
- `samples`: sample rows of a failed check
- `step_failures`: failures of a step
- `unmaterialized_outputs`: outputs without a materialization
- `compute_log_location`: the location of the complete output
"""
