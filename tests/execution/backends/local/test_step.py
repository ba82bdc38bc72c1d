"""Steps of real Dagster runs over the scripted program: truth, processes counted, secrets nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer
from typer.testing import CliRunner

from starlake_dagster_assets import StarlakeSteps
from starlake_dagster_assets.cli import run
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.local.shell_env import inherited, required_log_level, secret_values
from starlake_dagster_assets.execution.warehouse import duckdb
from starlake_dagster_assets.resources import StarlakeShell

SECRET = "hunter2-of-the-shell"
TWENTY = [f"t{number:02}" for number in range(20)]


def made(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def events(bench: Any, result: dg.ExecuteInProcessResult) -> list[Any]:
    return bench.instance.all_logs(result.run_id)


def step_failure(result: dg.ExecuteInProcessResult) -> Any:
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return failure.event_specific_data


def told(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {label: value.text for label, value in step_failure(result).user_failure_data.metadata.items()}


@pytest.mark.parametrize("launcher", ["process", "dagster_shell", "console"])
def test_twenty_tables_are_one_stage_and_one_load(bench: Any, launcher: str) -> None:
    bench.project(TWENTY)
    result = bench.materialize(bench.resource(launcher=launcher))
    assert result.success
    assert made(result) == [f"sales/{table}" for table in TWENTY]
    assert [call.argv[0] for call in bench.scripted.calls()] == ["stage", "load"]


def test_a_table_is_told_while_the_process_still_runs(bench: Any) -> None:
    bench.project(["a", "b"])
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "load", "seconds": 1.5}})
    result = bench.materialize(bench.resource())
    first, second = [
        event.timestamp
        for event in events(bench, result)
        if event.dagster_event and event.dagster_event.event_type_value == "ASSET_MATERIALIZATION"
    ]
    assert second - first > 1


def test_twenty_transforms_are_one_process(bench: Any) -> None:
    bench.project(tasks=dict.fromkeys(TWENTY, "select 1 as a"))
    result = bench.materialize(bench.resource(launcher="console"))
    assert result.success and len(made(result)) == 20
    (call,) = bench.scripted.calls()
    assert call.argv == ("console",) and len(call.console) == 20 and call.code == 0


def test_part_failure_names_the_command_its_exit_code_and_the_log(bench: Any) -> None:
    bench.project(["a", "b"], {"of_a": "select * from sales.a", "of_b": "select * from sales.b"})
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "fail"}})
    result = bench.materialize(bench.resource())
    assert not result.success
    assert sorted(made(result)) == ["kpi/of_a", "sales/a"]
    assert set(told(result)) == {"sales.b", "kpi.of_b"}
    text = told(result)["sales.b"]
    assert "Conversion Error: could not read" in text
    assert "starlake load --domains sales --tables a,b (exit code 1)" in text
    assert f"job {result.run_id}" in text and "metadata/load/sales/b.sl.yml" in text
    assert "compute logs" in text


def test_a_crash_is_never_nothing_to_do(bench: Any) -> None:
    bench.project(["a", "b"])
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "kill"}})
    result = bench.materialize(bench.resource())
    assert made(result) == ["sales/a"]
    assert set(told(result)) == {"sales.b"} and "out of memory?" in told(result)["sales.b"]


def test_a_retry_runs_only_what_is_missing(bench: Any) -> None:
    bench.project(["a", "b"])
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "fail"}})
    result = bench.materialize(bench.resource(), steps=StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1)))
    loads = [call.argv[-1] for call in bench.scripted.calls("load")]
    assert loads == ["a,b", "b"]
    assert made(result) == ["sales/a"]


def test_a_missing_program_is_said_for_each_table(bench: Any) -> None:
    bench.project(["a"])
    result = bench.materialize(bench.resource(starlake="/nowhere/starlake"))
    assert not result.success and "SL_STARLAKE_PATH" in told(result)["sales.a"]


@pytest.mark.parametrize("launcher", ["process", "dagster_shell", "console"])
def test_secrets_are_nowhere(bench_on_disk: Any, launcher: str, monkeypatch: Any, capfd: Any) -> None:
    bench = bench_on_disk
    monkeypatch.setenv("SHELL_TEST", SECRET)
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", f"{SECRET}-inherited")
    bench.project(["a", "b"], {"bad": "select 1", "good": "select 2"})
    bench.scripted.tell(noise=[f"26/01/01 00:00:00 WARN Main: {SECRET} {SECRET}-inherited caf\xe9"])
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "fail", "error": f"refused {SECRET}"}})
    bench.scripted.tasks({"kpi.bad": {"do": "fail", "error": f"java.lang.X: {SECRET}"}})
    resource = bench.resource(launcher=launcher, env={"ANY_NAME": dg.EnvVar("SHELL_TEST")})
    assert SECRET not in repr(resource)
    result = bench.materialize(resource)
    assert not result.success
    everything = "\n".join(f"{event!r} {event.user_message}" for event in events(bench, result))
    assert "refused ***" in everything and SECRET not in everything
    stored = [file for file in Path(bench.instance.root_directory).rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in stored)
    assert not [file for file in stored if SECRET.encode() in file.read_bytes()]
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err and "***" in printed.out
    for call in bench.scripted.calls():
        assert "ANY_NAME" in call.names and SECRET not in " ".join(call.argv)


# ----------------------------------------------------------------------------- the warehouse: a real DuckDB file


def warehouse(bench: Any, **settings: Any) -> StarlakeShell:
    """A resource whose program works on the project's DuckDB file, and keeps it open as a JVM does."""
    bench.scripted.tell(engine="embedded")
    return bench.resource(**settings)


