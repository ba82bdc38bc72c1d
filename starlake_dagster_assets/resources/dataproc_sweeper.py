"""Sensor that deletes Dataproc clusters left by ended runs, such as after a killed worker or a network failure."""

from functools import cache
from typing import Any, cast

import dagster as dg

__all__ = ["build_sweeper"]


@cache  # definitions that share a resource share its sensor too: Dagster merges identical sensors only
def build_sweeper(resource_key: str = "starlake", *, prefix: str = "", interval: int = 60) -> dg.SensorDefinition:
    """Returns a sensor that deletes the clusters of ended runs through a resource.

    Args:
        resource_key: Key of the resource in the definitions.
        prefix: Prefix of the name of the sensor.
        interval: Minimum number of seconds between two evaluations.

    Returns:
        A sensor that is on by default, since an unused cluster costs money.
    """

    def sweep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        swept = getattr(context.resources, resource_key).sweep(context.instance)
        return dg.SkipReason(f"deleted {', '.join(swept)}" if swept else "no cluster is left of a run that has ended")

    sensor: Any = cast("Any", dg).sensor
    decorate = sensor(
        name=f"{prefix}starlake_dataproc_sweeper",
        required_resource_keys={resource_key},
        description="Deletes Dataproc clusters whose run has ended.",
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    return decorate(sweep)
