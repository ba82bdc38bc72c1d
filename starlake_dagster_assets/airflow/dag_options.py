"""Options of DAG configurations as Airflow settings: `default_args`, pools, environment variables."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.airflow.plan.argument_types import argument_problem, to_airflow_value
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.airflow.plan.operator_arguments import secret_names
from starlake_dagster_assets.airflow.render.source import jinja, jinja_text
from starlake_dagster_assets.automation.policies.model import Job
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import contains_secret, secrets_of
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.model.secret_names import is_secret, is_secret_name

__all__ = [
    "DUCKDB_POOL",
    "Templates",
    "configured_pool",
    "default_args",
    "ignored_arguments",
    "pool_of",
    "setting",
]

DUCKDB_POOL = "starlake_duckdb"
"""The pool of all tasks that may write a DuckDB file; it has one slot, because the file has one writer at a time."""

_ROOT_NAME = re.compile(r"\{\{\s*SL_ROOT\s*\}\}|\$\{\s*SL_ROOT\s*\}")
_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}|\$\{\s*(\w+)\s*\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROOT = "{{SL_ROOT}}"
_NONE: Mapping[str, str] = MappingProxyType({})
_NOT_EXPORTED = ("SL_ROOT", "SL_LOG_LEVEL")
"""Variables that are not exported: the root is an Airflow variable; results are read from the log at level `info`."""
_OWN = ("start_date", "end_date", "retries", "retry_delay")


def default_args(job: Job, options: AirflowOptions, pool: str | None) -> dict[str, Any]:
    """Returns the `default_args` of a DAG: those of `default_dag_args`, overridden by options such as `retries`.

    Args:
        job: The options of a DAG configuration.
        options: Defaults of the options that the DAG configuration does not set.
        pool: The pool of all tasks, regardless of the configured one; None = the configured one.

    Raises:
        ProjectError: When `default_dag_args` is not a JSON mapping, or contains a secret, `trigger_rule`,
            `skip_on_exit_code` or a value that Airflow does not take.
    """
    arguments = _mapping("default_dag_args", {**options.settings, **job.options})
    problems = [problem for name, value in arguments.items() if (problem := _problem_of_argument(name, value))]
    if problems:
        raise ProjectError(problems)
    retries = job.retries if job.retries is not None else arguments.get("retries", options.retries)
    delay = job.retry_delay if job.retry_delay is not None else arguments.get("retry_delay", options.retry_delay)
    found: dict[str, Any] = {
        "owner": "starlake",
        "retries": retries,
        "retry_delay": timedelta(seconds=float(delay)),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
    }
    for name, value in arguments.items():
        if name not in _OWN:
            found[name] = to_airflow_value(name, value)
    if named := pool or configured_pool(job, options.settings):
        found["pool"] = named
    if job.priority is not None:
        found["priority_weight"] = job.priority
    return found


def _problem_of_argument(name: str, value: object) -> str:
    """Returns the reason why an entry of `default_dag_args` cannot be exported; "" if it can."""
    if secret := next(secret_names({name: value}), None):
        return (
            f"option default_dag_args: `{secret}` looks like a secret, which would be written into the Airflow files. "
            "Next: take it from a connection or a variable of Airflow."
        )
    problem = argument_problem(name, value)
    return f"option default_dag_args: {problem}" if problem else ""


def ignored_arguments(job: Job, settings: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Returns the names in `default_dag_args` that are no arguments of operators, so that Airflow ignores them.

    Args:
        job: Settings of a DAG configuration.
        settings: Options that apply if the DAG configuration does not set them.
        known: Arguments of the operators.
    """
    return [one for one in _mapping("default_dag_args", {**settings, **job.options}) if one not in {*known, *_OWN}]


def configured_pool(job: Job, settings: Mapping[str, str]) -> str | None:
    """Returns the pool that a DAG configuration names: `default_pool`, or that of `default_dag_args`.

    Args:
        job: Settings of a DAG configuration.
        settings: Options that apply if the DAG configuration does not set them.
    """
    return job.pool or _mapping("default_dag_args", {**settings, **job.options}).get("pool")


def pool_of(project: ProjectSource) -> str | None:
    """Returns the pool `starlake_duckdb` if the project uses DuckDB, whose files have one writer; else None."""
    application = project.model.application
    used = {application.connection_ref, application.audit.connection} | {
        thing.connection for thing in (*project.model.tables, *project.model.tasks)
    }
    connections = [application.connections[name] for name in used if name and name in application.connections]
    return DUCKDB_POOL if any(one.engine == "duckdb" for one in connections) else None


