"""The neutral asset graph: nodes, edges, selection, plan."""
