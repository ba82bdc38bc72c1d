"""Reads options of DAG configurations and tags as settings; unknown ones are reported with the closest name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, cast

from pydantic import ValidationError

from starlake_dagster_assets.automation.policies.settings import FORMER_NAMES, NodeSettings, validation_messages
from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.files.rendering import RenderError, render, substitute
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import DagConfig, Project
from starlake_dagster_assets.project.model.values import Location

__all__ = ["OptionReader", "list_ignored_options", "merged", "task_options"]

_OF_OTHERS = """
    pre_load_sensor pre_load_timeout pre_load_not_ready_sentinel_path retry_on_failure retry_delay_in_seconds
    cron_period_frequency default_dag_args sl_schedule_parameter_name sl_schedule_format
    stage_location sl_incoming_file_stage warehouse packages allow_overlapping_execution
"""
_OWN_NAMES = frozenset({*NodeSettings.model_fields, *FORMER_NAMES})
_OF_JOBS = frozenset({"default_pool", "max_active_runs", "priority_weight", "retries", "retry_delay", "tags"})
_AT_EACH_LOOK = frozenset({"global_ack_file_path", "incoming_path", "pending_path"})
"""Options with paths that may contain a date: only the variables of the DAG are replaced here."""
_IN_TAGS = _OWN_NAMES - _OF_JOBS
_ALMOST = 0.8
"""Minimum similarity of a tag of the user to a setting: users have tags of their own."""
_VENDOR_TEMPLATE = re.compile(
    r"(?:^|/)(?:[a-z0-9_]+__)?(?:(?:airflow|dagster|snowflake)[a-z0-9_]*)(?:\.py)?(?:\.j2)?$", re.IGNORECASE
)
"""Pattern of the names of Starlake's own templates, such as `load/airflow__scheduled_table__shell.py.j2`."""
_VARIABLE = re.compile(r"(SL|AWS|GOOGLE)_[A-Z0-9_]+")


@lru_cache(maxsize=1)
def list_ignored_options() -> frozenset[str]:
    """Returns options that triggers do not read: of environments, of other orchestrators, or without an effect here."""
    environments = (name for one in execution_environments().values() for name in one.options)
    return frozenset(_OF_OTHERS.split()) | frozenset(environments)


