"""Definitions from DAG files that `starlake dag-generate` wrote. The files are read as text.

- `definitions`: `definitions_from_dag_context`
- `dag_file_reader`, `literals`: DAG files as text, and their literals
- `dag_file_model`: the contents of a DAG file
- `project`, `inferred_project`: a project with DAG files, and one inferred from DAG files alone
"""
