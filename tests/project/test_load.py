from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project import load as project_load
from starlake_dagster_assets.project.load import load_project
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.project.conftest import write
from tests.project.texts import ORDERS


def table(**metadata: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in metadata.items())
    return ORDERS + ("  metadata:\n" + lines if lines else "")


def only(items):
    assert len(items) == 1
    return items[0]


def test_a_directory_that_is_no_project(tmp_path: Path):
    with pytest.raises(ProjectError, match=r"metadata/application\.sl\.yml"):
        load_project(tmp_path, cache_dir=tmp_path)
    with pytest.raises(ProjectError, match="not a directory"):
        load_project(tmp_path / "nothing", cache_dir=tmp_path)


def test_nothing_is_written_into_the_project(load, tmp_path: Path):
    load({"load/shop/orders.sl.yml": ORDERS, "transform/kpi/a.sql": "select 1 as x"})
    found = {path.relative_to(tmp_path / "project").as_posix() for path in (tmp_path / "project").rglob("*.*")}
    assert found == {
        "metadata/application.sl.yml",
        "metadata/load/shop/orders.sl.yml",
        "metadata/transform/kpi/a.sql",
    }


def test_defaults_of_a_table(load):
    project, problems = load({"load/shop/orders.sl.yml": ORDERS})
    found = only(project.tables)
    assert problems == ()
    assert (found.raw, found.id, found.connection) == ("shop.orders", "shop.orders", "duckdb")
    assert (found.metadata.format, found.metadata.separator, found.metadata.loader) == ("DSV", ";", "spark")
    assert found.metadata.write_strategy.type == "APPEND"
    assert found.metadata.empty_is_null
    assert found.cron is None
    assert (found.location.file, found.location.line) == ("metadata/load/shop/orders.sl.yml", 2)


def test_names_and_renames(load):
    project, problems = load(
        {
            "load/raw/_config.sl.yml": "version: 1\nload:\n  name: landing\n  rename: gold\n  database: cat\n",
            "load/raw/orders.sl.yml": ORDERS.replace("name: orders", "name: ord").replace(
                "table:\n", "table:\n  rename: client\n"
            ),
        }
    )
    found = only(project.tables)
    assert (found.raw, found.domain_name, found.name, found.id, found.database) == (
        "raw.orders",
        "landing",
        "ord",
        "gold.client",
        "cat",
    )
    assert {problem.code for problem in problems} == {"domain-name", "table-name"}
    assert all(problem.severity == "warning" for problem in problems)


def test_metadata_is_replaced_key_by_key(load):
    config = """\
version: 1
load:
  metadata:
    directory: "{{SL_ROOT}}/in/${who}"
    format: json_array
    ack: ack
    options: {a: "1", b: "2"}
    writeStrategy: {type: overwrite}
    schedule: daily
    sink: {partition: [id]}
"""
    project, problems = load(
        {
            "env.sl.yml": "version: 1\nenv:\n  who: me\n",
            "load/shop/_config.sl.yml": config,
            "load/shop/orders.sl.yml": table(options="{c: 3}", ack='""', loader="Native"),
        }
    )
    assert problems == ()
    found = only(project.tables)
    assert found.metadata.format == "JSON"
    assert found.metadata.options == {"c": "3"}
    assert found.metadata.ack is None
    assert found.metadata.loader == "native"
    assert found.metadata.write_strategy.type == "OVERWRITE"
    assert found.metadata.directory == f"{project.root}/in/me"
    assert (found.cron, found.metadata.schedule) == ("0 0 * * *", "daily")
    assert (project.domains[0].incoming, project.domains[0].ack) == (f"{project.root}/in/me", "ack")


def test_application_over_environment_variables(load):
    application = """\
version: 1
application:
  connectionRef: "{{conn}}"
  loader: native
  datasets: data
  emptyIsNull: false
  expectations: {failOnError: true}
  audit: {maxErrors: 7, sink: {connectionRef: other}}
  area: {stage: landing}
  schedulePresets: {daily: "0 6 * * *"}
  connections:
    duck: {type: jdbc, options: {url: "jdbc:duckdb:x"}}
    other: {type: bigquery}
  spark: {anything: {goes: here}}
"""
    environ = {"SL_LOADER": "spark", "SL_ARCHIVE": "false", "SL_AREA_ARCHIVE": "old", "SL_TENANT": "t"}
    project, problems = load(
        {
            "application.sl.yml": application,
            "env.DEV.sl.yml": "version: 1\nenv: {conn: duck}\n",
            "load/shop/orders.sl.yml": table(schedule="daily"),
        },
        env="DEV",
        environ=environ,
    )
    assert problems == ()
    found = project.application
    assert (found.connection_ref, found.loader, found.archive, found.tenant) == ("duck", "native", False, "t")
    assert found.datasets == f"{project.root}/data"
    assert (found.audit.max_errors, found.audit.connection) == (7, "other")
    assert (found.areas.stage, found.areas.archive, found.areas.incoming) == ("landing", "old", "incoming")
    assert found.expectations.fail_on_error
    assert only(project.tables).cron == "0 6 * * *"
    assert not only(project.tables).metadata.empty_is_null
    assert project.variables["SL_AREA_STAGE"] == "landing"
    assert project.variables["SL_DATASETS"] == found.datasets


