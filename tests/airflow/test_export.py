"""DAG files as texts: stable, formatted, ours alone; what cannot be said is named."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from starlake_dagster_assets import (
    JobSettings,
    LineageSettings,
    PreLoadSettings,
    ScheduleSettings,
    StarlakeAutomation,
    StarlakeProject,
    StarlakeTranslator,
    export_airflow,
)
from starlake_dagster_assets.airflow.dag_folder import DagFolder
from starlake_dagster_assets.airflow.dag_options import configured_pool, default_args
from starlake_dagster_assets.airflow.plan.model import AirflowOptions, AssetExpression
from starlake_dagster_assets.airflow.render.source import jinja, jinja_text, python_literal, text_block
from starlake_dagster_assets.automation.file_arrivals.paths import ack_path
from starlake_dagster_assets.automation.policies.model import Job, PreLoad
from starlake_dagster_assets.errors import ProjectError, SelectionError, StarlakeError
from starlake_dagster_assets.graph.model import Edge
from starlake_dagster_assets.graph.select import quote_selection
from starlake_dagster_assets.project.model.project import Connection, Metadata
from tests.airflow.projects import Source
from tests.airflow.standin import read
from tests.graph.conftest import project as tables_of
from tests.graph.conftest import table, task

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project" / "starbake"
ENVIRONMENTS = ["shell", "cloud_run", "dataproc", "fargate", "kubernetes"]
RUFF = [sys.executable, "-m", "ruff"]


@pytest.fixture(scope="module")
def project() -> StarlakeProject:
    return StarlakeProject(EXAMPLE, env="DUCKDB")


def tasks_of(report) -> dict:
    return {task.id: task for dag in report.plan.dags for task in dag.tasks}


def command(*args: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()"]
    return subprocess.run([*program, "airflow", "export", *args], check=False, capture_output=True, text=True)


# ---------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("split", ["domain", "schedule", "component", "table"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_files_are_the_same_each_time_and_as_a_formatter_leaves_them(project, environment, split, tmp_path):
    automation = StarlakeAutomation(pre_load="imported", lineage=LineageSettings(strategy="all"))
    more = AirflowOptions(checks="warehouse" if split in ("schedule", "component") else None)
    options = {"environment": environment, "split": split, "automation": automation, "options": more}
    first = export_airflow(project, tmp_path, **options)
    assert len(first.written) == len(first.plan.dags) + 4
    assert not export_airflow(project, tmp_path, **options, check=True).stale
    strict = ["--isolated", "--select", "E,F,I,B,UP", "--ignore", "E501,B018"]
    airflow = ["--isolated", "--preview", "--select", "AIR"]
    for words in (["format", "--isolated", "--line-length", "88", "--check"], ["check", *strict], ["check", *airflow]):
        done = subprocess.run([*RUFF, *words, str(tmp_path)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_functions_for_dags_of_the_user_are_clean_and_define_no_dag(project, environment, tmp_path):
    automation = StarlakeAutomation(pre_load="imported")
    export_airflow(project, tmp_path, environment=environment, automation=automation, task_groups=True)
    for rules in (["E,F,I,B,UP", "--ignore", "E501,B018"], ["AIR", "--preview"]):
        words = ["check", "--isolated", "--select", *rules, str(tmp_path)]
        done = subprocess.run([*RUFF, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for path in tmp_path.glob("starlake_*_*.py"):
        if not path.name.startswith("starlake_worker"):
            defined = {one.name for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)}
            assert "task_group" in defined and "with DAG(" not in path.read_text()


def test_a_file_says_what_it_was_made_from_and_nothing_of_the_machine(project, tmp_path):
    export_airflow(project, tmp_path)
    for path in tmp_path.glob("starlake_*_*.py"):
        text = path.read_text()
        assert text.startswith("# Exported by `starlake-dagster airflow export`")
        assert str(EXAMPLE) not in text
        if not path.name.startswith("starlake_worker"):
            assert "Made from the Starlake project starbake, environment DUCKDB" in ast.get_docstring(ast.parse(text))


_ROOTED = {
    "application.sl.yml": "application:\n  connectionRef: db\n  connections:\n    db:\n      type: jdbc\n"
    "      options: {url: 'jdbc:duckdb:{{SL_ROOT}}/db'}\n  dagRef: {load: l}\n",
    "env.sl.yml": "env:\n  place: '{{SL_ROOT}}/place'\n",
    "dags/l.sl.yml": "dag:\n  comment: DAG of {{SL_ROOT}}\n  template: load/x.py.j2\n  filename: l.py\n  options:\n"
    "    SL_STARLAKE_PATH: '{{SL_ROOT}}/bin/starlake'\n    tags: at{{SL_ROOT}}\n"
    '    sl_env_var: \'{"PLACE": "{{SL_ROOT}}/x", "OTHER": "{{place}}"}\'\n',
    "load/sales/_config.sl.yml": "load:\n  name: sales\n  metadata:\n    directory: '{{SL_ROOT}}/in'\n",
    "load/sales/orders.sl.yml": "table:\n  name: orders\n  pattern: orders.*.csv\n"
    "  comment: from {{SL_ROOT}}/in and {{place}}\n  tags: ['airflow.doc={{SL_ROOT}}/runbook']\n"
    "  expectations:\n    - expect: expect_file('{{SL_ROOT}}/x')\n"
    "  attributes:\n    - {name: id, type: long, comment: 'see {{SL_ROOT}}/docs'}\n",
    "transform/kpi/sums.sl.yml": "task:\n  name: sums\n  comment: reads ${SL_ROOT}/z\n",
    "transform/kpi/sums.sql": "select * from sales.orders, read_csv('{{SL_ROOT}}/z.csv')\n",
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_root_of_the_machine_that_exports_is_in_no_file(tmp_path, environment):
    for home in ("one", "other/place"):
        for name, text in _ROOTED.items():
            path = tmp_path / home / "shop" / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    known = {"environment": environment, "options": AirflowOptions(checks="warehouse")}
    export_airflow(tmp_path / "one" / "shop", tmp_path / "dags", **known)
    texts = contents(tmp_path / "dags")
    assert str(tmp_path) not in "".join(texts.values())
    assert not export_airflow(tmp_path / "other" / "place" / "shop", tmp_path / "dags", **known, check=True).stale
    load = texts["l.py"]
    assert 'description="DAG of {{SL_ROOT}}"' in load and "from {{SL_ROOT}}/in and {{SL_ROOT}}/place" in load
    assert "{{ var.value.starlake_root }}/place" in load and 'doc="{{ var.value.starlake_root }}/runbook"' in load
    if environment == "shell":
        program = "{{ var.value.get('starlake_path', var.value.starlake_root ~ '/bin/starlake') }}"
        assert f'"STARLAKE": "{program}"' in load


def test_a_root_of_the_options_holds_for_every_path(project, tmp_path):
    variables = json.dumps({"SL_ROOT": "/srv/shop", "PLACE": "{{SL_ROOT}}/place"})
    automation = StarlakeAutomation(
        pre_load=PreLoadSettings(strategy="ack", ack_file_path="{{SL_ROOT}}/acks/{domain}.ack")
    )
    options = AirflowOptions(settings={"sl_env_var": variables})
    export_airflow(project, tmp_path, options=options, automation=automation)
    text = "".join(one for name, one in contents(tmp_path).items() if "worker" not in name)
    root = "{{ var.value.get('starlake_root', '/srv/shop') }}"
    assert f'"PLACE": "{root}/place"' in text and f"{root}/acks/network.ack" in text
    assert "var.value.starlake_root" not in text, "the variable is not required"


def test_a_path_of_a_bucket_that_ends_like_the_root_is_kept(project, tmp_path):
    jar, local = f"gs://bucket{project.root}/x.jar", f"file://{project.root}/x.jar"
    options = AirflowOptions(settings={"sl_env_var": json.dumps({"JAR": jar, "LOCAL": local})})
    export_airflow(project, tmp_path, options=options)
    text = "".join(contents(tmp_path).values())
    assert f'"JAR": "{jar}"' in text
    assert '"LOCAL": "file://{{ var.value.starlake_root }}/x.jar"' in text


def test_every_node_has_one_task_and_every_edge_is_kept(project, tmp_path):
    plan = export_airflow(project, tmp_path).plan
    made = [uri for dag in plan.dags for task in dag.tasks for uri in task.outlets if task.kind != "finish"]
    nodes = {n.id for n in project.graph.nodes.values() if n.kind != "external"}
    assert sorted(made) == sorted(plan.uris[node] for node in nodes)
    edges = {(i, o) for dag in plan.dags for task in dag.tasks for i in task.inlets for o in task.outlets}
    wanted = {(e.source, e.target) for e in project.graph.edges if not project.graph.nodes[e.source].is_files}
    assert edges == {(plan.uris[source], plan.uris[target]) for source, target in wanted}


def test_users_of_starlake_airflow_find_their_names(project, tmp_path):
    report = export_airflow(project, tmp_path, automation=StarlakeAutomation(pre_load="imported"))
    tasks = tasks_of(report)
    known = ["check_network_incoming_files", "skip_or_start_loading_network", "import_network", "load_network_stores"]
    assert [task for task in tasks if "network" in task] == known
    assert tasks["load_network_stores"].outlets == ("reference_shops",)
    assert tasks["kpi_daily_revenue_task"].outlets == ("kpi_daily_revenue",)


def test_asset_keys_are_names_where_they_are_asked_for(project, tmp_path):
    tasks = tasks_of(export_airflow(project, tmp_path, ids="asset"))
    assert tasks["reference__Shops"].outlets == ("x-starlake://reference/Shops",)


@pytest.mark.parametrize("environment", ["shell", "dataproc", "fargate"])
def test_the_path_of_an_ack_file_has_the_date_of_the_run_in_the_time_zone_of_the_dag(project, environment, tmp_path):
    store = {"shell": "/srv", "dataproc": "gs://files", "fargate": "s3://files"}[environment]
    path = store + "/{domain}/{YYYY-MM-DD}/{{ds_nodash}}/${sl_hour}/%M.ack"
    automation = StarlakeAutomation(pre_load=PreLoadSettings(strategy="ack", ack_file_path=path))
    report = export_airflow(project, tmp_path, environment=environment, automation=automation)
    (ack,) = {task.waiting.ack for task in tasks_of(report).values() if task.waiting and "network" in task.id}
    zone, moment = ZoneInfo("Europe/Paris"), datetime(2025, 3, 9, 23, 30, tzinfo=timezone.utc)
    run = {"dated": lambda codes: moment.astimezone(zone).strftime(codes)}
    assert Environment().from_string(ack).render(run) == f"{store}/network/2025-03-10/20250310/00/30.ack"
    domain = project.model.domains[[one.name for one in project.model.domains].index("network")]
    preload = PreLoad("ack", global_ack_file_path=path)
    assert Environment().from_string(ack).render(run) == ack_path(
        preload, project.model, domain, moment.astimezone(zone)
    )


def test_the_path_of_an_ack_file_names_what_there_is(project, tmp_path):
    automation = StarlakeAutomation(pre_load=PreLoadSettings(strategy="ack", ack_file_path="/srv/{doman}.ack"))
    with pytest.raises(StarlakeError, match="did you mean `domain`"):
        export_airflow(project, tmp_path, automation=automation)


# ------------------------------------------------------------------------------------------------- environments


def environments_of(report) -> dict[str, str]:
    """Where each node runs, by its DAG."""
    where = {dag.id: dag.environment for dag in report.plan.dags}
    return {node: where[dag] for node, (dag, _) in report.plan.node_tasks.items()}


@pytest.mark.parametrize("split", ["domain", "schedule", "component", "table"])
@pytest.mark.parametrize("granularity", ["task", "batch"])
def test_each_node_runs_where_the_first_selection_that_has_it_says(project, split, granularity, tmp_path):
    automation = StarlakeAutomation(pre_load="imported")
    environments = {"starbake.Orders kpi.top_products": "cloud_run", "domain:kpi domain:starbake": "dataproc"}
    options = {"split": split, "granularity": granularity, "automation": automation, "environments": environments}
    report = export_airflow(project, tmp_path, environment="fargate", **options)
    found = environments_of(report)
    assert {found.pop("starbake.Orders"), found.pop("kpi.top_products")} == {"cloud_run"}
    elsewhere = {node for node in found if node.partition(".")[0] in ("kpi", "starbake")}
    assert {found[node] for node in elsewhere} == {"dataproc"}
    assert {where for node, where in found.items() if node not in elsewhere} == {"fargate"}
    operators = {
        "cloud_run": "CloudRunExecuteJobOperator",
        "dataproc": "DataprocSubmitJobOperator",
        "fargate": "EcsRunTaskOperator",
    }
    for dag in report.plan.dags:
        text = (tmp_path / f"{dag.id}.py").read_text()
        assert [where for where, operator in operators.items() if operator in text] == [dag.environment]
    for words in (["format", "--isolated", "--line-length", "88", "--check"], ["check", "--isolated"]):
        done = subprocess.run([*RUFF, *words, str(tmp_path)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert not export_airflow(project, tmp_path, environment="fargate", **options, check=True).stale


def test_dags_that_only_their_environment_tells_apart_have_it_in_their_name(project, tmp_path):
    before = export_airflow(project, tmp_path).plan
    plan = export_airflow(project, tmp_path, environments={"kpi.daily_revenue": "cloud_run"}).plan
    assert plan.node_tasks["kpi.daily_revenue"][0] == before.node_tasks["kpi.daily_revenue"][0]
    plan = export_airflow(project, tmp_path, environments={"starbake.Products": "dataproc"}).plan
    assert plan.node_tasks["starbake.Customers"] == ("starlake_load_starbake_daily", "load_starbake_Customers")
    assert plan.node_tasks["starbake.Products"] == ("starlake_load_starbake_daily_dataproc", "load_starbake_Products")


def test_what_an_environment_cannot_say_is_told_of_what_runs_there_alone(project, tmp_path):
    automation = StarlakeAutomation(pre_load="imported")
    notes = export_airflow(project, tmp_path, environments={"network.stores": "dataproc"}, automation=automation).notes
    (store,) = [note for note in notes if "in no store" in note]
    assert store.startswith("load network: its files are in no store that dataproc can look at; ")
    assert [note.partition(":")[0] for note in notes if "cannot list their files" in note] == [
        "loads of reference.Shops"
    ]


def test_an_environment_that_airflow_has_not_is_refused_with_the_nearest(project, tmp_path):
    with pytest.raises(StarlakeError, match=r"'cloudrun'.*did you mean `cloud_run`"):
        export_airflow(project, tmp_path, environments={"domain:kpi": "cloudrun"})
    with pytest.raises(StarlakeError, match="'duckdb': Airflow files are written for shell, dataproc"):
        export_airflow(project, tmp_path, environment="duckdb")


def test_the_command_takes_environments_of_selections(project, tmp_path):
    environments = ["--environment", "fargate", "--environment", "domain:kpi kind:view=cloud_run"]
    done = command(str(EXAMPLE), "--env", "DUCKDB", "--out", str(tmp_path), *environments)
    assert done.returncode == 0, done.stderr
    given = {"domain:kpi kind:view": "cloud_run"}
    assert not export_airflow(project, tmp_path, environment="fargate", environments=given, check=True).stale
    for wrong, told in (
        (["--environment", "shel"], "did you mean `shell`"),
        (["--environment", "domain:kpi=fargat"], "did you mean `fargate`"),
        (["--environment", "shell", "--environment", "fargate"], "another environment is already set"),
    ):
        refused = command(str(EXAMPLE), "--out", str(tmp_path), *wrong)
        assert refused.returncode == 2 and told in " ".join(refused.stderr.replace("│", " ").split())


# -------------------------------------------------------------------------------------------------- who is ours


def test_what_is_gone_is_removed_and_what_is_not_ours_stays(project, tmp_path):
    export_airflow(project, tmp_path, name="shop")
    mine = tmp_path / "mine.py"
    mine.write_text("# by hand\n")
    report = export_airflow(project, tmp_path, select="domain:kpi", name="shop")
    assert report.removed and mine.exists()
    assert not any((tmp_path / name).exists() for name in report.removed)
    taken = tmp_path / next(name for name in report.unchanged + report.written if name.startswith("starlake_transform"))
    manifest = tmp_path / "shop.manifest.json"
    manifest.unlink()
    taken.write_text("# by hand\n")
    with pytest.raises(ProjectError, match="is not an exported file"):
        export_airflow(project, tmp_path, select="domain:kpi", name="shop")


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_text() for path in folder.iterdir() if path.name not in ("pools.json", "asset_map.json")
    }


def other(tmp_path: Path, domain: str = "crm") -> Source:
    """A project of another kind, whose directory may have any name."""
    return Source(tables_of(table(domain, "calls", cron="0 5 * * *")), root=tmp_path / "starbake")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"options": AirflowOptions(prefix="b")}),
        ({"exclude": "domain:kpi"}, {"select": "domain:kpi"}),
        ({"select": "domain:starbake"}, {"select": "domain:kpi"}),
        ({}, {"options": AirflowOptions(prefix="b"), "select": "domain:kpi", "ids": "asset"}),
    ],
    ids=["prefix", "rest", "selections", "all"],
)
def test_another_export_into_the_folder_touches_no_file_of_the_first(project, tmp_path, first, second):
    report = export_airflow(project, tmp_path, **first)
    before = contents(tmp_path)
    later = export_airflow(project, tmp_path, **second)
    assert not later.removed and contents(tmp_path).items() >= before.items()
    assert not {*export_airflow(project, tmp_path, **first, check=True).stale} - {"asset_map.json"}
    assets = json.loads((tmp_path / "asset_map.json").read_text())["assets"]
    assert assets.keys() >= report.plan.node_tasks.keys() | later.plan.node_tasks.keys()


def test_another_project_in_a_directory_of_the_same_name_has_files_of_its_own(project, tmp_path):
    export_airflow(project, tmp_path / "dags")
    first = contents(tmp_path / "dags")
    for _ in range(2):
        export_airflow(other(tmp_path), tmp_path / "dags")
        assert contents(tmp_path / "dags").items() >= first.items()
    assert (tmp_path / "dags" / "starlake_starbake_2.manifest.json").exists()
    assert not export_airflow(project, tmp_path / "dags", check=True).stale
    assert not export_airflow(other(tmp_path), tmp_path / "dags", check=True).stale


def test_projects_in_one_folder_that_read_the_same_root_are_named(project, tmp_path):
    def notes(source, **options: str) -> list[str]:
        found = export_airflow(source, tmp_path, options=AirflowOptions(**options)).notes
        return [note for note in found if note.startswith("variable ")]

    shop = Source(tables_of(table("shop", "orders", cron="0 5 * * *")), root=tmp_path / "shop")
    assert not notes(project) and not notes(project, prefix="again")
    (note,) = notes(shop, prefix="shop")
    assert (
        note.startswith("variable starlake_root: exports of another project read it, too: again_starbake, starlake_")
        and "--variables-prefix" in note
    )
    assert not notes(shop, prefix="shop", variables_prefix="shop_")


def test_a_project_with_few_tables_of_an_export_does_not_replace_it_unless_it_is_named(project, tmp_path):
    export_airflow(project, tmp_path / "dags")
    first = contents(tmp_path / "dags")
    second = Source(tables_of(table("starbake", "Orders", cron="0 5 * * *")), root=tmp_path / "starbake")
    with pytest.raises(ProjectError, match=r"has 1 of the \d+ tables and tasks of the export starlake_starbake,"):
        export_airflow(second, tmp_path / "dags")
    assert contents(tmp_path / "dags") == first
    assert export_airflow(second, tmp_path / "dags", name="starlake_starbake").removed


@pytest.mark.parametrize(
    ("select", "exclude", "closest"),
    [
        ("domain:sales,kind:task", None, "sales.items, sales.orders, kpi.sums"),
        ("kind:files", None, "sales.items, sales.orders, kpi.sums"),
        ("sales.*", "kind:table", "sales.items, sales.orders, kpi.sums"),
        (["kpi.sums"], ["kpi.*"], "kpi.sums, sales.items, sales.orders"),
    ],
)
def test_a_selection_without_a_table_or_task_is_an_error_and_touches_no_file(tmp_path, select, exclude, closest):
    shop = Source(tables_of(table("sales", "orders"), table("sales", "items"), task("kpi", "sums", "select 1 as x")))
    export_airflow(shop, tmp_path, name="all")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SelectionError) as caught:
        export_airflow(shop, tmp_path, name="all", select=select, exclude=exclude)
    message = str(caught.value)
    assert quote_selection(select, exclude) in message and "contains no table and no task to export" in message
    assert set(closest.split(", ")) == set(re.findall(r"\w+\.\w+", message.partition("closest names: ")[2]))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_project_without_tables_and_tasks_is_an_error(tmp_path):
    with pytest.raises(SelectionError, match="project: the project has no table and no task to export"):
        export_airflow(Source(tables_of()), tmp_path)


def test_a_dag_of_the_same_id_in_another_export_is_refused_by_name(project, tmp_path):
    export_airflow(project, tmp_path)
    first = contents(tmp_path)
    with pytest.raises(ProjectError, match=r"_kpi_daily.py: belongs to the export 'starlake_starbake'"):
        export_airflow(project, tmp_path, select="domain:kpi", options=AirflowOptions(retries=7))
    assert contents(tmp_path) == first


@pytest.mark.parametrize(
    ("is_named_by_a_file", "advice"),
    [(False, "another --prefix"), (True, "another `filename` in its DAG configuration")],
)
def test_two_exports_never_list_the_same_dag_file(project, tmp_path, is_named_by_a_file, advice):
    """Also if its text would be the same: the export that is removed first would take it along."""
    prefix = "other" if is_named_by_a_file else "starlake"
    export_airflow(project, tmp_path)
    with pytest.raises(ProjectError, match=f"belongs to the export 'starlake_starbake'.*{advice}"):
        DagFolder(tmp_path).changes("two", "p", prefix, contents(tmp_path))


def test_nodes_that_the_project_no_longer_has_are_named(tmp_path):
    nodes = [table("s", "a", cron="0 5 * * *"), table("s", "b", cron="0 5 * * *"), task("k", "t", "select 1 as x")]
    edges = (Edge("s.a", "k.t"), Edge("s.b", "k.t"))
    export_airflow(Source(tables_of(*nodes), edges=edges), tmp_path)
    report = export_airflow(Source(tables_of(nodes[0], nodes[2]), edges=edges[:1]), tmp_path)
    assert any(note.startswith("s.b: no longer in the project") for note in report.notes)


def test_a_dag_that_nothing_starts_is_named(tmp_path):
    source = Source(
        tables_of(table("s", "a", cron="0 5 * * *"), task("k", "t", "select 1 as x")), edges=(Edge("s.a", "k.t"),)
    )
    report = export_airflow(source, tmp_path, select="k.t")
    assert [dag.schedule for dag in report.plan.dags] == [None]
    assert any(note.startswith("k.t: nothing starts their DAG") for note in report.notes)


def test_a_task_without_its_edges_is_named_with_the_file_of_its_sql(tmp_path):
    project_dir = tmp_path / "shop"
    for path, text in {
        "metadata/application.sl.yml": "version: 1\napplication:\n  connectionRef: db\n  connections:\n    db:\n"
        "      type: duckdb\n      options:\n        url: jdbc:duckdb:db\n",
        "metadata/transform/k/t.sql": "select * frm s.a wher x",
        "metadata/transform/k/t.sl.yml": "version: 1\ntask:\n  name: t\n",
    }.items():
        (project_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (project_dir / path).write_text(text)
    report = export_airflow(StarlakeProject(project_dir), tmp_path / "dags")
    assert [dag.schedule for dag in report.plan.dags] == [None]
    assert any(note.startswith("k.t: nothing starts their DAG, because they have no schedule") for note in report.notes)
    parsed = "k.t: the SQL in metadata/transform/k/t.sql cannot be parsed"
    assert any(note.startswith(parsed) and "`starlake-dagster check`" in note for note in report.notes)


def test_default_dag_args_of_an_option_hold_for_dags_without_a_configuration(tmp_path):
    source = Source(tables_of(table("s", "a", cron="0 5 * * *")))
    args = {"default_dag_args": json.dumps({"email": "a@b.c", "retries": 4, "pool": "mine"})}
    (dag,) = export_airflow(source, tmp_path, options=AirflowOptions(settings=args)).plan.dags
    assert {name: dag.default_args[name] for name in ("email", "retries", "pool")} == {
        "email": "a@b.c",
        "retries": 4,
        "pool": "mine",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--airlift", "--task-groups"], "dagster-airlift needs DAGs"),
        (["--granularity", "batch", "--ids", "starlake-airflow"], "no task for several tables"),
    ],
)
def test_options_that_exclude_each_other_are_errors_of_the_user(tmp_path, options, message):
    done = command(str(EXAMPLE), "--out", str(tmp_path), *options)
    assert done.returncode == 2 and message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--out", "{file}"], 1, "expected a directory for the DAG files, found a file"),
        (["--out", "{file}/dags"], 1, "expected a directory for the DAG files, found a file"),
        (["--ids-map", "{folder}/missing/x.json"], 2, "expected a file in an existing directory"),
        (["--translator", "os:path"], 2, "'os:path': expected a StarlakeTranslator, found module"),
    ],
)
def test_paths_and_translators_that_cannot_be_used_are_errors_of_the_user(tmp_path, options, code, message):
    (tmp_path / "file").write_text("mine")
    given = [text.format(file=tmp_path / "file", folder=tmp_path) for text in options]
    done = command(str(EXAMPLE), *(["--out", str(tmp_path / "dags")] if "--out" not in given else []), *given)
    output = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert done.returncode == code and message in output and "internal error" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"name": "../../evil"}, {}, "name: '../../evil' is not a name of files"),
        ({}, {"variables_prefix": "x'y"}, "option variables_prefix: .* is not a name of Airflow"),
        ({}, {"checks": "a'b{{x}}"}, "option checks: .* is not a name of Airflow"),
    ],
)
def test_names_that_are_paths_or_template_code_are_rejected(project, tmp_path, arguments, options, message):
    with pytest.raises(ProjectError, match=message):
        export_airflow(project, tmp_path / "dags", options=AirflowOptions(**options), **arguments)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"password": "hunter2"}, "`password` looks like a secret"),
        ({"trigger_rule": "all_done"}, "`trigger_rule` is not supported"),
        ({"skip_on_exit_code": 1}, "`skip_on_exit_code` is not supported"),
        ({"priority_weight": "x"}, "option default_dag_args: priority_weight: expected an integer, found 'x'"),
        ({"retries": "x"}, "retries: expected an integer of at least 0, found 'x'"),
        ({"retries": -1}, "retries: expected an integer of at least 0, found -1"),
        ({"execution_timeout": "soon"}, "execution_timeout: expected a number of seconds, found 'soon'"),
    ],
)
def test_arguments_of_all_tasks_that_cannot_be_exported_are_errors(argument, message):
    job = Job("sales", (), options={"default_dag_args": json.dumps(argument)})
    with pytest.raises(ProjectError, match=message) as error:
        default_args(job, AirflowOptions(), None)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("environment", "option", "value", "message"),
    [
        ("dataproc", "dataproc_num_workers", "many", "expected an integer, found 'many'"),
        ("dataproc", "dataproc_job_wait_timeout", "1h", "expected an integer, found '1h'"),
        ("dataproc", "dataproc_cluster_metadata", "{x", "expected a JSON mapping of texts."),
        ("dataproc", "dataproc_cluster_metadata", "[]", "expected a JSON mapping of texts."),
        ("dataproc", "deferrable", "no", "expected true or false, found 'no'"),
        ("cloud_run", "deferrable", "0", "expected true or false, found '0'"),
        ("fargate", "cpu", "lots", "expected a size of ECS, such as 1024 or `2 GB`, found 'lots'"),
        ("kubernetes", "kubernetes_memory", "4 G", "expected a quantity of Kubernetes, such as 500m or 4Gi"),
    ],
)
def test_options_of_environments_that_cannot_be_read_are_errors(project, tmp_path, environment, option, value, message):
    with pytest.raises(ProjectError) as caught:
        export_airflow(project, tmp_path, environment=environment, options=AirflowOptions(settings={option: value}))
    assert re.match(rf"option {option} of DAG starlake_\w+: {re.escape(message)}", str(caught.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environment", "option", "value"),
    [
        ("fargate", "cpu", ".25 vCPU"),
        ("fargate", "memory", "0.5GB"),
        ("kubernetes", "kubernetes_memory", "524288Ki"),
        ("kubernetes", "kubernetes_cpu", "0.5"),
    ],
)
def test_sizes_of_a_service_are_kept_as_written(project, tmp_path, environment, option, value):
    export_airflow(project, tmp_path, environment=environment, options=AirflowOptions(settings={option: value}))
    assert f'"{value}"' in (tmp_path / "starlake_transform_kpi.py").read_text()


def test_lists_of_subnets_are_read_in_any_form(project, tmp_path):
    for number, text in enumerate(["a,b", "['a', 'b']", '["a", "b"]', "[a, b]"]):
        options = AirflowOptions(settings={"aws_task_private_subnets": text})
        export_airflow(project, tmp_path / str(number), environment="fargate", options=options)
        found = (tmp_path / str(number) / "starlake_transform_kpi.py").read_text()
        assert '"subnets": ["a", "b"]' in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"airlift": True, "airlift_operator": "nope"}, "airlift_operator: expected `module:Name`, found 'nope'"),
        ({"airlift_operator": "a.b:C"}, "airlift_operator: no task can be switched to Dagster without `airlift`"),
    ],
)
def test_operators_of_airlift_that_cannot_be_used_are_errors(options, message):
    with pytest.raises(ProjectError, match=re.escape(message)):
        AirflowOptions(**options)


def test_default_arguments_that_airflow_ignores_are_named(project, tmp_path):
    options = AirflowOptions(settings={"default_dag_args": json.dumps({"retrys": 3, "email": "me@example.com"})})
    report = export_airflow(project, tmp_path, options=options)
    assert [note for note in report.notes if "default_dag_args" in note] == [
        "option default_dag_args: Airflow ignores `retrys`, which no operator has; did you mean `retries`?"
    ]


def test_code_in_place_of_an_exported_file_is_neither_replaced_nor_removed(project, tmp_path):
    written = export_airflow(project, tmp_path).written
    mine = next(name for name in written if name.endswith("_kpi_daily.py"))
    (tmp_path / mine).write_text("MINE = True\n")
    with pytest.raises(ProjectError, match=rf"{mine}: is not an exported file; move it away"):
        export_airflow(project, tmp_path)
    assert mine not in export_airflow(project, tmp_path, exclude="domain:kpi", name="starlake_starbake").removed
    assert (tmp_path / mine).read_text() == "MINE = True\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": 5}, "`files`: expected a list of names"),
        ({"files": ["../victim.py"]}, "`files` contains '../victim.py', which no export writes"),
        ({"files": ["victim.txt"]}, "`files` contains 'victim.txt', which no export writes"),
        ({"files": [1]}, "`files` contains 1, which no export writes"),
        ({"assets": [1]}, "`assets`: expected a mapping"),
        ({"pools": "x"}, "`pools`: expected a mapping"),
    ],
)
@pytest.mark.parametrize("name", ["starlake_starbake", "other"])
def test_a_manifest_that_no_export_wrote_is_an_error_and_no_file_is_removed(project, tmp_path, name, changes, message):
    folder = tmp_path / "dags"
    export_airflow(project, folder)
    for victim in (tmp_path / "victim.py", folder / "victim.txt"):
        victim.write_text("mine")
    manifest = json.loads((folder / "starlake_starbake.manifest.json").read_text())
    (folder / f"{name}.manifest.json").write_text(json.dumps({**manifest, **changes}))
    before = contents(folder)
    with pytest.raises(ProjectError, match=re.escape(f"{name}.manifest.json: {message}. Next: ")):
        export_airflow(project, folder)
    assert contents(folder) == before and (tmp_path / "victim.py").read_text() == "mine"


def test_files_of_an_earlier_version_are_taken_over(project, tmp_path):
    export_airflow(project, tmp_path)
    header = (tmp_path / "starlake_transform_kpi_daily.py").read_text()
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "starlake_gone.py").write_text(header)
    (tmp_path / "starlake_other.py").write_text(header.replace("project starbake", "project other"))
    (tmp_path / "b_gone.py").write_text(header)
    assert export_airflow(project, tmp_path).removed == ("starlake_gone.py",)


@pytest.mark.parametrize(
    "variables",
    [
        {"PGURL": "postgresql://sl:hunter2@db/dwh"},
        {"JDBC": "jdbc:postgresql://db/dwh?user=sl&password=hunter2"},
        {"DB_PASSWORD": "hunter2"},
        {"OPTS": "-Dtoken=hunter2"},
        {"ORACLE": "jdbc:oracle:thin:sl/hunter2@//db:1521/dwh"},
        {"SIGNED": "https://shop.blob.core.windows.net/in?sv=2024&sig=hunter2"},
        {"AZURE": "AccountName=shop;AccountKey=hunter2hunter2hunter2=="},
        {"HEADER": "Authorization: Bearer hunter2hunter2hunter2"},
        {"HOOK": "https://hooks.slack.com/services/T0/B0/hunter2"},
    ],
)
def test_secret_values_are_taken_from_variables_of_airflow(project, tmp_path, variables):
    options = AirflowOptions(settings={"sl_env_var": json.dumps(variables)})
    for environment in ENVIRONMENTS:
        export_airflow(project, tmp_path / environment, environment=environment, options=options)
        texts = "".join(contents(tmp_path / environment).values())
        assert "hunter2" not in texts and "{{ var.value." + next(iter(variables)) + " }}" in texts


@pytest.mark.parametrize("environment", ["cloud_run", "dataproc", "fargate"])
def test_operators_wait_in_the_triggerer_unless_an_option_says_otherwise(project, tmp_path, environment):
    for options, wanted in (({}, 1), ({"deferrable": "false"}, 0)):
        folder = tmp_path / str(wanted)
        export_airflow(project, folder, environment=environment, options=AirflowOptions(settings=options))
        texts = contents(folder)
        dags = [text for name, text in texts.items() if name.endswith(".py") and "worker" not in name]
        assert {text.count('"deferrable": True') for text in dags} == {wanted}


def test_the_region_and_the_logs_of_fargate_are_variables(project, tmp_path):
    settings = {"aws_region": "eu-west-1", "awslogs_group": "/ecs/starlake", "awslogs_stream_prefix": "ecs"}
    export_airflow(project, tmp_path, environment="fargate", options=AirflowOptions(settings=settings))
    text = (tmp_path / "starlake_load_network_daily.py").read_text()
    assert """"region_name": "{{ var.value.get('aws_region', 'eu-west-1') }}\"""" in text
    assert """"awslogs_group": "{{ var.value.get('awslogs_group', '/ecs/starlake') }}\"""" in text
    assert 'template_fields = (*EcsRunTaskOperator.template_fields, "region_name")' in text


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_projects_may_have_variables_of_their_own(project, tmp_path, environment):
    settings = {"sl_env_var": json.dumps({"DB_PASSWORD": "x", "PLACE": "{{SL_ROOT}}/x"})}
    options = AirflowOptions(variables_prefix="bakery_", settings=settings)
    waits = StarlakeAutomation(pre_load="imported")
    export_airflow(project, tmp_path, environment=environment, options=options, automation=waits)
    texts = "".join(text for name, text in contents(tmp_path).items() if "worker" not in name)
    names = set(re.findall(r"var\.value\.(?:get\(')?(\w+)", texts))
    assert "bakery_starlake_root" in names and "bakery_DB_PASSWORD" in names
    assert all(name.startswith("bakery_") for name in names), names


