"""Where Starlake runs, as Dagster resources."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from starlake_dagster_assets import __version__
from starlake_dagster_assets._compat import register_library
from starlake_dagster_assets.assets.binding import current_binding
from starlake_dagster_assets.assets.execute import run_step
from starlake_dagster_assets.assets.iterator import StarlakeEventIterator
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.runners.embedded import embedded_runner
from starlake_dagster_assets.runners.protocol import Runner

__all__ = ["StarlakeDuckDB", "StarlakeResource"]

register_library("starlake-dagster-assets", __version__)


class StarlakeResource(dg.ConfigurableResource[Any]):
    """Runs Starlake commands. A subclass says where, in `runner`."""

    def runner(self, project: ProjectSource) -> Runner:
        """The runner of a project.

        Args:
            project: The project whose commands are run.

        Returns:
            A runner.

        Raises:
            RunnerError: When the environment is not there.
        """
        raise RunnerError("This resource does not say where commands run: override runner(project).")

    def run(
        self, context: dg.AssetExecutionContext, *, options: Mapping[str, str] | None = None
    ) -> StarlakeEventIterator:
        """Runs what the step selects; to be used as `yield from starlake.run(context)`.

        Args:
            context: Of the step of a function decorated with `starlake_assets`.
            options: Variables for every transform (`--options`): no commas in their values.

        Returns:
            The events, one as each table is known; chain `fetch_row_counts()` and `fetch_column_metadata()`.

        Raises:
            StarlakeError: Outside such a function.
        """
        binding = current_binding()
        given = dict(options or {})
        return StarlakeEventIterator(
            lambda fetch: run_step(context, binding, self.runner(binding.source), given, fetch)
        )


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
    options: dict[str, str] = Field(default_factory=dict, description="Variables for every command.")

    def runner(self, project: ProjectSource) -> Runner:
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
        )
