"""The resource: its fields, what it refuses, and a run through it."""

import json
import os
from contextlib import nullcontext

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, StarlakeTranslator, build_definitions
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Submission
from starlake_dagster_assets.resources.kubernetes import StarlakeKubernetes
from tests.conformance.subject import SECRET, write_project

FAST = {"poll_interval": 0.02, "log_settle": 0.4}


@pytest.fixture
def project(tmp_path):
    return StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")


def environment(project, **fields):
    from starlake_dagster_assets.execution.backends.protocol import StepAttempt

    return StarlakeKubernetes(**{"image": "starlake:1.6.0", **fields}).runner(project, StepAttempt()).environment


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"env": {"PGPASSWORD": "x"}}, "env `PGPASSWORD` looks like a secret"),
        ({"env": {"URL": "postgresql://me:x@db/x"}}, "env `URL` has a secret or a URL with a password"),
        (
            {"k8s_config": {"container_config": {"env": [{"name": "A", "value": SECRET}]}}},
            "k8s_config.container_config.env `A` has a secret",
        ),
        ({"annotations": {"note": SECRET}}, "annotations `note` has a secret"),
        ({"annotations": {"my-token": "x"}}, "annotations `my-token` looks like a secret"),
        ({"labels": {"note": SECRET}}, "labels `note` has a secret"),
        ({"env": {"BASIC_AUTH": "x"}}, "env `BASIC_AUTH` looks like a secret"),
        ({"env": {"password": "x"}}, "env `password` looks like a secret"),
        ({"env": {"NOTE": "user: me\npassword: x1y2"}}, "env `NOTE` has a secret"),
        ({"node_selector": {"password": "x"}}, "node_selector `password` looks like a secret"),
        ({"image": "me:x1y2@registry.example.com/starlake:1.6.0"}, "image has a secret"),
        (
            {"k8s_config": {"container_config": {"command": ["sh", "-c", "curl -s -u me:x1y2 https://x/y"]}}},
            "k8s_config.container_config `command[2]` has a secret",
        ),
        (
            {"k8s_config": {"container_config": {"command": ["curl", "-u", "me:x1y2", "https://x/y"]}}},
            "k8s_config.container_config `command` has a secret",
        ),
        ({"labels": {"db-password": "x"}}, "labels `db-password` looks like a secret"),
        (
            {"k8s_config": {"pod_template_spec_metadata": {"labels": {"note": SECRET}}}},
            "labels `note` has a secret",
        ),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": SECRET}}]},
            "volumes[0].secret `secretName` has a secret",
        ),
        ({"tolerations": [{"key": SECRET}]}, "tolerations[0] `key` has a secret"),
        ({"image": f"registry/{SECRET}"}, "image has a secret"),
        (
            {"k8s_config": {"container_config": {"command": ["starlake", SECRET]}}},
            "k8s_config.container_config `command[1]` has a secret",
        ),
        (
            {"k8s_config": {"container_config": {"command": ["starlake", "--password", "abc"]}}},
            "k8s_config.container_config.command `--password` looks like a secret",
        ),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"password": "abc"}}}]},
            "volumes[0].csi.volumeAttributes `password` looks like a secret",
        ),
        (
            {"volumes": [{"name": "v", "flexVolume": {"driver": "d", "options": {"accountKey": "abc"}}}]},
            "volumes[0].flexVolume.options `accountKey` looks like a secret",
        ),
    ],
)
def test_a_secret_is_a_reference(project, fields, said):
    with pytest.raises(RunnerError) as error:
        environment(project, **fields)
    assert said in str(error.value)
    assert 'secrets={"NAME": "SECRET:KEY"}' in str(error.value)
    assert SECRET not in str(error.value)


