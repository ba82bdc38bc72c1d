"""States of the sensors that start nodes: on, stopped or not defined."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType

from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.dagster_assets.specs.names import group_name

__all__ = ["SensorStates"]

_DEFAULT = "default_automation_condition_sensor"
"""The sensor by which Dagster evaluates conditions that no other sensor evaluates."""


class SensorStates:
    """States of the sensors of a code location, from the instance or the defaults of the sensors.

    Args:
        instance: The instance.
        triggers: Triggers of the project.
        keys: Asset keys by node id.
        repository: The code location; without it, the default of lineage sensors is the `status` of the triggers, and
            condition sensors count as on.
        location: Name of the code location.
        ticking: Name of the sensor whose tick queries; if it is not on, as in a test of a sensor in the UI, the states
            of the others are unknown, and they count as on.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        triggers: Triggers,
        keys: Mapping[str, dg.AssetKey],
        *,
        repository: dg.RepositoryDefinition | None = None,
        location: str | None = None,
        ticking: str | None = None,
    ) -> None:
        self._instance, self._triggers, self._keys = instance, triggers, keys
        self._repository, self._location, self._ticking = repository, location, ticking

    def stopped(self, node: str) -> str | None:
        """Returns the name of the sensor of a node if the sensor is stopped or not defined; else None."""
        trigger = self._triggers.triggers.get(node)
        if trigger is None or not trigger.is_lineage:
            return None
        if trigger.triggered_by == "condition" and self._repository is None:
            return None
        is_lineage = trigger.triggered_by == "lineage"
        name = f"{group_name(trigger.job)}_lineage" if is_lineage else self._of_conditions.get(node, _DEFAULT)
        return None if not self._are_known or self._is_on(name) else name

    @cached_property
    def _are_known(self) -> bool:
        return self._ticking is None or self._is_on(self._ticking)

    def _is_on(self, name: str) -> bool:
        switched = self._switched.get(name)
        if switched is not None:
            return switched
        if self._repository is None:
            return self._triggers.status == "RUNNING"
        if not self._repository.has_sensor_def(name):
            return False
        return self._repository.get_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING

    @cached_property
    def _of_conditions(self) -> Mapping[str, str]:
        """Name of the condition sensor of each node that a sensor of this code location selects, by node id."""
        if self._repository is None:
            return {}
        graph: Any = self._repository.asset_graph
        found: dict[str, str] = {}
        nodes = {key: node for node, key in self._keys.items()}
        for sensor in self._repository.sensor_defs:
            if isinstance(sensor, dg.AutomationConditionSensorDefinition):
                selection: Any = sensor.asset_selection
                keys: Iterable[dg.AssetKey] = selection.resolve(graph)
                found.update({nodes[key]: sensor.name for key in keys if key in nodes})
        return found

    @cached_property
    def _switched(self) -> Mapping[str, bool]:
        """Whether each sensor is running, by name, for sensors started or stopped in the instance."""
        found: dict[str, bool] = {}
        if self._instance.schedule_storage is None:  # of an ephemeral instance
            return found
        for state in self._instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            where = state.origin.repository_origin.code_location_origin.location_name
            if self._location in (None, where) and state.status.name in ("RUNNING", "STOPPED"):
                found[state.instigator_name] = state.status.name == "RUNNING"
        return found
