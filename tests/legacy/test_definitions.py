"""DAG files as Dagster definitions: the examples of starlake-dagster run as assets, by program and by engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeShell,
    definitions_from_dag_context,
)
from starlake_dagster_assets.automation import build_triggers
from starlake_dagster_assets.automation.policies.lineage_evaluation import condition_nodes
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Upstream
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.legacy.dag_file_reader import read_dag_files
from starlake_dagster_assets.legacy.literals import read_dag_context
from starlake_dagster_assets.legacy.project import DagProject
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate
from tests.fakes.script import Scripted
from tests.legacy import generated
from tests.legacy.conftest import EXAMPLE

TABLES = ["Customers", "Ingredients", "Orders", "Products"]
SCHEDULES = [
    {
        "schedule": "None",
        "cron": "0 0 * * *",
        "domains": [
            {
                "name": "starbake",
                "final_name": "starbake",
                "tables": [{"name": name, "final_name": name} for name in TABLES],
            }
        ],
    }
]
TASK_DEPS = """[ {
  "data" : { "name" : "Customers.HighValueCustomers", "typ" : "task", "parent" : "Customers.CustomerLifeTimeValue",
             "parentTyp" : "task", "sink" : "Customers.HighValueCustomers" },
  "children" : [ {
    "data" : { "name" : "Customers.CustomerLifeTimeValue", "typ" : "task", "sink" : "Customers.CustomerLifeTimeValue" },
    "children" : [
      { "data" : { "name" : "starbake.Customers", "typ" : "table", "parentTyp" : "unknown" }, "task" : false },
      { "data" : { "name" : "starbake.Orders", "typ" : "table", "parentTyp" : "unknown" }, "task" : false }
    ],
    "task" : true
  } ],
  "task" : true
} ]"""
"""The example that starlake-dagster's README gives."""


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    made = Scripted(tmp_path / "scripted")
    for area in ("incoming", "stage"):
        folder = tmp_path / "starbake" / "datasets" / area / "starbake"
        folder.mkdir(parents=True)
        for table in TABLES:
            (folder / f"{table}_1.csv").write_text("id\n1\n")
    return made


@pytest.fixture
def options(scripted: Scripted, tmp_path: Path) -> Mapping[str, Any]:
    """Of both examples, with a secret among the variables."""
    variables = {"SL_ROOT": str(tmp_path / "starbake"), "PGPASSWORD": "hunter22", **scripted.environ}
    return {"sl_env_var": json.dumps(variables), "retry_delay": "10", "SL_STARLAKE_PATH": str(scripted.path)}


