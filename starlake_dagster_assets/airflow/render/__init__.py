"""The text of DAG files.

- `dag_file`: a whole file
- `schedules`: schedules, conditions on assets, and times
- `task_documentation`: texts that Airflow shows
- `source`: Python source in the layout of `ruff format`, and templates
"""
