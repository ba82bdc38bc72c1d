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
        ({"bash_command": "rm"}, r"kpi\.sums: Airflow argument bash_command: the export writes it itself"),
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


def test_an_unknown_argument_may_be_one_of_the_operator_of_a_cloud(tmp_path):
    found = exported(tmp_path, shop("airflow.polling_period_seconds=3"), environment="cloud_run")
    assert found[LOAD]["polling_period_seconds"] == 3


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
