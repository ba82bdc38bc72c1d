"""An audit that is not there says nothing: the first run of a project, an inactive audit, an audit in another place."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.execution.backends.fake import FakeRunner, Script, loaded_lines
from starlake_dagster_assets.execution.evidence import Evidence
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess, warehouse_reader
from tests.fakes.scripted_starlake import CREATE_AUDIT

APPLICATION = """version: 1
application:
  connectionRef: main
  audit: {audit}
  connections:
    main: {{type: jdbc, options: {{url: "jdbc:duckdb:{root}/x.db"}}}}
    elsewhere: {{type: jdbc, options: {{url: "jdbc:h2:mem:x"}}}}
"""
TABLE = 'version: 1\ntable: {name: a, pattern: "a.*", attributes: [{name: id, type: int}]}\n'
AUDITS = {"first run": "{}", "inactive": "{active: false}", "elsewhere": "{sink: {connectionRef: elsewhere}}"}
DONE = "26/01/01 00:00:00 INFO Main: Successfully load --domains sales"


def project(root: Path, audit: str = "{}") -> StarlakeProject:
    for name, text in {
        "application.sl.yml": APPLICATION.format(audit=audit, root=root),
        "load/sales/_config.sl.yml": "version: 1\nload: {name: sales}\n",
        "load/sales/a.sl.yml": TABLE,
    }.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StarlakeProject(root)


def reader_of(source: StarlakeProject):
    found = warehouse_reader(source.model, WarehouseAccess(local_files=True))
    assert found is not None
    return found


def test_a_duckdb_file_without_audit_cannot_tell(tmp_path: Path):
    reader = reader_of(project(tmp_path))
    asked = [
        lambda: reader.audit("j"),
        lambda: reader.expectations("j"),
        lambda: reader.last_load("sales", "a"),
        lambda: reader.load_partition_counts("j", "sales", "a"),
    ]
    assert [ask() for ask in asked] == [None] * 4, "no file"
    assert list(reader.rejected("j", "sales", "a", 5)) == []
    with duckdb.connect(str(tmp_path / "x.db")) as con:
        con.execute("CREATE TABLE other (id INT)")
    assert [ask() for ask in asked] == [None] * 4, "a file without the schema"
    with duckdb.connect(str(tmp_path / "x.db")) as con:
        con.execute(";".join(CREATE_AUDIT))
    assert [ask() for ask in asked] == [[], [], [], None], "tables without a row of the command"


@pytest.mark.parametrize("audit", AUDITS)
def test_verdicts_without_audit_rest_on_the_log_or_are_unknown(tmp_path: Path, audit: str):
    source = project(tmp_path, AUDITS[audit])
    found = {}
    for name, lines, code in (
        ("whole", [*loaded_lines("sales", "a"), DONE], 0),
        ("lost", ["26/01/01 00:00:00 INFO Other: nothing that is known"], 0),
    ):
        runner = FakeRunner({"load": Script(lines, code)}, reader=reader_of(source))
        (outcome,) = [
            one for one in execute_selection(source, ["sales.a"], runner, RunSettings("j")) if isinstance(one, Outcome)
        ]
        found[name] = (outcome.status, outcome.evidence)
    assert found == {"whole": ("materialized", Evidence.LOG), "lost": ("unknown", Evidence.NONE)}
