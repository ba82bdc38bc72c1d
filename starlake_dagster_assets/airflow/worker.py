"""The program that runs the Starlake command of an Airflow task: its exit code follows the rules of Dagster steps.

It is exported next to the DAG files, together with the rules that it uses: standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlake_dagster_assets.airflow.tries import TryRecord, WorkerTable, areas_of, say
from starlake_dagster_assets.command.evidence import Ending, Evidence, Expected, Log, Verdict
from starlake_dagster_assets.command.load_files import LoadFiles
from starlake_dagster_assets.command.model import CommandFailed, Event, FileLoaded, RunResult, TableStarted
from starlake_dagster_assets.command.parse import OutputParser
from starlake_dagster_assets.command.reconcile import reconcile_load, reconcile_transform, with_uncertain

__all__ = ["main"]

FAILED = 1
NOTHING = 99
"""Exit code of a load without a file: `BashOperator` skips the task."""
_LEVELS = ("info", "debug", "trace")


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Runs a command and returns the exit code of the task.

    Args:
        argv: The command and its arguments.
        environ: `STARLAKE` is the program, `STARLAKE_EXPORT` the manifest of the export, `STARLAKE_ATTEMPT` the
            task instance and the number of its try, as the macro `attempt` returns them.

    Returns:
        0 where there is evidence of success, 99 where a load found no file and no earlier try of the task took one
        (`BashOperator` skips the task), else 1.
    """
    if argv[:1] == ["load"]:
        return _LoadTask(argv, environ).run()
    ending = _ending(argv, environ)
    verdict = reconcile_transform("", "", ending)
    if verdict.status == "loaded":
        return 0
    say(f"{' '.join(argv[:3])}: {verdict.status}: {verdict.reason}")
    return FAILED


# ---------------------------------------------------------------------------------------------- the command


