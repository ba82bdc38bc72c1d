"""Reads from the runs of an instance which sets of files were requested, and which tables are being loaded."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import dagster as dg

from starlake_dagster_assets.automation.file_arrivals.arrival_evaluation import ArrivalRun
from starlake_dagster_assets.automation.file_arrivals.tags import FILES, FILES_OF_WINDOW, sets_in
from starlake_dagster_assets.automation.policies.skip_reasons import short_hash
from starlake_dagster_assets.dagster_assets.dagster_runs import (
    IN_PROGRESS,
    INTERVAL_END,
    is_of_this_location,
    planned_assets,
)

__all__ = ["LoadRuns"]

_RECENT, _PAGE, _MOST = 50, 200, 5000


class LoadRuns:
    """The runs of one job, read from the instance at the first use.

    Args:
        context: Evaluation context of the tick.
        job: The name of the job.
    """

    def __init__(self, context: dg.SensorEvaluationContext, job: str) -> None:
        self._context, self._job = context, job

    @cached_property
    def recent(self) -> list[ArrivalRun]:
        """The newest runs, newest first."""
        return list(self._read(_RECENT))

    @cached_property
    def every(self) -> list[ArrivalRun]:
        """All runs, newest first; at most the newest 5000."""
        return list(self._read(_MOST)) if len(self.recent) == _RECENT else self.recent

    def requested(self, sets: Mapping[str, str], until: str = "", *, all_runs: bool = False) -> dict[str, ArrivalRun]:
        """Returns the newest run that was requested for each set of files, by unit (table or ack file).

        Args:
            sets: The digest of each set, by unit.
            until: End of the data interval of the runs; "" = any.
            all_runs: Whether to also read older runs if the newest ones do not have all sets.
        """
        found: dict[str, ArrivalRun] = {}
        units = {(short_hash(unit), digest): unit for unit, digest in sets.items()}

        def search(runs: Sequence[ArrivalRun]) -> None:
            for run in runs:
                if not until or run.until == until:
                    for one in run.sets.items() & units.keys():
                        found.setdefault(units[one], run)

        search(self.recent)
        if all_runs and len(found) < len(units):
            search(self.every)
        return found

    def loading(self, keys: Mapping[str, dg.AssetKey]) -> dict[str, ArrivalRun]:
        """Returns the run in progress that loads each table, by node id; runs of other jobs and manual runs count.

        Args:
            keys: Asset keys of the tables, by node id.
        """
        found: dict[str, ArrivalRun] = {}
        for run, loads in self._in_progress:
            found.update({node: run for node, key in keys.items() if key in loads and node not in found})
        return found

    @cached_property
    def _in_progress(self) -> list[tuple[ArrivalRun, frozenset[dg.AssetKey]]]:
        instance = self._context.instance
        records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS), limit=_PAGE)
        return [(_load_run(record), frozenset(planned_assets(instance, record.dagster_run))) for record in records]

    def _read(self, most: int) -> Iterator[ArrivalRun]:
        instance, filters = self._context.instance, dg.RunsFilter(job_name=self._job)
        cursor, count = None, 0
        while count < most:
            records = instance.get_run_records(filters, limit=min(_PAGE, most - count), order_by="id", cursor=cursor)
            for record in records:
                if is_of_this_location(record.dagster_run, self._context):
                    yield _load_run(record)
            if len(records) < min(_PAGE, most - count):
                return
            count += len(records)
            cursor = records[-1].dagster_run.run_id


def _load_run(record: dg.RunRecord) -> ArrivalRun:
    run = record.dagster_run
    since = record.start_time or record.create_timestamp.timestamp()
    files = run.tags.get(FILES) or run.tags.get(FILES_OF_WINDOW, "")
    return ArrivalRun(run.run_id, run.status.value, since, sets_in(run.tags), run.tags.get(INTERVAL_END, ""), files)
