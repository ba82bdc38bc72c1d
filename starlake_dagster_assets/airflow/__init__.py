"""The asset graph as Airflow DAG files. Imports nothing of Airflow; `definitions_graph` alone needs Dagster."""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.exported_definitions import definitions_graph

__all__ = ["definitions_graph"]

_HOMES = {"definitions_graph": ".exported_definitions"}


def __getattr__(name: str) -> Any:
    return lazy(__name__, _HOMES, name)
