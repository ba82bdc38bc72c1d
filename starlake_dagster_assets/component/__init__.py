"""A Starlake project as a Dagster component."""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.component.project_component import StarlakeProjectComponent

__all__ = ["StarlakeProjectComponent"]

_HOMES = {"StarlakeProjectComponent": "project_component"}


def __getattr__(name: str) -> Any:
    return lazy(__name__, _HOMES, name)
