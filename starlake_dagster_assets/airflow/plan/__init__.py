"""Plan of an export: DAGs, tasks, ids and asset events, from the graph and its triggers, before rendering.

- `model`: the content of a DAG file
- `export_request`: the nodes to export, with their options
- `build`: from graph and triggers to DAGs
- `export_lineage`: edges as a translator or definitions change them
- `grouping`: which nodes share a DAG
- `tasks`: the tasks of a DAG
- `operator_arguments`, `argument_types`: arguments of single tasks, from tags and a hook, and their types
- `expectations`: expectations as tasks
- `file_sensors`: the files that a DAG waits for
- `wiring`: dependencies between tasks
- `dag_events`: events of whole DAGs
- `ids`, `dag_names`, `starlake_airflow_ids`: ids of tasks and assets, names of DAGs, and the ids of starlake-airflow
"""
