"""Kubernetes as a Dagster resource."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Environment
from starlake_dagster_assets.resources.env_vars import with_placeholders
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource

if TYPE_CHECKING:
    from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate

__all__ = ["StarlakeKubernetes"]

_CONTEXT = (
    *("env_config_maps", "env_secrets", "image_pull_policy", "labels", "resources", "service_account_name"),
    *("volume_mounts", "volumes"),
)
"""Fields that `dagster_k8s` has under the same names."""


class StarlakeKubernetes(StarlakeRemoteResource):
    """Resource that runs each Starlake command as a Kubernetes Job.

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
    null_is_unset: ClassVar[bool] = True
    secret_advice: ClassVar[str] = (
        'Pass a reference instead: `secrets={"NAME": "SECRET:KEY"}`, or a whole Secret in `env_secrets`.'
    )

    visible_fields: ClassVar[tuple[str, ...]] = (
        *StarlakeRemoteResource.visible_fields,
        *_CONTEXT,
        *("image", "namespace", "secrets", "node_selector", "tolerations", "affinity", "annotations", "k8s_config"),
        "image_pull_secrets",
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
        le=2**31 - 1,
        description="Seconds for which Kubernetes keeps a finished Job: its result is read in that time.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        gt=0,
        le=2**31 - 1,
        description="Seconds after which Kubernetes itself ends a Job, also without Dagster.",
    )
    k8s_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Raw configuration in the shape of dagster-k8s (container_config, pod_spec_config, "
        "pod_template_spec_metadata, job_metadata, job_spec_config); it is merged over the fields.",
    )
    load_incluster_config: bool | None = Field(
        default=None,
        description="Use the credentials of the Pod; by default if this process runs in one and neither "
        "`kubeconfig_file` nor `context` is set.",
    )
    kubeconfig_file: str | None = Field(
        default=None, description="Path of a kubeconfig; KUBECONFIG or ~/.kube/config by default."
    )
    context: str | None = Field(default=None, description="Context of the kubeconfig; the current one by default.")

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        self.validate_visible_fields()

    def validate_against(self, project: ProjectSource) -> None:
        """Validates all fields against the project, as far as they are known when definitions are built.

        Raises:
            RunnerError: When a value that anyone who can read Jobs can read is a secret of the project.
        """
        super().validate_against(project)
        deadline, timeout = self.active_deadline_seconds, self.timeout
        if isinstance(deadline, int) and isinstance(timeout, int | float) and deadline < timeout:
            dg.get_dagster_logger("starlake").warning(
                f"StarlakeKubernetes: active_deadline_seconds is {deadline}, less than timeout ({timeout:g}): "
                "Kubernetes ends a Job before the time limit of its step. Next: raise it, or remove it."
            )

    def environment(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Returns the environment that submits and watches Jobs.

        Raises:
            RunnerError: When the extra is not installed.
        """
        from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment

        require_extra("kubernetes", "kubernetes", "dagster_k8s")
        return KubernetesEnvironment(
            self._template({name: getattr(self, name) for name in type(self).model_fields}, self.variables(project)),
            self.namespace,
            kubeconfig_file=self.kubeconfig_file,
            context=self.context,
            load_incluster_config=self.load_incluster_config,
            start_timeout=self.start_timeout,
        )

    def validate_visible_fields(self, secrets: Collection[str] = ()) -> None:
        """Validates the fields as Kubernetes does, and that none contains a secret, except fields that are variables.

        Args:
            secrets: Values that are known to be secret.

        Raises:
            RunnerError: Names the path, what was found, what was expected, and the next step.
        """
        from starlake_dagster_assets.execution.backends.remote.kubernetes_fields import validate_names
        from starlake_dagster_assets.execution.backends.remote.public_texts import UNKNOWN

        if self.load_incluster_config is True and (self.kubeconfig_file or self.context):
            other = "kubeconfig_file" if self.kubeconfig_file else "context"
            raise RunnerError(
                f"StarlakeKubernetes: `load_incluster_config` uses the credentials of the Pod, and `{other}` those of "
                "a kubeconfig; expected one of them. Next: remove one."
            )
        fields = with_placeholders(self, UNKNOWN)
        if "volumes" in self.from_environment:
            fields["volumes"] = UNKNOWN
        try:
            self._template(fields, dict.fromkeys(fields["env"], "")).validate(secrets)
            if namespace := fields["namespace"]:
                validate_names({}, {"namespace": namespace}, secrets)
                if len(namespace) > 63 or "." in namespace:
                    raise RunnerError("namespace has more than 63 characters or a `.`; expected the name of one.")
            super().validate_visible_fields(secrets)
        except RunnerError as error:
            raise RunnerError(f"StarlakeKubernetes: {error}") from error

    def _template(self, fields: Mapping[str, Any], env: Mapping[str, str]) -> "JobTemplate":
        from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate

        pulling = fields["image_pull_secrets"]
        context = {name: fields[name] for name in _CONTEXT}
        pod_spec = {name: fields[name] for name in ("affinity", "node_selector", "tolerations") if fields[name]}
        return JobTemplate(
            image=fields["image"],
            env=env,
            secrets=fields["secrets"],
            context={**context, "image_pull_secrets": [{"name": name} for name in pulling]},
            pod_spec=pod_spec,
            annotations=fields["annotations"],
            ttl_seconds_after_finished=fields["ttl_seconds_after_finished"],
            active_deadline_seconds=fields["active_deadline_seconds"],
            k8s_config=fields["k8s_config"],
        )
