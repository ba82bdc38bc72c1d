"""What is shipped: a wheel that installs into an empty environment, alone and with each extra."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
EXTRAS = {
    "": "starlake_dagster_assets.definitions, starlake_dagster_assets.cli.run",
    "duckdb": "duckdb, starlake_dagster_assets.engine.session",
    "webserver": "dagster_webserver",
    "dataproc": "google.cloud.dataproc, google.cloud.storage",
    "cloud-run": "google.cloud.run_v2, google.cloud.logging_v2",
    "fargate": "boto3",
    "s3": "s3fs",
    "gcs": "gcsfs",
}
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
    assert not [name for name in names if "/datasets/" in name or "tests/" in name or "__pycache__" in name]
    metadata = next(name for name in names if name.endswith("entry_points.txt"))
    points = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "[dagster_dg_cli.registry_modules]" in points
    assert "starlake-dagster = starlake_dagster_assets.cli:main" in points


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_alone_imports_what_it_promises(wheel: Path, tmp_path: Path, extra: str):
    scripts = environment(tmp_path / "venv", f"{wheel}[{extra}]" if extra else str(wheel))
    done = subprocess.run(
        [scripts / "python", "-c", f"import {EXTRAS[extra]}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_steps_of_the_dockerfile_build_a_code_location_that_reads_no_project_file(wheel: Path, tmp_path: Path):
    text = (ROOT / "example_project" / "Dockerfile").read_text()
    base = text.partition("FROM base AS starlake")[0]
    steps = [shlex.split(line.removeprefix("RUN ")) for line in base.splitlines() if line.startswith("RUN ")]
    assert [step[0] for step in steps] == ["pip", "starlake-dagster", "starlake-dagster"]
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
