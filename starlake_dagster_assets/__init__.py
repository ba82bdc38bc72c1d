"""Starlake projects as Dagster software-defined assets."""
