"""Settings of the triggers of a whole project: `StarlakeAutomation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starlake_dagster_assets._arguments import instance_of, shown
from starlake_dagster_assets._deprecated import warn_deprecated
from starlake_dagster_assets.automation.policies.model import PreLoadStrategy
from starlake_dagster_assets.automation.policies.setting_groups import (
    FIELDS,
    FLAT_NAMES,
    GROUPS,
    JobSettings,
    LineageSettings,
    PartitionSettings,
    PreLoadSettings,
    ScheduleSettings,
    SettingsGroup,
)
from starlake_dagster_assets.automation.policies.settings import (
    NodeSettings,
    PartitionedBy,
    Status,
    TimeZone,
    validation_messages,
)
from starlake_dagster_assets.errors import ProjectError, closest_match

__all__ = ["StarlakeAutomation", "settings_of"]


class StarlakeAutomation(BaseModel):
    """Triggers of the tables and tasks of a project; DAG configurations and tags take precedence.

    Args:
        status: Whether sensors and schedules are `STOPPED` until you switch them on (Dagster's default), or `RUNNING`
            from the start.
        timezone: Name of an IANA time zone; that of the project (`SL_TIMEZONE`) by default.
        name_prefix: Prefix of the names of jobs, schedules and sensors, followed by an underscore: letters, digits and
            underscores; none by default. Projects that share a code location and have a domain or a DAG file of the
            same name need different prefixes.
        pre_load: The files that loads wait for; a strategy such as `"imported"`; or False: files start no runs.
        lineage: The triggers of tasks without a schedule; False: they have none.
        schedules: Data intervals of schedules; False: crons start no runs.
        partitions: Partitions of assets; or only how they are partitioned: `"cron"`, `"sink"` or `"none"`.
        jobs: Retries, limits and tags of jobs.
        former: Settings by their former names; they work with a `DeprecationWarning`.

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(status="RUNNING", pre_load="imported", jobs=JobSettings(retries=2))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    timezone: TimeZone | None
    name_prefix: Annotated[str, Field(pattern="^[A-Za-z0-9_]*$")]
    pre_load: PreLoadSettings
    lineage: LineageSettings
    schedules: ScheduleSettings
    partitions: PartitionSettings
    jobs: JobSettings

    def __init__(
        self,
        *,
        status: Status = "STOPPED",
        timezone: str | None = None,
        name_prefix: str = "",
        pre_load: PreLoadSettings | PreLoadStrategy | bool | Mapping[str, Any] | None = None,
        lineage: LineageSettings | bool | Mapping[str, Any] | None = None,
        schedules: ScheduleSettings | bool | Mapping[str, Any] | None = None,
        partitions: PartitionSettings | PartitionedBy | Mapping[str, Any] | None = None,
        jobs: JobSettings | Mapping[str, Any] | None = None,
        **former: Any,
    ) -> None:
        values = {"pre_load": pre_load, "lineage": lineage, "schedules": schedules, "partitions": partitions}
        for name in former:
            if name in FLAT_NAMES:
                warn_deprecated(f"`StarlakeAutomation({name}=…)`", f"`{_instead(name)}`")
        groups, wrong = _assembled({**values, "jobs": jobs}, former)
        try:
            super().__init__(status=status, timezone=timezone, name_prefix=name_prefix, **groups)
        except ValidationError as error:
            wrong += [text for text in validation_messages(error) if text.partition(":")[0] not in GROUPS]
        if wrong:
            raise ProjectError([f"StarlakeAutomation: {text}" for text in wrong])

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Returns a setting by its former name, with a `DeprecationWarning`."""
            if name in FLAT_NAMES:
                group, field = FLAT_NAMES[name]
                warn_deprecated(f"`StarlakeAutomation.{name}`", f"`StarlakeAutomation.{group}.{field}`")
                return getattr(getattr(self, group), field)
            return super().__getattr__(name)

    @classmethod
    def off(cls) -> StarlakeAutomation:
        """Returns settings without triggers; the jobs exist and can be started by hand."""
        return cls(lineage=False, schedules=False, pre_load=False)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> StarlakeAutomation:
        """Creates settings from a mapping with the option names of DAG configurations, with groups, or with both.

        Args:
            options: For example `{"pre_load_strategy": "imported", "retries": "3", "status": "RUNNING"}`, read from a
                file of your own; values may be texts.

        Raises:
            ProjectError: Names each setting that is unknown or whose value cannot be read.
        """
        flat = {name: value for name, value in options.items() if name in FLAT_NAMES}
        rest = {name: value for name, value in options.items() if name not in flat}
        groups, wrong = _assembled({name: rest.pop(name, None) for name in GROUPS}, flat)
        named: list[object] = [f"StarlakeAutomation: {text}" for text in wrong]
        try:
            chosen = cls(**rest, **groups)
        except ProjectError as error:
            raise ProjectError([*named, *error.problems]) from error
        if named:
            raise ProjectError(named)
        return chosen

    def node_settings(self) -> NodeSettings:
        """Returns the settings of every table and task, by the option names of DAG configurations."""
        found = {name: getattr(getattr(self, group), field) for name, (group, field) in FIELDS.items()}
        found["timezone"] = self.timezone
        known = NodeSettings.model_fields
        settings: dict[str, Any] = {name: one for name, one in found.items() if name in known and one is not None}
        return NodeSettings.model_construct(**settings)


def settings_of(automation: object, function: str) -> StarlakeAutomation:
    """Returns the settings that a user passed as `automation`; the default ones for None.

    Args:
        automation: The argument that was passed.
        function: The function that was called, for the message.

    Raises:
        TypeError: When the argument has another type.
    """
    if automation is None:
        return StarlakeAutomation()
    example = "StarlakeAutomation(…), with the keys of a mapping as its arguments"
    return instance_of(automation, StarlakeAutomation, function, "automation", example)


def _assembled(groups: Mapping[str, Any], flat: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns the groups, including settings that were given by flat names, and the problems."""
    wrong: list[str] = []
    fields: dict[str, dict[str, Any]] = {}
    for name, value in groups.items():
        found = {} if value is None else GROUPS[name].fields_of(value)
        fields[name] = found or {}
        if found is None:
            wrong.append(f"{name}: expected {GROUPS[name].example}; found {shown(value)}.")
    for name, value in flat.items():
        if name not in FLAT_NAMES:
            near = closest_match(name, [*StarlakeAutomation.model_fields, *FLAT_NAMES])
            wrong.append(f"no setting `{name}`" + (f"; did you mean `{near}`?" if near else "."))
            continue
        group, field = FLAT_NAMES[name]
        if value is not None and fields[group].setdefault(field, value) != value:
            wrong.append(f"`{group}.{field}` is also given as `{name}`, with another value; keep one.")
    return {name: _built(name, values, wrong) for name, values in fields.items()}, wrong


def _built(name: str, values: dict[str, Any], wrong: list[str]) -> SettingsGroup | None:
    """Returns a group with its fields; None if a field cannot be read, with the problems added to `wrong`."""
    try:
        return GROUPS[name](**values)
    except ProjectError as error:
        cause = cast("ValidationError", error.__cause__)
        wrong += [
            f"{name}{': ' if text.startswith('no setting') else '.'}{text}" for text in validation_messages(cause)
        ]
        return None


def _instead(name: str) -> str:
    """Returns the code that sets a setting in its group."""
    group, field = FLAT_NAMES[name]
    return f"{group}={GROUPS[group].__name__}({field}=…)"
