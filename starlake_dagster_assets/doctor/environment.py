"""Preflight checks of an execution environment: whether its service is usable as configured. They load nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from starlake_dagster_assets.checking.environment_settings import find_invalid_settings
from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.doctor.project import Finding
from starlake_dagster_assets.doctor.warehouse import examine_warehouse
from starlake_dagster_assets.environments import environment_of, get_environment
from starlake_dagster_assets.errors import PluginError, StarlakeError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.aws import aws_error
from starlake_dagster_assets.execution.backends.remote.cloud_run import CloudRunEnvironment, job_warnings
from starlake_dagster_assets.execution.backends.remote.dataproc import DataprocBatches, DataprocJobs
from starlake_dagster_assets.execution.backends.remote.fargate import FargateEnvironment
from starlake_dagster_assets.execution.backends.remote.gcp import CALL
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.guarded_calls import call_resource
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource

__all__ = [
    "entry_point",
    "examine_cloud_run",
    "examine_dataproc",
    "examine_environment",
    "examine_fargate",
    "log_level_findings",
]

_JOB_PERMISSIONS = ("run.jobs.get", "run.jobs.run", "run.jobs.runWithOverrides")
_SHOWN = ("info", "debug", "trace", "all")


def examine_environment(resource: StarlakeResource, project: ProjectSource) -> Iterator[Finding]:
    """Examines the service of a resource: permissions, logs, retries, time limits, entry point, warehouse.

    Args:
        resource: The resource that runs commands.
        project: The project whose commands would run.

    Yields:
        The findings. Nothing is raised, and nothing is started.
    """
    secrets = secrets_of(project.model)
    name = environment_of(resource)
    try:
        call_resource(resource, "validate_against", project)
        if name is not None:
            yield from _examine_settings(resource, project, name)
            for finding in get_environment(name).examine(resource, project):
                yield Finding(finding.level, finding.topic, redact(finding.text, secrets), finding.advice)
    except PluginError as error:
        yield Finding("error", "environment", redact(str(error), secrets), "")
    except StarlakeError as error:
        yield Finding("error", "environment", redact(str(error), secrets), "Change the fields of the resource.")
    yield from examine_warehouse(resource, project)


def _examine_settings(resource: StarlakeResource, project: ProjectSource, name: str) -> Iterator[Finding]:
    """Yields the settings of single tables and tasks that the environment would reject or ignore."""
    nodes, positions = project.graph.nodes.values(), Positions(project.root)
    secrets = secrets_of(project.model)
    for one in find_invalid_settings(nodes, [get_environment(name)], positions, resource=resource, secrets=secrets):
        yield Finding(one.severity, "settings", str(one), "")


def examine_cloud_run(resource: StarlakeRemoteResource, project: ProjectSource) -> Iterator[Finding]:
    """Examines the job of a `StarlakeCloudRun`, its executions and their logs."""
    environment = resource.environment(project, StepAttempt())
    if isinstance(environment, CloudRunEnvironment):
        yield from _cloud_run(environment)


def examine_fargate(resource: StarlakeRemoteResource, project: ProjectSource) -> Iterator[Finding]:
    """Examines the task definition of a `StarlakeFargate`, its tasks and their logs."""
    environment = resource.environment(project, StepAttempt())
    if isinstance(environment, FargateEnvironment):
        yield from _fargate(environment)


def examine_dataproc(resource: StarlakeRemoteResource, project: ProjectSource) -> Iterator[Finding]:
    """Examines the cluster or the batches of a `StarlakeDataproc`, and the jars."""
    environment = resource.environment(project, StepAttempt())
    if isinstance(environment, DataprocJobs | DataprocBatches):
        yield from _dataproc(environment)


def _tried(environment: Any, topic: str, permission: str, call: Callable[[], Any]) -> tuple[Finding, Any]:
    """Calls a service; returns a finding about the permission, and the answer, or None if the call fails."""
    try:
        return Finding("ok", topic, f"{permission} is allowed"), call()
    except StarlakeError as error:
        return Finding("error", topic, str(error), f"Needed: {permission}"), None
    except Exception as error:
        return Finding("error", topic, str(environment.classify_error(error).text), f"Needed: {permission}"), None


def entry_point(command: Sequence[str], advice: str) -> Finding:
    """Checks whether the entry point of a container is the starlake program."""
    if not command:
        text = "not set here: the image decides, and it must be the program"
        return Finding("ok", "entry point", text)
    program = command[-1].rpartition("/")[2]
    if program.startswith("starlake"):
        return Finding("ok", "entry point", " ".join(command))
    return Finding("warning", "entry point", f"{' '.join(command)} does not end with starlake", advice)


def log_level_findings(value: str | None) -> Iterator[Finding]:
    """Yields a warning if the `SL_LOG_LEVEL` of a service hides the log lines of tables."""
    if value is not None and value.lower() not in _SHOWN:
        text = f"SL_LOG_LEVEL is {value} there; each command sets another one"
        yield Finding("warning", "log level", text, "A launcher that overrules it hides the lines of tables.")


# --------------------------------------------------------------------------------------------------- Cloud Run


def _cloud_run(environment: CloudRunEnvironment) -> Iterator[Finding]:
    name = f"projects/{environment.project}/locations/{environment.region}/jobs/{environment.job}"
    jobs, executions, _, log = environment.clients()
    found, job = _tried(environment, "job", "run.jobs.get", lambda: jobs.get_job(name=name, **CALL))
    yield found
    if job is not None:
        yield from _cloud_run_job(environment, job)
    request = {"resource": name, "permissions": list(_JOB_PERMISSIONS)}
    found, answer = _tried(
        environment, "permissions", "run.jobs.getIamPolicy", lambda: jobs.test_iam_permissions(request=request, **CALL)
    )
    if answer is None:
        yield found
    elif lacking := [one for one in _JOB_PERMISSIONS if one not in answer.permissions]:
        yield Finding("error", "permissions", f"not allowed: {', '.join(lacking)}", "roles/run.developer on the job")
    else:
        yield Finding("ok", "permissions", ", ".join(_JOB_PERMISSIONS))
    listing = {"parent": name, "page_size": 1}
    yield _tried(
        environment,
        "executions",
        "run.executions.list",
        lambda: executions.list_executions(request=listing, **CALL),
    )[0]
    entries = {
        "resource_names": [f"projects/{environment.project}"],
        "filter": 'resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="none"',
        "page_size": 1,
    }
    yield _tried(environment, "log", "logging.logEntries.list", lambda: log.list_log_entries(request=entries, **CALL))[
        0
    ]


def _cloud_run_job(environment: CloudRunEnvironment, job: Any) -> Iterator[Finding]:
    template = job.template.template
    warnings = job_warnings(environment.job, template, None)
    for text in warnings:
        yield Finding("warning", "retries and time limit", text, "")
    if not warnings:
        yield Finding("ok", "retries and time limit", "maxRetries 0")
    containers = list(template.containers)
    chosen = [one for one in containers if environment.container in (None, one.name)][:1]
    if not chosen and containers:
        names = ", ".join(one.name for one in containers)
        yield Finding("error", "container", f"no container {environment.container}; the job has {names}", "")
    for container in chosen:
        yield entry_point(list(container.command), "gcloud run jobs update JOB --command starlake --args ''")
        yield from log_level_findings(next((pair.value for pair in container.env if pair.name == "SL_LOG_LEVEL"), None))


# ----------------------------------------------------------------------------------------------------- Fargate


def _fargate(environment: FargateEnvironment) -> Iterator[Finding]:
    ecs, logs = environment.clients()
    found, answer = _tried(
        environment,
        "task definition",
        "ecs:DescribeTaskDefinition",
        lambda: ecs.describe_task_definition(taskDefinition=environment.task_definition),
    )
    yield found
    yield _tried(
        environment,
        "tasks",
        "ecs:ListTasks",
        lambda: ecs.list_tasks(cluster=environment.cluster, startedBy="starlake-dagster-doctor"),
    )[0]
    if answer is None:
        return
    containers = answer["taskDefinition"]["containerDefinitions"]
    chosen = next((one for one in containers if one["name"] == environment.container), None)
    if chosen is None:
        names = ", ".join(one["name"] for one in containers)
        yield Finding("error", "container", f"no container {environment.container}; the definition has {names}", "")
        return
    yield entry_point(chosen.get("entryPoint", []), 'Set "entryPoint": ["starlake"] in the task definition.')
    yield from log_level_findings(
        next((pair["value"] for pair in chosen.get("environment", []) if pair["name"] == "SL_LOG_LEVEL"), None)
    )
    yield from _fargate_log(chosen, logs)
    yield Finding("ok", "retries", "ECS runs no task a second time by itself; ecs:RunTask was not tried")


def _fargate_log(container: Any, logs: Any) -> Iterator[Finding]:
    logging: Mapping[str, Any] = container.get("logConfiguration") or {}
    options: Mapping[str, str] = logging.get("options") or {}
    advice = "Use the log driver awslogs with awslogs-stream-prefix and mode: blocking."
    if logging.get("logDriver") != "awslogs" or not options.get("awslogs-stream-prefix"):
        text = f"log driver {logging.get('logDriver')} cannot be read: results are read from the warehouse only"
        yield Finding("warning", "log", text, advice)
        return
    if options.get("mode") != "blocking":
        text = f"the log option mode is {options.get('mode', 'not set, which is non-blocking')}: lines may be dropped"
        yield Finding("warning", "log", text, advice)
    try:
        logs.get_log_events(logGroupName=options["awslogs-group"], logStreamName="starlake-dagster-doctor", limit=1)
    except Exception as error:
        if aws_error(error) != "ResourceNotFoundException":  # no such stream exists, and the call is allowed
            yield Finding("error", "log", str(error), "Needed: logs:GetLogEvents")
            return
    yield Finding("ok", "log", f"logs:GetLogEvents is allowed on {options['awslogs-group']}")


# ---------------------------------------------------------------------------------------------------- Dataproc


def _dataproc(environment: DataprocJobs | DataprocBatches) -> Iterator[Finding]:
    service = environment.service
    if isinstance(environment, DataprocBatches):
        parent = f"projects/{service.project}/locations/{service.region}"
        batches = service.client("BatchControllerClient")
        listing = {"parent": parent, "page_size": 1}
        permission = "dataproc.batches.list"
        yield _tried(environment, "batches", permission, lambda: batches.list_batches(request=listing, **CALL))[0]
    elif isinstance(environment.cluster, str):
        yield from _cluster(environment, environment.cluster)
    else:
        listing = {**service.location, "page_size": 1}
        clusters = service.clusters
        permission = "dataproc.clusters.list"
        yield _tried(environment, "clusters", permission, lambda: clusters.list_clusters(request=listing, **CALL))[0]
    for uri in environment.program.jars:
        if uri.startswith("gs://"):
            found, there = _tried(environment, "jar", "storage.objects.get", partial(environment.output.exists, uri))
            yield found if there is not False else Finding("error", "jar", f"{uri} does not exist", "Upload it.")


def _cluster(environment: DataprocJobs, name: str) -> Iterator[Finding]:
    found, cluster = _tried(environment, "cluster", "dataproc.clusters.get", lambda: environment.service.get(name))
    if cluster is None:
        missing = Finding("error", "cluster", f"{name} does not exist in {environment.service.region}", "Create it.")
        yield missing if found.level == "ok" else found
        return
    state = cluster.status.state.name
    yield Finding("ok" if state == "RUNNING" else "error", "cluster", f"{name} is {state}", "")
    properties = cluster.config.software_config.properties
    level = properties.get("spark-env:SL_LOG_LEVEL")
    if environment.deploy_mode == "client" and (level or "").lower() not in _SHOWN:
        text = f"spark-env:SL_LOG_LEVEL of {name} is {level or 'not set'}: drivers print no line of a table"
        yield Finding("error", "log level", text, "Set the property spark-env:SL_LOG_LEVEL=info of the cluster.")
