"""Write strategies: merges incoming rows into the rows of a table, in the caller's transaction.

Keys and partitions compare null-safely. A key has one newest row: by timestamp, null being the oldest, then by position
in the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.engine.reading.scratch import execute_insert
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Application, WriteStrategy
from starlake_dagster_assets.project.model.values import STRATEGIES

__all__ = [
    "WriteRequest",
    "insert_rows",
    "match_column_name",
    "reads_once",
    "scd2_columns",
    "validate_strategy",
    "write",
]

_KEYED = {"UPSERT_BY_KEY", "UPSERT_BY_KEY_AND_TIMESTAMP", "DELETE_THEN_INSERT", "SCD2"}
_ORDER = "sl_incoming_position"


@dataclass(frozen=True)
class WriteRequest:
    """Arguments of a write strategy.

    Attributes:
        con: The connection, in a transaction.
        target: Quoted name of the table, which exists with all the columns below.
        incoming: Quoted name of a temporary table or view with the rows to write, in order.
        columns: Names of the columns of `incoming`.
        strategy: The write strategy; its type is one of `STRATEGIES`.
        partition: `sink.partition`.
        start: Name of the SCD2 start column.
        end: Name of the SCD2 end column.
        now: Time of the transaction, UTC, naive.
        truncate: `--truncate true`: APPEND empties the table first.
        inserted: Called with the quoted name of each relation whose rows were inserted, while it exists.
    """

    con: duckdb.DuckDBPyConnection
    target: str
    incoming: str
    columns: Sequence[str]
    strategy: WriteStrategy
    partition: Sequence[str]
    start: str
    end: str
    now: datetime
    truncate: bool = False
    inserted: Callable[[str], None] | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Key columns, as spelled in the table."""
        return tuple(match_column_name(name, self.columns) for name in self.strategy.key)

    @property
    def timestamp(self) -> str | None:
        """Timestamp column, as spelled in the table."""
        name = self.strategy.timestamp
        return match_column_name(name, self.columns) if name else None


def validate_strategy(
    strategy: WriteStrategy, partition: Sequence[str], columns: Sequence[str] | None, custom: Sequence[str]
) -> None:
    """Raises an error for a strategy that cannot be used, before anything is touched.

    Args:
        strategy: The strategy that the project configures.
        partition: `sink.partition`.
        columns: Final names of the incoming columns, None if they are not known yet.
        custom: Names of the project's own templates.

    Raises:
        EngineError: The type is unknown, or lacks its key, timestamp or partition, or names a column that is not there.
    """
    kind = strategy.type.upper()
    if kind not in STRATEGIES:
        if strategy.type.lower() in custom:
            return
        guess = closest_match(strategy.type, [*STRATEGIES, *custom])
        hint = f"; did you mean {guess}?" if guess else ""
        raise EngineError(
            f"writeStrategy.type {strategy.type!r} is neither one of {', '.join(STRATEGIES)} "
            f"nor a template metadata/write-strategies/duckdb/{strategy.type.lower()}.j2{hint}"
        )
    _require(kind in _KEYED and not strategy.key, f"writeStrategy.type {kind} needs writeStrategy.key")
    needs_time = kind == "UPSERT_BY_KEY_AND_TIMESTAMP" and not strategy.timestamp
    _require(needs_time, f"writeStrategy.type {kind} needs writeStrategy.timestamp")
    _require(kind == "OVERWRITE_BY_PARTITION" and not partition, f"writeStrategy.type {kind} needs sink.partition")
    if columns is not None:
        used = [*(strategy.key if kind in _KEYED else ())]
        used += [strategy.timestamp] if strategy.timestamp and kind in _KEYED else []
        used += partition[:1] if kind == "OVERWRITE_BY_PARTITION" else []
        for name in used:
            match_column_name(name, columns)


def scd2_columns(strategy: WriteStrategy, application: Application) -> tuple[str, str]:
    """Returns the names of the start and end columns of SCD2: those of the strategy, else those of the application."""
    return (
        strategy.start_ts or application.scd2_start_timestamp,
        strategy.end_ts or application.scd2_end_timestamp,
    )


