"""Files larger than DuckDB's `memory_limit`, packed or not DuckDB's own formats, are read and not held."""

import gzip
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.reading.read import read_incoming
from starlake_dagster_assets.project.model.project import Table
from tests.engine.reading.factory import attribute, project, table

ROWS = 150_000
TEXT = "abcdefghij" * 60
COLUMNS = (attribute("id", "int", required=True), attribute("note"))


def loaded(folder: Path, target: Table, path: Path) -> tuple[int, int, int]:
    """Reads under a limit of 64 MB and writes a table; gives accepted and rejected rows, and the sum of the ids."""
    con = duckdb.connect(str(folder / "x.db"), config={"memory_limit": "64MB", "threads": 1})
    con.execute(f"SET temp_directory = '{folder}/spill'")
    found = read_incoming(con, project(), target, [path])
    con.execute(f"CREATE TABLE t AS SELECT * FROM {found.relation}")
    total = con.execute("SELECT sum(id) FROM t WHERE length(note) = 600").fetchall()[0][0]
    con.close()
    return found.accepted, found.rejected, int(total)


def test_packed_csv(tmp_path: Path) -> None:
    path = tmp_path / "big.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("id,note\n")
        file.writelines(f"{index},{TEXT}\n" for index in range(ROWS))
        file.write(f"x,{TEXT}\n")
    assert loaded(tmp_path, table(*COLUMNS), path) == (ROWS, 1, ROWS * (ROWS - 1) // 2)


def test_xml(tmp_path: Path) -> None:
    path = tmp_path / "big.xml"
    with path.open("w") as file:
        file.write("<rows>")
        file.writelines(f"<row><id>{index}</id><note>{TEXT}</note></row>" for index in range(ROWS))
        file.write(f"<row><note>{TEXT}</note></row></rows>")
    target = table(*COLUMNS, format="XML", options={"rowTag": "row"})
    assert loaded(tmp_path, target, path) == (ROWS, 1, ROWS * (ROWS - 1) // 2)
