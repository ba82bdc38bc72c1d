from pathlib import Path

import duckdb
import pytest

from starlake_dagster_assets.engine.catalog import describe_relation
from starlake_dagster_assets.engine.quoting import qualified

OBJECTS = """
CREATE SCHEMA shop;
CREATE TABLE shop.sale (id INTEGER, "rowid" VARCHAR);
CREATE TABLE shop.city (name VARCHAR);
CREATE VIEW shop.recent AS SELECT name FROM shop.city;
CREATE VIEW shop.numbered AS SELECT rowid, name FROM shop.city;
CREATE TABLE shop.gone (id INTEGER);
CREATE VIEW shop.broken AS SELECT id FROM shop.gone;
DROP TABLE shop.gone;
"""


@pytest.mark.parametrize(
    ("table", "kind", "columns"),
    [
        pytest.param("city", "BASE TABLE", ["name"], id="table"),
        pytest.param("CITY", "BASE TABLE", ["name"], id="another-case"),
        pytest.param("sale", "BASE TABLE", ["id", "rowid"], id="table-with-a-column-rowid"),
        pytest.param("recent", "VIEW", ["name"], id="view"),
        pytest.param("numbered", "VIEW", ["rowid", "name"], id="view-of-rowid"),
        pytest.param("broken", "VIEW", [], id="view-of-a-dropped-table"),
        pytest.param("gone", None, [], id="nothing"),
    ],
)
@pytest.mark.parametrize("attached", [False, True])
def test_kind_and_columns(tmp_path: Path, table: str, kind: str | None, columns: list[str], attached: bool) -> None:
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other")
        if attached:
            con.execute("USE other")
        con.execute(OBJECTS)
        con.execute("USE memory")
        con.execute("BEGIN")
        catalog = "other" if attached else ""
        found = describe_relation(con, qualified(catalog, "shop", table), ("shop", table), f"'{catalog or 'memory'}'")
        assert (found[0], [name for name, _ in found[1]]) == (kind, columns)
        assert con.execute("SELECT 1").fetchall() == [(1,)], "the transaction still takes statements"
