"""Decides the result of a load in a cloud by its files: `pre_execute` and `post_execute` of its Airflow task.

Exported next to the DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from starlake_dagster_assets.airflow.runtime.asset_updates import skip_task
from starlake_dagster_assets.airflow.runtime.load_spec import LoadSpec, read_manifest
from starlake_dagster_assets.airflow.runtime.loaded_files import LoadedFiles
from starlake_dagster_assets.airflow.runtime.local_try_record import TryRecord, log_line
from starlake_dagster_assets.airflow.runtime.macros import attempt, emit_load_window
from starlake_dagster_assets.airflow.runtime.store_areas import RecordedAreas, StoreAreas, store_areas
from starlake_dagster_assets.commands.model import CommandExit
from starlake_dagster_assets.execution.evidence import CommandEnd, LogProperties, TableResult
from starlake_dagster_assets.execution.load_files import LoadFiles
from starlake_dagster_assets.execution.reconcile import reconcile_load

__all__ = ["begin_load", "end_load"]

_WITHOUT_LOG = CommandEnd((), CommandExit(0, 0.0), LogProperties(ended=False, understood=False))


def begin_load(root: Mapping[str, str], directory: str, *stems: str) -> Callable[[Any], None]:
    """Returns the `pre_execute` of a load: it lists the files that decide the result at the end.

    Args:
        root: Templates of `SL_ROOT`, `SL_DATASETS` and the path of the manifest.
        directory: Directory of the domain.
        stems: File stems of its tables.
    """

    def begin(context: Any) -> None:
        load = _CloudLoad(context, root, directory, stems)
        load.begin()

    return begin


def end_load(
    root: Mapping[str, str], directory: str, *stems: str, log: Callable[..., CommandEnd] | None = None
) -> Callable[[Any, Any], None]:
    """Returns the `post_execute` of a load: it decides the result of a command that ended with exit code 0.

    Args:
        root: Templates of `SL_ROOT`, `SL_DATASETS` and the path of the manifest.
        directory: Directory of the domain.
        stems: File stems of its tables.
        log: Function that returns the facts in the log of the command, such as `read_driver`; None if there is none.
    """

    def end(context: Any, result: Any = None) -> None:
        load = _CloudLoad(context, root, directory, stems)
        load.end(_WITHOUT_LOG if log is None else load.read(partial(log, context, result)))
        emit_load_window(context)

    return end


class _CloudLoad:
    """Evaluation of a load in a cloud, from the context of its task."""

    def __init__(self, context: Any, root: Mapping[str, str], directory: str, stems: tuple[str, ...]) -> None:
        render: Callable[..., str] = context["task"].render_template
        environ = {name: render(text, context) for name, text in root.items()}
        known = read_manifest(environ)
        self._areas = store_areas(known, environ)
        self.spec = LoadSpec.of(known, directory, stems)
        self._number = int(context["ti"].try_number)
        self._attempt = attempt(context)

    def begin(self) -> None:
        """Records the locations of the files, unless another process has already begun this try.

        Raises:
            RuntimeError: The load would overwrite a file that is still to be loaded.
        """
        if self._areas is None:
            return
        record = TryRecord.of(self._attempt, self._areas, resume=True)
        if record.begun:
            return
        loaded_files = LoadedFiles(record, self._areas, self.spec)
        domain = self.spec.domain[0].domain_name
        if problems := loaded_files.prepare():
            loaded_files.give_up()
            raise RuntimeError("; ".join(f"{domain}.{table}: {reason}" for table, reason in problems.items()))
        stage = self._areas.list_files("stage", domain) or {}
        ingesting = self._areas.list_files("ingesting", domain) or {}
        record.listing = {"stage": stage, "ingesting": ingesting, "archive": self._areas.archived(domain, stage) or {}}
        loaded_files.note(self._files(self._areas, record), [])

    def read(self, log: Callable[..., CommandEnd]) -> CommandEnd:
        """Returns the facts in the log of the command; no facts if it cannot be read and Airflow can list the files.

        Args:
            log: Function that returns the facts. Its arguments are the tables of the load, and those that may be
                announced more than once.

        Raises:
            RuntimeError: The log cannot be read, and Airflow cannot list the files.
        """
        try:
            return log(self.spec.expected, self.spec.repeated)
        except RuntimeError as error:
            if self._areas is None:
                raise
            log_line(f"the log is not used, and the files determine the result: {error}")
            return _WITHOUT_LOG

    def end(self, ending: CommandEnd) -> None:
        """Decides the result by the same rules as Dagster steps.

        Args:
            ending: The facts about the command, without its files.

        Raises:
            RuntimeError: A table failed, or its result is unknown.
        """
        if self._areas is None:
            self._end_without_files(ending)
            return
        record = TryRecord.of(self._attempt, self._areas, resume=True)
        if not record.begun:
            raise RuntimeError("the result is unknown: the record of this try, which lists its files, was removed.")
        files = self._files(self._areas, record)
        loaded_files = LoadedFiles(record, self._areas, self.spec)
        ending = replace(ending, files=files.after(ending.events, adopted=False))
        alone = {name[1]: one for name, one in reconcile_load(self.spec.expected.values(), ending).items()}
        final = loaded_files.resolve(alone, ending, files)
        ended_well = not {one.status for one in final.values()} & {"failed", "unknown"}
        loaded_files.finish(alone, final, ending, ended_well=ended_well)
        self._conclude(final)

    def _conclude(self, final: Mapping[str, TableResult]) -> None:
        """Reports the results of the tables, and fails or skips the task accordingly."""
        self._report(final)
        failed = {name: one for name, one in final.items() if one.status in ("failed", "unknown")}
        if failed:
            raise RuntimeError("; ".join(f"{name}: {one.status}: {one.reason}" for name, one in failed.items()))
        if all(one.status == "nothing" for one in final.values()):
            skip_task("no file of the load's tables")

    @property
    def _tables(self) -> list[Any]:
        return [*self.spec.requested.values()]

    def _files(self, areas: StoreAreas, record: TryRecord) -> LoadFiles:
        """Returns the files of the load, with the listings from before the load in the record of the try."""
        reader = RecordedAreas(areas, record.listing)
        return LoadFiles(reader, self._tables, self.spec.domain, archives=areas.archives)

    def _end_without_files(self, ending: CommandEnd) -> None:
        names = ", ".join(f"{table.domain_name}.{table.name}" for table in self._tables)
        if self._number > 1:
            raise RuntimeError(
                f"{names}: unknown: this try ended with exit code 0, as it also does if an earlier try has taken the "
                "files, and the datasets of the project are in no store that Airflow can list. Look into the log of "
                "the command, and mark the task as a success if the files are loaded."
            )
        if ending is not _WITHOUT_LOG:
            results = reconcile_load(self.spec.expected.values(), ending)
            self._conclude({name[1]: one for name, one in results.items()})
            return
        log_line(f"{names}: exit code 0 is the only evidence; whether there were files is not known")

    def _report(self, final: Mapping[str, TableResult]) -> None:
        for name, verdict in final.items():
            reason = f": {verdict.reason}" if verdict.reason else ""
            log_line(f"{name}: {verdict.status}{reason}")
            for warning in verdict.warnings:
                log_line(f"{name}: warning: {warning}")
