"""Validates the variables that the project itself sets for each command: `SL_ENV` and `SL_ROOT`."""

from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.resources.env_vars import is_variable

__all__ = ["validate_project_variables"]


def validate_project_variables(env: Mapping[str, Any], project: ProjectSource, root: str | None, origin: str) -> None:
    """Validates that `SL_ENV` and `SL_ROOT` in `env` do not differ from those of the project.

    Args:
        env: Variables of every command.
        project: The project whose commands are run.
        root: The value of `SL_ROOT` that commands get otherwise; None for none.
        origin: The field or object that sets this value, for messages, such as `root`.

    Raises:
        RunnerError: One of them differs; the message names both values.
    """
    given = {name: value for name, value in env.items() if isinstance(value, str) and not is_variable(value)}
    name = given.get("SL_ENV")
    if name is not None and name != (project.env or ""):
        known = f"the environment {project.env!r}" if project.env else "no environment"
        raise RunnerError(
            f"env `SL_ENV` is {name!r}, and the project is loaded with {known}: its commands would write to other "
            "tables or connections than the definitions show. Next: load the project with that environment, as in "
            f'`StarlakeProject(…, env="{name}")`, or remove `SL_ENV`.'
        )
    path = given.get("SL_ROOT")
    if path is not None and root is not None and _path(path) != _path(root):
        raise RunnerError(f"env `SL_ROOT` is {path!r}, and {origin} is {root!r}. Next: remove `SL_ROOT` from `env`.")


def _path(text: str) -> str:
    return text.removeprefix("file://").rstrip("/")
