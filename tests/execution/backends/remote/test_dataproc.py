"""The real google-cloud-dataproc against a local Dataproc whose drivers are real processes."""

import threading
from types import SimpleNamespace
from typing import ClassVar

import dagster as dg
import grpc
import pytest
from dagster_gcp import DataprocResource
from google.cloud import dataproc_v1

from starlake_dagster_assets import StarlakeMetadata, StarlakeProject, build_starlake_assets
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.dagster_assets.steps.attempt import deployment_of
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.resources import DataprocCluster, DataprocServerless, StarlakeDataproc
from tests.fakes.dataproc import FakeDataproc
from tests.fakes.script import Scripted

SEEDS = {
    "dataproc_project_id": "p",
    "dataproc_region": "europe-west3",
    "dataproc_name": "Nightly_Load",
    "dataproc_subnet": "private",
    "dataproc_service_account": "sl@p.iam.gserviceaccount.com",
    "dataproc_image_version": "2.3-debian12",
    "dataproc_master_machine_type": "n2-standard-4",
    "dataproc_master_disk_type": "pd-ssd",
    "dataproc_master_disk_size": "200",
    "dataproc_worker_machine_type": "n2-highmem-8",
    "dataproc_worker_disk_type": "pd-ssd",
    "dataproc_worker_disk_size": "300",
    "dataproc_num_workers": "2",
    "dataproc_idle_delete_ttl": "600",
    "dataproc_cluster_metadata": '{"team": "data"}',
    "dataproc_job_wait_timeout": "7200",
    "spark_jar_list": "gs://b/a.jar, gs://b/b.jar",
    "spark_bucket": "staging-bucket",
    "spark_job_main_class": "ai.starlake.job.Main",
    "spark_executor_memory": "8g",
    "spark_executor_cores": "2",
    "spark_executor_instances": "3",
}


class Project:
    """What a resource asks of a project: its environment, and where its audit is."""

    env = "GCP"
    options: ClassVar[dict[str, str]] = {}
    model = SimpleNamespace(
        tables=(),
        tasks=(),
        variables={},
        connection=lambda name: None,
        root="/project",
        application=SimpleNamespace(
            audit=SimpleNamespace(connection="spark"), connections={}, datasets="/project/datasets"
        ),
    )


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted").tell(variables=["SL_ENV", "SL_ROOT", "SL_JOB_ID", "SL_LOG_LEVEL"])


@pytest.fixture
def server(scripted):
    with FakeDataproc([str(scripted.path)], scripted.environ) as fake:
        yield fake


def resource(server, **fields) -> StarlakeDataproc:
    given = {
        "project": "p",
        "jars": ["gs://b/starlake.jar"],
        "poll_interval": 0.02,
        "endpoint": server.endpoint,
        "storage_endpoint": server.gcs.url,
        "local": True,
    }
    return StarlakeDataproc(**{**given, **fields})


def command(number: int = 1) -> Command:
    job = f"job-{number}"
    return Command("transform", ("--name", f"kpi.t{number}"), {"SL_JOB_ID": job}, job_id=job)


