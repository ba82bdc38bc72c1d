"""The asset graph of a project, without Dagster: nodes, edges, selection, plan.

- `model`: nodes, edges and the graph
- `build`, `nodes`: from a project to its graph
- `name_resolution`: from names in SQL to nodes
- `find`: a node by a name of the user
- `select`: the selection grammar
- `acyclic_groups`: groups without cycles
- `cycles`: cycles of a graph
- `columns`, `privacy`: column lineage, and columns that must not be shown
- `display_names`: names without Dagster objects
- `owners`: owners of a node
- `starlake_lineage`, `lineage_checks`: the lineage of the starlake program, and differences from it
- `broken_dependents`: tasks that depend on objects with errors
- `render`, `html`: the graph as text and as a page
"""
