"""Switches of the translator: what they leave out, and that a run is none the worse for it."""

from pathlib import Path

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets import Node, StarlakeTranslator, StarlakeTranslatorSettings


def specs(root: Path, translator: StarlakeTranslator) -> dict[str, dg.AssetSpec]:
    built = sda.build_starlake_assets(root, translator=translator)
    return {spec.key.to_user_string(): spec for one in built for spec in one.specs}


def checks(root: Path, **switches: bool) -> set[str]:
    translator = StarlakeTranslator(settings=StarlakeTranslatorSettings(**switches))
    (built,) = sda.build_starlake_assets(root, translator=translator)
    return {f"{key.asset_key.to_user_string()} {key.name}" for key in built.check_keys}


def test_everything_is_on(root: Path):
    spec = specs(root, StarlakeTranslator())["kpi/by_day"]
    assert "select day" in (spec.description or "")
    assert "dagster/code_references" in spec.metadata
    assert len(checks(root)) == 5


@pytest.mark.parametrize(
    ("switch", "name", "left"),
    [
        ("enable_expectation_checks", "expect_rows", 4),
        ("enable_rejected_rows_check", "rejected_rows", 3),
        ("enable_schema_drift_check", "schema_drift", 3),
    ],
)
def test_a_kind_of_check_is_left_out(root: Path, switch: str, name: str, left: int):
    found = checks(root, **{switch: False})
    assert len(found) == left
    assert not [one for one in found if name in one]


def test_sql_and_code_references_are_left_out(root: Path):
    off = StarlakeTranslatorSettings(enable_code_references=False, enable_sql_in_description=False)
    spec = specs(root, StarlakeTranslator(settings=off))["kpi/by_day"]
    assert spec.description is None
    assert "dagster/code_references" not in spec.metadata


class Own(StarlakeTranslator):
    def __init__(self, team: str) -> None:
        self.team = team
        self.settings = {"team": team}

    def get_group_name(self, node: Node) -> str | None:
        return self.team


class Quiet(StarlakeTranslator):
    settings = StarlakeTranslatorSettings(enable_sql_in_description=False)


def test_translators_with_an_init_of_their_own(root: Path):
    spec = specs(root, Own("sales"))["kpi/by_day"]
    assert spec.group_name == "sales"
    assert "select day" in (spec.description or "")
    assert specs(root, Quiet())["kpi/by_day"].description is None


def test_wrong_settings_are_named():
    with pytest.raises(TypeError, match="`settings` is a dict; pass a StarlakeTranslatorSettings"):
        StarlakeTranslator(settings={"enable_code_references": False})
    with pytest.raises(TypeError, match="`enable_code_references` takes True or False, not str"):
        StarlakeTranslatorSettings(enable_code_references="no")


@pytest.mark.parametrize("limit", [1, 100])
def test_a_blocking_expectation_without_its_check_blocks_all_the_same(root: Path, limit: int):
    """The check is not shown; what it guards is not green."""
    macro = root / "metadata/expectations/counts.j2"
    macro.write_text(macro.read_text().replace("< 1", f"< {limit}"))
    task = root / "metadata/transform/kpi/by_day.sl.yml"
    task.write_text(task.read_text().replace("failOnError: false", "failOnError: true"))
    off = StarlakeTranslatorSettings(
        enable_expectation_checks=False, enable_rejected_rows_check=False, enable_schema_drift_check=False
    )
    defs = sda.build_definitions(root, translator=StarlakeTranslator(settings=off))
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.get_repository_def().get_job("__ASSET_JOB")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert result.get_asset_check_evaluations() == []
    assert result.success is (limit == 1)
    assert ("kpi/by_day" in made) is (limit == 1)
