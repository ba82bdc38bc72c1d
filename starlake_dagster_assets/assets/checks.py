"""Check results: expectations, refused rows, and how far a table is from what the project describes."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import dagster as dg

from starlake_dagster_assets.assets.samples import Samples
from starlake_dagster_assets.command.checks import RESERVED, CheckResult
from starlake_dagster_assets.command.outcome import Outcome
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model import Project, Table

__all__ = ["drift_result", "expectation_results", "rejected_result"]

_REJECTED, _DRIFT = RESERVED
_LOOSE = re.compile(r'[\s"]+')


def expectation_results(outcome: Outcome, key: dg.AssetKey, samples: Samples) -> Iterator[dg.AssetCheckResult]:
    """One result an expectation: its count, its SQL, what it raised, and some of the rows that it counted."""
    for check in outcome.checks:
        stops = check.expectation.blocking and not check.unknown
        yield dg.AssetCheckResult(
            passed=check.passed,
            asset_key=key,
            check_name=check.expectation.name,
            severity=dg.AssetCheckSeverity.ERROR if stops else dg.AssetCheckSeverity.WARN,
            description=check.reason or None,
            metadata=_metadata(check, outcome, samples),
        )


def rejected_result(outcome: Outcome, key: dg.AssetKey, samples: Samples) -> dg.AssetCheckResult:
    """Whether the load refused rows; a warning with their number and some of their messages."""
    metadata: dict[str, dg.MetadataValue] = {"starlake/files": dg.MetadataValue.text(", ".join(outcome.files))}
    if outcome.rejected is not None:
        metadata["starlake/rows_rejected"] = dg.MetadataValue.int(outcome.rejected)
    if (sample := samples.refused(outcome.node, outcome.rejects)) is not None:
        metadata["starlake/rejected_sample"] = sample
    words = f"{outcome.rejected} rows were refused" if outcome.rejected else None
    words = "1 row was refused" if outcome.rejected == 1 else words
    if outcome.rejected is None:
        words = "The loader does not count refused rows: it refuses the whole file instead."
    return dg.AssetCheckResult(
        passed=not outcome.rejected,
        asset_key=key,
        check_name=_REJECTED,
        severity=dg.AssetCheckSeverity.WARN,
        description=words,
        metadata=metadata,
    )


def drift_result(
    node: Node, key: dg.AssetKey, project: Project, there: Sequence[tuple[str, str]], engine: str
) -> dg.AssetCheckResult | None:
    """Compares the columns of the warehouse with those of the project.

    Args:
        node: A loaded table.
        key: Its asset key.
        project: The project's models.
        there: The columns of the warehouse, name and type; none when the table does not exist.
        engine: What stores the table: types are compared on `duckdb` only.

    Returns:
        The result; None when the table does not exist.
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
        metadata={"starlake/missing": missing, "starlake/extra": extra, "starlake/type": differing},
    )


def _drift(
    table: Table, project: Project, there: Sequence[tuple[str, str]], engine: str
) -> tuple[list[str], list[str], list[str]]:
    found = {name.lower(): (name, kind) for name, kind in there}
    wanted = _wanted(table, project, engine)
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


def _wanted(table: Table, project: Project, engine: str) -> dict[str, tuple[str, str]]:
    if engine == "duckdb":
        from starlake_dagster_assets.engine.reading.ddl import target_columns

        return {column.name.lower(): (column.name, column.type) for column in target_columns(table, project)}
    kept = [attribute for attribute in table.attributes if not attribute.ignore]
    return {attribute.final_name.lower(): (attribute.final_name, "") for attribute in kept}


def _same_type(one: str, other: str) -> bool:
    """Whether two spellings are one type: case, space and quotes do not count, nor synonyms such as TEXT."""
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
    metadata: dict[str, dg.MetadataValue] = {
        "starlake/expectation": dg.MetadataValue.text(check.expectation.expect),
    }
    if outcome.job_id:
        metadata["starlake/job_id"] = dg.MetadataValue.text(outcome.job_id)
    if check.count is not None:
        metadata["starlake/count"] = dg.MetadataValue.int(check.count)
    if check.sql:
        metadata["starlake/sql"] = dg.MetadataValue.md(f"```sql\n{check.sql}\n```")
    if (sample := samples.failing(outcome.node, check)) is not None:
        metadata["starlake/failing_rows"] = sample
    if check.exception:
        metadata["starlake/exception"] = dg.MetadataValue.text(check.exception)
    return metadata
