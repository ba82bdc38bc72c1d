"""Dagster's events of a step: materializations, observations, check results and their metadata."""
