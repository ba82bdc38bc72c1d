"""A real project, real files, the embedded engine, a real Dagster instance; and the same from the command line."""

import json
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from starlake_dagster_assets import StarlakeProject, build_definitions

FILES = {
    "metadata/application.sl.yml": """
version: 1
application:
  connectionRef: duck
  audit: {sink: {connectionRef: duck}}
  expectations: {active: true}
  connections:
    duck:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/x.db", driver: org.duckdb.DuckDBDriver}
""",
    "metadata/load/shop/_config.sl.yml": """
version: 1
load:
  name: shop
  metadata: {directory: "{{SL_ROOT}}/datasets/incoming/shop"}
""",
    "metadata/load/shop/sale.sl.yml": """
version: 1
table:
  name: sale
  pattern: "sale.*.csv"
  metadata: {format: DSV, separator: ",", withHeader: true, writeStrategy: {type: APPEND}}
  expectations:
    - {expect: "no_null('item')", failOnError: true}
    - {expect: "few()", failOnError: false}
  attributes:
    - {name: id, type: int, required: true}
    - {name: item, type: string}
""",
    "metadata/load/shop/item.sl.yml": """
version: 1
table:
  name: item
  pattern: "item.*.csv"
  metadata: {format: DSV, separator: ",", withHeader: true, writeStrategy: {type: OVERWRITE}}
  attributes:
    - {name: item, type: string}
    - {name: price, type: double}
""",
    "metadata/transform/kpi/revenue.sql": """
select s.item, sum(i.price) as revenue from shop.sale s join shop.item i on i.item = s.item group by s.item
""",
    "metadata/transform/kpi/broken.sql": "select nosuch from shop.item",
    "metadata/transform/kpi/after.sql": "select * from kpi.broken",
    "metadata/expectations/mine.j2": """
{% macro no_null(col) %}select count(*) from sl_this where {{ col }} is null{% endmacro %}
{% macro few() %}select case when count(*) < 3 then 0 else count(*) end from sl_this{% endmacro %}
""",
    "datasets/incoming/shop/sale_1.csv": "id,item\n1,tea\n2,tea\nx,tea\n3,cake\n",
    "datasets/incoming/shop/item_1.csv": "item,price\ntea,2.5\ncake,4\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return tmp_path / "p"


@pytest.fixture
def project(root: Path, tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(root, cache_dir=tmp_path / "cache")


def materialize(project, instance, **build):
    defs = build_definitions(project, **build)
    new = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = new() if new else defs.get_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, raise_on_error=False)


def made(result) -> dict[str, dg.AssetMaterialization]:
    events = result.get_asset_materialization_events()
    return {".".join(e.asset_key.path): e.event_specific_data.materialization for e in events}


def test_materializing_everything(project, instance):
    result = materialize(project, instance)
    assert not result.success
    assert set(made(result)) == {"shop.sale", "shop.item", "kpi.revenue"}
    sale = made(result)["shop.sale"].metadata
    assert [sale[f"starlake/rows_{name}"].value for name in ("input", "accepted", "rejected")] == [4, 3, 1]
    assert sale["dagster/row_count"].value == 3
    assert [column.type for column in sale["dagster/column_schema"].value.columns] == ["INTEGER", "VARCHAR"]
    revenue = made(result)["kpi.revenue"].metadata
    assert revenue["dagster/row_count"].value == 2
    deps = revenue["dagster/column_lineage"].value.deps_by_column["revenue"]
    assert [(dep.asset_key.path, dep.column_name) for dep in deps] == [(["shop", "item"], "price")]
    checks = {(".".join(c.asset_key.path), c.check_name): c for c in result.get_asset_check_evaluations()}
    assert checks["shop.sale", "no_null_item"].passed
    assert checks["shop.sale", "few"].metadata["starlake/rows_failed"].value == 3
    assert {key: check.passed for key, check in checks.items()}.items() >= {
        ("shop.sale", "no_null_item"): True,
        ("shop.sale", "few"): False,
        ("shop.sale", "rejected_rows"): False,
        ("shop.sale", "schema_drift"): True,
        ("shop.item", "rejected_rows"): True,
        ("shop.item", "schema_drift"): True,
    }.items()
    failed = next(e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE)
    metadata = failed.step_failure_data.user_failure_data.metadata
    assert set(metadata) == {"kpi.broken", "kpi.after"}
    assert "nosuch" in metadata["kpi.broken"].value


def test_a_second_run_finds_no_file_and_still_transforms(project, instance):
    materialize(project, instance)
    result = materialize(project, instance, exclude=["kpi.broken", "kpi.after"])
    assert result.success
    assert set(made(result)) == {"kpi.revenue"}
    seen = [e.asset_key.path for e in result.all_events if e.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    assert seen == [["shop", "item"], ["shop", "sale"]]
    checks = {(c.asset_key.path[-1], c.check_name): c.passed for c in result.get_asset_check_evaluations()}
    assert (
        checks.items()
        >= {  # the same results as before: the tables have not changed
            ("sale", "no_null_item"): True,
            ("sale", "few"): False,
            ("sale", "rejected_rows"): False,
            ("sale", "schema_drift"): True,
            ("item", "rejected_rows"): True,
            ("item", "schema_drift"): True,
        }.items()
    )


def test_no_file_ever_says_nothing_of_a_table_that_is_not_there(project, root, instance):
    for file in (root / "datasets/incoming/shop").iterdir():
        file.unlink()
    result = materialize(project, instance, select="kind:table")
    assert result.success
    assert result.get_asset_check_evaluations() == []


def test_a_blocked_table_stays_blocked_in_a_run_without_files(project, root, instance):
    (root / "datasets/incoming/shop/sale_2.csv").write_text("id,item\n9,\n")
    choice = {"exclude": ["kpi.broken", "kpi.after"]}
    assert set(made(materialize(project, instance, **choice))) == {"shop.item", "shop.sale"}  # by its other file
    result = materialize(project, instance, **choice)
    assert not result.success
    assert made(result) == {}  # kpi.revenue would read the rows that broke the expectation
    checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations() if c.asset_key.path[-1] == "sale"}
    assert checks["no_null_item"] is False


def test_a_blocking_expectation_withholds_and_a_table_that_drifted_warns(project, root, instance):
    import duckdb

    with duckdb.connect(str(root / "x.db")) as con:
        con.execute("create schema shop; create table shop.item (item varchar, price integer, was integer)")
    (root / "datasets/incoming/shop/sale_2.csv").write_text("id,item\n9,\n")
    other = (root / "metadata/transform/kpi/broken.sql").with_name("items.sql")
    other.write_text("select count(*) as n from shop.item")
    project = StarlakeProject(root, cache_dir=root.parent / "cache")
    result = materialize(project, instance, exclude=["kpi.broken", "kpi.after"])
    assert not result.success
    assert set(made(result)) == {
        "shop.item",
        "shop.sale",
        "kpi.items",
    }  # its other file; what does not read it goes on, in every Dagster
    checks = {c.check_name: c for c in result.get_asset_check_evaluations() if c.asset_key.path[-1] == "sale"}
    assert not checks["no_null_item"].passed


def checks_alone(project, instance, *names, starlake=None, raises=True):
    defs = build_definitions(project, starlake=starlake)
    keys = [dg.AssetCheckKey(dg.AssetKey(table.split(".")), name) for table, name in names]
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks(*keys))
    merged = dg.Definitions(
        assets=defs.assets, resources=dict(defs.resources or {}), jobs=[job], executor=dg.in_process_executor
    )
    resolved = getattr(merged, "resolve_job_def", merged.get_job_def)("checks")
    result = resolved.execute_in_process(instance=instance, raise_on_error=raises)
    assert not result.get_asset_materialization_events()
    return result, {check.check_name: check for check in result.get_asset_check_evaluations()}