def test_a_task_whose_missed_ticks_leave_holes_is_named(tmp_path):
    incremental = task("kpi", "day", "select * from sales.orders where d >= '{{sl_start_date}}'", cron="0 5 * * *")
    whole = task("kpi", "all", "select * from sales.orders", cron="0 5 * * *")
    source = Source(tables_of(table("sales", "orders"), incremental, whole))
    notes = export_airflow(source, tmp_path).notes
    assert [note.partition(":")[0] for note in notes if "leave holes" in note] == ["kpi.day"]
    caught_up = export_airflow(
        source, tmp_path, automation=StarlakeAutomation(schedules=ScheduleSettings(catchup=True))
    )
    assert not [note for note in caught_up.notes if "leave holes" in note]


def test_a_secret_in_any_other_option_is_refused_without_being_shown(project, tmp_path):
    options = AirflowOptions(settings={"SL_STARLAKE_PATH": "https://sl:hunter2@host/starlake"})
    with pytest.raises(ProjectError, match="option SL_STARLAKE_PATH: holds a secret") as error:
        export_airflow(project, tmp_path, options=options)
    assert "hunter2" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_secret_is_refused_with_the_file_and_the_line_of_the_project(tmp_path):
    root = tmp_path / "shop"
    files = {
        "application.sl.yml": "application:\n  connectionRef: db\n  connections:\n    db:\n      type: jdbc\n"
        "      options:\n        url: jdbc:postgresql://db/dwh\n        password: hunter2hunter2\n",
        "load/sales/_config.sl.yml": "load:\n  name: sales\n  metadata:\n    directory: '{{SL_ROOT}}/in'\n",
        "load/sales/orders.sl.yml": "table:\n  name: orders\n  pattern: orders.*.csv\n"
        "  comment: from ftp://shop:geheim@host/orders\n  attributes:\n    - {name: id, type: long}\n",
        "transform/kpi/sums.sql": "select *\n-- hunter2hunter2\nfrom sales.orders\n",
        "transform/kpi/forms.sql": f"select 1 as x\n-- {base64.b64encode(b'sl:hunter2hunter2').decode()}\n",
    }
    for name, text in files.items():
        (root / "metadata" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "metadata" / name).write_text(text)
    with pytest.raises(ProjectError) as error:
        export_airflow(StarlakeProject(root, cache_dir=tmp_path / "cache"), tmp_path / "dags")
    told = str(error.value)
    assert "metadata/load/sales/orders.sl.yml, line 4: holds a secret" in told
    assert "metadata/transform/kpi/sums.sql, line 2: holds a secret" in told
    assert "metadata/transform/kpi/forms.sql, line 2: holds a secret" in told, "in base64, as logs hide it"
    assert "hunter2" not in told and "geheim" not in told


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("sums.sql", "/* CREATE SECRET (TYPE S3, KEY_ID 'k', SECRET 'x1y2z3') */ select 1 as k"),
        ("sums.sql", "select 'AKIAIOSFODNN7EXAMPLE' as k"),
        ("sums.sql", "select 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl' as k"),
        ("sums.sql", "select 'Authorization: Bearer abcdefgh' as k"),
        ("sums.sl.yml", "  tags: [api_token:x1y2z3]"),
    ],
)
def test_a_secret_in_sql_or_a_tag_reaches_no_file(tmp_path, file, line):
    files = {
        "application.sl.yml": "application:\n  connectionRef: db\n  connections:\n    db:\n      type: jdbc\n"
        "      options:\n        url: jdbc:duckdb:db\n",
        "transform/kpi/sums.sl.yml": "task:\n  name: sums\n",
        "transform/kpi/sums.sql": "",
    }
    files[f"transform/kpi/{file}"] += f"{line}\n"
    files["transform/kpi/sums.sql"] = files["transform/kpi/sums.sql"] or "select 1 as k"
    for path, text in files.items():
        (tmp_path / "metadata" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "metadata" / path).write_text(text)
    with pytest.raises(ProjectError, match=f"metadata/transform/kpi/{file}, line .: holds a secret"):
        export_airflow(StarlakeProject(tmp_path, cache_dir=tmp_path / "cache"), tmp_path / "dags")
    assert not (tmp_path / "dags").exists()


