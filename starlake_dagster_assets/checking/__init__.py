"""Checks of a project that cost too much for every load: `starlake-dagster check` runs them.

- `problems`: all of them, for one project
- `tables`: names of tables that nothing in the project makes
- `syntax`: SQL that does not parse
- `columns`: columns that no table of a query has
- `expectations`: expectations that cannot be rendered or parsed
- `patterns`: file patterns of one domain that match the same files
- `embedded`: what the embedded engine refuses
- `places`: lines and columns in the files as they are written
"""