REFERENCES = {
    "GOOGLE_APPLICATION_CREDENTIALS": "/secrets/key.json",
    "PG_PASSWORD_FILE": "/run/secrets/pg",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
    "DB_SECRET_NAME": "prod/db",
    "MAX_TOKENS": "4096",
    "SPRING_DATASOURCE_PASSWORD": "$(PGPASSWORD)",
    "spark.kubernetes.executor.secretKeyRef.PGPASSWORD": "warehouse:password",
    "spark.kubernetes.driver.secrets.warehouse": "/etc/secrets",
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_name_or_a_path_of_a_secret_is_no_secret(project, name):
    value = REFERENCES[name]
    as_item = {"container_config": {"env": [{"name": name, "value": value}]}}
    environment(project, k8s_config=as_item)
    made = environment(project, env={name: value, "SPARK_CONF_OPTIONS": f"--conf {name}={value}"})
    assert made.template.env[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PG_PASSWORD_FILE", f"/run/{SECRET}"),
        ("DB_SECRET_NAME", "postgresql://me:x@db/x"),
        ("AWS_SECRET_KEY", "/aB3dEfGh1jKlMnOpQrS/UvWxYz0123456789abc"),
        ("PGPASSWORD", "/x1y2"),
        ("URL", "jdbc:postgresql://h/db?user=u&password=/x1/y2"),
        ("COMMAND", "PASSWORD_NAME=x PASSWORD=x1y2 run"),
        ("PGPASSWORD", "$(x y)"),
        ("API_TOKEN", "4096"),
        ("TOKENS", "a4096"),
        ("spark.kubernetes.executor.secretKeyRef.PGPASSWORD", "x1y2"),
        ("spark.kubernetes.driver.secrets.warehouse", "x1y2"),
        ("jsonKeyfile", "e30="),
    ],
)
def test_a_value_that_is_no_reference_is_a_secret(project, name, value):
    with pytest.raises(RunnerError, match="secret"):
        environment(project, env={name: value})


def test_a_class_of_the_csi_driver_is_no_secret(project):
    attributes = {"secretProviderClass": "starlake-kv"}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    found = environment(project, volumes=[{"name": "c", "csi": csi}]).template.sections()
    assert found["pod_spec_config"]["volumes"][0]["csi"]["volume_attributes"] == attributes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"secrets": {"PGPASSWORD": "hunter2"}}, "secrets: the reference of PGPASSWORD is not `SECRET:KEY`"),
        ({"k8s_config": {"pod_spec": {}}}, "k8s_config has no section `pod_spec`; did you mean `pod_spec_config`?"),
        ({"tolerations": [{"kye": "x"}]}, "tolerations[0].kye: Kubernetes has no such field; did you mean `key`?"),
        ({"secrets": {"PGPASSWORD": f"{SECRET}:word"}}, "secrets: the reference of PGPASSWORD is not `SECRET:KEY`"),
        ({"secrets": {"PGPASSWORD": f"warehouse:{SECRET}"}}, "secrets: the reference of PGPASSWORD is not"),
        ({"env_secrets": [SECRET]}, "env_secrets[0] is a secret of the project, and anyone"),
        ({"resources": {"env": {"cpu": "1"}}}, "resources.env: Kubernetes has no such field"),
        ({"affinity": {"env": ["x"]}}, "affinity.env: Kubernetes has no such field"),
        ({"k8s_config": {"env": [{"name": "A"}]}}, "k8s_config has no section `env`"),
    ],
)
def test_what_is_refused_before_anything_runs(project, fields, said):
    with pytest.raises(RunnerError) as error:
        environment(project, **fields)
    assert said in str(error.value) and SECRET not in str(error.value)


