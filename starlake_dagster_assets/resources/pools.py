"""The concurrency pool of a DuckDB file, which has one writer."""

import re
from pathlib import PurePath

import dagster as dg

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.warehouse.connections import duckdb_file_names

__all__ = ["duckdb_pool"]


def duckdb_pool(project: ProjectSource, database: str | None = None) -> str | None:
    """Returns `starlake_duckdb_<file name>`, the same pool for every project that writes the file, on any mount.

    Args:
        project: The project.
        database: The file, if it is not that of the project's connection. For a `dg.EnvVar`, the pool is that of the
            project's own file; if the project has none, the pool is named after the variable.

    Returns:
        None if the project writes no DuckDB file. The first of several files, by the names of their connections.
    """
    own = duckdb_file_names(project.model)
    if isinstance(database, dg.EnvVar):  # the file is known when a run starts
        names = own or (database.env_var_name,)
    else:
        names = (PurePath(database).name,) if database else own
    # letters, digits and `_`: Dagster 1.10 takes no other pool names
    return f"starlake_duckdb_{re.sub(r'[^A-Za-z0-9_]', '_', names[0])}" if names else None
