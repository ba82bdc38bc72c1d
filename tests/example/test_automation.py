"""The example by its sensors alone: files are delivered, and everything follows."""

from __future__ import annotations

import time
from collections import Counter

import dagster as dg
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) experimental")


class Daemon:
    """Ticks every sensor in turn and runs what is asked for, as the real one does."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.repository, self.instance = defs.get_repository_def(), instance
        self.cursors: dict[str, str | None] = {}
        self.runs: list[tuple[str, list[str]]] = []

    def round(self) -> bool:
        """One tick of each sensor; whether something was materialized."""
        before = len(self.runs)
        for sensor in sorted(self.repository.sensor_defs, key=lambda one: one.name):
            cursor, name = self.cursors.get(sensor.name), sensor.name
            context = dg.build_sensor_context(self.instance, cursor, repository_def=self.repository, sensor_name=name)
            result = sensor.evaluate_tick(context)
            self.cursors[name] = result.cursor
            for request in result.run_requests or ():
                self._run(sensor, request)
        return len(self.runs) > before

    def _run(self, sensor: dg.SensorDefinition, request: dg.RunRequest) -> None:
        tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": sensor.name}
        assets, checks = request.asset_selection, request.asset_check_keys
        job = self.repository.get_job(request.job_name or sensor.job_name)
        if assets is not None or checks is not None:  # checks alone, as the sensor of freshness asks for, are no assets
            chosen = None if checks is None else set(checks)
            job = job.get_subset(asset_selection=set(assets or ()), asset_check_selection=chosen)
        done = job.execute_in_process(instance=self.instance, tags=tags)
        made = [event.asset_key.to_user_string() for event in done.get_asset_materialization_events()]
        if made:
            self.runs.append((sensor.name, sorted(made)))


def test_files_start_loads_and_loads_start_what_reads_them(copy, module_of, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(copy / "cache"))
    module_of(copy / "deliver.py").deliver("1", reset=True)
    location = module_of(copy / "definitions.py")
    with dg.instance_for_test() as instance:
        daemon = Daemon(location.defs, instance)
        now, delivered = time.time, time.time()
        with monkeypatch.context() as stopped:  # a slow machine must not let the files come to rest within the round
            stopped.setattr(time, "time", lambda: delivered)
            assert not daemon.round(), "the files are not yet at rest"
        monkeypatch.setattr(time, "time", lambda: now() + 60)
        while daemon.round():
            pass
    made = Counter(key for _, keys in daemon.runs for key in keys)
    graph = location.project.graph
    assert made == {"/".join(n.key): 1 for n in graph.nodes.values() if n.kind != "external"}