def run(defs: dg.Definitions, job: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    found = defs.get_repository_def().get_job(job)
    return found.execute_in_process(instance=instance, raise_on_error=False)


def made(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def jobs(defs: dg.Definitions) -> set[str]:
    return {job.name for job in defs.jobs or ()}


# ------------------------------------------------------------------------ the README's examples, by the program


def test_the_load_example_runs_as_assets(scripted: Scripted, options: Any, instance: dg.DagsterInstance) -> None:
    imported = {**options, "pre_load_strategy": "imported"}
    defs = definitions_from_dag_context(schedules=SCHEDULES, options=imported, file="/dags/Starbake.py")
    result = run(defs, "starbake", instance)
    assert result.success
    assert sorted(made(result)) == [f"starbake/{table}" for table in TABLES]
    tables = ",".join(TABLES)
    assert [call.argv for call in scripted.calls()] == [
        ("stage", "--domains", "starbake", "--tables", tables),
        ("load", "--domains", "starbake", "--tables", tables),
    ]


def test_the_transform_example_runs_as_assets(scripted: Scripted, options: Any, instance: dg.DagsterInstance) -> None:
    defs = definitions_from_dag_context(task_deps=TASK_DEPS, options=options, cron="None", file="high_value.py")
    result = run(defs, "high_value", instance)
    assert made(result) == ["Customers/HighValueCustomers"]
    assert [call.argv for call in scripted.calls()] == [("transform", "--name", "Customers.HighValueCustomers")]


@pytest.mark.parametrize("name", ["load_dependencies", "run_dependencies_first"])
def test_dependencies_that_run_first_are_in_the_same_job(
    scripted: Scripted, options: Any, instance: dg.DagsterInstance, name: str
) -> None:
    defs = definitions_from_dag_context(task_deps=TASK_DEPS, options={**options, name: "True"}, file="high_value.py")
    result = run(defs, "high_value", instance)
    assert made(result) == [
        "starbake/Customers",
        "starbake/Orders",
        "Customers/CustomerLifeTimeValue",
        "Customers/HighValueCustomers",
    ]
    assert not defs.sensors


def test_secrets_are_in_the_environment_and_nowhere_else(
    scripted: Scripted, options: Any, instance: dg.DagsterInstance
) -> None:
    defs = definitions_from_dag_context(schedules=SCHEDULES, options=options, file="starbake.py")
    result = run(defs, "starbake", instance)
    for call in scripted.calls():
        assert "PGPASSWORD" in call.names and "hunter22" not in " ".join(call.argv)
    assert "hunter22" not in "".join(str(entry) for entry in instance.all_logs(result.run_id))


def test_a_crash_is_a_failed_run_and_no_file_is_no_materialization(
    scripted: Scripted, options: Any, instance: dg.DagsterInstance
) -> None:
    scripted.tables({"starbake.Customers": {"do": "nothing"}, "starbake.Orders": {"do": "fail"}})
    defs = definitions_from_dag_context(schedules=SCHEDULES, options=options, file="starbake.py")
    result = run(defs, "starbake", instance)
    assert not result.success
    assert sorted(made(result)) == ["starbake/Ingredients", "starbake/Products"]


def test_no_phantom_keys_are_recorded(scripted: Scripted, options: Any, instance: dg.DagsterInstance) -> None:
    defs = definitions_from_dag_context(schedules=SCHEDULES, options=options, file="starbake.py")
    for _ in range(2):
        run(defs, "starbake", instance)
    keys = {key.to_user_string() for key in instance.all_asset_keys()}
    assert keys == {f"starbake/{table}" for table in TABLES}


def test_variables_of_one_transform(scripted: Scripted, options: Any, instance: dg.DagsterInstance) -> None:
    extra = {"Customers.HighValueCustomers": {"options": "country=FR,rule=a=b"}}
    defs = definitions_from_dag_context(task_deps=TASK_DEPS, options=options, jobs=extra, file="x.py")
    run(defs, "x", instance)
    (call,) = scripted.calls("transform")
    assert call.argv[-2:] == ("--options", "country=FR,rule=a=b")


# --------------------------------------------------------------------- the example project, by the embedded engine


@pytest.fixture
def bakery(tmp_path: Path) -> StarlakeProject:
    """The example project with the files of its first day."""
    root = tmp_path / "starbake"
    shutil.copytree(EXAMPLE / "starbake", root, ignore=shutil.ignore_patterns("datasets"))
    shutil.copytree(EXAMPLE / "deliveries" / "day1", root / "datasets" / "incoming")
    return StarlakeProject(root, env="DUCKDB", cache_dir=tmp_path / "cache")


@pytest.fixture
def dags(tmp_path: Path, starbake: StarlakeProject) -> Path:
    """Files of the example project: all its tables by schedule, one file a transform domain, old and new ones."""
    folder = tmp_path / "dags"
    folder.mkdir()
    tables = [table.id for table in starbake.model.tables]
    (folder / "loads.py").write_text(generated.new_load(generated.schedules(starbake.graph, tables)))
    for number, domain in enumerate(starbake.model.transforms):
        trees = generated.trees(starbake.graph, [task.id for task in domain.tasks], old=number == 0)
        render = generated.old_transform if number == 0 else generated.new_transform
        (folder / f"{domain.name}.py").write_text(render(trees))
    return folder


def test_a_directory_of_files_is_the_whole_project(
    bakery: StarlakeProject, dags: Path, instance: dg.DagsterInstance
) -> None:
    defs = definitions_from_dag_context(dags, project=bakery, starlake=StarlakeDuckDB())
    loads = [run(defs, job, instance) for job in sorted(jobs(defs)) if job.startswith("loads_")]
    assert {key for one in loads for key in made(one)} == {table.id.replace(".", "/") for table in bakery.model.tables}
    event = loads[0].get_asset_materialization_events()[0]
    assert event.materialization.metadata["dagster/row_count"].value
    assert any(one.get_asset_check_evaluations() for one in loads)
    assert "customers" in jobs(defs)
    done = run(defs, "__ASSET_JOB", instance)
    assert done.success and {task.id.replace(".", "/") for task in bakery.model.tasks} <= set(made(done))


def test_what_the_files_do_not_name_is_left_to_others(bakery: StarlakeProject) -> None:
    defs = definitions_from_dag_context(task_deps=TASK_DEPS, project=bakery, starlake=StarlakeDuckDB(), file="x.py")
    graph = defs.get_repository_def().asset_graph
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == {"Customers/HighValueCustomers"}
    assert graph.get(dg.AssetKey(["Customers", "HighValueCustomers"])).parent_keys == {
        dg.AssetKey(["Customers", "CustomerLifeTimeValue"])
    }


# --------------------------------------------------------------------------------------- what starts, and with what


def tick(defs: dg.Definitions, instance: dg.DagsterInstance) -> dg.RunRequest:
    """The run that the one sensor asks for."""
    (sensor,) = defs.sensors or ()
    repository = defs.get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository, sensor_name=sensor.name)
    result = sensor.evaluate_tick(context)
    assert result.run_requests, result.skip_message
    return result.run_requests[0]


@pytest.mark.parametrize("strategy", ["imported", "pending", "ack"])
def test_without_the_project_files_are_waited_for_by_domain(
    scripted: Scripted, options: Any, instance: dg.DagsterInstance, tmp_path: Path, strategy: str
) -> None:
    said = {"pre_load_strategy": strategy, "stable_for": "0", "global_ack_file_path": f"{tmp_path}/{{domain}}.ack"}
    (tmp_path / "starbake.ack").write_text("")
    loads = [{**SCHEDULES[0], "cron": None}]
    defs = definitions_from_dag_context(schedules=loads, options={**options, **said}, file="starbake.py")
    request = tick(defs, instance)
    job = defs.get_repository_def().get_job("starbake")
    result = job.execute_in_process(instance=instance, asset_selection=request.asset_selection, tags=request.tags)
    assert sorted(made(result)) == [f"starbake/{table}" for table in TABLES]
    assert [call.argv[0] for call in scripted.calls()] == (["stage"] if strategy == "imported" else []) + ["load"]


def test_a_tick_runs_the_file_with_its_data_interval(
    scripted: Scripted, options: Any, instance: dg.DagsterInstance
) -> None:
    zone = {"SL_TIMEZONE": "Europe/Paris"}
    defs = definitions_from_dag_context(
        task_deps=TASK_DEPS, options={**options, **zone}, cron="0 6 * * *", file="values.py"
    )
    (schedule,) = defs.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "Europe/Paris")
    at = datetime(2026, 3, 2, 6, tzinfo=ZoneInfo("Europe/Paris"))
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
    )
    (request,) = schedule.evaluate_tick(context).run_requests or ()
    job = defs.get_repository_def().get_job("values")
    job.execute_in_process(instance=instance, tags=request.tags, asset_selection=request.asset_selection)
    (call,) = scripted.calls("transform")
    assert call.argv[3:5] == ("--scheduledDate", "2026-03-02T05:00:00+0000")
    assert "sl_start_date=2026-03-01T06:00:00,sl_end_date=2026-03-02T06:00:00" in call.argv[-1]