def test_pools_of_the_installation_are_used_as_they_are(tmp_path):
    jobs = JobSettings(pool="default_pool")
    for engine, pools in (("duckdb", {"starlake_duckdb": {"description": "Starlake", "slots": 1}}), ("postgresql", {})):
        folder = tmp_path / engine
        url = {"url": f"jdbc:{engine}:{{{{SL_ROOT}}}}/datasets/shop.db"}
        known = {"connection_ref": "db", "connections": {"db": Connection(name="db", type="jdbc", options=url)}}
        model = tables_of(table("sales", "orders"), task("kpi", "sums", "select * from sales.orders"))
        source = Source(model.model_copy(update={"application": model.application.model_copy(update=known)}))
        report = export_airflow(source, folder, automation=StarlakeAutomation(jobs=jobs))
        assert json.loads((folder / "pools.json").read_text()) == pools
        used = {dag.default_args.get("pool") for dag in report.plan.dags}
        assert used == ({"starlake_duckdb"} if pools else {"default_pool"})
    notes = export_airflow(source, folder, automation=StarlakeAutomation(jobs=JobSettings(pool="mine"))).notes
    assert any(note.startswith("pool mine of") and "create it in Airflow" in note for note in notes)
    assert configured_pool(Job("sales", (), options={"default_dag_args": '{"pool": "mine"}'}), {}) == "mine"


