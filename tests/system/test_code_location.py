"""The example as a code location and from the command line, each in a process of its own, as users start them."""

import re
import shutil

TOTALS = re.compile(r"^\d+ assets? materialized, \d+ failed, \d+ skipped$")
CLI = "from starlake_dagster_assets.cli import main; main()"


def test_dagster_validates_the_workspace(example):
    done = example("dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stderr
    assert "Validation successful" in done.stderr + done.stdout


def test_dagster_materializes_everything(example):
    assert example("", "example_project/deliver.py", "--day", "1").returncode == 0
    done = example("dagster", "asset", "materialize", "--select", "*", "-f", "example_project/definitions.py")
    assert done.returncode == 0, done.stderr
    assert "RUN_SUCCESS" in done.stderr
    assert (example.project / "datasets" / "reports" / "weekly.md").exists()


def test_the_command_line_tells_each_table_then_the_totals(example):
    assert example("", "example_project/deliver.py", "--day", "1").returncode == 0
    done = example("", "-c", CLI, "run", "example_project/starbake", "--env", "DUCKDB")
    assert done.returncode == 0, done.stderr
    head, *lines, totals = done.stdout.splitlines()
    assert head.split() == ["table", "rows", "in", "accepted", "rejected", "seconds"]
    cells = {line.split()[0]: line.split()[1:4] for line in lines}
    assert cells["starbake.Customers"] == ["40", "37", "3"]
    assert cells["kpi.shop_ranking"] == ["-", "28", "-"]
    assert TOTALS.match(totals) and totals == f"{len(lines)} assets materialized, 0 failed, 0 skipped"


def test_the_command_line_fails_with_1_and_goes_on(example):
    assert example("", "example_project/deliver.py", "--day", "1").returncode == 0
    incoming = example.project / "datasets" / "incoming"
    (incoming / "starbake" / "customers_20250309.csv").write_text("nothing;of;ours\n1;2;3\n")
    shutil.rmtree(incoming / "network")
    sql = example.project / "metadata" / "transform" / "kpi" / "top_products.sql"
    sql.write_text("select nowhere from kpi.revenue_by_product\n")
    done = example("", "-c", CLI, "run", "example_project/starbake", "--env", "DUCKDB")
    assert done.returncode == 1
    notes = {line.split()[0]: line for line in done.stdout.splitlines()[1:-1]}
    assert "failed:" in notes["starbake.Customers"] and "Expected: id, first_name" in notes["starbake.Customers"]
    assert "failed:" in notes["kpi.top_products"] and "nowhere" in notes["kpi.top_products"]
    assert "skipped: no file" in notes["reference.Shops"]
    assert "skipped: not run: starbake.Customers failed" in notes["Customers.CustomerLifeTimeValue"]
    assert TOTALS.match(done.stdout.splitlines()[-1])
    assert (example.project / "datasets" / "stage" / "starbake" / "customers_20250309.csv").exists()
    assert "Traceback" not in done.stdout + done.stderr
