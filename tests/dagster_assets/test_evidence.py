"""Results of steps and their evidence: what is materialized, what is unknown, and what a retry makes of it."""

from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, StarlakeSteps, build_definitions
from starlake_dagster_assets.commands.model import AuditRow
from starlake_dagster_assets.execution.backends.fake import FakeRunner, FakeWarehouseReader, Script, loaded_lines
from starlake_dagster_assets.execution.outcome import RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.resources import StarlakeResource

AT = "26/01/01 00:00:00 "
ALL = f"{AT}INFO IngestionWorkflow: All tables loaded successfully"
DONE = f"{AT}INFO Main: Successfully load --domains sales"
SOME = f"{AT}ERROR IngestionWorkflow: Some tables failed to be loaded"
NONE = f"{AT}INFO IngestionWorkflow: No Files Found."
TABLE = "version: 1\ntable:\n  name: {0}\n  pattern: '{0}.*'\n  attributes: [{{name: id, type: int}}]\n"
NAMES = ("customers", "orders", "products")
TWO = [*loaded_lines("sales", "customers"), *loaded_lines("sales", "orders")]
THREE = [*TWO, *loaded_lines("sales", "products")]


@pytest.fixture
def source(tmp_path: Path) -> StarlakeProject:
    files = {
        "application.sl.yml": "version: 1\napplication: {}\n",
        "load/sales/_config.sl.yml": "load: {name: sales}\n",
    }
    files |= {f"load/sales/{name}.sl.yml": TABLE.format(name) for name in NAMES}
    for name, text in files.items():
        path = tmp_path / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StarlakeProject(tmp_path)


RUNNERS: list[FakeRunner] = []


class Remote(StarlakeResource):
    """A runner whose log may lose lines."""

    def runner(self, project, attempt=None):
        return RUNNERS[-1]