def test_slots_of_pools_are_deprecated():
    with pytest.warns(DeprecationWarning, match="pool_slots"):
        AirflowOptions(pool_slots=4)


@pytest.mark.parametrize("ids", ["starlake", "asset"])
def test_names_in_any_script_have_ids_and_files(tmp_path, ids):
    names = ["注文", "顧客", "заказы", "טבלה", "orders"]
    source = Source(tables_of(*(table("販売", name) for name in names), task("指標", "集計", "select 1 as x")))
    report = export_airflow(source, tmp_path, ids=ids, split="table")
    assert len(report.plan.dags) == 6
    assert all(path.name.isascii() for path in tmp_path.iterdir())
    tasks = [task for dag in report.plan.dags for task in dag.tasks if task.outlets]
    assert len({task.id for task in tasks}) == 6 and any("注文" in task.id for task in tasks)
    assert all(uri.isascii() for task in tasks for uri in task.outlets)
    for path in tmp_path.glob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.parametrize("ids", ["starlake", "asset"])
def test_names_with_accents_keep_them_and_stay_different(tmp_path, ids):
    names = ["été", "àtà", "ete", "Straße", "oe"]
    source = Source(tables_of(*(table(domain, "t") for domain in names), task("kpi", "année", "select 1 as x")))
    report = export_airflow(source, tmp_path, ids=ids)
    tasks = [task for dag in report.plan.dags for task in dag.tasks if task.outlets]
    assert len({task.id for task in tasks}) == 6 and len({uri for task in tasks for uri in task.outlets}) == 6
    assert any("été" in task.id for task in tasks) and any("année" in task.id for task in tasks)
    assert all(uri.isascii() for task in tasks for uri in task.outlets), "Airflow 2 rejects other URIs"
    dags = {dag.id for dag in report.plan.dags}
    assert len(dags) == 6 and all(one.isascii() for one in dags) and not any(re.search(r"_\d$", one) for one in dags)
    without = Source(tables_of(*(table(domain, "t") for domain in names[1:])))
    kept = {dag.id for dag in export_airflow(without, tmp_path / "less", ids=ids).plan.dags}
    assert kept < dags, "an id does not depend on the other names"
    assert [one for one in report.notes if "starlake-airflow replaces letters" in one] == (
        [
            "datasets of Straße.t, kpi.année, àtà.t, été.t: starlake-airflow replaces letters that are not ASCII in "
            "their names. If a DAG of yours waits for such a dataset of starlake-airflow, export with --ids "
            "starlake-airflow"
        ]
        if ids == "starlake"
        else []
    )


