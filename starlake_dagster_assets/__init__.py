"""Starlake projects as Dagster software-defined assets.

Names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    __version__: str
    from starlake_dagster_assets.airflow.export import export_airflow
    from starlake_dagster_assets.assets.decorator import build_starlake_assets, starlake_assets
    from starlake_dagster_assets.assets.iterator import StarlakeEventIterator
    from starlake_dagster_assets.assets.run_config import StarlakeRunConfig
    from starlake_dagster_assets.assets.selection import build_starlake_asset_selection
    from starlake_dagster_assets.assets.step_options import StarlakeMetadata, StarlakeSteps
    from starlake_dagster_assets.assets.translator import StarlakeTranslator
    from starlake_dagster_assets.assets.translator_settings import StarlakeTranslatorSettings
    from starlake_dagster_assets.automation.arrivals import build_arrival_sensors
    from starlake_dagster_assets.automation.build import build_automation
    from starlake_dagster_assets.automation.conditions import automation_conditions, build_condition_sensors
    from starlake_dagster_assets.automation.jobs import build_jobs
    from starlake_dagster_assets.automation.lineage import build_lineage_sensors
    from starlake_dagster_assets.automation.schedules import build_schedules
    from starlake_dagster_assets.automation.selection_schedule import build_schedule_from_starlake_selection
    from starlake_dagster_assets.component import StarlakeProjectComponent as StarlakeProjectComponent
    from starlake_dagster_assets.dag_generate import definitions_from_dag_context
    from starlake_dagster_assets.definitions import build_definitions
    from starlake_dagster_assets.definitions_graph import definitions_graph
    from starlake_dagster_assets.graph.model import Node
    from starlake_dagster_assets.resources import (
        DataprocCluster,
        DataprocServerless,
        StarlakeCloudRun,
        StarlakeDataproc,
        StarlakeDuckDB,
        StarlakeFargate,
        StarlakeResource,
        StarlakeShell,
    )
    from starlake_dagster_assets.starlake_project import StarlakeProject
    from starlake_dagster_assets.triggers.automation import StarlakeAutomation
    from starlake_dagster_assets.triggers.build import build_triggers
    from starlake_dagster_assets.triggers.groups import (
        JobSettings,
        LineageSettings,
        PartitionSettings,
        PreLoadSettings,
        ScheduleSettings,
    )

__all__ = [
    "DataprocCluster",
    "DataprocServerless",
    "JobSettings",
    "LineageSettings",
    "Node",
    "PartitionSettings",
    "PreLoadSettings",
    "ScheduleSettings",
    "StarlakeAutomation",
    "StarlakeCloudRun",
    "StarlakeDataproc",
    "StarlakeDuckDB",
    "StarlakeEventIterator",
    "StarlakeFargate",
    "StarlakeMetadata",
    "StarlakeProject",
    "StarlakeResource",
    "StarlakeRunConfig",
    "StarlakeShell",
    "StarlakeSteps",
    "StarlakeTranslator",
    "StarlakeTranslatorSettings",
    "automation_conditions",
    "build_arrival_sensors",
    "build_automation",
    "build_condition_sensors",
    "build_definitions",
    "build_jobs",
    "build_lineage_sensors",
    "build_schedule_from_starlake_selection",
    "build_schedules",
    "build_starlake_asset_selection",
    "build_starlake_assets",
    "build_triggers",
    "definitions_from_dag_context",
    "definitions_graph",
    "export_airflow",
    "starlake_assets",
]

_HOMES = {
    "StarlakeMetadata": "assets.step_options",
    "StarlakeSteps": "assets.step_options",
    "Node": "graph.model",
    "build_schedule_from_starlake_selection": "automation.selection_schedule",
    "build_starlake_asset_selection": "assets.selection",
    "DataprocCluster": "resources",
    "DataprocServerless": "resources",
    "JobSettings": "triggers.groups",
    "LineageSettings": "triggers.groups",
    "PartitionSettings": "triggers.groups",
    "PreLoadSettings": "triggers.groups",
    "ScheduleSettings": "triggers.groups",
    "StarlakeAutomation": "triggers.automation",
    "StarlakeCloudRun": "resources",
    "StarlakeDataproc": "resources",
    "StarlakeDuckDB": "resources",
    "StarlakeEventIterator": "assets.iterator",
    "StarlakeFargate": "resources",
    "StarlakeProject": "starlake_project",
    "StarlakeProjectComponent": "component",
    "StarlakeResource": "resources",
    "StarlakeRunConfig": "assets.run_config",
    "StarlakeShell": "resources",
    "StarlakeTranslator": "assets.translator",
    "StarlakeTranslatorSettings": "assets.translator_settings",
    "automation_conditions": "automation.conditions",
    "build_automation": "automation.build",
    "build_arrival_sensors": "automation.arrivals",
    "build_condition_sensors": "automation.conditions",
    "build_definitions": "definitions",
    "build_jobs": "automation.jobs",
    "build_lineage_sensors": "automation.lineage",
    "build_schedules": "automation.schedules",
    "build_starlake_assets": "assets.decorator",
    "export_airflow": "airflow.export",
    "build_triggers": "triggers.build",
    "definitions_from_dag_context": "dag_generate",
    "definitions_graph": "definitions_graph",
    "starlake_assets": "assets.decorator",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    value = lazy(__name__, _HOMES, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from starlake_dagster_assets._compat import has_components

    # `dg` looks for components here; it is not in `__all__`, because older versions of Dagster have none
    components = {"StarlakeProjectComponent"} if has_components() else set[str]()
    return sorted({*globals(), *__all__, *components, "__version__"})


def _version() -> str:
    try:
        return version("starlake-dagster-assets")
    except PackageNotFoundError:
        return "0+unknown"
