"""Dagster definitions that start assets: jobs, schedules, sensors and conditions."""
