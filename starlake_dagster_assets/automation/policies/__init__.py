"""When tables and tasks are made: decided here once, said by Dagster's sensors and schedules and by Airflow's DAGs."""
