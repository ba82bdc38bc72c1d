"""Updates of the assets that a task in Airflow reads, from the asset events: which ones it has not read yet.

Exported next to the DAG files. The newest event of a task's own asset records what the task had read (`sl_read`): the
id of the newest event of each asset that it reads. Ids grow over all assets, so an event with a higher id was not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

__all__ = [
    "READ",
    "WINDOW",
    "TaskUpdates",
    "emit_updates",
    "list_assets_updated_in_run",
    "run_after_all_assets",
    "run_type",
    "skip_task",
    "span_of_windows",
    "triggering_events",
    "updated_by_events",
]

READ = "sl_read"
"""Key in XCom, and in the extra of events, of the newest events that a try of a task has read."""

WINDOW = ("sl_start_date", "sl_end_date")
"""Keys of start and end of the data of a run, in the extra of events, and in params and configuration of the run."""
_STEPS = (1, 50, 1001)
"""Numbers of newest events that are queried one after the other, until one of the events was read before."""
_OWN_EVENTS = 20
"""Number of newest events of the task's asset that are searched for an event of the same run."""


def skip_task(reason: str) -> NoReturn:
    """Ends a task as skipped.

    Args:
        reason: The reason, for the log of the task.

    Raises:
        AirflowSkipException: Always.
    """
    try:
        exceptions: Any = import_module("airflow.sdk.exceptions")
        error = exceptions.AirflowSkipException
    except (ImportError, AttributeError):  # Airflow 2, and the first versions of 3
        error = import_module("airflow.exceptions").AirflowSkipException
    raise error(reason)


def run_type(context: Any) -> str:
    """Returns the type of a run, as Airflow names it; "" if it has none."""
    kind = getattr(context["dag_run"], "run_type", "")
    return str(getattr(kind, "value", kind))


def triggering_events(context: Any) -> list[Any]:
    """Returns the events that triggered a run.

    Other runs are not queried: in `airflow dags test` of Airflow 2, the query fails after the first task of a run.
    """
    kind = run_type(context)
    if kind and not kind.endswith("_triggered"):
        return []
    found: Any = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    return [event for events in found.values() for event in events]


def updated_by_events(context: Any) -> Iterator[str]:
    """Yields the URIs of the assets whose updates triggered a run."""
    for event in triggering_events(context):
        extra: dict[str, Any] = event.extra or {}
        yield from extra.get("sl_updated") or [(getattr(event, "asset", None) or event).uri]


def list_assets_updated_in_run(context: Any) -> list[str]:
    """Returns the URIs of the assets that the upstream tasks of a task materialized in the same run."""
    one, run = context["ti"], context["dag_run"]
    ids = sorted(context["task"].upstream_task_ids)
    if not ids:
        return []
    if hasattr(one, "get_task_states"):
        states: dict[str, Any] = one.get_task_states(dag_id=one.dag_id, task_ids=ids, run_ids=[run.run_id]).get(
            run.run_id, {}
        )
    else:
        found = {name: run.get_task_instance(name) for name in ids}
        states = {name: instance.state for name, instance in found.items() if instance is not None}
    succeeded = [name for name in ids if str(getattr(states.get(name), "value", states.get(name))) == "success"]
    return [asset.uri for name in succeeded for asset in context["dag"].get_task(name).outlets]


def emit_updates(**context: Any) -> None:
    """Adds the URIs of the updated assets to the event of the DAG (`sl_updated`); skips the task if there are none."""
    updated = list_assets_updated_in_run(context)
    if not updated:
        skip_task("nothing was updated")
    for asset in context["task"].outlets:
        context["outlet_events"][asset].extra["sl_updated"] = updated


def run_after_all_assets(*tasks: Any) -> None:
    """Makes the last tasks of a task group run after all of its tasks that materialize assets.

    It declares the same dependencies as `[...] >> task`, for which Airflow 3 hashes the schedule once per dependency.
    """
    ids = {one.task_id for one in tasks}
    for one in [*tasks[0].task_group]:
        if one.outlets and one.task_id not in ids:
            one.downstream_task_ids.update(ids)
            for task in tasks:
                task.upstream_task_ids.add(one.task_id)


def span_of_windows(events: Sequence[Any]) -> tuple[str, str] | None:
    """Returns the span of the windows of events; None if there is no event, or one of them has no window."""
    extras: list[Mapping[str, str]] = [event.extra or {} for event in events]
    if not extras or not all(extra.get(name) for extra in extras for name in WINDOW):
        return None
    return min(extra["sl_start_date"] for extra in extras), max(extra["sl_end_date"] for extra in extras)