# ------------------------------------------------------------------------------------------------- triggers


def triggers(*contexts: Any, **settings: Any) -> Any:
    return build_triggers(DagProject(contexts, root="/starbake"), StarlakeAutomation.from_options(settings))


def test_a_cron_of_a_file_owns_its_nodes_and_the_others_watch_what_they_read() -> None:
    found = triggers(
        read_dag_context("loads", schedules=SCHEDULES, options={"SL_TIMEZONE": "Europe/Paris"}),
        read_dag_context("values", dependencies=TASK_DEPS, options={"dataset_triggering_strategy": "all"}),
    )
    orders, values = found.triggers["starbake.Orders"], found.triggers["Customers.HighValueCustomers"]
    assert (orders.triggered_by, orders.job, orders.cron_schedule.cron) == ("schedule", "loads", "0 0 * * *")
    assert orders.cron_schedule.timezone == "Europe/Paris"
    assert (values.triggered_by, values.job) == ("lineage", "values")
    assert condition_nodes(values.upstream_condition.condition) == ("Customers.CustomerLifeTimeValue",)


@pytest.mark.parametrize(
    ("strategy", "condition"),
    [
        ("any", AnyOf((Upstream("s.a"), Upstream("s.b"), Upstream("s.c")))),
        ("all", AllOf((Upstream("s.a"), Upstream("s.b"), Upstream("s.c")))),
        ("s.a & (s.b | s.c)", AllOf((Upstream("s.a"), AnyOf((Upstream("s.b"), Upstream("s.c")))))),
    ],
)
def test_a_triggering_expression_means_what_it_says(strategy: str, condition: Any) -> None:
    children = [{"data": {"name": f"s.{name}", "typ": "table"}} for name in "abc"]
    tree = [{"data": {"name": "kpi.x", "typ": "task"}, "children": children}]
    context = read_dag_context("x", dependencies=tree, options={"dataset_triggering_strategy": strategy})
    assert triggers(context).triggers["kpi.x"].upstream_condition.condition == condition


