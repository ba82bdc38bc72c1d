"""Tables without a new file whose earlier load, by a previous attempt of the same run, did not end well."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from starlake_dagster_assets.execution.audit_row_matching import file_names, message_of, with_counts
from starlake_dagster_assets.execution.evidence import Evidence, TableResult
from starlake_dagster_assets.execution.load_files import LoadFiles
from starlake_dagster_assets.execution.outcome import PreviousLoad
from starlake_dagster_assets.execution.run_state import RunState
from starlake_dagster_assets.execution.unstaged_files import IncomingFiles
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import first_of

__all__ = ["find_overwritten_files", "find_unreported_load", "resolve_without_new_files"]


def find_overwritten_files(nodes: Collection[Node], files: LoadFiles) -> Mapping[str, str]:
    """Finds tables whose load would overwrite files in `ingesting` with new files of the same name from `stage`.

    Args:
        nodes: Tables of the load.
        files: Files of the load.

    Returns:
        By node id, why the table must not be loaded.
    """
    found = {node.id: files.overwritten(node.table) for node in nodes if node.table is not None}
    return {node: _overwritten(names) for node, names in found.items() if names}


def resolve_without_new_files(
    verdict: TableResult, node: Node, state: RunState, files: LoadFiles, incoming: IncomingFiles | None
) -> TableResult:
    """Returns the result of a table without a new file, from the locations of its files and previous attempts.

    A table is not reported as `nothing` if it has a file in `incoming`, `stage` or `ingesting`, or in a retry of a load
    whose result was unknown.

    Args:
        verdict: The result `nothing`.
        node: The table.
        state: State of the run.
        files: Files of the load.
        incoming: Incoming files of its domain before `stage`; None if nothing was staged.
    """
    assert node.table is not None
    previous = state.settings.previous_loads.get(node.id, PreviousLoad())
    if found := find_unreported_load(node, state):
        return found
    if incoming is not None and (names := incoming.not_staged(node.table)):
        return replace(verdict, status="failed", reason=_not_staged(names), evidence=Evidence.FILES)
    if names := files.still_waiting(node.table):
        return replace(verdict, status="failed", reason=_not_loaded_message(names), evidence=Evidence.FILES)
    if names := files.not_loaded(node.table):
        status = "failed" if state.settings.again else "unknown"
        return replace(verdict, status=status, reason=_loaded_message(names), evidence=Evidence.FILES)
    status = "failed" if state.settings.again else "nothing"
    if names := files.still_missing(previous.files):
        return replace(verdict, status=status, reason=_missing(names), evidence=Evidence.FILES)
    if previous.unknown:
        reason = (
            "the result is unknown: no new file, and a previous attempt of this run loaded the table with an unknown "
            "result"
        )
        return replace(verdict, status="unknown", reason=reason, evidence=Evidence.NONE)
    return verdict


def find_unreported_load(node: Node, state: RunState) -> TableResult | None:
    """Returns the result of the newest load of a table if its run ended before it reported the load; None otherwise.

    Args:
        node: The table.
        state: State of the run.
    """
    assert node.table is not None
    previous, others = state.settings.previous_jobs, state.settings.unreported_jobs(node)
    rows = state.executor.last_load(node.table) if previous or others else ()
    if not rows or not rows[0].job_id.startswith((*previous, *others)):
        return None
    names, job = file_names(rows), rows[-1].job_id
    loader = "a previous attempt of this run" if job.startswith(previous) else "a run that ended without reporting it"
    rejected = [row for row in rows if not row.success]
    if rejected:
        reason = f"{loader} failed: {message_of(rejected[-1])}"
        return TableResult("failed", names, reason=reason, evidence=Evidence.AUDIT, job_id=job)
    note = f"loaded by {loader} (job {job})"
    return with_counts(TableResult("loaded", names, evidence=Evidence.AUDIT, warnings=(note,), job_id=job), rows)


def _not_staged(names: Sequence[str]) -> str:
    return (
        f"not loaded: {first_of(names, 5)} matches the pattern of the table, and `stage` left it in the incoming "
        "directory of the domain without an error. Next: see the log of `stage`; check the permissions of the file and "
        "that no other table or rule of the domain excludes it."
    )


def _not_loaded_message(names: Sequence[str]) -> str:
    return (
        f"not loaded: {first_of(names, 5)} matches the pattern of the table and is still in the area `stage`. Next: "
        "see the log of the load; check which tables of the domain have a pattern that matches it."
    )


def _loaded_message(names: Sequence[str]) -> str:
    return (
        f"no new file, but {first_of(names, 5)} in the area `ingesting`: another load took it, and has not ended or "
        "did not end well. Its rows may be in the table or not. Next: check that. Move the file to the area `archive` "
        "if they are, else to the area `stage`: the next load takes it."
    )


def _overwritten(names: Sequence[str]) -> str:
    return (
        f"not loaded: {first_of(names, 5)} in the area `ingesting` was taken by another load, which has not ended or "
        "did not end well, and a new file of that name in the area `stage` would overwrite it. Next: check whether "
        "the rows of the older file are in the table. Move it to the area `archive` if they are or if the new file "
        "replaces it, else to the area `stage` under another name that the pattern of the table matches."
    )


def _missing(names: Sequence[str]) -> str:
    return (
        f"no new file; a previous attempt of this run took {', '.join(names[:5])} and did not end well, and nothing "
        "shows that it was loaded since: its rows may be there or not. Next: deliver it again, or start a new run."
    )
