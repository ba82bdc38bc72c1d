"""Texts of errors: what the user wrote stays, what the engine made itself goes."""

from pathlib import Path

import duckdb
import pytest

from starlake_dagster_assets.engine.error_text import error_text, with_file_names

TEXTS = {
    "the query of a task": (
        "Catalog Error: Table with name x does not exist!\n\n"
        "LINE 1: CREATE OR REPLACE TEMP VIEW sl_incoming AS select * from x\n" + " " * 67 + "^",
        "Catalog Error: Table with name x does not exist!\n\nLINE 1: select * from x\n" + " " * 24 + "^",
    ),
    "a later line": (
        "Binder Error: no column idd\n\nLINE 3: where idd = 1\n              ^",
        "Binder Error: no column idd\n\nLINE 3: where idd = 1\n              ^",
    ),
    "a statement of the engine": (
        "Conversion Error: no integer\n\nLINE 1: INSERT INTO t BY NAME SELECT id FROM temp.sl_incoming\n   ^",
        "Conversion Error: no integer",
    ),
    "names of its tables": (
        'Binder Error: Candidate bindings: "sl_incoming.id", "temp.main.sl_incoming_ab12_rows.v"',
        'Binder Error: Candidate bindings: "id", "v"',
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text(case: str) -> None:
    text, expected = TEXTS[case]
    assert error_text(duckdb.Error(text)) == expected


def test_paths_of_files_that_are_being_loaded() -> None:
    file = Path("/data/ingesting/d/a.csv")
    assert with_file_names(f"file:{file} and {file}: broken", [file]) == "a.csv and a.csv: broken"
