"""Lazy imports of the names of a package."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, homes: Mapping[str, str], name: str) -> Any:
    """Imports and returns the object of a name, for `__getattr__` of a package.

    Args:
        package: `__name__` of the package.
        homes: The module of each name, relative to the package: `build`, or `.graph.build` next to it.
        name: The name of the attribute.

    Raises:
        AttributeError: The package has no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(import_module(f".{homes[name]}", package), name)
