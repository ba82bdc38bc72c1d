"""Every former name works, with a warning that names its replacement."""

import re
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets import (
    JobSettings,
    LineageSettings,
    PartitionSettings,
    PreLoadSettings,
    ScheduleSettings,
    StarlakeAutomation,
    StarlakeMetadata,
    StarlakeProject,
    StarlakeSteps,
)
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.automation.policies.setting_groups import FLAT_NAMES
from starlake_dagster_assets.automation.policies.settings import FORMER_NAMES, NodeSettings
from starlake_dagster_assets.dagster_assets.build_options import FORMER_METADATA, FORMER_STEPS
from starlake_dagster_assets.errors import ProjectError


def body(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource) -> Iterator[Any]:
    yield from starlake.run(context)


VALUES: dict[str, Any] = {
    "row_counts": False,
    "columns": False,
    "preview": 3,
    "samples": 2,
    "name": "everything",
    "pool": "mine",
    "retry_policy": dg.RetryPolicy(max_retries=3),
    "op_tags": {"a": "b"},
    "executor": dg.in_process_executor,
    "options": {"country": "FR"},
    "execute": body,
    "resource_key": "other",
}


def test_each_former_argument_has_a_value_here():
    assert set(VALUES) == {*FORMER_METADATA, *FORMER_STEPS}


@pytest.mark.parametrize("name", VALUES)
def test_former_arguments_of_build_definitions(root: Path, name: str):
    group = "metadata=StarlakeMetadata" if name in FORMER_METADATA else "steps=StarlakeSteps"
    message = rf"`build_definitions\({name}=…\)` is deprecated .*; use `{group}\({name}=…\)`"
    with pytest.warns(DeprecationWarning, match=message) as caught:
        defs = sda.build_definitions(root, **{name: VALUES[name]})
    assert caught[0].filename == __file__
    (step,) = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    seen = {
        "name": step.op.name == "everything",
        "pool": step.op.pool == "mine",
        "retry_policy": step.op.retry_policy == VALUES["retry_policy"],
        "op_tags": step.op.tags.get("a") == "b",
        "executor": defs.executor is dg.in_process_executor,
        "resource_key": "other" in (defs.resources or {}),
    }
    assert seen.get(name, True)


def test_former_arguments_of_build_starlake_assets(root: Path):
    for name, value, instead in (
        ("around", [], "extra_assets=…"),
        ("default_pools", {"starlake": "p"}, "get_pool of a StarlakeTranslator"),
        ("pool", "p", "steps=StarlakeSteps(pool=…)"),
        ("preview", 2, "metadata=StarlakeMetadata(preview=…)"),
    ):
        with pytest.warns(DeprecationWarning, match=re.escape(instead)):
            (step,) = sda.build_starlake_assets(root, **{name: value})
        assert name not in ("pool", "default_pools") or step.op.pool == "p"


def test_former_triggers(root: Path):
    project = StarlakeProject(root)
    running = StarlakeAutomation(status="RUNNING")
    triggers = build_triggers(project)
    with pytest.warns(DeprecationWarning, match=r"triggers=…\)` is deprecated .*; use `automation=…`"):
        former = sda.build_definitions(project, triggers=triggers, automation=running)
    now = sda.build_definitions(project, automation=build_triggers(project, running))
    for defs in (former, now):
        assert {one.default_status.value for one in defs.sensors or ()} == {"RUNNING"}
    assert {one.name for one in former.sensors or ()} == {one.name for one in now.sensors or ()}


def test_the_new_forms_of_all_of_them_warn_of_nothing(root: Path):
    metadata = StarlakeMetadata(**{name: VALUES[name] for name in FORMER_METADATA})
    steps = StarlakeSteps("task", **{name: VALUES[name] for name in FORMER_STEPS})
    defs = sda.build_definitions(root, metadata=metadata, steps=steps)
    assert len([one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]) == 3
    assert len(sda.build_starlake_assets(root, steps="task")) == 3


