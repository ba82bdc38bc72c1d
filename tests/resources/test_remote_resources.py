"""What the resources of all remote environments share."""

import base64
import json
import sys
from dataclasses import replace

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.commands import build
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Policy, Status
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from starlake_dagster_assets.resources import (
    DataprocCluster,
    DataprocServerless,
    StarlakeCloudRun,
    StarlakeDataproc,
    StarlakeFargate,
    StarlakeKubernetes,
)

MAKE = {
    "cloud_run": lambda **fields: StarlakeCloudRun(project="p", job="j", local=True, endpoint="localhost:1", **fields),
    "fargate": lambda **fields: StarlakeFargate(task_definition="t", container="c", subnets="s-1", **fields),
    "kubernetes": lambda **fields: StarlakeKubernetes(**{"image": "i", "kubeconfig_file": "none", **fields}),
    "dataproc": lambda **fields: StarlakeDataproc(project="p", jars="gs://b/j.jar", local=True, **fields),
    "dataproc_serverless": lambda **fields: StarlakeDataproc(
        project="p", jars="gs://b/j.jar", local=True, serverless=DataprocServerless(), **fields
    ),
}
PACKAGES = {
    "cloud_run": ("google.cloud.run_v2", "cloud-run"),
    "fargate": ("boto3", "fargate"),
    "kubernetes": ("kubernetes", "kubernetes"),
    "dataproc": ("google.cloud.dataproc_v1", "dataproc"),
    "dataproc_serverless": ("google.cloud.storage", "dataproc"),
}
EVERY = pytest.mark.parametrize("place", MAKE)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "application.sl.yml").write_text("version: 1\napplication: {}\n")
    (tmp_path / "metadata" / "env.PROD.sl.yml").write_text("version: 1\nenv: {}\n")
    return StarlakeProject(tmp_path, env="PROD", options={"country": "fr"})


def variables(place, project, **fields):
    environment = MAKE[place](**fields).runner(project, StepAttempt()).environment
    holder = {"dataproc": "program", "kubernetes": "template"}.get(place.removesuffix("_serverless"))
    return dict(getattr(environment, holder).env if holder else environment.env)


AT_ONCE = Policy(settle=0)
"""`Remembering` has no log, so that no end of one is waited for."""


class Remembering:
    """A service that takes everything and does nothing."""

    name = "remembering"

    def __init__(self):
        self.taken = []

    def submit(self, submission):
        self.taken.append(submission.command.argv)
        return "it"

    def status(self, execution):
        return Status("succeeded", 0)

    def logs(self, execution, cursor):
        return (), None

    def classify_error(self, error):
        return ErrorClass("fatal", str(error))


@EVERY
def test_a_missing_package_is_one_line_that_names_the_extra(place, project, monkeypatch):
    module, extra = PACKAGES[place]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RunnerError) as told:
        MAKE[place]().runner(project)
    assert str(told.value).splitlines() == [
        f"{module} is not installed, and this environment needs it: pip install 'starlake-dagster-assets[{extra}]'."
    ]


@EVERY
@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, "info"),
        ({"env": {"SL_LOG_LEVEL": "error"}}, "info"),
        ({"env": {"SL_LOG_LEVEL": "TRACE"}}, "trace"),
        ({"log_level": "debug"}, "debug"),
    ],
)
def test_the_lines_that_tell_of_tables_are_always_there(place, project, fields, level):
    assert variables(place, project, **fields)["SL_LOG_LEVEL"] == level


@EVERY
def test_the_job_id_of_a_command_cannot_be_replaced(place):
    options = [{"env": {"SL_JOB_ID": "x"}}, *([] if "dataproc" in place else [{"secrets": {"SL_JOB_ID": "w:p"}}])]
    texts = [{field: json.dumps(value)} for fields in options for field, value in fields.items()]
    for fields in options + texts:
        with pytest.raises(RunnerError, match=r"`SL_JOB_ID`: each command gets its own value.*Next: remove it"):
            MAKE[place](**fields)


@pytest.mark.parametrize("place", ["cloud_run", "fargate", "kubernetes"])
@pytest.mark.parametrize("name", ["SL_HTTP_PORT", "SL_LOG_LEVEL"])
def test_a_variable_whose_value_must_be_known_is_no_secret(place, name):
    with pytest.raises(RunnerError, match=rf"secrets `{name}`: it .*Next: remove it"):
        MAKE[place](secrets={name: "w:p"})


@EVERY
def test_the_variables_of_every_command(place, project):
    env = {"SL_HTTP_PORT": "8080", "SL_METRICS": "on"}
    assert variables(place, project, env=env, root="gs://b/starbake") == {
        "SL_ENV": "PROD",
        "SL_ROOT": "gs://b/starbake",
        "SL_LOG_LEVEL": "info",
        "SL_METRICS": "on",
    }