def test_names_that_differ_only_in_characters_that_airflow_rejects_have_different_ids(tmp_path):
    names = ["a b", "a_b", "a$b", "aSb", "cafe\u0301", "café"]
    source = Source(tables_of(*(table("sales", name) for name in names)))
    with pytest.raises(ProjectError) as caught:
        export_airflow(source, tmp_path)
    assert str(caught.value).count("Next: use --ids asset, or rename one.") == 1, "the advice is not repeated"
    plan = export_airflow(source, tmp_path, ids="asset").plan
    ids = {task.id for dag in plan.dags for task in dag.tasks if task.outlets}
    assert len(ids) == len(names) and {"sales__a_b", "sales__aSb", "sales__café"} <= ids
    assert all(re.fullmatch(r"[\w-]+", one) for one in ids), "ids and groups of Airflow"


def test_check_says_which_files_are_stale(project, tmp_path):
    done = command(str(EXAMPLE), "--out", str(tmp_path), "--env", "DUCKDB", "--check")
    assert done.returncode == 1
    assert "stale: starlake_load_starbake_daily.py" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_options_and_knows_their_names(tmp_path):
    wrong = command(str(EXAMPLE), "--out", str(tmp_path), "--option", "retris=3")
    assert wrong.returncode == 2 and "`retries`" in wrong.stderr
    done = command(str(EXAMPLE), "--out", str(tmp_path), "--option", "retries=3", "--select", "domain:kpi")
    assert done.returncode == 0
    assert '"retries": 3' in (tmp_path / "starlake_transform_kpi_weekly.py").read_text()


