"""An environment of another package, registered by an entry point, is available everywhere."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import starlake_dagster_assets
from starlake_dagster_assets import environments, resources
from starlake_dagster_assets.environments import ExecutionEnvironment, execution_environments
from tests.conformance.subject import write_project
from tests.docs.blocks import ROOT
from tests.environments.example import install
from tests.fakes.script import Scripted

EVERYWHERE = """
import contextlib, io, json, sys
from pathlib import Path
from starlake_dagster_assets import StarlakeProject, build_definitions, export_airflow
from starlake_dagster_assets._compat import has_components
from starlake_dagster_assets.cli import main
from starlake_dagster_assets.environments import environment_of, environments_table
from starlake_dagster_assets.automation.policies.options import list_ignored_options
import starlake_batch

root, out, program = sys.argv[1:]

def said(*argv):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            sys.argv[1:] = argv
            main()
            code = 0
        except SystemExit as end:
            code = end.code
    return [code, text.getvalue()]

def component():
    if not has_components():
        return None
    from starlake_dagster_assets.component.attributes import environment_type
    from pydantic import TypeAdapter
    return type(TypeAdapter(environment_type()).validate_python({"type": "batch", "directory": out})).__name__

report = export_airflow(StarlakeProject(root), Path(out) / "dags", environment="batch")
dags = "".join(path.read_text() for path in (Path(out) / "dags").glob("starlake_load*.py"))
resource = starlake_batch.StarlakeBatch.from_options({"batch_directory": out + "/jobs"}, program=program)
defs = build_definitions(StarlakeProject(root), starlake=resource)
fields = ["--set", f"directory={out}/jobs", "--set", f"program={program}"]
print(json.dumps({
    "run": said("run", root, "--environment", "batch", *fields, "--json"),
    "doctor": said("doctor", root, "--environment", "batch", *fields, "--json"),
    "installed": said("doctor"),
    "help": said("run", "--help"),
    "component": component(),
    "dags": dags,
    "options": "batch_directory" in list_ignored_options(),
    "name": environment_of(resource),
    "table": environments_table(),
}))
"""


def test_an_environment_of_another_package_is_everywhere(tmp_path: Path):
    package, root = install(tmp_path / "package"), write_project(tmp_path / "project")
    scripted = Scripted(tmp_path / "scripted").tables({"sales.orders": {"do": "load", "rows": 3}})
    path = os.pathsep.join([str(package), str(ROOT)])
    environ = {**os.environ, **scripted.environ, "PYTHONPATH": path, "COLUMNS": "300", "NO_COLOR": "1"}
    (tmp_path / "out").mkdir()
    argv = [sys.executable, "-c", EVERYWHERE, str(root), str(tmp_path / "out"), str(scripted.path)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    code, text = found["run"]
    assert "orders" in text and [call.argv[0] for call in scripted.calls()].count("load") == 1, (code, text)
    assert '"topic": "program"' in found["doctor"][1]
    assert "environment batch: starlake_batch:StarlakeBatch" in found["installed"][1]
    assert "|batch" in found["help"][1]
    assert found["component"] in ("batch_environment", None)
    assert "BashOperator(" in found["dags"] and "starlake load" in found["dags"]
    assert found["options"] and found["name"] == "batch"
    assert "| `batch` | `StarlakeBatch` | background processes of this machine |" in found["table"]


def test_the_suite_of_the_page_runs_against_the_environment_of_the_page(tmp_path: Path):
    package = install(tmp_path / "package")
    path = os.pathsep.join([str(package), str(ROOT)])
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(package), "test_batch.py"]
    environ = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(argv, cwd=package, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "36 passed" in done.stdout, done.stdout
    argv = [sys.executable, "try_batch.py"]
    tried = subprocess.run(argv, cwd=package, env=environ, capture_output=True, text=True, check=False)
    assert tried.stdout == "job-1 succeeded 0 ['load --domains sales']\n", tried.stderr


WRONG = {
    "it cannot be imported": (
        "nowhere:ENVIRONMENT",
        None,
        "nowhere:ENVIRONMENT cannot be imported: ModuleNotF",
    ),
    "it is something else": ("json:dumps", None, "json:dumps is not an ExecutionEnvironment; found function"),
    "another version": (
        "wrong",
        {"version": 2},
        "it was written for version 2 of the protocol",
    ),
    "a name that is taken": ("wrong", {"name": "shell"}, "the name 'shell' is taken by starlake-dagster-assets itself"),
    "no name": ("wrong", {"name": "my batch"}, "its name is 'my batch' (str); expected an identifier"),
    "a number as name": ("wrong", {"name": 5}, "its name is 5 (int); expected an identifier"),
    "a class as resource": ("wrong", {"resource": Path}, "(type); expected the text `module:name`"),
    "two lines": ("wrong", {"summary": "a\nb"}, "its summary is 'a\\nb' (str); expected one line of text"),
    "an answer in words": ("wrong", {"runs_program": "no"}, "its runs_program is 'no' (str); expected True or False"),
    "one option as text": ("wrong", {"options": "dir"}, "its options is 'dir' (str); expected a tuple of texts"),
    "a number as option": ("wrong", {"options": (1,)}, "its options is (1,) (tuple); expected a tuple of texts"),
    "an unknown store": ("wrong", {"store": "azure"}, "its store is 'azure' (str); expected `gs`, `s3`"),
    "a number as airflow": ("wrong", {"airflow": 3}, "its airflow is 3 (int); expected the text `module:name`"),
    "a path as doctor": ("wrong", {"doctor": "m.f"}, "its doctor is 'm.f' (str); expected the text `module:name`"),
    "a version as text": ("wrong", {"version": "1"}, "its version is '1' (str); expected a whole number"),
    "a value that is none": ("sbad:X:Y", None, "the entry point is 'sbad:X:Y'; expected `module:name`"),
    "a module that exits": ("exits:X", None, "exits:X cannot be imported: SystemExit: 0"),
    "a module that interrupts": ("interrupts:X", None, "interrupts:X cannot be imported: KeyboardInterrupt: "),
    "a module with an error of its own": ("own:X", None, "own:X cannot be imported: Stop: no"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_registration_that_is_wrong_costs_only_itself(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    value, fields, message = WRONG[case]
    if fields is not None:
        wrong = ExecutionEnvironment(**{"name": "batch", "resource": "m:C", "summary": "x", **fields})
        monkeypatch.setattr(environments, "WRONG", wrong, raising=False)
        value = "starlake_dagster_assets.environments:WRONG"
    monkeypatch.syspath_prepend(str(install(tmp_path, value)))
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "interrupts.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "own.py").write_text("class Stop(BaseException):\n    pass\nraise Stop('no')\n")
    execution_environments.cache_clear()
    try:
        with pytest.warns(UserWarning, match="the environment 'batch' \\(package starlake-batch\\)") as caught:
            found = execution_environments()
    finally:
        execution_environments.cache_clear()
    assert message in str(caught[0].message) and " Next: " in str(caught[0].message)
    assert {"duckdb", "shell"} <= {*found} and not {"batch", "my batch"} & {*found}
    assert found["shell"].resource.endswith(":StarlakeShell")


def test_an_interrupt_of_the_user_while_a_package_is_imported_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(install(tmp_path, "slow:X")))
    (tmp_path / "slow.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    before = signal.getsignal(signal.SIGINT)
    execution_environments.cache_clear()
    try:
        with pytest.raises(KeyboardInterrupt):
            execution_environments()
    finally:
        execution_environments.cache_clear()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_packages_with_one_name_the_first_by_name_is_used(
    order: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in order:
        information = tmp_path / name / f"{name}-1.0.dist-info"
        information.mkdir(parents=True)
        text = (
            f"from starlake_dagster_assets.environments import *\nX = ExecutionEnvironment('nomad', '{name}:R', 'a|b')"
        )
        (tmp_path / name / f"nomad_{name}.py").write_text(text)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{environments.GROUP}]\nnomad = nomad_{name}:X\n")
        monkeypatch.syspath_prepend(str(tmp_path / name))
    execution_environments.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"\(package b\) is not .*'nomad' is taken by package a 1.0 \(entry point"):
            assert execution_environments()["nomad"].resource == "a:R"
        assert r"| a\|b |" in environments.environments_table()
    finally:
        execution_environments.cache_clear()


def test_the_registry_imports_no_environment():
    code = "import sys; from starlake_dagster_assets.environments import *; execution_environments(); "
    code += "print('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_the_exported_resources_are_those_of_the_registry():
    """Static type checkers need the names in `__all__` and in the imports next to it; everything else is derived."""
    own = {one.resource_class() for one in execution_environments().values() if not one.origin}
    for package in (starlake_dagster_assets, resources):
        exported = [getattr(package, name) for name in package.__all__]
        kinds = {one for one in exported if isinstance(one, type) and issubclass(one, resources.StarlakeResource)}
        assert kinds - {resources.StarlakeResource, resources.StarlakeRemoteResource} == own


@pytest.mark.parametrize("name", execution_environments())
def test_every_registration_names_what_exists(name: str):
    one = execution_environments()[name]
    resource = one.resource_class()
    assert {*resource.option_names} <= {*one.options}, "the options of a DAG configuration that the resource reads"
    if one.airflow:
        one.operator_renderer()
    if one.doctor:
        module, _, function = one.doctor.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_oldest_dagster_is_tested_with_the_extra_of_each_environment():
    """The Makefile takes the extras from `pyproject.toml`."""
    argv = ["make", "--no-print-directory", "-n", "-W", "pyproject.toml", ".venv-oldest/.installed"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    extras = re.findall(rf'-e "{re.escape(str(ROOT))}\[([\w,-]+)\]"', done.stdout)
    assert len(extras) == 1, done.stdout + done.stderr
    own = [one.install for one in execution_environments().values() if not one.origin]
    assert {name.partition("[")[2].rstrip("]") for name in own} <= {*extras[0].split(",")}


def test_the_page_has_the_table_of_the_registry():
    table = environments.environments_table()
    assert table in (ROOT / "docs" / "environments.md").read_text(), f"docs/environments.md lacks this table:\n{table}"


def test_a_package_that_prints_and_fails_changes_no_document(tmp_path: Path):
    package = install(tmp_path / "package", "loud:X")
    (package / "loud.py").write_text("print('hello')\nraise ValueError('no')\n")
    code = "from starlake_dagster_assets.cli import main; main()"
    argv = [sys.executable, "-c", code, "check", "--json", str(ROOT / "example_project" / "starbake")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)]), "SL_ENV": "DUCKDB"}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    json.loads(done.stdout)
    warning, *others = [line for line in done.stderr.splitlines() if "not available" in line]
    assert warning.startswith("warning: the environment 'batch' (package starlake-batch) is not available: loud:X")
    assert not others and "hello" in done.stderr and "UserWarning" not in done.stderr
