"""The files of example_project/deployment are what Docker Compose, Helm, Kubernetes and Dagster read.

The schemas of the charts are excerpts with closed objects: the published ones come with no package, and a test does not
download them. See schemas/README.md.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._core.test_utils import environ

from starlake_dagster_assets.doctor.kubernetes import _EVENTS, _NEEDED
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.kubernetes_fields import validate_value
from tests.fakes.postgres import USER, PostgresServer, find_binaries

pytestmark = pytest.mark.newest_only
jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("kubernetes")

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"
DEPLOYMENT = EXAMPLE / "deployment"
SCHEMAS = Path(__file__).with_name("schemas")
CHARTS = {"kubernetes/values.yaml": "dagster-chart.yaml", "dagster-plus/values.yaml": "dagster-plus-chart.yaml"}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOYMENT / name).read_text())


def schema(name: str) -> Any:
    return yaml.safe_load((SCHEMAS / name).read_text())


def problems(values: Any, name: str) -> list[str]:
    """Returns what a schema does not allow; `x-kubernetes` is a type of the Kubernetes API."""

    def kubernetes(validator: Any, kind: str, value: Any, _: Any) -> Iterator[Any]:
        try:
            validate_value("value", kind, value, partial=True)
        except RunnerError as error:
            yield jsonschema.ValidationError(str(error))

    loaded = schema(name)
    validator = jsonschema.Draft7Validator
    validator.check_schema(loaded)
    extended = jsonschema.validators.extend(validator, {"x-kubernetes": kubernetes})
    return [f"{error.json_path}: {error.message}" for error in extended(loaded).iter_errors(values)]


# ------------------------------------------------------------------------------------------------- docker compose


def test_compose_is_valid_and_names_what_exists():
    compose = read("compose/compose.yaml")
    assert problems(compose, "compose-spec.json") == []
    services, volumes = compose["services"], set(compose["volumes"])
    assert set(services) == {"postgres", "starbake", "webserver", "daemon"}
    for name, service in services.items():
        if build := service.get("build"):
            assert (DEPLOYMENT / "compose" / build["context"] / build.get("dockerfile", "Dockerfile")).is_file()
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            assert source in volumes or (DEPLOYMENT / "compose" / source).is_file(), (name, source)
        assert set(service.get("depends_on", ())) <= set(services)
    text = (DEPLOYMENT / "compose" / "compose.yaml").read_text()
    example = (DEPLOYMENT / "compose" / ".env.example").read_text()
    wanted = set(re.findall(r"\$\{(\w+)", text))
    assert wanted == {line.partition("=")[0] for line in example.splitlines() if "=" in line}
    (server,) = [one["grpc_server"] for one in read("compose/workspace.yaml")["load_from"]]
    assert server["host"] in services and f'"{server["port"]}"' in (EXAMPLE / "Dockerfile").read_text()


@pytest.mark.parametrize("change", [{"service": {}}, {"services": {"a": {"img": "x"}}}])
def test_a_wrong_compose_file_is_found(change: dict[str, Any]):
    assert problems({**read("compose/compose.yaml"), **change}, "compose-spec.json")


def test_the_image_of_dagster_has_the_tested_versions_and_copies_what_exists():
    text = (DEPLOYMENT / "compose" / "Dockerfile").read_text()
    for name, version in re.findall(r"([\w-]+)==([\d.]+)", text):
        assert importlib.metadata.version(name) == version, f"set the version of {name} in the Dockerfile"
    copied = [word for line in text.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied == ["dagster.yaml", "workspace.yaml"]
    assert all((DEPLOYMENT / "compose" / name).is_file() for name in copied)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql (.ci/run does it)")
    with PostgresServer(binaries) as running:
        yield running


def test_the_instance_keeps_its_history_in_postgresql(server: PostgresServer, tmp_path: Path):
    """The dagster.yaml of the page, with the user, database and port of the server of the test."""
    config = read("compose/dagster.yaml")
    database = config["storage"]["postgres"]["postgres_db"]
    assert database["password"] == {"env": "DAGSTER_PG_PASSWORD"}
    database |= {"username": USER, "db_name": "postgres", "port": server.port}
    config["compute_logs"]["config"]["base_dir"] = str(tmp_path / "logs")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))

    @dg.asset(pool="duckdb")
    def numbers() -> None: ...

    variables = {"DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PASSWORD": server.password}
    with environ(variables), dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert dg.materialize([numbers], instance=instance).success
        assert len(instance.get_run_records()) == 1
        assert instance.get_latest_materialization_event(dg.AssetKey("numbers")) is not None
        assert instance.run_monitoring_enabled and instance.global_op_concurrency_default_limit == 1
    with environ(variables), dg.DagsterInstance.from_config(str(tmp_path)) as again:
        assert len(again.get_run_records()) == 1


# ----------------------------------------------------------------------------------------------- charts of Dagster


@pytest.mark.parametrize("name", CHARTS)
def test_values_fit_the_chart(name: str):
    assert problems(read(name), CHARTS[name]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"runLaunchr": {}},
        {"runLauncher": {"type": "K8sRunLauncher", "config": {"k8sRunLauncher": {"volume": []}}}},
        {"dagsterDaemon": {"runCoordinator": {"type": "QueuedRunCoordinator", "config": {}, "enabled": True}}},
        {"concurrency": {"enabled": True, "pools": {"default_limit": 1}}},
        {
            "runLauncher": {
                "type": "K8sRunLauncher",
                "config": {"k8sRunLauncher": {"runK8sConfig": {"podSpecConfig": {"nodeSelectr": {}}}}},
            }
        },
    ],
)
def test_wrong_values_are_found(change: dict[str, Any]):
    assert problems({**read("kubernetes/values.yaml"), **change}, "dagster-chart.yaml")


def instance_config(values: Any) -> dict[str, Any]:
    """Returns the dagster.yaml that the chart writes from its values, without storage and run launcher.

    The chart adds its defaults to the values, and `max_concurrent_runs: -1` if its section `concurrency` is disabled.
    """
    daemon = values["dagsterDaemon"]
    queue = {"dequeueUseThreads": True, "dequeueNumWorkers": 4}
    queue |= daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    concurrency = values.get("concurrency", {"enabled": False})
    if not concurrency["enabled"]:
        queue = {"maxConcurrentRuns": -1, **queue}
    sections = {name: _snake_keys(concurrency[name]) for name in ("pools", "runs")} if concurrency["enabled"] else {}
    return {
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": _snake_keys(queue),
        },
        "run_monitoring": _snake_keys(daemon["runMonitoring"]),
        "run_retries": daemon["runRetries"],
        "telemetry": values["telemetry"],
        **({"concurrency": sections} if sections else {}),
        **values.get("additionalInstanceConfig", {}),
    }


def _snake_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in values.items()}


def settings() -> dict[str, dict[str, Any]]:
    return {
        "kubernetes/values.yaml": instance_config(read("kubernetes/values.yaml")),
        "dagster-plus/deployment_settings.yaml": read("dagster-plus/deployment_settings.yaml"),
    }


@pytest.mark.parametrize("name", settings())
def test_an_instance_takes_the_settings(name: str, tmp_path: Path):
    config = settings()[name]
    config["run_monitoring"].setdefault("enabled", True)
    assert set(config) <= set(dagster_instance_config_schema())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None and queue.max_concurrent_runs == 25
        assert [one["key"] for one in queue.tag_concurrency_limits] == ["starlake/max_active_runs_1"]
        assert instance.global_op_concurrency_default_limit == 1
        assert instance.run_monitoring_max_resume_run_attempts == 0


def test_limits_outside_of_the_section_of_the_chart_are_refused_by_dagster(tmp_path: Path):
    values = read("kubernetes/values.yaml")
    limits = {name: _snake_keys(one) for name, one in values.pop("concurrency").items() if name != "enabled"}
    config = instance_config({**values, "additionalInstanceConfig": {"concurrency": limits}})
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(dg.DagsterInvalidConfigError, match="max_concurrent_runs"):
        dg.DagsterInstance.from_config(str(tmp_path))


def test_the_chart_has_the_version_of_the_image():
    text = (DEPLOYMENT / "kubernetes" / "values.yaml").read_text()
    assert f"--version {dg.__version__} " in text
    (location,) = read("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"]
    assert location["dagsterApiGrpcArgs"] == ["--python-file", "/opt/dagster/app/definitions.py"]
    assert "WORKDIR /opt/dagster/app" in (EXAMPLE / "Dockerfile").read_text()


def context_of_runs(values: Any) -> Any:
    """Returns the context of runs: that of the code location over that of the run launcher, as dagster-k8s merges them.

    The chart writes both contexts. Without a name, the accounts have the names of the charts.
    """
    from dagster_k8s.container_context import K8sContainerContext

    locations, common = values["dagster-user-deployments"], values["global"].get("serviceAccountName")
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    account = common or values["serviceAccount"].get("name") or "dagster"
    of_locations = common or locations.get("serviceAccount", {}).get("name")
    context = {"service_account_name": account, "resources": launcher["resources"]}
    merged = K8sContainerContext.create_from_config({"k8s": context})
    (location,) = locations["deployments"]
    if location["includeConfigInLaunchedRuns"]["enabled"]:
        more = {
            "service_account_name": of_locations or "dagster-dagster-user-deployments-user-deployments",
            "env_secrets": [one["name"] for one in location["envSecrets"]],
            **({"resources": location["resources"]} if "resources" in location else {}),
        }
        merged = merged.merge(K8sContainerContext.create_from_config({"k8s": more}))
    return merged.run_k8s_config


def test_runs_have_the_account_of_the_manifests_and_the_memory_of_the_run_launcher():
    values = read("kubernetes/values.yaml")
    runs = context_of_runs(values)
    (binding,) = [item for item in manifests() if item["kind"] == "RoleBinding"]
    assert [one["name"] for one in binding["subjects"]] == [runs.pod_spec_config["service_account_name"]]
    assert runs.container_config["resources"] == values["runLauncher"]["config"]["k8sRunLauncher"]["resources"]
    assert values["dagster-user-deployments"]["serviceAccount"]["create"] is False, "the chart creates it once"
    assert values["serviceAccount"]["create"] is True


def test_the_account_and_the_memory_of_a_code_location_take_precedence_in_runs():
    values = read("kubernetes/values.yaml")
    del values["dagster-user-deployments"]["serviceAccount"]
    values["dagster-user-deployments"]["deployments"][0]["resources"]["limits"]["memory"] = "1Gi"
    runs = context_of_runs(values)
    assert runs.pod_spec_config["service_account_name"] == "dagster-dagster-user-deployments-user-deployments"
    assert runs.container_config["resources"]["limits"] == {"memory": "1Gi"}


# ------------------------------------------------------------------------------------------------------ manifests


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOYMENT / "kubernetes" / "starlake.yaml").read_text()))


def test_manifests_are_objects_of_kubernetes():
    import kubernetes.client

    for item in manifests():
        kind = f"V1{item['kind']}"
        assert hasattr(kubernetes.client, kind)
        validate_value(item["metadata"]["name"], kind, item)


def test_the_role_has_what_doctor_asks_for():
    (role,) = [item for item in manifests() if item["kind"] == "Role"]
    (binding,) = [item for item in manifests() if item["kind"] == "RoleBinding"]
    allowed = {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {(verb, group, "/".join(filter(None, (kind, below)))) for verb, group, kind, below in (*_NEEDED, _EVENTS)}
    assert allowed == needed
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    agent = read("dagster-plus/values.yaml")  # runs have the account of the agent
    assert agent["serviceAccount"] == {"create": True, "name": binding["subjects"][0]["name"]}
