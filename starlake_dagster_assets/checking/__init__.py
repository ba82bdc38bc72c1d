"""Checks of a project that take too long for each load of a code location: `starlake-dagster check` runs them.

- `project_check`: runs all checks on one project
- `tables`: tables in SQL that nothing in the project produces
- `syntax`: SQL that does not parse
- `variables`: variables in SQL that nothing sets
- `columns`: columns that no table of a query has
- `expectations`: expectations that cannot be rendered or parsed
- `patterns`: file patterns of one domain that match the same files
- `environment_settings`: settings of single tables that an execution environment rejects or ignores
- `embedded`: tables and tasks that the embedded engine rejects
- `engine_differences`: settings that the starlake program rejects or treats differently from the embedded engine
- `positions`: lines and columns in the files of a project
"""