def reads_once(strategy: WriteStrategy) -> bool:
    """Whether a strategy reads the incoming rows once, and writes all of them."""
    return strategy.type.upper() in {"APPEND", "OVERWRITE"}


def write(job: WriteRequest) -> int:
    """Writes the incoming rows by the write strategy, also in the first run of a table.

    Returns:
        The number of rows inserted.
    """
    return _WRITERS[job.strategy.type.upper()](job)


def _append(job: WriteRequest) -> int:
    if job.truncate:
        job.con.execute(f"DELETE FROM {job.target}")
    return insert_rows(job, job.incoming)


def _overwrite(job: WriteRequest) -> int:
    job.con.execute(f"DELETE FROM {job.target}")
    return insert_rows(job, job.incoming)


def _overwrite_by_partition(job: WriteRequest) -> int:
    # the engine's own template looks at the first column only
    parts = [match_column_name(job.partition[0], job.columns)]
    _delete_matching(job, job.incoming, parts)
    return insert_rows(job, job.incoming)


def _upsert_by_key(job: WriteRequest) -> int:
    source = _newest(job, "sl_upsert") if job.strategy.on == "SOURCE_AND_TARGET" else job.incoming
    _delete_matching(job, source, job.key)
    written = insert_rows(job, source)
    _drop(job, source)
    return written


def _upsert_by_key_and_timestamp(job: WriteRequest) -> int:
    """Replaces the rows of a key with the incoming rows that are newer than all of these, if there are any."""
    source = _newest(job, "sl_upsert") if job.strategy.on == "SOURCE_AND_TARGET" else job.incoming
    time = identifier(str(job.timestamp))
    known = f"SELECT {_list(job.key)}, max({time}) AS sl_newest FROM {job.target} GROUP BY ALL"
    newer = f"(t.sl_newest IS NULL AND i.{time} IS NOT NULL) OR i.{time} > t.sl_newest"
    job.con.execute(
        f"CREATE OR REPLACE TEMP TABLE sl_newer AS SELECT i.* FROM {source} i LEFT JOIN "
        f"(SELECT *, true AS sl_known FROM ({known})) t ON {_match(job, source, job.key)} "
        f"WHERE t.sl_known IS NULL OR {newer}"
    )
    _delete_matching(job, "sl_newer", job.key)
    written = insert_rows(job, "sl_newer")
    job.con.execute("DROP TABLE sl_newer")
    _drop(job, source)
    return written


def _scd2(job: WriteRequest) -> int:
    """Closes the current row of each changed key and opens a new one; only the newest incoming row per key is used."""
    source = _newest(job, "sl_scd2")
    match = _match(job, source, job.key)
    start, end, now = identifier(job.start), identifier(job.end), f"TIMESTAMP {literal(job.now.isoformat(sep=' '))}"
    job.con.execute(
        f"CREATE OR REPLACE TEMP TABLE sl_changed AS SELECT i.* FROM {source} i LEFT JOIN "
        f"(SELECT *, true AS sl_known FROM {job.target} WHERE {end} IS NULL) t ON {match} "
        f"WHERE t.sl_known IS NULL OR ({_changed(job)})"
    )
    job.con.execute(f"UPDATE {job.target} AS t SET {end} = {now} FROM sl_changed i WHERE t.{end} IS NULL AND {match}")
    opened = f"{_list(job.columns)}, {now} AS {start}, CAST(NULL AS TIMESTAMP) AS {end}"
    written = execute_insert(job.con, f"INSERT INTO {job.target} BY NAME SELECT {opened} FROM sl_changed")
    if job.inserted is not None:
        job.inserted("sl_changed")
    job.con.execute("DROP TABLE sl_changed")
    _drop(job, source)
    return written


def _changed(job: WriteRequest) -> str:
    """Returns the condition under which an incoming row `i` opens a new version of the current row `t`."""
    if job.timestamp is not None:
        time = identifier(job.timestamp)
        return f"(t.{time} IS NULL AND i.{time} IS NOT NULL) OR i.{time} > t.{time}"
    others = [name for name in job.columns if name not in job.key]
    return " OR ".join(f"i.{identifier(n)} IS DISTINCT FROM t.{identifier(n)}" for n in others) or "false"


