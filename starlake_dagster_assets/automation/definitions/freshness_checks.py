"""Freshness checks and their sensor, for versions of Dagster without freshness policies of time windows."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import dagster as dg

from starlake_dagster_assets._compat import TimeWindow, suppress_dagster_warnings
from starlake_dagster_assets.dagster_assets.specs.freshness import NEVER
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.model import Node

__all__ = ["build_freshness_checks"]

SENSOR = "starlake_freshness_checks"


def build_freshness_checks(
    translator: StarlakeTranslator,
    nodes: Iterable[Node],
    *,
    prefix: str = "",
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> tuple[list[dg.AssetChecksDefinition], list[dg.SensorDefinition]]:
    """Builds the freshness checks of the nodes that have a freshness policy, and the sensor that runs the checks.

    An asset has one check: of `error` (severity ERROR), else of `warn` (severity WARN).

    Args:
        translator: Translator that is bound to the project; `get_freshness_policy` sets the maximum age of an asset.
        nodes: The nodes that are materialized.
        prefix: Prefix of the name of the sensor.
        status: Whether the sensor is on from the start.

    Returns:
        The checks and the sensor; both are empty if no node has a policy, or if the assets themselves have them.
    """
    limits: dict[tuple[timedelta, bool], list[dg.AssetKey]] = {}
    for node in nodes:
        policy = translator.get_freshness_policy(node)
        if isinstance(policy, TimeWindow):
            fails = policy.fail_window != NEVER
            limit = policy.fail_window if fails else policy.warn_window or NEVER
            limits.setdefault((limit, fails), []).append(translator.spec(node).key)
    build: Any = dg
    checks: list[dg.AssetChecksDefinition] = []
    with suppress_dagster_warnings():
        for (limit, fails), keys in sorted(limits.items(), key=lambda item: item[0]):
            severity = dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN
            checks += build.build_last_update_freshness_checks(
                assets=sorted(keys), lower_bound_delta=limit, severity=severity
            )
        sensor = build.build_sensor_for_freshness_checks
        named = f"{prefix}{SENSOR}"
        return checks, [sensor(freshness_checks=checks, name=named, default_status=status)] if checks else []
