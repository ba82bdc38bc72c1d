"""Consumption of an asset: the upstream materializations that a materialization has read, from the event log.

Dagster writes it with every materialization of a step: the tags `dagster/input_event_pointer/<key>` hold, for each
upstream, the storage id of the materialization that was the newest when the step began. Storage ids grow over all
assets and partitions, so one number per upstream shows for each of its partitions whether it was read. A run that
covers a data interval has not read the updates of other intervals, which its own metadata names
(`EXCLUDED_UPDATES_KEY`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import dagster as dg

__all__ = [
    "EXCLUDED_UPDATES_KEY",
    "Consumption",
    "Update",
    "consumption_of",
    "newest_materializations",
    "update_of",
    "updates_since",
]

EXCLUDED_UPDATES_KEY = "starlake/updates_left_out"
"""Metadata of a materialization: storage ids of the upstream updates outside its data interval, by upstream key."""

_POINTER = "dagster/input_event_pointer/"


@dataclass(frozen=True)
class Update:
    """A materialization of an upstream.

    Attributes:
        storage_id: Id in the event log, which increases from one event to the next.
        timestamp: Seconds since 1970.
        run_id: Id of the run; empty for a materialization that was reported from outside.
        partition: Partition key; None if it has none.
        metadata: Metadata of the materialization.
    """

    storage_id: int
    timestamp: float
    run_id: str = ""
    partition: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)


@dataclass(frozen=True)
class Consumption:
    """Upstream materializations that one materialization has read.

    Attributes:
        update: The materialization.
        pointers: Storage id of the newest materialization that it has read, by upstream key as text; 0 if there was
            none.
        excluded: Storage ids of upstream materializations that it has not read although they are older, by asset key as
            text.
        instance: Instance that stores its run.
    """

    update: Update
    pointers: Mapping[str, int]
    excluded: Mapping[str, Collection[int]]
    instance: dg.DagsterInstance = field(compare=False, repr=False)

    def includes(self, key: dg.AssetKey, storage_id: int, timestamp: float) -> bool:
        """Whether a materialization of an upstream, given by storage id and time, was read.

        If nothing is recorded for the upstream, materializations from before the start of the run count as read;
        without a run, those from before the materialization itself.
        """
        name = key.to_user_string()
        if storage_id in self.excluded.get(name, ()):
            return False
        pointer = self.pointers.get(name)
        if pointer is not None:
            return storage_id <= pointer
        return storage_id < self.update.storage_id and timestamp < self.started.timestamp()

    @cached_property
    def started(self) -> datetime:
        """Start of the run of the materialization; the time of the report if it has no run."""
        run = self.update.run_id
        records = self.instance.get_run_records(dg.RunsFilter(run_ids=[run])) if run else ()
        started = records[0].start_time if records else None
        return datetime.fromtimestamp(self.update.timestamp if started is None else started, timezone.utc)


def newest_materializations(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> Mapping[dg.AssetKey, Any]:
    """Reads the event log record of the newest materialization of each asset that has one, in one query."""
    found: dict[dg.AssetKey, Any] = {}
    for entry in (one.asset_entry for one in instance.get_asset_records(list(keys))):
        record = entry.last_materialization_record
        # older versions of Dagster keep the record of an asset that was wiped, once a run plans to materialize it
        wiped = entry.asset_details.last_wipe_timestamp if entry.asset_details is not None else None
        if record is not None and (wiped is None or record.timestamp > wiped):
            found[entry.asset_key] = record
    return found


def update_of(record: Any) -> Update:
    """Converts the event log record of a materialization to an `Update`."""
    event = record.asset_materialization
    metadata: Mapping[str, Any] = event.metadata if event is not None else {}
    return Update(record.storage_id, record.timestamp, record.run_id or "", record.partition_key, metadata)


def consumption_of(instance: dg.DagsterInstance, record: Any) -> Consumption:
    """Returns the consumption of a materialization, from its event log record.

    Args:
        instance: Instance that stores its run.
        record: The event log record of the materialization.
    """
    event = record.asset_materialization
    tags: Mapping[str, str] = (event.tags or {}) if event is not None else {}
    pointers = {
        key.removeprefix(_POINTER): int(value) if value.isdigit() else 0
        for key, value in tags.items()
        if key.startswith(_POINTER)
    }
    update = update_of(record)
    left_out = update.metadata.get(EXCLUDED_UPDATES_KEY)
    ids: Any = left_out.data if isinstance(left_out, dg.JsonMetadataValue) else {}
    return Consumption(update, pointers, ids, instance)


def updates_since(
    instance: dg.DagsterInstance, key: dg.AssetKey, consumption: Consumption | None, most: int
) -> list[Update] | None:
    """Reads the materializations of an upstream that were not consumed, oldest first.

    Args:
        instance: The event log.
        key: Asset key of the upstream.
        consumption: Consumption of the newest materialization of the asset that reads it; None if it has none.
        most: Maximum number of materializations.

    Returns:
        The updates; None if there are more.
    """
    name = key.to_user_string()
    after = consumption.pointers.get(name) if consumption is not None else 0
    left_out = list(consumption.excluded.get(name, ())) if consumption is not None else []
    filters = [dg.AssetRecordsFilter(asset_key=key, after_storage_id=after)]
    if left_out:
        filters.append(dg.AssetRecordsFilter(asset_key=key, storage_ids=left_out))
    records = {
        record.storage_id: record
        for one in filters
        for record in instance.fetch_materializations(one, limit=most + 1, ascending=False).records
    }
    found = [update_of(record) for _, record in sorted(records.items())]
    found = [
        one for one in found if consumption is None or not consumption.includes(key, one.storage_id, one.timestamp)
    ]
    return None if len(found) > most else found
