"""Deprecated names and arguments: they work for one minor version, with a warning."""

import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["moved_name", "renamed_arguments", "warn_deprecated"]


def warn_deprecated(what: str, instead: str, *, stacklevel: int = 3) -> None:
    """Warns that a name is deprecated.

    Args:
        what: The deprecated use, such as "`build_definitions(row_counts=…)`".
        instead: Its replacement, such as "`metadata=StarlakeMetadata(row_counts=…)`".
        stacklevel: Frames from here to the code of the user.
    """
    text = f"{what} is deprecated and will be removed in the next minor version; use {instead}."
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel)


def moved_name(package: str, module: str, name: str) -> Any:
    """Warns about a name that a package no longer exports and returns its object, for `__getattr__` of the package.

    Args:
        package: `__name__` of the package.
        module: The submodule that exports the name.
        name: The name.
    """
    home = f"{package}.{module}"
    warn_deprecated(f"`{package}.{name}`", f"`from {home} import {name}`", stacklevel=4)
    return getattr(import_module(home), name)


def renamed_arguments(
    function: str,
    given: Mapping[str, Any],
    instead: Mapping[str, str],
    *,
    parameters: Iterable[str] = (),
    stacklevel: int = 4,
) -> dict[str, Any]:
    """Warns about each deprecated keyword argument of a call and returns all of them.

    Args:
        function: The name of the function, for messages.
        given: Keyword arguments that are not in its signature.
        instead: Replacements, by the deprecated name.
        parameters: Names of the parameters in its signature, for the closest match of an unknown one.
        stacklevel: Frames from `warn_deprecated` to the code of the user.

    Returns:
        The arguments as they were passed, by their deprecated names.

    Raises:
        TypeError: If an argument is unknown; the message suggests the closest name.
    """
    for name in given:
        if name not in instead:
            from starlake_dagster_assets.errors import closest_match

            near = closest_match(name, [*parameters, *instead])
            hint = f"; did you mean `{near}`?" if near else ""
            raise TypeError(f"{function}() got an unexpected argument `{name}`{hint}")
        warn_deprecated(f"`{function}({name}=…)`", f"`{instead[name]}`", stacklevel=stacklevel)
    return dict(given)
