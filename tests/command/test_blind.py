"""Where nobody can read the audit: what an expectation may have done to a load."""

from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.command.execute import execute
from starlake_dagster_assets.command.outcome import Outcome, RunSettings
from starlake_dagster_assets.runners.fake import FakeRunner, Script, loaded_lines

TABLE = """version: 1
table:
  name: {name}
  pattern: "{name}.*"
  attributes: [{{name: id, type: int}}]
  expectations: {expectations}
"""
ERROR = "26/01/01 00:00:00 ERROR IngestionWorkflow: Some tables failed to be loaded"


@pytest.fixture
def source(tmp_path: Path) -> StarlakeProject:
    for name, text in {
        "application.sl.yml": "version: 1\napplication: {}\n",
        "load/sales/_config.sl.yml": "version: 1\nload: {name: sales}\n",
        "load/sales/strict.sl.yml": TABLE.format(name="strict", expectations="[{expect: 'm()', failOnError: true}]"),
        "load/sales/plain.sl.yml": TABLE.format(name="plain", expectations="[]"),
        "expectations/m.j2": "{% macro m() %}SELECT 0 FROM sl_this{% endmacro %}",
    }.items():
        path = tmp_path / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StarlakeProject(tmp_path)


def statuses(source: StarlakeProject, lines: list[str], code: int) -> dict[str, str]:
    runner = FakeRunner({"load": Script(lines, code)})
    told = execute(source, ["sales.strict", "sales.plain"], runner, RunSettings("job"))
    return {item.node.id: item.status for item in told if isinstance(item, Outcome)}


BOTH = [*loaded_lines("sales", "strict"), *loaded_lines("sales", "plain")]


def test_a_load_that_failed_though_no_table_did_is_doubted_where_an_expectation_blocks(source):
    assert statuses(source, [*BOTH, ERROR], 1) == {"sales.strict": "failed", "sales.plain": "materialized"}


def test_a_table_that_failed_explains_the_exit_code(source):
    lines = [*loaded_lines("sales", "strict"), loaded_lines("sales", "plain")[0], ERROR]
    assert statuses(source, lines, 1) == {"sales.strict": "materialized", "sales.plain": "failed"}


def test_a_load_that_ended_well_is_not_doubted(source):
    done = "26/01/01 00:00:00 INFO Main: Successfully load --domains sales"
    assert set(statuses(source, [*BOTH, done], 0).values()) == {"materialized"}
