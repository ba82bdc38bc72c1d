"""Bugs of packages that register an environment: messages name the package, its entry point and what it did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, build_definitions, export_airflow
from starlake_dagster_assets.cli.run import resource_for_environment
from starlake_dagster_assets.commands import build
from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.environments import execution_environments, get_environment, origin_of
from starlake_dagster_assets.errors import PluginError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.resources.guarded_calls import call_resource
from tests.conformance.subject import write_project

PACKAGE = "wrong_plugin"
SOURCE = """
from dataclasses import dataclass
from starlake_dagster_assets.airflow.operators import OperatorRenderer
from starlake_dagster_assets.doctor import Finding
from starlake_dagster_assets.environments import ExecutionEnvironment, Status
from starlake_dagster_assets.resources import StarlakeRemoteResource

class ReturnsNone(StarlakeRemoteResource):
    def environment(self, project, attempt):
        return None

class Raises(StarlakeRemoteResource):
    def environment(self, project, attempt):
        return {}["endpoint"]

class Texts(StarlakeRemoteResource):
    pass

class Exits(StarlakeRemoteResource):
    def environment(self, project, attempt):
        raise SystemExit(0)

class Exiting:
    name = "exiting"
    is_idempotent = True
    def call(self, *args):
        raise SystemExit(0)
    submit = find = status = logs = cancel = classify_error = refresh = close = call

class SubmitExits(StarlakeRemoteResource):
    def environment(self, project, attempt):
        return Exiting()

class NoLog(Exiting):
    name = "no_log"
    def status(self, execution):
        return Status("succeeded", 0)
    submit = lambda self, submission: "it"
    find = refresh = close = lambda self, *args: None
    logs = lambda self, execution, cursor: (["text"], None)

class Logless(StarlakeRemoteResource):
    log_settle: float = 0
    def environment(self, project, attempt):
        return NoLog()

def override(method, call):
    return type(f"Over_{method}", (Logless,), {"__module__": __name__, method: call})

def raises(*args, **kwargs):
    raise LookupError("quota")

def leaves(*args, **kwargs):
    raise SystemExit(0)

METHODS = ("runner", "validate_against", "warehouse_reader", "warehouse_access", "pool", "sensors", "single_writer",
           "policies", "policy")
for method in METHODS:
    globals()[f"Over_{method}"] = override(method, lambda *args, **kwargs: TRICK[0](*args, **kwargs))
TRICK = [raises]

class Constructor(StarlakeRemoteResource):
    def __init__(self, **data):
        raise KeyError("endpoint")

@dataclass(frozen=True)
class Operators(OperatorRenderer):
    @property
    def imports(self):
        return []
    def task(self, task):
        return {}["image"]

def raising(resource, project):
    yield from ()
    raise ZeroDivisionError("no nodes")

def texts(resource, project):
    yield "all is well"

def nothing(resource, project):
    pass

def one(name, resource="ReturnsNone", **more):
    return ExecutionEnvironment(name, f"wrong_plugin:{resource}", "x", **more)

def exits(resource, project):
    raise SystemExit(0)

def level(resource, project):
    yield Finding("great", "topic", "text")

def no_text(resource, project):
    yield Finding("ok", "topic", None)

for method in METHODS:
    globals()[method.upper()] = one(method, f"Over_{method}")
LOGLESS = one("logless", "Logless")
EXITS = one("exits", "Exits", doctor="wrong_plugin:exits")
SUBMIT = one("submit", "SubmitExits", doctor="wrong_plugin:level")
TEXT = one("text", "Texts", doctor="wrong_plugin:no_text")
NONE = one("none", doctor="wrong_plugin:raising", airflow="wrong_plugin:Operators")
RAISES = one("raises", "Raises", doctor="wrong_plugin:texts", airflow="wrong_plugin:raising")
CONSTRUCTOR = one("constructor", "Constructor")
FUNCTION = one("function", "raising", doctor="wrong_plugin:nothing")
NOWHERE = one("nowhere", "Nowhere")
BROKEN = ExecutionEnvironment("broken", "wrong_broken:Resource", "x")
"""
NAMES = ("none", "raises", "constructor", "function", "nowhere", "broken", "exits", "submit", "text")
METHODS = (
    *("runner", "validate_against", "warehouse_reader", "warehouse_access", "pool", "sensors", "single_writer"),
    *("policies", "policy"),
)


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the package for a test."""
    package = tmp_path / "package"
    information = package / f"{PACKAGE}-2.0.dist-info"
    information.mkdir(parents=True)
    (package / f"{PACKAGE}.py").write_text(SOURCE)
    (package / "wrong_broken.py").write_text("import json\njson.no_such_function()\n")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-plugin\nVersion: 2.0\n")
    lines = "".join(f"{name} = {PACKAGE}:{name.upper()}\n" for name in (*NAMES, *METHODS, "logless"))
    (information / "entry_points.txt").write_text(f"[starlake_dagster_assets.environments]\n{lines}")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    execution_environments.cache_clear()
    yield
    execution_environments.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")


