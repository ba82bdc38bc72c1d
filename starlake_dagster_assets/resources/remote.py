"""Base class of the resources of remote environments: variables of commands, and polling of executions."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, cast

import dagster as dg
from pydantic import Field

from starlake_dagster_assets._deprecated import warn_deprecated
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import contains_secret, secrets_of
from starlake_dagster_assets.errors import PluginError, RunnerError
from starlake_dagster_assets.execution.backends.local.shell_env import (
    DROPPED,
    RESERVED_VARIABLES,
    VARIABLE_NAME,
    required_log_level,
)
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, Policy
from starlake_dagster_assets.execution.backends.remote.public_texts import (
    UNKNOWN,
    PublicText,
    list_public_texts,
)
from starlake_dagster_assets.resources.env_vars import FROM_ENVIRONMENT, is_variable, with_placeholders
from starlake_dagster_assets.resources.guarded_calls import call_resource, calling_method
from starlake_dagster_assets.resources.project_variables import validate_project_variables
from starlake_dagster_assets.resources.warehouse import StarlakeWarehouseResource

__all__ = ["StarlakeRemoteResource"]

_RESERVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "env": {"SL_JOB_ID": RESERVED_VARIABLES["SL_JOB_ID"]},
        "secrets": {
            **RESERVED_VARIABLES,
            "SL_LOG_LEVEL": "it must be known, because the lines of the log report the tables; set `log_level`",
        },
    }
)
"""Reasons why a variable cannot be set, by field and variable."""


class StarlakeRemoteResource(StarlakeWarehouseResource):
    """Base class of the resources that run commands in a remote service. A subclass implements `environment`."""

    secret_advice: ClassVar[str] = "Next: keep it in the secret store of the service."
    """Last sentence of the error about a visible secret: the next step."""
    visible_fields: ClassVar[tuple[str, ...]] = ("root", "datasets", "env")
    """Fields with keys and texts that anyone who can view an execution can read; none may contain a secret."""

    root: str | None = Field(
        default=None,
        description="SL_ROOT there, such as gs://bucket/starbake; by default that of the service.",
    )
    datasets: str | None = Field(
        default=None,
        description="SL_DATASETS there, or the path under which this process sees it, such as gs://bucket/starbake/"
        "datasets: the areas are listed to find out which files were loaded. By default that of `env`, of the project, "
        "or below `root`, if it is a URL.",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables of every command. Anyone who can view an execution "
        "reads them: secrets belong in the service's own secret store.",
    )
    log_level: Literal["info", "debug", "trace", "all"] = Field(
        default="info", description="SL_LOG_LEVEL; below info, tables are not reported as they are loaded."
    )
    timeout: float | None = Field(default=None, gt=0, description="Seconds after which an execution is canceled.")
    poll_interval: float = Field(
        default=5, gt=0, description="Seconds between two polls, growing while nothing changes."
    )
    start_timeout: float = Field(
        default=600,
        gt=0,
        description="Seconds for which a submission is repeated while the service throttles, has no capacity or does "
        "not answer.",
    )
    outage_timeout: float = Field(
        default=600,
        gt=0,
        description="Seconds for which the state of an execution may be unreadable before the step fails; the "
        "execution continues.",
    )
    log_settle: float = Field(
        default=60, ge=0, description="Seconds for which the end of the log is waited for after an execution has ended."
    )
    attempts: int | None = Field(
        default=None, description="Deprecated and without effect: set `start_timeout` and `outage_timeout`."
    )

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        for option in ("env", "secrets"):
            _validate_variables(option, getattr(self, option, None))
        if data.get("attempts") is not None:
            kind: type[Any] = type(self)
            warn_deprecated(f"`{kind.__name__}(attempts=…)`", "`start_timeout=…` and `outage_timeout=…`")

    def validate_against(self, project: ProjectSource) -> None:
        """Validates the fields that anyone who can view an execution can read, and `SL_ENV` and `SL_ROOT` of `env`.

        Raises:
            RunnerError: When one has a secret: by the name of a variable, or as a key or a text of any visible field.
                Also when `SL_ENV` or `SL_ROOT` in `env` differs from that of the project.
        """
        super().validate_against(project)
        validate_project_variables(self.env, project, None if is_variable(self.root) else self.root, "`root`")
        self.validate_visible_fields(secrets_of(project.model))

    def validate_visible_fields(self, secrets: Collection[str] = ()) -> None:
        """Validates the fields that anyone who can view an execution can read, as far as they are known.

        Args:
            secrets: Values that are known to be secret.

        Raises:
            RunnerError: When one has a secret: by the name of a variable, or as a key or a text.
        """
        fields = with_placeholders(self, UNKNOWN)
        for field in self.visible_fields:
            for one in list_public_texts(field, _without_variables(fields[field])):
                _validate_public_text(one, secrets, self.secret_advice)

    def environment(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Returns the service that runs commands.

        Args:
            project: The project whose commands are run.
            attempt: The attempt that requests commands.

        Raises:
            RunnerError: When its packages are not installed, or its fields contradict each other.
        """
        raise RunnerError("This resource has no execution environment: override environment(project, attempt).")

    def runner(self, project: ProjectSource, attempt: StepAttempt | None = None) -> Runner:
        """Returns the runner of a project.

        Raises:
            RunnerError: When the environment is not available.
        """
        from starlake_dagster_assets.execution.backends.load_areas import remote_files

        StarlakeRemoteResource.validate_against(self, project)  # now with the values of all fields
        from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

        who = attempt or StepAttempt()
        options = project.options
        reader = call_resource(self, "warehouse_reader", project)
        datasets = self.datasets or self.env.get("SL_DATASETS")
        files = remote_files(project.model, root=self.root or self.env.get("SL_ROOT"), datasets=datasets)
        return RemoteRunner(self._open(project, who), who, call_resource(self, "policy"), reader, options, files=files)

    def _open(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Opens the environment; if another package implements the environment, its calls are guarded.

        Raises:
            RunnerError: The environment cannot be opened, or lacks members of the protocol.
        """
        from starlake_dagster_assets.execution.backends.remote.response_validation import (
            GuardedEnvironment,
            missing_members,
        )

        with calling_method(self, "environment") as (origin, call):
            found = self.environment(project, attempt)
        if missing := missing_members(found):
            raise PluginError(
                f"{origin}: {call} returned {type(found).__name__}, which has no {', '.join(missing)}; expected an "
                "object with the members of `starlake_dagster_assets.environments.Environment`. Next: return one."
            )
        is_own = type(found).__module__.startswith("starlake_dagster_assets.")
        return found if is_own else cast("Any", GuardedEnvironment(found, origin))

    def policy(self) -> Policy:
        """Returns the intervals and deadlines for the polling of executions."""
        return Policy(
            poll=self.poll_interval,
            longest_poll=max(30.0, self.poll_interval),
            timeout=self.timeout,
            starting=self.start_timeout,
            outage=self.outage_timeout,
            settle=self.log_settle,
        )

    def variables(self, project: ProjectSource) -> Mapping[str, str]:
        """Returns the environment variables of every command; `validate_against` validates them."""
        level = required_log_level(self.log_level, self.env.get("SL_LOG_LEVEL"))
        given = {"SL_ENV": project.env, "SL_ROOT": self.root, **self.env, "SL_LOG_LEVEL": level}
        return {name: value for name, value in given.items() if value is not None and name not in DROPPED}


def _validate_variables(option: str, values: object) -> None:
    """Raises an error for a variable that each command sets, and for a name that no program can read as a variable.

    Raises:
        RunnerError: Names the field and the variable.
    """
    for name in cast("Mapping[str, object]", values) if isinstance(values, Mapping) else ():
        if name in _RESERVED[option]:
            raise RunnerError(f"{option} `{name}`: {_RESERVED[option][name]}. Next: remove it.")
        if not VARIABLE_NAME.fullmatch(name):
            shown = f"{name.partition('=')[0]!r:.40}"
            raise RunnerError(
                f"{option} has a key that is not the name of a variable; found {shown} ({len(name)} characters), "
                "expected letters, digits, `_`, `-` and `.`, and no digit at the beginning."
            )


def _without_variables(value: Any) -> Any:
    """Returns the fields of a nested configuration as a mapping; any other value is returned unchanged."""
    if not isinstance(value, dg.Config):
        return value
    fields = with_placeholders(value, UNKNOWN)
    return {name: _without_variables(one) for name, one in fields.items() if name != FROM_ENVIRONMENT}


def _validate_public_text(one: PublicText, secrets: Collection[str], advice: str) -> None:
    """Raises an error for a secret in a text that anyone who can view an execution can read.

    Args:
        one: The text.
        secrets: Values that are known to be secret.
        advice: Last sentence of the error: the next step.

    Raises:
        RunnerError: Names the text, and does not show it.
    """
    if not one.is_secret and not contains_secret(one.text, secrets):
        return
    reason = "looks like a secret" if one.is_secret else "has a secret or a URL with a password in its value"
    if one.kind == "key":
        reason = "has a key that is a secret of the project"
    shown = f"{one.path} `{one.name}`" if one.name not in ("", one.path) else one.path
    raise RunnerError(f"{shown} {reason}, and anyone who may look at an execution could read it. {advice}")