@EVERY
@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "DB_PASS", "PGPASS", "API_KEY", "SasToken", "client-secret", "BASIC_AUTH"]
)
def test_a_variable_that_looks_like_a_secret_is_refused_without_its_value(place, project, name):
    with pytest.raises(RunnerError, match=name) as told:
        variables(place, project, env={name: "n0body-may-see-this"})
    assert "n0body-may-see-this" not in str(told.value)


VALUES = {
    "a password in a URL": "postgresql://sl:n0body-may-see-this@db/dwh",
    "a password in a JDBC URL": "jdbc:redshift://db/dwh?user=sl&password=n0body-may-see-this",
    "the secret of a connection": "n0body-may-see-this-either",
    "a part of it": "x=n0body-may-see-this-either",
    "a Spark property": "--conf spark.hadoop.fs.s3a.secret.key=n0body-may-see-this",
    "a Spark property of Azure": "--conf spark.hadoop.fs.azure.account.key.acc.dfs.core.windows.net=n0body-may-see",
    "JSON": '{"password": "n0body-may-see-this"}',
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.n0body-may-see-this-signature",
}


@EVERY
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_that_holds_a_secret_is_refused_without_showing_it(place, tmp_path, value):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "application.sl.yml").write_text(
        "version: 1\napplication: {connections: {pg: {type: jdbc, options: {password: n0body-may-see-this-either}}}}\n"
    )
    project = StarlakeProject(tmp_path)
    with pytest.raises(RunnerError, match="env `PGURL` has a secret or a URL with a password") as told:
        variables(place, project, env={"PGURL": value})
    assert "n0body" not in str(told.value)
    if place.startswith("dataproc"):
        with pytest.raises(RunnerError, match=r"spark_properties `spark\.x` has a secret"):
            variables(place, project, spark_properties={"spark.x": value})


PASSWORD = "hunter22xyz"
BASE64 = base64.b64encode(f"sl:{PASSWORD}".encode()).decode()
VISIBLE = [
    ("", {"root": f"s3://{PASSWORD}/x"}),
    ("", {"datasets": f"s3://b/{PASSWORD}"}),
    ("", {"env": {PASSWORD: "x"}}),
    ("", {"env": {"AUTH": BASE64}}),
    ("", {"env": {"AUTH": PASSWORD.encode().hex()}}),
    ("kubernetes", {"labels": {PASSWORD: "x"}}),
    ("kubernetes", {"labels": {"x": PASSWORD}}),
    ("kubernetes", {"annotations": {f"example.com/{PASSWORD}": "x"}}),
    ("kubernetes", {"annotations": {"x": f"a {PASSWORD}"}}),
    ("kubernetes", {"image": f"registry/{PASSWORD}:1"}),
    ("kubernetes", {"namespace": PASSWORD}),
    ("kubernetes", {"node_selector": {PASSWORD: "x"}}),
    ("kubernetes", {"secrets": {PASSWORD: "warehouse:password"}}),
    ("kubernetes", {"tolerations": [{"key": PASSWORD, "operator": "Exists"}]}),
    ("kubernetes", {"k8s_config": {"container_config": {"env": [{"name": "A", "value": BASE64}]}}}),
    ("kubernetes", {"k8s_config": {"container_config": {"env": [{"name": PASSWORD, "value": "x"}]}}}),
    ("kubernetes", {"k8s_config": {"pod_template_spec_metadata": {"labels": {PASSWORD: "x"}}}}),
    ("fargate", {"secrets": {"PGPASSWORD": PASSWORD}}),
    ("fargate", {"capacity_provider": PASSWORD}),
    ("cloud_run", {"secrets": {"PGPASSWORD": PASSWORD}}),
    ("cloud_run", {"container": PASSWORD}),
    ("dataproc", {"spark_properties": {f"spark.{PASSWORD}": "x"}}),
    ("dataproc", {"ephemeral": DataprocCluster(extra={"gce": {"tags": [PASSWORD]}})}),
    ("dataproc", {"ephemeral": DataprocCluster(metadata={PASSWORD: "x"})}),
    ("dataproc_serverless", {"bucket": PASSWORD}),
]


@pytest.mark.parametrize(
    ("place", "fields"), [(place, fields) for only, fields in VISIBLE for place in ([only] if only else MAKE)]
)
def test_a_password_of_the_project_is_an_error_in_every_visible_field(place, fields, tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "application.sl.yml").write_text(
        f"version: 1\napplication: {{connections: {{pg: {{type: jdbc, options: {{password: {PASSWORD}}}}}}}}}\n"
    )
    resource = MAKE[place](**fields)
    for call in (resource.validate_against, resource.runner):
        with pytest.raises(RunnerError, match="secret") as told:
            call(StarlakeProject(tmp_path))
        assert PASSWORD not in str(told.value) and BASE64 not in str(told.value)


