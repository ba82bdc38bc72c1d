"""Triggers of tables and tasks: determined here once, for Dagster's sensors and schedules and for Airflow's DAGs.

- `model`: triggers, jobs and their settings
- `settings`, `setting_groups`, `starlake_automation`: the settings of a node, in groups, and of a project
- `options`: settings from DAG configurations and tags
- `dag_configs`: the DAG configuration of a node
- `build`: from a project to its triggers and jobs
- `jobs`: which nodes share a job
- `upstream_conditions`: the upstreams that each task watches
- `expression`: `a & (b | c)` as a condition
- `upstream_updates`: the facts of the event log that an evaluation reads
- `lineage_evaluation`: whether a node needs a run
- `data_intervals`, `append_interval_checks`: the data interval of a run, and warnings about it
- `partition_support`: whether a node can be partitioned
- `run_options`: variables that runs pass on
- `cron_ticks`: periods and ticks of cron expressions
- `skip_reasons`: the wording of reasons
"""
