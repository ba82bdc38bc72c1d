"""Partitions of a table or task that may need a run, with the new updates of their upstreams."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg

from starlake_dagster_assets.automation.policies.upstream_updates import UpstreamUpdate
from starlake_dagster_assets.dagster_assets.specs.partitions import partitions_read

if TYPE_CHECKING:
    from starlake_dagster_assets.automation.definitions.lineage_facts import EventLogFacts

__all__ = ["PartitionTable", "split_at_gaps"]

_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_MOST = 1000
"""Maximum number of partitions of a node that one tick evaluates."""
_CHUNK = 500
_Windows = dg.TimeWindowPartitionsDefinition
_Ids = dict[str, tuple[int, bool]]
"""Newest storage id by upstream, and whether the materialization is for another partition."""


class PartitionTable:
    """Facts of the event log about the partitions of one node.

    Args:
        facts: Facts of the tick.
        node: Id of the node.
    """

    def __init__(self, facts: "EventLogFacts", node: str) -> None:
        self._facts, self._node, self._key = facts, node, facts.keys[node]
        definition = facts.partitions(node)
        assert definition is not None
        self.definition: dg.PartitionsDefinition[Any] = definition
        self.older: Sequence[str] = ()
        """Partitions that were never materialized and have no update since the first run."""

    @cached_property
    def newest_by_partition(self) -> Mapping[str, int]:
        """Storage id of the newest materialization of each partition."""
        return self._facts.instance.get_latest_storage_id_by_partition(self._key, _MADE)

    @cached_property
    def planned(self) -> Mapping[str, int]:
        """Storage id of the newest `ASSET_MATERIALIZATION_PLANNED` event of each partition."""
        return self._facts.instance.get_latest_storage_id_by_partition(self._key, _PLANNED)

    @cached_property
    def first(self) -> int:
        """Storage id of the first event that planned or recorded a materialization of the node; 0 if there is none."""
        log = self._facts.instance.event_log_storage
        found = (
            log.get_event_records(dg.EventRecordsFilter(kind, asset_key=self._key), limit=1, ascending=True)
            for kind in (_PLANNED, _MADE)
        )
        return min((records[0].storage_id for records in found if records), default=0)

    @cached_property
    def updates(self) -> Mapping[str, Mapping[str, UpstreamUpdate]]:
        """The newest update of each upstream, by partition that may need a run, oldest partition first."""
        kept = self._candidates()
        records = self._upstream_records(kept)
        return {
            partition: {
                node: self._facts.update(node, records[number], indirect=indirect)
                for node, (number, indirect) in self._ids[partition].items()
                if number in records
            }
            for partition in kept
        }

    @cached_property
    def materialized(self) -> Mapping[str, Any]:
        """The newest materialization of each partition in `updates`."""
        ids = {
            self.newest_by_partition[partition]: partition
            for partition in self.updates
            if partition in self.newest_by_partition
        }
        return {ids[number]: record for number, record in self._records(self._key, ids).items()}

    def is_materialized_since_planned(self, partition: str) -> bool:
        """Whether the partition was materialized after its last `ASSET_MATERIALIZATION_PLANNED` event."""
        return partition in self.planned and self.newest_by_partition.get(partition, 0) > self.planned[partition]

    def read_by(self, partition: str, up: dg.AssetKey) -> Collection[str]:
        """Returns the partitions of a partitioned upstream that a partition reads, as Dagster maps them."""
        if self._is_same(up):
            return [partition]
        if (partition, up) not in self._read:
            facts = self._facts
            self._read[partition, up] = partitions_read(facts.instance, facts.graph, self._key, partition, up)
        return self._read[partition, up]

    @cached_property
    def _read(self) -> dict[tuple[str, dg.AssetKey], Collection[str]]:
        return {}

    # ------------------------------------------------------------------------------------------------------ candidates

    def _candidates(self) -> list[str]:
        """Returns the partitions with an update that they may not have read; if too many, first those without a run."""
        since = 0 if self._facts.all_history(self._node) else self.first
        found: list[tuple[bool, str]] = []
        older: list[str] = []
        for partition, ids in self._ids.items():
            newest = max((number for number, indirect in ids.values() if not indirect), default=0)
            if newest < min(self.newest_by_partition.get(partition, 0), self.planned.get(partition, 0)) or not newest:
                continue
            if newest < since and partition not in self.newest_by_partition and partition not in self.planned:
                older.append(partition)
            elif self._is_known(partition):
                found.append((newest < self.planned.get(partition, 0), partition))
        self.older = self.ordered(one for one in older if self._is_known(one))
        if not self.first:
            return self.ordered(one for _, one in found)[-_MOST:]
        open_ones = self.ordered(one for has_run, one in found if not has_run)
        return self.ordered([*open_ones, *self.ordered(one for has_run, one in found if has_run)][:_MOST])

    def ordered(self, partitions: Iterable[str]) -> list[str]:
        """Returns partitions sorted from the oldest to the newest."""
        return sorted(partitions, key=self._position)

    def is_followed(self, partition: str, other: str) -> bool:
        """Whether `other` is the next partition after `partition`."""
        if isinstance(self.definition, _Windows):
            before, after = (self.definition.time_window_for_partition_key(key) for key in (partition, other))
            return before.end.timestamp() == after.start.timestamp()
        return self._position(other) - self._position(partition) == 1

    @cached_property
    def _ids(self) -> Mapping[str, _Ids]:
        found: dict[str, _Ids] = {}
        nodes = self._facts.upstreams(self._node)
        for node in nodes:
            for upstream, number in self._by_partition(node).items():
                for partition in self._mapped(node, upstream):
                    ids = found.setdefault(partition, {})
                    ids[node] = (max(number, ids.get(node, (0, False))[0]), False)
        whole = [node for node in nodes if node in self._facts.records and not self._by_partition(node)]
        for node in whole:
            record = self._facts.records[node]
            own = self._closed_at(record.timestamp)
            if own is not None:
                found.setdefault(own, {})[node] = (record.storage_id, False)
        for ids in found.values():
            for node in whole:
                ids.setdefault(node, (self._facts.records[node].storage_id, True))
        return found

    def _by_partition(self, node: str) -> Mapping[str, int]:
        """Returns the newest storage ids of an upstream by partition; empty for an unpartitioned upstream."""
        record = self._facts.records.get(node)
        if record is None or (self._facts.partitions(node) is None and record.partition_key is None):
            return {}
        if self._facts.partitions(node) is not None:
            return self._facts.table(node).newest_by_partition
        return self._facts.instance.get_latest_storage_id_by_partition(self._facts.keys[node], _MADE)

    # --------------------------------------------------------------------------------------------------------- mapping

    def _mapped(self, node: str, upstream: str) -> Collection[str]:
        """Returns the partitions that read a partition of an upstream."""
        known = self._facts.partitions(node)
        if known is None:  # of another code location that is not declared here: only the name is known
            record = self._facts.records[node]
            own = upstream if self._is_known(upstream) else self._closed_at(record.timestamp)
            return [own] if own is not None else []
        if self._is_same(self._facts.keys[node]):
            return [upstream]
        if (node, upstream) not in self._mapping:
            self._mapping[node, upstream] = frozenset(self._downstream(node, known, upstream))
        return self._mapping[node, upstream]

    def _downstream(self, node: str, known: dg.PartitionsDefinition[Any], upstream: str) -> Iterable[str]:
        if not self._facts.has_partition(node, upstream):
            return ()  # of former partitions
        mapping = self._facts.graph.get_partition_mapping(self._key, self._facts.keys[node])
        subset = known.empty_subset().with_partition_keys([upstream])
        return mapping.get_downstream_partitions_for_partitions(
            subset, known, self.definition, dynamic_partitions_store=self._facts.instance
        ).get_partition_keys()

    @cached_property
    def _mapping(self) -> dict[tuple[str, str], Collection[str]]:
        return {}

    def _is_same(self, up: dg.AssetKey) -> bool:
        """Whether each partition reads the partition of an upstream with the same key."""
        if up not in self._same:
            mapping: Any = self._facts.graph.get_partition_mapping(self._key, up)
            default = mapping in (dg.TimeWindowPartitionMapping(), dg.IdentityPartitionMapping())
            self._same[up] = default and self._facts.graph.get(up).partitions_def == self.definition
        return self._same[up]

    @cached_property
    def _same(self) -> dict[dg.AssetKey, bool]:
        return {}

    def _is_known(self, partition: str) -> bool:
        return self._facts.has_partition(self._node, partition)

    def _closed_at(self, moment: float) -> str | None:
        """Returns the newest partition that was complete at a moment; without time windows, the last partition."""
        windows = self.definition
        if not isinstance(windows, _Windows):
            return next(reversed(list(self._facts.partition_positions(self._node))), None)
        at = datetime.fromtimestamp(moment, timezone.utc)
        bound = at if windows.end is None else min(at, windows.end)
        found = windows.get_prev_partition_window(bound, respect_bounds=False)
        if found is None or found.start.timestamp() < windows.start.timestamp():
            return None
        return windows.get_partition_key_for_timestamp(found.start.timestamp())

    def _position(self, partition: str) -> float:
        if isinstance(self.definition, _Windows):
            return self.definition.time_window_for_partition_key(partition).start.timestamp()
        return self._facts.partition_positions(self._node)[partition]

    # --------------------------------------------------------------------------------------------------------- records

    def _upstream_records(self, partitions: Collection[str]) -> Mapping[int, Any]:
        needed: dict[str, set[int]] = {}
        for partition in partitions:
            for node, (number, _) in self._ids[partition].items():
                needed.setdefault(node, set()).add(number)
        found: dict[int, Any] = {}
        for node, ids in needed.items():
            newest = self._facts.records[node]
            found[newest.storage_id] = newest
            found.update(self._records(self._facts.keys[node], ids - {newest.storage_id}))
        return found

    def _records(self, key: dg.AssetKey, ids: Iterable[int]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        numbers = iter(sorted(ids))
        while part := list(islice(numbers, _CHUNK)):
            filters = dg.AssetRecordsFilter(asset_key=key, storage_ids=part)
            records = self._facts.instance.fetch_materializations(filters, limit=len(part)).records
            found.update({record.storage_id: record for record in records})
        return found


def split_at_gaps(table: PartitionTable, partitions: Sequence[str]) -> list[list[str]]:
    """Splits ordered partitions into lists of adjacent partitions.

    Args:
        table: Facts about the partitions of the node.
        partitions: Keys of partitions, from the oldest to the newest.
    """
    found: list[list[str]] = []
    for partition in partitions:
        if found and table.is_followed(found[-1][-1], partition):
            found[-1].append(partition)
        else:
            found.append([partition])
    return found