def _newest(job: WriteRequest, name: str) -> str:
    """Returns SQL with one incoming row per key: the newest by timestamp, else the last of the input.

    That is the input itself if no key occurs twice, else a temporary table. The rows themselves stay out of the
    aggregate, so that it fits into little memory.
    """
    keys = _list(job.key)
    if not job.con.execute(f"SELECT 1 FROM {job.incoming} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1").fetchall():
        return job.incoming
    rank = _ORDER
    if job.timestamp:
        time = identifier(job.timestamp)
        rank = f"{{'known': {time} IS NOT NULL, 'time': {time}, '{_ORDER}': {_ORDER}}}"
    chosen = f"max({rank})" + (f".{_ORDER}" if job.timestamp else "")
    job.con.execute(
        f"CREATE OR REPLACE TEMP TABLE sl_numbered AS SELECT {_list(job.columns)}, row_number() OVER () AS {_ORDER} "
        f"FROM {job.incoming}"
    )
    job.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {_list(job.columns)} FROM sl_numbered WHERE {_ORDER} IN "
        f"(SELECT {chosen} FROM sl_numbered GROUP BY {keys})"
    )
    job.con.execute("DROP TABLE sl_numbered")
    return name


def insert_rows(job: WriteRequest, source: str) -> int:
    """Inserts all rows of a relation and returns their number."""
    written = execute_insert(job.con, f"INSERT INTO {job.target} BY NAME SELECT {_list(job.columns)} FROM {source}")
    if job.inserted is not None:
        job.inserted(source)
    return written


def _delete_matching(job: WriteRequest, source: str, columns: Sequence[str]) -> None:
    # each key once: DuckDB cannot delete a row of this transaction twice where there is a primary key
    keys = f"(SELECT DISTINCT {_list(columns)} FROM {source})"
    job.con.execute(f"DELETE FROM {job.target} AS t USING {keys} i WHERE {_match(job, source, columns)}")


def _drop(job: WriteRequest, source: str) -> None:
    if source != job.incoming:
        job.con.execute(f"DROP TABLE {source}")


def _match(job: WriteRequest, source: str, columns: Sequence[str]) -> str:
    """Returns the condition that a row `i` of the source and a row `t` have the same key.

    If the source has no NULL, `=` means the same, and DuckDB then only reads rows of the table that may match.
    """
    counts = ", ".join(f"count(*) = count({identifier(name)})" for name in columns)
    filled = job.con.execute(f"SELECT {counts} FROM {source}").fetchall()[0]
    return " AND ".join(
        f"i.{identifier(name)} {'=' if full else 'IS NOT DISTINCT FROM'} t.{identifier(name)}"
        for name, full in zip(columns, filled, strict=True)
    )


def _list(columns: Sequence[str]) -> str:
    return ", ".join(identifier(name) for name in columns)


def match_column_name(name: str, columns: Sequence[str]) -> str:
    """Returns the column's own spelling: names compare regardless of case, as in DuckDB."""
    for column in columns:
        if column.lower() == name.lower():
            return column
    guess = closest_match(name, columns)
    hint = f"; did you mean {guess!r}?" if guess else ""
    raise EngineError(f"the write strategy uses column {name!r}, which is none of {', '.join(columns)}{hint}")


def _require(missing: bool, message: str) -> None:
    if missing:
        raise EngineError(message)


_WRITERS: Mapping[str, Callable[[WriteRequest], int]] = {
    "APPEND": _append,
    "OVERWRITE": _overwrite,
    "UPSERT_BY_KEY": _upsert_by_key,
    "UPSERT_BY_KEY_AND_TIMESTAMP": _upsert_by_key_and_timestamp,
    "OVERWRITE_BY_PARTITION": _overwrite_by_partition,
    "DELETE_THEN_INSERT": _upsert_by_key,
    "SCD2": _scd2,
}