def test_a_triggering_expression_that_means_nothing_is_not_silently_any() -> None:
    tree = [{"data": {"name": "kpi.x", "typ": "task"}, "children": [{"data": {"name": "s.a", "typ": "table"}}]}]
    context = read_dag_context("x", dependencies=tree, options={"dataset_triggering_strategy": "s.a && s.b"})
    with pytest.raises(ProjectError, match="dataset_triggering_strategy"):
        triggers(context)


def test_an_option_that_nobody_knows_is_told_with_the_nearest() -> None:
    context = read_dag_context("x", schedules=SCHEDULES, options={"pre_load_stategy": "ack"})
    (warning,) = triggers(context).warnings
    assert "`pre_load_stategy`" in warning and "`pre_load_strategy`" in warning


def test_nothing_starts_by_itself_until_it_is_switched_on(options: Any) -> None:
    defs = definitions_from_dag_context(task_deps=TASK_DEPS, options=options, file="x.py")
    (sensor,) = defs.sensors or ()
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    on = definitions_from_dag_context(
        task_deps=TASK_DEPS, options=options, file="x.py", automation=StarlakeAutomation(status="RUNNING")
    )
    assert [one.default_status for one in on.sensors or ()] == [dg.DefaultSensorStatus.RUNNING]


# ------------------------------------------------------------------------------------------ where Starlake runs

