"""Dagster definitions that start assets: jobs, schedules, sensors and conditions.

- `build`: all definitions of a project
- `jobs`, `job_assets`: jobs, and the assets that they materialize
- `schedules`, `selection_schedule`: schedules of a project, and of a selection
- `lineage_sensors`: lineage sensors
- `lineage_facts`: facts of the event log, read once per tick
- `lineage_runs`: runs that the tasks of a job need
- `lineage_partitions`: partitions that need a run
- `conditions`: lineage as `AutomationCondition`
- `arrival_sensors`, `arrival_sensor_settings`: arrival sensors, and the settings of one
- `arrival_tick`: one tick of an arrival sensor
- `requested_loads`: runs that an arrival sensor requested
- `arrival_windows`: windows that the ticks of a schedule open
- `covered_intervals`: data intervals that need no run
- `incoming_file_assets`: incoming files as observed assets
- `freshness_checks`: freshness checks for an older Dagster
- `sensor_states`: which sensors are on
- `run_queue_tags`: tags of jobs that the run queue reads
"""
