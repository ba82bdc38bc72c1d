"""The program that runs the Starlake command of an Airflow task: its exit code follows the rules of Dagster steps.

It is exported next to the DAG files, together with the rules that it uses: standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from starlake_dagster_assets.airflow.runtime.load_spec import LoadSpec, read_manifest
from starlake_dagster_assets.airflow.runtime.loaded_files import LoadedFiles
from starlake_dagster_assets.airflow.runtime.local_try_record import TryRecord, areas_of, log_line
from starlake_dagster_assets.commands.model import CommandExit, CommandFailed, Event
from starlake_dagster_assets.execution.evidence import CommandEnd, LogProperties, TableResult
from starlake_dagster_assets.execution.load_files import LoadFiles
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.execution.reconcile import reconcile_load, reconcile_transform, with_unknown_expectations

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
        0 if there is evidence of success, 99 if a load found no file and no earlier try of the task took one
        (`BashOperator` skips the task), else 1.
    """
    if argv[:1] == ["load"]:
        return _LoadTask(argv, environ).run()
    ending = _run_to_end(argv, environ)
    verdict = reconcile_transform("", "", ending)
    if verdict.status == "loaded":
        return 0
    log_line(f"{' '.join(argv[:3])}: {verdict.status}: {verdict.reason}")
    return FAILED


# ---------------------------------------------------------------------------------------------- the command


def _lines(argv: Sequence[str], environ: Mapping[str, str], code: list[int]) -> Iterator[str]:
    """Runs the program, prints and yields its lines, and appends its exit code to `code`."""
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


def _run_to_end(
    argv: Sequence[str],
    environ: Mapping[str, str],
    expected: Collection[tuple[str, str]] = (),
    repeated: Collection[tuple[str, str]] = (),
    note: Any = None,
) -> CommandEnd:
    """Runs the program to its end and returns the facts about it."""
    parser, events, code = OutputParser(expected, repeated), list[Event](), list[int]()
    try:
        for line in _lines(argv, environ, code):
            if found := parser.feed(line):
                events += found
                if note is not None:
                    note(events)
    except OSError as error:
        return CommandEnd((CommandFailed(f"the program cannot be run: {error}"),), None)
    events += parser.finish(code[0])
    log = LogProperties(parser.ended, parser.tables_processed, parser.understood, parser.found, lossless=True)
    return CommandEnd(tuple(events), CommandExit(code[0], 0.0), log)


# ------------------------------------------------------------------------------------------------- the load


class _LoadTask:
    """A load and its result, by the rules of `execution.reconcile`."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._argv, self._environ = argv, environ
        flags = dict(zip(argv[1::2], argv[2::2], strict=False))
        manifest = read_manifest(environ)
        self._spec = LoadSpec.of(manifest, flags.get("--domains", ""), flags.get("--tables", "").split(","))
        self._areas = areas_of(manifest, environ)
        self._loaded_files = LoadedFiles(
            TryRecord.of(environ.get("STARLAKE_ATTEMPT", ""), self._areas), self._areas, self._spec
        )

    def run(self) -> int:
        """Runs the load and returns the exit code of the task."""
        if problems := self._loaded_files.prepare():
            for table, reason in problems.items():
                log_line(f"{table}: failed: the load was not run: {reason}")
            self._loaded_files.give_up()
            return FAILED
        spec = self._spec
        files = LoadFiles(self._areas, [*spec.requested.values()], spec.domain, archives=self._areas.archives)
        self._loaded_files.note(files, [])
        ending = _run_to_end(
            self._argv, self._environ, spec.expected, spec.repeated, partial(self._loaded_files.note, files)
        )
        ending = replace(ending, files=files.after(ending.events, adopted=False))
        verdicts = with_unknown_expectations(reconcile_load(spec.expected.values(), ending), ending, spec.blocking)
        alone = {table: verdict for (_, table), verdict in verdicts.items()}
        final = self._loaded_files.resolve(alone, ending, files)
        code = self._exit_code({name: final[name[1]] for name in verdicts}, ending)
        self._loaded_files.finish(alone, final, ending, ended_well=code in (0, NOTHING))
        return code

    def _exit_code(self, verdicts: Mapping[tuple[str, str], TableResult], ending: CommandEnd) -> int:
        for (domain, table), verdict in verdicts.items():
            counts = "" if verdict.accepted is None else f" ({verdict.accepted} accepted, {verdict.rejected} rejected)"
            reason = f": {verdict.reason}" if verdict.reason else counts
            log_line("\n  ".join(f"{domain}.{table}: {verdict.status}{reason}".splitlines()))
            for warning in verdict.warnings:
                log_line(f"{domain}.{table}: warning: {warning}")
        found = {verdict.status for verdict in verdicts.values()}
        if found & {"failed", "unknown"}:
            return FAILED
        if not ending.clean:
            log_line(f"the load failed although none of its tables did: {ending.error}")
            return FAILED
        return 0 if "loaded" in found else NOTHING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