class OptionReader:
    """Reader of the settings of the nodes of a project, which collects the problems.

    Args:
        project: The project.
        everywhere: The settings of the whole project, from Python.
    """

    def __init__(self, project: Project, everywhere: NodeSettings | None = None) -> None:
        self._project = project
        self._everywhere = everywhere
        self._tasks = {task.raw for task in project.tasks}
        self._read: dict[tuple[str, tuple[tuple[str, str], ...]], NodeSettings] = {}
        self._seen: dict[Problem, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems that were found, each once."""
        return tuple(self._seen)

    def report(
        self,
        where: Node | DagConfig | Location,
        message: str,
        code: str = "bad-option",
        *,
        key: str = "",
        hint: str = "",
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Records a problem of a table, a task or a DAG configuration, or of a location in a file."""
        at = where.location if isinstance(where, Node | DagConfig) else where
        problem = Problem(file=at.file, line=at.line, key=key, message=message, hint=hint, severity=severity, code=code)
        self._seen.setdefault(problem)

    def report_setting(self, node: Node, name: str, value: object, message: str) -> None:
        """Reports a value that cannot be used; a value of the whole project is reported once.

        Args:
            node: A table or task that the value applies to.
            name: Field of `NodeSettings`.
            value: Value of the setting.
            message: The problem and, if there is one, a suggestion.
        """
        text = f"{name}: {message}"
        if self._everywhere is not None and getattr(self._everywhere, name) == value:
            self.report(Location(file="StarlakeAutomation"), text)
        elif name == "timezone" and value == self._project.application.timezone:
            self.report(Location(file="metadata/application.sl.yml"), text)
        else:
            self.report(node, text)

    def unknown(self, dags: Iterable[DagConfig]) -> None:
        """Reports unknown options, except those of a user's own template, which may read any option."""
        for dag in dags:
            if dag.template and not _VENDOR_TEMPLATE.search(dag.template):
                continue
            for name in dag.options:
                if (
                    name in _OWN_NAMES
                    or name in self._tasks
                    or _VARIABLE.fullmatch(name)
                    or name in list_ignored_options()
                ):
                    continue
                near = closest_match(name, [*sorted(_OWN_NAMES | list_ignored_options()), *sorted(self._tasks)])
                hint = f"Did you mean `{near}`?" if near else "Remove it, unless your template reads it."
                text, key = f"the option `{name}` is not used here.", f"dag.options.{name}"
                self.report(dag, text, "unknown-option", key=key, hint=hint, severity="warning")

    def of_dag(self, dag: DagConfig, variables: Mapping[str, str]) -> NodeSettings:
        """Returns the settings that a DAG configuration gives a node.

        Args:
            dag: The configuration.
            variables: Variables of the node, such as `domain` and `table`; those of the project also apply.
        """
        own = {name: text for name, text in dag.options.items() if name in _OWN_NAMES and text.strip()}
        if "SL_TIMEZONE" in dag.options and "timezone" not in own:
            own["timezone"] = dag.options["SL_TIMEZONE"]
        texts = {
            name: substitute(text, variables) if name in _AT_EACH_LOOK else self.rendered(dag, name, text, variables)
            for name, text in own.items()
        }
        key = (dag.name, tuple(texts.items()))
        if key not in self._read:
            self._read[key] = self._parsed(dag, {name: text for name, text in texts.items() if text.strip()})
        return self._read[key]

    def rendered(self, dag: DagConfig, name: str, text: str, variables: Mapping[str, str]) -> str:
        """Returns a value with its variables replaced; reports an invalid template, and returns "" for it."""
        if "{" not in text:
            return text
        try:
            return render(text, {**self._project.variables, **variables})
        except RenderError as error:
            self.report(dag, f"`{text}` is not a template: {error.message}.", key=f"dag.options.{name}")
            return ""

    def of_tags(self, node: Node) -> NodeSettings:
        """Returns the settings among the tags of a node; later tags override earlier ones."""
        pairs = [(key.strip(), value.strip()) for key, sign, value in (tag.partition("=") for tag in node.tags) if sign]
        for name, _ in pairs:
            if name not in _IN_TAGS:
                self._check_tag(node, name)
        own = {key: value for key, value in pairs if key in _OWN_NAMES}
        if not own:
            return _NOTHING
        key = ("", tuple(own.items()))
        if key not in self._read:
            found, wrong = _valid_settings(own)
            for text in wrong:
                self.report(node, f"the tag is not a setting: {text}", key="tags")
            self._read[key] = found.model_copy(update=dict.fromkeys(_OF_JOBS & own.keys()))
        return self._read[key]

    def _check_tag(self, node: Node, name: str) -> None:
        """Reports a tag that is a setting of jobs only, or that is almost the name of a setting."""
        if name in _OF_JOBS and name != "tags":
            hint = "Set it in the DAG configuration of the table or task, or in `StarlakeAutomation`."
            text, code = f"the tag `{name}=` has no effect: it is a setting of jobs.", "unused-tag"
        elif close := closest_match(name, _IN_TAGS, cutoff=_ALMOST):
            hint = f"Did you mean `{close}=`? Rename the tag if it is one of your own."
            text, code = f"the tag `{name}=` is not a setting, so it has no effect.", "unknown-tag"
        else:
            return
        self.report(node, text, code, key="tags", hint=hint, severity="warning")

    def _parsed(self, dag: DagConfig, texts: Mapping[str, str]) -> NodeSettings:
        found, wrong = _valid_settings(texts)
        for text in wrong:
            self.report(dag, text, key="dag.options")
        return found


def merged(*sources: NodeSettings) -> NodeSettings:
    """Merges settings: the first source that sets an option takes precedence.

    Args:
        sources: Settings, the most specific first.
    """
    values: dict[str, Any] = {}
    for settings in reversed(sources):
        fields = NodeSettings.model_fields
        set_fields = ((name, getattr(settings, name)) for name in settings.model_fields_set if name in fields)
        values.update({name: value for name, value in set_fields if value is not None})
    return NodeSettings.model_construct(**values)


def task_options(project: Project, node: Node) -> Mapping[str, str]:
    """Returns the variables of one task in its DAG configuration: `"<domain.task>": {"options": "k=v,…"}`.

    Args:
        project: The project.
        node: A task; other nodes have no variables.

    Returns:
        The variables, for `--options` of the transform of the task.
    """
    task = node.task
    dag = project.dags.get(task.dag_ref or "") if task is not None else None
    text = dag.options.get(node.raw, "") if dag is not None else ""
    if not text:
        return {}
    variables = {**project.variables, "domain": node.domain, "name": node.raw, "task": node.raw}
    return dict(_pairs(render(text, variables)))


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """Yields the pairs of `k=v,…`, as plain text or as the `options` of a JSON mapping."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    inner = str(cast("dict[str, Any]", found).get("options", "")) if isinstance(found, dict) else text
    pairs = (part.partition("=") for part in inner.split(","))
    return ((name.strip(), value.strip()) for name, sign, value in pairs if sign and name.strip())


def _valid_settings(texts: Mapping[str, str]) -> tuple[NodeSettings, list[str]]:
    """Returns the settings that are valid, and one message per invalid text."""
    try:
        return NodeSettings.model_validate(texts), []
    except ValidationError as error:
        bad = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        left = {name: text for name, text in texts.items() if name not in bad} if bad else {}
        return NodeSettings.model_validate(left), validation_messages(error)


_NOTHING = NodeSettings()