# --------------------------------------------------------------------------------------------- what it is made of


def test_a_task_runs_with_what_it_follows_alone_and_waits_for_the_rest_by_assets(project, tmp_path):
    automation = StarlakeAutomation(lineage=LineageSettings(strategy="all", optional_dataset_enabled=False))
    plan = export_airflow(project, tmp_path, automation=automation).plan
    dags = {dag.id: dag for dag in plan.dags}
    follows = {task.id: task for task in dags["starlake_transform_customers"].tasks}
    assert dags["starlake_transform_customers"].schedule.operator == "|"
    value = follows["Customers_CustomerLifeTimeValue_task"]
    assert value.follows == AssetExpression("&", ("kpi_order_lines", "starbake_customers"))
    assert value.id in follows["Customers_HighValueCustomers_task"].upstream
    assert dags["starlake_transform_kpi_daily"].tasks[1].upstream == ("kpi_daily_revenue_task",)


def test_loads_and_transforms_of_one_clock_share_a_dag_where_schedules_split(project, tmp_path):
    plan = export_airflow(project, tmp_path, split="schedule").plan
    daily = next(dag for dag in plan.dags if dag.id == "starlake_daily")
    revenue = next(task for task in daily.tasks if task.id == "kpi_daily_revenue_task")
    assert revenue.upstream == ("load_network_stores",)
    assert revenue.trigger_rule == "none_failed"  # no new file holds the figures of the day back


