"""Validates the arguments that users pass; messages state what was found, what was expected, and the next step."""

import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from starlake_dagster_assets.commands.loaded_project import ProjectSource

__all__ = [
    "ProjectLike",
    "command_options",
    "directory_of",
    "instance_of",
    "items_of",
    "project_of",
    "shown",
    "variables_of",
]

ProjectLike: TypeAlias = ProjectSource | str | os.PathLike[str]
"""A project, or the path of its directory."""

_T = TypeVar("_T")
_PROJECT = ("env", "graph", "model", "options", "problems", "root")
"""The attributes of a `ProjectSource`."""


def project_of(value: object, function: str) -> ProjectSource:
    """Returns the project of an argument: the argument itself, or the project in the directory at a path.

    Args:
        value: A `StarlakeProject`, another `ProjectSource`, or the path of a project's directory.
        function: The function that was called, for the message.

    Raises:
        TypeError: If the value is anything else.
    """
    if isinstance(value, str | os.PathLike):
        from starlake_dagster_assets.starlake_project import StarlakeProject

        return StarlakeProject(directory_of(cast("object", value)))
    if not isinstance(value, type) and all(_has(value, name) for name in _PROJECT):
        return cast("ProjectSource", value)
    raise TypeError(
        f"{function}: the project is {shown(value)}; pass a StarlakeProject or the path of its directory, "
        'such as StarlakeProject("starbake", env="DUCKDB").'
    )


def directory_of(value: object) -> Path:
    """Returns the directory of a project as a `Path`.

    Args:
        value: A string or a path object.

    Raises:
        TypeError: If the value is anything else.
    """
    if isinstance(value, str | os.PathLike):
        return Path(cast("str", value))
    raise TypeError(f"StarlakeProject takes the path of its directory, not {shown(value)}.")


def instance_of(value: object, kind: type[_T], function: str, argument: str, example: str) -> _T:
    """Returns an argument after checking that it is an instance of a class.

    Args:
        value: What was passed.
        kind: The class.
        function: The function that was called, for the message.
        argument: The name of the argument.
        example: What to pass, such as `StarlakeDuckDB()`.

    Raises:
        TypeError: If it is not an instance; the message says so if the class itself was passed.
    """
    if isinstance(value, kind):
        return value
    wanted = f"a {kind.__name__}: {example}"
    if isinstance(value, type) and issubclass(value, kind):
        wanted = f"an instance: {value.__name__}(…)"
    raise TypeError(f"{function}: `{argument}` is {shown(cast('object', value))}; pass {wanted}.")


def items_of(value: object, function: str, argument: str, example: str) -> list[Any]:
    """Returns an iterable argument as a list.

    Args:
        value: What was passed.
        function: The function that was called, for the message.
        argument: The name of the argument.
        example: What to pass, such as `[weekly_report]`.

    Raises:
        TypeError: If it is a single object, a text or a mapping.
    """
    is_one = isinstance(value, str | bytes | Mapping | type) or hasattr(value, "_fields")  # such as an AssetSpec
    if isinstance(value, Iterable) and not is_one:
        return list(cast("Iterable[Any]", value))
    found = shown(cast("object", value))
    raise TypeError(f"{function}: `{argument}` is {found}; pass a list, such as {example}.")


def variables_of(value: object, function: str, argument: str = "options") -> Mapping[str, str]:
    """Returns variables after checking that they map names to texts.

    Args:
        value: What was passed; None for no variables.
        function: The function that was called, for the message.
        argument: The name of the argument.

    Raises:
        TypeError: If it is not a mapping, or a name or a value is not a text; the message contains no values.
    """
    example = 'pass texts by name, such as {"country": "FR"}'
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{function}: `{argument}` is {shown(value)}; {example}.")
    given = cast("Mapping[object, object]", value)
    for name, text in given.items():
        if not isinstance(name, str):
            raise TypeError(f"{function}: `{argument}` has {shown(name)} as a name; {example}.")
        if not isinstance(text, str):
            raise TypeError(f"{function}: `{argument}` has {shown(text)} as the value of `{name}`; {example}.")
    return cast("Mapping[str, str]", given)


def command_options(value: object, function: str) -> dict[str, str]:
    """Returns variables for `--options`, after validating that the option can represent them.

    Args:
        value: What was passed; None for no variables.
        function: The function that was called, for the message.

    Raises:
        TypeError: As for `variables_of`.
        CommandError: If the option cannot represent a name or a value; the message contains no values.
    """
    from starlake_dagster_assets.commands.build import options_argument
    from starlake_dagster_assets.errors import CommandError

    given = variables_of(value, function)
    try:
        options_argument(given)
    except CommandError as error:
        raise CommandError(f"{function}: {error} Next: set the variable in an env file of the project.") from None
    return dict(given)


def shown(value: object) -> str:
    """Describes a wrong argument by its class, never by its value, which may be a secret."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    name = type(value).__name__
    if value is None:
        return "None"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _has(value: object, name: str) -> bool:
    """Whether an object has an attribute, without reading it: reading an attribute of a project loads the project."""
    try:
        inspect.getattr_static(value, name)
    except AttributeError:
        return False
    return True
