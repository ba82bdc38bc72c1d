"""The real Starlake program on this machine, as a Dagster resource."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.backends.load_areas import StoredFiles
from starlake_dagster_assets.execution.backends.local.program_launchers import Launcher, launch
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
from starlake_dagster_assets.execution.backends.local.shell_env import (
    DROPPED,
    inherited,
    required_log_level,
    secret_values,
)
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.warehouse.connections import writes_duckdb_file
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess
from starlake_dagster_assets.resources.env_vars import is_variable
from starlake_dagster_assets.resources.pools import duckdb_pool
from starlake_dagster_assets.resources.project_variables import validate_project_variables
from starlake_dagster_assets.resources.warehouse import StarlakeWarehouseResource

__all__ = ["StarlakeShell"]


class StarlakeShell(StarlakeWarehouseResource):
    """Resource that runs the `starlake` program on this machine, in one supervised process per command.

    Examples:
        ::

            StarlakeShell(starlake="/opt/starlake/starlake", env={"PGPASSWORD": dg.EnvVar("PGPASSWORD")})
    """

    option_names: ClassVar[Mapping[str, str]] = {
        "SL_STARLAKE_PATH": "starlake",
        "sl_env_var": "env",
        "sl_include_env_vars": "include_env_vars",
    }

    starlake: str | None = Field(
        default=None,
        description="The program (SL_STARLAKE_PATH): a path, or a name on the PATH; by default the variable "
        "SL_STARLAKE_PATH, else `starlake`.",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Variables of the processes (sl_env_var); EnvVar for secrets. Never on a command line.",
    )
    include_env_vars: list[str] | None = Field(
        default=None,
        description="Variables that are inherited (sl_include_env_vars), as names or patterns such as PG*; all by "
        "default. Those that a JVM, Starlake and cloud credentials need are always inherited.",
    )
    secrets: list[str] = Field(
        default_factory=list,
        description="Names of variables whose values are never shown, in addition to those of EnvVar and those "
        "with the name of a secret.",
    )
    cwd: str | None = Field(default=None, description="Directory of the processes; the project's by default.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds that one command may take.")
    grace: float = Field(
        default=10.0,
        ge=0,
        description="Seconds that a command has to end when it is stopped: INT, TERM after half of them, KILL.",
    )
    log_level: Literal["info", "debug", "trace", "all"] = Field(
        default="info", description="SL_LOG_LEVEL; below info, tables are not reported as they are loaded."
    )
    launcher: Literal["process", "dagster_shell", "console"] = Field(
        default="process",
        description="How commands run: a process per command, through dagster_shell, or one JVM for all transforms.",
    )
    stage_command: Literal["stage", "import"] = Field(
        default="stage", description="`import` for versions of Starlake before the command was renamed."
    )

    def __init__(self, **data: Any) -> None:
        super().__init__(**_with_secrets(data))

    @classmethod
    def configure_at_launch(cls, **kwargs: Any) -> Any:
        """Returns a resource whose other fields are set in run config.

        Args:
            kwargs: Fields, as for the resource itself.
        """
        return super().configure_at_launch(**_with_secrets(kwargs))

    def __repr_args__(self) -> Any:
        """Returns the fields without the values of variables."""
        for name, value in super().__repr_args__():
            yield name, dict.fromkeys(self.env, "***") if name == "env" else value

    def validate_against(self, project: ProjectSource) -> None:
        """Validates `SL_ENV` and `SL_ROOT` of `env`.

        Raises:
            RunnerError: When one of them differs from that of the project.
        """
        super().validate_against(project)
        validate_project_variables(
            self.env, project, str(Path(project.root).absolute()), "the directory of the project"
        )

    def runner(self, project: ProjectSource, attempt: StepAttempt | None = None) -> Runner:
        """Returns the runner of the chosen launcher.

        Raises:
            RunnerError: A package that the launcher needs is not installed.
        """
        shell = self.shell(project)
        if self.launcher != "console":
            return shell
        from starlake_dagster_assets.execution.backends.local.console_runner import ConsoleRunner

        return ConsoleRunner(shell, exclusive=self.single_writer(project))

    def single_writer(self, project: ProjectSource) -> bool:
        """Whether the project writes a DuckDB file, which has one writer."""
        return writes_duckdb_file(project.model)

    def pool(self, project: ProjectSource) -> str | None:
        """Returns `starlake_duckdb_<file name>` if the project writes a DuckDB file."""
        return duckdb_pool(project)

    def warehouse_access(self) -> WarehouseAccess:
        """Returns the warehouse access, with the DuckDB files on this machine."""
        return replace(super().warehouse_access(), local_files=True)

    def shell(self, project: ProjectSource) -> ShellRunner:
        """Returns the runner with one process per command.

        Raises:
            RunnerError: A package that the launcher needs is not installed.
        """
        StarlakeShell.validate_against(self, project)  # now with the values of all fields
        start: Launcher = launch
        if self.launcher == "dagster_shell":
            from starlake_dagster_assets.execution.backends.local.dagster_shell_launcher import launch_by_dagster_shell

            start = launch_by_dagster_shell
        mine = inherited(os.environ, self.include_env_vars)
        environ = {**mine, **{name: value for name, value in self.env.items() if name not in DROPPED}}
        environ["SL_ROOT"] = str(Path(project.root).absolute())
        environ["SL_LOG_LEVEL"] = required_log_level(self.log_level, environ.get("SL_LOG_LEVEL"))
        if project.env is not None:
            environ["SL_ENV"] = project.env
        return ShellRunner(
            starlake=self.starlake or environ.get("SL_STARLAKE_PATH") or "starlake",
            root=Path(project.root),
            environ=environ,
            options=project.options,
            cwd=Path(self.cwd) if self.cwd else None,
            timeout=self.timeout,
            grace=self.grace,
            secrets=secret_values(self.env, mine, self.secrets),
            launcher=start,
            stage_command=self.stage_command,
            reader=self.warehouse_reader(project),
            files=StoredFiles(project.model),
        )


def _with_secrets(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields with the `env` names of `dg.EnvVar` values added to `secrets`.

    Dagster builds the resource again from its fields, with the values of the variables; the names are kept in a field.
    """
    given, secrets = data.get("env", data.get("sl_env_var")), data.get("secrets", [])
    pairs = cast("Mapping[str, Any]", given).items() if isinstance(given, Mapping) else ()
    hidden = {name for name, value in pairs if is_variable(value)}
    if not hidden or not isinstance(secrets, list):
        return dict(data)
    known = [one for one in cast("list[Any]", secrets) if one not in hidden]
    return {**data, "secrets": [*known, *sorted(hidden)]}