@pytest.mark.parametrize("as_text", [False, True])
def test_the_variables_of_the_container_may_be_all_of_the_raw_configuration(project, as_text):
    raw = {"container_config": {"env": [{"name": "POD", "value": "x"}]}}
    resource = StarlakeKubernetes(image="starlake:1.6.0", k8s_config=json.dumps(raw) if as_text else raw)

    @dg.op
    def variables(starlake: StarlakeKubernetes):
        from starlake_dagster_assets.execution.backends.protocol import StepAttempt

        container = starlake.environment(project, StepAttempt()).template.sections()["container_config"]
        assert container["env"] == [{"name": "POD", "value": "x"}]

    @dg.job
    def job():
        variables()

    definitions = dg.Definitions(jobs=[job], resources={"starlake": resource})
    resolve = getattr(definitions, "resolve_job_def", definitions.get_job_def)
    with dg.DagsterInstance.ephemeral() as instance:
        assert resolve("job").execute_in_process(instance=instance).success


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"volume_mounts": [{"name": "v"}]}, "StarlakeKubernetes: volume_mounts[0] has `name`; `mountPath` is missing"),
        ({"volumes": [None]}, "`volumes[0]` should be a valid dictionary"),
        ({"k8s_config": {"job_spec_config": {"backoffLimit": 3}}}, "k8s_config.job_spec_config.backoffLimit is 3"),
        ({"annotations": {"my-token": "x"}}, "annotations `my-token` looks like a secret"),
        ({"namespace": "Data X"}, "namespace is not the name of an object"),
        ({"namespace": "a" * 64}, "namespace has more than 63 characters"),
        ({"image": "my image"}, "image has a space"),
        ({"service_account_name": "A b"}, "service_account_name is not the name of an object"),
        ({"volumes": [{"name": dg.EnvVar("V")}, {}]}, "volumes[1] is empty; `name` is missing"),
    ],
)
def test_fields_are_validated_when_the_resource_is_constructed(fields, said):
    with pytest.raises(RunnerError) as error:
        StarlakeKubernetes(**{"image": "starlake:1.6.0", **fields})
    assert said in str(error.value)


def test_secrets_of_the_project_are_refused_when_definitions_are_built(project):
    resource = StarlakeKubernetes(image="starlake:1.6.0", volumes=[{"name": "v", "secret": {"secretName": SECRET}}])
    with pytest.raises(RunnerError, match="secretName"):
        build_definitions(project, starlake=resource)