def test_the_options_of_a_dag_configuration_reach_the_requests(server):
    described = StarlakeDataproc.from_options(
        {**SEEDS, "tags": "x"},
        endpoint=server.endpoint,
        storage_endpoint=server.gcs.url,
        local=True,
        poll_interval=0.02,
    )
    assert described.timeout == 7200
    runner = described.runner(Project(), StepAttempt("0123456789abcdef", "step"))
    assert runner.start(command()).wait().exit_code == 0
    (cluster,) = server.made
    assert cluster.cluster_name == "nightly-load-0123456789ab"
    config = cluster.config
    assert config.gce_cluster_config.subnetwork_uri == "private"
    assert config.gce_cluster_config.service_account == "sl@p.iam.gserviceaccount.com"
    assert config.gce_cluster_config.internal_ip_only
    assert dict(config.gce_cluster_config.metadata) == {"team": "data"}
    assert config.software_config.image_version == "2.3-debian12"
    assert config.config_bucket == "staging-bucket"
    for group, machine, size, count in (
        (config.master_config, "n2-standard-4", 200, 1),
        (config.worker_config, "n2-highmem-8", 300, 2),
    ):
        assert (group.machine_type_uri, group.num_instances) == (machine, count)
        assert (group.disk_config.boot_disk_type, group.disk_config.boot_disk_size_gb) == ("pd-ssd", size)
    assert config.lifecycle_config.idle_delete_ttl.total_seconds() == 600
    assert config.lifecycle_config.auto_delete_ttl.total_seconds() == 86400
    (job,) = server.jobs.values()
    assert list(job.spark_job.jar_file_uris) == ["gs://b/a.jar", "gs://b/b.jar"]
    assert job.spark_job.main_class == "ai.starlake.job.Main"
    sizes = {name: job.spark_job.properties[f"spark.executor.{name}"] for name in ("memory", "cores", "instances")}
    assert sizes == {"memory": "8g", "cores": "2", "instances": "3"}


def test_the_defaults_are_those_of_starlake(server):
    resource(server).runner(Project(), StepAttempt("run", "step")).start(command()).wait()
    config = server.made[0].config
    assert config.software_config.image_version == "2.2-debian12"
    assert (config.master_config.machine_type_uri, config.worker_config.num_instances) == ("n1-standard-4", 4)
    assert config.worker_config.disk_config.boot_disk_size_gb == 1024
    assert config.lifecycle_config.idle_delete_ttl.seconds == 3600
    properties = next(iter(server.jobs.values())).spark_job.properties
    assert properties["spark.executor.memory"] == "11g"


def test_variables_reach_a_driver_in_client_mode_by_the_cluster(server, scripted):
    chosen = resource(server, root="gs://b/starbake", env={"SL_METRICS": "x"})
    chosen.runner(Project(), StepAttempt("run", "step")).start(command()).wait()
    (call,) = scripted.calls()
    assert call.env == {"SL_ENV": "GCP", "SL_ROOT": "gs://b/starbake", "SL_LOG_LEVEL": "info"}


def test_each_command_has_its_own_variables_in_cluster_mode_and_in_batches(server, scripted):
    for fields in ({"deploy_mode": "cluster", "log_settle": 0.2}, {"serverless": DataprocServerless()}):
        resource(server, **fields).runner(Project(), StepAttempt("run", "step")).start(command()).wait()
    assert [call.env["SL_JOB_ID"] for call in scripted.calls()] == ["job-1", "job-1"]


@pytest.mark.parametrize(
    ("status", "problem"),
    [(403, "Check the permissions"), (404, "NotFound"), (503, "storage.objects.list"), (None, "")],
)
def test_output_that_cannot_be_read_changes_no_result_and_is_a_warning(server, scripted, status, problem):
    server.gcs.refuses = status
    fields = {"outage_timeout": 1, "log_settle": 0.2 if status else 20}
    handle = resource(server, **fields).runner(Project(), StepAttempt("run", "step")).start(command())
    warnings = [line.text for line in handle.lines() if "cannot be read" in line.text]
    assert handle.wait().exit_code == 0
    assert bool(warnings) == bool(status) and all(problem in text for text in warnings), warnings
    assert bool(handle.log_problem) == bool(status)


def test_output_that_cannot_be_read_does_not_hold_up_cancellation(server, scripted):
    scripted.tasks({"kpi.t1": {"do": "hang"}})
    server.gcs.refuses = 503
    handle = resource(server).runner(Project(), StepAttempt("run", "step")).start(command())
    lines = handle.lines()
    while "cannot be read" not in next(lines).text:
        pass
    handle.cancel()
    assert handle.wait().cancelled