class Loads:
    """A load after the other: the scripts of the attempts of a step."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    def __call__(self, command):
        return self.scripts.pop(0) if command.name == "load" else None


def run(source, *scripts, reader=None, lossless=False, retries=0, **fields):
    RUNNERS[:] = [FakeRunner(Loads(*scripts), reader, lossless_log=lossless)]
    steps = StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=retries)) if retries else StarlakeSteps()
    defs = build_definitions(source, starlake=Remote(**fields), steps=steps)
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None) or defs.get_implicit_global_asset_job_def
    with dg.DagsterInstance.ephemeral() as instance:
        result = resolve().execute_in_process(instance=instance, raise_on_error=False)
    made = {event.asset_key.path[-1]: event.materialization for event in result.get_asset_materialization_events()}
    observed = {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_OBSERVATION":
            observation = event.event_specific_data.asset_observation
            observed.setdefault(observation.asset_key.path[-1], []).append(observation)
    failures = [event.step_failure_data for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    text = " ".join(f"{one.user_failure_data.description} {one.user_failure_data.metadata}" for one in failures)
    return result.success, made, observed, text


def evidence(event) -> str:
    return event.metadata["starlake/evidence"].text


def row(table, job, file=None, success=True):
    path = f"file:/p/ingesting/sales/{file or f'{table}.csv'}"
    return AuditRow(job, path, "sales", table, success, 1, 1, 0, 1, "no" if not success else "success", "LOAD")


@pytest.mark.parametrize("lines", [TWO, [*TWO, DONE]], ids=["tail", "middle"])
def test_a_table_whose_lines_were_dropped_is_unknown(source, lines):
    success, made, observed, text = run(source, Script(lines))
    assert not success and "products" not in made
    assert {observation.metadata["starlake/status"].text for observation in observed["products"]} == {"unknown"}
    assert evidence(observed["products"][0]) == "none"
    assert "no line names the table" in text and "exit code 0" in text
    assert set(made) == ({"customers", "orders"} if DONE in lines else set())
    assert {evidence(one) for one in made.values()} <= {"log"}


def test_the_audit_tells_where_lines_are_missing(source):
    reader = FakeWarehouseReader([row(name, "") for name in NAMES])
    success, made, _, _ = run(source, Script([]), reader=reader)
    assert success and {name: evidence(one) for name, one in made.items()} == dict.fromkeys(NAMES, "audit")


def test_no_file_is_said_of_a_complete_log(source):
    success, made, observed, _ = run(source, Script([NONE, ALL, DONE]))
    assert success and not made
    assert {evidence(one[0]) for one in observed.values()} == {"log"}
    assert {one[0].metadata["starlake/status"].text for one in observed.values()} == {"nothing"}


def test_an_unknown_result_can_be_a_warning(source):
    success, made, observed, _ = run(source, Script([*TWO, DONE]), unknown_result="warn")
    assert success and set(made) == {"customers", "orders"}
    assert observed["products"][0].metadata["starlake/status"].text == "unknown"


def test_a_retry_never_turns_unknown_into_no_file(source):
    success, made, _, text = run(source, Script([*TWO, DONE]), Script([NONE, ALL, DONE]), retries=1)
    assert not success and "products" not in made
    assert "a previous attempt of this run loaded the table with an unknown result" in text


class Late(FakeWarehouseReader):
    """An audit that cannot be read before the second attempt."""

    def audit(self, job_id):
        if "-1-" not in job_id:
            raise ConnectionError("the warehouse is away")
        return []

    def last_load(self, domain, table):
        first = f"{RUNNERS[-1].commands[0].job_id.rpartition('-')[0]}-2"
        return [row(table, first)]


def test_a_retry_finds_what_the_attempt_before_it_loaded(source):
    success, made, _, _ = run(source, Script(TWO), Script([NONE, ALL, DONE]), reader=Late(), retries=1)
    assert success and {name: evidence(one) for name, one in made.items()} == dict.fromkeys(NAMES, "audit")
    assert "previous attempt" in made["orders"].metadata["starlake/warning"].text


@pytest.mark.parametrize("lossless", [True, False])
def test_exit_1_although_all_landed_is_red_and_all_are_materialized(source, lossless):
    script = Script([*THREE, f"{AT}ERROR PostSql: grant failed", SOME], 1)
    success, made, _, text = run(source, script, lossless=lossless, retries=1)
    assert not success and set(made) == set(NAMES)
    assert "exit code 1" in text and "grant failed" in text
    assert [command.name for command in RUNNERS[-1].commands].count("load") == 1  # a retry could learn nothing
    success, made, _, _ = run(source, script, lossless=lossless, failed_command="warn")
    assert success and set(made) == set(NAMES)


def test_a_load_that_broke_before_any_table_fails_all_with_the_first_error(source):
    error = "java.lang.RuntimeException: Could not find valid strategy for orders"
    broken = [f"{AT}ERROR IngestionWorkflow: Error during ingestion", error, SOME]
    success, made, _, text = run(source, Script(broken, 1), lossless=True)
    assert not success and not made
    assert "3 of 3 failed" in text and "Could not find valid strategy for orders" in text


class Live(FakeWarehouseReader):
    """An audit that has the row of a table once its load was announced as done."""

    def audit(self, job_id):
        return [row(name, job_id) for name in NAMES[: self.asked()]]

    def asked(self):
        self.counts["", ""] = self.counts.get(("", ""), 0) + 1
        return self.counts["", ""]


@pytest.mark.parametrize(
    ("reader", "evidence"), [(Live(supports_concurrent_reads=True), "audit"), (None, "log")], ids=["live", "blind"]
)
def test_tables_are_reported_while_the_load_runs_where_they_have_evidence(source, reader, evidence):
    lines = []
    settings = RunSettings("job", on_line=lambda line: lines.append(line.text))
    runner = FakeRunner({"load": Script([*THREE, ALL, DONE])}, reader, lossless_log=False)
    items = execute_selection(source, [f"sales.{name}" for name in NAMES], runner, settings)
    told = [(item.node.id, item.evidence.value, DONE in lines) for item in items]
    early = [name for name, _, ended in told if not ended]
    assert early == ([f"sales.{name}" for name in NAMES] if reader else [])
    assert {kind for _, kind, _ in told} == {evidence}
