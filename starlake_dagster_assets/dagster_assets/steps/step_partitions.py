"""The partitions of a step: reads them from the context, validates tasks against them, and passes them to commands."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import variables_of
from starlake_dagster_assets.automation.policies.model import Trigger
from starlake_dagster_assets.automation.policies.partition_support import next_step
from starlake_dagster_assets.commands.partitions import REPLACE_VARIABLE, PartitionInfo
from starlake_dagster_assets.dagster_assets.dagster_runs import read_interval_tags
from starlake_dagster_assets.dagster_assets.steps.partition_checks import (
    accepts_partition,
    key_reason,
    unused_key_reason,
    uses_key,
)
from starlake_dagster_assets.dagster_assets.steps.previous_attempts import partitioned
from starlake_dagster_assets.execution.outcome import TaskOptions
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import first_of

__all__ = [
    "invalid_partition_tasks",
    "options_for",
    "partitions_of_step",
    "replacement_environment",
    "window_of_step",
]


def partitions_of_step(context: dg.AssetExecutionContext) -> PartitionInfo | None:
    """Returns the partitions that a step runs for; None if it runs for none.

    Raises:
        dg.Failure: The run has several partitions that are not time windows: SQL takes one key.
    """
    definition = context.assets_def.partitions_def
    if definition is None or not partitioned(context):
        return None
    keys = tuple(str(key) for key in context.partition_keys)
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        window = context.partition_time_window
        return PartitionInfo(keys, window=(window.start, window.end))
    if len(keys) > 1:
        raise dg.Failure(
            f"The run is of {len(keys)} partitions ({', '.join(keys[:5])}{', …' if len(keys) > 5 else ''}), but a "
            "command takes one key. Next: launch one run per partition (a backfill with "
            "BackfillPolicy.multi_run(1), which is the default of these assets).",
            allow_retries=False,
        )
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return PartitionInfo(keys)
    key = cast("Any", context.partition_key)
    dimensions: dict[str, str] = dict(key.keys_by_dimension)
    windows = (
        one.partitions_def.time_window_for_partition_key(dimensions[one.name])
        for one in definition.partitions_defs
        if isinstance(one.partitions_def, dg.TimeWindowPartitionsDefinition)
    )
    window = next(((one.start, one.end) for one in windows), None)
    return PartitionInfo(keys, dimensions, window)


def window_of_step(
    context: dg.AssetExecutionContext, partition: PartitionInfo | None, now: datetime
) -> tuple[datetime, datetime] | None:
    """Returns the data interval of a step from its partitions or the tags of its run; None if there is none.

    Args:
        context: Context of the step.
        partition: Partitions of the step.
        now: Time at which the step began.

    Raises:
        CommandError: The tags of the run do not have a valid interval.
    """
    if partition is not None and partition.window is not None:
        return partition.window
    return read_interval_tags(context.run.tags, now)


def options_for(options: TaskOptions, node: Node, partition: PartitionInfo | None) -> Mapping[str, str]:
    """Returns the variables of a transform from the user's `options`.

    Raises:
        TypeError: When a function returns anything other than texts by name.
    """
    if not callable(options):
        return options
    ask = cast("Any", options)
    found = ask(node, partition) if accepts_partition(options) else ask(node)
    return variables_of(found, node.id)


def invalid_partition_tasks(
    context: dg.AssetExecutionContext,
    nodes: Mapping[dg.AssetKey, Node],
    trigger: Callable[[Node], Trigger],
    partition: PartitionInfo | None,
    options: TaskOptions,
    *,
    replaces: bool,
) -> Mapping[str, str]:
    """Finds the tasks that would write wrong rows for the partitions of the step.

    Args:
        context: Context of the step.
        nodes: Tables and tasks that are to be run, by asset key.
        trigger: Returns the trigger of a node.
        partition: The partitions of the step.
        options: Variables of transforms that the user passes.
        replaces: Whether the environment can delete and insert a partition.

    Returns:
        The reasons, by node id.
    """
    definition = context.assets_def.partitions_def
    found: dict[str, str] = {}
    for key, node in nodes.items():
        if node.task is None or partition is None or definition is None:
            continue
        if text := next((reason for name in partition.texts if (reason := key_reason(name))), ""):
            found[node.id] = f"{text}. Next: name the partition without it, and translate the name in `options`."
            continue
        column = trigger(node).replaced_column
        if column and not replaces:
            found[node.id] = (
                "partition_write=replace deletes and inserts in one transaction, which only the embedded engine "
                "does. Next: set writeStrategy.type OVERWRITE_BY_PARTITION for this environment."
            )
        elif partition.key is None and uses_key(node):
            found[node.id] = (
                f"its SQL uses the partition key, but the run is of {len(partition.keys)} partitions. "
                "Next: launch one run per partition."
            )
        elif text := unused_key_reason(node, definition, options):
            found[node.id] = text
        elif not column and node.task.write_strategy.type.upper() == "APPEND":
            there = context.instance.get_materialized_partitions(key)
            again = [name for name in partition.keys if name in there]
            if again:
                found[node.id] = (
                    f"{_listed(again)} is materialized already, and writeStrategy APPEND would write its rows a second "
                    f"time. Next: {next_step('append')}."
                )
    return found


def replacement_environment(
    trigger: Callable[[Node], Trigger],
    partition: PartitionInfo | None,
    window: tuple[datetime, datetime] | None,
) -> Callable[[Node], Mapping[str, str]]:
    """Returns a function that builds the environment variable of a task with the partition that its run replaces."""

    def environment(node: Node) -> Mapping[str, str]:
        column = trigger(node).replaced_column
        if not column or (window is None and partition is None):
            return {}
        found = {"column": column}
        if window is not None:
            found |= {"start": window[0].isoformat(), "end": window[1].isoformat()}
        elif partition is not None:
            found["key"] = partition.key or ""
        return {REPLACE_VARIABLE: json.dumps(found)}

    return environment


def _listed(names: list[str]) -> str:
    return f"partition {first_of(names, 5)}"
