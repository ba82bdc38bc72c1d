"""Builds the Kubernetes Job of a command from fields and raw configuration, merged by `dagster_k8s`."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.commands.spark import spark_variables
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.kubernetes_fields import (
    KEY_LABEL,
    SECTIONS,
    validate_annotations,
    validate_config,
    validate_keys,
    validate_labels,
    validate_names,
    validate_value,
    variables_in,
    without_nulls,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_settings import (
    TAG,
    parse_override,
    validate_resources,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_values import validate_volumes
from starlake_dagster_assets.execution.backends.remote.protocol import Submission
from starlake_dagster_assets.execution.backends.remote.public_texts import UNKNOWN

__all__ = ["CONTAINER", "KEY_LABEL", "JobTemplate", "job_name"]

CONTAINER = "starlake"
"""Name of the container that runs the program."""
_SLACK = 60
"""Seconds after the time limit of the step at which Kubernetes ends an execution that is no longer watched."""
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "affinity": "V1Affinity",
        "node_selector": "dict(str, str)",
        "resources": "V1ResourceRequirements",
        "tolerations": "list[V1Toleration]",
        "volume_mounts": "list[V1VolumeMount]",
        "volumes": "list[V1Volume]",
    }
)
"""Types of the fields in the Kubernetes API."""
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class JobTemplate:
    """Specification that the Jobs of all commands share, with the names of the Kubernetes API.

    Attributes:
        image: Image of the program.
        env: Environment variables; anyone who can read Pods can read them.
        secrets: `SECRET:KEY` by environment variable.
        context: Arguments of `dagster_k8s`' `K8sContainerContext`: labels, volumes, resources, …
        pod_spec: Node selector, tolerations and affinity of the Pod.
        annotations: Annotations of Job and Pod.
        ttl_seconds_after_finished: Seconds for which Kubernetes keeps a finished Job.
        active_deadline_seconds: Seconds after which Kubernetes ends a Job.
        k8s_config: Raw configuration in the shape of `UserDefinedDagsterK8sConfig`; it takes precedence over
            the fields.
    """

    image: str
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    secrets: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    context: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    pod_spec: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    annotations: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    ttl_seconds_after_finished: int = 86400
    active_deadline_seconds: int | None = None
    k8s_config: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def validate(self, known_secrets: Collection[str] = ()) -> None:
        """Validates all fields as Kubernetes does.

        Args:
            known_secrets: Values that are known to be secret.

        Raises:
            RunnerError: Names the field, what was found, and the closest name.
        """
        names: dict[str, Any] = {name: self.context.get(name) or () for name in ("env_secrets", "env_config_maps")}
        pulling: Sequence[Mapping[str, str]] = self.context.get("image_pull_secrets") or ()
        names["image_pull_secrets"] = [one["name"] for one in pulling]
        if account := self.context.get("service_account_name"):
            names["service_account_name"] = account
        validate_names(self.secrets, names, known_secrets)
        validate_labels("labels", self.context.get("labels") or {})
        validate_annotations("annotations", self.annotations)
        policy = self.context.get("image_pull_policy")
        if policy not in (None, UNKNOWN, *_PULL_POLICIES):
            expected = ", ".join(_PULL_POLICIES)
            raise RunnerError(f"image_pull_policy is {policy!r}; expected one of {expected}.")
        if re.search(r"\s", self.image or ""):
            raise RunnerError("image has a space or a line break; expected a name such as `registry/starlake:1.6.0`.")
        if twice := sorted({*self.env} & {*self.secrets}):
            raise RunnerError(f"the variable `{twice[0]}` is in both `env` and `secrets`. Next: remove one of them.")
        for name in variables_in(self.k8s_config):
            if name in self.env or name in self.secrets:
                other = "env" if name in self.env else "secrets"
                raise RunnerError(
                    f"the variable `{name}` is in both `{other}` and `k8s_config`. Next: remove one of them."
                )
        selector = self.pod_spec.get("node_selector")
        validate_keys(
            "node_selector", cast("Mapping[str, object]", selector) if isinstance(selector, Mapping) else {}, "a label"
        )
        for name, kind in _FIELDS.items():
            validate_value(name, kind, self.context.get(name) or self.pod_spec.get(name))
        validate_config("k8s_config", self.k8s_config)
        volumes, mounts = (self.context.get(name) or () for name in ("volumes", "volume_mounts"))
        validate_volumes(volumes, mounts, self.k8s_config)

    def job(self, submission: Submission, namespace: str) -> dict[str, Any]:
        """Returns the Job of a command, ready to be sent to Kubernetes.

        Raises:
            RunnerError: When Kubernetes does not know a field or a key of the raw configuration.
        """
        import dagster_k8s

        library: Any = dagster_k8s
        name = job_name(submission)
        labels = {f"dagster/{key.replace('_', '-')}": value for key, value in submission.labels.items()}
        labels |= {"app.kubernetes.io/name": "starlake", "app.kubernetes.io/component": submission.command.name}
        try:
            model = library.construct_dagster_k8s_job(
                library.DagsterK8sJobConfig(job_image=self.image, image_pull_policy=""),
                [_escaped(arg) for arg in submission.command.argv],
                name,
                user_defined_k8s_config=self._merged_with(submission.command.overrides),
                pod_name=name,
                labels=labels,
            )
        except Exception as error:  # the library raises plain exceptions
            raise _not_valid(error) from error
        job = _plain(model)
        job["metadata"]["namespace"] = namespace
        job["metadata"].setdefault("annotations", {})[KEY_LABEL] = submission.key
        self._finish(job["spec"], submission)
        return job

    def _finish(self, spec: dict[str, Any], submission: Submission) -> None:
        spec["podReplacementPolicy"] = "Failed"  # never a second Pod while the first one may run
        limits = [self.active_deadline_seconds, spec.get("activeDeadlineSeconds")]
        if submission.timeout is not None:
            limits.append(int(submission.timeout) + _SLACK)
        if known := [limit for limit in limits if limit is not None]:
            spec["activeDeadlineSeconds"] = min(known)
        spec["template"]["metadata"].pop("name", None)  # Kubernetes generates the name
        container = spec["template"]["spec"]["containers"][0]
        if not container["imagePullPolicy"]:
            del container["imagePullPolicy"]
        variables = {one["name"]: one for one in container.get("env", ())}
        of_command = {name: _escaped(value) for name, value in submission.command.env.items()}
        of_spark = spark_variables(submission.command, self.env)
        if replaced := sorted(of_spark.keys() & self.secrets.keys()):
            raise RunnerError(
                f"secrets `{replaced[0]}`: it would replace the Spark properties of {submission.command.name}. Next: "
                "move the options to `env`, and the secrets in them to properties such as "
                "`spark.kubernetes.executor.secretKeyRef.NAME=SECRET:KEY`."
            )
        ours = {**self.env, **of_command, **of_spark}
        variables |= {name: {"name": name, "value": value} for name, value in ours.items()}
        secrets: dict[str, Any] = {}
        for name, reference in self.secrets.items():
            secret, _, key = reference.partition(":")
            secrets[name] = {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        # in this order: a variable may refer to earlier ones
        container["env"] = [*{**secrets, **variables, **secrets}.values()]

    def _merged_with(self, overrides: Sequence[str]) -> Any:
        """Merges fields, raw configuration and the settings of a table into one `UserDefinedDagsterK8sConfig`."""
        raws = [parse_override(TAG, text) for text in overrides]
        merged = _merge(self._merged, *raws)
        if raws:  # a request of the table and a limit of the resource may not fit together
            validate_resources(merged.container_config.get("resources"))
        return merged

    @cached_property
    def _merged(self) -> Any:
        """Fields and raw configuration, merged into one `UserDefinedDagsterK8sConfig`."""
        spec = {"ttl_seconds_after_finished": self.ttl_seconds_after_finished}
        metadata = {"annotations": dict(self.annotations)} if self.annotations else {}
        fields = {
            "container_config": {"name": CONTAINER},
            "job_metadata": metadata,
            "job_spec_config": spec,
            "pod_spec_config": without_nulls(self.pod_spec),
            "pod_template_spec_metadata": metadata,
        }
        from dagster_k8s.container_context import K8sContainerContext

        context: Any = K8sContainerContext
        try:
            below = context(**without_nulls(self.context), run_k8s_config=_config(fields)).run_k8s_config
        except Exception as error:
            raise _not_valid(error) from error
        return _merge(below, self.k8s_config)

    def sections(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns the merged configuration of container, Pod and Job, by section.

        Raises:
            RunnerError: When Kubernetes does not know a field.
        """
        return {name: getattr(self._merged, name) for name in SECTIONS if name != "merge_behavior"}


