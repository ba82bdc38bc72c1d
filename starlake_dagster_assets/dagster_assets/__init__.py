"""Dagster's side: the graph as software-defined assets."""
