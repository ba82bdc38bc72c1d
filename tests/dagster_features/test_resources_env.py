"""Every field of every resource may be an environment variable, or be configured at launch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, StarlakeShell, build_definitions
from starlake_dagster_assets.environments import execution_environments, get_environment
from starlake_dagster_assets.resources import DataprocCluster, DataprocServerless, StarlakeDataproc
from starlake_dagster_assets.resources.env_vars import list_union_members
from tests.dagster_features.projects import SALES, rows, write

pytestmark = [
    pytest.mark.dagster_feature("`dg.EnvVar`, `EnvVar.int` and `configure_at_launch()`"),
    pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))"),
]

REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "duckdb": {},
    "shell": {},
    "dataproc": {"project": "p", "jars": ["gs://b/starlake.jar"]},
    "cloud_run": {"project": "p", "job": "j"},
    "fargate": {"task_definition": "t", "container": "c", "subnets": ["s"]},
    "kubernetes": {"image": "starlake"},
}
VALID: Mapping[str, Mapping[str, Any]] = {
    "kubernetes": {
        "secrets": {"A": "warehouse:password"},
        "resources": {"limits": {"memory": "4Gi"}},
        "volumes": [{"name": "lake"}],
        "volume_mounts": [{"name": "lake", "mountPath": "/lake"}],
        "tolerations": [{"key": "batch"}],
        "affinity": {"nodeAffinity": {}},
        "k8s_config": {"container_config": {"stdin": True}},
        "image_pull_policy": "Always",
        "load_incluster_config": False,  # not with a kubeconfig
        "namespace": "data",
        "service_account_name": "starlake",
    }
}
"""Values by field, of resources that validate them when they are constructed."""
PARTS = {"ephemeral": DataprocCluster, "serverless": DataprocServerless}


def sample(annotation: Any) -> tuple[str, Any]:
    """The text of a variable for a field, and the value that the field then has."""
    (kind,) = [one for one in list_union_members(annotation) if one is not type(None)]
    shape = get_origin(kind) or kind
    if shape is Literal:
        return get_args(kind)[-1], get_args(kind)[-1]
    if shape is list and get_origin(get_args(kind)[0]) is dict:
        return '[{"a": "b"}]', [{"a": "b"}]
    if isinstance(shape, type) and issubclass(shape, dg.Config):
        return '{"subnet": "mine"}', shape(subnet="mine")
    known = {str: "4GB", int: 700, float: 7.5, bool: True, list: ["a", "b"], dict: {"a": "b"}}
    value = known[shape]
    return {"list": "a, b", "dict": json.dumps(value), "bool": "true"}.get(shape.__name__, str(value)), value


def fields(cls: Any) -> list[str]:
    """The fields that variables give: `warehouse` is a resource, and of the places of Dataproc one is given."""
    others = {"from_environment", "warehouse", "attempts", "ephemeral", "serverless"}
    return [name for name in cls.model_fields if name not in others]


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> StarlakeProject:
    return StarlakeProject(write(tmp_path_factory.mktemp("env") / "sales", SALES))


def at_run(resource: Any, config: Mapping[str, Any] | None = None) -> Any:
    """The resource that a step is given."""
    seen: list[Any] = []

    @dg.op(required_resource_keys={"starlake"})
    def step(context) -> None:
        seen.append(context.resources.starlake)

    @dg.job(resource_defs={"starlake": resource.get_resource_definition()})
    def run() -> None:
        step()

    given = {"resources": {"starlake": {"config": dict(config)}}} if config else {}
    with dg.DagsterInstance.ephemeral() as instance:
        run.execute_in_process(run_config=given, instance=instance)
    return seen[0]


@pytest.mark.parametrize("kind", list(execution_environments()))
def test_every_field_of_every_resource(monkeypatch, kind):
    cls = get_environment(kind).resource_class()
    samples = {name: sample(cls.model_fields[name].annotation) for name in fields(cls)}
    valid = VALID.get(kind, {})
    samples |= {name: (one if isinstance(one, str) else json.dumps(one), one) for name, one in valid.items()}
    expected = {name: value for name, (_, value) in samples.items()}
    for name, (text, _) in samples.items():
        monkeypatch.setenv(f"V_{name}", text)
    variables = {name: dg.EnvVar(f"V_{name}") for name in samples}
    numbers = {name: dg.EnvVar.int(f"V_{name}") for name, value in expected.items() if type(value) in (int, float)}
    # Dagster 1.9 asks run config for required fields that are given already
    launched = at_run(cls.configure_at_launch(**variables), REQUIRED[kind])
    for found in (at_run(cls(**variables)), at_run(cls(**{**variables, **numbers})), launched):
        assert {name: getattr(found, name) for name in samples} == expected


@pytest.mark.parametrize("whole", list(PARTS))
def test_every_field_of_a_nested_configuration(monkeypatch, whole):
    samples = {name: sample(PARTS[whole].model_fields[name].annotation) for name in fields(PARTS[whole])}
    for name, (text, _) in samples.items():
        monkeypatch.setenv(f"V_{name}", text)
    config = PARTS[whole](**{name: dg.EnvVar(f"V_{name}") for name in samples})
    found = at_run(StarlakeDataproc(**REQUIRED["dataproc"], **{whole: config}))
    assert getattr(found, whole).values() == {name: value for name, (_, value) in samples.items()}


def test_variables_within_mappings_and_lists(monkeypatch):
    monkeypatch.setenv("ZONE", "b")
    cluster = DataprocCluster(extra={"gce": {"zone": dg.EnvVar("ZONE")}, "n": 1}, metadata={"z": dg.EnvVar("ZONE")})
    jars = ["gs://a/a.jar", dg.EnvVar("ZONE")]
    found = at_run(StarlakeDataproc(project="p", jars=jars, ephemeral=cluster))
    assert (found.jars, found.ephemeral.metadata) == (["gs://a/a.jar", "b"], {"z": "b"})
    assert found.ephemeral.extra == {"gce": {"zone": "b"}, "n": 1}


def test_values_that_environment_variables_give_stay_secret(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter22")
    env = {"PGPASSWORD": dg.EnvVar("PGPASSWORD")}
    for found in (at_run(StarlakeShell(env=env)), at_run(StarlakeShell.configure_at_launch(env=env))):
        assert (found.env, found.secrets) == ({"PGPASSWORD": "hunter22"}, ["PGPASSWORD"])
        assert "hunter22" not in repr(found)


@pytest.mark.parametrize(
    ("cls", "name", "text", "message"),
    [
        (StarlakeShell, "timeout", "-1", "StarlakeShell: `timeout` should be greater than 0.*A_VARIABLE"),
        (StarlakeShell, "log_level", "loud", "StarlakeShell: `log_level` should be 'info'"),
        (StarlakeShell, "env", "{", "StarlakeShell: `env` is not JSON"),
        (StarlakeShell, "grace", None, "StarlakeShell: `grace` is the environment variable A_VARIABLE, which is not"),
        (DataprocCluster, "num_workers", "-1", "num_workers"),
    ],
)
def test_a_value_is_validated_when_it_is_known(monkeypatch, cls, name, text, message):
    monkeypatch.delenv("A_VARIABLE", raising=False)
    resource: Any = cls(**{name: dg.EnvVar("A_VARIABLE")})
    if cls is DataprocCluster:
        resource = StarlakeDataproc(**REQUIRED["dataproc"], ephemeral=resource)
    if text is not None:
        monkeypatch.setenv("A_VARIABLE", text)
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        at_run(resource)
    assert re.search(message, str(raised.value.__cause__))


@pytest.mark.parametrize("kind", list(execution_environments()))
def test_definitions_are_built_without_the_values(sales, kind):
    cls = get_environment(kind).resource_class()
    variables = {name: dg.EnvVar("NOT_SET") for name in fields(cls)}
    for resource in (cls(**variables), cls.configure_at_launch(**variables), cls.configure_at_launch()):
        build_definitions(sales, starlake=resource).get_repository_def().load_all_definitions()
        build_definitions(sales, environments={"kpi.*": resource}).get_repository_def()


@pytest.mark.parametrize("launched", [False, True])
def test_a_run_writes_the_file_that_a_variable_names(sales, tmp_path, monkeypatch, launched):
    file = tmp_path / "other.db"
    monkeypatch.setenv("MYDB", str(file))
    (Path(sales.root) / "incoming/sales/orders_1.csv").write_text("id,day\n1,2025-03-01\n")
    make = StarlakeDuckDB.configure_at_launch if launched else StarlakeDuckDB
    defs = build_definitions(sales, starlake=make(database=dg.EnvVar("MYDB")))
    (step,) = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    assert getattr(step.op, "pool", None) == "starlake_duckdb_duckdb_db", "the pool of the project's own file"
    with dg.DagsterInstance.ephemeral() as instance:
        assert defs.get_repository_def().get_job("__ASSET_JOB").execute_in_process(instance=instance).success
    assert rows(file, "select orders from kpi.by_day") == [(1,)]
