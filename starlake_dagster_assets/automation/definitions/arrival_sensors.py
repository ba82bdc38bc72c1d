"""Arrival sensors: each requests loads of tables whose files have arrived, once per set of files."""

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.definitions.arrival_sensor_settings import ArrivalGroup, ArrivalSensor
from starlake_dagster_assets.automation.definitions.arrival_tick import evaluate_tick
from starlake_dagster_assets.automation.definitions.jobs import build_jobs, split_jobs
from starlake_dagster_assets.automation.policies.model import Trigger, Triggers
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.execution.file_store import Store
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically

__all__ = ["arrival_groups", "build_arrival_sensors"]


def build_arrival_sensors(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int | None = None,
    tick_seconds: float = 40,
    jobs: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[dg.SensorDefinition]:
    """Builds one sensor per domain and policy of loads that wait for files.

    Args:
        project: The project, or the path of its directory.
        triggers: Only triggers that wait for files are used: of kind `arrival`, or `schedule` with a cron.
        translator: Defines keys and metadata of the assets.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks; by default that of each policy (`poke_interval`).
        tick_seconds: Seconds to wait for the answer of a store before the tick fails.
        jobs: The jobs of the triggers by name (`build_jobs`); built here by default.
        tags: Tags of every run.

    Returns:
        The sensors, by name.

    Raises:
        StarlakeError: When a path names an unknown variable, or a domain has no directory.

    Examples:
        ::

            sensors = build_arrival_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    project = project_of(project, "build_arrival_sensors")
    bound, triggers = split_jobs(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    groups = arrival_groups(project, triggers, bound)
    sensors = [
        ArrivalSensor(project, bound, group, Store(group.pre_load.storage_options, tick_seconds), dict(tags or {}))
        for group in groups
    ]
    answered: dict[str, list[ArrivalGroup]] = {}
    for sensor in sensors:
        if path := sensor.validate_paths():
            answered.setdefault(path, []).append(sensor.group)
    for sensor in sensors:
        sensor.answering = [one for same in answered.values() if sensor.group in same for one in same]
    return [_definition(one, known[one.group.job], status, minimum_interval_seconds) for one in sensors]


def arrival_groups(project: ProjectSource, triggers: Triggers, translator: StarlakeTranslator) -> list[ArrivalGroup]:
    """Returns the groups of tables that the arrival sensors watch, one group per sensor.

    Args:
        project: The project.
        triggers: All triggers.
        translator: Translator that is bound to the project; tables of different partitions are not watched together.
    """
    members: dict[tuple[str, str, str], list[Trigger]] = {}
    for node in sort_topologically(project.graph, triggers.triggers.keys() & project.graph.nodes.keys()):
        trigger, table = triggers.triggers.get(node), project.graph.nodes[node].table
        if trigger is None or table is None or not _waits(trigger):
            continue
        parts = translator.spec(project.graph.nodes[node]).partitions_def
        policy = repr((trigger.preload, trigger.cron_schedule, parts))
        members.setdefault((trigger.job, table.domain, policy), []).append(trigger)
    of_job: dict[str, list[tuple[str, str, str]]] = {}
    for key in members:
        of_job.setdefault(key[0], []).append(key)
    groups: list[ArrivalGroup] = []
    for job, keys in sorted(of_job.items()):
        domains = [key[1] for key in keys]
        for key in keys:
            found = {one.node: one for one in members[key]}
            domain = project.graph.domains[key[1]]
            tables = {table.id: table for table in domain.tables if table.id in found}
            first = next(iter(found.values()))
            name = job if len(keys) == 1 else f"{job}_{key[1]}"
            name = name if domains.count(key[1]) == 1 else f"{name}_{min(found)}"
            assert first.preload is not None
            groups.append(
                ArrivalGroup(f"{group_name(name)}_arrival", job, domain, tables, first.preload, first.cron_schedule)
            )
    return groups


def _waits(trigger: Trigger) -> bool:
    waits = trigger.preload is not None and trigger.preload.strategy != "none"
    return waits and (
        trigger.triggered_by == "arrival" or (trigger.triggered_by == "schedule" and trigger.cron_schedule is not None)
    )


def _definition(
    sensor: ArrivalSensor, job: Any, status: dg.DefaultSensorStatus, minimum_interval_seconds: int | None
) -> dg.SensorDefinition:
    group = sensor.group

    decorate = cast("Any", dg).sensor  # its type is partly unknown to pyright

    @decorate(
        name=group.name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds or max(1, round(group.pre_load.poke_interval)),
        default_status=status,
        description=_described(group),
        metadata={"starlake/makes": ", ".join(group.tables), "starlake/pre_load_strategy": group.pre_load.strategy},
    )
    def arrival(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return evaluate_tick(sensor, context)

    return arrival


def _described(group: ArrivalGroup) -> str:
    what = {"imported": "arrive", "pending": "are staged", "ack": "are acknowledged"}[group.pre_load.strategy]
    when = (
        f" within {group.pre_load.ack_wait_timeout:g} s of {group.cron_schedule.cron}"
        if group.cron_schedule is not None
        else ""
    )
    return f"Loads {listed(list(group.tables))} when their files {what}{when}."
