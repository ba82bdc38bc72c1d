"""The tick of a lineage sensor over many upstreams, and one bulk read of the same assets' newest materializations."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from benchmarks.generator import Shape, write_project
from benchmarks.measure import Meter
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.automation.policies.model import AllOf, Job, Trigger, Triggers, Upstream, UpstreamCondition

ROUNDS = 8


def rounds(meter: Meter, _work: Path, upstreams: int) -> None:
    """Alternates ticks that ask for no run, ticks that ask for one, and the bulk read."""
    names = [f"sales.table_{number}" for number in range(upstreams)]
    keys = [dg.AssetKey(name.split(".")) for name in names]
    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        root = Path(folder) / "project"
        write_project(root, Shape(tables=1, tasks=2, fan_in=1))
        source = StarlakeProject(root, cache_dir=Path(folder) / "cache")
        watch = UpstreamCondition(AllOf(tuple(Upstream(name) for name in names)))
        nodes = {"idle": "m0.k0", "news": "m0.k1"}
        triggers = Triggers(
            {node: Trigger(node, "lineage", job, upstream_condition=watch) for job, node in nodes.items()},
            {job: Job(job, (node,)) for job, node in nodes.items()},
        )
        sensors = build_lineage_sensors(source, triggers)
        made = build_definitions(source)
        repository = dg.Definitions(assets=made.assets, sensors=sensors, resources=made.resources).get_repository_def()
        for key in (*keys, dg.AssetKey(["m0", "k0"])):
            instance.report_runless_asset_event(dg.AssetMaterialization(key))

        def tick(job: str) -> None:
            name = f"{job}_lineage"
            context = dg.build_sensor_context(instance=instance, repository_def=repository, sensor_name=name)
            data = repository.get_sensor_def(name).evaluate_tick(context)
            if bool(data.run_requests) is (job == "idle"):
                raise AssertionError(f"{len(data.run_requests or ())} runs were requested: {data.skip_message}")

        tick("idle")
        instance.get_asset_records(keys)
        for _ in range(ROUNDS):
            with meter("bulk"):
                instance.get_asset_records(keys)
            for job in nodes:
                with meter(job):
                    tick(job)