def test_task_files_are_found_and_merged(load):
    config = """\
version: 1
transform:
  name: mart
  default:
    presql: ["default pre"]
    tags: [a]
    schedule: weekly
    freshness: {warn: 1 day}
    sink: {connectionRef: duckdb, partition: [x]}
    writeStrategy: {type: OVERWRITE}
  tasks:
    - name: inline
      table: inlined
      sql: select 3 as z
"""
    one = """\
version: 1
task:
  name: ignored
  domain: out
  table: one_table
  presql: ["own pre"]
  postsql: ["own post"]
  tags: [b, a]
  freshness: {warn: 2 days}
  sink: {materializedView: view}
"""
    main = "select * from {{dom}}.orders -- end"
    sql = f"-- hi\n--SL_PRESQL\nfile pre;\nsecond pre\n--SL_SQL\n{main}\n--SL_POSTSQL\nfile post\n"
    project, problems = load(
        {
            "env.sl.yml": "version: 1\nenv: {dom: shop}\n",
            "transform/kpi/_config.sl.yml": config,
            "transform/kpi/one.sl.yml": one,
            "transform/kpi/one.sql": sql,
            "transform/kpi/one.sql.j2": "select 'not this one' as x",
            "transform/kpi/two.sql.j2": "select {{ 1 + 1 }} as y",
            "transform/kpi/three.py": "print(1)\n",
        }
    )
    assert [(p.key, p.code) for p in problems] == [("task.freshness", "freshness-ignored")]
    by_stem = {task.stem: task for task in project.tasks}
    assert sorted(by_stem) == ["inline", "one", "three", "two"]
    first = by_stem["one"]
    assert (first.raw, first.id) == ("out.one", "out.one_table")
    assert first.presql == ("default pre", "file pre", "second pre", "own pre")
    assert first.postsql == ("own post", "file post")
    assert first.sql == "select * from shop.orders"
    assert first.source_sql == "select * from {{dom}}.orders -- end"
    assert (first.references, first.starlake_references) == (("shop.orders",), ("shop.orders",))
    assert first.tags == ("a", "b")
    assert first.freshness is not None
    assert first.freshness.warn == "1 day"
    assert (first.sink.materialized_view, first.sink.partition) == ("VIEW", ("x",))
    assert (first.cron, first.write_strategy.type) == ("0 0 * * 1", "OVERWRITE")
    assert first.sql_location is not None
    assert first.sql_location.file == "metadata/transform/kpi/one.sql"
    assert (by_stem["inline"].id, by_stem["inline"].sql) == ("mart.inlined", "select 3 as z")
    assert (by_stem["two"].id, by_stem["two"].sql) == ("kpi.two", "select 2 as y")
    assert (by_stem["three"].python, by_stem["three"].sql) == ("metadata/transform/kpi/three.py", None)


def test_unset_run_variables_are_empty(load):
    sql = "select '{{sl_start_date}}' as a, '{{SL_THIS_TABLE}}' as b, '${unknown}' as c"
    project, _ = load({"transform/kpi/one.sql": sql})
    assert only(project.tasks).sql == "select '' as a, '' as b, '${unknown}' as c"
    project, _ = load({"transform/kpi/one.sql": sql}, options={"sl_start_date": "2024-01-01"})
    assert only(project.tasks).sql.startswith("select '2024-01-01'")


