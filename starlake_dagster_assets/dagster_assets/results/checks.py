"""Check results: expectations, rejected rows, and differences between a table and its description in the project."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import dagster as dg

from starlake_dagster_assets.dagster_assets.results.samples import Samples
from starlake_dagster_assets.execution.expectation_checks import RESERVED, CheckResult
from starlake_dagster_assets.execution.failing_row_queries import counts_rows, failing_rows
from starlake_dagster_assets.execution.outcome import Outcome
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["drift_result", "expectation_results", "rejected_result"]

_REJECTED, _DRIFT = RESERVED
_LOOSE = re.compile(r'[\s"]+')


def expectation_results(outcome: Outcome, key: dg.AssetKey, samples: Samples) -> Iterator[dg.AssetCheckResult]:
    """Yields a result per evaluated expectation: count, SQL, error, and some of the rows that failed."""
    for check in outcome.checks:
        if check.unknown:
            continue
        yield dg.AssetCheckResult(
            passed=check.passed,
            asset_key=key,
            check_name=check.expectation.name,
            severity=dg.AssetCheckSeverity.ERROR if check.expectation.blocking else dg.AssetCheckSeverity.WARN,
            description=_described(check),
            metadata=_metadata(check, outcome, samples),
        )


def rejected_result(outcome: Outcome, key: dg.AssetKey, samples: Samples) -> dg.AssetCheckResult:
    """Returns the result of `rejected_rows`: a warning with the number of rejected rows and some of the reasons."""
    metadata: dict[str, dg.MetadataValue] = {}
    if outcome.rejected is not None:
        metadata["starlake/rows_rejected"] = dg.MetadataValue.int(outcome.rejected)
    sample = samples.rejected(outcome.node, outcome.rejection_messages)
    if sample is not None:
        metadata["starlake/rejected_sample"] = sample
    files = ", ".join(outcome.files)
    metadata["starlake/files"] = dg.MetadataValue.text(files)
    description = None
    if outcome.rejected is None:
        description = "The loader does not count rejected rows: it rejects the whole file instead."
    elif outcome.rejected:
        were = "was" if outcome.rejected == 1 else "were"
        below = "; some reasons are in `starlake/rejected_sample`" if sample is not None else ""
        description = f"{counted(outcome.rejected, 'row')} {were} rejected{below}"
    return dg.AssetCheckResult(
        passed=not outcome.rejected,
        asset_key=key,
        check_name=_REJECTED,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def _described(check: CheckResult) -> str | None:
    """Returns the result of an expectation in words; None if it passed."""
    if check.passed or not check.count or check.exception:
        return check.reason or None
    if check.count > 0 and counts_rows(check.sql, ""):
        verb = "fails" if check.count == 1 else "fail"
        return f"{counted(check.count, 'row')} {verb} {check.expectation.expect}; expected none"
    which = "" if failing_rows(check.sql, "") else "; the query does not identify the failing rows"
    return f"{check.expectation.expect} does not hold: its query returns {check.count}, expected 0{which}"


def drift_result(
    node: Node, key: dg.AssetKey, project: Project, there: Sequence[tuple[str, str]], engine: str
) -> dg.AssetCheckResult | None:
    """Compares the columns of the warehouse with those of the project.

    Args:
        node: A loaded table.
        key: Its asset key.
        project: The project's models.
        there: The columns of the warehouse, name and type; empty if the table does not exist.
        engine: Engine that stores the table; types are compared on `duckdb` only.

    Returns:
        The result; None if the table does not exist.
    """
    if node.table is None or not there:
        return None
    missing, extra, differing = _drift(node.table, project, there, engine)
    differences = [f"missing: {', '.join(missing)}"] if missing else []
    differences += [f"not in the project: {', '.join(extra)}"] if extra else []
    differences += [f"other type: {', '.join(differing)}"] if differing else []
    return dg.AssetCheckResult(
        passed=not differences,
        asset_key=key,
        check_name=_DRIFT,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(differences) or None,
        metadata={
            "starlake/missing_columns": missing,
            "starlake/extra_columns": extra,
            "starlake/changed_types": differing,
        },
    )


def _drift(
    table: Table, project: Project, there: Sequence[tuple[str, str]], engine: str
) -> tuple[list[str], list[str], list[str]]:
    found = {name.lower(): (name, kind) for name, kind in there}
    wanted = _checks_of_table(table, project, engine)
    strategy = table.metadata.write_strategy
    own = {
        strategy.start_ts or project.application.scd2_start_timestamp,
        strategy.end_ts or project.application.scd2_end_timestamp,
    }
    allowed = {name.lower() for name in own} | set(wanted)
    missing = [name for lower, (name, _) in wanted.items() if lower not in found]
    extra = [name for lower, (name, _) in found.items() if lower not in allowed]
    differing = [
        f"{name} is {found[lower][1]}, expected {kind}"
        for lower, (name, kind) in wanted.items()
        if lower in found and kind and not _same_type(found[lower][1], kind)
    ]
    return missing, extra, differing


def _checks_of_table(table: Table, project: Project, engine: str) -> dict[str, tuple[str, str]]:
    if engine == "duckdb":
        from starlake_dagster_assets.engine.reading.column_types import target_columns

        return {column.name.lower(): (column.name, column.type) for column in target_columns(table, project)}
    kept = [attribute for attribute in table.attributes if not attribute.ignore]
    return {attribute.final_name.lower(): (attribute.final_name, "") for attribute in kept}


def _same_type(one: str, other: str) -> bool:
    """Whether two spellings name the same type, regardless of case, spaces, quotes and synonyms such as TEXT."""
    texts = [_LOOSE.sub("", text.lower()) for text in (one, other)]
    return texts[0] == texts[1] or _synonyms(one, other)


@lru_cache(maxsize=256)  # a project has few types, and thousands of columns of them
def _synonyms(one: str, other: str) -> bool:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        kinds = [exp.DataType.build(text.replace('"', ""), dialect="duckdb") for text in (one, other)]
    except SqlglotError:
        return False
    return kinds[0] == kinds[1]


def _metadata(check: CheckResult, outcome: Outcome, samples: Samples) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    if check.count is not None:
        metadata["starlake/rows_failed"] = dg.MetadataValue.int(check.count)
    if (sample := samples.failing(outcome.node, check)) is not None:
        metadata["starlake/failing_rows"] = sample
    if check.exception:
        metadata["starlake/exception"] = dg.MetadataValue.text(check.exception)
    metadata["starlake/expectation"] = dg.MetadataValue.text(check.expectation.expect)
    if check.sql:
        metadata["starlake/sql"] = dg.MetadataValue.md(f"```sql\n{check.sql}\n```")
    if outcome.job_id:
        metadata["starlake/job_id"] = dg.MetadataValue.text(outcome.job_id)
    return metadata
