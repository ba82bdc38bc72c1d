"""Without a warehouse reader: what is known of expectations after a load."""

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


def outcomes(source: StarlakeProject, lines: list[str], code: int) -> dict[str, Outcome]:
    runner = FakeRunner({"load": Script(lines, code)})
    told = execute(source, ["sales.strict", "sales.plain"], runner, RunSettings("job"))
    return {item.node.id: item for item in told if isinstance(item, Outcome)}


def statuses(source: StarlakeProject, lines: list[str], code: int) -> dict[str, str]:
    return {name: item.status for name, item in outcomes(source, lines, code).items()}


BOTH = [*loaded_lines("sales", "strict"), *loaded_lines("sales", "plain")]


def test_a_load_that_failed_though_no_table_did_is_doubted_where_an_expectation_blocks(source):
    assert statuses(source, [*BOTH, ERROR], 1) == {"sales.strict": "unknown", "sales.plain": "materialized"}


def test_a_table_that_failed_explains_the_exit_code(source):
    lines = [*loaded_lines("sales", "strict"), loaded_lines("sales", "plain")[0], ERROR]
    found = outcomes(source, lines, 1)
    assert {name: item.status for name, item in found.items()} == {"sales.strict": "unknown", "sales.plain": "failed"}
    assert found["sales.strict"].reason.startswith("unknown whether the blocking expectation m() holds")


DONE = "26/01/01 00:00:00 INFO Main: Successfully load --domains sales"


def test_a_blocking_expectation_that_was_not_evaluated_is_unknown(source):
    assert statuses(source, [*BOTH, DONE], 0) == {"sales.strict": "unknown", "sales.plain": "materialized"}


def test_the_exit_code_tells_where_expectations_fail_a_load(source):
    application = "version: 1\napplication: {expectations: {failOnError: true}}\n"
    (source.root / "metadata/application.sl.yml").write_text(application)
    found = outcomes(StarlakeProject(source.root), [*BOTH, DONE], 0)
    assert {item.status for item in found.values()} == {"materialized"}
    (check,) = found["sales.strict"].checks
    assert check.passed and "exit code 0" in check.reason