def test_macros_in_task_sql(load):
    project, problems = load(
        {
            "macros/deep/m.j2": "{% macro cents(c) %}({{ c }} / 100){% endmacro %}",
            "expectations/e.j2": "{% macro ok() %}select 0{% endmacro %}",
            "transform/kpi/one.sql": "{% import 'macros/deep/m.j2' as m %}select {{ m.cents('a') }} as a",
            "transform/kpi/two.sql": "{% from 'macros/deep/m.j2' import cents %}select {{ cents('b') }} as b",
        }
    )
    assert problems == ()
    assert [task.sql for task in project.tasks] == ["select (a / 100) as a", "select (b / 100) as b"]
    assert [(macro.kind, macro.file) for macro in project.macros] == [
        ("expectation", "metadata/expectations/e.j2"),
        ("macro", "metadata/macros/deep/m.j2"),
    ]


def test_refs_rename_outputs(load):
    refs = """\
version: 1
refs:
  - input: {table: "one"}
    output: {database: "", domain: "no", table: "no"}
  - input: {domain: "k.*", table: "(one|two)"}
    output: {database: "cat", domain: "SL_THIS_DOMAIN_dev", table: "SL_THIS_TABLE"}
"""
    files = {"transform/kpi/one.sql": "select 1 as x", "transform/kpi/three.sql": "select 1 as x"}
    project, problems = load({**files, "refs.sl.yml": refs})
    assert problems == ()
    assert [(task.database, task.raw, task.id) for task in project.tasks] == [
        ("cat", "kpi_dev.one", "kpi_dev.one"),
        ("", "kpi.three", "kpi.three"),
    ]
    assert len(project.application.refs) == 2


def test_types_of_the_project_go_over_the_packaged_ones(load):
    types = """\
version: 1
types:
  - {name: int, pattern: "\\\\d+", primitiveType: long, ddlMapping: {bigquery: INT64}}
  - {name: money, pattern: ".*", primitiveType: decimal}
  - {name: real, pattern: ".*", primitiveType: double, ddlMapping: {duckdb: FLOAT}}
"""
    project, problems = load({"types/default.sl.yml": types})
    assert problems == ()
    assert project.types["int"].ddl_mapping == {"bigquery": "INT64", "duckdb": "INTEGER"}
    assert project.types["money"].ddl_mapping["duckdb"] == "DECIMAL"
    assert project.types["real"].ddl_mapping["duckdb"] == "FLOAT"
    assert project.types["timestamp"].ddl_mapping["duckdb"] == "TIMESTAMPTZ"
    assert {"string", "variant", "struct", "iso_week_date", "rfc_1123_date_time"} <= set(project.types)


def test_externals_and_dags(load):
    project, problems = load(
        {
            "external/ref/_config.sl.yml": "version: 1\nload: {rename: reference}\n",
            "external/ref/country.sl.yml": "version: 1\ntable:\n  name: country\n  attributes: [{name: iso}]\n",
            "dags/daily.sl.yml": "version: 1\ndag:\n  template: load/x.py.j2\n  filename: '{{domain}}.py'\n",
        }
    )
    assert problems == ()
    assert only(project.externals).id == "reference.country"
    assert project.dags["daily"].filename == "{{domain}}.py"


ENVIRONMENTS = {f"env.{name}.sl.yml": "version: 1\nenv: {a: b}\n" for name in ("PROD", "DEV")}
KNOWN = "the file does not exist. The environments are: DEV, PROD."


@pytest.mark.parametrize(
    ("files", "arguments", "expected"),
    [
        (ENVIRONMENTS, {"env": "prd"}, f"no environment `prd`: {KNOWN} Did you mean `PROD`?"),
        (ENVIRONMENTS, {"env": "zz"}, f"no environment `zz`: {KNOWN} Create the file, or name no environment."),
        (
            {},
            {"env": "prd"},
            "no environment `prd`: the file does not exist. The project has no environments. "
            "Create the file, or name no environment.",
        ),
        (
            ENVIRONMENTS,
            {"environ": {"SL_ENV": "PRO"}},
            f"no environment `PRO`, named by the environment variable SL_ENV: {KNOWN} Did you mean `PROD`?",
        ),
        (
            {**ENVIRONMENTS, "application.sl.yml": "version: 1\napplication: {env: PRO}\n"},
            {},
            f"no environment `PRO`, named by `application.env` of metadata/application.sl.yml: {KNOWN} "
            "Did you mean `PROD`?",
        ),
        (
            {**ENVIRONMENTS, "env.sl.yml": "version: 1\nenv: {SL_ENV: PRO}\n"},
            {},
            f"no environment `PRO`, named by `SL_ENV` of metadata/env.sl.yml: {KNOWN} Did you mean `PROD`?",
        ),
    ],
)
def test_an_environment_without_a_file_is_an_error_that_names_the_others(load, files, arguments, expected):
    _, problems = load(files, **arguments)
    (problem,) = [problem for problem in problems if problem.code == "missing-env"]
    assert (problem.severity, str(problem).partition(": ")[2]) == ("error", expected)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_project_with_a_wrong_environment_is_refused(tmp_path, on_error):
    root = write(tmp_path / "project", ENVIRONMENTS)
    project = StarlakeProject(root, env="PRD", on_error=on_error, cache_dir=tmp_path / "cache")
    with pytest.raises(ProjectError, match=r"no environment `PRD`: .* Did you mean `PROD`"):
        _ = project.model


