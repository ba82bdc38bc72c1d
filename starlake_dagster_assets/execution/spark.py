"""Spark properties of a table or task, from its tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = ["spark_of"]

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "spark_executor_cores": "spark.executor.cores",
        "spark_executor_instances": "spark.executor.instances",
        "spark_executor_memory": "spark.executor.memory",
    }
)


def spark_of(tags: Iterable[str]) -> Mapping[str, str]:
    """The properties that tags such as `spark_executor_memory=8g` or `spark.sql.shuffle.partitions=400` say.

    Args:
        tags: `tags` of a table or task.

    Returns:
        Value by property; none where no tag says one.
    """
    found: dict[str, str] = {}
    for tag in tags:
        name, equals, value = tag.partition("=")
        name = _NAMES.get(name.strip(), name.strip())
        if equals and name.startswith("spark."):
            found[name] = value.strip()
    return found
