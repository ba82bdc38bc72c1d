"""Validates, when assets are built, that the tables and tasks of a step can be materialized partition by partition."""

import re
from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets.automation.policies.model import Trigger
from starlake_dagster_assets.automation.policies.partition_support import REASONS, find_partition_obstacle, next_step
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.execution.outcome import TaskOptions
from starlake_dagster_assets.graph.model import Node

__all__ = [
    "accepts_partition",
    "key_reason",
    "runs_one_partition",
    "unused_key_reason",
    "uses_key",
    "validate_partitions",
]

_Definition = dg.PartitionsDefinition[Any] | None
_WINDOW = ("sl_start_date", "sl_end_date", "sl_data_interval_start", "sl_data_interval_end")
_KEY = ("partition_key", "sl_partition_key")
_FROM_OTHER_FILES = re.compile(r"\{%-?\s*(include|import|from|extends)\b")


def runs_one_partition(nodes: Iterable[Node], definition: _Definition) -> bool:
    """Whether a run of the nodes is limited to one partition: not for time windows whose key no SQL uses."""
    if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return True
    return any(_uses(node, _KEY) for node in nodes)


def validate_partitions(
    nodes: Iterable[Node],
    definition: _Definition,
    trigger: Callable[[Node], Trigger],
    options: TaskOptions | None,
) -> None:
    """Validates that each node of a step can be materialized partition by partition.

    Args:
        nodes: Nodes of the step.
        definition: Their partitions.
        trigger: Returns the trigger of a node.
        options: Variables of transforms that the user passes; None if they are known in a run only.

    Raises:
        ProjectError: Names each node that cannot, with the reason.
    """
    if definition is None:
        return
    timed = isinstance(definition, dg.TimeWindowPartitionsDefinition)
    keys = definition.get_partition_keys() if isinstance(definition, dg.StaticPartitionsDefinition) else ()
    refused = next((reason for key in keys if (reason := key_reason(key))), "")
    problems: list[str] = []
    for node in nodes:
        text = ""
        if node.table is not None and not timed:
            text = "a load takes the files that are there, regardless of the key: partition the task that reads it"
        elif refused:
            text = refused
        else:
            text = _write_reason(node, definition, trigger(node).replaced_column)
        if not text and options is not None:
            text = unused_key_reason(node, definition, options)
        if text:
            problems.append(f"{node.location}: {node.id} cannot be partitioned: {text}.")
    if problems:
        raise ProjectError(problems)


def key_reason(key: str) -> str:
    """Returns the reason why a partition key cannot be a variable of SQL; "" if it can."""
    if "," in key:
        return f"the partition key {key!r} contains a comma, which --options of Starlake cannot carry"
    if "'" in key:
        return f"the partition key {key!r} contains an apostrophe, which ends the text in the SQL that it stands in"
    return ""


def _write_reason(node: Node, definition: dg.PartitionsDefinition[Any], column: str) -> str:
    """Returns the reason why a node cannot write one partition without deleting others; "" if it can."""
    if column and isinstance(definition, dg.MultiPartitionsDefinition):
        names = ", ".join(one.name for one in definition.partitions_defs)
        return (
            f"partition_write=replace deletes by one column ({column}), but there are the dimensions {names}: "
            "each would wipe others. Next: remove partition_write=replace, and set writeStrategy.type "
            "DELETE_THEN_INSERT with the columns of all dimensions in key"
        )
    kind = find_partition_obstacle(node, short=False, replaced=bool(column))
    return "" if kind in (None, "append", "statements") else f"{REASONS[kind]}. Next: {next_step(kind)}"


def unused_key_reason(node: Node, definition: dg.PartitionsDefinition[Any], options: TaskOptions) -> str:
    """Returns an error if the SQL of a task does not use the partition key; "" if it does or if that is unknown."""
    timed = isinstance(definition, dg.TimeWindowPartitionsDefinition)
    if timed or node.task is None or not node.task.source_sql or (callable(options) and accepts_partition(options)):
        return ""
    if _uses(node, _KEY) or _FROM_OTHER_FILES.search(node.task.source_sql):
        return ""
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return "its SQL uses neither sl_partition_key nor partition_key, so every partition would hold the same rows"
    for one in definition.partitions_defs:
        names = [f"sl_partition_{one.name}"]
        names += _WINDOW if isinstance(one.partitions_def, dg.TimeWindowPartitionsDefinition) else ()
        if not _uses(node, names):
            return (
                f"its SQL does not use the dimension {one.name!r} ({' or '.join(names[:2])}), so partitions that "
                "differ in this dimension only would hold the same rows"
            )
    return ""


def uses_key(node: Node) -> bool:
    """Whether the SQL of a task uses the partition key."""
    return _uses(node, _KEY)


def _uses(node: Node, names: Iterable[str]) -> bool:
    """Whether the SQL of a task uses at least one of the variables."""
    task = node.task
    if task is None or not task.source_sql:
        return False
    texts = "\n".join([task.source_sql, *task.presql, *task.postsql])
    return any(re.search(rf"\b{re.escape(name)}\b", texts) for name in names)


def accepts_partition(options: object) -> bool:
    """Whether an `options` function takes the partition as its second argument, after the node."""
    try:
        found = signature(cast("Any", options)).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is Parameter.empty for one in found) > 1