@EVERY
@pytest.mark.parametrize("value", ["postgresql://sl:${PGPASSWORD}@db/dwh", "postgresql://sl@db/dwh", "gs://b/a:b"])
def test_a_placeholder_is_no_secret(place, project, value):
    assert variables(place, project, env={"PGURL": value})["PGURL"] == value


@EVERY
def test_the_variables_of_the_project_are_options_of_every_command(place, project):
    runner = MAKE[place]().runner(project)
    assert runner.options == {"country": "fr"}
    service = Remembering()
    RemoteRunner(service, policy=AT_ONCE, options=runner.options).start(build.load("sales", ["orders"])).wait()
    given = build.transform("kpi.a", {"day": "1", "country": "be"})
    RemoteRunner(service, policy=AT_ONCE, options=runner.options).start(given).wait()
    assert service.taken == [
        ("load", "--domains", "sales", "--tables", "orders", "--options", "country=fr"),
        ("transform", "--name", "kpi.a", "--options", "country=fr,day=1,country=be"),
    ]


@pytest.mark.parametrize(
    ("options", "secrets"),
    [({"token": "x"}, frozenset()), ({"a": "b", "greeting": "my-n0body-may"}, frozenset({"n0body-may"}))],
)
def test_an_option_that_gives_a_secret_away_is_not_sent(options, secrets):
    service = Remembering()
    with pytest.raises(RunnerError, match=list(options)[-1]) as told:
        RemoteRunner(service, policy=AT_ONCE).start(build.transform("kpi.a", options, secrets=secrets))
    assert "n0body-may" not in str(told.value)
    assert not service.taken


def test_properties_of_spark_may_refer_to_secrets():
    service = Remembering()
    properties = {
        "spark.kubernetes.executor.secretKeyRef.PGPASSWORD": "warehouse:password",
        "spark.kubernetes.driver.secrets.warehouse": "/etc/secrets",
    }
    command = replace(build.transform("kpi.a"), spark=properties)
    RemoteRunner(service, policy=AT_ONCE).start(command).wait()
    assert len(service.taken) == 1
    with pytest.raises(RunnerError, match=r"the Spark property `spark.sql.password` of transform"):
        RemoteRunner(service, policy=AT_ONCE).start(replace(command, spark={"spark.sql.password": "x"}))


def test_a_short_secret_is_no_part_of_an_innocent_word():
    service = Remembering()
    RemoteRunner(service, policy=AT_ONCE).start(
        build.transform("kpi.a", {"to": "latest"}, secrets=frozenset({"test"}))
    ).wait()
    assert len(service.taken) == 1


@EVERY
def test_an_unknown_level_is_refused(place, project):
    with pytest.raises(Exception, match="log_level"):
        MAKE[place](log_level="error")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StarlakeDataproc(project="p"), "StarlakeDataproc: `jars` is missing: The Starlake assembly jar"),
        (StarlakeCloudRun, "`project` is missing: .*`job` is missing: "),
        (StarlakeKubernetes, "StarlakeKubernetes: `image` is missing: "),
        (lambda: StarlakeFargate(task_definition="t", container="c", subnets=""), "`subnets` is missing"),
        (
            lambda: StarlakeCloudRun(project="p", job="j", timeout="soon"),
            "StarlakeCloudRun: `timeout` should be a valid number",
        ),
        (
            lambda: StarlakeCloudRun(project="p", job="j", cloud_run_region="a", cloud_run_job_region="b"),
            "`cloud_run_job_region` and `cloud_run_region` have different values",
        ),
        (lambda: StarlakeCloudRun(project="p", cloud_run_project_id="q", job="j"), "`project` and `cloud_run_project"),
    ],
)
def test_fields_that_do_not_make_a_resource_are_named(make, message):
    with pytest.raises(RunnerError, match=message):
        make()


def test_two_names_of_one_option_may_have_equal_values():
    options = {"cloud_run_project_id": "p", "cloud_run_job_name": "j", "cloud_run_region": "r"}
    assert StarlakeCloudRun.from_options({**options, "cloud_run_job_region": "r"}).region == "r"


def test_a_missing_field_on_the_command_line_is_not_understood(project, capsys):
    from starlake_dagster_assets.cli import main

    arguments = ["starlake-dagster", "run", str(project.root), "--environment", "dataproc", "--set", "project=x"]
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        main()
    assert ended.value.code == 2
    assert "dataproc: `jars` is missing: The Starlake assembly jar" in capsys.readouterr().err