@pytest.mark.parametrize("launcher", ["process", "console"])
def test_what_the_warehouse_says_is_told_once_it_can_be_read(bench: Any, launcher: str) -> None:
    bench.project(["a"], {"of_a": "select id from sales.a"}, duckdb=True)
    result = bench.materialize(warehouse(bench, launcher=launcher))
    assert result.success and made(result) == ["sales/a", "kpi/of_a"]
    rows = {
        event.asset_key.to_user_string(): value.value
        for event in result.all_events
        if event.event_type_value in ("ASSET_OBSERVATION", "ASSET_MATERIALIZATION") and event.asset_key
        for label, value in _metadata(event).items()
        if label == "dagster/row_count"
    }
    assert rows == {"sales/a": 2, "kpi/of_a": 2}


def _metadata(event: Any) -> Any:
    data = event.event_specific_data
    return (getattr(data, "materialization", None) or data.asset_observation).metadata


def expecting(bench: Any, limit: int) -> None:
    bench.write(
        "metadata/expectations/mine.j2",
        f"{{% macro few() %}}select count(*) from sl_this where id > {limit}{{% endmacro %}}",
    )
    bench.write(
        "metadata/transform/kpi/first.sl.yml",
        "version: 1\ntask:\n  expectations:\n    - {expect: 'few()', failOnError: true}\n",
    )


@pytest.mark.parametrize(("limit", "good"), [(5, True), (1, False)])
def test_a_blocking_expectation_that_is_read_gives_the_jvm_up_before_it_is_judged(
    bench: Any, limit: int, good: bool
) -> None:
    tasks = {"first": "select id from sales.a", "other": "select 1 as a", "second": "select * from kpi.first"}
    bench.project(["a"], tasks, duckdb=True)
    expecting(bench, limit)
    result = bench.materialize(warehouse(bench, launcher="console"))
    assert set(made(result)) == {"sales/a", "kpi/other", *(["kpi/first", "kpi/second"] if good else [])}
    assert result.success is good
    assert len(bench.scripted.calls("console")) <= 2
    if not good:  # Dagster 1.9 ends the step with the failed check instead of our failure
        said = "\n".join(event.user_message for event in events(bench, result))
        assert "kpi.first failed: 1 expectation(s) of kpi.first failed: few() (count 1)" in said, [
            one for one in said.splitlines() if "kpi.first" in one
        ]
        assert "not run: kpi.first failed" in said


