"""The public names, and what importing them costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import starlake_dagster_assets

HEAVY = ("duckdb", "sqlglot", "jinja2", "google", "boto3", "airflow")


def modules_after(code: str) -> set[str]:
    root = str(Path(starlake_dagster_assets.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root}
    code = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_names():
    assert starlake_dagster_assets.__all__ == [
        "DataprocCluster",
        "DataprocServerless",
        "StarlakeAutomation",
        "StarlakeCloudRun",
        "StarlakeDataproc",
        "StarlakeDuckDB",
        "StarlakeEventIterator",
        "StarlakeFargate",
        "StarlakeProject",
        "StarlakeResource",
        "StarlakeShell",
        "StarlakeTranslator",
        "automation_conditions",
        "build_arrival_sensors",
        "build_automation",
        "build_condition_sensors",
        "build_definitions",
        "build_jobs",
        "build_lineage_sensors",
        "build_schedules",
        "build_starlake_assets",
        "build_triggers",
        "definitions_from_dag_context",
        "definitions_graph",
        "export_airflow",
        "starlake_assets",
    ]
    for name in starlake_dagster_assets.__all__:
        assert getattr(starlake_dagster_assets, name).__module__.startswith("starlake_dagster_assets.")
    assert set(starlake_dagster_assets.__all__) <= set(dir(starlake_dagster_assets))
    with pytest.raises(AttributeError, match="nosuch"):
        starlake_dagster_assets.nosuch  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    loaded = modules_after("import starlake_dagster_assets")
    assert not loaded & {*HEAVY, "dagster", "pydantic", "yaml"}


def test_using_every_name_imports_no_engine():
    loaded = modules_after("from starlake_dagster_assets import *")
    assert not loaded & {"duckdb", "google", "boto3", "airflow"}


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
from starlake_dagster_assets.runners.embedded import embedded_runner
try:
    embedded_runner(Path("."))
except RunnerError as error:
    assert "starlake-dagster-assets[duckdb]" in str(error)
else:
    raise SystemExit(1)
"""
    modules_after(code)