def origin(name: str) -> str:
    return f"environment {name} of package wrong-plugin 2.0 (entry point {name} = wrong_plugin:{name.upper()})"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", ": ReturnsNone.environment() returned NoneType, which has no name, submit, find"),
        ("raises", ": Raises.environment() raised KeyError: 'endpoint'. Next: correct it in that package, or report"),
        ("exits", ": Exits.environment() raised SystemExit: 0. Next:"),
    ],
)
def test_no_environment(project: StarlakeProject, name: str, said: str):
    resource = get_environment(name).resource_class()()
    with pytest.raises(PluginError) as error:
        resource.runner(project, StepAttempt())
    assert origin(name) + said in str(error.value)


def test_an_environment_that_exits(project: StarlakeProject):
    runner = get_environment("submit").resource_class()().runner(project, StepAttempt())
    with pytest.raises(PluginError) as error:
        runner.start(build.load("sales", ["orders"], job_id="job-1"))
    assert origin("submit") + ": submit raised SystemExit: 0; expected" in str(error.value)
    assert "The command may run in the service. Next:" in str(error.value)


def test_an_error_of_a_subclass_in_another_package_is_not_blamed_on_the_registered_one(project: StarlakeProject):
    parent = get_environment("raises").resource_class()
    child = type("Child", (parent,), {"__module__": "another"})
    moved = type("Moved", (parent,), {"__module__": "wrong_plugin.parts"})
    assert origin_of(child) is None
    assert [one and one.name for one in map(origin_of, (parent, moved))] == ["raises", "raises"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("function", ": `resource` 'wrong_plugin:raising' is not a subclass of StarlakeResource. Next: name"),
        ("nowhere", ": cannot import `resource` 'wrong_plugin:Nowhere': AttributeError"),
        ("broken", ": cannot import `resource` 'wrong_broken:Resource': AttributeError"),
    ],
)
def test_no_resource(name: str, said: str):
    with pytest.raises(PluginError) as error:
        get_environment(name).resource_class()
    assert origin(name) + said in str(error.value)


@pytest.mark.parametrize("trick", ["raises", "leaves", "nonsense"])
@pytest.mark.parametrize("method", METHODS)
def test_an_overridden_method_of_a_resource(project: StarlakeProject, method: str, trick: str):
    resource = get_environment(method).resource_class()()
    module = sys.modules[PACKAGE]
    module.TRICK[0] = getattr(module, trick, lambda *args, **kwargs: 3.5)
    said = {
        "raises": "raised LookupError: quota",
        "leaves": "raised SystemExit: 0",
        "nonsense": "returned 3.5 (float); ",
    }
    with pytest.raises(PluginError) as error:
        if method in ("runner", "warehouse_reader", "warehouse_access", "policy", "policies"):
            call_resource(
                resource, "policies" if method == "policies" else "runner", *([project] * (method != "policies"))
            )
        else:
            build_definitions(project, starlake=resource)
    assert f"{origin(method)}: Over_{method}.{method}() {said[trick]}" in str(error.value)


def test_a_log_that_cannot_be_read_is_the_reason_of_an_unknown_result(project: StarlakeProject):
    failure = failure_of(project, get_environment("logless").resource_class()())
    assert "logs returned tuple (list, NoneType) with lines of type str; expected" in failure
    assert "the result is unknown" in failure


def test_no_resource_on_the_command_line():
    with pytest.raises(PluginError) as error:
        resource_for_environment("constructor", {})
    assert origin("constructor") + ": Constructor() raised KeyError: 'endpoint'" in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", ": `doctor` wrong_plugin:raising raised ZeroDivisionError: no nodes"),
        ("raises", ": `doctor` wrong_plugin:texts raised TypeError: found str, expected an iterable of Finding"),
        ("exits", ": `doctor` wrong_plugin:exits raised SystemExit: 0"),
        ("submit", ": `doctor` wrong_plugin:level raised TypeError: found Finding(level='great'"),
        (
            "text",
            ": `doctor` wrong_plugin:no_text raised TypeError: found Finding(level='ok', topic='topic', text=None",
        ),
    ],
)
def test_no_findings(project: StarlakeProject, name: str, said: str):
    resource = get_environment(name).resource_class()()
    found = {one.topic: one for one in examine_environment(resource, project)}
    assert found["environment"].level == "error" and origin(name) + said in found["environment"].text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", ": `airflow` wrong_plugin:Operators raised KeyError: 'image'"),
        ("raises", ": `airflow` 'wrong_plugin:raising' is not a subclass of OperatorRenderer"),
    ],
)
def test_no_operators(project: StarlakeProject, tmp_path: Path, name: str, said: str):
    with pytest.raises(PluginError) as error:
        export_airflow(project, tmp_path / "dags", environment=name)
    assert origin(name) + said in str(error.value)


def failure_of(project: StarlakeProject, resource: Any) -> str:
    defs = build_definitions(project, starlake=resource)
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    failure = next(one for one in result.all_events if one.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    return f"{data.description} {data.metadata}"


def test_the_failure_of_a_step_has_the_reason(project: StarlakeProject):
    resource = get_environment("none").resource_class()()
    assert "ReturnsNone.environment() returned NoneType" in failure_of(project, resource)
