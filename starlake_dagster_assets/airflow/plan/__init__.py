"""From the graph and its triggers to DAGs, tasks, ids and asset events, before any text."""