def test_three_steps_share_one_cluster(server, scripted):
    codes = []

    def step(number):
        runner = resource(server).runner(
            Project(), StepAttempt("run-1", f"step-{number}", other_steps_ended=lambda: False)
        )
        codes.append(runner.start(command(number)).wait().exit_code)
        runner.close()

    threads = [threading.Thread(target=step, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]
    assert len(server.made) == 1
    assert len(server.clusters) == 1
    last = resource(server).runner(Project(), StepAttempt("run-1", "step-9"))
    last.close()
    assert not server.clusters


def test_two_runs_have_two_clusters(server):
    for run in ("aaaa-1", "bbbb-2"):
        resource(server).runner(Project(), StepAttempt(run, "step")).start(command()).wait()
    assert len({cluster.cluster_name for cluster in server.made}) == 2


def test_a_quota_is_said_and_leaves_nothing(server):
    server.quota = "Insufficient 'CPUS' quota. Requested 20.0, available 4.0."
    with pytest.raises(RunnerError, match=r"could not create cluster .*Insufficient 'CPUS' quota"):
        resource(server).runner(Project(), StepAttempt("run", "step")).start(command())
    assert not server.clusters


def test_an_existing_cluster_is_left_alone(server):
    resource(server).runner(Project(), StepAttempt("run-1", "a", other_steps_ended=lambda: False)).start(
        command()
    ).wait()
    (name,) = server.clusters
    runner = resource(server, cluster_id=name).runner(Project(), StepAttempt("run-2", "b"))
    assert runner.start(command(2)).wait().exit_code == 0
    runner.close()
    assert len(server.made) == 1
    assert name in server.clusters


def test_a_lost_answer_to_the_creation_makes_one_cluster(server):
    server.fail("CreateCluster", grpc.StatusCode.UNAVAILABLE, after=True)
    runner = resource(server).runner(Project(), StepAttempt("run", "step"))
    assert runner.start(command()).wait().exit_code == 0
    assert len(server.made) == 1


def test_a_single_node(server):
    resource(server, ephemeral=DataprocCluster(num_workers=0)).runner(Project(), StepAttempt("r", "s")).start(command())
    config = server.made[0].config
    assert not config.worker_config.num_instances
    assert config.software_config.properties["dataproc:dataproc.allow.zero.workers"] == "true"


def test_raw_configuration_is_merged_last(server):
    extra = {"gce_cluster_config": {"tags": ["no-ip"]}, "software_config": {"optional_components": ["ICEBERG"]}}
    resource(server, ephemeral=DataprocCluster(extra=extra)).runner(Project(), StepAttempt("r", "s")).start(command())
    config = server.made[0].config
    assert list(config.gce_cluster_config.tags) == ["no-ip"]
    assert config.gce_cluster_config.subnetwork_uri == "default"


def test_spark_properties_of_a_command_win(server):
    spark = {"spark.executor.memory": "32g"}
    one = Command("transform", ("--name", "kpi.t1"), {}, job_id="j", spark=spark)
    resource(server, spark_properties={"spark.a": "1"}).runner(Project(), StepAttempt("r", "s")).start(one).wait()
    properties = next(iter(server.jobs.values())).spark_job.properties
    assert properties["spark.executor.memory"] == "32g"
    assert properties["spark.a"] == "1"


def test_tags_give_a_table_its_own_spark_properties(server, scripted, tmp_path):
    """Tables that share them are one command, in a real run."""
    root = tmp_path / "project"
    files = {
        "application.sl.yml": "version: 1\napplication: {}\n",
        "load/sales/_config.sl.yml": "version: 1\nload: {name: sales}\n",
    }
    for name, tag in (("small", "x=1"), ("other", "x=2"), ("large", "spark_executor_memory=32g")):
        files[f"load/sales/{name}.sl.yml"] = (
            f"version: 1\ntable: {{name: {name}, pattern: '{name}.*', tags: ['{tag}'], "
            "attributes: [{name: id, type: int}]}\n"
        )
    for name, text in files.items():
        (root / "metadata" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "metadata" / name).write_text(text)
    scripted.tell(tables={f"sales.{name}": {"do": "load"} for name in ("small", "other", "large")})
    server.environ["SL_LOG_LEVEL"] = "info"
    assets = build_starlake_assets(StarlakeProject(root), metadata=StarlakeMetadata(row_counts=False, columns=False))
    assert dg.materialize(assets, resources={"starlake": resource(server)}).success
    loads = [job.spark_job for job in server.jobs.values() if job.spark_job.args[0] == "load"]
    memory = {spark.args[4]: spark.properties["spark.executor.memory"] for spark in loads}
    assert memory in ({"small,other": "11g", "large": "32g"}, {"other,small": "11g", "large": "32g"})
    assert not server.clusters


def _made_for(chosen, run_id: str, deployment: str = "", number: int = 1):
    """Runs a command on the cluster of a run."""
    labels = {"deployment": deployment} if deployment else {}
    chosen.runner(Project(), StepAttempt(run_id, "s", labels=labels)).start(command(number)).wait()


def test_the_sweeper_deletes_what_a_run_left_behind(server):
    with dg.DagsterInstance.ephemeral() as instance:
        status = dg.DagsterRunStatus
        own, ended = deployment_of(instance), instance.create_run_for_job(_job, status=status.FAILURE)
        going = instance.create_run_for_job(_job, status=status.STARTED)
        retried = instance.create_run_for_job(_job, status=status.FAILURE)
        tags = {"dagster/root_run_id": retried.run_id, "dagster/parent_run_id": retried.run_id}
        instance.create_run_for_job(_job, status=status.STARTED, tags=tags)
        waiting = instance.create_run_for_job(_job, status=status.FAILURE, tags={"dagster/will_retry": "true"})
        working = instance.create_run_for_job(_job, status=status.FAILURE)
        chosen = resource(server)
        owners = {
            ended.run_id: own,
            going.run_id: own,
            retried.run_id: own,
            waiting.run_id: own,
            working.run_id: own,
            "unknown-new": own,
            "unknown-old": own,
            "foreign-old": "another",
            "unnamed-old": "",
        }
        for number, (run, deployment) in enumerate(owners.items()):
            _made_for(chosen, run, deployment, number)
        names = dict(zip(owners, [cluster.cluster_name for cluster in server.made], strict=True))
        for run in ("unknown-old", "foreign-old", "unnamed-old"):
            server.age(names[run], 90_000)
        for job in server.jobs.values():
            if job.placement.cluster_name == names[working.run_id]:
                job.status = dataproc_v1.JobStatus(state="RUNNING")
        (sensor,) = chosen.sensors()
        with dg.build_sensor_context(instance=instance, resources={"starlake": chosen}) as context:
            skipped = sensor.evaluate_tick(context)
            assert sorted(server.deleted) == sorted([names[ended.run_id], names["unknown-old"]])
            assert names[ended.run_id] in skipped.skip_message
            assert "no cluster is left" in sensor.evaluate_tick(context).skip_message


def test_a_cluster_that_cannot_be_made_is_asked_for_once(server):
    server.creation_error = "Insufficient 'CPUS' quota. Requested 20.0, available 8.0."
    runner = resource(server).runner(Project(), StepAttempt("run", "step"))
    for number in (1, 2):
        with pytest.raises(
            RunnerError, match=r"could not create cluster dataproc-cluster-run: Insufficient 'CPUS' quota"
        ):
            runner.start(command(number))
    assert server.count("CreateCluster") == 1


@dg.job(name="nothing")
def _job():
    """A job of no step."""


def test_only_ephemeral_clusters_need_a_sweeper(server):
    assert resource(server, cluster="c").sensors() == ()
    assert resource(server, serverless=DataprocServerless()).sensors() == ()


def test_one_kind_of_place_only(server):
    with pytest.raises(RunnerError, match="cluster and serverless are given; keep one"):
        resource(server, cluster="c", serverless=DataprocServerless())


@pytest.mark.parametrize("cluster", ["cluster_id", "cluster"])
def test_an_existing_cluster_takes_precedence_over_the_options_of_a_new_one(server, cluster, caplog):
    fields = {"endpoint": server.endpoint, "storage_endpoint": server.gcs.url, "local": True}
    with caplog.at_level("WARNING"):
        described = StarlakeDataproc.from_options(
            {**SEEDS, cluster: "shared"} if cluster == "cluster_id" else SEEDS,
            **fields,
            **({"cluster": "shared"} if cluster == "cluster" else {}),
        )
    (warning,) = [record.getMessage() for record in caplog.records if "no effect" in record.getMessage()]
    assert "cluster shared" in warning and "dataproc_num_workers" in warning
    environment = described.runner(Project(), StepAttempt("run", "step")).environment
    assert environment.cluster == "shared"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"executor_instances": 1}, "spark.executor.instances is 1; Dataproc Serverless allows 2 to 2000"),
        ({"executor_cores": 2}, "spark.executor.cores is 2; Dataproc Serverless allows 4, 8 or 16"),
        ({"spark_properties": {"spark.driver.cores": "1"}}, "spark.driver.cores is 1"),
        ({"spark_properties": {"spark.dynamicAllocation.maxExecutors": "5000"}}, "maxExecutors is 5000"),
        ({"spark_properties": {"spark.executor.instances": "many"}}, "spark.executor.instances is many"),
    ],
)
def test_properties_that_serverless_refuses_are_refused_first(server, fields, message):
    with pytest.raises(RunnerError, match=message):
        resource(server, serverless=DataprocServerless(), **fields)