def test_windows_of_scheduled_loads_are_those_of_loads(tmp_path):
    source = Source(
        tables_of(table("sales", "orders", cron="0 5 * * *"), task("kpi", "k", "select 1", cron="0 5 * * *"))
    )
    hooks = {}
    for split in ("domain", "schedule"):
        report = export_airflow(
            source, tmp_path / split, split=split, automation=StarlakeAutomation(pre_load="imported")
        )
        for dag in report.plan.dags:
            read_back = read(tmp_path / split / f"{dag.id}.py")
            default = read_back.given["default_args"]["post_execute"]
            for name, one in read_back.tasks.items():
                hook = one.given.get("post_execute", default)
                hooks.setdefault(name, set()).add(hook.__name__ if hook else None)
    assert hooks["load_sales_orders"] == {"emit_load_window"}
    assert hooks["kpi_k_task"] == {"emit_window"}
    assert hooks["import_sales"] == hooks["check_sales_incoming_files"] == {None, "emit_window"}, "they have no event"


def test_a_dag_is_cut_before_its_page_is_too_large(project, tmp_path):
    plan = export_airflow(project, tmp_path, options=AirflowOptions(max_assets=2)).plan
    assert max(sum(len(task.outlets) for task in dag.tasks) for dag in plan.dags) == 2


def test_a_batch_is_one_load_for_all_tables_of_a_domain(project, tmp_path):
    report = export_airflow(project, tmp_path, granularity="batch")
    assert tasks_of(report)["load_starbake"].argv[-1] in ("Customers,Ingredients,Products", "Orders")