FLAT: dict[str, Any] = {
    "pre_load_strategy": "ack",
    "arrivals": False,
    "global_ack_file_path": "/in/go",
    "ack_wait_timeout": 60,
    "incoming_path": "/in",
    "pending_path": "/pending",
    "pre_load_poke_interval": 5,
    "pre_load_sensor_soft_fail": False,
    "stable_for": 1,
    "guard": "cli",
    "storage_options": {"s3": {"anon": True}},
    "triggering": "condition",
    "dataset_triggering_strategy": "all",
    "run_dependencies_first": True,
    "load_dependencies": True,
    "optional_datasets": ("kpi.by_day",),
    "optional_dataset_enabled": False,
    "data_cycle": "daily",
    "data_cycle_enabled": False,
    "beyond_data_cycle_enabled": False,
    "min_timedelta_between_runs": 900,
    "interval": "since_last_run",
    "require_fresh_upstreams": True,
    "history": "all",
    "start_date": datetime(2025, 3, 1),
    "end_date": datetime(2025, 4, 1),
    "catchup": True,
    "partition_write": "replace",
    "partition_column": "day",
    "default_pool": "mine",
    "retries": 3,
    "retry_delay": 9,
    "max_active_runs": 2,
    "priority_weight": 7,
    "tags": ("nightly",),
}


def test_each_setting_has_a_value_here():
    assert set(FLAT) == set(FLAT_NAMES)
    known = {*NodeSettings.model_fields, *FORMER_NAMES, "arrivals", "storage_options"}
    assert set(FLAT) | {"partitions", "timezone"} == known


@pytest.mark.parametrize("name", FLAT)
def test_settings_by_their_names_outside_of_groups(name: str):
    group, field = FLAT_NAMES[name]
    kind = type(getattr(StarlakeAutomation(), group))
    message = rf"`StarlakeAutomation\({name}=…\)` is deprecated .*; use `{group}={kind.__name__}\({field}=…\)`"
    with pytest.warns(DeprecationWarning, match=message) as caught:
        former = StarlakeAutomation(**{name: FLAT[name]})
    assert caught[0].filename == __file__
    settings = {group: kind(**{field: FLAT[name]})}
    assert former == StarlakeAutomation(**settings) == StarlakeAutomation.from_options({name: FLAT[name]})
    assert former != StarlakeAutomation()
    flat = FORMER_NAMES.get(name, name)
    if flat in NodeSettings.model_fields:
        assert getattr(former.node_settings(), flat) == FLAT[name]
        assert former.node_settings() == NodeSettings(**{name: FLAT[name]})
    with pytest.warns(DeprecationWarning, match=rf"use `StarlakeAutomation.{group}.{field}`"):
        assert getattr(former, name) == FLAT[name]


def test_short_forms_of_groups():
    jobs: Any = {"retries": "3"}
    short = StarlakeAutomation(pre_load="ack", lineage=False, schedules=False, partitions="sink", jobs=jobs)
    assert short == StarlakeAutomation(
        pre_load=PreLoadSettings(strategy="ack"),
        lineage=LineageSettings(triggering="none"),
        schedules=ScheduleSettings(enabled=False),
        partitions=PartitionSettings(by="sink"),
        jobs=JobSettings(retries=3),
    )
    assert StarlakeAutomation.off() == StarlakeAutomation(pre_load=False, lineage=False, schedules=False)
    in_yaml = {"pre_load": {"strategy": "ack"}, "stable_for": "5", "schedules": "false", "status": "RUNNING"}
    chosen = StarlakeAutomation.from_options(in_yaml)
    assert chosen.pre_load == PreLoadSettings(strategy="ack", stable_for=5)
    assert (chosen.schedules.enabled, chosen.status) == (False, "RUNNING")


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"time_zone": "UTC"}, ["no setting `time_zone`; did you mean `timezone`?"]),
        ({"retrys": 3}, ["no setting `retrys`; did you mean `retries`?"]),
        ({"pre_load": {"strategi": 1}}, ["pre_load: no setting `strategi`; did you mean `strategy`?"]),
        ({"pre_load": "files"}, ["pre_load.strategy: Input should be", "found 'files'."]),
        ({"pre_load": 5}, ["pre_load: expected PreLoadSettings(…)", "found an int."]),
        ({"jobs": JobSettings}, ["jobs: expected JobSettings(…); found the class JobSettings."]),
        (
            {"lineage": {"triggering": []}, "status": "ON"},
            ["lineage.triggering: ", "status: Input should be 'STOPPED'"],
        ),
        ({"jobs": {"retries": 2}, "retries": 3}, ["`jobs.retries` is also given as `retries`, with another value"]),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], messages: list[str]):
    with pytest.raises(ProjectError) as caught:
        StarlakeAutomation.from_options(settings)
    assert all(message in str(caught.value) for message in messages), caught.value
    assert all(line.startswith("StarlakeAutomation: ") for line in str(caught.value).splitlines())


