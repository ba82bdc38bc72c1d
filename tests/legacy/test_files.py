"""DAG files are read as text: those of both orchestrators, old and new, and nothing of them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.legacy.dag_file_reader import read_dag_files
from tests.legacy import generated
from tests.legacy.test_literals import TABLES, TREE

SAID = [{**TABLES[0], "domains": [{"name": "s", "final_name": "s", "tables": [{"name": "o", "final_name": "o"}]}]}]


@pytest.mark.parametrize("orchestrator", ["dagster", "airflow"])
def test_files_of_all_versions_say_the_same(tmp_path: Path, orchestrator: str) -> None:
    texts = {
        "a_old_load": generated.old_load(SAID, orchestrator=orchestrator),
        "b_new_load": generated.new_load(SAID, orchestrator=orchestrator),
        "c_old_task": generated.old_transform(TREE, cron="0 4 * * *", orchestrator=orchestrator),
        "d_new_task": generated.new_transform(TREE, cron="0 4 * * *", orchestrator=orchestrator),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    old_load, new_load, old_task, new_task = read_dag_files(tmp_path)
    assert old_load.schedules == new_load.schedules
    assert old_load.schedules[0].tables[0].id == "s.o"
    assert (old_task.nodes, old_task.roots, old_task.cron) == (new_task.nodes, new_task.roots, "0 4 * * *")
    assert {one.environment for one in (old_load, new_load, old_task, new_task)} == {"shell"}
    assert new_task.options == generated.OPTIONS and new_task.description == "transform of the project"


@pytest.mark.parametrize("environment", ["cloud_run", "dataproc", "fargate"])
def test_the_environment_of_a_file(tmp_path: Path, environment: str) -> None:
    (tmp_path / "x.py").write_text(generated.new_load(SAID, environment=environment))
    assert read_dag_files(tmp_path / "x.py")[0].environment == environment


@pytest.mark.parametrize(
    ("name", "environment"),
    [("StarlakeDagsterCloudRunJob", "cloud_run"), ("AirflowStarlakeDataprocJob", "dataproc")],
)
def test_the_class_of_the_job_says_the_environment(tmp_path: Path, name: str, environment: str) -> None:
    (tmp_path / "x.py").write_text(f"schedules = []\nsl_job = {name}(options={{}})\n")
    assert read_dag_files(tmp_path)[0].environment == environment


def test_variables_of_the_module_count_as_options_and_jobs(tmp_path: Path) -> None:
    text = "schedules = []\nspark_executor_memory = '4g'\njobs = {'kpi.a': {'options': 'x=1'}}\nmore = {'retries': 2}\n"
    (tmp_path / "x.py").write_text(text + "options = {**more}\n")
    (context,) = read_dag_files(tmp_path)
    assert context.options == {"spark_executor_memory": "4g", "retries": "2"}
    assert context.task_options == {"kpi.a": {"x": "1"}}


def test_nothing_of_a_file_runs(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    (tmp_path / "x.py").write_text(f"open({str(trap)!r}, 'w')\nraise SystemExit\nschedules = []\n")
    assert read_dag_files(tmp_path) and not trap.exists()


def test_a_computed_value_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import os\nschedules = []\noptions = {'sl_env_var': os.environ['E']}\n")
    with pytest.raises(ProjectError, match=r"x\.py:3: options: `os\.environ\['E'\]` is known only when the file runs"):
        read_dag_files(tmp_path)


def test_other_python_beside_the_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("x = 1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Load.py").write_text("schedules = []\n")
    assert [one.name for one in read_dag_files(tmp_path)] == ["load"]


def test_a_directory_without_any_and_a_file_that_is_no_python_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no file below has `schedules`"):
        read_dag_files(tmp_path)
    with pytest.raises(ProjectError, match="cannot be read"):
        read_dag_files(tmp_path / "missing.py")
    (tmp_path / "x.py").write_text("schedules = [\n")
    with pytest.raises(ProjectError, match="cannot be read"):
        read_dag_files(tmp_path)