def _escaped(text: str) -> str:
    """Escapes a text of a command: Kubernetes would replace `$(NAME)` with a variable, and `$$` with `$`."""
    return text.replace("$", "$$")


def job_name(submission: Submission) -> str:
    """Returns the name of a submission's Job: the same for the same key, at most 57 characters."""
    words = f"starlake-{submission.command.name}-{submission.labels.get('step', '')}".lower()
    slug = re.sub(r"[^a-z0-9]+", "-", words)[:36].strip("-")
    return f"{slug}-{uuid.uuid5(uuid.NAMESPACE_URL, submission.key).hex[:20]}"


def _merge(below: Any, *raws: Mapping[str, Any]) -> Any:
    """Merges raw configurations over another one, in order."""
    from dagster_k8s.container_context import K8sContainerContext

    context: Any = K8sContainerContext
    try:
        merged = context(run_k8s_config=below)
        for raw in raws:
            merged = merged.merge(context(run_k8s_config=_config(raw)))
    except Exception as error:
        raise _not_valid(error) from error
    return merged.run_k8s_config


def _config(values: Mapping[str, Any]) -> Any:
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    config: Any = UserDefinedDagsterK8sConfig
    return config.from_dict(without_nulls(values))


def _plain(job: Any) -> dict[str, Any]:
    """Returns a model object of the client as plain data, with the names of the API."""
    import kubernetes.client

    library: Any = kubernetes.client
    return json.loads(json.dumps(library.ApiClient(library.Configuration()).sanitize_for_serialization(job)))


def _not_valid(error: Exception) -> RunnerError:
    return RunnerError(f"Kubernetes has no such field or value: {error}")
