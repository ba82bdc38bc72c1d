"""Starlake commands as ECS tasks on AWS Fargate, through boto3."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.aws import (
    aws_client,
    aws_error,
    aws_resources,
    classify_aws_error,
)
from starlake_dagster_assets.execution.backends.remote.ecs_definition import derived_definition
from starlake_dagster_assets.execution.backends.remote.log_following import split_lines
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Status, Submission

__all__ = ["FargateEnvironment"]

OVERRIDES_LIMIT = 8192
"""Characters that ECS allows for the overrides of a task."""

_CAPACITY = ("capacity is unavailable", "resource:", "reached the limit", "vcpu limit", "too many tasks")
_PAGE = 100
"""Maximum number of tasks in one call of DescribeTasks."""
_INTERRUPTED: Mapping[str, str] = MappingProxyType(
    {
        "SpotInterruption": "AWS took the Fargate Spot capacity back (SpotInterruption); a retry runs it again",
        "TerminationNotice": "AWS ended the task (TerminationNotice)",
        "InfrastructureHealth": "AWS ended the task because its infrastructure failed (InfrastructureHealth)",
    }
)
_NO_ENV: Mapping[str, str] = MappingProxyType({})


class _NoCapacity(Exception):
    """RunTask started no task, because there is no capacity at the moment."""


@dataclass(frozen=True)
class FargateEnvironment:
    """Environment that runs commands as ECS tasks: region, cluster, task definition and network.

    Attributes:
        task_definition: Family, `family:revision` or ARN.
        container: The container of the definition that runs Starlake; its entry point is the program.
        subnets: Ids of the subnets.
        cluster: Name or ARN.
        security_groups: Ids; those of the VPC by default.
        assign_public_ip: Whether tasks get a public address.
        region: AWS region.
        profile: Profile of the AWS configuration files; boto3's own choice by default.
        cpu: CPU units of the task (1024 = 1 vCPU); the definition's by default.
        memory: MiB of the task; the definition's by default.
        env: Environment variables of every command; anyone who can describe tasks can read them.
        platform_version: Platform version of Fargate.
        capacity_provider: Capacity provider of the cluster, such as `FARGATE_SPOT`; the launch type FARGATE by default.
        secrets: ARNs of secrets by environment variable; a revision of the task definition that has them is registered.
        endpoint_url: Endpoint of the services; AWS' own by default.
    """

    task_definition: str
    container: str
    subnets: tuple[str, ...]
    cluster: str = "default"
    security_groups: tuple[str, ...] = ()
    assign_public_ip: bool = False
    region: str = "eu-west-3"
    profile: str | None = None
    cpu: int | None = None
    memory: int | None = None
    env: Mapping[str, str] = field(default_factory=lambda: _NO_ENV)
    platform_version: str = "LATEST"
    capacity_provider: str | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: _NO_ENV)
    endpoint_url: str | None = None
    _warnings: list[Line] = field(default_factory=list[Line], init=False, repr=False, compare=False)
    _launches: dict[str, int] = field(default_factory=dict[str, int], init=False, repr=False, compare=False)

    name = "fargate"
    is_idempotent = True

    # --------------------------------------------------------------------------------------------- executions

    def submit(self, submission: Submission) -> str:
        """Calls RunTask, and returns the ARN of the task.

        Raises:
            RunnerError: When the overrides are too long, or ECS refuses to start the task.
        """
        overrides = self._overrides(submission)
        size = len(json.dumps(overrides, separators=(",", ":")))
        if size > OVERRIDES_LIMIT:
            raise RunnerError(
                f"{submission.command.name}: the command and its environment take {size} characters; ECS allows "
                f"{OVERRIDES_LIMIT} of overrides. Put variables into the task definition, or into env.<NAME>.sl.yml."
            )
        ecs, request = self._ecs, self._request(submission, overrides)
        submission.confirm()
        try:
            answer = ecs.run_task(**request)
        except Exception as error:
            if aws_error(error) == "ConflictException" and (known := aws_resources(error)):
                return known[0]  # the token started it before
            raise
        if tasks := answer.get("tasks"):
            return str(tasks[0]["taskArn"])
        reason = "; ".join(f"{one.get('reason', '?')} {one.get('detail', '')}".strip() for one in answer["failures"])
        self._launches[submission.key] = self._launches.get(submission.key, 0) + 1
        if any(word in reason.lower() for word in _CAPACITY):
            raise _NoCapacity(f"Fargate has no room for the task in {self.region}: {reason}")
        raise RunnerError(f"ECS did not start the task on cluster {self.cluster!r}: {reason or 'no reason was given'}")

    def find(self, submission: Submission) -> str | None:
        """Returns the task that carries the key of a submission (`startedBy`), running or stopped.

        ListTasks takes `startedBy` as its only filter and then lists running tasks; stopped ones are described.
        """
        key = _started_by(submission.key)
        if running := self._listed(startedBy=key):
            return running[0]
        stopped = self._listed(family=self._family, desiredStatus="STOPPED")
        for start in range(0, len(stopped), _PAGE):
            found = self._ecs.describe_tasks(cluster=self.cluster, tasks=stopped[start : start + _PAGE])
            for task in found["tasks"]:
                if task.get("startedBy") == key:
                    return str(task["taskArn"])
        return None

    def _listed(self, **filters: str) -> list[str]:
        arns: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._ecs.list_tasks(cluster=self.cluster, **filters, **more)
            arns += [str(arn) for arn in page["taskArns"]]
            if not page.get("nextToken"):
                return arns
            more = {"nextToken": page["nextToken"]}

    @property
    def _family(self) -> str:
        return self._definition.rpartition("/")[2].partition(":")[0]

    @cached_property
    def _definition(self) -> str:
        """The task definition; with `secrets`, the ARN of a derived definition that contains the secrets."""
        if not self.secrets:
            return self.task_definition
        return derived_definition(self._ecs, self.task_definition, self.container, self.secrets)

    def _request(self, submission: Submission, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "taskDefinition": self._definition,
            "count": 1,
            **self._capacity(),
            "platformVersion": self.platform_version,
            "networkConfiguration": {"awsvpcConfiguration": self._network()},
            "overrides": overrides,
            "startedBy": _started_by(submission.key),
            "clientToken": self._token(submission.key),
            "tags": [{"key": key, "value": value} for key, value in _tags(submission.labels).items()],
            "propagateTags": "TASK_DEFINITION",
            "enableECSManagedTags": True,
        }

    def status(self, execution: str) -> Status:
        """Calls DescribeTasks, and returns the state of the task: only exit code 0 of the container is a success."""
        answer = self._ecs.describe_tasks(cluster=self.cluster, tasks=[execution])
        url = self.url(execution)
        if not answer["tasks"]:
            return Status(
                "lost", None, "ECS does not know the task any more: it forgets stopped ones after an hour", url
            )
        task = answer["tasks"][0]
        if task["lastStatus"] != "STOPPED" and not self._is_kept_running(task):
            running = task["lastStatus"] in ("RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING")
            return Status("running" if running else "pending", None, "", url)
        container = self._program_container(task)
        code = container.get("exitCode")
        texts = [str(text) for text in (task.get("stoppedReason"), container.get("reason"))]
        reason = "; ".join(text for text in texts if text and text != "None")
        if code == 0:
            return Status("succeeded", 0, "", url)
        stopped = str(task.get("stopCode") or "")
        if stopped == "UserInitiated":
            return Status("cancelled", code, reason or "stopped by a user", url)
        if stopped in _INTERRUPTED:
            return Status("failed", None, f"{_INTERRUPTED[stopped]}: {reason}", url)
        if code is None:
            text = f"the container did not run to its end ({stopped or 'no exit code'}): {reason}"
            return Status("failed", None, text, url, started=stopped != "TaskFailedToStart")
        return Status("failed", int(code), _killed(int(code)) or reason, url)

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Calls GetLogEvents of the container's stream, from the cursor to its current end."""
        stream = self._stream(execution)
        lines: list[Line] = [*self._warnings]
        self._warnings.clear()
        while True:
            more = {"nextToken": cursor} if cursor else {}
            try:
                page = self._logs.get_log_events(**stream, startFromHead=True, **more)
            except Exception as error:
                if aws_error(error) == "ResourceNotFoundException":  # there is no stream before the first line
                    return lines, cursor
                raise
            lines.extend(Line(text) for event in page["events"] for text in split_lines(event["message"]))
            if page["nextForwardToken"] == cursor or not page["events"]:
                return lines, page["nextForwardToken"]
            cursor = page["nextForwardToken"]

    def release(self, execution: str) -> None:
        """Stops a task that another container keeps running although the program has ended."""
        tasks = self._ecs.describe_tasks(cluster=self.cluster, tasks=[execution])["tasks"]
        if tasks and self._is_kept_running(tasks[0]):
            self._stop(execution, "its command has ended")

    def log_gap(self, execution: str) -> str:
        """Returns why lines may be missing: a driver that does not block drops them when its buffer is full."""
        mode = self._log_options.get("mode")
        return "" if mode == "blocking" else "its log driver may have dropped lines (log option `mode`)"

    def cancel(self, execution: str) -> None:
        """Calls StopTask; a task that has ended or is no longer known is not an error."""
        self._stop(execution, "cancelled by Dagster")

    def _stop(self, execution: str, reason: str) -> None:
        try:
            self._ecs.stop_task(cluster=self.cluster, task=execution, reason=reason)
        except Exception as error:
            if aws_error(error) != "InvalidParameterException":
                raise

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of a call: whether to repeat it."""
        if isinstance(error, _NoCapacity):
            return ErrorClass("retry", str(error))
        return classify_aws_error(error)

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        for name in ("_ecs", "_logs"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Does nothing: no resource is kept between commands."""

    def _program_container(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Sequence[Mapping[str, Any]] = task.get("containers") or ()
        return next((one for one in found if one.get("name") == self.container), dict[str, Any]())

    def _is_kept_running(self, task: Mapping[str, Any]) -> bool:
        """Whether a task runs although the program has ended, because the container of the program is not essential."""
        container = self._program_container(task)
        ended = container.get("lastStatus") == "STOPPED" and container.get("exitCode") is not None
        return ended and task["lastStatus"] == task.get("desiredStatus") == "RUNNING"

    # ------------------------------------------------------------------------------------------------ wording

    @property
    def argv_bytes(self) -> int:
        """Maximum length of the list of tables of one command, in characters, within the limit of overrides."""
        sample = json.dumps({**self._size(), "environment": _pairs(self.env)})
        return max(256, OVERRIDES_LIMIT - len(sample) - 1536)

    def url(self, execution: str) -> str:
        """Returns the task's page in the AWS console."""
        cluster = self.cluster.rpartition("/")[2]
        host = f"https://{self.region}.console.aws.amazon.com"
        return f"{host}/ecs/v2/clusters/{cluster}/tasks/{_id(execution)}/logs?region={self.region}"

    def _overrides(self, submission: Submission) -> dict[str, Any]:
        env = {**self.env, **submission.command.env}
        container = {"name": self.container, "command": list(submission.command.argv), "environment": _pairs(env)}
        return {**self._size(), "containerOverrides": [container]}

    def _size(self) -> dict[str, str]:
        wanted = {"cpu": self.cpu, "memory": self.memory}
        return {name: str(value) for name, value in wanted.items() if value is not None}

    def _capacity(self) -> dict[str, Any]:
        if self.capacity_provider is None:
            return {"launchType": "FARGATE"}
        return {"capacityProviderStrategy": [{"capacityProvider": self.capacity_provider, "weight": 1}]}

    def _network(self) -> dict[str, Any]:
        groups = {"securityGroups": list(self.security_groups)} if self.security_groups else {}
        public = "ENABLED" if self.assign_public_ip else "DISABLED"
        return {"subnets": list(self.subnets), **groups, "assignPublicIp": public}

    def _token(self, key: str) -> str:
        """Returns the idempotency token of RunTask, which changes after each answer that started nothing."""
        return f"{_started_by(key)}-{self._launches.get(key, 0)}"

    def _stream(self, execution: str) -> Mapping[str, str]:
        options = self._log_options
        name = f"{options['awslogs-stream-prefix']}/{self.container}/{_id(execution)}"
        return {"logGroupName": options["awslogs-group"], "logStreamName": name}

    # ------------------------------------------------------------------------------------------------ clients

    def clients(self) -> tuple[Any, Any]:
        """Returns the clients of ECS and of CloudWatch Logs."""
        return self._ecs, aws_client("logs", self.region, self.profile, self.endpoint_url)

    @cached_property
    def _ecs(self) -> Any:
        return aws_client("ecs", self.region, self.profile, self.endpoint_url)

    @cached_property
    def _logs(self) -> Any:
        region = self._log_options.get("awslogs-region") or self.region
        return aws_client("logs", region, self.profile, self.endpoint_url)

    @cached_property
    def _log_options(self) -> Mapping[str, str]:
        """Log configuration of the container.

        Raises:
            RunnerError: When the container does not exist, or does not write to CloudWatch with a stream prefix.
        """
        definition = self._ecs.describe_task_definition(taskDefinition=self._definition)["taskDefinition"]
        found = [one for one in definition["containerDefinitions"] if one["name"] == self.container]
        if not found:
            names = ", ".join(one["name"] for one in definition["containerDefinitions"])
            raise RunnerError(
                f"task definition {self.task_definition!r} has no container {self.container!r}; it has: {names}."
            )
        logging: Mapping[str, Any] = found[0].get("logConfiguration") or {}
        options: Mapping[str, str] = logging.get("options") or {}
        if logging.get("logDriver") != "awslogs" or not options.get("awslogs-stream-prefix"):
            raise RunnerError(
                f"container {self.container!r} does not write to CloudWatch with a stream prefix (log driver "
                f"{logging.get('logDriver')!r}): results come from the warehouse, when the task has ended."
            )
        if options.get("mode") != "blocking":
            self._warnings.append(
                Line(
                    f"WARN fargate: container {self.container} may lose log lines: its log option `mode` is "
                    f"{options.get('mode', 'not set, which is non-blocking')}; set it to blocking"
                )
            )
        return options


def _started_by(key: str) -> str:
    """Returns a text of at most 36 characters that is the same for the same key."""
    return f"sl-{uuid.uuid5(uuid.NAMESPACE_URL, key).hex}"


def _pairs(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(env.items())]


def _tags(labels: Mapping[str, str]) -> dict[str, str]:
    allowed = " +-=._:/@"
    return {
        key[:128]: "".join(char if char.isalnum() or char in allowed else "_" for char in value)[:256]
        for key, value in list(labels.items())[:40]
    }


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _killed(code: int) -> str:
    return "exit code 137: killed, often because the task's memory was used up" if code == 137 else ""