def test_a_group_names_its_settings_and_shows_no_secret():
    with pytest.raises(ProjectError, match=r"PreLoadSettings: no setting `pre_load_strategy`; did you mean `strategy`"):
        PreLoadSettings(**{"pre_load_strategy": "ack"})
    options: Any = {"s3": "s3cret"}
    with pytest.raises(ProjectError, match=r"storage_options.s3: ") as caught:
        PreLoadSettings(storage_options=options)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(PreLoadSettings(storage_options={"s3": {"key": "s3cret"}}))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": "grup"}, ValueError, "unknown value `grup` of `steps`; did you mean `group`?"),
        ({"steps": StarlakeSteps}, TypeError, "`steps` is the class StarlakeSteps; pass an instance"),
        ({"metadata": {"preview": 5}}, TypeError, "`metadata` is a dict; pass a StarlakeMetadata"),
        ({"retrys": 3}, TypeError, "got an unexpected argument `retrys`"),
        ({"starlak": 3}, TypeError, "unexpected argument `starlak`; did you mean `starlake`?"),
        ({"row_count": 3}, TypeError, "did you mean `row_counts`?"),
    ],
)
def test_wrong_groups_are_named(root: Path, arguments: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=re.escape(message)):
        sda.build_definitions(root, **arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"preview": -1}, "from 0, not -1"), ({"samples": 100}, "from 0 to 20, not 100"), ({"samples": -1}, "not -1")],
)
def test_numbers_of_rows_have_bounds(given: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        StarlakeMetadata(**given)


@pytest.mark.filterwarnings("ignore:`build_definitions:DeprecationWarning")
def test_an_argument_is_given_once(root: Path):
    with pytest.raises(TypeError, match="`preview` is given twice"):
        sda.build_definitions(root, metadata=StarlakeMetadata(), preview=5)
    with pytest.raises(TypeError, match="`preview` takes a number of rows, not str"):
        StarlakeMetadata(preview="5")
    with pytest.raises(TypeError, match=r"pass `executor` to dg\.Definitions"):
        sda.build_starlake_assets(root, steps=StarlakeSteps(executor=dg.in_process_executor))


MOVED = {
    "DataprocCluster": "resources",
    "DataprocServerless": "resources",
    "automation_conditions": "automation",
    "build_arrival_sensors": "automation",
    "build_automation": "automation",
    "build_condition_sensors": "automation",
    "build_jobs": "automation",
    "build_lineage_sensors": "automation",
    "build_schedules": "automation",
    "build_triggers": "automation",
    "definitions_graph": "airflow",
}


@pytest.mark.parametrize(("name", "module"), MOVED.items())
def test_names_that_moved_to_submodules(name: str, module: str):
    code = f"from starlake_dagster_assets import {name} as former"
    found: dict[str, Any] = {}
    instead = f"use `from starlake_dagster_assets.{module} import {name}`"
    with pytest.warns(DeprecationWarning, match=instead) as caught:
        exec(compile(code, "definitions_of_the_user.py", "exec"), found)
    assert {warning.filename for warning in caught} == {"definitions_of_the_user.py"}
    assert found["former"] is getattr(import_module(f"starlake_dagster_assets.{module}"), name)
    assert name not in sda.__all__


def test_the_former_name_of_the_kind_of_a_trigger(root: Path):
    (trigger, *_) = build_triggers(StarlakeProject(root)).triggers.values()
    with pytest.warns(DeprecationWarning, match="use `Trigger.triggered_by`") as caught:
        assert trigger.owner == trigger.triggered_by
    assert caught[0].filename == __file__
