"""Arguments of single tasks, from tags, a translator and DAG configurations."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from starlake_dagster_assets import StarlakeTranslator, export_airflow
from starlake_dagster_assets.errors import ProjectError
from tests.airflow.projects import Source
from tests.airflow.standin import read
from tests.graph.conftest import project, table, task

LOAD, SUMS = "load_sales_orders", "kpi_sums_task"


class Arguments(StarlakeTranslator):
    """A translator that gives arguments to the task `kpi.sums`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments

    def get_airflow_arguments(self, node):
        return self.arguments if node.id == "kpi.sums" else {}


def shop(*tags: str) -> Source:
    return Source(
        project(
            table("sales", "orders", tags=(*tags, "retail"), cron="0 5 * * *"),
            task("kpi", "sums", "select * from sales.orders", tags=("airflow.queue=small",)),
        )
    )


def exported(tmp_path, source: Source, **options: Any) -> dict[str, Any]:
    """The arguments of all tasks, and the imports of all files."""
    report = export_airflow(source, tmp_path, **options)
    found: dict[str, Any] = {"imports": [], "notes": report.notes, "tags": []}
    for dag in report.plan.dags:
        path = tmp_path / f"{dag.id}.py"
        found |= {name: one.given for name, one in read(path).tasks.items()}
        found["tags"] += dag.tags
        found["imports"] += [line for line in path.read_text().splitlines() if "from pendulum.ours" in line]
    return found


def test_tags_and_the_translator_give_arguments(tmp_path):
    executor = '{"KubernetesExecutor": {"request_memory": "8Gi"}}'
    tags = ("airflow.pool=reports", f"airflow.executor_config={executor}", "airflow.retries=4")
    callbacks = {
        "on_failure_callback": "pendulum.ours.alerts:notify",
        "on_retry_callback": ["pendulum.ours.alerts:notify", "pendulum.ours.b:notify"],
    }
    translator = Arguments(queue="large", executor_config="pendulum.ours.pods:BIG", **callbacks)
    found = exported(tmp_path, shop(*tags), translator=translator)
    load, sums = found[LOAD], found[SUMS]
    assert (load["pool"], load["retries"]) == ("reports", 4)
    assert load["executor_config"] == {"KubernetesExecutor": {"request_memory": "8Gi"}}
    assert sums["queue"] == "large", "the translator takes precedence over tags"
    assert found["imports"] == [
        "from pendulum.ours.alerts import notify",
        "from pendulum.ours.b import notify as notify_2",
        "from pendulum.ours.pods import BIG",
    ]
    text = (tmp_path / "starlake_transform_kpi.py").read_text()
    assert "on_failure_callback=notify," in text and "on_retry_callback=[notify, notify_2]," in text
    assert "executor_config=BIG," in text
    assert "queue" not in found["import_sales"] and "pool" not in found["import_sales"]
    assert not [tag for tag in found["tags"] if tag.startswith("airflow.")] and "retail" in found["tags"]
    assert [note for note in found["notes"] if note.startswith("pool reports of sales.orders: create it in Airflow")]
    ast.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bash_command": "rm"}, r"get_airflow_arguments: kpi\.sums: Airflow argument bash_command: the export"),
        ({"on_failure_callback": "notify"}, r"on_failure_callback='notify': expected a function of a module"),
        ({"on_failure_callback": ["a:b", 1]}, "on_failure_callback=.*: expected a function of a module"),
        ({"queue": object()}, "queue=<object.*>: expected a text, number, duration, list or mapping"),
        ({"db_password": "hunter2"}, "`db_password` looks like a secret"),
        (
            {"executor_config": {"KubernetesExecutor": {"env": [{"API_TOKEN": "abc"}]}}},
            "`API_TOKEN` looks like a secret",
        ),
        ({"a-b": 1}, "`a-b`: expected a name such as pool, queue or executor_config"),
    ],
)
def test_arguments_that_cannot_be_written_are_errors(tmp_path, arguments, message):
    with pytest.raises(ProjectError, match=message):
        export_airflow(shop(), tmp_path, translator=Arguments(**arguments))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("nosucharg=1", "`nosucharg` is not an argument of BashOperator"),
        ("max_active_tis_per_dagg=1", "did you mean `max_active_tis_per_dag`"),
        ("priority_weight=high", "priority_weight: expected an integer, found 'high'"),
        ("max_active_tis_per_dag=x", "max_active_tis_per_dag: expected an integer, found 'x'"),
        ('resources={"a":1}', "resources: expected a mapping of cpus, disk, gpus, ram to integers, found {'a': 1}"),
        ("retries=-1", "retries: expected an integer of at least 0, found -1"),
        ("execution_timeout=soon", "execution_timeout: expected a number of seconds, found 'soon'"),
        ("retry_delay=null", "retry_delay: expected a number of seconds, found None"),
        ("depends_on_past=maybe", "depends_on_past: expected true or false, found 'maybe'"),
        ("queue=7", "queue: expected a text, found 7"),
        ("skip_on_exit_code=1", "`skip_on_exit_code` is not supported: a failed command would be skipped"),
        ("trigger_rule=all_done", "trigger_rule: the export writes it itself"),
    ],
)
def test_tags_that_airflow_does_not_take_are_errors(tmp_path, tag, message):
    with pytest.raises(ProjectError, match=re.escape(message)):
        export_airflow(shop(f"airflow.{tag}"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environment", "operator", "name"),
    [
        ("shell", "BashOperator", "cwd"),
        ("dataproc", "DataprocSubmitJobOperator", "polling_interval_seconds"),
        ("cloud_run", "CloudRunExecuteJobOperator", "polling_period_seconds"),
        ("fargate", "EcsRunTaskOperator", "waiter_max_attempts"),
        ("kubernetes", "KubernetesPodOperator", "startup_timeout_seconds"),
    ],
)
def test_each_environment_has_the_arguments_of_its_operator_and_no_others(tmp_path, environment, operator, name):
    found = exported(tmp_path / "dags", shop(f"airflow.{name}=3"), environment=environment)
    assert found[LOAD][name] == 3
    with pytest.raises(ProjectError) as caught:
        export_airflow(shop(f"airflow.{name}x=3"), tmp_path, environment=environment)
    message = f"sales.orders: Airflow argument `{name}x` is not an argument of {operator}; did you mean `{name}`?"
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    ("environment", "name"),
    [("dataproc", "asynchronous"), ("dataproc", "request_id"), ("fargate", "wait_for_completion")],
)
def test_arguments_by_which_a_task_succeeds_without_its_command_are_errors(tmp_path, environment, name):
    with pytest.raises(ProjectError, match=f"Airflow argument `{name}` is not supported: "):
        export_airflow(shop(f"airflow.{name}=false"), tmp_path, environment=environment)


