"""Frozen models of a project whose defaults, inheritance and variables are applied.

- `project`: tables, tasks and the project
- `settings`: the application and its connections
- `values`: values that models share
- `secret_names`: names of variables that hold secrets
- `problems`, `problem_collector`: problems of a project, and their collection
"""
