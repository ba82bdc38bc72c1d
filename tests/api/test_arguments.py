"""What a user passes by mistake is named, with what to pass instead; a path is as good as a project."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets import StarlakeAutomation, StarlakeDuckDB, StarlakeProject, StarlakeTranslator
from starlake_dagster_assets.automation.definitions.arrival_sensors import build_arrival_sensors
from starlake_dagster_assets.automation.definitions.conditions import automation_conditions, build_condition_sensors
from starlake_dagster_assets.automation.definitions.jobs import build_jobs
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.automation.definitions.schedules import build_schedules
from starlake_dagster_assets.automation.policies.build import build_triggers


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_taken_wherever_a_project_is(root: Path, kind: type[Any], tmp_path: Path):
    given = kind(root)
    defs = sda.build_definitions(given)
    orders = dg.AssetKey(["sales", "Orders"])
    assert orders in defs.get_repository_def().assets_defs_by_key
    assert orders in {key for one in sda.build_starlake_assets(given) for key in one.keys}

    @sda.starlake_assets(project=given, select="domain:kpi")
    def kpi(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
        yield from starlake.run(context)

    assert {key.to_user_string() for key in kpi.keys} == {"kpi/by_day", "kpi/best_day"}
    assert sda.export_airflow(given, tmp_path / "dags").written
    triggers = build_triggers(given, StarlakeAutomation(pre_load="imported"))
    assert build_jobs(given, triggers)
    assert build_arrival_sensors(given, triggers)
    assert build_lineage_sensors(given, triggers)
    assert build_schedules(given, triggers) == build_condition_sensors(given, triggers) == []
    assert automation_conditions(given, triggers) == {}


def test_a_relative_path_is_one_of_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root.parent)
    assert len(sda.build_starlake_assets("shop")) == 1


class Mine(StarlakeTranslator):
    pass


WRONG = [
    ({"project": None}, "project is None; pass a StarlakeProject or the path of its directory"),
    ({"project": {"root": "shop"}}, "project is a dict; pass a StarlakeProject or the path"),
    ({"project": StarlakeProject}, "project is the class StarlakeProject; pass a StarlakeProject or the path"),
    ({"starlake": StarlakeDuckDB}, "`starlake` is the class StarlakeDuckDB; pass an instance: StarlakeDuckDB(…)"),
    ({"starlake": "duckdb"}, "`starlake` is a str; pass a StarlakeResource: StarlakeDuckDB()"),
    ({"starlake": dg.ResourceDefinition.none_resource()}, "`starlake` is a ResourceDefinition; pass"),
    ({"environments": {"domain:kpi": StarlakeDuckDB}}, '`environments["domain:kpi"]` is the class StarlakeDuckDB'),
    ({"environments": [StarlakeDuckDB()]}, "`environments` is a list; pass resources by selection"),
    ({"translator": Mine}, "`translator` is the class Mine; pass an instance: Mine(…)"),
    ({"translator": lambda node: None}, "`translator` is the function <lambda>; pass a StarlakeTranslator"),
    ({"select": 5}, 'take an expression such as "tag:daily+", or a list of them; found int'),
    ({"select": ["*", None]}, "or a list of them; found NoneType"),
    ({"select": dg.AssetSelection.all()}, "or a list of them; found"),
    ({"exclude": Path("kpi")}, "or a list of them; found"),
    ({"automation": {"status": "RUNNING"}}, "`automation` is a dict; pass a StarlakeAutomation"),
    ({"automation": StarlakeAutomation}, "`automation` is the class StarlakeAutomation; pass an instance"),
    ({"extra_assets": dg.AssetSpec("mine")}, "`extra_assets` is an AssetSpec; pass a list"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_argument_is_named(root: Path, wrong: dict[str, Any], message: str):
    arguments = {"project": StarlakeProject(root), **wrong}
    with pytest.raises(TypeError, match=re.escape(message)):
        sda.build_definitions(**arguments)


def test_what_a_wrong_argument_holds_is_not_shown(root: Path):
    with pytest.raises(TypeError) as caught:
        sda.build_definitions(root, starlake="https://user:s3cret@host")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(TypeError, match=r"takes the path of its directory, not a StarlakeProject"):
        StarlakeProject(StarlakeProject(root))


def test_a_project_is_not_loaded_to_know_that_it_is_one(tmp_path: Path):
    """What is missing is said by the project, not by the check of the argument."""
    from starlake_dagster_assets._arguments import project_of

    missing = StarlakeProject(tmp_path / "nowhere")
    assert project_of(missing, "f") is missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 1}, "`options` has an int as the value of `a`; pass texts by name, such as"),
        ({1: "a"}, "`options` has an int as a name; pass texts by name"),
        ("a=1", "`options` is a str; pass texts by name"),
    ],
)
def test_options_are_texts_by_name(root: Path, options: Any, message: str):
    for build in (lambda: StarlakeProject(root, options=options), lambda: sda.StarlakeSteps(options=options)):
        with pytest.raises(TypeError, match=re.escape(message)):
            build()
