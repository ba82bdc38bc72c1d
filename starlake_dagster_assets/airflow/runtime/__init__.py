"""Code that runs in Airflow tasks; it is exported as one module next to the DAG files.

- `asset_updates`: updates of the assets that a task reads, and which of them it has read
- `macros`: macros of templates: the window of a run, options, paths
- `update_condition`: condition of a task on the updates of its upstreams
- `load_spec`: the tables of a load
- `driver_log`: result of a command by the output of its Dataproc driver
- `local_try_record`, `loaded_files`: files of a load on the disk of a worker, and the record of the tries
- `cloud_load`, `cloud_transform`: results of loads and transforms in a cloud
- `store_areas`: file areas in an object store
- `proxying`: tasks that run in Dagster
"""