def test_variables_are_validated_when_they_are_read(monkeypatch):
    raw = {"container_config": {"image_pull_policy": dg.EnvVar("P"), "securityContext": {"runAsUser": dg.EnvVar("U")}}}
    resource = StarlakeKubernetes(
        image=dg.EnvVar("IMAGE"),
        namespace=dg.EnvVar("SPACE"),
        volumes=[{"name": dg.EnvVar("V")}],
        k8s_config=raw,
        resources={"limits": {"memory": dg.EnvVar("MEMORY")}},
    )
    names = {"IMAGE": "i", "SPACE": "data", "V": "lake", "P": "Always", "U": "7", "MEMORY": "4Gi"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with resource.process_config_and_initialize_cm() as ready:
        assert (ready.volumes, ready.resources) == ([{"name": "lake"}], {"limits": {"memory": "4Gi"}})
    monkeypatch.setenv("MEMORY", "4 GB")
    with pytest.raises(RunnerError, match="expected a quantity"), resource.process_config_and_initialize_cm():
        pass


@pytest.mark.parametrize(("text", "message"), [("256", ""), ("0400", "or `256`"), ("x", "expected a whole number")])
def test_a_variable_may_be_a_number(monkeypatch, project, text, message):
    volume = {"name": "v", "secret": {"secretName": "s", "defaultMode": dg.EnvVar("MODE")}}
    resource = StarlakeKubernetes(image="i", volumes=[volume])
    monkeypatch.setenv("MODE", text)
    with nullcontext() if not message else pytest.raises(RunnerError, match=message):  # noqa: SIM117
        with resource.process_config_and_initialize_cm() as ready:
            made = ready.environment(project, StepAttempt()).template.job(Submission(Command("load"), "k"), "data")
            assert made["spec"]["template"]["spec"]["volumes"][0]["secret"]["defaultMode"] == int(text)


@pytest.mark.parametrize("raw", [{"container_config": None}, {"merge_behavior": None}, {}, None])
def test_a_section_without_a_value_is_not_set(project, raw):
    made = environment(project, k8s_config=raw)
    assert made.template.sections()["pod_spec_config"] == {}


def test_annotations_of_tools_are_no_secrets(project):
    name = "vault.hashicorp.com/agent-inject-secret-db"
    made = environment(project, annotations={name: "database/creds/db"})
    assert made.template.annotations == {name: "database/creds/db"}


def test_fields_arrive(project):
    made = environment(
        project,
        namespace="data",
        labels={"team": "data"},
        env={"SL_METRICS": "on"},
        root="gs://b/starbake",
        start_timeout=30,
        node_selector={"pool": "batch"},
        volumes=[{"name": "lake", "emptyDir": {}}],
        volume_mounts=[{"name": "lake", "mountPath": "/lake"}],
        image_pull_secrets=["registry"],
    )
    assert (made.namespace, made.start_timeout) == ("data", 30)
    assert made.template.env == {"SL_METRICS": "on", "SL_ROOT": "gs://b/starbake", "SL_LOG_LEVEL": "info"}
    assert made.template.pod_spec == {"node_selector": {"pool": "batch"}}
    found = made.template.sections()
    assert found["pod_spec_config"]["image_pull_secrets"] == [{"name": "registry"}]
    assert found["container_config"]["volume_mounts"] == [{"name": "lake", "mount_path": "/lake"}]


def test_fields_may_be_text_and_variables(monkeypatch):
    given = {
        "image": dg.EnvVar("STARLAKE_IMAGE"),
        "resources": json.dumps({"limits": {"memory": "4Gi"}}),
        "env_secrets": "a,b",
        "labels": {"team": dg.EnvVar("TEAM")},
        "kubeconfig_file": dg.EnvVar("THE_CONFIG"),
    }
    for name, value in {"STARLAKE_IMAGE": "starlake:2", "TEAM": "data", "THE_CONFIG": "/c"}.items():
        monkeypatch.setenv(name, value)
    with StarlakeKubernetes(**given).process_config_and_initialize_cm() as ready:
        assert (ready.image, ready.kubeconfig_file, ready.labels) == ("starlake:2", "/c", {"team": "data"})
        assert ready.resources == {"limits": {"memory": "4Gi"}}
        assert ready.env_secrets == ["a", "b"]


def test_a_run(server, scripted, project, tmp_path):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "fail"}})
    server.secrets["crm"] = {"password": SECRET}
    resource = StarlakeKubernetes(
        image="starlake:1.6.0",
        kubeconfig_file=server.kubeconfig(tmp_path),
        secrets={"PGPASSWORD": "crm:password"},
        **FAST,
    )
    defs = build_definitions(project, starlake=resource)
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    keys = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert keys == {"sales/orders"}
    loads = [
        job for job in server.jobs.values() if job["spec"]["template"]["spec"]["containers"][0]["args"][0] == "load"
    ]
    labels = loads[0]["metadata"]["labels"]
    assert labels["dagster/run-id"] == result.run_id
    assert labels["dagster/job"] == "ASSET_JOB"  # a label begins with a letter or digit
    assert SECRET not in json.dumps(server.calls)
    assert os.environ.get("PGPASSWORD") is None


class Bigger(StarlakeTranslator):
    """Customers get more memory."""

    def get_environment_config(self, node):
        big = {"container_config": {"resources": {"limits": {"memory": "16Gi"}}}}
        return big if node.id == "sales.customers" else {}


def test_tables_with_settings_of_their_own_are_loaded_apart(server, scripted, project, tmp_path):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "load", "rows": 2}})
    resource = StarlakeKubernetes(image="starlake:1.6.0", kubeconfig_file=server.kubeconfig(tmp_path), **FAST)
    defs = build_definitions(project, starlake=resource, translator=Bigger())
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success
    found = {}
    for made in server.jobs.values():
        container = made["spec"]["template"]["spec"]["containers"][0]
        if container["args"][0] == "load":
            found[container["args"][container["args"].index("--tables") + 1]] = container.get("resources")
    assert found == {"orders": {}, "customers": {"limits": {"memory": "16Gi"}}}