def wide_project(tables: int, tasks: int) -> Source:
    """Tables of one domain, tasks that read two of them each, and tasks above these."""
    loads = [table("src", f"t{i}", cron="0 5 * * *") for i in range(tables)]
    middle = [task("dwh", f"k{i}", "select 1 as x") for i in range(tasks)]
    above = [task("mart", f"m{i}", "select 1 as x") for i in range(tasks // 3)]
    edges = [Edge(f"src.t{2 * i + j}", f"dwh.k{i}") for i in range(tasks) for j in (0, 1)]
    edges += [Edge(f"dwh.k{3 * i + j}", f"mart.m{i}") for i in range(tasks // 3) for j in range(3)]
    return Source(tables_of(*loads, *middle, *above), edges=tuple(edges))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("strategy", "word"), [("any", "|"), ("all", "&")])
def test_tasks_that_follow_different_tables_share_the_dag_of_their_domain(tmp_path, environment, strategy, word):
    automation = StarlakeAutomation(lineage=LineageSettings(strategy=strategy))
    report = export_airflow(wide_project(60, 30), tmp_path, environment=environment, automation=automation)
    dags = {dag.id: dag for dag in report.plan.dags}
    assert set(dags) == {"starlake_load_src_cron_0_5_x_x_x", "starlake_transform_dwh", "starlake_transform_mart"}
    load = dags["starlake_load_src_cron_0_5_x_x_x"]
    assert dags["starlake_transform_dwh"].schedule.parts == ("starlake_load_src_cron_0_5_x_x_x",)
    assert dags["starlake_transform_mart"].schedule.parts == ("starlake_transform_dwh",)
    last = {task.id: task for task in load.tasks if task.kind in ("finish", "end")}
    assert last["finish"].outlets == (load.id,) and len(last["finish"].upstream) == 60
    assert last["end"].trigger_rule == "none_failed", "a load that fails makes the run fail"
    tasks = {task.id: task for task in dags["starlake_transform_dwh"].tasks}
    assert tasks["dwh_k3_task"].follows == AssetExpression(word, ("src_t6", "src_t7"))
    if environment == "dataproc":
        text = (tmp_path / "starlake_transform_dwh.py").read_text()
        assert text.count("DataprocCreateClusterOperator(") == 1


@pytest.mark.parametrize("strategy", ["any", "all"])
def test_a_project_of_500_nodes_is_a_few_files(tmp_path, strategy):
    automation = StarlakeAutomation(lineage=LineageSettings(strategy=strategy))
    export_airflow(wide_project(300, 150), tmp_path, automation=automation)
    files = list(tmp_path.iterdir())
    assert len(files) <= 20
    lines = sum(len(path.read_text().splitlines()) for path in files)
    assert lines < 33_846 / 3, "a third of what it was with a DAG per task"


def test_dags_that_would_start_each_other_in_a_circle_are_cut(tmp_path):
    nodes = [
        table("src", "t", cron="0 5 * * *"),
        *(task(domain, f"x{i}", "select 1 as x") for i in range(2) for domain in "ab"),
    ]
    edges = [Edge("src.t", "a.x0"), Edge("a.x0", "b.x0"), Edge("b.x0", "a.x1"), Edge("a.x1", "b.x1")]
    plan = export_airflow(Source(tables_of(*nodes), edges=tuple(edges)), tmp_path).plan
    assert [plan.node_tasks[node][0] for node in ("a.x0", "b.x0", "a.x1", "b.x1")] == [
        "starlake_transform_a",
        "starlake_transform_b",
        "starlake_transform_a_2",
        "starlake_transform_b_2",
    ]


@pytest.mark.parametrize("environment", ["cloud_run", "fargate", "dataproc"])
def test_a_dag_starts_itself_again_only_where_a_sensor_waits_for_files_of_its_tables(tmp_path, environment):
    automation = StarlakeAutomation(pre_load="imported", schedules=False)
    store = {"fargate": "s3"}.get(environment, "gs")
    for directory, starts in ((f"{store}://files/in/sales", True), ("abfss://files@account/in", False)):
        model = tables_of(table("sales", "orders"), incoming=directory)
        report = export_airflow(Source(model), tmp_path / str(starts), environment=environment, automation=automation)
        (dag,) = report.plan.dags
        text = (tmp_path / str(starts) / f"{dag.id}.py").read_text()
        assert ('schedule="@continuous"' in text) is starts
        assert ("files_in_store" in text) is starts and "?*" not in text
        if not starts:
            assert any("needs a schedule" in note for note in report.notes)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("strategy", ["imported", "pending"])
def test_a_pending_file_that_cannot_be_loaded_does_not_start_runs_for_ever(tmp_path, environment, strategy):
    store = {"fargate": "s3"}.get(environment, "gs")
    model = tables_of(table("sales", "orders"), incoming=f"{store}://files/in/sales")
    model = model.model_copy(
        update={"application": model.application.model_copy(update={"datasets": f"{store}://files/datasets"})}
    )
    automation = StarlakeAutomation(pre_load=strategy, schedules=False)
    report = export_airflow(Source(model), tmp_path, environment=environment, automation=automation)
    (dag,) = report.plan.dags
    text = (tmp_path / f"{dag.id}.py").read_text()
    starts = strategy == "pending" and environment != "kubernetes"  # no sensor there, so a person starts the DAG
    assert ("    max_consecutive_failed_dag_runs=3,\n" in text) is starts
    notes = [note for note in report.notes if "starts the DAG again" in note]
    assert bool(notes) is starts and all(note.startswith("load sales: a file in stage/sales ") for note in notes)


@pytest.mark.parametrize(("strategy", "acks"), [("imported", ["ack", ""]), ("pending", None)])
def test_the_sensor_of_arriving_files_waits_for_the_ack_files_of_tables(tmp_path, strategy, acks):
    acknowledged = table("sales", "orders", metadata=Metadata(ack=".ack"))
    source = Source(tables_of(acknowledged, table("sales", "returns"), incoming="gs://files/in/sales"))
    waits = {"strategy": strategy, "pending_path": "gs://files/pending"}
    automation = StarlakeAutomation(pre_load=waits, schedules=False)
    export_airflow(source, tmp_path, environment="cloud_run", automation=automation)
    (path,) = tmp_path.glob("*_load_*.py")
    sensor = read(path).tasks["check_sales_incoming_files" if acks else "check_sales_pending_files"]
    assert sensor.given["op_kwargs"].get("acks") == acks


def test_what_airflow_cannot_say_is_told_by_name(project, tmp_path):
    notes = "\n".join(export_airflow(project, tmp_path, environment="fargate").notes)
    assert "kpi.daily_revenue: starts by `0 5 * * *`; it does not wait for kpi.order_lines, reference.Shops" in notes
    assert "expectations of Customers.CustomerLifeTimeValue" in notes
    assert "Airflow cannot list their files, unless the variable starlake_root is" in notes


def test_a_translator_renames_groups_and_adds_what_is_not_of_the_project(project, tmp_path):
    class Mine(StarlakeTranslator):
        def get_asset_key(self, node):
            return super().get_asset_key(node).with_prefix("shop")

        def get_group_name(self, node):
            return "figures" if node.domain == "kpi" else super().get_group_name(node)

        def get_extra_deps(self, node):
            return [dg.AssetDep(dg.AssetKey(["crm", "calls"]))] if node.id == "kpi.daily_revenue" else []

    report = export_airflow(project, tmp_path, ids="asset", translator=Mine())
    task = tasks_of(report)["shop__kpi__daily_revenue"]
    assert task.outlets == ("x-starlake://shop/kpi/daily_revenue",)
    assert "x-starlake://crm/calls" in task.inlets
    assert "x-starlake://crm/calls" in report.plan.external
    assert any("kpi.daily_revenue: this project does not produce crm/calls" in note for note in report.notes)
    assert "starlake_transform_figures_daily.py" in report.written


def test_the_map_and_the_pools_are_written_beside(project, tmp_path):
    export_airflow(project, tmp_path)
    assets = json.loads((tmp_path / "asset_map.json").read_text())["assets"]
    assert assets["starbake.Orders"] == {
        "dag_id": "starlake_load_starbake_hourly",
        "task_id": "load_starbake_Orders",
        "uri": "starbake_orders",
    }
    assert json.loads((tmp_path / "pools.json").read_text()) == {
        "starlake_duckdb": {"description": "Starlake", "slots": 1}
    }


# --------------------------------------------------------------------------------------------------- any text


@given(st.text())
def test_any_text_is_a_literal_that_python_and_jinja_read_back(text):
    assert ast.literal_eval(python_literal(text)) == text
    assert ast.literal_eval(text_block(text)) == text
    plain = text.replace("\r", "")
    engine = Environment(keep_trailing_newline=True)
    assert engine.from_string(jinja(plain)).render() == plain
    assert engine.from_string(jinja(plain) + "{{ 1 }}").render() == plain + "1"
    assert engine.from_string("{{ " + jinja_text(text) + " }}").render() == text


def test_the_command_tells_a_machine_what_it_wrote(tmp_path):
    first = json.loads(command(str(EXAMPLE), "--env", "DUCKDB", "--out", str(tmp_path / "dags"), "--json").stdout)
    assert set(first["written"]) == {path.name for path in (tmp_path / "dags").iterdir()}
    assert first["dags"] == len(list((tmp_path / "dags").glob("*.py"))) - 1 and first["notes"]
    (tmp_path / "dags" / first["written"][0]).unlink()
    checked = command(str(EXAMPLE), "--env", "DUCKDB", "--out", str(tmp_path / "dags"), "--json", "--check")
    assert checked.returncode == 1
    assert json.loads(checked.stdout)["stale"] == first["written"][:1]
