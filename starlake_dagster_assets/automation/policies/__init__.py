"""Triggers of tables and tasks: decided here once, said by Dagster's sensors and schedules and by Airflow's DAGs."""
