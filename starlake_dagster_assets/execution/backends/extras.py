"""Packages that only some environments need, each installed by an extra and imported on first use."""

from __future__ import annotations

import importlib

from starlake_dagster_assets.errors import RunnerError

__all__ = ["require_extra"]


def require_extra(extra: str, *modules: str) -> None:
    """Raises an error that names the package to install if a module is missing.

    Args:
        extra: The extra of this package that installs the modules.
        modules: Names of the modules.

    Raises:
        RunnerError: Names the module and the extra.
    """
    try:
        for name in modules:
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        install = f"pip install 'starlake-dagster-assets[{extra}]'"
        raise RunnerError(f"{error.name} is not installed, and this environment needs it: {install}.") from error
