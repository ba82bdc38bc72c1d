"""The embedded engine as a Dagster resource."""

import re

from pydantic import Field, field_validator

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.backends.duckdb.lazy_runner import embedded_runner
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.env_vars import is_variable
from starlake_dagster_assets.resources.pools import duckdb_pool

__all__ = ["StarlakeDuckDB"]

_MEMORY = re.compile(r"\d+(\.\d+)?\s*(%|b|bytes?|k|m|g|t|[kmgt]i?b|(kilo|mega|giga|tera)bytes?)", re.IGNORECASE)


class StarlakeDuckDB(StarlakeResource):
    """The embedded engine: runs Starlake projects on DuckDB, without a JVM."""

    database: str | None = Field(
        default=None, description="DuckDB file; the one of the project's connection by default."
    )
    transpile_from: str | None = Field(
        default=None, description="SQL dialect that the project is written in, such as bigquery: it is transpiled."
    )
    memory_limit: str | None = Field(default=None, description="DuckDB's memory_limit, such as 4GB.")
    threads: int | None = Field(default=None, gt=0, description="DuckDB's threads.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds that one command may take.")
    options: dict[str, str] = Field(default_factory=dict, description="Variables for every command.")

    @field_validator("memory_limit")
    @classmethod
    def _check_memory(cls, value: str | None) -> str | None:
        """Rejects values that DuckDB would reject at the first command."""
        if value is not None and not is_variable(value) and not _MEMORY.fullmatch(value.strip()):
            raise ValueError(f"{value!r} is not an amount of memory. Write a number and a unit, such as 4GB or 80%")
        return value

    def runner(self, project: ProjectSource, attempt: StepAttempt | None = None) -> Runner:
        """Returns the embedded runner.

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
        """Returns True: a DuckDB file has one writer."""
        return True

    def pool(self, project: ProjectSource) -> str | None:
        """Returns the pool `starlake_duckdb_<file name>`; with a limit of 1, two runs never write the file at once."""
        return duckdb_pool(project, self.database)