HOLDING = """
import duckdb
con = duckdb.connect(os.path.join(os.environ["SL_ROOT"], "x.db"))  # and never closed, as the JVM does
con.execute("create schema if not exists kpi")
for line in sys.stdin:
    print("> " + line.strip(), flush=True)
    if line.strip() == "exit":
        break
    name = line.split()[2]
    con.execute(f"create or replace table {name} as select * from range(3) r(n)")
    print('{"exitCode":0}', flush=True)
    print("Time: 1ms", flush=True)
"""


def test_a_file_that_the_jvm_keeps_open_is_read_when_it_has_ended(bench: Any, tmp_path: Path) -> None:
    bench.project(tasks={"first": "select 1 as n", "second": "select * from kpi.first"}, duckdb=True)
    program = tmp_path / "starlake"
    program.write_text(f"#!{sys.executable}\nimport os, sys\n{HOLDING}")
    program.chmod(0o755)
    result = bench.materialize(bench.resource(starlake=str(program), launcher="console"))
    assert result.success and made(result) == ["kpi/first", "kpi/second"]
    assert not any("cannot be read" in event.user_message for event in events(bench, result))
    observed = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    assert [_metadata(event)["dagster/row_count"].value for event in observed] == [3, 3]


@pytest.mark.parametrize("blocking", [False, True])
def test_an_expectation_that_cannot_be_evaluated_is_no_failed_check(bench: Any, blocking: bool) -> None:
    bench.project(tasks={"first": "select 1 as id", "other": "select 1 as id", "second": "select * from kpi.first"})
    expecting(bench, 5)
    for name in ("first", "other"):
        block = "failOnError: true" if blocking and name == "first" else "failOnError: false"
        text = f"version: 1\ntask:\n  expectations:\n    - {{expect: 'few()', {block}}}\n"
        bench.write(f"metadata/transform/kpi/{name}.sl.yml", text)
    result = bench.materialize(bench.resource(launcher="console"))
    assert result.get_asset_check_evaluations() == []
    said = [event.user_message for event in events(bench, result)]
    (warning,) = [text for text in said if "expectations without a result" in text]
    assert "kpi.first (few()); kpi.other (few())" in warning
    assert result.success is not blocking
    if not blocking:
        assert set(made(result)) == {"kpi/first", "kpi/other", "kpi/second"}
        return
    assert made(result) == ["kpi/other"]
    assert "unknown whether the blocking expectation few() holds" in told(result)["kpi.first"]


def test_a_file_that_another_program_holds_is_no_wrong_answer(bench: Any, monkeypatch: Any) -> None:
    bench.project(["a"], duckdb=True)
    monkeypatch.setattr(duckdb, "_PATIENCE_SECONDS", 0.2)
    text = f"import duckdb, sys; c = duckdb.connect({str(bench.root / 'x.db')!r}); print(1, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline()
        result = bench.materialize(bench.resource())
    finally:
        holder.communicate(b"\n")
    assert made(result) == ["sales/a"]
    assert any("cannot be read" in event.user_message for event in events(bench, result))


# -------------------------------------------------------------------------------------------------- what is inherited


def test_the_seed_options() -> None:
    options = {
        "SL_STARLAKE_PATH": "/opt/sl/starlake",
        "sl_env_var": '{"SL_ENV": "DUCKDB", "PG_PASSWORD": "x"}',
        "sl_include_env_vars": "PG*,ORACLE_HOME",
        "pre_load_strategy": "imported",
    }
    resource = StarlakeShell.from_options(options, timeout=3)
    assert resource.starlake == "/opt/sl/starlake" and resource.timeout == 3
    assert resource.env == {"SL_ENV": "DUCKDB", "PG_PASSWORD": "x"}
    assert resource.include_env_vars == ["PG*", "ORACLE_HOME"]
    with pytest.raises(RunnerError, match="did you mean `launcher`"):
        StarlakeShell(launchr="process")


