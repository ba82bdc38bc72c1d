"""Condition on the upstream updates of a task in Airflow: `pre_execute` of a task that follows other assets.

Exported next to the DAG files. The condition rests on asset events alone: an asset counts as updated if it has an event
that the newest run of the task has not read, whichever DAG run read or missed it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from starlake_dagster_assets.airflow.runtime.asset_updates import (
    READ,
    TaskUpdates,
    list_assets_updated_in_run,
    run_type,
    skip_task,
    triggering_events,
    updated_by_events,
)
from starlake_dagster_assets.airflow.runtime.macros import attempt, window

__all__ = ["UpdateCondition", "run_if_updated"]


def run_if_updated(condition: Any, *, own: Any = None, present: Collection[str] | None = None) -> UpdateCondition:
    """Returns the `pre_execute` of a task that follows other assets.

    It skips the task unless one of the assets was updated in this run, and the condition is met by the updates that the
    task has not read yet. In a manual run the task is never skipped.

    Args:
        condition: Assets, joined by `&` (all of them) and `|` (any of them).
        own: The asset that the task materializes, if another task emits its event.
        present: URIs of assets that must have been materialized once; by default all of the condition.
    """
    return UpdateCondition(condition, own, [one.uri for one in _assets(condition)] if present is None else present)


class UpdateCondition:
    """Hook that skips a task unless its condition on upstream updates is met.

    Attributes:
        condition: Assets, joined by `&` and `|`.
        own: The asset that the task materializes, if another task emits its event.
        present: URIs of assets that must have been materialized once.
    """

    def __init__(self, condition: Any, own: Any, present: Collection[str]) -> None:
        self.condition, self.own, self.present = condition, own, present
        self._known: Mapping[str, TaskUpdates] = {}

    def __call__(self, context: Any) -> None:
        """Evaluates the condition at the start of a try, and records what the try reads.

        Raises:
            AirflowSkipException: The condition is not met.
        """
        one = context["ti"]
        if one.xcom_pull(task_ids=one.task_id, key=READ) is not None:
            return  # continues after it was deferred
        reading = self._reading(context)
        if run_type(context) != "manual" and reading.same_run is None:
            self._skip_unless_due(context, reading)
        start, end = window(context)
        one.xcom_push(key=READ, value={"read": {**reading.read_within(start, end)}, "window": [start, end]})

    def window_of_updates(self, context: Any) -> tuple[str, str] | None:
        """Returns the span of the windows of the updates that a try reads; None if one of them has no window."""
        return self._reading(context).window

    def _reading(self, context: Any) -> TaskUpdates:
        """Returns the updates that a try reads, queried once so that templates and the record of the try agree."""
        key = attempt(context)
        if key not in self._known:
            others = [*context["task"].inlets, *_assets(self.condition)]
            self._known = {key: TaskUpdates.of(context, self.own or context["task"].outlets[0], others)}
        return self._known[key]

    def _skip_unless_due(self, context: Any, reading: TaskUpdates) -> None:
        named = {asset.uri for asset in _assets(self.condition)}
        produced_here = {asset.uri for one in context["task"].upstream_task_ids for asset in _outlets(context, one)}
        if triggering_events(context) or produced_here & named:
            if named.isdisjoint([*updated_by_events(context), *list_assets_updated_in_run(context)]):
                skip_task(f"none of {', '.join(sorted(named))} was updated in this run")
            unread = {uri for uri, events in reading.unread.items() if events is None or events}
            if not _is_met(self.condition, unread):
                skip_task(f"waits for {', '.join(sorted(named - unread))}: no update since the last run of this task")
        if missing := [uri for uri in self.present if not reading.newest.get(uri)]:
            skip_task(f"{', '.join(sorted(missing))} was never materialized")


def _outlets(context: Any, task_id: str) -> Collection[Any]:
    return context["dag"].get_task(task_id).outlets


def _assets(condition: Any) -> Iterator[Any]:
    """Yields the assets of a condition."""
    if hasattr(condition, "uri"):
        yield condition
    else:
        for part in condition.objects:
            yield from _assets(part)


def _is_met(condition: Any, updated: Collection[str]) -> bool:
    if hasattr(condition, "uri"):
        return condition.uri in updated
    join = all if type(condition).__name__.endswith("All") else any
    return join(_is_met(part, updated) for part in condition.objects)
