"""Validates the Spark properties of a table or task for Dataproc, including the limits of Dataproc Serverless."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.execution.node_settings import InvalidSetting, NodeSettings
from starlake_dagster_assets.execution.spark_settings import find_invalid_properties, invalid_property

if TYPE_CHECKING:
    from starlake_dagster_assets.resources.base import StarlakeResource

__all__ = ["MIN_BATCH_EXECUTORS", "find_invalid_settings", "list_exceeded_limits"]

MIN_BATCH_EXECUTORS = 2
"""Minimum number of executors of a batch."""
_CORES = (4, 8, 16)
_EXECUTORS = (range(MIN_BATCH_EXECUTORS, 2001), f"{MIN_BATCH_EXECUTORS} to 2000")
_BATCH_LIMITS: Mapping[str, tuple[Sequence[int], str]] = MappingProxyType(
    {
        "spark.driver.cores": (_CORES, "4, 8 or 16"),
        "spark.executor.cores": (_CORES, "4, 8 or 16"),
        "spark.executor.instances": _EXECUTORS,
        "spark.dynamicAllocation.initialExecutors": _EXECUTORS,
        "spark.dynamicAllocation.minExecutors": _EXECUTORS,
        "spark.dynamicAllocation.maxExecutors": _EXECUTORS,
    }
)
"""Limits that Dataproc Serverless documents for Spark properties of batches."""


def list_exceeded_limits(properties: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the names of Spark properties that Dataproc Serverless would reject, each with the reason."""
    for name, (allowed, text) in _BATCH_LIMITS.items():
        value = properties.get(name)
        if value is not None and not (value.isdigit() and int(value) in allowed):
            yield name, f"Dataproc Serverless allows {text}"


def find_invalid_settings(settings: NodeSettings, resource: StarlakeResource | None) -> Iterator[InvalidSetting]:
    """Yields the Spark properties of a table or task that Spark or Dataproc would reject.

    Args:
        settings: The settings.
        resource: The `StarlakeDataproc`, which may run batches; None if it is not known.
    """
    wrong = [*find_invalid_properties(settings, is_launched=False, is_public=resource is not None)]
    yield from wrong
    batches: Any = getattr(resource, "serverless", None)
    if batches is not None and not wrong:
        for name, reason in list_exceeded_limits(settings.spark):
            yield invalid_property(settings, name, f"found {settings.spark[name][:40]!r}, {reason}")
