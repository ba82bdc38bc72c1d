"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starlake_dagster_assets.errors import StarlakeError, closest_match

if TYPE_CHECKING:
    from starlake_dagster_assets.starlake_project import StarlakeProject

__all__ = [
    "Env",
    "Exclude",
    "Options",
    "ProjectDirectory",
    "Select",
    "environment_name",
    "one_of",
    "open_project",
    "parse_variables",
]

ProjectDirectory = Annotated[Path, typer.Argument(metavar="PROJECT", help="The directory that contains metadata/.")]
Env = Annotated[
    str | None,
    typer.Option("--env", help="The environment: env.<NAME>.sl.yml. By default that of SL_ENV.", metavar="NAME"),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="A variable. It takes precedence over the env files. Can be repeated."
    ),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="TERMS",
        help="Tables and tasks: domain:x, tag:x, kind:x (table, task, view, external, files), a name with * and ?, "
        "+name, name+, 2+name+1. A space is union, a comma is intersection. Can be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="TERMS", help="Tables and tasks to leave out, in the grammar of --select."),
]


def parse_variables(texts: list[str] | None, option: str = "--option") -> dict[str, str]:
    """Parses the `NAME=VALUE` pairs of an option that may be repeated.

    Args:
        texts: The values of the option, `NAME=VALUE` each.
        option: The name of the option, for the error message.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r}: expected NAME=VALUE.", param_hint=option)
        found[name] = value
    return found


def environment_name() -> dict[str, Any]:
    """Returns the arguments of `typer.Option` for the name of an environment; an unknown name suggests the closest."""
    from starlake_dagster_assets.environments import execution_environments, get_environment

    def parser(text: str) -> str:
        try:
            return get_environment(text).name
        except StarlakeError as error:
            raise typer.BadParameter(str(error)) from error

    return {"parser": parser, "metavar": "|".join(execution_environments())}


def one_of(kind: type[Enum]) -> dict[str, Any]:
    """Returns the arguments of `typer.Option` for a choice; an unknown value suggests the closest.

    Args:
        kind: Enumeration whose values are the choices.
    """
    words = [str(one.value) for one in kind]

    def parser(text: str) -> Enum:
        word = str(getattr(text, "value", text))  # a default is a member already
        if word in words:
            return kind(word)
        close = closest_match(word, words)
        hint = f" Did you mean `{close}`?" if close else ""
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}.{hint}")

    return {"parser": parser, "metavar": "|".join(words)}


def open_project(root: Path, **settings: Any) -> StarlakeProject:
    """Returns the `StarlakeProject` of a directory, with settings such as `env` and `options`.

    Raises:
        CommandError: When `options` has a name or a value that cannot be passed to a command.
    """
    from starlake_dagster_assets.starlake_project import StarlakeProject

    return StarlakeProject(root, **settings)
