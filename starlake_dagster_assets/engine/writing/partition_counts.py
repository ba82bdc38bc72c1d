"""Row counts by partition: the values of the first column of `sink.partition`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from starlake_dagster_assets.engine.quoting import identifier

__all__ = ["MOST_PARTITIONS", "count_by_partition"]

MOST_PARTITIONS = 10_000
"""Maximum number of distinct values of a partition column."""

_MOMENT = "%Y-%m-%dT%H:%M:%S"


def count_by_partition(
    con: duckdb.DuckDBPyConnection, relation: str, column: str, kind: str
) -> Mapping[str | None, int] | None:
    """Counts the rows of a relation by partition.

    Args:
        con: The connection.
        relation: Quoted name of a table or view.
        column: The partition column.
        kind: Its DuckDB type.

    Returns:
        Rows by value: a date as `2025-03-01`; a timestamp as ISO 8601, cut to a quarter of an hour and with an offset
        if the type has one; every other value as DuckDB's text; None for NULL. None instead of a mapping if the
        column has more than `MOST_PARTITIONS` values.
    """
    value = _text(identifier(column), kind.upper())
    sql = f"SELECT {value} AS p, count(*) FROM {relation} GROUP BY p LIMIT {MOST_PARTITIONS + 1}"
    rows: Sequence[tuple[str | None, int]] = con.execute(sql).fetchall()
    return dict(rows) if len(rows) <= MOST_PARTITIONS else None


def _text(column: str, kind: str) -> str:
    plain = f"CAST({column} AS VARCHAR)"
    if kind == "DATE":
        shown = f"strftime({column}, '%Y-%m-%d')"
    elif kind.startswith("TIMESTAMP"):
        zoned = kind in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
        moment = f"({column} AT TIME ZONE 'UTC')" if zoned else f"CAST({column} AS TIMESTAMP)"
        cut = f"time_bucket(INTERVAL '15 minutes', {moment})"
        shown = f"strftime({cut}, '{_MOMENT}{'+00:00' if zoned else ''}')"
    else:
        return plain
    return f"CASE WHEN isfinite({column}) THEN {shown} ELSE {plain} END"
