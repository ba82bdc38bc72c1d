"""Results of checks that run without their assets: evaluated on the table in its current state."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg

from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.dagster_assets.results.checks import drift_result, expectation_results, rejected_result
from starlake_dagster_assets.dagster_assets.results.samples import Samples
from starlake_dagster_assets.dagster_assets.specs.metadata import engine_of
from starlake_dagster_assets.execution.expectation_checks import (
    RESERVED,
    NamedExpectation,
    evaluate_now,
    named_expectations,
)
from starlake_dagster_assets.execution.failing_row_queries import MOST_SAMPLES
from starlake_dagster_assets.execution.outcome import Outcome
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["existing_table_results", "unsupported_checks_error"]

_REJECTED, _DRIFT = RESERVED
_ABSENT = "The table does not exist yet: materialize it."


def existing_table_results(
    node: Node, key: dg.AssetKey, wanted: Collection[str], project: Project, reader: WarehouseReader, samples: Samples
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates checks of a table on its current state in the warehouse.

    Args:
        node: A table or task.
        key: Its asset key.
        wanted: Names of the checks to evaluate, as in the results of this package.
        project: The project's models.
        reader: The warehouse reader.
        samples: Reads sample rows of failed checks.

    Yields:
        A result for each check that the environment can evaluate; the checks of a table that does not exist fail.
    """
    named = [item for item in named_expectations(node, project.application) if item.name in wanted]
    columns = reader.columns(*node.target) if named or _DRIFT in wanted else None
    if named and columns is not None:
        yield from _expectations(node, key, named, reader, samples, exists=bool(columns))
    if node.table is None:
        return
    if _REJECTED in wanted:
        rows = reader.last_load(node.table.domain_name, node.table.name)
        if rows is None and _does_not_exist(reader.columns(*node.target) if columns is None else columns):
            rows = ()
        if rows is not None:
            yield _rejected(node, node.table, key, rows, reader, samples)
    if _DRIFT in wanted and columns is not None:
        yield drift_result(node, key, project, columns, engine_of(node, project)) or _absent(key, _DRIFT)


def unsupported_checks_error(names: Mapping[str, Sequence[str]]) -> dg.Failure:
    """Returns the error for selected checks, by node id, that the environment cannot evaluate without their tables."""
    named = "; ".join(f"{node}: {', '.join(checks)}" for node, checks in names.items())
    return dg.Failure(
        f"These checks cannot be evaluated without their table here: {named}. Materialize the table: its checks are "
        "evaluated by the command that writes it. A warning above may state the cause.",
        allow_retries=False,
    )


def _expectations(
    node: Node,
    key: dg.AssetKey,
    named: Sequence[NamedExpectation],
    reader: WarehouseReader,
    samples: Samples,
    *,
    exists: bool,
) -> Iterator[dg.AssetCheckResult]:
    if not exists:
        yield from (_absent(key, item.name, blocking=item.blocking) for item in named)
        return
    checks = evaluate_now(node, named, reader)
    if checks is not None:
        yield from expectation_results(Outcome(node, "materialized", checks=checks), key, samples)


def _rejected(
    node: Node,
    table: Table,
    key: dg.AssetKey,
    rows: Sequence[AuditRow],
    reader: WarehouseReader,
    samples: Samples,
) -> dg.AssetCheckResult:
    if not rows:
        return _absent(key, _REJECTED)
    counts = [row.rejected for row in rows]
    outcome = Outcome(
        node,
        "materialized",
        files=_files(rows),
        rejected=None if any(count < 0 for count in counts) else sum(counts),
        job_id=rows[-1].job_id,
    )
    rejection_messages: Sequence[str] = ()
    if outcome.rejected:
        rejection_messages = reader.rejected(outcome.job_id, table.domain_name, table.name, MOST_SAMPLES)
    return rejected_result(replace(outcome, rejection_messages=tuple(rejection_messages)), key, samples)


def _does_not_exist(columns: Sequence[tuple[str, str]] | None) -> bool:
    return columns is not None and not columns


def _absent(key: dg.AssetKey, check: str, *, blocking: bool = False) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=False, asset_key=key, check_name=check, severity=severity, description=_ABSENT)


def _files(rows: Sequence[AuditRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path.strip().rsplit("/", 1)[-1] for row in rows for path in row.paths.split(",")))
