"""DuckDB's own binder as the judge of scopes: what it reads, we find."""

from __future__ import annotations

import random

import duckdb
import pytest

from starlake_dagster_assets.project.sql.references import find_references

NAMES = ["a", "b", "c", "s.a", "s.b", "t.c"]


def random_query(rng: random.Random, depth: int) -> str:
    nested = depth > 0
    source = f"({random_query(rng, depth - 1)}) z" if nested and rng.random() < 0.5 else rng.choice(NAMES)
    sql = f"select 1 as x from {source}"
    if rng.random() < 0.3:
        sql += f" join {rng.choice(NAMES)} j on true"
    if nested and rng.random() < 0.3:
        sql += f" where 1 in ({random_query(rng, depth - 1)})"
    if nested and rng.random() < 0.3:
        sql = f"({sql}) union all ({random_query(rng, depth - 1)})"
    if nested and rng.random() < 0.5:
        ctes = rng.sample(["a", "b", "c"], rng.randint(1, 3))
        sql = f"with {', '.join(f'{name} as ({random_query(rng, depth - 1)})' for name in ctes)} {sql}"
    return sql


@pytest.mark.parametrize("seed", range(4))
def test_the_same_tables_as_duckdb(seed: int) -> None:
    rng = random.Random(seed)
    with duckdb.connect() as connection:
        for _ in range(60):
            sql = random_query(rng, 3)
            read = {name.split(" AS ")[0] for name in connection.get_table_names(sql, qualified=True)}
            found = set(find_references(sql, "duckdb"))
            assert read <= found, sql
            # DuckDB does not look into CTEs that nobody reads
            assert found <= read or "with" in sql, sql
