"""What a Dagster instance knows of the sets of files that runs were asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import dagster as dg

from starlake_dagster_assets.arrivals.memory import Asked, Memory
from starlake_dagster_assets.arrivals.tags import sets_in
from starlake_dagster_assets.automation.waves import INTERVAL_END, TRIGGER, WAVE, is_over, of_this_location
from starlake_dagster_assets.triggers.words import short

__all__ = ["ArrivalRun", "accepted", "asked_of", "runs_of"]

_RUNS = 50


@dataclass(frozen=True)
class ArrivalRun:
    """A run of an arrival sensor.

    Attributes:
        id: Of the run.
        key: Its run key.
        state: What became of it.
        sets: The digest of each set, by the short hash of the table.
        until: End of its data interval, ISO 8601; "" where it has none.
    """

    id: str
    key: str
    state: Literal["in progress", "succeeded", "failed"]
    sets: Mapping[str, str]
    until: str

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state != "in progress"


def runs_of(context: dg.SensorEvaluationContext, name: str) -> list[ArrivalRun]:
    """The last runs of a sensor, newest first."""
    records = context.instance.get_run_records(dg.RunsFilter(tags={TRIGGER: name}), limit=_RUNS, order_by="id")
    return [_read(record.dagster_run) for record in records if of_this_location(record.dagster_run, context)]


def accepted(context: dg.SensorEvaluationContext, key: str) -> bool:
    """Whether the instance has a run of that key."""
    return bool(context.instance.get_run_records(dg.RunsFilter(tags={WAVE: key}), limit=1))


def asked_of(
    context: dg.SensorEvaluationContext,
    memory: Memory,
    runs: Sequence[ArrivalRun],
    units: Sequence[str],
    until: datetime | None,
) -> dict[str, Asked]:
    """The sets that runs were asked for: by the runs themselves, and by the memory of those that are too old.

    Args:
        context: Of the tick.
        memory: Of the tick before.
        runs: The last runs, newest first.
        units: The tables, or `ack`.
        until: End of the data interval that counts; None = any.

    Returns:
        By table. A set whose run was deleted, or never accepted, was not asked for.
    """
    names = {short(unit): unit for unit in units}
    found: dict[str, Asked] = {}
    mine = [run for run in runs if until is None or run.until == until.isoformat()]
    for run in mine:
        for hashed, digest in run.sets.items():
            if hashed in names:
                found.setdefault(names[hashed], Asked(digest, run.key, run.id, run.state))
    for unit, (digest, key) in memory.asked.items():
        if unit not in units or (unit in found and found[unit].key == key):
            continue
        records = context.instance.get_run_records(dg.RunsFilter(tags={WAVE: key}), limit=1)
        if records:
            run = _read(records[0].dagster_run)
            found[unit] = Asked(digest, key, run.id, run.state)
    return found


def _read(run: dg.DagsterRun) -> ArrivalRun:
    if not is_over(run):
        state: Literal["in progress", "succeeded", "failed"] = "in progress"
    else:
        state = "succeeded" if run.status is dg.DagsterRunStatus.SUCCESS else "failed"
    return ArrivalRun(run.run_id, run.tags.get(WAVE, ""), state, sets_in(run.tags), run.tags.get(INTERVAL_END, ""))