def setting(settings: Mapping[str, str], *names: str) -> str | None:
    """Returns the value of the first option that is set; None if none of them is."""
    return next((settings[name] for name in names if settings.get(name)), None)


@dataclass(frozen=True)
class Templates:
    """Airflow templates for the settings of a project, without its directory on the machine that exports.

    Attributes:
        project: The project.
        prefix: Prefix of the names of Airflow variables, so that each project has its own.
        settings: Options of a DAG configuration.
    """

    project: ProjectSource
    prefix: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: _NONE)

    def environment(self) -> dict[str, str]:
        """Returns `SL_ENV` and the variables of `sl_env_var`; secrets come from Airflow variables of the same name.

        A variable is secret by its name, unless its value is only the path or name of a secret. It is also secret if
        its value contains a secret, such as a URL with a password.
        """
        project = self.project
        secrets = secrets_of(project.model)
        found = {"SL_ENV": jinja(project.env)} if project.env else {}
        for name, value in _env_var(self.settings).items():
            if name in _NOT_EXPORTED or not _VARIABLE.fullmatch(name):
                continue
            secret = is_secret(name, str(value)) or contains_secret(_filled(str(value), project), secrets)
            found[name] = self.variable(name) if secret else self.rooted(str(value))
        return found

    @property
    def root(self) -> str:
        """The template of `SL_ROOT`."""
        return "{{ " + self._root + " }}"

    @property
    def _root(self) -> str:
        """The expression of `SL_ROOT`: the Airflow variable `starlake_root`, by default the value of the options."""
        root = setting(self.settings, "SL_ROOT") or _env_var(self.settings).get("SL_ROOT")
        known = self.without_local_root(_filled(root, self.project)) if root else _ROOT
        name = f"{self.prefix}starlake_root"
        return f"var.value.{name}" if _ROOT_NAME.search(known) else f"var.value.get('{name}', {jinja_text(known)})"

    def variable(self, name: str, default: str | None = None) -> str:
        """Returns the template of an Airflow variable.

        Args:
            name: Name of the variable, without the prefix.
            default: Value if the variable is not set; None = the variable must be set.
        """
        name = self.prefix + name
        if default is None:
            return "{{ var.value." + name + " }}"
        parts = [jinja_text(part) if part else "" for part in self.split_at_root(default)]
        text = f" ~ {self._root} ~ ".join(parts).removeprefix(" ~ ").removesuffix(" ~ ")
        return "{{ var.value.get('" + name + "', " + (text or "''") + ") }}"

    def rooted(self, text: str) -> str:
        """Returns a text as a template, with the project's variables filled in."""
        return self.root.join(map(jinja, self.split_at_root(text)))

    def with_root(self, value: Any) -> Any:
        """Returns a value of an argument with the template of `SL_ROOT` instead of the root, also in nested values."""
        if isinstance(value, Mapping):
            return {key: self.with_root(one) for key, one in cast("Mapping[Any, Any]", value).items()}
        if isinstance(value, list):
            return [self.with_root(one) for one in cast("list[Any]", value)]
        parts = _ROOT_NAME.split(self.without_local_root(value)) if isinstance(value, str) else []
        return self.root.join(parts) if len(parts) > 1 else value

    def split_at_root(self, text: str) -> list[str]:
        """Fills in the project's variables in a text, and returns the parts between the occurrences of its root."""
        return _ROOT_NAME.split(self.without_local_root(_filled(text, self.project)))

    def without_local_root(self, text: str) -> str:
        """Returns a text with `{{SL_ROOT}}` instead of the project's root on this machine."""
        # a bucket or host before the root makes it a path of a store
        root = rf"(\w+://[\w.{{}}-]+)?{re.escape(str(self.project.root))}(?![\w.-])"
        return re.sub(root, lambda match: match[0] if match[1] else _ROOT, text)


def _filled(text: str, project: ProjectSource) -> str:
    variables = project.model.variables

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return match[0] if is_secret_name(name) else variables.get(name, match[0])

    return _NAME.sub(value, text)


def _env_var(settings: Mapping[str, str]) -> Mapping[str, Any]:
    return _mapping("sl_env_var", settings)


def _mapping(option: str, options: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the JSON mapping that an option contains; an empty one if the option is not given."""
    text = options.get(option, "").strip()
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise ProjectError([f"option {option}: expected a JSON mapping, found {text!r} ({error})."]) from error
    if not isinstance(found, dict):
        raise ProjectError([f"option {option}: expected a JSON mapping, found {text!r}."])
    return cast("dict[str, Any]", found)
