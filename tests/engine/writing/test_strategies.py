"""Every write strategy against a plain-Python model of what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.writing.strategies import WriteRequest, validate_strategy, write
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import WriteStrategy

COLUMNS = ("id", "site", "v", "ts")
Row = tuple[int | None, str | None, int | None, int | None]
NOW = datetime(2024, 1, 1)

rows = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from([None, "a", "b"]),
        st.integers(0, 4) | st.none(),
        st.integers(0, 4) | st.none(),
    ),
    max_size=6,
)
batches = st.lists(rows, min_size=1, max_size=4)


def key_of(row: Row, key: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(row[COLUMNS.index(name)] for name in key)


def age(row: Row) -> float:
    return float("-inf") if row[3] is None else row[3]


def newest(incoming: list[Row], key: tuple[str, ...], by_time: bool) -> list[Row]:
    best: dict[object, Row] = {}
    for row in incoming:
        known = best.get(key_of(row, key))
        if known is None or not by_time or age(row) >= age(known):
            best[key_of(row, key)] = row
    return list(best.values())


def upsert(table: list[Row], incoming: list[Row], key: tuple[str, ...]) -> list[Row]:
    keys = {key_of(row, key) for row in incoming}
    return [row for row in table if key_of(row, key) not in keys] + incoming


def upsert_by_time(table: list[Row], incoming: list[Row], key: tuple[str, ...]) -> list[Row]:
    known: dict[object, float] = {}
    for row in table:
        known[key_of(row, key)] = max(age(row), known.get(key_of(row, key), float("-inf")))
    fresh = [row for row in incoming if key_of(row, key) not in known or age(row) > known[key_of(row, key)]]
    return upsert(table, fresh, key)


def model(strategy: WriteStrategy, table: list[Row], incoming: list[Row]) -> list[Row]:
    kind, key, both = strategy.type, strategy.key, strategy.on == "SOURCE_AND_TARGET"
    if kind == "APPEND":
        return table + incoming
    if kind == "OVERWRITE":
        return incoming
    if kind == "OVERWRITE_BY_PARTITION":
        return upsert(table, incoming, ("site",))
    source = newest(incoming, key, by_time=strategy.timestamp is not None) if both else incoming
    if kind == "UPSERT_BY_KEY_AND_TIMESTAMP":
        return upsert_by_time(table, source, key)
    return upsert(table, source, key)


def database() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("CREATE TABLE t (id INTEGER, site VARCHAR, v INTEGER, ts INTEGER)")
    return con


def run(con: duckdb.DuckDBPyConnection, strategy: WriteStrategy, incoming: Iterable[Row], now: datetime = NOW) -> None:
    # the columns come in another order than the table's: they are written by name
    con.execute("CREATE OR REPLACE TEMP TABLE inc (ts INTEGER, v INTEGER, id INTEGER, site VARCHAR)")
    for row in incoming:
        con.execute("INSERT INTO inc VALUES (?, ?, ?, ?)", [row[3], row[2], row[0], row[1]])
    write(WriteRequest(con, "t", "inc", ("ts", "v", "id", "site"), strategy, ("site",), "s", "e", now))


def content(con: duckdb.DuckDBPyConnection) -> Counter[object]:
    return Counter(con.execute("SELECT id, site, v, ts FROM t").fetchall())


KEYED = [
    WriteStrategy(type=kind, key=key, on=on, timestamp=time)
    for kind in ("UPSERT_BY_KEY", "DELETE_THEN_INSERT", "UPSERT_BY_KEY_AND_TIMESTAMP")
    for key in (("id",), ("id", "site"))
    for on in ("TARGET", "SOURCE_AND_TARGET")
    for time in (None, "ts")
    if time or kind != "UPSERT_BY_KEY_AND_TIMESTAMP"
]
STRATEGIES = [*(WriteStrategy(type=kind) for kind in ("APPEND", "OVERWRITE", "OVERWRITE_BY_PARTITION")), *KEYED]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(STRATEGIES), batches)
def test_rows_are_those_of_the_model(strategy: WriteStrategy, days: list[list[Row]]) -> None:
    con, expected = database(), list[Row]()
    for day in days:
        run(con, strategy, day)
        expected = model(strategy, expected, day)
    assert content(con) == Counter(expected)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([s for s in STRATEGIES if s.type != "APPEND"]), batches)
def test_running_the_last_input_again_changes_nothing(strategy: WriteStrategy, days: list[list[Row]]) -> None:
    con = database()
    for day in days:
        run(con, strategy, day)
    before = content(con)
    run(con, strategy, days[-1])
    assert content(con) == before


Version = tuple[Row, datetime | None, datetime | None]


def model_scd2(
    table: list[Version], incoming: list[Row], key: tuple[str, ...], by_time: bool, now: datetime
) -> list[Version]:
    result = list(table)
    for row in newest(incoming, key, by_time):
        current = [v for v in table if v[2] is None and key_of(v[0], key) == key_of(row, key)]
        if current and (not age(row) > age(current[0][0]) if by_time else row == current[0][0]):
            continue
        for version in current:
            result[result.index(version)] = (version[0], version[1], now)
        result.append((row, now, None))
    return result


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([("id",), ("id", "site")]), st.booleans(), batches)
def test_scd2_keeps_one_current_row_a_key(key: tuple[str, ...], by_time: bool, days: list[list[Row]]) -> None:
    con = database()
    con.execute("ALTER TABLE t ADD COLUMN s TIMESTAMP")
    con.execute("ALTER TABLE t ADD COLUMN e TIMESTAMP")
    strategy = WriteStrategy(type="SCD2", key=key, timestamp="ts" if by_time else None)
    expected: list[Version] = []
    for number, day in enumerate([*days, days[-1]]):
        now = NOW + timedelta(days=number)
        run(con, strategy, day, now)
        expected = model_scd2(expected, day, key, by_time, now)
    found = con.execute("SELECT id, site, v, ts, s, e FROM t").fetchall()
    assert Counter(found) == Counter((*row, start, end) for row, start, end in expected)


def test_rows_of_this_transaction_are_replaced_where_the_table_has_a_primary_key() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, site VARCHAR, v INTEGER, ts INTEGER)")
    con.begin()
    con.execute("INSERT INTO t VALUES (1, 'a', 1, 1), (2, 'a', 1, 1), (3, 'b', 1, 1)")
    run(con, WriteStrategy(type="OVERWRITE_BY_PARTITION"), [(4, "a", 2, 2), (5, "a", 2, 2)])
    con.commit()
    assert content(con) == Counter([(3, "b", 1, 1), (4, "a", 2, 2), (5, "a", 2, 2)])


def test_truncate_empties_the_table_before_an_append() -> None:
    con = database()
    run(con, WriteStrategy(), [(1, "a", 1, 1)])
    con.execute("DELETE FROM inc")
    write(WriteRequest(con, "t", "inc", ("id",), WriteStrategy(), (), "s", "e", NOW, truncate=True))
    assert content(con) == Counter()


@pytest.mark.parametrize(
    ("strategy", "partition", "says"),
    [
        (WriteStrategy(type="OVERWRITE_BY_KEY"), (), "did you mean OVERWRITE"),
        (WriteStrategy(type="ADAPTATIVE"), (), "ADAPTATIVE"),
        (WriteStrategy(type="upsert_by_ky", key=("id",)), (), "did you mean UPSERT_BY_KEY"),
        (WriteStrategy(type="SCD2"), (), "needs writeStrategy.key"),
        (WriteStrategy(type="UPSERT_BY_KEY_AND_TIMESTAMP", key=("id",)), (), "needs writeStrategy.timestamp"),
        (WriteStrategy(type="OVERWRITE_BY_PARTITION"), (), "needs sink.partition"),
        (WriteStrategy(type="UPSERT_BY_KEY", key=("idd",)), (), "did you mean 'id'"),
        (WriteStrategy(type="OVERWRITE_BY_PARTITION"), ("sit",), "did you mean 'site'"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(
    strategy: WriteStrategy, partition: tuple[str, ...], says: str
) -> None:
    with pytest.raises(EngineError, match=says):
        validate_strategy(strategy, partition, COLUMNS, [])


def test_names_of_own_templates_are_known() -> None:
    validate_strategy(WriteStrategy(type="My_Merge"), (), COLUMNS, ["my_merge"])
