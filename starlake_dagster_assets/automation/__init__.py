"""Sensors, schedules, jobs and conditions of a project, one kind at a time; `build_definitions` builds all of them.

Read `build.py` first, then `jobs.py`, `schedules.py`, `arrivals.py`, `lineage.py` and `conditions.py`: one per kind.
"""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.automation.arrivals import build_arrival_sensors
    from starlake_dagster_assets.automation.build import build_automation
    from starlake_dagster_assets.automation.conditions import (
        automation_conditions,
        build_condition_sensors,
        upstreams_updated,
    )
    from starlake_dagster_assets.automation.jobs import build_jobs
    from starlake_dagster_assets.automation.lineage import build_lineage_sensors
    from starlake_dagster_assets.automation.schedules import build_schedules
    from starlake_dagster_assets.triggers.build import build_triggers

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
    "automation_conditions": "conditions",
    "build_arrival_sensors": "arrivals",
    "build_automation": "build",
    "build_condition_sensors": "conditions",
    "build_jobs": "jobs",
    "build_lineage_sensors": "lineage",
    "build_schedules": "schedules",
    "build_triggers": ".triggers.build",
    "upstreams_updated": "conditions",
}


def __getattr__(name: str) -> Any:
    return lazy(__name__, _HOMES, name)
