"""The public names, and what importing them costs."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

import starlake_dagster_assets
from starlake_dagster_assets.environments import resource_modules
from tests.docs.blocks import ROOT

HEAVY = ("duckdb", "sqlglot", "jinja2", "google", "boto3", "airflow")


def modules_after(code: str) -> set[str]:
    root = str(Path(starlake_dagster_assets.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root}
    code = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_names():
    names = [
        *resource_modules(),
        "JobSettings",
        "LineageSettings",
        "Node",
        "PartitionSettings",
        "PreLoadSettings",
        "ScheduleSettings",
        "StarlakeAutomation",
        "StarlakeEventIterator",
        "StarlakeMetadata",
        "StarlakeProject",
        "StarlakeResource",
        "StarlakeRunConfig",
        "StarlakeSteps",
        "StarlakeTranslator",
        "StarlakeTranslatorSettings",
        "build_definitions",
        "build_schedule_from_starlake_selection",
        "build_starlake_asset_selection",
        "build_starlake_assets",
        "definitions_from_dag_context",
        "export_airflow",
        "starlake_assets",
    ]
    assert starlake_dagster_assets.__all__ == sorted(names)
    for name in starlake_dagster_assets.__all__:
        assert getattr(starlake_dagster_assets, name).__module__.startswith("starlake_dagster_assets.")
    assert set(starlake_dagster_assets.__all__) <= set(dir(starlake_dagster_assets))
    with pytest.raises(AttributeError, match="nosuch"):
        starlake_dagster_assets.nosuch  # noqa: B018


@pytest.mark.parametrize("name", [*starlake_dagster_assets.__all__, "StarlakeProjectComponent"])
def test_a_page_of_the_documentation_shows_each_public_name(name: str):
    """Apart from the reference and the changelog: a name that no page needs is not exported."""
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name not in {"reference.md", "changelog.md"}]
    shown = re.compile(rf"\b{name}\b")
    assert [page.name for page in pages if shown.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("module", ["airflow", "automation", "resources"])
def test_documented_submodules_export_what_the_reference_lists(module: str):
    home = f"starlake_dagster_assets.{module}"
    package = import_module(home)
    names = set(package.__all__)
    assert {getattr(package, name).__name__ for name in names} == names
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    here = set(re.findall(rf"^::: {re.escape(home)}\.(\w+)$", reference, re.MULTILINE))
    assert here == names - set(starlake_dagster_assets.__all__)


def test_importing_the_package_imports_nothing_heavy():
    loaded = modules_after("import starlake_dagster_assets")
    assert not loaded & {*HEAVY, "dagster", "pydantic", "yaml"}


def test_using_every_name_imports_no_engine():
    loaded = modules_after("from starlake_dagster_assets import *")
    assert not loaded & {"duckdb", "google", "boto3", "airflow"}


def test_a_code_location_imports_what_it_is_made_of_and_nothing_that_runs(tmp_path: Path):
    """Imports are a good part of what a small code location costs, and each process of Dagster pays for them."""
    application = tmp_path / "metadata" / "application.sl.yml"
    application.parent.mkdir()
    application.write_text("version: 1\napplication:\n  connectionRef: c\n  connections: {c: {type: local}}\n")
    table = tmp_path / "metadata/load/d/t.sl.yml"
    table.parent.mkdir(parents=True)
    table.write_text("version: 1\ntable: {name: t, pattern: t.csv, attributes: [{name: id}]}\n")
    code = f"""
from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions
project = StarlakeProject({str(tmp_path)!r}, cache_dir={str(tmp_path / "cache")!r})
build_definitions(project, starlake=StarlakeDuckDB()).get_repository_def()
import json, sys
from starlake_dagster_assets.project.files import schema
print(json.dumps([schema.TableFile.__pydantic_complete__, sorted(sys.modules)]))"""
    env = {**os.environ, "PYTHONPATH": str(Path(starlake_dagster_assets.__file__).parents[1])}
    for is_cold in (True, False):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        keys_of_tables_are_built, modules = json.loads(done.stdout.splitlines()[-1])
        assert keys_of_tables_are_built is is_cold
        running = {
            "automation.file_arrivals.guard",
            "dagster_assets.steps.execute",
            "execution.command_executor",
            "graph.privacy",
            "project.sql.column_lineage",
        }
        resources = {module.removeprefix("starlake_dagster_assets.") for module in resource_modules().values()}
        elsewhere = resources - {"resources.duckdb"}
        assert all(find_spec(f"starlake_dagster_assets.{name}") for name in (*running, *elsewhere))
        ours = {name.removeprefix("starlake_dagster_assets.") for name in modules}
        assert not ours & {*running, *elsewhere, "sqlglot", "duckdb"}


def test_the_library_is_registered_with_dagster():
    where = "dagster_shared.libraries" if hasattr(dg, "DagsterLibraryRegistry") else "dagster._core.libraries"
    code = f"from starlake_dagster_assets import StarlakeResource\nfrom {where} import DagsterLibraryRegistry"
    modules_after(code + "\nassert 'starlake-dagster-assets' in DagsterLibraryRegistry.get()")


def test_without_duckdb_the_extra_is_named():
    code = """
import sys
sys.modules["duckdb"] = None
from pathlib import Path
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.duckdb.lazy_runner import embedded_runner
try:
    embedded_runner(Path("."))
except RunnerError as error:
    assert "starlake-dagster-assets[duckdb]" in str(error)
else:
    raise SystemExit(1)
"""
    modules_after(code)
