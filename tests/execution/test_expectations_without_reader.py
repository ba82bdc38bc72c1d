"""Without a warehouse reader: what is known of expectations after a load."""

from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.execution.backends.fake import FakeRunner, Script, loaded_lines
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection

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
    runner = FakeRunner({"load": Script(lines, code)}, reader=None)
    told = execute_selection(source, ["sales.strict", "sales.plain"], runner, RunSettings("job"))
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


@pytest.fixture
def fails_on_error(source: StarlakeProject) -> StarlakeProject:
    """With `expectations.failOnError`: a load archives a file only once the expectations of its table held."""
    application = "version: 1\napplication: {expectations: {failOnError: true}}\n"
    (source.root / "metadata/application.sl.yml").write_text(application)
    return StarlakeProject(source.root)


@pytest.mark.parametrize("archived", [True, False])
@pytest.mark.parametrize("code", [0, 1])
def test_the_end_of_a_load_tells_where_expectations_fail_it(fails_on_error, code, archived):
    strict = loaded_lines("sales", "strict")
    lines = [*(strict if archived else strict[:2]), loaded_lines("sales", "plain")[0], ERROR]
    found = outcomes(fails_on_error, [*BOTH, DONE] if code == 0 else lines, code)["sales.strict"]
    if code and not archived:
        assert found.status == "unknown"
        assert found.reason.startswith("unknown whether the blocking expectation m() holds")
        return
    assert found.status == "materialized"
    (check,) = found.checks
    assert check.passed and "was complete" in check.reason
