"""The command line as a user types it: real processes, what they print, their exit codes."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from starlake_dagster_assets import StarlakeProject, cli

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project" / "starbake"


@pytest.fixture
def program(tmp_path: Path):
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    main = "from starlake_dagster_assets.cli import main; main()"

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", main, *args]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    return run


def test_a_new_project_runs_at_once(program, tmp_path):
    made = program("init", "shop")
    assert made.returncode == 0, made.stderr
    assert "dagster dev -f definitions.py" in made.stdout
    # `dagster dev` reads it where it is started: no dialog comes before the assets
    assert not yaml.safe_load((tmp_path / "shop" / "dagster.yaml").read_text())["nux"]["enabled"]
    ran = program("run", "shop/starlake", "--env", "DUCKDB", "--json")
    assert ran.returncode == 0, ran.stderr
    told = {one["id"]: one for one in json.loads(ran.stdout)["assets"]}
    assert (told["sales.orders"]["accepted"], told["sales.orders"]["rejected"]) == (3, 1)
    assert told["kpi.revenue"]["accepted"] == 2
    assert program("check", "shop/starlake").returncode == 0
    again = program("init", "shop")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "error: shop is not empty. Name a new or empty directory.\n"


def test_the_example_is_written_whole_with_the_files_of_the_first_day(program, tmp_path):
    told = json.loads(program("init", "--example", "bakery", "--json").stdout)
    assert {"definitions.py", "deliver.py", "starbake/datasets/incoming/starbake/orders_20250309_2200.json"} <= set(
        told["files"]
    )
    assert not any("generate" in name or "pycache" in name for name in told["files"])
    assert StarlakeProject(tmp_path / "bakery" / "starbake", env="DUCKDB").problems == ()


def test_prepare_writes_what_a_project_is_taken_from(program, tmp_path):
    program("init", "shop")
    done = program("prepare", "shop/starlake", "--env", "DUCKDB", "--json")
    told = json.loads(done.stdout)
    assert told["manifest"] == str(tmp_path / "shop" / "starlake.manifest.json")
    assert (told["tables"], told["tasks"], told["env"]) == (1, 1, "DUCKDB")
    project = StarlakeProject("elsewhere", env="DUCKDB", manifest=told["manifest"])
    assert {"sales.orders", "kpi.revenue"} <= set(project.graph.nodes)


def test_a_page_of_the_graph_names_every_node_and_loads_nothing(program, tmp_path):
    done = program("graph", str(EXAMPLE), "--env", "DUCKDB", "--files", "--format", "html", "--out", "graph.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "graph.html").read_text()
    names, tags = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))
            names.extend(value for name, value in attrs if name == "data-name")

    Reader().feed(page)
    assert set(names) == set(StarlakeProject(EXAMPLE, env="DUCKDB").graph.nodes)
    assert not any("src" in given or "href" in given for _, given in tags)
    assert page.count("http") == 1  # the name space of SVG
    same = program("graph", str(EXAMPLE), "--env", "DUCKDB", "--json").stdout
    assert same == program("graph", str(EXAMPLE), "--env", "DUCKDB", "-f", "json").stdout


def test_an_error_is_one_message_and_a_traceback_only_when_asked_for(program):
    plain = program("list", "nowhere")
    assert plain.returncode == 1
    assert plain.stderr.startswith("error: ")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in program("--debug", "list", "nowhere").stderr


def test_a_fault_of_the_program_says_so_and_ends_with_3(monkeypatch, capsys):
    def broken() -> None:
        raise ZeroDivisionError("one by nothing")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(cli, "_register", lambda: None)
    monkeypatch.setattr(sys, "argv", ["starlake-dagster", "run"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("internal error: ZeroDivisionError: one by nothing\n")


@pytest.mark.parametrize(
    "args", [("run", "--nonsense"), ("nosuch",), ("graph", "-f", "pdf"), ("run", ".", "--set", "x"), ("init",)]
)
def test_what_is_not_understood_ends_with_2(program, args):
    done = program(*args)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


def test_a_field_that_the_environment_has_not_is_refused_with_the_nearest(program):
    program("init", "shop")
    done = program("run", "shop/starlake", "--env", "DUCKDB", "--set", "databse=x.db")
    assert done.returncode == 2
    assert "did you mean `database`" in done.stderr
    done = program("run", "shop/starlake", "--env", "DUCKDB", "--set", "database=other.db")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("args", "close"),
    [
        (("run", ".", "--environment", "shel"), "shell"),
        (("run", ".", "--launcher", "consol"), "console"),
        (("graph", "-f", "htlm"), "html"),
        (("airflow", "export", "--split", "domian"), "domain"),
    ],
)
def test_a_word_that_is_none_of_an_option_is_told_the_nearest(program, args, close):
    done = program(*args)
    assert done.returncode == 2
    assert f"Did you mean `{close}`?" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "args",
    [("check",), ("list",), ("graph",), ("run", "--select", "sales.orders"), ("prepare",), ("airflow", "export")],
)
def test_an_environment_without_a_file_is_refused_and_the_nearest_is_named(program, args):
    program("init", "shop")
    command = args[:2] if args[0] == "airflow" else args[:1]
    done = program(*command, "shop/starlake", *args[len(command) :], "--env", "DUCKBD")
    told = done.stdout if args == ("check",) else done.stderr
    assert "no environment `DUCKBD`" in told and "Did you mean `DUCKDB`?" in told
    assert done.returncode == 1


def test_one_asset_is_one_asset(program):
    program("init", "shop")
    done = program("run", "shop/starlake", "--env", "DUCKDB", "--select", "sales.orders")
    assert done.stdout.splitlines()[-1] == "1 asset materialized, 0 failed, 0 skipped"


def test_each_command_explains_itself(program):
    shown = program("--help").stdout
    commands = ("init", "check", "graph", "list", "run", "prepare", "airflow", "doctor", "embedded")
    assert [name for name in commands if name not in shown] == []
    assert "Exit codes" in shown
    assert program("--version").stdout.strip().count(".") >= 1


def test_on_a_terminal_a_failure_is_red_and_the_table_comes_last(monkeypatch, capsys):
    from starlake_dagster_assets.cli import run_report
    from starlake_dagster_assets.execution.outcome import Outcome
    from starlake_dagster_assets.graph.model import Node

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    node = Node(id="kpi.bad", kind="task", raw="kpi.bad", key=("kpi", "bad"))
    with run_report.report_for(["kpi.bad"], None, as_json=False) as shown:
        shown.add(Outcome(node, "failed", "no such column"))
    text = capsys.readouterr().out
    assert "\x1b[31mkpi.bad failed: no such column" in text
    assert "0 assets materialized, 1 failed, 0 skipped" in text.splitlines()[-1]
