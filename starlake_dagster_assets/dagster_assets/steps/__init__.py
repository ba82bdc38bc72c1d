"""Steps: grouping of assets, execution of commands, attempts, partitions, data intervals and updates.

- `grouping`: grouping of assets into steps
- `body`: the function of a step
- `execute`: execution of commands, and their events
- `attempt`, `previous_attempts`: this attempt of a step, and earlier ones
- `unreported_loads`: runs that ended before they reported a table
- `step_result_tracker`: assets that have a result
- `step_partitions`, `partition_checks`: partitions of a step, and checks of them
- `step_intervals`, `load_intervals`, `update_intervals`, `appended_intervals`: data intervals of a step, a load and
  an update
- `consumption`: upstream materializations that were read
- `step_updates`: updates that are not consumed yet
- `already_materialized`: assets that another run has materialized
- `run_config`: `StarlakeRunConfig`
- `single_command`, `command_log`: single commands, and their log
"""
