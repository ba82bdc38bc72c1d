"""Values in statements, and why they are not parameters."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from starlake_dagster_assets.engine.quoting import SqlValue, value

LOAD = """
import sys
from starlake_dagster_assets.engine.commands.program import execute_command
code = execute_command(["load"], {"SL_ROOT": sys.argv[1]}, lambda line: print(line.text))
heavy = sorted({"pandas", "pyarrow"} & sys.modules.keys())
sys.exit(code or (f"imported: {heavy}" if heavy else 0))
"""


@pytest.mark.parametrize(
    "given", ["", "a'b", "x\0y'\0", "é😀\n", None, True, False, -5, 2**62, datetime(2024, 1, 2, 3, 4, 5, 678)]
)
def test_a_value_is_read_as_it_was_given(given: SqlValue):
    with duckdb.connect() as con:
        (found,) = con.execute(f"SELECT {value(given)}").fetchall()[0]
    assert found == given and type(found) is type(given)


def test_a_load_imports_no_pandas(tmp_path: Path):
    pytest.importorskip("pandas")
    for name, text in _project().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(tmp_path / "x.db"), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM shop.sale").fetchall() == [(2,)]


def _project() -> dict[str, str]:
    """A project of one table, and its staged file, with a row that is refused."""
    url = "jdbc:duckdb:{{SL_ROOT}}/x.db"
    return {
        "metadata/application.sl.yml": (
            "version: 1\napplication:\n  connectionRef: main\n  connections:\n"
            f'    main: {{type: jdbc, options: {{url: "{url}", driver: org.duckdb.DuckDBDriver}}}}\n'
        ),
        "metadata/load/shop/_config.sl.yml": 'version: 1\nload: {metadata: {directory: "{{SL_ROOT}}/in"}}\n',
        "metadata/load/shop/sale.sl.yml": (
            'version: 1\ntable: {name: sale, pattern: "sale.*", attributes: [{name: id, type: long}], '
            'metadata: {format: DSV, separator: ","}}\n'
        ),
        "datasets/stage/shop/sale.csv": "id\n1\n2\nthree\n",
    }
