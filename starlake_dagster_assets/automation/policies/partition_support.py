"""Evaluates whether a table or task can be materialized partition by partition, by its write strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.select import format_names
from starlake_dagster_assets.project.model.project import TypeDef
from starlake_dagster_assets.project.model.values import STRATEGIES

__all__ = [
    "REASONS",
    "PartitionObstacle",
    "find_partition_obstacle",
    "is_subdaily",
    "next_step",
    "partition_column",
    "partition_column_type",
    "unpartitioned_warning",
]

PartitionObstacle = Literal["overwrite", "append", "history", "view", "days", "statements", "load", "untimed"]
"""Reason why a table or task cannot be partitioned, see `REASONS`."""

REPLACE = (
    "set writeStrategy.type OVERWRITE_BY_PARTITION with the date column in sink.partition, or on the embedded engine "
    "partition_write=replace"
)
REASONS: Mapping[PartitionObstacle, str] = MappingProxyType(
    {
        "overwrite": "writeStrategy OVERWRITE replaces the whole table, so each partition would wipe the others",
        "append": "writeStrategy APPEND writes the rows of a partition again each time it is materialized",
        "history": "writeStrategy SCD2 depends on the order in which partitions are materialized",
        "view": "a view shows the window of the last run only",
        "days": "OVERWRITE_BY_PARTITION by a column of dates replaces whole days, and the partitions are shorter",
        "statements": "own statements, templates and Python scripts do not declare what they replace",
        "load": "writeStrategy OVERWRITE replaces the whole table with each load, which deletes earlier partitions",
        "untimed": "the project does not describe the column of sink.partition as a date or timestamp",
    }
)
_REMEDIES: Mapping[PartitionObstacle, str] = MappingProxyType(
    {
        "history": "leave it unpartitioned",
        "view": "leave it unpartitioned",
        "days": "partition it by days (partition=daily), or on the embedded engine set partition_write=replace",
        "statements": "set the tag partitions=… on the task if a second run of a partition leaves the same rows",
        "load": "set writeStrategy.type OVERWRITE_BY_PARTITION or APPEND",
        "untimed": "describe the column in attributes with the type date or timestamp, or set the tag partition=daily",
    }
)
_KINDS: Mapping[str, PartitionObstacle] = MappingProxyType(
    {"OVERWRITE": "overwrite", "APPEND": "append", "SCD2": "history"}
)
_MOST_NAMES = 10


def find_partition_obstacle(node: Node, *, short: bool, replaced: bool) -> PartitionObstacle | None:
    """Returns the reason why a node cannot be materialized partition by partition; None if it can.

    Args:
        node: A table or task.
        short: Whether its partitions are shorter than a day.
        replaced: Whether the node deletes and inserts a partition (`partition_write=replace`).
    """
    if node.table is not None:
        overwrites = node.table.metadata.write_strategy.type.upper() == "OVERWRITE"
        return "load" if overwrites and not node.table.metadata.write_strategy.types else None
    if node.task is None:
        return None
    return _of_task(node, short=short, replaced=replaced)


def _of_task(node: Node, *, short: bool, replaced: bool) -> PartitionObstacle | None:
    assert node.task is not None
    kind = node.task.write_strategy.type.upper()
    if node.is_view:
        return "view"
    if not node.task.parse_sql and node.task.python is None:
        return "statements"
    if kind == "SCD2":
        return "history"
    if replaced:
        return None
    if kind == "OVERWRITE_BY_PARTITION" and short and _kind_of(node, partition_column(node)) == "date":
        return "days"
    return _KINDS.get(kind) or (None if kind in STRATEGIES else "statements")


def unpartitioned_warning(kind: PartitionObstacle, nodes: Iterable[str]) -> str:
    """Renders the warning about nodes that are left unpartitioned."""
    names = list(nodes)
    what = "is left" if len(names) == 1 else "are left"
    return (
        f"{len(names)} of the partitioned assets {what} unpartitioned: {format_names(names, _MOST_NAMES)}. "
        f"Cause: {REASONS[kind]}. Next: {next_step(kind)}."
    )


def next_step(kind: PartitionObstacle) -> str:
    """Returns the next step for an obstacle."""
    return _REMEDIES.get(kind, REPLACE)


def partition_column(node: Node) -> str:
    """Returns the first column of `sink.partition`; "" if there is none."""
    return node.sink.partition[0] if node.sink is not None and node.sink.partition else ""


def partition_column_type(node: Node, types: Mapping[str, TypeDef]) -> str:
    """Returns the primitive type of the first column of `sink.partition`; "" if the project does not describe it.

    Args:
        node: A table or task.
        types: Types of the project.
    """
    name = _kind_of(node, partition_column(node))
    known = {one.lower(): kind for one, kind in types.items()}
    return known[name].primitive_type.lower() if name in known else name


def is_subdaily(node: Node, partitions: str, cron: str) -> bool:
    """Whether the partitions of a node are shorter than a day, by its cron or its tag `partition=hourly`."""
    if partitions == "sink":
        return any(tag.lower() == "partition=hourly" for tag in node.tags)
    fields = cron.split()
    return len(fields) > 1 and not (fields[0].isdigit() and fields[1].isdigit())


def _kind_of(node: Node, column: str) -> str:
    thing = node.definition
    named = {one.final_name.lower(): one.type.lower() for one in thing.attributes} if thing is not None else {}
    return named.get(column.lower(), "")
