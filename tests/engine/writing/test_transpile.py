"""SQL of other warehouses: the translation returns what the warehouse documents, or is refused by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pytest

from starlake_dagster_assets.engine.writing.transpile import to_duckdb
from starlake_dagster_assets.errors import EngineError

TYPES = {
    "d": {
        "t": {"i": "INTEGER", "j": "INTEGER", "f": "DOUBLE", "n": "DECIMAL(10,2)", "s": "VARCHAR", "day": "DATE"},
    },
    "other": {"t": {"x": '"NULL"', "y": "ENUM('a', 'b')", "z": "STRUCT(a INTEGER)[]"}},
}
ROW = "create schema d; create table d.t as select 7 as i, 2 as j, 7.0::double as f, 7.00::decimal(10, 2) as n, "
ROW += "'ab' as s, date '2024-03-05' as day"
EXACT = [
    ("postgres", "select i / j from d.t", 3),
    ("tsql", "select t.i / t.j from d.t as t", 3),
    ("redshift", "with a as (select i, j from d.t) select (i + 1) / j from a", 4),
    ("postgres", "select -i / j from d.t", -3),
    ("postgres", "select sum(i) / count(*) from d.t", 7),
    ("postgres", "select f / j from d.t", 3.5),
    ("bigquery", "select i / j from d.t", 3.5),
    ("spark", "select i / j from d.t", 3.5),
    ("spark", "select i / 0 from d.t", None),
    ("snowflake", "select I / 3 from D.T", Decimal("2.333333")),
    ("spark", "select i % 0 from d.t", None),
    ("postgres", "select i % j from d.t", 1),
    ("bigquery", "select div(-i, j) from d.t", -3),
    ("bigquery", "select [1, 2][safe_offset(5)] from d.t", None),
    ("bigquery", "select safe_divide(i, 0) from d.t", None),
    ("bigquery", "select date_trunc(day, month) from d.t", dt.date(2024, 3, 1)),
    ("snowflake", "select dateadd(month, 1, day) from d.t", dt.date(2024, 4, 5)),
    ("bigquery", "select date_diff(date '2024-03-01', t.day, day) from d.t as t", -4),
    ("bigquery", "select format_date('%Y%m', day) from d.t", "202403"),
    ("spark", "select date_format(day, 'yyyy-MM') from d.t", "2024-03"),
    ("snowflake", "select iff(i > 1, nvl(s, 'x'), 'y') from d.t", "ab"),
    ("bigquery", "select concat(s, null) from d.t", None),
    ("bigquery", "select ifnull(s, '') from d.t where s like 'a%' and i between 1 and 9", "ab"),
]
EXACT += [
    ("spark", "select cast(1.5 as int) from d.t", 1),
    ("spark", "select cast(-f / 2 as int) from d.t", -3),
    ("spark", "select cast(n / 2e0 as bigint) from d.t", 3),
    ("databricks", "select cast(f / 2 as int) from d.t", 3),
    ("tsql", "select cast(2.5 as int)", 2),
    ("postgres", "select cast(2.5 as int)", 3),
    ("postgres", "select cast(f - 4.5::float8 as int) from d.t", 2),
    ("bigquery", "select cast(f - 4.5 as int64) from d.t", 3),
    ("snowflake", "select (f - 4.5::float)::int from d.t", 3),
    ("bigquery", "select safe_cast('1.7' as int64)", None),
    ("bigquery", "select safe_cast(s as int64) from d.t", None),
    ("postgres", "select cast(i || '' as int) from d.t", 7),
    ("bigquery", "select 0.1 + 0.2", 0.1 + 0.2),
    ("spark", "select 0.1 + 0.2", Decimal("0.3")),
    ("bigquery", "select i / 2.0 from d.t", 3.5),
    ("spark", "select cast(n as string) from d.t", "7.00"),
    ("spark", "select concat(day, s, i) from d.t", "2024-03-05ab7"),
    ("spark", "select cast(f - 6.715 as decimal(4, 2)) from d.t", Decimal("0.29")),
    ("spark", "select round(1.005e0, 2)", 1.01),
    ("spark", "select datediff(day, date '2024-03-01') from d.t", 4),
    ("snowflake", "select datediff(month, '2023-12-31'::date, day) from d.t", 3),
    ("postgres", "select day - date '2024-03-01' from d.t", 4),
    ("spark", "select to_date('05/03/2024', 'dd/MM/yyyy')", dt.date(2024, 3, 5)),
    ("spark", "select to_date('x', 'dd/MM/yyyy')", None),
]
LOUD = [
    ("spark", "select to_date('5/3/2024', 'dd/MM/yyyy')", "not exactly of its format"),
    ("postgres", "select to_date('5/3/2024', 'DD/MM/YYYY')", "not exactly of its format"),
    ("postgres", "select cast(s || '1.7' as int) from d.t", "not a whole number"),
    ("bigquery", "select safe_cast(concat(' ', i) as int64) from d.t", "not a whole number"),
    ("spark", "select cast(f * 1000000000 as int) from d.t", "out of range"),
]
REFUSED = [
    ("snowflake", "select to_varchar(day, 'YYYYMM') from d.t", "TO_CHAR"),
    ("bigquery", "select x from unnest(['h', 'a']) as x with offset o where o > 0", "OFFSET"),
    ("spark", "select dayofweek(day) from d.t", "DAY_OF_WEEK"),
    ("spark", "select weekday(day) from d.t", "WEEKDAY"),
    ("bigquery", "select extract(dayofweek from day) from d.t", "DAYOFWEEK"),
    ("bigquery", "select timestamp_diff(a, b, day) from d.t", "TIMESTAMP_DIFF"),
    ("bigquery", "select date_trunc(day, week) from d.t", "WEEK"),
    ("bigquery", "select date_diff(day, day, week) from d.t", "WEEK"),
    ("snowflake", "select my_function(s) from d.t", "MY_FUNCTION"),
    ("postgres", "select q / 2 from elsewhere.x", "division"),
    ("snowflake", "select n / i from d.t", "scale"),
    ("spark", "select cast(s as int) from d.t", "CAST of a text"),
    ("spark", "select cast('1.7' as int) from d.t", "CAST of a text"),
    ("postgres", "select cast('1e3' as int) from d.t", "CAST of a text"),
    ("redshift", "select cast(f as int) from d.t", "round in another way"),
    ("spark", "select cast(q as int) from elsewhere.x", "type is not known"),
    ("spark", "select cast(q as string) from elsewhere.x", "type is not known"),
    ("spark", "select cast(f as string) from d.t", "print in another way"),
    ("snowflake", "select f || 'x' from d.t", "print in another way"),
    ("bigquery", "select cast(n as string) from d.t", "print in another way"),
    ("bigquery", "select concat(2.0, 'x') from d.t", "print in another way"),
    ("postgres", "select cast(f as decimal(10, 1)) from d.t", "round in another way"),
    ("spark", "select cast('t' as boolean) from d.t", "BOOLEAN"),
    ("postgres", "select 1e2 from d.t", "exponent"),
    ("postgres", "select n / i from d.t", "scale"),
    ("spark", "select i / 3.0 from d.t", "scale"),
    ("postgres", "select avg(i) from d.t", "AVG"),
    ("postgres", "select round(f) from d.t", "half to even"),
    ("spark", "select datediff(month, day, day) from d.t", "whole units"),
    ("trino", "select date_diff('month', day, day) from d.t", "whole units"),
    ("spark", "select day - date '2024-01-01' from d.t", "subtraction of two dates"),
    ("tsql", "select i from d.t where s = 'AB'", "ignores case"),
    ("spark", "select to_date(s, 'EEE') from d.t", "format"),
    ("spark", "select to_date(s, 'dd/MM') from d.t", "year of four digits"),
    ("spark", "select date_format(day, 'EEE') from d.t", "format"),
    ("bigquery", "select [1, 2][offset(0)] from d.t", "SAFE_OFFSET"),
    ("bigquery", "select trim(s) from d.t", "TRIM"),
    ("tsql", "select len(s) from d.t", "LENGTH"),
    ("snowflake", "select s:a.b from d.t", "JSON"),
    ("snowflake", "select avg(i) from d.t", "AVG"),
    ("bigquery", "select substr(s, 0, 2) from d.t", "SUBSTRING"),
]


@pytest.mark.parametrize(("dialect", "sql", "expected"), EXACT)
def test_a_translation_means_the_same(dialect: str, sql: str, expected: object) -> None:
    with duckdb.connect() as con:
        con.execute(ROW)
        ((value,),) = con.execute(to_duckdb(sql, dialect, TYPES)).fetchall()
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgres", "select i % (j - 2) from d.t"),
        ("snowflake", "select mod(i, j - 2) from d.t"),
        ("bigquery", "select div(i, j - 2) from d.t"),
        ("postgres", "select i / (j % 2) from d.t"),
    ],
)
def test_whole_divisions_and_remainders_by_zero_fail_where_they_fail_in_the_warehouse(dialect: str, sql: str) -> None:
    with duckdb.connect() as con:
        con.execute(ROW)
        with pytest.raises(duckdb.Error, match="division by zero"):
            con.execute(to_duckdb(sql, dialect, TYPES)).fetchall()


@pytest.mark.parametrize(("dialect", "sql", "message"), LOUD)
def test_a_value_that_means_something_else_there_is_an_error(dialect: str, sql: str, message: str) -> None:
    with duckdb.connect() as con:
        con.execute(ROW)
        with pytest.raises(duckdb.Error, match=message):
            con.execute(to_duckdb(sql, dialect, TYPES)).fetchall()


@pytest.mark.parametrize(("dialect", "sql", "named"), REFUSED)
def test_what_is_doubtful_is_refused_by_name(dialect: str, sql: str, named: str) -> None:
    with pytest.raises(EngineError) as raised:
        to_duckdb(sql, dialect, TYPES)
    assert "cannot be translated" in str(raised.value) and named in str(raised.value)


def test_a_division_by_zero_fails_where_it_fails_in_the_warehouse() -> None:
    with duckdb.connect() as con:
        con.execute(ROW)
        with pytest.raises(duckdb.Error, match="division by zero"):
            con.execute(to_duckdb("select i / (j - 2) from d.t", "bigquery", TYPES))
