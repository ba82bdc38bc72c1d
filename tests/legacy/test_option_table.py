"""Every row of the table "Options" in docs/migration.md has a check here: of its effect, or of none."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeShell
from starlake_dagster_assets.automation.file_arrivals.paths import ack_path
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Triggers
from starlake_dagster_assets.automation.policies.options import task_options
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate
from tests.automation.conftest import dag, project, table, task
from tests.legacy.test_docs import PAGE

SECTION = PAGE.split("## Options")[1].split("## Reference")[0]
ROWS = [
    cells
    for line in SECTION.splitlines()
    if re.match(r"\| (other )?`", line)
    for cells in [line.strip("|").split(" | ")]
]
BASE = {"pre_load_strategy": "imported"}


def source(**options: str) -> Any:
    tables = [table("a", "daily", dag="d"), table("b", dag="d"), table("c", dag="d", freshness=None)]
    tasks = [task("x", ["sales.a", "sales.b"], dag="d"), task("y", ["kpi.x"], "daily", dag="d")]
    return project(tables, tasks, [dag("d", **options)])


def triggers(**options: str) -> Triggers:
    return build_triggers(source(**options), StarlakeAutomation())


def of(node: str, **options: str) -> Any:
    return triggers(**options).triggers[node]


def job(node: str, **options: str) -> Any:
    found = triggers(**options)
    return found.jobs[found.triggers[node].job]


def pre_load(**options: str) -> Any:
    return of("sales.b", **{**BASE, **options}).preload


def without_effect(*names: str) -> Callable[[], bool]:
    """Options that are accepted and change nothing but the options of the job themselves."""

    def check() -> bool:
        bare, given = triggers(**BASE), triggers(**BASE, **dict.fromkeys(names, "1"))
        return given.problems == () and given.triggers == bare.triggers

    return check


def ack() -> bool:
    here = source(pre_load_strategy="ack", global_ack_file_path="/acks/{domain}/{{{{ds}}}}.ack")
    one = build_triggers(here, StarlakeAutomation()).triggers["sales.b"].preload
    (domain,) = here.model.domains
    return one is not None and ack_path(one, here.model, domain, datetime(2026, 11, 29)) == "/acks/sales/2026-11-29.ack"


def dates() -> bool:
    clock = of("sales.a", start_date="2026-01-01", end_date="2026-12-31", catchup="True").cron_schedule
    return (clock.start, clock.end, clock.catchup) == (datetime(2026, 1, 1), datetime(2026, 12, 31), True)


def strategies() -> bool:
    kinds = {
        text: of("kpi.x", dataset_triggering_strategy=text).upstream_condition.condition
        for text in ("any", "all", "a & b")
    }
    return [type(one) for one in kinds.values()] == [AnyOf, AllOf, AllOf]


def cycles() -> bool:
    watch = of("kpi.x", data_cycle="daily", beyond_data_cycle_enabled="false").upstream_condition
    off = of("kpi.x", data_cycle="daily", data_cycle_enabled="false").upstream_condition
    slower = [
        of("kpi.x", optional_dataset_enabled=text, data_cycle="hourly").upstream_condition.slower
        for text in ("true", "false")
    ]
    return (watch.data_cycle, watch.beyond_data_cycle, off.data_cycle, bool(slower[0]), bool(slower[1])) == (
        "0 0 * * *", False, None, True, False,
    )  # fmt: skip


def dependencies() -> bool:
    jobs = [job("kpi.x", **{name: "True"}).nodes for name in ("run_dependencies_first", "load_dependencies")]
    return jobs[0] == jobs[1] and "sales.b" in jobs[0]


def of_the_job() -> bool:
    found = job("sales.b", tags="x y", default_pool="p", max_active_runs="2", priority_weight="7")
    return (found.tags, found.pool, found.max_active_runs, found.priority) == (("x", "y"), "p", 2, 7)


def of_one_transform() -> bool:
    here = source(**{"kpi.x": '{"options": "k=v"}'})
    return task_options(here.model, here.graph.nodes["kpi.x"]) == {"k": "v"}


def shell(**options: Any) -> Any:
    return StarlakeShell.from_options(options)


def dataproc(**options: Any) -> Any:
    given = {"dataproc_project_id": "p", "dataproc_region": "r", "spark_bucket": "gs://b", "cluster_id": "c"}
    given |= {"spark_jar_list": "gs://b/a.jar"}
    return StarlakeDataproc.from_options({**given, **options}, root="gs://b/root")


def cluster() -> bool:
    options = {
        "dataproc_project_id": "p",
        "dataproc_region": "r",
        "spark_bucket": "gs://b",
        "dataproc_num_workers": "3",
    }
    made = StarlakeDataproc.from_options({**options, "spark_jar_list": "gs://b/a.jar"}, root="gs://b/root")
    return made.ephemeral is not None and made.ephemeral.num_workers == 3


def sparks() -> bool:
    found = dataproc(spark_job_main_class="m", spark_executor_memory="4g", spark_executor_cores="2")
    return (found.bucket, found.main_class, found.executor_memory, found.executor_cores) == ("gs://b", "m", "4g", 2)


def cloud_run() -> bool:
    both = []
    for region in ("cloud_run_region", "cloud_run_job_region"):
        options = {"cloud_run_project_id": "p", "cloud_run_job_name": "j", "cloud_run_service_account": "s"}
        found = StarlakeCloudRun.from_options({**options, region: "r"}, root="gs://b/root")
        both.append((found.project, found.job, found.region, found.impersonate))
    return both == [("p", "j", "r", "s")] * 2


def fargate() -> bool:
    texts = ("s-1,s-2", '["s-1", "s-2"]')
    options = {"aws_cluster_name": "c", "aws_region": "r", "aws_task_definition_name": "t", "cpu": "1024"}
    options |= {"aws_task_definition_container_name": "n", "memory": "2048"}
    found = [
        StarlakeFargate.from_options({**options, "aws_task_private_subnets": text}, root="s3://b/root")
        for text in texts
    ]
    return [list(one.subnets) for one in found] == [["s-1", "s-2"]] * 2


def dataproc_fields() -> bool:
    found = dataproc(dataproc_job_wait_timeout="60")
    return (found.project, found.region, found.timeout) == ("p", "r", 60)


CHECKS: dict[str, Callable[[], object]] = {
    "sl_env_var": lambda: shell(sl_env_var='{"SL_ENV": "X"}').env == {"SL_ENV": "X"},
    "sl_include_env_vars": lambda: shell(sl_include_env_vars="A,B").include_env_vars == ["A", "B"],
    "SL_STARLAKE_PATH": lambda: shell(SL_STARLAKE_PATH="/opt/starlake").starlake == "/opt/starlake",
    "pre_load_strategy": lambda: (
        pre_load(pre_load_strategy="pending", pending_path="/p").pending_path == "/p"
        and pre_load(incoming_path="/i").incoming_path == "/i"
    ),
    "global_ack_file_path": ack,
    "ack_wait_timeout": lambda: (
        pre_load(ack_wait_timeout="60").ack_wait_timeout == 60 and without_effect("pre_load_timeout")()
    ),
    "pre_load_sensor": without_effect("pre_load_sensor"),
    "pre_load_poke_interval": lambda: (
        pre_load(pre_load_poke_interval="9").poke_interval == 9
        and pre_load(pre_load_sensor_soft_fail="false").soft_fail is False
    ),
    "pre_load_not_ready_sentinel_path": without_effect("pre_load_not_ready_sentinel_path"),
    "retries": lambda: (
        (job("sales.b", retries="0", retry_delay="7").retries, job("sales.b", retry_delay="7").retry_delay) == (0, 7)
        and without_effect("retry_on_failure", "retry_delay_in_seconds")()
    ),
    "aws_conn_id": without_effect(
        "aws_conn_id", "gcp_conn_id", "google_cloud_conn_id", "use_gcloud", "deferrable", "impersonation_chain"
    ),
    "sl_schedule_parameter_name": without_effect("sl_schedule_parameter_name", "sl_schedule_format"),
    "timezone": lambda: (
        of("sales.a", timezone="Asia/Tokyo", SL_TIMEZONE="Europe/Paris").cron_schedule.timezone == "Asia/Tokyo"
        and of("sales.a", SL_TIMEZONE="Europe/Paris").cron_schedule.timezone == "Europe/Paris"
    ),
    "start_date": dates,
    "dataset_triggering_strategy": strategies,
    "data_cycle": cycles,
    "min_timedelta_between_runs": lambda: (
        of("kpi.x", min_timedelta_between_runs="60").upstream_condition.min_interval == 60
    ),
    "run_dependencies_first": dependencies,
    "tags": of_the_job,
    "<domain.task>": of_one_transform,
    "cron_period_frequency": without_effect("cron_period_frequency", "default_dag_args"),
    "cluster_id": lambda: dataproc().cluster == "c" and without_effect("cluster_config_name")(),
    "spark_jar_list": lambda: sparks() and without_effect("spark_config_name")(),
    "dataproc_project_id": dataproc_fields,
    "dataproc_*": cluster,
    "cloud_run_project_id": cloud_run,
    "aws_cluster_name": fargate,
    "awslogs_*": without_effect("awslogs_group", "awslogs_stream_prefix", "awslogs_region"),
    "cloud_run_async*": without_effect("cloud_run_async", "cloud_run_async_poke_interval", "fargate_async"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda cells: SimpleNamespace(name=cells[0].strip()).name[:30])
def test_each_row_says_what_the_option_does(row: list[str]) -> None:
    names = re.findall(r"`\"?([\w.*<>]+)\"?", row[0])
    assert CHECKS[names[0]](), row


def test_each_check_has_a_row() -> None:
    assert CHECKS.keys() == {re.findall(r"`\"?([\w.*<>]+)\"?", row[0])[0] for row in ROWS}
