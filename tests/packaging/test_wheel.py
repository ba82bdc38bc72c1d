"""What is shipped: a wheel that installs into an empty environment, alone and with each extra."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
MODULES = {
    "": "starlake_dagster_assets.definitions, starlake_dagster_assets.cli.run",
    "duckdb": "duckdb, starlake_dagster_assets.engine.session",
    "shell": "dagster_shell",
    "webserver": "dagster_webserver",
    "dataproc": "google.cloud.dataproc, google.cloud.storage",
    "cloud-run": "google.cloud.run_v2, google.cloud.logging_v2",
    "fargate": "boto3",
    "kubernetes": "dagster_k8s, kubernetes",
    "s3": "s3fs",
    "gcs": "gcsfs",
    "azure": "adlfs",
    "gcp": "dagster_gcp",
    "aws": "dagster_aws",
    "airlift": "dagster_airlift.core",
}
WAREHOUSES = {"bigquery", "databricks", "mysql", "oracle", "postgres", "redshift", "snowflake", "sqlserver"}
"""Extras whose drivers tests/execution/warehouse uses."""
NEEDED = """
from pathlib import Path
from starlake_dagster_assets import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate, StarlakeKubernetes
from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.execution.file_store import Store
from starlake_dagster_assets.execution.backends.local.dagster_shell_launcher import launch_by_dagster_shell
from starlake_dagster_assets.execution.backends.duckdb.lazy_runner import embedded_runner
from starlake_dagster_assets.execution.backends.protocol import StepAttempt

project, attempt = StarlakeProject("starlake", env="DUCKDB"), StepAttempt()
uses = {
    "duckdb": lambda: embedded_runner(project.root),
    "shell": lambda: launch_by_dagster_shell(["/bin/true"], {}, Path("."), 1).stop(),
    "dataproc": lambda: StarlakeDataproc(project="p", cluster="c", jars=["gs://a/b.jar"]).environment(project, attempt),
    "cloud-run": lambda: StarlakeCloudRun(project="p", job="j").environment(project, attempt),
    "fargate": lambda: StarlakeFargate(task_definition="t", container="c", subnets=["s"]).environment(project, attempt),
    "kubernetes": lambda: StarlakeKubernetes(image="i").environment(project, attempt),
    "gcs": lambda: Store()._system("gs://a/b"),
    "s3": lambda: Store({"s3": {"anon": True}})._system("s3://a/b"),
    "azure": lambda: Store({"abfs": {"account_name": "a"}})._system("abfs://a/b"),
}
"""
USED = re.findall(r'^    "(\S+)": lambda', NEEDED, re.MULTILINE)
needs_uv = pytest.mark.skipif(not Path(UV).exists(), reason="uv is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.newest_only, needs_uv, pytest.mark.timeout(600)]


def uv(*args: str, cwd: Path = ROOT) -> None:
    done = subprocess.run([UV, *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the sdist and the wheel that is made of it, as an installer from source would."""
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", str(out))
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def environment(where: Path, requirement: str) -> Path:
    uv("venv", "--quiet", "--python", sys.executable, str(where))
    uv("pip", "install", "--quiet", "--no-config", "--python", str(where / "bin" / "python"), requirement)
    return where / "bin"


def test_the_wheel_holds_the_package_its_types_and_the_projects_to_start_from(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.removeprefix("starlake_dagster_assets/") for name in names}
    assert {"py.typed", "cli/starter/definitions.py", "example_project/starbake/metadata/application.sl.yml"} <= inside
    others = [name.replace("/metadata/tests/", "/").replace("/unit_tests/", "/") for name in names]
    assert not [name for name in others if "/datasets/" in name or "tests/" in name or "__pycache__" in name]
    metadata = next(name for name in names if name.endswith("entry_points.txt"))
    points = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "[dagster_dg_cli.registry_modules]" in points
    assert "starlake-dagster = starlake_dagster_assets.cli:main" in points


def python(scripts: Path, where: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [scripts / "python", "-W", "ignore", "-c", code]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("bare") / "venv", str(wheel))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(ROOT / "starlake_dagster_assets" / "cli" / "starter", tmp_path / "project")


@pytest.mark.parametrize("extra", MODULES)
def test_each_extra_alone_imports_what_it_promises_and_its_environment_is_there(
    wheel: Path, tmp_path: Path, project: Path, extra: str
):
    scripts = environment(tmp_path / "venv", f"{wheel}[{extra}]" if extra else str(wheel))
    use = f"{NEEDED}uses[{extra!r}]()" if extra in USED else ""
    done = python(scripts, project, f"import {MODULES[extra]}\n{use}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("extra", USED)
def test_without_its_extra_an_environment_says_in_one_line_what_to_install(bare: Path, project: Path, extra: str):
    done = python(bare, project, f"{NEEDED}uses[{extra!r}]()")
    assert done.returncode == 1
    assert f"pip install 'starlake-dagster-assets[{extra}]'" in done.stderr.splitlines()[-1]


def test_no_extra_is_forgotten(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        extras = re.findall(r"^Provides-Extra: (\S+)$", archive.read(name).decode(), re.MULTILINE)
    assert set(extras) == set(MODULES) - {""} | WAREHOUSES


def test_the_sdist_installs_from_a_clean_environment(built: Path, tmp_path: Path):
    scripts = environment(tmp_path / "venv", str(next(built.glob("*.tar.gz"))))
    done = subprocess.run(
        [scripts / "starlake-dagster", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() and done.returncode == 0, done.stderr


def test_the_steps_of_the_dockerfile_build_a_code_location_that_reads_no_project_file(wheel: Path, tmp_path: Path):
    text = (ROOT / "example_project" / "Dockerfile").read_text()
    base = text.partition("FROM base AS starlake")[0]
    steps = [shlex.split(line.removeprefix("RUN ")) for line in base.splitlines() if line.startswith("RUN ")]
    assert [step[0] for step in steps] == ["pip", "starlake-dagster", "starlake-dagster", "python"]
    scripts = environment(tmp_path / "venv", f"{wheel}[duckdb]")  # the step of pip
    app = tmp_path / "app"
    ignored = shutil.ignore_patterns("datasets", "deliveries")
    shutil.copytree(ROOT / "example_project", app, ignore=ignored)
    environ = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    for step in steps[1:]:
        subprocess.run(step, cwd=app, env=environ, check=True)
    shutil.rmtree(app / "starbake" / "metadata")
    loads = "import definitions; print(len(definitions.defs.assets) > 0)"
    environ |= {"STARBAKE_MANIFEST": "starbake.manifest.json"}
    done = subprocess.run(
        [scripts / "python", "-c", loads], cwd=app, env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "True", done.stderr
