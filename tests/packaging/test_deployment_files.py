"""The deployment files of the example are what Dagster+ reads."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"


def read(name: str):
    return yaml.safe_load((EXAMPLE / name).read_text())


@pytest.mark.newest_only
def test_dagster_plus_accepts_them_and_both_ways_say_the_same():
    models = pytest.importorskip("dagster_cloud_cli.config.models")
    whole = models.DagsterCloudYaml.model_validate(read("dagster_cloud.yaml"))
    (location,) = whole.locations
    build = models.Build.model_validate(read("build.yaml"))
    assert (EXAMPLE / location.code_source.python_file).exists()
    assert build == location.build
    assert read("container_context.yaml") == location.container_context


def test_every_variable_that_an_image_sets_is_read(monkeypatch):
    """`ENV` of the Dockerfile: by the example's definitions, or by the package."""
    text = (EXAMPLE / "Dockerfile").read_text()
    names = re.findall(r"(\w+)=\S", " ".join(line for line in text.splitlines() if line.startswith("ENV ")))
    assert set(names) == {"STARBAKE_MANIFEST", "SL_STARLAKE_PATH", "STARBAKE_ENVIRONMENT"}
    for value, kind in (("shell", "StarlakeShell"), ("", "StarlakeDuckDB")):
        monkeypatch.setenv("STARBAKE_ENVIRONMENT", value)
        monkeypatch.delenv("STARBAKE_MANIFEST", raising=False)
        defs = runpy.run_path(str(EXAMPLE / "definitions.py"))["defs"]
        assert type(defs.resources["starlake"]).__name__ == kind


def test_every_documented_image_has_the_packages_that_the_definitions_import():
    """The build imports the definitions; the extra of a package has its name."""
    imports = re.findall(r"^import (\w+)$", (EXAMPLE / "definitions.py").read_text(), re.MULTILINE)
    assert "duckdb" in imports
    pages = [EXAMPLE / "Dockerfile", *sorted((EXAMPLE.parent / "docs").glob("*.md"))]
    extras = [
        found.split(",")
        for page in pages
        for found in re.findall(r'PACKAGE="starlake-dagster-assets\[(.+)\]"', page.read_text())
    ]
    assert len(extras) >= 3
    assert all("duckdb" in names for names in extras), extras
    assert 'RUN python -c "import definitions"' in (EXAMPLE / "Dockerfile").read_text()


def test_the_default_image_has_no_jvm_and_starts_a_code_server():
    stages = (EXAMPLE / "Dockerfile").read_text().split("\nFROM ")[1:]
    assert [stage.splitlines()[0] for stage in stages] == [
        "python:3.12-slim-bookworm AS base",
        "base AS starlake",
        "base AS embedded",
    ]
    assert "jre" not in stages[0] + stages[2]
    assert '"dagster", "api", "grpc"' in stages[0]
    for line in stages[0].splitlines():
        if line.startswith("COPY "):
            assert (EXAMPLE / line.split()[1]).exists()