def test_what_is_inherited() -> None:
    environ = {"PATH": "/bin", "JAVA_HOME": "/j", "AWS_PROFILE": "p", "PGHOST": "h", "OTHER": "o", "SL_HTTP_PORT": "9"}
    assert inherited(environ, None).keys() == environ.keys() - {"SL_HTTP_PORT"}
    assert inherited(environ, ["*"]).keys() == environ.keys() - {"SL_HTTP_PORT"}
    assert inherited(environ, ["PG*"]).keys() == {"PATH", "JAVA_HOME", "AWS_PROFILE", "PGHOST"}
    assert inherited(environ, []).keys() == {"PATH", "JAVA_HOME", "AWS_PROFILE"}


def test_the_level_never_hides_the_markers(bench: Any, monkeypatch: Any) -> None:
    assert [required_log_level("info", level) for level in (None, "error", "DEBUG", "off")] == [
        "info",
        "info",
        "debug",
        "info",
    ]
    bench.project(["a"])
    monkeypatch.setenv("SL_LOG_LEVEL", "error")
    monkeypatch.setenv("SL_HTTP_PORT", "8080")
    result = bench.materialize(bench.resource(env={"SL_HTTP_PORT": "8081"}))
    assert result.success
    (call,) = bench.scripted.calls("load")
    assert call.env["SL_LOG_LEVEL"] == "info" and call.env["SL_ROOT"] == str(bench.root)
    assert "SL_HTTP_PORT" not in call.names


def test_which_values_are_secret() -> None:
    given = {"A": "abcd", "PASSWORD": "pw12", "B": "bcde"}
    around = {"USE_TOKEN": "true", "API_TOKEN": "0123456789", "GOOGLE_APPLICATION_CREDENTIALS": "/run/secrets/key.json"}
    assert secret_values(given, around, ["A"]) == {"abcd", "pw12", "0123456789"}


def test_one_writer_only_for_a_duckdb_file(bench: Any) -> None:
    bench.project(["a"], duckdb=True)
    assert StarlakeShell().single_writer(bench.source())
    bench.project(["a"])
    assert not StarlakeShell().single_writer(bench.source())
    assert StarlakeShell().runner(bench.source()).warehouse_reader() is None


# --------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("launcher", ["process", "console"])
def test_run_by_the_command_line(bench: Any, launcher: str, monkeypatch: Any) -> None:
    bench.project(["a"], {"of_a": "select id from sales.a"}, duckdb=True)
    for name, value in bench.scripted.tell(engine="embedded").environ.items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    run.register_run(app)
    app.command("other")(lambda: None)
    args = ["run", str(bench.root), "--environment", "shell", "--starlake", str(bench.scripted.path), "--json"]
    done = CliRunner().invoke(app, [*args, "--launcher", launcher])
    assert done.exit_code == 0, done.output
    assert '"materialized": 2' in done.output and '"accepted": 2' in done.output
    assert [call.argv[0] for call in bench.scripted.calls()][-1] == {"process": "transform"}.get(launcher, launcher)


@pytest.mark.real_starlake
def test_the_real_program(bench: Any) -> None:
    """Runs the program of SL_STARLAKE_PATH where it is set, the scripted one with a real DuckDB file otherwise."""
    real = os.environ.get("SL_STARLAKE_PATH")
    bench.project(["a"], {"of_a": "select id from sales.a"}, duckdb=True)
    resource = StarlakeShell(starlake=real) if real else warehouse(bench)
    result = bench.materialize(resource)
    assert result.success and set(made(result)) == {"sales/a", "kpi/of_a"}
