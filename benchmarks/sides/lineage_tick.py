"""The tick of a lineage sensor over many upstreams, and one bulk read of the same assets' newest materializations."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from benchmarks.generator import Shape, write_project
from benchmarks.measure import Meter
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation.lineage import build_lineage_sensors
from starlake_dagster_assets.triggers.model import AllOf, Job, Trigger, Triggers, Upstream, Watch

ROUNDS = 8


def rounds(meter: Meter, _work: Path, upstreams: int) -> None:
    """Alternates ticks that ask for no run, ticks that ask for one, and the bulk read."""
    names = [f"sales.table_{number}" for number in range(upstreams)]
    keys = [dg.AssetKey(name.split(".")) for name in names]
    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        root = Path(folder) / "project"
        write_project(root, Shape(tables=1, tasks=1, fan_in=1))
        source = StarlakeProject(root, cache_dir=Path(folder) / "cache")
        watch = Watch(AllOf(tuple(Upstream(name) for name in names)))
        triggers = Triggers({"m0.k0": Trigger("m0.k0", "lineage", "kpi", watch=watch)}, {"kpi": Job("kpi", ("m0.k0",))})
        (sensor,) = build_lineage_sensors(source, triggers)
        made = build_definitions(source)
        repository = dg.Definitions(assets=made.assets, sensors=[sensor], resources=made.resources).get_repository_def()
        for key in keys:
            instance.report_runless_asset_event(dg.AssetMaterialization(key))

        def tick(cursor: str | None) -> str | None:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, repository_def=repository, sensor_name=sensor.name
            )
            data = sensor.evaluate_tick(context)
            if bool(data.run_requests) is bool(cursor):
                raise AssertionError(f"{len(data.run_requests or ())} runs were requested: {data.skip_message}")
            return data.cursor

        cursor = tick(None)
        instance.get_asset_records(keys)
        for _ in range(ROUNDS):
            with meter("bulk"):
                instance.get_asset_records(keys)
            with meter("idle"):
                tick(cursor)
            with meter("news"):
                tick(None)
        meter.notes["cursor_bytes"] = len(cursor or "")
