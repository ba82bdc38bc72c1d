"""Runs that ended before they reported the result of a table, for example because their process was killed."""

from collections.abc import Iterator

import dagster as dg

from starlake_dagster_assets.dagster_assets.dagster_runs import is_over

__all__ = ["UnreportedLoads"]

_RESULTS = {  # not evaluations of checks: older versions of Dagster store them before the materialization
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.STEP_FAILURE,
}
_RECORDS = 1000
"""Records of a run that are read at once."""
_PAGES = (10, 100, 1000)
"""Planned materializations of a table that are read at once, newest first: a run over many partitions plans many."""


class UnreportedLoads:
    """Runs that ended without a result for a table; the results of each run are read once.

    Args:
        instance: Instance that stores the event log.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._results: dict[str, frozenset[dg.AssetKey | str]] = {}

    def jobs(self, key: dg.AssetKey, node: str, current: str) -> tuple[str, ...]:
        """Returns the prefixes of the job ids of runs that ended without a result for a table, since its last result.

        Args:
            key: Asset key of the table.
            node: Node id of the table.
            current: Id of the current run, which is left out.
        """
        found: list[str] = []
        for run_id in self._planned_by(key):
            run = self._instance.get_run_by_id(run_id) if run_id != current else None
            if run is None or not is_over(run):
                continue
            if not self.has_ended_without_result(run, key, node):
                break
            found.append(f"{run_id}-")
        return tuple(found)

    def has_ended_without_result(self, run: dg.DagsterRun, key: dg.AssetKey, node: str) -> bool:
        """Whether a run has ended, and its event log contains no result of a table.

        Args:
            run: The run.
            key: Asset key of the table.
            node: Node id of the table; the metadata of a failed step has it as a key.
        """
        if not is_over(run):
            return False
        if run.run_id not in self._results:
            self._results[run.run_id] = frozenset(self._read(run.run_id))
        return not self._results[run.run_id] & {key, node}

    def _planned_by(self, key: dg.AssetKey) -> Iterator[str]:
        """Yields the ids of the runs that planned to materialize an asset, newest first."""
        seen: set[str] = set()
        before: int | None = None
        for limit in _PAGES:
            planned = dg.EventRecordsFilter(
                dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=key, before_cursor=before
            )
            records = self._instance.event_log_storage.get_event_records(planned, limit=limit)
            for record in records:
                if record.run_id not in seen:
                    seen.add(record.run_id)
                    yield record.run_id
            if len(records) < limit:
                return
            before = records[-1].storage_id

    def _read(self, run_id: str) -> Iterator[dg.AssetKey | str]:
        """Yields the assets of which a run has reported a result, and the node ids that its failed steps name."""
        cursor: str | None = None
        while True:
            page = self._instance.get_records_for_run(run_id, cursor=cursor, of_type=_RESULTS, limit=_RECORDS)
            for record in page.records:
                event = record.event_log_entry.dagster_event
                if event is None:
                    continue
                if event.event_type is dg.DagsterEventType.STEP_FAILURE:
                    failure = event.step_failure_data.user_failure_data
                    yield from failure.metadata if failure is not None else ()
                elif event.asset_key is not None:
                    yield event.asset_key
            if not page.has_more:
                return
            cursor = page.cursor