SALE = [("shop.sale", name) for name in ("schema_drift", "rejected_rows", "no_null_item", "few")]


def test_checks_alone(project, root, instance):
    import duckdb

    materialize(project, instance)
    _, checks = checks_alone(project, instance, *SALE, raises=False)
    assert {name: check.passed for name, check in checks.items()} == {
        "schema_drift": True,
        "rejected_rows": False,
        "no_null_item": True,
        "few": False,
    }
    assert checks["rejected_rows"].metadata["starlake/rows_rejected"].value == 1
    assert "`id\\`" in checks["rejected_rows"].metadata["starlake/rejected_sample"].value
    with duckdb.connect(str(root / "x.db")) as con:
        audited = con.execute("select count(*) from audit.expectations").fetchall()
        con.execute("update shop.sale set item = null; delete from shop.sale where id > 1")
    _, checks = checks_alone(project, instance, *SALE[2:], raises=False)
    assert {name: check.passed for name, check in checks.items()} == {"no_null_item": False, "few": True}
    assert checks["no_null_item"].metadata["starlake/rows_failed"].value == 1
    with duckdb.connect(str(root / "x.db")) as con:
        assert con.execute("select count(*) from audit.expectations").fetchall() == audited


def test_checks_of_a_table_that_does_not_exist_fail(project, instance):
    _, checks = checks_alone(project, instance, *SALE, raises=False)
    assert len(checks) == len(SALE) and not any(check.passed for check in checks.values())
    assert {check.description for check in checks.values()} == {"The table does not exist yet: materialize it."}


def test_checks_that_an_environment_cannot_evaluate_say_so(project, instance):
    from starlake_dagster_assets.testing import fake_starlake

    result, checks = checks_alone(project, instance, *SALE[2:], starlake=fake_starlake(), raises=False)
    assert not result.success and not checks
    failed = next(e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE)
    assert "shop.sale: few, no_null_item" in failed.step_failure_data.error.message
    assert "Materialize the table" in failed.step_failure_data.error.message


@pytest.fixture
def cli(monkeypatch, tmp_path):
    import typer

    from starlake_dagster_assets.cli import run

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = typer.Typer()
    run.register_run(app)
    app.command("other")(lambda: None)
    return lambda *args: CliRunner().invoke(app, ["run", *map(str, args)])


def test_the_command_line_prints_a_line_a_table(cli, root):
    done = cli(root)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert lines[0] == ["table", "rows", "in", "accepted", "rejected", "seconds"]
    by_name = {line[0]: line[1:] for line in lines[1:-1]}
    assert by_name["shop.sale"][:3] == ["4", "3", "1"]
    assert by_name["kpi.revenue"][:3] == ["-", "2", "-"]
    assert "failed:" in by_name["kpi.broken"] and "nosuch" in " ".join(by_name["kpi.broken"])
    assert "skipped:" in by_name["kpi.after"]
    assert done.stdout.splitlines()[-1] == "3 assets materialized, 1 failed, 1 skipped"


def test_the_command_line_selects_and_speaks_json(cli, root):
    done = cli(root, "--select", "domain:shop", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["materialized"] == 2
    assert {one["id"]: one["accepted"] for one in told["assets"]} == {"shop.item": 2, "shop.sale": 3}
