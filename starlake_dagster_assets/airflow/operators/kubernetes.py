"""Operators that run commands as Kubernetes Pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.operators.renderer import Arguments, OperatorRenderer
from starlake_dagster_assets.airflow.operators.standard import EMPTY
from starlake_dagster_assets.airflow.plan.model import TaskSpec
from starlake_dagster_assets.airflow.render.source import Raw, python_literal

__all__ = ["Kubernetes"]

_OPERATOR = "from airflow.providers.cncf.kubernetes.operators.pod import (\n    KubernetesPodOperator,\n)"
_SECRET = "from airflow.providers.cncf.kubernetes.secret import Secret"
_MODELS = "from kubernetes.client import models as k8s"
_QUANTITY = (r"\d+(?:\.\d+)?(?:m|k|Ki|[MGTPE]i?)?", "a quantity of Kubernetes, such as 500m or 4Gi")
_ARGUMENTS = """
active_deadline_seconds affinity annotations automount_service_account_token base_container_name
base_container_status_polling_interval callbacks cluster_context cmds config_file configmaps container_logs
container_name_log_prefix_enabled container_resources container_security_context deferrable dns_config
dnspolicy durable env_from full_pod_spec get_logs host_aliases hostname hostnetwork image image_pull_policy
image_pull_secrets in_cluster init_container_logs init_containers is_delete_operator_pod kubernetes_conn_id
labels log_events_on_failure log_events_on_startup log_formatter log_pod_spec_on_failure logging_interval name
namespace node_selector on_finish_action on_kill_action pod_runtime_info_envs pod_template_dict
pod_template_file poll_interval ports priority_class_name progress_callback random_name_suffix
reattach_on_restart runtime_class_name schedule_timeout_seconds schedulername secrets security_context
service_account_name startup_check_interval_seconds startup_timeout_seconds subdomain termination_grace_period
termination_message_policy tolerations trigger_kwargs volume_mounts volumes
xcom_sidecar_container_security_context
"""
"""Arguments of the operator that tags may set."""


@dataclass(frozen=True)
class Kubernetes(OperatorRenderer):
    """Operators of Kubernetes: one `KubernetesPodOperator` per command; the image's entry point is `starlake`."""

    operator: ClassVar[str] = "KubernetesPodOperator"
    operator_arguments: ClassVar[tuple[str, ...]] = tuple(_ARGUMENTS.split())
    reserved: ClassVar[tuple[str, ...]] = ("ENV", "RESOURCES", "ROOT", "SECRETS", "Secret", "k8s")

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators in use."""
        secret, models = [_SECRET] if self._secrets else [], [_MODELS] if self._resources else []
        empty = [EMPTY] if any(self.runs_no_command(task) for task in self.dag.tasks) else []
        return [_OPERATOR, *secret, *empty, *models]

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constants for environment variables, Secrets and resources."""
        found: list[tuple[str, Any]] = [("ENV", self.env)]
        if names := self._secrets:
            found.append(("SECRETS", [Raw(f'Secret("env", None, {python_literal(name)})') for name in names]))
        if requests := self._resources:
            limits = {name: value for name, value in requests.items() if name == "memory"}
            words = f"requests={python_literal(requests)}, limits={python_literal(limits)}"
            found.append(("RESOURCES", Raw(f"k8s.V1ResourceRequirements({words})")))
        return [*found, *self.root]

    def default_args(self) -> dict[str, Any]:
        """Returns the arguments that all Pods share, such as image and namespace."""
        found: dict[str, Any] = {
            "image": self.templated_option("kubernetes_image"),
            "namespace": self.templated_option("kubernetes_namespace", "default"),
            "env_vars": Raw("ENV"),
            "on_finish_action": "delete_pod",
            **self.deferrable,
        }
        if account := self.dag_option("kubernetes_service_account_name"):
            found["service_account_name"] = account
        if connection := self.dag_option("kubernetes_conn_id"):
            found["kubernetes_conn_id"] = connection
        if self._secrets:
            found["secrets"] = Raw("SECRETS")
        if self._resources:
            found["container_resources"] = Raw("RESOURCES")
        return found

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its arguments."""
        if self.runs_no_command(task):
            return "EmptyOperator", []
        return "KubernetesPodOperator", [("arguments", self.command_line(task)), *self.result_arguments(task)]

    @property
    def _secrets(self) -> list[str]:
        """Names of the Kubernetes Secrets whose keys become environment variables."""
        names = (name.strip() for name in (self.dag_option("kubernetes_env_secrets") or "").split(","))
        return [name for name in names if name]

    @property
    def _resources(self) -> dict[str, str]:
        """Resource requests of the container; the memory request is also the limit."""
        limits = {name: self.checked_option(f"kubernetes_{name}", *_QUANTITY) for name in ("cpu", "memory")}
        return {name: value for name, value in limits.items() if value}