@pytest.mark.parametrize("name", ["naïve", "a$b", "two words", "dots.in.it", "hy-phen", "été£"])
def test_odd_names_load(load, name: str):
    project, problems = load(
        {
            f"load/{name}/{name}.sl.yml": ORDERS.replace("name: orders", f"name: '{name}'"),
            f"transform/{name}/{name}.sql": "select 1 as x",
        }
    )
    assert only(project.tables).raw == f"{name}.{name}"
    assert only(project.tasks).stem == name
    assert all(problem.severity == "warning" for problem in problems)


def test_digests_change_with_content_only(load, tmp_path: Path):
    files = {
        "env.sl.yml": "version: 1\nenv: {dom: shop, day: '${sl_date}', place: '${SL_ROOT}/x'}\n",
        "load/shop/_config.sl.yml": 'version: 1\nload:\n  metadata:\n    directory: "{{place}}"\n',
        "load/shop/orders.sl.yml": ORDERS,
        "transform/kpi/one.sql": "select '{{day}}' as d, '{{sl_date}}' as e from {{dom}}.orders",
    }

    def digests(**arguments):
        project, _ = load({**files, **arguments.pop("change", {})}, **arguments)
        return only(project.tables).digest, only(project.tasks).digest

    first = digests()
    assert digests(options={"sl_date": "20200101", "sl_start_date": "x"}) == first
    assert digests(environ={"SL_JOB_ID": "7", "SL_DATASETS": "/elsewhere"}) == first
    changed = digests(change={"env.sl.yml": files["env.sl.yml"].replace("shop", "store")})
    assert changed[0] == first[0]
    assert changed[1] != first[1]
    assert digests(change={"load/shop/orders.sl.yml": ORDERS + "  comment: x\n"})[0] != first[0]
    assert digests(change={"load/shop/_config.sl.yml": "version: 1\nload: {comment: y}\n"})[0] != first[0]


def test_what_only_a_run_sets_does_not_break_the_lineage(load: Callable[..., Any]) -> None:
    files = {
        "load/sb/orders.sl.yml": ORDERS,
        "transform/kpi/window.sql": "select * from sb.orders o\n"
        "where o.id between {{ sl_data_interval_start }} and ${sl_data_interval_end}",
        "transform/kpi/quoted.sql": "select * from sb.orders o where o.id > '{{sl_start_date}}'",
        "transform/kpi/temp.sql": "--SL_PRESQL\ncreate temp table mine as select 1 as id;\n"
        "--SL_SQL\nselect * from mine join sb.orders using (id)",
    }
    project, problems = load(files)
    assert not problems
    assert {task.stem: task.references for task in project.tasks} == {
        "quoted": ("sb.orders",),
        "temp": ("sb.orders",),
        "window": ("sb.orders",),
    }
    # the text that runs is that of the variables in force
    assert "between  and $" in project.tasks[2].sql
    found, _ = load(files, options={"sl_data_interval_start": "1", "sl_data_interval_end": "2"})
    assert "between 1 and 2" in found.tasks[2].sql


@pytest.mark.parametrize(("usual", "within"), [(500, 50_000), (0, 0), (90_000, 90_000)])
def test_garbage_is_collected_rarely_while_files_are_parsed(
    load: Any, monkeypatch: pytest.MonkeyPatch, usual: int, within: int
) -> None:
    found: list[int] = []
    resolve = project_load.resolve_domains

    def noted(resolution: Any) -> Any:
        found.append(gc.get_threshold()[0])
        return resolve(resolution)

    monkeypatch.setattr(project_load, "resolve_domains", noted)
    before = gc.get_threshold()
    try:
        gc.set_threshold(usual, 7, 8)
        load({"load/shop/orders.sl.yml": ORDERS})
        assert (found, gc.get_threshold()) == ([within], (usual, 7, 8))
    finally:
        gc.set_threshold(*before)
