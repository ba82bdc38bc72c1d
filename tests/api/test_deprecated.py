"""Every former name works, with a warning that names its replacement."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets import StarlakeAutomation, StarlakeMetadata, StarlakeProject, StarlakeSteps
from starlake_dagster_assets.assets.step_options import FORMER_METADATA, FORMER_STEPS
from starlake_dagster_assets.triggers.build import build_triggers


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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": "grup"}, ValueError, "unknown value `grup` of `steps`; did you mean `group`?"),
        ({"steps": StarlakeSteps}, TypeError, "`steps` is the class StarlakeSteps; pass an instance"),
        ({"metadata": {"preview": 5}}, TypeError, "`metadata` is a dict; pass a StarlakeMetadata"),
        ({"retrys": 3}, TypeError, "got an unexpected argument `retrys`"),
        ({"row_count": 3}, TypeError, "did you mean `row_counts`?"),
    ],
)
def test_wrong_groups_are_named(root: Path, arguments: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=re.escape(message)):
        sda.build_definitions(root, **arguments)


@pytest.mark.filterwarnings("ignore:`build_definitions:DeprecationWarning")
def test_an_argument_is_given_once(root: Path):
    with pytest.raises(TypeError, match="`preview` is given twice"):
        sda.build_definitions(root, metadata=StarlakeMetadata(), preview=5)
    with pytest.raises(TypeError, match="`preview` takes a number of rows, not str"):
        StarlakeMetadata(preview="5")
    with pytest.raises(TypeError, match=r"pass `executor` to dg\.Definitions"):
        sda.build_starlake_assets(root, steps=StarlakeSteps(executor=dg.in_process_executor))
