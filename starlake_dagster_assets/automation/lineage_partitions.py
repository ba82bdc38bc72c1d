"""Lineage of partitioned targets: each partition has waves of its own."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.waves import TRIGGER, UPSTREAMS, WAVE, carried_options, newest
from starlake_dagster_assets.triggers.evaluate import Fire, Memory, Seen, evaluate
from starlake_dagster_assets.triggers.model import Watch

__all__ = ["partitioned_tick"]

_EVENTS = 200
"""Materializations of one upstream that one tick looks at; the next tick goes on from there."""
_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION


@dataclass
class _Tick:
    context: Any
    keys: Mapping[str, dg.AssetKey]
    partitions: Mapping[str, Any]
    target: tuple[dg.AssetKey, Any]
    _carried: dict[frozenset[str], Mapping[str, str]] = field(default_factory=dict[frozenset[str], Mapping[str, str]])

    @cached_property
    def known(self) -> Sequence[str]:
        """All partitions of the target, oldest first."""
        return self.target[1].get_partition_keys(dynamic_partitions_store=self.context.instance)

    @cached_property
    def _newest(self) -> Sequence[str]:
        """The newest complete partition of the target; empty where there is none."""
        definition, now = self.target[1], time.time()
        if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
            return self.known[-1:]
        windows = ((key, definition.time_window_for_partition_key(key)) for key in reversed(self.known))
        return [key for key, window in islice(windows, 2) if window.end.timestamp() <= now][:1]

    def mapped(self, node: str, partition: str | None) -> Sequence[str]:
        """The partitions of the target that read a partition of an upstream."""
        if partition is None or self.partitions[node] is None:
            # an asset of another code location that is not declared here: only the name of its partition is known
            return [partition] if partition is not None and partition in self.known else self._newest
        if self.context.assets_defs_by_key.get(self.keys[node]) is not None:
            return self.context.get_downstream_partition_keys(partition, self.keys[node], self.target[0])
        return [partition] if partition in self.known else []

    def news(self, node: str, after: int) -> list[tuple[int, float, str, str | None]]:
        """Materializations since a storage id, oldest first."""
        filters = dg.AssetRecordsFilter(asset_key=self.keys[node], after_storage_id=after)
        records = self.context.instance.fetch_materializations(filters, limit=_EVENTS, ascending=True).records
        return [(one.storage_id, one.timestamp, one.run_id or "", one.partition_key) for one in records]

    def standing(self, node: str) -> dict[str, int]:
        """The newest storage id of an upstream for each partition of the target."""
        found: dict[str, int] = {}
        ids = self.context.instance.get_latest_storage_id_by_partition(self.keys[node], _MADE)
        for partition, number in ids.items():
            for downstream in self.mapped(node, partition):
                found[downstream] = max(number, found.get(downstream, 0))
        return found

    def run(self, node: str, number: int) -> str:
        """The run of a materialization that an earlier tick has looked at; "" where it was reported from outside."""
        filters = dg.AssetRecordsFilter(asset_key=self.keys[node], storage_ids=[number])
        records = self.context.instance.fetch_materializations(filters, limit=1).records
        return records[0].run_id or "" if records else ""

    def carried(self, runs: Iterable[str]) -> Mapping[str, str]:
        """The tags with the options of some runs: asked for once, since a run often makes many partitions."""
        ids = frozenset(runs)
        if ids not in self._carried:
            self._carried[ids] = carried_options(self.context.instance, ids)
        return self._carried[ids]


def partitioned_tick(
    context: Any,
    name: str,
    watch: Watch,
    memory: Memory,
    *,
    keys: Mapping[str, dg.AssetKey],
    partitions: Mapping[str, Any],
    target: tuple[dg.AssetKey, Any],
    deadline: float,
) -> tuple[list[dg.RunRequest], Memory, str]:
    """The runs that are due, one a partition of the target.

    A partition is due when the condition holds for what was made for it since it was last made itself: what a failed
    run did not make is still due with the next change, and the run key keeps one wave from running twice.

    Args:
        context: Of the tick.
        name: Of the trigger.
        watch: What is watched.
        memory: The newest id of each upstream that a tick has looked at.
        keys: Asset key by watched node.
        partitions: Partitions definition by watched node, None for an unpartitioned one.
        target: Asset key and partitions definition of what is made.
        deadline: `time.monotonic()` after which no further upstream is looked at in this tick.

    Returns:
        Requests without an asset selection, the memory, and why there are none.
    """
    tick, now = _Tick(context, keys, partitions, target), time.time()
    latest = newest(context.instance, keys, {})
    looked = dict(memory.consumed)
    touched: dict[str, dict[str, Seen]] = {}
    for node in sorted((node for node in latest if latest[node].id > looked.get(node, 0)), key=lambda n: latest[n].id):
        if time.monotonic() > deadline:
            break
        for number, moment, run, partition in tick.news(node, looked.get(node, 0)):
            looked[node] = number
            for downstream in tick.mapped(node, partition):
                touched.setdefault(downstream, {})[node] = Seen(number, moment, run)
    if not touched:
        return [], replace(memory, consumed=looked), "Nothing new was seen upstream."
    ids = {node: tick.standing(node) for node in keys if partitions[node] is not None}
    made: Mapping[str, int] = context.instance.get_latest_storage_id_by_partition(target[0], _MADE)
    requests: list[dg.RunRequest] = []
    held, reasons = False, list[str]()
    for partition, news in touched.items():
        seen = {node: Seen(at[partition], now) for node, at in ids.items() if partition in at}
        seen |= {node: one for node, one in latest.items() if partitions[node] is None} | news
        used = dict.fromkeys(keys, int(made.get(partition, 0)))
        past = Memory(consumed=used, at=memory.at if watch.min_interval else 0)
        verdict = evaluate(f"{name}:{partition}", replace(watch, data_cycle=None), seen, past, now)
        if isinstance(verdict, Fire):
            runs = {node: seen[node].run or tick.run(node, seen[node].id) for node in verdict.ids}
            by = ", ".join(f"{node} (run {run or 'outside'})" for node, run in runs.items())
            tags = {**tick.carried(runs.values()), TRIGGER: name, WAVE: verdict.key, UPSTREAMS: by[:500]}
            requests.append(dg.RunRequest(run_key=verdict.key, partition_key=partition, tags=tags))
        else:
            held = held or verdict.due
            reasons.append(f"{partition}: {verdict.reason}")
    kept = memory if held else replace(memory, consumed=looked)
    return requests, replace(kept, at=now) if requests else kept, " ".join(reasons[:5])
