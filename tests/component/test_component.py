"""A Starlake project as a component: from YAML, from its state, overridden, scaffolded."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import starlake_dagster_assets
from starlake_dagster_assets import _compat
from starlake_dagster_assets.errors import ProjectError

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project" / "starbake"
TYPE = "starlake_dagster_assets.StarlakeProjectComponent"
ORDERS = dg.AssetKey(["starbake", "Orders"])

newest_only = pytest.mark.newest_only
# Dagster's own loading of components uses what it calls a preview and beta
pytestmark = [
    pytest.mark.filterwarnings("ignore:Function `load_definitions_from_module"),
    pytest.mark.filterwarnings("ignore:Class `.*CodeReference"),
    pytest.mark.filterwarnings("ignore:Class `MultiAssetSensorDefinition`"),
]


@pytest.mark.skipif(_compat.has_components(), reason="this Dagster has components")
def test_on_an_older_dagster_one_line_says_so():
    with pytest.raises(ImportError, match=r"needs the components of a newer Dagster than 1.*build_definitions"):
        from starlake_dagster_assets import StarlakeProjectComponent  # noqa: F401
    assert "StarlakeProjectComponent" not in dir(starlake_dagster_assets)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
    from dagster.components.testing import create_defs_folder_sandbox

    # a job that another test took from its definitions leaves Dagster in the belief that all loading is reloading
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with create_defs_folder_sandbox() as made:
        ignored = shutil.ignore_patterns("datasets")
        shutil.copytree(EXAMPLE, made.project_root / "starbake", ignore=ignored)
        yield made


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is made as the definitions are loaded."""
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")


def scaffold(sandbox: Any, cls: Any = None, **attributes: Any) -> Path:
    from starlake_dagster_assets import StarlakeProjectComponent

    given = {"project": "{{ context.project_root }}/starbake", "env": "DUCKDB", **attributes}
    name = f"{cls.__module__}.{cls.__name__}" if cls else TYPE
    return sandbox.scaffold_component(
        component_cls=StarlakeProjectComponent, defs_yaml_contents={"type": name, "attributes": given}
    )


def refusal(sandbox: Any, path: Path) -> Exception:
    """What a component refuses with: Dagster wraps it."""
    with pytest.raises(Exception) as told, sandbox.load_component_and_build_defs(path):
        pass
    error = told.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def specs(defs: dg.Definitions) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in defs.resolve_all_asset_specs()}


@newest_only
def test_the_whole_project_from_two_lines_of_yaml(sandbox, dev):
    with sandbox.load_component_and_build_defs(scaffold(sandbox)) as (component, defs):
        assert component.defs_state_config.key == "StarlakeProjectComponent[starbake:DUCKDB]"
        assert {ORDERS, dg.AssetKey(["kpi", "top_products"])} <= set(specs(defs))
        assert type(defs.resources["starlake_starbake"]).__name__ == "StarlakeDuckDB"


@newest_only
def test_select_exclude_name_steps(sandbox, dev):
    path = scaffold(
        sandbox, select=["domain:starbake", "kpi.*"], exclude="kpi.order_lines", name="bakery", steps="group"
    )
    with sandbox.load_component_and_build_defs(path) as (_, defs):
        made = [one for one in defs.assets if isinstance(one, dg.AssetsDefinition)]
        assert {key.path[0] for one in made for key in one.keys} == {"starbake", "kpi"}
        assert {one.op.name for one in made} == {"bakery__load__starbake", "bakery__transform__kpi"}
        assert set(defs.resources) == {"bakery"}


@newest_only
def test_translation_is_rendered_for_each_node_and_reaches_the_dependencies(sandbox, dev):
    translation = {
        "group_name": "{{ node.kind }}s",
        "key_prefix": ["prod"],
        "tags": {"raw": "{{ node.raw }}"},
        "description": "Was: {{ spec.description }}",
    }
    with sandbox.load_component_and_build_defs(scaffold(sandbox, translation=translation)) as (_, defs):
        found = specs(defs)
        orders = found[ORDERS.with_prefix("prod")]
        assert orders.group_name == "tables"
        assert orders.tags["raw"] == "starbake.Orders"
        assert orders.description.startswith("Was: ")
        assert {dep.asset_key for dep in found[dg.AssetKey(["prod", "kpi", "order_lines"])].deps} <= set(found)


@newest_only
def test_where_commands_run_is_a_type_and_the_fields_of_its_resource(sandbox, dev):
    shell = {
        "type": "shell",
        "starlake": "/opt/{{ 'star' }}lake",
        "env": {"PGPASSWORD": {"env": "SOME_PASSWORD"}, "A": "b"},
    }
    with sandbox.load_component_and_build_defs(scaffold(sandbox, starlake=shell)) as (component, _):
        assert component.starlake.starlake == "/opt/starlake"
        assert component.starlake.env["A"] == "b"
        assert component.starlake.env["PGPASSWORD"] == dg.EnvVar("SOME_PASSWORD")
        assert component.starlake.secrets == ["PGPASSWORD"]
    dataproc = {"type": "dataproc", "project": "p", "dataproc_region": "r", "cluster": "c", "jars": "gs://b/s.jar"}
    from pydantic import TypeAdapter

    from starlake_dagster_assets.component.attributes import environment_type

    assert TypeAdapter(environment_type()).validate_python(dataproc).dataproc_region == "r"


@newest_only
def test_an_unknown_field_suggests_the_nearest(sandbox, dev):
    path = scaffold(sandbox, starlake={"type": "duckdb", "databaze": "x"})
    error = refusal(sandbox, path)
    assert "did you mean `database`" in str(error)


