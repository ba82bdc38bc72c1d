"""The embedded engine as a Dagster resource."""

from pydantic import Field

from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.pools import duckdb_pool
from starlake_dagster_assets.runners.embedded import embedded_runner
from starlake_dagster_assets.runners.protocol import Attempt, Runner

__all__ = ["StarlakeDuckDB"]


class StarlakeDuckDB(StarlakeResource):
    """The embedded engine: runs Starlake projects on DuckDB, without a JVM."""

    database: str | None = Field(
        default=None, description="DuckDB file; the one of the project's connection by default."
    )
    transpile_from: str | None = Field(
        default=None, description="SQL dialect that the project is written in, such as bigquery: it is transpiled."
    )
    memory_limit: str | None = Field(default=None, description="DuckDB's memory_limit, such as 4GB.")
    threads: int | None = Field(default=None, description="DuckDB's threads.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds that one command may take.")
    options: dict[str, str] = Field(default_factory=dict, description="Variables for every command.")

    def runner(self, project: ProjectSource, attempt: Attempt | None = None) -> Runner:
        """The embedded runner.

        Raises:
            RunnerError: When duckdb is not installed.
        """
        return embedded_runner(
            project.root,
            env=project.env,
            options={**project.options, **self.options},
            database=self.database,
            transpile_from=self.transpile_from,
            memory_limit=self.memory_limit,
            threads=self.threads,
            timeout=self.timeout,
        )

    def single_writer(self, project: ProjectSource) -> bool:
        """True: a DuckDB file has one writer."""
        return True

    def pool(self, project: ProjectSource) -> str | None:
        """`starlake_duckdb_<file name>`: with a limit of 1, no two runs write the file at once."""
        return duckdb_pool(project, self.database)
