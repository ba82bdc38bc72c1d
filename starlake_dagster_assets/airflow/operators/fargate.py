"""Commands as ECS tasks on AWS Fargate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.operators.renderer import Arguments, OperatorRenderer
from starlake_dagster_assets.airflow.plan.model import TaskSpec
from starlake_dagster_assets.airflow.render.source import Raw, python_literal

__all__ = ["Fargate"]

_LOGS = ("awslogs_group", "awslogs_stream_prefix", "awslogs_region")
"""Options that locate the container log in CloudWatch, so that Airflow shows it."""
_SIZE = (r"(?i:\d*\.?\d+(?: ?(?:vCPU|GB))?)", "a size of ECS, such as 1024 or `2 GB`")
_TASK = '''\
class StarlakeTask(EcsRunTaskOperator):
    """A command of Starlake as an ECS task; its region is a template, too."""

    template_fields = (*EcsRunTaskOperator.template_fields, "region_name")
'''
_SENSOR = "from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor"
_ARGUMENTS = """
aws_conn_id awslogs_fetch_interval awslogs_group awslogs_region awslogs_stream_prefix botocore_config
capacity_provider_strategy cluster container_name deferrable group launch_type network_configuration
number_logs_exception placement_constraints placement_strategy platform_version propagate_tags quota_retry
reattach region region_name stop_task_on_failure tags task_definition verify volume_configurations
waiter_delay waiter_max_attempts
"""
"""Arguments of the operator that tags may set."""


@dataclass(frozen=True)
class Fargate(OperatorRenderer):
    """Operators of ECS on Fargate: one `EcsRunTaskOperator` per command; the entry point is `starlake`."""

    operator: ClassVar[str] = "EcsRunTaskOperator"
    operator_arguments: ClassVar[tuple[str, ...]] = tuple(_ARGUMENTS.split())
    reserved: ClassVar[tuple[str, ...]] = ("ENV", "ROOT", "StarlakeTask", "starlake")

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators in use."""
        found = ["from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator"]
        return [*found, *self.waiting_operators(_SENSOR)]

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constants for environment variables and for the file locations of loads."""
        return [("ENV", [{"name": name, "value": value} for name, value in self.env.items()]), *self.root]

    def functions(self) -> Sequence[str]:
        """Returns the helper functions of a file that runs commands on ECS."""
        container = {
            "name": self.templated_option("aws_task_definition_container_name"),
            "command": Raw("command_line(command, **flags)"),
            "environment": Raw("ENV"),
        }
        sizes = {name: self.checked_option(name, *_SIZE) for name in ("cpu", "memory")}
        overrides: dict[str, Any] = {name: size for name, size in sizes.items() if size}
        overrides["containerOverrides"] = [container]
        return (
            _TASK,
            "def starlake(command, **flags):\n"
            '    """Returns the overrides of an ECS task that runs a command of Starlake."""\n'
            f"    return {python_literal(overrides, 4, 11)}\n",
        )

    def default_args(self) -> dict[str, Any]:
        """Returns the arguments that all tasks share: cluster, task definition, network, region and logs."""
        network = {"subnets": self._ids("aws_task_private_subnets"), "assignPublicIp": "DISABLED"}
        if self.dag_option("aws_task_security_groups"):
            network["securityGroups"] = self._ids("aws_task_security_groups")
        return {
            "cluster": self.templated_option("aws_cluster_name", "default"),
            "task_definition": self.templated_option("aws_task_definition_name"),
            "launch_type": "FARGATE",
            "network_configuration": {"awsvpcConfiguration": network},
            "region_name": self.templated_option("aws_region", "eu-west-3"),
            **{name: self.templated_option(name) for name in _LOGS if self.dag_option(name)},
            **self.deferrable,
        }

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its arguments."""
        if task.kind == "wait" and task.waiting is not None:
            if task.waiting.ack:
                return "S3KeySensor", [("bucket_key", task.waiting.ack), *self.sensor(task)]
            return self.by_patterns(task)
        if self.runs_no_command(task):
            return "EmptyOperator", []
        return "StarlakeTask", [("overrides", self.command_line(task, "starlake")), *self.result_arguments(task)]

    def _ids(self, name: str) -> list[str]:
        """Returns the ids in an option; without the option, one id: the template of an Airflow variable."""
        text = self.dag_option(name)
        if not text:
            return [self.templated_option(name)]
        return re.findall(r"[^\s,\[\]'\"]+", text)