def _lines(argv: Sequence[str], environ: Mapping[str, str], code: list[int]) -> Iterator[str]:
    """Yields and prints the lines of the program; appends its exit code to `code`."""
    level = environ.get("SL_LOG_LEVEL", "").lower()
    env = {**environ, "SL_LOG_LEVEL": level if level in _LEVELS else "info"}  # the verdict is read from these lines
    with subprocess.Popen(
        [environ.get("STARLAKE", "starlake"), *argv],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            yield line
        sys.stdout.flush()
        code.append(process.wait())


def _ending(
    argv: Sequence[str],
    environ: Mapping[str, str],
    expected: Collection[tuple[str, str]] = (),
    repeated: Collection[tuple[str, str]] = (),
    note: Any = None,
) -> Ending:
    """Runs the program to its end and returns the facts about it."""
    parser, events, code = OutputParser(expected, repeated), list[Event](), list[int]()
    try:
        for line in _lines(argv, environ, code):
            if found := parser.feed(line):
                events += found
                if note is not None:
                    note(events)
    except OSError as error:
        return Ending((CommandFailed(f"the program cannot be run: {error}"),), None)
    events += parser.finish(code[0])
    log = Log(parser.ended, parser.walked, parser.understood, parser.found, lossless=True)
    return Ending(tuple(events), RunResult(code[0], 0.0), log)


# ------------------------------------------------------------------------------------------------- the load


class _LoadTask:
    """A load and its result, by the rules of `command.reconcile`."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._argv, self._environ = argv, environ
        given = dict(zip(argv[1::2], argv[2::2], strict=False))
        directory = given.get("--domains", "")
        manifest = _manifest(environ)
        listed: Mapping[str, Mapping[str, Any]] = manifest.get("tables", {})
        own = f"{directory}/"
        known = {name.removeprefix(own): one for name, one in listed.items() if name.startswith(own)}
        name = next((one["domain"] for one in known.values()), directory)
        self._stems = {known.get(stem, {}).get("name", stem): stem for stem in given.get("--tables", "").split(",")}
        self._expected = {
            (name, table): _expected(name, directory, table, known.get(stem, {})) for table, stem in self._stems.items()
        }
        self._blocking = {one for one in self._expected if known.get(self._stems[one[1]], {}).get("blocks")}
        self._repeated = [one for one in self._expected if known.get(self._stems[one[1]], {}).get("repeated")]
        self._domain = name
        self._areas = areas_of(manifest, environ)
        self._record = TryRecord.of(environ, self._areas)
        if known:
            tables = [WorkerTable(one.get("name", stem), name, one["pattern"]) for stem, one in known.items()]
            requested = [table for table in tables if table.name in self._stems]
            self._restore()
            self._files = LoadFiles(self._areas, requested, tables, archives="archive" in self._areas.paths)
            self._tables = {table.name: table for table in requested}
        else:
            self._files, self._tables = None, dict[str, WorkerTable]()

    def run(self) -> int:
        """Runs the load and returns the exit code of the task."""
        self._note([])
        ending = _ending(self._argv, self._environ, self._expected, self._repeated, self._note)
        if self._files is not None:
            ending = replace(ending, files=self._files.after(ending.events, adopted=False))
        verdicts = with_uncertain(reconcile_load(self._expected.values(), ending), ending, self._blocking)
        final = {name: self._resolved(name, verdict) for name, verdict in verdicts.items()}
        code = self._exit_code(final, ending)
        loaded = {name: {*verdict.files} for name, verdict in verdicts.items() if verdict.status == "loaded"}
        self._record.save(self._kept(final, loaded, ending), ended_well=code in (0, NOTHING))
        for table, names in self._unfinished(ending.events).items():
            if final[self._domain, table].status != "loaded":
                self._areas.put_back(self._domain, names)
        return code

    def _exit_code(self, verdicts: Mapping[tuple[str, str], Verdict], ending: Ending) -> int:
        for (domain, table), verdict in verdicts.items():
            counts = "" if verdict.accepted is None else f" ({verdict.accepted} accepted, {verdict.rejected} rejected)"
            reason = f": {verdict.reason}" if verdict.reason else counts
            say("\n  ".join(f"{domain}.{table}: {verdict.status}{reason}".splitlines()))
            for warning in verdict.warnings:
                say(f"{domain}.{table}: warning: {warning}")
        found = {verdict.status for verdict in verdicts.values()}
        if found & {"failed", "unknown"}:
            return FAILED
        if not ending.clean:
            say(f"the load failed although none of its tables did: {ending.error}")
            return FAILED
        return 0 if "loaded" in found else NOTHING

    def _resolved(self, name: tuple[str, str], verdict: Verdict) -> Verdict:
        """Returns the verdict with earlier tries taken into account: files that they took and did not load."""
        record, table = self._record, name[1]
        before: Mapping[str, Any] = record.tables.get(self._stems[table], {})
        if record.ended_well:
            before = {}
        missing = sorted({*before.get("files", ())} - {*verdict.files})
        if verdict.status == "loaded" and missing:
            reason = f"{', '.join(verdict.files)} was loaded, and {_taken(missing)}"
            return replace(verdict, status="failed", reason=reason)
        if verdict.status != "nothing":
            return verdict
        if not record.known:
            reason = "no new file, and an earlier try of this task left no record: what it did with files is not known"
            return Verdict("unknown", reason=reason)
        if before.get("status") == "loaded":
            return Verdict("loaded", warnings=("loaded by an earlier try of this task",), evidence=Evidence.LOG)
        waiting = (
            self._files.not_loaded(self._tables[table]) if self._files is not None and table in self._tables else ()
        )
        if names := list(waiting) or missing:
            again = record.number > 1 and not record.ended_well
            return replace(verdict, status="failed" if again else "nothing", reason=f"no new file, but {_taken(names)}")
        if before.get("status") == "unknown":
            return Verdict("unknown", reason="no new file, and the result of an earlier try of this task is unknown")
        return verdict

    def _restore(self) -> None:
        """Moves the files that the previous try took and did not load back to `stage`."""
        for one in self._record.tables.values() if not self._record.ended_well else ():
            self._areas.put_back(self._domain, one.get("unfinished", ()))

    def _unfinished(self, events: Sequence[Event]) -> dict[str, list[str]]:
        """Returns the files that were announced and have no summary, by table: none of their rows is in the table."""
        found: dict[str, dict[str, None]] = {}
        for event in events:
            if isinstance(event, TableStarted):
                found.setdefault(event.table, {}).update(dict.fromkeys(event.files))
            elif isinstance(event, FileLoaded):
                found.get(event.table, {}).pop(event.file, None)
        return {table: [*names] for table, names in found.items() if table in self._stems}

    def _note(self, events: Sequence[Event]) -> None:
        """Records the files that were taken so far, because a process that is killed cannot do so at its end."""
        taken: dict[str, Any] = {
            stem: dict(one) for stem, one in self._record.tables.items() if not self._record.ended_well
        }
        for name, table in self._tables.items():
            one: dict[str, Any] = taken.get(self._stems[name], {"status": "unknown", "files": []})
            found = {*one["files"], *(self._files.sizes(table) if self._files is not None else ())}
            taken[self._stems[name]] = {"unfinished": [], **one, "files": sorted(found)}
        for table, names in self._unfinished(events).items():
            stem = self._stems[table]
            files = {*taken.get(stem, {}).get("files", ()), *self._announced(events, table)}
            taken[stem] = {"status": "unknown", "files": sorted(files), "unfinished": names}
        if not self._record.known:
            taken.update({stem: {"status": "unknown", "files": []} for stem in self._stems.values()})
        self._record.save(taken, ended_well=False)

    def _kept(
        self,
        verdicts: Mapping[tuple[str, str], Verdict],
        loaded: Mapping[tuple[str, str], Collection[str]],
        ending: Ending,
    ) -> dict[str, Any]:
        """Returns the record for the next try: by file stem, the files that were taken and not loaded."""
        events, unfinished = ending.events, self._unfinished(ending.events)
        kept: dict[str, Any] = {}
        for name, verdict in verdicts.items():
            table, stem = name[1], self._stems[name[1]]
            before: Mapping[str, Any] = {} if self._record.ended_well else self._record.tables.get(stem, {})
            taken = {
                *before.get("files", ()),
                *verdict.files,
                *self._announced(events, table),
                *self._gone(ending, name),
            }
            files = sorted(taken - {*loaded.get(name, ())}) if verdict.status in ("failed", "unknown") else []
            kept[stem] = {"status": verdict.status, "files": files, "unfinished": unfinished.get(table, [])}
        return kept

    @staticmethod
    def _gone(ending: Ending, name: tuple[str, str]) -> set[str]:
        """Returns the files that the load took out of `stage` and did not archive."""
        files = ending.files.get(name)
        return {*files.before} - files.waiting - files.archived if files is not None else set()

    @staticmethod
    def _announced(events: Sequence[Event], table: str) -> set[str]:
        return {
            name for event in events if isinstance(event, TableStarted) and event.table == table for name in event.files
        }


def _taken(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"{shown} was taken by an earlier try and not loaded (datasets/ingesting). Move it to the area `stage` and "
        "clear the task, or repair it and deliver it again"
    )


def _manifest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    path = environ.get("STARLAKE_EXPORT")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _expected(domain: str, directory: str, table: str, known: Mapping[str, Any]) -> Expected:
    return Expected(
        domain,
        table,
        known.get("final_domain", domain),
        known.get("final_name", table),
        directory,
        pattern=known.get("pattern", ""),
        zero_is_loss=known.get("zero_is_loss", False),
        header=known.get("header", True),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
