"""Steps in new processes: a prepared manifest is all that they need of a project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject
from tests.dagster_features.projects import SALES, write

pytestmark = [
    pytest.mark.dagster_feature("Executors in other processes and containers"),
    pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))"),
]

LOCATION = '''
import os
from pathlib import Path

import dagster as dg

import starlake_dagster_assets.project.load as loading
import starlake_dagster_assets.starlake_project as projects
from starlake_dagster_assets import StarlakeProject, StarlakeResource, build_definitions
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines

HERE = Path(__file__).parent


def parsed(*args, **kwargs):
    (HERE / "parsed").write_text("a process parsed the project")
    raise AssertionError("a process parsed the project")


if os.environ["PROCESS_OF_THE_TEST"] != str(os.getpid()):
    loading.load_project = projects.load_project = parsed


class Remote(StarlakeResource):
    """An environment that is not on this machine."""

    def runner(self, project, attempt=None):
        (HERE / f"step-{os.getpid()}").touch()
        return FakeRunner({"load": Script(loaded_lines("sales", "orders", accepted=3))})


project = StarlakeProject(HERE / "sales", manifest=HERE / "sales.manifest.json")
defs = build_definitions(project, starlake=Remote(), steps="group")


@dg.repository
def location():
    return [*dg.with_resources(defs.assets, {"starlake": Remote()}), dg.define_asset_job("everything")]
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has the manifest and the code location, and no file of the project."""
    StarlakeProject(write(tmp_path / "sales", SALES)).prepare(tmp_path / "sales.manifest.json")
    shutil.rmtree(tmp_path / "sales")
    (tmp_path / "location.py").write_text(LOCATION)
    monkeypatch.setenv("PROCESS_OF_THE_TEST", str(os.getpid()))
    return tmp_path


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    quiet = {"telemetry": {"enabled": False}}
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home"), overrides=quiet) as one:
        yield one


def job_of(here: Path) -> Any:
    """The job as a process that starts others finds it."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    location = ReconstructableRepository.for_file(str(here / "location.py"), "location")
    return location.get_reconstructable_job("everything")


def materialized(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    page = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [record.event_log_entry.dagster_event for record in page.records]
    return {event.asset_key.to_user_string() for event in events if event is not None and event.asset_key is not None}


def test_processes_of_the_multiprocess_executor_parse_nothing(here, instance):
    with dg.execute_job(job_of(here), instance=instance) as result:
        assert result.success
        assert materialized(instance, result.run_id) == {"sales/orders", "kpi/by_day"}
    steps = list(here.glob("step-*"))
    assert len(steps) == 2, "each step has a process of its own"
    assert not (here / "parsed").exists()
    assert not (here / "sales").exists(), "nothing is written where the project would be"


def test_the_command_that_docker_and_kubernetes_executors_run_needs_the_manifest_alone(here, instance):
    """`dagster api execute_step`, as `docker_executor` and `k8s_job_executor` put it into a container."""
    from dagster._grpc.types import ExecuteStepArgs

    job = job_of(here)
    definition: Any = job.get_definition()
    run = instance.create_run_for_job(
        job_def=definition, job_code_origin=job.get_python_origin(), status=dg.DagsterRunStatus.STARTED
    )
    (step,) = [node.name for node in definition.nodes if "__load__" in node.name]
    arguments = ExecuteStepArgs(
        job_origin=job.get_python_origin(),
        run_id=run.run_id,
        step_keys_to_execute=[step],
        instance_ref=instance.get_ref(),
        retry_mode=None,
        known_state=None,
        print_serialized_events=True,
    )
    words = arguments.get_command_args()
    at = words.index("api")  # after `dagster`, or after the Python of this machine and `-m dagster`
    done = subprocess.run(
        [sys.executable, "-m", "dagster", *words[at:]], capture_output=True, text=True, cwd=here, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert materialized(instance, run.run_id) == {"sales/orders"}, done.stdout + done.stderr
    assert len(list(here.glob("step-*"))) == 1
    assert not (here / "parsed").exists()
