"""Sensors, schedules, jobs and conditions of a project, one kind at a time; `build_definitions` builds all of them.

- `policies`: when a table or task is materialized, and over which interval, free of Dagster
- `file_arrivals`: which files a load waits for, and whether they are there, free of Dagster
- `definitions`: the jobs, schedules, sensors and conditions of Dagster that follow the policies
"""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.automation.definitions.arrival_sensors import build_arrival_sensors
    from starlake_dagster_assets.automation.definitions.build import build_automation
    from starlake_dagster_assets.automation.definitions.conditions import (
        automation_conditions,
        build_condition_sensors,
        upstreams_updated,
    )
    from starlake_dagster_assets.automation.definitions.jobs import build_jobs
    from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
    from starlake_dagster_assets.automation.definitions.schedules import build_schedules
    from starlake_dagster_assets.automation.policies.build import build_triggers

__all__ = [
    "automation_conditions",
    "build_arrival_sensors",
    "build_automation",
    "build_condition_sensors",
    "build_jobs",
    "build_lineage_sensors",
    "build_schedules",
    "build_triggers",
    "upstreams_updated",
]

_HOMES = {
    "automation_conditions": "definitions.conditions",
    "build_arrival_sensors": "definitions.arrival_sensors",
    "build_automation": "definitions.build",
    "build_condition_sensors": "definitions.conditions",
    "build_jobs": "definitions.jobs",
    "build_lineage_sensors": "definitions.lineage_sensors",
    "build_schedules": "definitions.schedules",
    "build_triggers": "policies.build",
    "upstreams_updated": "definitions.conditions",
}


def __getattr__(name: str) -> Any:
    return lazy(__name__, _HOMES, name)
