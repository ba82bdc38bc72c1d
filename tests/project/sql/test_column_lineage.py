# ruff: noqa: E501 - a line a statement
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.sql.column_lineage import column_lineage, output_columns, qualified_query

COLUMNS = {
    "s.orders": [("Id", "int"), ("custId", "int"), ("amount", "decimal")],
    "s.clients": [("id", "int"), ("Name", "string")],
    "orders": [("Id", "int"), ("amount", "decimal")],
}


def trace(sql: str, dialect: str = "duckdb") -> dict[str, set[str]]:
    found = column_lineage(sql, dialect, lambda name: COLUMNS.get(name, ()))
    return {output.name: {".".join(source) for source in output.sources} for output in found}


ORDERS, CLIENTS = "s.orders", "s.clients"

CASES = [
    ("duckdb", f"select * from {ORDERS}", {"Id": {f"{ORDERS}.Id"}, "custId": {f"{ORDERS}.custId"}, "amount": {f"{ORDERS}.amount"}}),
    ("duckdb", f'select o.ID as "Key", NAME from {ORDERS} o join {CLIENTS} c on o.custid = c.id', {"Key": {f"{ORDERS}.Id"}, "NAME": {f"{CLIENTS}.Name"}}),
    ("duckdb", f"select sum(Amount) over (partition by custid) as Tot from {ORDERS}", {"Tot": {f"{ORDERS}.amount", f"{ORDERS}.custId"}}),
    ("duckdb", "with orders as (select * from orders) select *, amount * 2 as d from orders", {"Id": {"orders.Id"}, "amount": {"orders.amount"}, "d": {"orders.amount"}}),
    ("duckdb", f"select custid as k from {ORDERS} union all select id from {CLIENTS}", {"k": {f"{ORDERS}.custId", f"{CLIENTS}.id"}}),
    ("duckdb", f"select id as k from {ORDERS} except select id from {CLIENTS}", {"k": {f"{ORDERS}.Id"}}),
    ("duckdb", f"select * exclude (id), coalesce(c.name, 'x') as nm from {ORDERS} o left join {CLIENTS} c using (id)", {"custId": {f"{ORDERS}.custId"}, "amount": {f"{ORDERS}.amount"}, "Name": {f"{CLIENTS}.Name"}, "nm": {f"{CLIENTS}.Name"}}),
    ("duckdb", f"select (select max(name) from {CLIENTS} z where z.id = o.custid) as m from {ORDERS} o", {"m": {f"{CLIENTS}.Name"}}),
    ("duckdb", f"with recursive r as (select id, 1 as lvl from {ORDERS} union all select id, lvl + 1 from r) select * from r", {"id": {f"{ORDERS}.Id"}, "lvl": set()}),
    ("duckdb", f"select u.z, o.id from {ORDERS} o, unnest([o.amount]) as u(z)", {"z": {f"{ORDERS}.amount"}, "id": {f"{ORDERS}.Id"}}),
    ("duckdb", f"insert into x.y select id from {ORDERS}", {"id": {f"{ORDERS}.Id"}}),
    ("duckdb", f"select case when amount > 1 then name end as v from (select * from {ORDERS}) a, {CLIENTS}", {"v": {f"{ORDERS}.amount", f"{CLIENTS}.Name"}}),
    ("duckdb", f"select o.id, foo from {ORDERS} o join u.k on true", {"id": {f"{ORDERS}.Id"}, "foo": {"u.k.foo"}}),
    ("duckdb", "select x from (select * from un.known) q", {"x": {"un.known.x"}}),
    ("duckdb", f"select id from {ORDERS} qualify row_number() over (partition by custid order by amount) = 1", {"id": {f"{ORDERS}.Id"}}),
    ("bigquery", "select s.orders.id, t.* except (id) from s.orders join s.clients t on true", {"id": {f"{ORDERS}.Id"}, "Name": {f"{CLIENTS}.Name"}}),
    ("snowflake", f'select "Id", count(*) as n from {ORDERS} group by 1', {"Id": {f"{ORDERS}.Id"}, "n": set()}),
    ("spark", f"select z from {ORDERS} lateral view explode(array(amount)) q as z", {"z": {f"{ORDERS}.amount"}}),
    ("duckdb", f"select amount * 2 from {ORDERS}", {}),
    ("duckdb", "select * from un.known", {}),
    ("duckdb", "not sql (", {}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "sql", "found"), CASES)
