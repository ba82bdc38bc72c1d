"""Shows runs of exported Airflow DAGs in Dagster with dagster-airlift: maps tasks to assets and adds data intervals."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.policies.build import build_triggers, filter_triggers
from starlake_dagster_assets.automation.policies.data_intervals import Interval, interval_text
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
from starlake_dagster_assets.dagster_assets.dagster_runs import DATA_INTERVAL
from starlake_dagster_assets.dagster_assets.specs.partitions import partitioned_by_rows, windows_between
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding, find_step_binding
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.plural import first_of

__all__ = ["AirflowTask", "AirflowTasks"]

_DATASET = "starlake/airflow_dataset"
"""Metadata key of an asset: URI of its dataset in Airflow."""
_BY_ROWS = "starlake/airflow_partitions_of_rows"
"""Metadata key of an asset whose rows determine its partitions, instead of the windows of Airflow runs."""
_RUN_ID = "dagster-airlift/airflow-run-id"
_TASKS = "dagster-airlift/task-mapping"
_PAGE = 100
_MOST_PARTITIONS = 1000


@dataclass(frozen=True)
class AirflowTask:
    """Task of an exported DAG that materializes an asset.

    Attributes:
        dag_id: Id of the DAG.
        task_id: Id of the task that has the dataset of the asset as an outlet.
        dataset: URI of the asset in Airflow.
    """

    dag_id: str
    task_id: str
    dataset: str


class AirflowTasks:
    """The tasks of exported DAGs, by the table or task of the project that they materialize.

    Args:
        tasks: Tasks by id of the node, such as `sales.orders`.

    Examples:
        ::

            airflow = AirflowTasks.from_export("dags/asset_map.json")
            defs = build_definitions(project, automation=airflow.remaining_triggers(project))
            defs = airflow.observe(defs, AirflowInstance(auth_backend=backend, name="airflow"))
    """

    def __init__(self, tasks: Mapping[str, AirflowTask]) -> None:
        self.tasks = dict(tasks)

    @classmethod
    def from_export(cls, path: str | Path) -> "AirflowTasks":
        """Reads the tasks from the asset map or the manifest of an export.

        Args:
            path: `asset_map.json`; or the manifest of one export, if several projects share the folder.

        Raises:
            StarlakeError: The file is not of an export, or its tasks belong to your own DAGs (`--task-groups`).
        """
        try:
            content: Any = json.loads(Path(path).read_bytes())
            assets: Mapping[str, Mapping[str, str]] = content["assets"]
            tasks = {
                node: AirflowTask(one["dag_id"], one.get("outlet_task_id", one["task_id"]), one["uri"])
                for node, one in assets.items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise StarlakeError(
                f"{path}: expected `asset_map.json` or a manifest of `starlake-dagster airflow export` ({error!r})."
            ) from error
        return cls(tasks)

    def remaining_triggers(self, project: ProjectLike, automation: StarlakeAutomation | None = None) -> Triggers:
        """Returns the triggers of a project, without those of the assets that Airflow materializes.

        Args:
            project: The project, or the path of its directory.
            automation: Settings of the triggers, as for `build_definitions`.

        Returns:
            Triggers for the argument `automation` of `build_definitions`. Airflow starts its tables and tasks, whether
            they run in Airflow or in Dagster; Dagster starts the others.
        """
        source = project_of(project, "remaining_triggers")
        triggers = build_triggers(source, automation)
        others = frozenset(triggers.triggers.keys() - self.tasks.keys())
        stopped = {
            node: replace(trigger, triggered_by="none")
            for node, trigger in triggers.triggers.items()
            if node in self.tasks
        }
        left = filter_triggers(triggers, others)
        return replace(left, triggers={**left.triggers, **stopped})

    def observe(self, defs: dg.Definitions, airflow_instance: Any, **options: Any) -> dg.Definitions:
        """Returns definitions that show runs of the tasks in Airflow as materializations of their assets.

        Args:
            defs: Definitions with assets of `build_definitions` or `starlake_assets`.
            airflow_instance: An `AirflowInstance` of dagster-airlift: an Airflow 2.
            options: Other arguments of its `build_defs_from_airflow_instance`, such as `default_sensor_status`.

        Returns:
            The definitions, with a sensor that reads the runs of Airflow and an asset per DAG.

        Raises:
            StarlakeError: dagster-airlift is not installed, or the definitions have none of the assets.
        """
        core, mapped = _airlift(), set[str]()
        assets = [self._mapped(one, mapped) for one in defs.assets or ()]
        if not mapped:
            raise StarlakeError(
                "The definitions have no asset that Airflow materializes; expected tables and tasks such as "
                f"{first_of(sorted(self.tasks), 3)}."
            )
        names = ("asset_checks", "schedules", "sensors", "jobs", "resources", "executor", "loggers")
        parts: dict[str, Any] = {name: getattr(defs, name) for name in names}
        dags = {task.dag_id for task in self.tasks.values()}
        no_datasets = import_module("dagster_airlift.core.filter").AirflowFilter(retrieve_datasets=False)

        def is_exported(dag: Any) -> bool:
            return dag.dag_id in dags

        given: dict[str, Any] = {
            "dag_selector_fn": is_exported,
            "event_transformer_fn": _with_windows,
            "retrieval_filter": no_datasets,  # the assets of the project are its datasets
            **options,
        }
        return core.build_defs_from_airflow_instance(
            airflow_instance=airflow_instance, defs=dg.Definitions(assets=assets, **parts), **given
        )

    def _mapped(self, asset: Any, mapped: set[str]) -> Any:
        binding = find_step_binding(asset) if isinstance(asset, dg.AssetsDefinition) else None
        if binding is None:
            return asset
        nodes = {key: node.id for key, node in binding.nodes.items() if node.id in self.tasks}
        mapped.update(nodes.values())

        def with_task(spec: dg.AssetSpec) -> dg.AssetSpec:
            return self._with_task(spec, nodes[spec.key], binding) if spec.key in nodes else spec

        return asset.map_asset_specs(with_task) if nodes else asset

    def _with_task(self, spec: dg.AssetSpec, node: str, binding: StepBinding) -> dg.AssetSpec:
        task = self.tasks[node]
        translator, known = binding.translator, binding.source.graph.nodes[node]
        by_rows = partitioned_by_rows(known, spec.partitions_def, translator.trigger(known))
        about = {_DATASET: task.dataset, **({_BY_ROWS: True} if by_rows else {})}
        (found,) = _airlift().assets_with_task_mappings(task.dag_id, {task.task_id: [spec]})
        return found.merge_attributes(metadata=about)


def _with_windows(
    context: dg.SensorEvaluationContext, airflow_data: Any, events: Sequence[dg.AssetMaterialization]
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """Adds the data intervals of Airflow runs to materializations, as `event_transformer_fn` of dagster-airlift.

    The window is read from the dataset event that the task has written in Airflow. A materialization of a partitioned
    asset becomes an observation if its window is unknown or does not match partitions.

    Args:
        context: Context of the sensor.
        airflow_data: The mapped assets.
        events: Materializations of tasks that succeeded in Airflow.
    """
    specs: Mapping[dg.AssetKey, dg.AssetSpec] = airflow_data.airflow_mapped_asset_specs

    @cache
    def windows(dag: str, run: str) -> Mapping[str, Interval | None]:
        return _windows(airflow_data.airflow_instance, dag, run)

    for event in events:
        spec = specs[event.asset_key]
        dataset = spec.metadata.get(_DATASET)
        if dataset is None:
            yield event
            continue
        dag: str = spec.metadata[_TASKS][0]["dag_id"]
        run = cast("Any", event.metadata[_RUN_ID]).value
        yield from _with_window(context, spec, event, windows(dag, run).get(dataset))


def _with_window(
    context: dg.SensorEvaluationContext, spec: dg.AssetSpec, event: dg.AssetMaterialization, window: Interval | None
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    metadata = {**event.metadata, **({DATA_INTERVAL: interval_text(window)} if window else {})}
    if spec.partitions_def is None:
        yield dg.AssetMaterialization(event.asset_key, description=event.description, metadata=metadata)
        return
    keys = [] if spec.metadata.get(_BY_ROWS) else _partition_keys(spec.partitions_def, window)
    for key in keys:
        yield dg.AssetMaterialization(event.asset_key, event.description, metadata, partition=key)
    if not keys:
        reason = (
            f"{event.asset_key.to_user_string()} was materialized in Airflow, and its partitions are not known: "
            + (f"the window of the run is {interval_text(window)}" if window else "the run has no window")
        )
        context.log.warning(reason)
        yield dg.AssetObservation(event.asset_key, description=reason, metadata=metadata)


def _partition_keys(partitions: Any, window: Interval | None) -> list[str]:
    """Returns the partition keys that together cover a window exactly; empty if none do."""
    if window is None or not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return []
    key = dg.AssetKey("any")
    found = windows_between(partitions, window[0], window[1], _MOST_PARTITIONS, lambda _: [key])
    bounds = [moments for moments, _ in found]
    if not bounds or bounds[0][0] != window[0] or bounds[-1][1] != window[1]:
        return []
    return [partitions.get_partition_key_for_timestamp(start.timestamp()) for start, _ in bounds]


def _windows(instance: Any, dag: str, run: str) -> Mapping[str, Interval | None]:
    """Reads the window of each dataset that an Airflow run updated, by URI; None for a dataset event without one."""
    found: dict[str, Interval | None] = {}
    for event in _dataset_events(instance, dag, run):
        extra: Mapping[str, str] = event.get("extra") or {}
        moments = [extra.get("sl_start_date", ""), extra.get("sl_end_date", "")]
        start, end = (datetime.fromisoformat(one).replace(tzinfo=timezone.utc) if one else None for one in moments)
        found[event["dataset_uri"]] = (start, end) if start and end else None
    return found


def _dataset_events(instance: Any, dag: str, run: str) -> Iterable[Mapping[str, Any]]:
    """Yields the dataset events of an Airflow run, oldest first.

    Raises:
        StarlakeError: Airflow answers with an error.
    """
    session, offset = instance.auth_backend.get_session(), 0
    while True:
        params = {"source_dag_id": dag, "source_run_id": run, "order_by": "timestamp", "limit": _PAGE, "offset": offset}
        answer = session.get(f"{instance.get_api_url()}/datasets/events", params=params)
        if answer.status_code != 200:
            raise StarlakeError(
                f"Cannot read the dataset events of {dag}, run {run}: Airflow answered {answer.status_code}: "
                f"{answer.text[:500]}"
            )
        events: Sequence[Mapping[str, Any]] = answer.json()["dataset_events"]
        yield from events
        offset += len(events)
        if len(events) < _PAGE:
            return


def _airlift() -> Any:
    try:
        return import_module("dagster_airlift.core")
    except ImportError as error:
        raise StarlakeError(
            f"dagster-airlift is not installed ({error}). Next: pip install 'starlake-dagster-assets[airlift]'."
        ) from error
