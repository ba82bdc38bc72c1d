"""All jobs, sensors and schedules that start the assets of a project."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.definitions.arrival_sensors import build_arrival_sensors
from starlake_dagster_assets.automation.definitions.conditions import build_condition_sensors
from starlake_dagster_assets.automation.definitions.jobs import build_jobs, split_jobs
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.automation.definitions.schedules import build_schedules
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation, settings_of
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator

__all__ = ["AutomationDefinitions", "build_automation"]


@dataclass(frozen=True)
class AutomationDefinitions:
    """Jobs, schedules and sensors of a project, for `dg.Definitions`."""

    jobs: Sequence[Any] = ()
    sensors: Sequence[dg.SensorDefinition] = ()
    schedules: Sequence[dg.ScheduleDefinition] = ()


def build_automation(
    project: ProjectLike,
    triggers: Triggers,
    *,
    automation: StarlakeAutomation | None = None,
    translator: StarlakeTranslator | None = None,
) -> AutomationDefinitions:
    """Returns the jobs of a project, with the sensors and schedules that start them.

    Args:
        project: The project, or the path of its directory.
        triggers: Triggers of the project (`build_triggers`).
        automation: Whether sensors and schedules are on from the start (`status`), and the time zone of data cycles;
            by default as `triggers` were built.
        translator: Defines keys and metadata of the assets.
    """
    project = project_of(project, "build_automation")
    chosen = triggers if automation is None else settings_of(automation, "build_automation")
    bound, triggers = split_jobs(project, triggers, translator)
    sensor_status = dg.DefaultSensorStatus(chosen.status)
    jobs = build_jobs(project, triggers, translator=bound)
    timezone = chosen.timezone or project.model.application.timezone
    lineage = build_lineage_sensors(
        project, triggers, translator=bound, status=sensor_status, timezone=timezone, jobs=jobs
    )
    arrivals = build_arrival_sensors(project, triggers, translator=bound, status=sensor_status, jobs=jobs)
    conditions = build_condition_sensors(project, triggers, translator=bound, status=sensor_status)
    schedule_status = dg.DefaultScheduleStatus(chosen.status)
    schedules = build_schedules(project, triggers, translator=bound, status=schedule_status, jobs=jobs)
    return AutomationDefinitions(list(jobs.values()), [*lineage, *arrivals, *conditions], schedules)