def test_each_output_column_is_traced(dialect: str, sql: str, found: dict[str, set[str]]) -> None:
    assert trace(sql, dialect) == found


def test_types_of_copies_and_casts() -> None:
    sql = f"select id, amount::varchar as t, amount + 1 as u from (select * from {ORDERS})"
    found = {output.name: output.type for output in column_lineage(sql, "duckdb", lambda name: COLUMNS.get(name, ()))}
    assert found == {"id": "int", "t": "text", "u": None}


@given(
    st.lists(
        st.sampled_from(["select", "*", "from", "s.orders", "(", ")", "with x as", ",", "union", "id", "o"]),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=60)
def test_nothing_raises(words: list[str]) -> None:
    trace(" ".join(words))


def test_a_long_chain_of_ctes() -> None:
    sources = [ORDERS, *(f"c{i}" for i in range(39))]
    ctes = ", ".join(f"c{i} as (select *, id + 1 as n{i} from {source})" for i, source in enumerate(sources))
    assert trace(f"with {ctes} select n39 from c39") == {"n39": {f"{ORDERS}.Id"}}


TRACED = {
    "select * rename (mail as contact) from t": {"id": {"id"}, "contact": {"mail"}},
    "select x.* rename (mail as contact) from t x": {"id": {"id"}, "contact": {"mail"}},
    "select * replace (id + 1 as id) rename (mail as contact) from t": {"id": {"id"}, "contact": {"mail"}},
    "select id, addr.* from n": {"id": {"id"}, "city": {"addr"}, "Zip": {"addr"}},
    "select x.addr.* exclude (city) from n x": {"Zip": {"addr"}},
    "select * from query_table('t')": {"id": {"id"}, "mail": {"mail"}},
    "select mail as m from t where id > (select max(id) from unknown)": {"m": {"mail"}},
    "select 1 as one, count(*) as n from t": {"one": set(), "n": set()},
    "with recursive r as (select id, mail from t union all select id + 1, mail from r) select mail from r": {
        "mail": {"mail"}
    },
}
UNTRACED = [
    "select columns('m.*') from t",
    "select columns(*)::varchar from t",
    "select t as x from t",
    "select to_json(t) as x from t",
    "select list(t) as x from t",
    "select #2 as x from t",
    "select other.* from t",
    "select unnest(addr) from n",
    "select * from t pivot (count(*) for mail in ('a'))",
    "pivot t on mail using count(*)",
    "select * from (unpivot t on mail into name n value v)",
    "summarize t",
    "select * from (describe t)",
    "select x from query('select mail as x from t')",
    "select nosuch as x from t",
    "select mail.upper() as x from t",
    "select * from (select columns('m.*') from t)",
]


def _traced(sql: str) -> dict[str, set[str]]:
    known = {"t": ("id", "mail"), "n": ("id", "addr")}
    query = qualified_query(
        sql,
        "duckdb",
        lambda table: [(column, None) for column in known.get(table, ())],
        lambda table, column: ("city", "Zip") if column == "addr" else (),
    )
    found = output_columns(query) if query is not None else ()
    return {one.name: {column for _, column in one.sources} for one in found if one.is_traced}


@pytest.mark.parametrize("sql", TRACED)
def test_forms_of_stars_are_traced(sql: str) -> None:
    assert _traced(sql) == TRACED[sql]


@pytest.mark.parametrize("sql", UNTRACED)
def test_what_cannot_be_traced_is_not_taken_for_a_constant(sql: str) -> None:
    assert _traced(sql) == {}
