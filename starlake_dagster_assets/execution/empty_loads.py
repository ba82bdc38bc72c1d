"""Loads that the program reports as successful although it wrote no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.execution.evidence import RequestedTable, TableResult

__all__ = ["fail_without_written_rows"]

_EMPTY_BYTES = 6
"""Maximum size in bytes of a file that can be an empty document, such as `[ ]` with its line ends."""


def fail_without_written_rows(
    verdict: TableResult,
    one: RequestedTable,
    rows: Sequence[AuditRow],
    sizes: Mapping[str, int],
    *,
    second: bool,
    two_steps: bool,
) -> TableResult:
    """Returns the result, or a failure if a loader without its own counters wrote no row of a file with content.

    Args:
        verdict: Result of the other rules.
        one: The table.
        rows: Its LOAD rows in the audit.
        sizes: Bytes of files by name, if they are known.
        second: Whether the audit has its TRANSFORM row, which the native loader leaves as well.
        two_steps: Whether the audit has such rows of any table of the load.
    """
    if verdict.status != "loaded":
        return verdict
    named = {name: size for name, size in sizes.items() if name in verdict.files}
    content = {name: size for name, size in named.items() if size > _EMPTY_BYTES}
    native = verdict.rejected is None
    zero = verdict.accepted == 0 and not verdict.rejected and not verdict.input
    alone = bool(rows) and not second and all(row.rejected < 0 for row in rows)
    if zero and native and alone and (content or not named):
        return _failed(verdict, content, "the audit has a LOAD row of 0 rows and no TRANSFORM row")
    if zero and one.zero_is_loss and (content or not named):
        if native and not one.header:
            return _failed(verdict, content, "")
        text = f"no row was written although {_listed(content)}" if content else "no row was written"
        return replace(verdict, warnings=(*verdict.warnings, text))
    if alone and two_steps:
        text = "the audit has its LOAD row and no TRANSFORM row: compare the table with its files"
        return replace(verdict, warnings=(*verdict.warnings, text))
    return verdict


def _failed(verdict: TableResult, content: Mapping[str, int], audit: str) -> TableResult:
    files = _listed(content) if content else f"{', '.join(verdict.files) or 'a file'} was taken"
    reason = f"no row was written although {files}" + (f" ({audit})" if audit else "")
    return replace(verdict, status="failed", reason=f"{reason}. The engine reported success.")


def _listed(content: Mapping[str, int]) -> str:
    shown = [f"{name} has {size} bytes" for name, size in list(content.items())[:5]]
    return ", ".join(shown) + (f" and {len(content) - 5} more files have content" if len(content) > 5 else "")