@newest_only
def test_what_starts_the_assets(sandbox, dev):
    path = scaffold(sandbox, automation={"triggering": "sensor", "status": "RUNNING", "retries": "{{ 1 + 1 }}"})
    with sandbox.load_component_and_build_defs(path) as (component, defs):
        assert component.automation.jobs.retries == 2
        assert {sensor.default_status for sensor in defs.sensors} == {dg.DefaultSensorStatus.RUNNING}
    refused = refusal(sandbox, scaffold(sandbox, automation={"retrys": 2}))
    assert "did you mean `retries`" in str(refused)


@newest_only
def test_without_a_state_outside_dev_the_error_says_what_to_do(sandbox, monkeypatch):
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    path = scaffold(sandbox)
    error = refusal(sandbox, path)
    assert isinstance(error, ProjectError)
    assert "has no state" in str(error)
    assert "dg utils refresh-defs-state" in str(error)


@newest_only
def test_with_a_state_the_project_is_not_looked_at(sandbox, monkeypatch):
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    path = scaffold(sandbox)
    with sandbox.build_component_tree() as tree:
        asyncio.run(tree.load_component(path).refresh_state(sandbox.project_root))
    shutil.rmtree(sandbox.project_root / "starbake")
    with sandbox.load_component_and_build_defs(path) as (_, defs):
        assert ORDERS in specs(defs)
    (path / "defs.yaml").write_text((path / "defs.yaml").read_text().replace("DUCKDB", "OTHER"))
    assert "has no state" in str(refusal(sandbox, path))


OVERRIDDEN = """
import dagster as dg
from starlake_dagster_assets import StarlakeProjectComponent
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines

orders = Script(loaded_lines("starbake", "Orders", accepted=3))

class Mine(StarlakeProjectComponent):
    def get_asset_spec(self, node):
        return super().get_asset_spec(node).replace_attributes(owners=["team:" + node.kind])

    def execute(self, context, starlake):
        context.log.info("mine")
        yield from starlake.run(context)

@dg.component_instance
def load(context):
    return Mine(project=context.project_root / "starbake", env="DUCKDB", select="domain:starbake",
                starlake=fake_starlake(FakeRunner({"load": orders})))
"""


@newest_only
def test_overridden_in_python(sandbox, dev):
    (sandbox.defs_folder_path / "bakery").mkdir()
    (sandbox.defs_folder_path / "bakery" / "component.py").write_text(OVERRIDDEN)
    with sandbox.build_all_defs() as defs:
        assert specs(defs)[ORDERS].owners == ["team:table"]
        with dg.DagsterInstance.ephemeral() as instance:
            result = defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
            said = [entry.user_message for entry in instance.all_logs(result.run_id)]
        assert result.success
        assert "mine" in said
        assert ORDERS in {event.asset_key for event in result.get_asset_materialization_events()}


@newest_only
def test_two_projects_in_one_location_do_not_collide(sandbox, dev):
    shutil.copytree(sandbox.project_root / "starbake", sandbox.project_root / "second")
    scaffold(sandbox, select="domain:starbake")
    scaffold(sandbox, project="{{ context.project_root }}/second", select="domain:reference")
    with sandbox.build_all_defs() as defs:
        assert {"starlake_starbake_domain_starbake", "starlake_second_domain_reference"} <= set(defs.resources)
        assert {ORDERS, dg.AssetKey(["reference", "Shops"])} <= set(specs(defs))


@newest_only
def test_two_projects_with_the_same_names_are_kept_apart_by_prefixes(sandbox, dev):
    shutil.copytree(sandbox.project_root / "starbake", sandbox.project_root / "belgium")
    for name, country in (("starbake", "fr"), ("belgium", "be")):
        scaffold(
            sandbox,
            project=f"{{{{ context.project_root }}}}/{name}",
            automation={"name_prefix": country},
            translation={"key_prefix": [country]},
        )
    with sandbox.build_all_defs() as defs:
        dg.Definitions.validate_loadable(defs)
        assert {dg.AssetKey([country, "starbake", "Orders"]) for country in ("fr", "be")} <= set(specs(defs))
        assert {"fr_transform_kpi_lineage", "be_transform_kpi_lineage"} <= {one.name for one in defs.sensors or ()}
        assert not [key for key in specs(defs) if key.path[0] not in ("fr", "be")]


@newest_only
def test_the_scaffolder_writes_a_path_from_the_project_root(sandbox):
    from starlake_dagster_assets import StarlakeProjectComponent

    given = {"project": str(sandbox.project_root / "starbake"), "env": "DUCKDB"}
    path = sandbox.scaffold_component(component_cls=StarlakeProjectComponent, scaffold_params=given)
    written = yaml.safe_load((path / "defs.yaml").read_text())
    assert written["attributes"] == {
        "project": "{{ context.project_root }}/starbake",
        "env": "DUCKDB",
        "starlake": {"type": "duckdb"},
    }


@newest_only
def test_the_entry_point_is_registered():
    from importlib.metadata import entry_points

    found = entry_points(group="dagster_dg_cli.registry_modules")
    assert "starlake_dagster_assets" in {point.value for point in found}


@newest_only
@pytest.mark.parametrize("external", ["dependencies", "without_files"])
def test_assets_beside_the_component_define_what_it_reads(sandbox, dev, external):
    files = dg.AssetKey(["incoming", "starbake", "Orders"])

    @dg.asset(key=files)
    def download() -> None: ...

    with sandbox.load_component_and_build_defs(scaffold(sandbox, external=external)) as (_, defs):
        own = dg.Definitions(assets=[download])
        for parts in ((defs, own), (own, defs)):
            graph = dg.Definitions.merge(*parts).get_repository_def().asset_graph
            assert graph.get(files).is_materializable
            assert (files in graph.get(ORDERS).parent_keys) is (external == "dependencies")
