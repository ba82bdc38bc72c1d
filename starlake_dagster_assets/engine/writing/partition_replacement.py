"""Replaces one partition in the transaction of a task: deletes the rows of the window or key and inserts new ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.commands.partitions import REPLACE_VARIABLE
from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.engine.writing.strategies import WriteRequest, insert_rows, match_column_name
from starlake_dagster_assets.errors import EngineError

__all__ = ["Replacement", "replace_partition", "replacement_of"]


@dataclass(frozen=True)
class Replacement:
    """The partition that a task replaces.

    Attributes:
        column: The column of the partitions.
        start: Start of the window, ISO 8601 with an offset; "" if a key is replaced.
        end: End of the window, exclusive.
        key: The partition key, compared with the column as text; "" if a window is replaced.
    """

    column: str
    start: str = ""
    end: str = ""
    key: str = ""


def replacement_of(environ: Mapping[str, str]) -> Replacement | None:
    """Reads the partition to replace from the environment variable `SL_PARTITION_REPLACE`; None if it is not set.

    Raises:
        EngineError: The variable is not JSON of that form.
    """
    text = environ.get(REPLACE_VARIABLE, "")
    if not text:
        return None
    try:
        found: dict[str, Any] = json.loads(text)
        return Replacement(**{name: str(value) for name, value in found.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise EngineError(f"{REPLACE_VARIABLE} is not JSON of a column and a window or key: {text!r}") from error


def replace_partition(job: WriteRequest, wanted: Replacement) -> int:
    """Deletes the rows of the partition and inserts the incoming ones, which must all belong to it.

    Returns:
        The number of rows inserted.

    Raises:
        EngineError: The query returns a row outside of the partition: a second run would write it twice.
    """
    inside = _inside(job, wanted)
    outside = f"SELECT count(*) FROM {job.incoming} WHERE ({inside}) IS NOT TRUE"
    count = int(job.con.execute(outside).fetchall()[0][0])
    if count:
        what = f"from {wanted.start} to {wanted.end}" if wanted.start else f"of the partition {wanted.key!r}"
        raise EngineError(
            f"partition_write=replace: the query returns {count} rows whose {wanted.column!r} is not {what}; "
            "limit the query with sl_start_date and sl_end_date, or sl_partition_key"
        )
    job.con.execute(f"DELETE FROM {job.target} WHERE {inside}")
    return insert_rows(job, job.incoming)


def _inside(job: WriteRequest, wanted: Replacement) -> str:
    """Returns the SQL condition for rows of the partition, as the table has them; days by the dates of the window."""
    column = identifier(match_column_name(wanted.column, job.columns))
    if not wanted.start:
        return f"CAST({column} AS VARCHAR) = {literal(wanted.key)}"
    kind = str(job.con.execute(f"DESCRIBE SELECT {column} FROM {job.target}").fetchall()[0][1]).upper()
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _between(column, "TIMESTAMPTZ", wanted.start, wanted.end)
    start, end = (moment[:19].replace("T", " ") for moment in (wanted.start, wanted.end))
    by_day = _between(column, "DATE", start[:10], end[:10])
    if kind == "DATE":
        return by_day
    by_moment = _between(column, "TIMESTAMP", start, end)
    return by_moment if kind != "VARCHAR" else f"CASE WHEN length({column}) <= 10 THEN {by_day} ELSE {by_moment} END"


def _between(column: str, kind: str, start: str, end: str) -> str:
    """Returns the SQL condition for values of a range, compared as a type; values of other types are outside."""
    value = f"TRY_CAST({column} AS {kind})"
    return f"{value} >= {kind} {literal(start)} AND {value} < {kind} {literal(end)}"
