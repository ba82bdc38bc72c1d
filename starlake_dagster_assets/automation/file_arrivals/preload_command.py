"""`starlake preload` as the guard of a run; it distinguishes "not ready" from "crashed"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal, cast
from uuid import uuid4

from starlake_dagster_assets.automation.file_arrivals.pre_load_check import PreLoadCheck
from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.model import Command, Line
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.command_executor import CommandExecutor
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.file_store import Store, StoreError
from starlake_dagster_assets.execution.outcome import NotReady, RunSettings

__all__ = ["run_preload_command"]

_SENTINEL = "{SL_DATASETS}/.not_ready/"
_WROTE = "Wrote not-ready sentinel"
_NO_OPTION = re.compile(r"Unknown option --notReadySentinel")
_DONE = re.compile(r"INFO\b.{0,160}?Main: Preload Successfully ")
_BEGUN = re.compile(r"PreLoadCmd\$?: Pre loading domain ")
_ROW = re.compile(r"^\|\s*(?P<domain>[^|]+?)\s*\|\s*(?P<table>[^|]+?)\s*\|\s*(?P<loadable>\d+)\s*\|\s*$")
_CRASH = re.compile(r"\bERROR\b|^Exception in thread|^Error: ")


def run_preload_command(check: PreLoadCheck, runner: Runner, settings: RunSettings) -> Mapping[str, NotReady]:
    """Runs `starlake preload` for tables of one domain. With strategy `ack` it deletes the ack file.

    Args:
        check: The tables.
        runner: Runs the command.
        settings: Settings of the run.

    Returns:
        The reasons why tables are not loaded, by node id: not ready, or failed because the program crashed.
    """
    tables, ack, domain = check.tables, check.ack, check.domain.directory
    job = f"{settings.job_prefix}-preload-{domain}-{uuid4().hex[:8]}"
    sentinel = check.path(f"{_SENTINEL}{job}")
    strategy = cast("Literal['imported', 'pending', 'ack']", check.pre_load.strategy)
    command = build.preload(
        domain,
        [table.stem for table in tables.values()],
        strategy=strategy,
        ack_file=ack,
        not_ready_sentinel=sentinel,
        secrets=settings.secrets,
        job_id=job,
    )
    lines, ending = _run(command, runner, settings)
    if any(_NO_OPTION.search(line) for line in lines):  # before Starlake 1.5.15
        at = command.args.index("--notReadySentinel")
        lines, ending = _run(replace(command, args=command.args[:at] + command.args[at + 2 :]), runner, settings)
    rows = [match for line in lines if (match := _ROW.match(line))]
    loadable = {match["table"]: match["loadable"] != "0" for match in rows}
    if _reported_not_ready(lines, ending, loadable, check.store, sentinel):
        missing = f"did not find {ack}" if ack else "found no file"
        return {node: NotReady(f"not ready: starlake preload ({strategy}) {missing}") for node in tables}
    if not ending.clean:
        reason = ending.error or "it could not be run"
        return {node: NotReady(f"starlake preload failed: {reason}", failed=True) for node in tables}
    return {
        node: NotReady(f"not ready: starlake preload ({strategy}) found no file of it")
        for node, table in tables.items()
        if not loadable.get(table.stem, loadable.get(table.name, True))
    }


def _run(command: Command, runner: Runner, settings: RunSettings) -> tuple[list[str], CommandEnd]:
    lines: list[str] = []

    def take(line: Line) -> None:
        lines.append(line.text)
        settings.on_line(line)

    executor = CommandExecutor(runner, replace(settings, on_line=take))
    return lines, executor.complete(command)


def _reported_not_ready(
    lines: list[str], ending: CommandEnd, loadable: Mapping[str, bool], store: Store, sentinel: str
) -> bool:
    """Whether the program reported that there are no files, as opposed to a crash."""
    if ending.clean:
        return _remove_sentinel(store, sentinel) or any(_WROTE in line for line in lines)
    if ending.result is None or ending.result.exit_code != 1:
        return False
    if any(_DONE.search(line) for line in lines):
        return not any(loadable.values())
    return any(_BEGUN.search(line) for line in lines) and not any(_CRASH.search(line) for line in lines)


def _remove_sentinel(store: Store, sentinel: str) -> bool:
    """Removes the sentinel; returns whether it existed. If it cannot be read here, the load itself finds no file."""
    with suppress(StoreError):
        found = store.file(sentinel) is not None
        store.remove(sentinel)
        return found
    return False
