"""Kubernetes as a Dagster resource."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

from pydantic import Field

from starlake_dagster_assets.commands.source import ProjectSource, secrets_of
from starlake_dagster_assets.execution.backends.extras import need
from starlake_dagster_assets.execution.backends.protocol import Attempt
from starlake_dagster_assets.execution.backends.remote.protocol import Environment
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource, refuse_visible_secrets

__all__ = ["StarlakeKubernetes"]


class StarlakeKubernetes(StarlakeRemoteResource):
    """Runs each Starlake command as a Kubernetes Job.

    Examples:
        ::

            StarlakeKubernetes(
                image="registry.example.com/starlake:1.6.0",
                namespace="data",
                service_account_name="starlake",
                resources={"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}},
                secrets={"PGPASSWORD": "warehouse:password"},
            )
    """

    option_names: ClassVar[Mapping[str, str]] = {"sl_env_var": "env"}
    secret_advice: ClassVar[str] = (
        'Pass a reference instead: `secrets={"NAME": "SECRET:KEY"}`, or a whole Secret in `env_secrets`.'
    )

    image: str = Field(description="Image of the program; its entry point must be the program.")
    namespace: str | None = Field(
        default=None,
        description="Namespace of the Jobs; by default that of this Pod, or of the context of the kubeconfig.",
    )
    service_account_name: str | None = Field(default=None, description="Service account of the Pods.")
    resources: dict[str, Any] = Field(default_factory=dict, description="Requests and limits of the container.")
    secrets: dict[str, str] = Field(
        default_factory=dict, description="References to Secrets by environment variable: SECRET:KEY."
    )
    env_secrets: list[str] = Field(
        default_factory=list, description="Secrets whose keys all become environment variables."
    )
    env_config_maps: list[str] = Field(
        default_factory=list, description="ConfigMaps whose keys all become environment variables."
    )
    volumes: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]], description="Volumes of the Pod.")
    volume_mounts: list[dict[str, Any]] = Field(
        default_factory=list[dict[str, Any]], description="Mounts of the container."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that the node must have.")
    tolerations: list[dict[str, Any]] = Field(
        default_factory=list[dict[str, Any]], description="Taints of nodes that are tolerated."
    )
    affinity: dict[str, Any] = Field(default_factory=dict, description="Affinity of the Pod.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of Job and Pod, in addition to those of the run."
    )
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of Job and Pod.")
    image_pull_policy: str | None = Field(
        default=None, description="Always, IfNotPresent or Never; Kubernetes' own rule by default."
    )
    image_pull_secrets: list[str] = Field(
        default_factory=list, description="Secrets with the credentials of the registry."
    )
    ttl_seconds_after_finished: int = Field(
        default=86400,
        ge=600,
        description="Seconds for which Kubernetes keeps a finished Job: its result is read in that time.",
    )
    active_deadline_seconds: int | None = Field(
        default=None, gt=0, description="Seconds after which Kubernetes itself ends a Job, also without Dagster."
    )
    k8s_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Raw configuration in the shape of dagster-k8s (container_config, pod_spec_config, "
        "pod_template_spec_metadata, job_metadata, job_spec_config); it is merged over the fields.",
    )
    load_incluster_config: bool | None = Field(
        default=None,
        description="Use the credentials of the Pod; by default where this process runs in one and neither "
        "`kubeconfig_file` nor `context` is set.",
    )
    kubeconfig_file: str | None = Field(
        default=None, description="Path of a kubeconfig; KUBECONFIG or ~/.kube/config by default."
    )
    context: str | None = Field(default=None, description="Context of the kubeconfig; the current one by default.")

    def __init__(self, **data: Any) -> None:
        if "k8s_config" in data:
            data = {**data, "k8s_config": _with_two_keys(data["k8s_config"])}
        super().__init__(**data)

    @classmethod
    def configure_at_launch(cls, **kwargs: Any) -> Any:
        """Returns the resource with the fields given here; run config has the others."""
        if "k8s_config" in kwargs:
            kwargs = {**kwargs, "k8s_config": _with_two_keys(kwargs["k8s_config"])}
        return super().configure_at_launch(**kwargs)

    def environment(self, project: ProjectSource, attempt: Attempt) -> Environment:
        """Returns the environment that submits and watches Jobs.

        Raises:
            RunnerError: When the extra is not installed, Kubernetes does not know a field, or a value that anyone who
                can read Jobs can read looks like a secret.
        """
        from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
        from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate, visible_values

        need("kubernetes", "kubernetes", "dagster_k8s")
        template = JobTemplate(
            image=self.image,
            env=self.variables(project),
            secrets=self.secrets,
            context=self._container_context(),
            pod_spec=self._pod_spec(),
            annotations=self.annotations,
            ttl_seconds_after_finished=self.ttl_seconds_after_finished,
            active_deadline_seconds=self.active_deadline_seconds,
            k8s_config=self.k8s_config,
        )
        known = secrets_of(project.model)
        template.validate(known)
        for where, values in visible_values(template).items():
            refuse_visible_secrets(where, values, known, self.secret_advice)
        return KubernetesEnvironment(
            template,
            self.namespace,
            kubeconfig_file=self.kubeconfig_file,
            context=self.context,
            load_incluster_config=self.load_incluster_config,
            start_timeout=self.start_timeout,
        )

    def _container_context(self) -> Mapping[str, Any]:
        """Returns the fields that `dagster_k8s` has under the same names."""
        return {
            "env_config_maps": self.env_config_maps,
            "env_secrets": self.env_secrets,
            "image_pull_policy": self.image_pull_policy,
            "image_pull_secrets": [{"name": name} for name in self.image_pull_secrets],
            "labels": self.labels,
            "resources": self.resources,
            "service_account_name": self.service_account_name,
            "volume_mounts": self.volume_mounts,
            "volumes": self.volumes,
        }

    def _pod_spec(self) -> Mapping[str, Any]:
        given = {"affinity": self.affinity, "node_selector": self.node_selector, "tolerations": self.tolerations}
        return {name: value for name, value in given.items() if value}


def _with_two_keys(config: Any) -> Any:
    """Returns raw configuration whose `container_config` has another key next to `env`.

    Dagster takes a mapping with the only key `env` for an environment variable. The other key has the value that
    Kubernetes uses by default.
    """
    if isinstance(config, str):
        with suppress(ValueError):  # reported with the name of the field
            config = json.loads(config)
    if not isinstance(config, Mapping):
        return config
    sections = cast("Mapping[str, Any]", config)
    container = sections.get("container_config")
    if not isinstance(container, Mapping) or [*cast("Mapping[str, Any]", container)] != ["env"]:
        return sections
    return {**sections, "container_config": {**cast("Mapping[str, Any]", container), "stdin": False}}