def test_the_message_has_the_file_and_the_line_of_the_tag(tmp_path):
    shop = tmp_path / "shop"
    (shop / "metadata" / "load" / "sales").mkdir(parents=True)
    (shop / "metadata" / "application.sl.yml").write_text("application: {}\n")
    (shop / "metadata" / "load" / "sales" / "orders.sl.yml").write_text(
        "table:\n  name: orders\n  pattern: orders.csv\n  tags:\n    - daily\n    - airflow.polling_periods=3\n"
        "  attributes:\n    - name: id\n      type: string\n"
    )
    (shop / "metadata" / "load" / "sales" / "_config.sl.yml").write_text("load:\n  name: sales\n")
    with pytest.raises(ProjectError) as caught:
        export_airflow(shop, tmp_path / "dags", environment="cloud_run")
    assert str(caught.value).startswith(
        "metadata/load/sales/orders.sl.yml:6: sales.orders: Airflow argument `polling_periods` is not an argument of "
        "CloudRunExecuteJobOperator; did you mean `polling_period_seconds`?"
    )


def test_time_arguments_of_tags_are_durations(tmp_path):
    exported(tmp_path, shop("airflow.execution_timeout=300", 'airflow.retry_delay="60"'))
    text = next(tmp_path.glob("*load_sales*.py")).read_text()
    assert "execution_timeout=timedelta(minutes=5)" in text and "retry_delay=timedelta(minutes=1)" in text


def test_a_batch_has_the_arguments_that_its_tables_share(tmp_path):
    def tables(second: str) -> Source:
        names = (("orders", "airflow.queue=large"), ("items", second))
        return Source(project(*(table("sales", name, tags=(tag,), cron="0 5 * * *") for name, tag in names)))

    assert exported(tmp_path, tables("airflow.queue=large"), granularity="batch")["load_sales"]["queue"] == "large"
    with pytest.raises(ProjectError, match=r"load_sales: loads .* whose Airflow arguments differ"):
        export_airflow(tables("airflow.queue=small"), tmp_path, granularity="batch")
