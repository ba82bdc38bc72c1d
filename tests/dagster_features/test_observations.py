"""Deliveries as observations: automation conditions load tables whose files arrival sensors see."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeDuckDB, StarlakeProject, StarlakeTranslator
from starlake_dagster_assets import build_definitions as build
from starlake_dagster_assets._compat import suppress_dagster_warnings
from tests.dagster_features.projects import SALES, rows, write

FILES, ORDERS = dg.AssetKey(["incoming", "sales", "orders"]), dg.AssetKey(["sales", "orders"])
ROWS = "select id from sales.orders order by id"


class Eager(StarlakeTranslator):
    def get_automation_condition(self, node):
        return dg.AutomationCondition.eager() if node.id == "sales.orders" else None


class World:
    """The definitions on an instance: a sensor tick and an evaluation of conditions, each run to its end."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, **settings) -> None:
        self.root, self.instance = write(root, SALES), instance
        automation = StarlakeAutomation(lineage=False, pre_load={"strategy": "imported", "stable_for": 0}, **settings)
        project = StarlakeProject(self.root)
        self.defs = build(project, starlake=StarlakeDuckDB(), automation=automation, translator=Eager())
        self.repository, self.cursors, self.daemon = self.defs.get_repository_def(), {}, None
        self.deliver("items_1.csv", "id,day\n7,2025-03-01\n")
        self.deliver("orders_1.csv", "id,day\n1,2025-03-01\n")

    def deliver(self, name: str, text: str) -> None:
        file = self.root / "incoming" / "sales" / name
        file.write_text(text)
        os.utime(file, (0, 0))

    def look(self) -> list[dg.RunRequest] | str:
        name = next(name for name in (one.name for one in self.repository.sensor_defs) if name.endswith("_arrival"))
        context = dg.build_sensor_context(
            self.instance, self.cursors.get(name), repository_def=self.repository, sensor_name=name
        )
        found = self.repository.get_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = found.cursor
        self.events = list(found.asset_events)
        with suppress_dagster_warnings():
            for event in self.events:  # as the daemon does
                self.instance.report_runless_asset_event(event)
        return list(found.run_requests) if found.run_requests else found.skip_message or ""

    def evaluate(self) -> list[dg.AssetKey]:
        """What the automation conditions request; it is materialized."""
        with suppress_dagster_warnings():
            found = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.daemon)
        self.daemon = found.cursor
        keys = [key for key in (ORDERS,) if found.get_num_requested(key)]
        if keys:
            job = self.repository.get_implicit_global_asset_job_def()
            assert job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False).success
        return keys


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.mark.dagster_feature("Automation conditions on loads")
def test_an_eager_condition_loads_each_delivery_once_and_the_sensor_requests_no_run_for_it(tmp_path, instance):
    world = World(tmp_path, instance)
    assert world.evaluate() == []
    (request,) = world.look()
    assert [key.path[-1] for key in request.asset_selection] == ["items"]
    observed = {event.asset_key.path[-1]: event for event in world.events}
    assert set(observed) == {"items", "orders"}
    metadata = observed["orders"].metadata
    assert metadata["starlake/files"].value == {"orders_1.csv": 20}
    assert (metadata["starlake/file_count"].value, metadata["starlake/bytes"].value) == (1, 20)
    assert world.evaluate() == [ORDERS]
    assert rows(tmp_path / "datasets/duckdb.db", ROWS) == [(1,)]
    world.look()
    assert world.evaluate() == []
    world.deliver("orders_2.csv", "id,day\n2,2025-03-01\n")
    world.look()
    world.look()
    assert world.evaluate() == [ORDERS]
    assert rows(tmp_path / "datasets/duckdb.db", ROWS) == [(1,), (2,)]
    assert world.evaluate() == []


@pytest.mark.dagster_feature("Automation conditions on loads")
def test_the_files_of_a_table_with_a_condition_can_be_observed_by_hand(tmp_path, instance):
    world = World(tmp_path, instance)
    files = next(one for one in world.defs.assets or () if FILES in getattr(one, "keys", ()))
    job = dg.define_asset_job("observe", dg.AssetSelection.assets(FILES))
    repository = dg.Definitions(assets=[files], jobs=[job]).get_repository_def()
    run = repository.get_job("observe").execute_in_process(instance=instance)
    (event,) = run.get_asset_observation_events()
    assert event.event_specific_data.asset_observation.metadata["starlake/files"].value == {"orders_1.csv": 20}
    world.look()
    assert [event.asset_key for event in world.events if event.asset_key == FILES] == [], "it was observed already"