ENVIRONMENTS = {
    "shell": ({"SL_STARLAKE_PATH": "/opt/starlake"}, StarlakeShell),
    "cloud_run": ({"cloud_run_project_id": "p", "cloud_run_job_name": "j"}, StarlakeCloudRun),
    "dataproc": ({"dataproc_project_id": "p", "spark_jar_list": "gs://b/x.jar", "spark_bucket": "b"}, StarlakeDataproc),
    "fargate": (
        {
            "aws_task_definition_name": "d",
            "aws_task_definition_container_name": "c",
            "aws_task_private_subnets": '["subnet-1", "subnet-2"]',
            "aws_cluster_name": "x",
        },
        StarlakeFargate,
    ),
}
VARIABLES = {"sl_env_var": '{"SL_ROOT": "gs://bucket/starbake", "SL_ENV": "PROD"}'}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_options_say_where_starlake_runs(tmp_path: Path, environment: str) -> None:
    said, kind = ENVIRONMENTS[environment]
    text = generated.new_load(SCHEDULES, {**VARIABLES, **said}, environment=environment)
    (tmp_path / "loads.py").write_text(text)
    resource = (definitions_from_dag_context(tmp_path).resources or {})["starlake"]
    assert isinstance(resource, kind)
    root = {} if environment == "shell" else {"SL_ROOT": "gs://bucket/starbake"}  # a process runs in the project
    assert resource.env == {**root, "SL_ENV": "PROD"}
    defs = definitions_from_dag_context(tmp_path, root="gs://bucket/starbake", env="DEV")
    assert (defs.resources or {})["starlake"].env == root, "the argument takes precedence over the files"
    if isinstance(resource, StarlakeFargate):
        assert resource.subnets == ["subnet-1", "subnet-2"]


def test_options_that_are_not_enough_name_those_that_are_missing() -> None:
    with pytest.raises(ProjectError, match=r"loads\.py: options: StarlakeCloudRun: .* `cloud_run_job_name` is missing"):
        definitions_from_dag_context(
            schedules=SCHEDULES, options=VARIABLES, execution_environment="cloud_run", file="loads.py"
        )


def test_files_of_two_environments_or_programs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(generated.new_load(SCHEDULES, VARIABLES, environment="cloud_run"))
    (tmp_path / "b.py").write_text(generated.new_transform(json.loads(TASK_DEPS), VARIABLES))
    with pytest.raises(ProjectError, match=r"2 environments: cloud_run \(.*a\.py\), shell \(.*b\.py\)"):
        definitions_from_dag_context(tmp_path)
    (tmp_path / "a.py").write_text(generated.new_load(SCHEDULES, {**VARIABLES, "SL_STARLAKE_PATH": "/other"}))
    (tmp_path / "b.py").write_text(
        generated.new_transform(json.loads(TASK_DEPS), {**VARIABLES, "SL_STARLAKE_PATH": "/x"})
    )
    with pytest.raises(ProjectError, match=r"b\.py:\d+: options\.SL_STARLAKE_PATH: is another than in .*a\.py"):
        definitions_from_dag_context(tmp_path)
    assert definitions_from_dag_context(tmp_path, starlake=StarlakeShell()).assets


def test_literals_are_needed_and_what_belongs_together_is_told(tmp_path: Path, starbake: StarlakeProject) -> None:
    with pytest.raises(ProjectError, match="no DAG file"):
        definitions_from_dag_context()
    with pytest.raises(ProjectError, match="`root` and `env` are those of `project`"):
        definitions_from_dag_context(schedules=SCHEDULES, project=starbake, root="/x")
    (tmp_path / "a.py").write_text("schedules = []\n")
    with pytest.raises(ProjectError, match="`options` belongs to the literals"):
        definitions_from_dag_context(tmp_path / "a.py", options={})


def test_an_airflow_file_gives_the_same_assets_and_jobs(tmp_path: Path) -> None:
    found = []
    for orchestrator in ("dagster", "airflow"):
        folder = tmp_path / orchestrator
        folder.mkdir()
        (folder / "loads.py").write_text(generated.old_load(SCHEDULES, VARIABLES, orchestrator=orchestrator))
        (folder / "values.py").write_text(
            generated.new_transform(json.loads(TASK_DEPS), VARIABLES, orchestrator=orchestrator)
        )
        source = DagProject(read_dag_files(folder))
        found.append((source.graph.nodes.keys(), source.graph.edges, build_triggers(source).jobs.keys()))
    assert found[0] == found[1] and set(found[0][2]) == {"loads", "values", "transform_Customers"}