def test_the_defaults_of_serverless_are_accepted_by_the_service(server):
    resource(server, serverless=DataprocServerless()).runner(Project(), StepAttempt("r", "s")).start(command()).wait()
    (batch,) = server.batches.values()
    assert batch.runtime_config.properties["spark.executor.instances"] == "2"


@pytest.mark.filterwarnings("ignore:Class `DataprocResource`")
def test_settings_of_dagster_gcp_are_taken():
    theirs = DataprocResource(project_id="p", region="us-central1", cluster_name="shared", cluster_config_dict={})
    ours = StarlakeDataproc.from_dataproc_resource(theirs, jars="gs://b/a.jar")
    assert (ours.project, ours.region, ours.cluster, ours.jars) == ("p", "us-central1", "shared", ["gs://b/a.jar"])


def test_a_secret_does_not_go_into_a_job(server):
    with pytest.raises(RunnerError, match="env `PG_PASSWORD` looks like a secret"):
        resource(server, env={"PG_PASSWORD": "s3cr3t"}).runner(Project())


@pytest.mark.parametrize("kind", [{}, {"cluster": "shared"}, {"serverless": DataprocServerless()}])
def test_a_reference_to_a_secret_is_refused_with_what_to_do(server, kind):
    with pytest.raises(RunnerError, match=r"has no `secrets`.*env\.<NAME>\.sl\.yml"):
        resource(server, secrets={"PGPASSWORD": "projects/p/secrets/pg"}, **kind)
    url = {"spark.url": "postgresql://sl:hunter2@db/x"}
    with pytest.raises(RunnerError, match=r"spark_properties `spark.url` has a secret.*env\.<NAME>\.sl\.yml") as caught:
        resource(server, spark_properties=url, **kind).runner(Project())
    assert "hunter2" not in str(caught.value)
    provider = {"spark.hadoop.hadoop.security.credential.provider.path": "gsm://projects/p"}
    assert resource(server, spark_properties=provider, **kind).runner(Project())


@pytest.mark.parametrize(
    ("name", "hint"), [("dataproc_num_worker", "dataproc_num_workers"), ("spark_jars_list", "spark_jar_list")]
)
def test_an_unknown_option_names_the_nearest(name, hint):
    with pytest.raises(RunnerError, match=f"no option `{name}`; did you mean `{hint}`"):
        StarlakeDataproc(**{"project": "p", "jars": ["a"], name: "2"})


def test_limits_that_dataproc_has():
    with pytest.raises(RunnerError, match="`idle_delete_ttl` should be greater"):
        DataprocCluster(idle_delete_ttl=60)
