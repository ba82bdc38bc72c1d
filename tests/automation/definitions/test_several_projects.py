"""Two projects in one code location, with domains and DAG files of the same names."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeSteps, StarlakeTranslator, build_definitions
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.resources import StarlakeDataproc
from starlake_dagster_assets.testing import fake_starlake
from tests.automation.conftest import project, table, task


class Country(StarlakeTranslator):
    """Tables of a country have its name in their key."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_asset_key(self, node: Any) -> dg.AssetKey:
        return super().get_asset_key(node).with_prefix(self.name)


def definitions(name: str, **automation: Any) -> dg.Definitions:
    tables = [table("a", "daily"), table("b", tags=("pre_load_strategy=imported",))]
    tasks = [task("x", ["sales.a"]), task("y", ["sales.b"], tags=("triggering=condition",))]
    return build_definitions(
        project(tables, tasks),
        starlake=fake_starlake(),
        translator=Country(name),
        steps=StarlakeSteps(name=name, resource_key=name),
        automation=StarlakeAutomation.from_options(automation),
    )


def test_names_of_both_are_there_with_a_prefix_each():
    both = dg.Definitions.merge(definitions("fr", name_prefix="fr"), definitions("de", name_prefix="de_"))
    repository = both.get_repository_def()
    jobs = sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__"))
    names = {"load_sales_daily", "load_sales_files", "transform_kpi", "transform_kpi_conditions"}
    assert set(jobs) == {f"{country}_{name}" for country in ("fr", "de") for name in names}
    started = {"load_sales_files_arrival", "transform_kpi_lineage", "kpi_conditions"}
    assert {one.name for one in repository.sensor_defs} == {f"{c}_{name}" for c in ("fr", "de") for name in started}
    assert {one.name for one in repository.schedule_defs} == {
        "fr_load_sales_daily_schedule",
        "de_load_sales_daily_schedule",
    }
    for job in jobs:
        keys = both.resolve_job_def(job).asset_layer.executable_asset_keys if hasattr(both, "resolve_job_def") else ()
        assert all(key.path[0] == job[:2] for key in keys)


def test_without_a_prefix_dagster_names_what_is_there_twice():
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="load_sales_daily"):
        dg.Definitions.merge(definitions("fr"), definitions("de")).get_repository_def()


def test_a_prefix_is_a_word():
    with pytest.raises(ProjectError, match="name_prefix"):
        StarlakeAutomation(name_prefix="my project")


def test_the_sweeper_of_an_environment_has_the_prefix_and_the_resource_of_its_project():
    (sensor,) = StarlakeDataproc(project="p", jars=["gs://b/starlake.jar"]).sensors("fr", prefix="fr_")
    assert (sensor.name, sensor.required_resource_keys) == ("fr_starlake_dataproc_sweeper", {"fr"})
