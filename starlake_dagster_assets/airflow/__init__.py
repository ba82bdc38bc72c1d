"""The asset graph as Airflow DAG files. Imports nothing of Airflow and nothing of Dagster."""
