"""Starlake projects as Dagster software-defined assets.

- `starlake_project`: `StarlakeProject`, the object that users create
- `definitions`: `build_definitions`, a whole project in one call
- `environments`: the registry of execution environments, and the protocol that your own environment implements
- `_built_in_environments`: the registrations of the environments of this package
- `_environment_validation`, `_guarded_import`: rules for the fields of a registered environment, and imports of other
  packages
- `errors`: the exceptions of this package
- `definitions_asset_graph`: the asset graph of Dagster definitions, for the Airflow export
- `airlift`: runs of exported Airflow DAGs as materializations
- `conformance`: tests that an execution environment must pass
- `testing`, `pytest_plugin`: a scripted runner and pytest fixtures for the tests of your own project
- `problem_summary`: logging of the problems of a project
- `atomic_file`, `plural`: atomic writes of files, and plural forms in messages
- `_arguments`, `_compat`, `_deprecated`, `_lazy`: validation of arguments, capabilities of Dagster, deprecated names,
  lazy imports

Names are imported when they are first used, so that the import of the package is fast.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    __version__: str
    from starlake_dagster_assets.airflow.export import export_airflow
    from starlake_dagster_assets.automation.definitions.selection_schedule import build_schedule_from_starlake_selection
    from starlake_dagster_assets.automation.policies.setting_groups import (
        JobSettings,
        LineageSettings,
        PartitionSettings,
        PreLoadSettings,
        ScheduleSettings,
    )
    from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
    from starlake_dagster_assets.component.project_component import StarlakeProjectComponent as StarlakeProjectComponent
    from starlake_dagster_assets.dagster_assets.build_options import StarlakeMetadata, StarlakeSteps
    from starlake_dagster_assets.dagster_assets.decorator import build_starlake_assets, starlake_assets
    from starlake_dagster_assets.dagster_assets.results.iterator import StarlakeEventIterator
    from starlake_dagster_assets.dagster_assets.selection import build_starlake_asset_selection
    from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
    from starlake_dagster_assets.dagster_assets.specs.translator_settings import StarlakeTranslatorSettings
    from starlake_dagster_assets.dagster_assets.steps.run_config import StarlakeRunConfig
    from starlake_dagster_assets.definitions import build_definitions
    from starlake_dagster_assets.graph.model import Node
    from starlake_dagster_assets.legacy.definitions import definitions_from_dag_context
    from starlake_dagster_assets.resources import (
        StarlakeCloudRun,
        StarlakeDataproc,
        StarlakeDuckDB,
        StarlakeFargate,
        StarlakeKubernetes,
        StarlakeResource,
        StarlakeShell,
    )
    from starlake_dagster_assets.starlake_project import StarlakeProject

__all__ = [
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
    "StarlakeKubernetes",
    "StarlakeMetadata",
    "StarlakeProject",
    "StarlakeResource",
    "StarlakeRunConfig",
    "StarlakeShell",
    "StarlakeSteps",
    "StarlakeTranslator",
    "StarlakeTranslatorSettings",
    "build_definitions",
    "build_schedule_from_starlake_selection",
    "build_starlake_asset_selection",
    "build_starlake_assets",
    "definitions_from_dag_context",
    "export_airflow",
    "starlake_assets",
]

_HOMES = {
    "JobSettings": "automation.policies.setting_groups",
    "LineageSettings": "automation.policies.setting_groups",
    "Node": "graph.model",
    "PartitionSettings": "automation.policies.setting_groups",
    "PreLoadSettings": "automation.policies.setting_groups",
    "ScheduleSettings": "automation.policies.setting_groups",
    "StarlakeAutomation": "automation.policies.starlake_automation",
    "StarlakeEventIterator": "dagster_assets.results.iterator",
    "StarlakeMetadata": "dagster_assets.build_options",
    "StarlakeProject": "starlake_project",
    "StarlakeProjectComponent": "component.project_component",
    "StarlakeRunConfig": "dagster_assets.steps.run_config",
    "StarlakeSteps": "dagster_assets.build_options",
    "StarlakeTranslator": "dagster_assets.specs.translator",
    "StarlakeTranslatorSettings": "dagster_assets.specs.translator_settings",
    "build_definitions": "definitions",
    "build_schedule_from_starlake_selection": "automation.definitions.selection_schedule",
    "build_starlake_asset_selection": "dagster_assets.selection",
    "build_starlake_assets": "dagster_assets.decorator",
    "definitions_from_dag_context": "legacy.definitions",
    "export_airflow": "airflow.export",
    "starlake_assets": "dagster_assets.decorator",
}
"""Submodule of each public name; a name of `__all__` without an entry is in `resources`."""

_MOVED = {
    "DataprocCluster": "resources",
    "DataprocServerless": "resources",
    "automation_conditions": "automation",
    "build_arrival_sensors": "automation",
    "build_automation": "automation",
    "build_condition_sensors": "automation",
    "build_jobs": "automation",
    "build_lineage_sensors": "automation",
    "build_schedules": "automation",
    "build_triggers": "automation",
    "definitions_graph": "airflow",
}
"""Names that the package no longer exports, and the submodule that exports each of them."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _MOVED:
        from starlake_dagster_assets._deprecated import moved_name

        return moved_name(__name__, _MOVED[name], name)
    homes = _HOMES if name in _HOMES or name not in __all__ else {name: "resources"}
    value = lazy(__name__, homes, name)
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
