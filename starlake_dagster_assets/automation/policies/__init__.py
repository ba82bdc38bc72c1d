"""Triggers of tables and tasks: determined here once, for Dagster's sensors and schedules and for Airflow's DAGs."""