@dataclass(frozen=True)
class TaskUpdates:
    """Updates that a try of a task reads.

    Attributes:
        newest: Id of the newest event of each asset; 0 if it has none.
        unread: Events that the task has not read yet, by URI, newest first; None if there are too many.
        previous: Id of the newest event of each asset that the task has read before.
        same_run: The event of the task's asset from the same run: the task has succeeded in it before.
    """

    newest: Mapping[str, int]
    unread: Mapping[str, Sequence[Any] | None]
    previous: Mapping[str, int]
    same_run: Any = None

    @classmethod
    def of(cls, context: Any, own: Any, others: Sequence[Any]) -> TaskUpdates:
        """Reads the asset events of a task.

        Args:
            context: The context of the task.
            own: The asset that the task materializes.
            others: The assets that the task reads or follows.

        Raises:
            RuntimeError: Airflow is older than 2.10, and tasks cannot read events.
        """
        if "inlet_events" not in context:
            raise RuntimeError(
                "the condition of this task needs Airflow 2.10 or later: tasks cannot read asset events."
            )
        produced = _newest_events(_events_of(context, own), _OWN_EVENTS)
        run = (context["ti"].dag_id, context["run_id"])
        same_run = next((one for one in produced if (one.source_dag_id, one.source_run_id) == run), None)
        newest: dict[str, int] = {}
        unread: dict[str, Sequence[Any] | None] = {}
        previous: dict[str, int] = {}
        for uri, asset in {asset.uri: asset for asset in others}.items():
            found = _unread_events(_events_of(context, asset), produced[0] if produced else None, uri)
            newest[uri], unread[uri], previous[uri] = found
        return cls(newest, unread, previous, same_run)

    @property
    def window(self) -> tuple[str, str] | None:
        """Span of the windows of the updates; None if there is no update, or if one of them has no window."""
        if self.same_run is not None:
            return span_of_windows([self.same_run])
        if None in self.unread.values():
            return None
        return span_of_windows([event for events in self.unread.values() for event in events or ()])

    def read_within(self, start: str, end: str) -> Mapping[str, int]:
        """Returns the id of the newest event of each asset that the task has read once it has processed a window.

        Args:
            start: Start of the window; "" if the task processes everything.
            end: End of the window.
        """
        if self.same_run is not None:
            return self.previous
        if not start:
            return self.newest
        found = dict(self.previous)
        for uri, events in self.unread.items():
            for event in reversed(events or ()):
                window = span_of_windows([event])
                if window is None or window[0] < start or window[1] > end:
                    break
                found[uri] = event.id
        return found


def _events_of(context: Any, asset: Any) -> Any:
    """Returns the events of an asset in the format of Airflow's `inlet_events`.

    The asset of a task is not one of its inlets, so that the lineage has no edge from the asset to itself.
    """
    inlets = context["inlet_events"]
    session = {"session": inlets._session} if hasattr(inlets, "_session") else {}  # noqa: SLF001
    return type(inlets)([asset], **session)[0]


def _unread_events(events: Any, own: Any, uri: str) -> tuple[int, Sequence[Any] | None, int]:
    """Returns the id of the newest event of an asset, its events that were not read, and the newest id that was read.

    Without a record, the events from before the start of the run that produced the task's own event were read.
    """
    extra: Mapping[str, Any] = (own.extra if own is not None else None) or {}
    record: Mapping[str, int] = extra.get(READ) or {}
    recorded: int | None = 0 if own is None else record.get(uri)
    started = getattr(getattr(own, "source_dag_run", None), "start_date", None) or getattr(own, "timestamp", None)

    def is_read(event: Any) -> bool:
        if recorded is not None:
            return event.id <= recorded
        return own is not None and event.id < own.id and event.timestamp < started

    known, found = list[Any](), list[Any]()
    read: int = recorded or 0
    for most in _STEPS:
        known = _newest_events(events, most)
        found = [event for event in known if not is_read(event)]
        read = next((int(event.id) for event in known if is_read(event)), recorded or 0)
        if len(found) < len(known) or len(known) < most:
            return known[0].id if known else 0, found, read
    return known[0].id, None, read


def _newest_events(events: Any, most: int) -> list[Any]:
    """Returns the newest events of an asset, newest first."""
    if hasattr(events, "limit"):  # Airflow 3.1 and later
        return [*events.ascending(False).limit(most)]
    return [*reversed(events[-most:])]
