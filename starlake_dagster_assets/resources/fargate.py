"""AWS Fargate as a Dagster resource."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Environment
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource

__all__ = ["StarlakeFargate"]


class StarlakeFargate(StarlakeRemoteResource):
    """Resource that runs Starlake commands as ECS tasks on AWS Fargate.

    Examples:
        ::

            StarlakeFargate(
                cluster="data",
                task_definition="starlake",
                container="starlake",
                subnets=["subnet-0a1b", "subnet-2c3d"],
                security_groups=["sg-0a1b"],
            )
    """

    option_names: ClassVar[Mapping[str, str]] = {
        "aws_cluster_name": "cluster",
        "aws_profile": "profile",
        "aws_region": "region",
        "aws_task_definition_container_name": "container",
        "aws_task_definition_name": "task_definition",
        "aws_task_private_subnets": "subnets",
        "aws_task_security_groups": "security_groups",
        "cpu": "cpu",
        "memory": "memory",
        "sl_env_var": "env",
    }

    visible_fields: ClassVar[tuple[str, ...]] = (
        *StarlakeRemoteResource.visible_fields,
        *("task_definition", "container", "subnets", "security_groups", "capacity_provider", "secrets"),
    )

    task_definition: str = Field(description="Family, family:revision or ARN of the task definition.")
    container: str = Field(description="Its container that runs Starlake; the entry point must be the program.")
    subnets: list[str] = Field(min_length=1, description="Ids of the subnets: a list, comma-separated text or JSON.")
    cluster: str = Field(default="default", description="Name or ARN of the ECS cluster.")
    security_groups: list[str] = Field(
        default_factory=list,
        description="Ids of the security groups: a list, comma-separated text or JSON; the VPC's by default.",
    )
    assign_public_ip: bool = Field(default=False, description="Give tasks a public address.")
    region: str = Field(default="eu-west-3", description="AWS region.")
    profile: str | None = Field(default=None, description="Profile of the AWS files; boto3's own choice by default.")
    cpu: int | None = Field(default=None, ge=256, description="CPU units (1024 = 1 vCPU); the definition's by default.")
    memory: int | None = Field(default=None, ge=512, description="MiB of memory; the definition's by default.")
    capacity_provider: str | None = Field(
        default=None,
        description="Capacity provider of the cluster, such as FARGATE_SPOT; launch type FARGATE by default.",
    )
    secrets: dict[str, str] = Field(
        default_factory=dict,
        description="ARNs in Secrets Manager or Parameter Store by environment variable: a derived task "
        "definition has them.",
    )
    platform_version: str = Field(default="LATEST", description="Fargate platform version.")
    endpoint_url: str | None = Field(default=None, description="URL of the services; AWS' own by default.")

    def environment(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Returns the environment that runs commands on ECS.

        Raises:
            RunnerError: When the extra is not installed.
        """
        from starlake_dagster_assets.execution.backends.remote.fargate import FargateEnvironment

        require_extra("fargate", "boto3")

        return FargateEnvironment(
            task_definition=self.task_definition,
            container=self.container,
            subnets=tuple(self.subnets),
            cluster=self.cluster,
            security_groups=tuple(self.security_groups),
            assign_public_ip=self.assign_public_ip,
            region=self.region,
            profile=self.profile,
            cpu=self.cpu,
            memory=self.memory,
            env=self.variables(project),
            secrets=self.secrets,
            platform_version=self.platform_version,
            capacity_provider=self.capacity_provider,
            endpoint_url=self.endpoint_url,
        )
