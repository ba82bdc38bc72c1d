"""Files that the tries of an Airflow task took: which were loaded, and which are still to be loaded.

Exported next to the DAG files: standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from starlake_dagster_assets.airflow.runtime.load_spec import LoadSpec, WorkerTable
from starlake_dagster_assets.airflow.runtime.local_try_record import LoadAreas, TableFilesByTry, TryRecord
from starlake_dagster_assets.commands.model import Event, TableFailed
from starlake_dagster_assets.execution.evidence import CommandEnd, Evidence, TableResult
from starlake_dagster_assets.execution.load_files import LoadFiles
from starlake_dagster_assets.execution.load_progress import LoadProgress
from starlake_dagster_assets.plural import first_of

__all__ = ["LoadedFiles"]

_LOADED_BEFORE = "loaded by an earlier try of this task"


class LoadedFiles:
    """The files of the tables of one load over all tries of its task.

    Args:
        record: Record of the tries.
        areas: The areas of the project.
        spec: The tables of the load.
    """

    def __init__(self, record: TryRecord, areas: LoadAreas, spec: LoadSpec) -> None:
        self._record, self._areas, self._requested, self._domain = record, areas, spec.requested, spec.domain
        self._tries = {stem: record.tables.get(stem) or TableFilesByTry() for stem in spec.requested}

    def prepare(self) -> Mapping[str, str]:
        """Moves files that an earlier try did not load back to `stage`.

        Returns:
            The reasons why the load must not run, by table: it would overwrite a file that is still to be loaded, or
            another file has replaced such a file.
        """
        if not any(one.pending for one in self._tries.values()):
            return {}
        problems: dict[str, str] = {}
        stage = self._list("stage")
        for stem, table in self._requested.items():
            one = self._tries[stem]
            self._count_archived(table, one)
            found = [
                name for name, mark in one.returned.items() if name in one.pending and stage.get(name, mark) != mark
            ]
            one.returned = {}
            if found:
                problems[table.name] = (
                    f"{first_of(found, 5)} was not loaded and moved back to `stage`, where another file of that name "
                    "has replaced it. If the new file has the same rows, clear the task; else deliver the first one as "
                    "well"
                )
            else:
                self._put_back(table, one)
        both = self._list("ingesting").keys() & self._list("stage").keys()
        for stem, table in self._requested.items():
            found = [name for name in self._tries[stem].pending if name in both]
            if found and table.name not in problems:
                problems[table.name] = (
                    f"{first_of(found, 5)} in `ingesting` was taken by an earlier try and not loaded, and `stage` has "
                    "a new file of that name, which would overwrite it. If the new file replaces the old one, delete "
                    "the old one, else rename one of them; then clear the task"
                )
        return problems

    def note(self, files: LoadFiles, events: Sequence[Event]) -> None:
        """Records the files that were taken so far, because a process that is killed cannot do so at its end."""
        tries: dict[str, TableFilesByTry] = {}
        seen, progress = self._record.known and files.is_listed, LoadProgress(events)
        for stem, table in self._requested.items():
            names = {*files.sizes(table), *progress.announced(_name(table))}
            tries[stem] = self._after(table, self._tries[stem], "" if seen else "unknown", names, ())
            tries[stem].unfinished = sorted(progress.unfinished(_name(table)))
        self._record.save(tries, ended_well=False)

    def resolve(self, alone: Mapping[str, TableResult], ending: CommandEnd, files: LoadFiles) -> dict[str, TableResult]:
        """Returns the results by table, with earlier tries taken into account.

        Args:
            alone: Results of this try alone, by table.
            ending: The facts about the load.
            files: The files of the load.
        """
        return {
            table.name: self._resolved(table, self._tries[stem], alone[table.name], ending, files)
            for stem, table in self._requested.items()
        }

    def _resolved(
        self, table: WorkerTable, one: TableFilesByTry, verdict: TableResult, ending: CommandEnd, files: LoadFiles
    ) -> TableResult:
        record = self._record
        missing = sorted({*one.pending} - _loaded_files(table, verdict, ending))
        if verdict.status == "loaded" and missing:
            return replace(
                verdict,
                status="failed",
                reason=f"{first_of(verdict.files, 5)} was loaded, and {_loaded_message(missing)}",
            )
        if verdict.status != "nothing":
            return verdict
        if not record.known:
            reason = "no new file, and an earlier try of this task left no record: what it did with files is not known"
            return TableResult("unknown", reason=reason)
        if names := missing or list(files.not_loaded(table)):
            status = "failed" if record.again else "unknown"
            return replace(verdict, status=status, reason=f"no new file, but {_loaded_message(names)}")
        if one.loaded:
            return TableResult("loaded", tuple(one.loaded), warnings=(_LOADED_BEFORE,), evidence=Evidence.FILES)
        if one.status == "unknown":
            return TableResult(
                "unknown", reason="no new file, and the result of an earlier try of this task is unknown"
            )
        return verdict

    def finish(
        self,
        alone: Mapping[str, TableResult],
        final: Mapping[str, TableResult],
        ending: CommandEnd,
        *,
        ended_well: bool,
    ) -> None:
        """Moves files that were not loaded back to `stage`, and records this try for the next one.

        Args:
            alone: Results of this try alone, by table.
            final: Results with earlier tries taken into account, by table.
            ending: The facts about the load.
            ended_well: Whether the exit code is 0 or 99.
        """
        tries, progress = dict[str, TableFilesByTry](), LoadProgress(ending.events)
        for stem, table in self._requested.items():
            verdict, facts = alone[table.name], ending.files.get((table.domain_name, table.name))
            gone = {*facts.before} - facts.waiting if facts is not None else set[str]()
            names = {*verdict.files, *progress.announced(_name(table)), *gone}
            loaded = _loaded_files(table, verdict, ending)
            one = self._after(table, self._tries[stem], final[table.name].status, names, loaded)
            one.unfinished = sorted(progress.unfinished(_name(table)) & one.pending.keys())
            if final[table.name].status != "loaded":
                self._put_back(table, one)
            tries[stem] = one
        self._record.save(tries, ended_well=ended_well)

    def give_up(self) -> None:
        """Records a try that did not run its load."""
        self._record.save(self._tries, ended_well=False)

    # ------------------------------------------------------------------------------------------------- details

    def _list(self, area: Literal["stage", "ingesting"]) -> Mapping[str, str]:
        return self._areas.list_files(area, self._domain[0].domain_name) or {}

    def _count_archived(self, table: WorkerTable, one: TableFilesByTry) -> None:
        """Counts pending files as loaded if they have arrived in `archive` since a try took them."""
        now = (self._areas.archived(table.domain_name, list(one.pending)) or {}) if one.pending else {}
        for name in [name for name, before in one.pending.items() if now.get(name, before) != before]:
            del one.pending[name]
            one.loaded.append(name)

    def _put_back(self, table: WorkerTable, one: TableFilesByTry) -> None:
        """Moves unfinished files back to `stage`, and records their names and marks in `stage`."""
        for name in one.unfinished:
            if (new := self._areas.put_back(table, name, self._domain)) is None:
                continue
            before = one.pending.pop(name, "")
            renamed = (self._areas.archived(table.domain_name, [new]) or {}) if new != name else {}
            one.pending[new] = before if new == name else renamed.get(new, "")
            one.returned[new] = self._list("stage").get(new, "")
        one.unfinished = [name for name in one.unfinished if name in one.pending and name not in one.returned]

    def _after(
        self, table: WorkerTable, before: TableFilesByTry, status: str, names: Iterable[str], loaded: Collection[str]
    ) -> TableFilesByTry:
        """Returns the record of a table after a try that took some files and loaded some."""
        new = [name for name in sorted(names) if name not in loaded]
        pending = {name: mark for name, mark in before.pending.items() if name not in loaded}
        marks = self._areas.archived(table.domain_name, new) or {} if new else {}
        pending |= {name: marks.get(name, "") for name in new if name not in pending}
        found = [*(name for name in before.loaded if name not in pending), *loaded]
        return TableFilesByTry(status, pending, loaded=list(dict.fromkeys(found)))


def _loaded_files(table: WorkerTable, verdict: TableResult, ending: CommandEnd) -> set[str]:
    """Returns the files that this try loaded, by their locations, or by the log if these are unknown."""
    if verdict.status == "loaded":
        return {*verdict.files}
    facts = ending.files.get((table.domain_name, table.name))
    if facts is not None:
        return {*facts.archived}
    failed = [event for event in ending.events if isinstance(event, TableFailed) and event.table == table.name]
    return {name for event in failed for name in event.files if name not in event.missing}


def _name(table: WorkerTable) -> tuple[str, str]:
    return table.domain_name, table.name


def _loaded_message(names: Sequence[str]) -> str:
    return (
        f"{first_of(names, 5)} was taken by an earlier load and not loaded (datasets/ingesting). Move it to the area "
        "`stage` and clear the task, or repair it and deliver it again under the same name"
    )
