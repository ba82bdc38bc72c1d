"""What assets look like before they ever ran."""

import re
from collections.abc import Sequence

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import (
    LineageSettings,
    StarlakeAutomation,
    StarlakeTranslator,
    build_definitions,
    build_starlake_assets,
)
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.dagster_assets.specs.names import group_name, key_part, output_name, tags_of
from starlake_dagster_assets.dagster_assets.steps.grouping import FEW
from starlake_dagster_assets.errors import ProjectError, SelectionError
from starlake_dagster_assets.execution.expectation_checks import RESERVED, named_expectations
from starlake_dagster_assets.project.model.project import Acl, Attribute, Metadata, Sink, WriteStrategy
from starlake_dagster_assets.testing import fake_starlake


def specs(source, translator=None):
    return (translator or StarlakeTranslator()).bound_to(source).specs()


def test_a_loaded_table(make):
    table = make.table(
        "orders",
        final_domain="gold",
        final_name="commandes",
        comment="All orders.",
        primary_key=("id",),
        tags=("pii", "team=données", "owner=ana@bakery.com", "owner=team:data", "owner=nonsense"),
        acl=(Acl(role="r", grants=("user:bob@bakery.com", "group:everyone")),),
        cron="0 2 * * *",
        metadata=Metadata(directory="/in/sales", write_strategy=WriteStrategy(type="UPSERT_BY_KEY", key=("id",))),
        attributes=(
            Attribute(name="id", type="long", required=True, comment="The key."),
            Attribute(name="mail", rename="email", privacy="sha256"),
            Attribute(name="tmp", ignore=True),
            Attribute(name="lines", array=True, attributes=(Attribute(name="qty", type="int"),)),
        ),
    )
    spec = specs(make.source([table]))["gold.commandes"]
    assert spec.key == dg.AssetKey(["gold", "commandes"])
    assert spec.group_name == "gold" and spec.skippable
    assert spec.kinds == {"starlake", "duckdb", "table"}
    assert set(spec.owners) == {"ana@bakery.com", "team:data", "bob@bakery.com"}
    assert {k: v for k, v in spec.tags.items() if not k.startswith("dagster/")} == {"pii": "", "team": "donnees"}
    assert spec.description == "All orders."
    assert spec.code_version == "digest-of-sales-"
    assert [dep.asset_key.path[0] for dep in spec.deps] == ["incoming"]
    metadata = spec.metadata
    assert metadata["starlake/raw"] == "sales.orders"
    assert metadata["dagster/table_name"] == "gold.commandes"
    assert metadata["dagster/storage_kind"] == "duckdb"
    assert metadata["starlake/write_strategy"] == "UPSERT_BY_KEY: replaces rows with the same id, adds the others"
    columns = {column.name: column for column in metadata["dagster/column_schema"].columns}
    assert list(columns) == ["id", "email", "lines"]
    assert not columns["id"].constraints.nullable and columns["id"].constraints.unique
    assert columns["id"].description == "The key."
    assert columns["email"].constraints.other == ["privacy sha256"]
    assert columns["lines"].type == "array<struct<qty: int>>"
    (reference,) = metadata["dagster/code_references"].code_references
    assert (reference.file_path, reference.line_number) == ("/project/metadata/load/sales/orders.sl.yml", 3)


def test_a_task_and_a_view(make):
    source = make.source(
        tasks=[
            make.task("revenue", sql="select 1 as a", source_sql="select {{ x }} as a", comment="Money."),
            make.task("seen", ["kpi.revenue"], sink=Sink(materialized_view="VIEW")),
        ]
    )
    found = specs(source)
    assert found["kpi.revenue"].description == "Money.\n\n```sql\nselect {{ x }} as a\n```"
    assert found["kpi.revenue"].kinds == {"starlake", "duckdb", "task"}
    assert found["kpi.seen"].kinds == {"starlake", "duckdb", "view"}
    assert [dep.asset_key for dep in found["kpi.seen"].deps] == [dg.AssetKey(["kpi", "revenue"])]
    files = [r.file_path for r in found["kpi.revenue"].metadata["dagster/code_references"].code_references]
    assert files == ["/project/metadata/transform/kpi/revenue.sl.yml", "/project/metadata/transform/kpi/revenue.sql"]


def test_incoming_files_are_external(make):
    source = make.source([make.table("orders")])
    spec = specs(source)["incoming.sales.orders"]
    assert spec.kinds == {"file", "csv"} and spec.group_name == "sales"
    assert spec.metadata["starlake/pattern"] == "orders.*.csv"
    assert spec.metadata["starlake/directory"] == "/in/sales"
    assert spec.code_version is None


def test_hooks_and_the_whole_spec_can_be_replaced(sales):
    class Mine(StarlakeTranslator):
        def get_group_name(self, node):
            return "mine"

        def get_extra_deps(self, node):
            return [dg.AssetDep("elsewhere")] if node.kind == "table" else []

        def get_asset_spec(self, node):
            spec = super().get_asset_spec(node)
            return spec.replace_attributes(key=spec.key.with_prefix("lake"))

    mine = Mine()
    found = specs(sales, mine)
    assert {spec.group_name for spec in found.values()} == {"mine"}
    summary = found["kpi.summary"]
    assert {dep.asset_key.to_user_string() for dep in summary.deps} == {"lake/kpi/people", "lake/kpi/revenue"}
    assert dg.AssetKey("elsewhere") in {dep.asset_key for dep in found["sales.orders"].deps}
    (assets,) = build_starlake_assets(sales, translator=mine)
    assert dg.AssetKey(["lake", "kpi", "summary"]) in assets.keys
    assert all(check.asset_key.path[0] == "lake" for check in assets.check_specs)
    with pytest.raises(Exception, match="no project yet"):
        mine.graph  # noqa: B018 - the translator given by the user was not touched


def test_two_tables_that_become_one_asset_are_refused_with_both_files(make):
    source = make.source([make.table("a-b"), make.table("a_b")])
    with pytest.raises(ProjectError) as error:
        build_starlake_assets(source)
    assert "a-b.sl.yml" in str(error.value) and "a_b.sl.yml" in str(error.value)


def test_names_that_meet_those_of_checks(make):
    source = make.source([make.table("orders"), make.table("orders_rejected_rows"), make.table("orders_schema_drift")])
    (assets,) = build_starlake_assets(source)
    names = [output_name(key) for key in assets.keys]
    names += [f"{output_name(check.asset_key)}_{check.name}" for check in assets.check_specs]
    assert len(set(names)) == len(names) == 3 + 3 * len(RESERVED)
    assert dg.Definitions(assets=[assets], resources={"starlake": fake_starlake()}).get_repository_def()


def test_expectations_have_valid_unique_names(make):
    table = make.table(
        "t",
        expectations=tuple(
            make.expectation(expect=text) for text in ("a('x')", 'a("x")', "é", "rejected_rows", "a" * 200, "A('x')")
        ),
    )
    source = make.source([table], expectations=make.settings(fail_on_error=True))
    named = named_expectations(source.graph.nodes["sales.t"], source.model.application)
    names = [item.name for item in named]
    assert names[:4] == ["a_x", "a_x_2", "expectation", "rejected_rows_2"]
    assert len({name.lower() for name in names}) == 6
    assert all(item.blocking for item in named)
    off = make.source([table], expectations=make.settings(active=False))
    assert named_expectations(off.graph.nodes["sales.t"], off.model.application) == ()


def test_an_item_decides_before_the_application(make):
    table = make.table(
        "t",
        expectations=(
            make.expectation(expect="a", fail_on_error=True),
            make.expectation(expect="b", fail_on_error=False),
            make.expectation(expect="c"),
        ),
    )
    for default in (True, False):
        source = make.source([table], expectations=make.settings(fail_on_error=default))
        named = named_expectations(source.graph.nodes["sales.t"], source.model.application)
        assert [item.blocking for item in named] == [True, False, default]


def test_the_steps_of_a_project(sales):
    names = {
        steps: [a.op.name for a in build_starlake_assets(sales, steps=steps)] for steps in ("project", "group", "task")
    }
    assert names["project"] == ["starlake_project"]
    assert names["group"] == ["starlake_project__load__sales", "starlake_project__transform__kpi"]
    assert sorted(names["task"]) == [
        "starlake_project__load__sales",
        *(f"starlake_project__transform__kpi_{task}" for task in ("people", "revenue", "summary")),
    ]


def test_few_assets_are_one_step_by_default_and_many_a_step_a_group(make):
    def names(tables: int) -> list[str]:
        source = make.source([make.table(f"t{n}", domain=f"d{n % 2}") for n in range(tables)])
        return sorted(a.op.name for a in build_starlake_assets(source))

    assert names(FEW) == ["starlake_project"]
    assert names(FEW + 1) == ["starlake_project__load__d0", "starlake_project__load__d1"]


def test_many_assets_are_a_step_a_job_where_jobs_are_known(make):
    """A job goes on as it would in one step: what one of its tables lacks stops exactly what reads that table."""
    tables = [make.table(f"t{n}", domain=f"d{n % 2}") for n in range(FEW)]
    tasks = [make.task("a", ["d0.t0"]), make.task("b", ["kpi.a"], domain="other")]
    follows = StarlakeAutomation(lineage=LineageSettings(run_dependencies_first=True))
    for source, automation in ((make.source(tables, tasks), None), (make.source(tables, tasks), follows)):
        triggers = build_triggers(source, automation)
        assets = build_starlake_assets(source, translator=StarlakeTranslator().bound_to(source, triggers))
        jobs = {node: trigger.job for node, trigger in triggers.triggers.items()}
        made = [{jobs[key.to_user_string().replace("/", ".")] for key in asset.keys} for asset in assets]
        assert all(len(one) == 1 for one in made)
        assert len(made) == len({job for one in made for job in one}) > 1
        dg.Definitions.validate_loadable(build_definitions(source, automation=automation))


def test_a_selection_of_nothing_is_refused(sales):
    with pytest.raises(SelectionError):
        build_starlake_assets(sales, select="domain:sales", exclude="*")


def test_a_long_chain_needs_no_recursion(make):
    tasks = [make.task(f"t{n:04}", [f"kpi.t{n - 1:04}"] if n else []) for n in range(1500)]
    assert len(specs(make.source(tasks=tasks))) == 1500


@settings(max_examples=80, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_any_name_becomes_one_that_dagster_accepts(text):
    spec = dg.AssetSpec(
        dg.AssetKey([key_part(text), key_part(text)]), group_name=group_name(text), tags=tags_of([text, f"k={text}"])
    )
    assert re.fullmatch(r"[A-Za-z0-9_]+", output_name(spec.key))


def test_columns_that_tables_have_in_common_are_made_once():
    from starlake_dagster_assets.dagster_assets.specs.metadata import described_schema
    from starlake_dagster_assets.graph.model import Node
    from starlake_dagster_assets.project.model.project import Attribute, ExternalTable, Location

    def columns(name: str) -> Sequence[dg.TableColumn]:
        made = (Attribute(name="id", required=True), Attribute(name=f"of_{name}"))
        table = ExternalTable(domain="d", name=name, attributes=made, location=Location(file=f"{name}.sl.yml"))
        schema = described_schema(Node(f"d.{name}", "external", "", ("d", name), external=table))
        assert schema is not None
        return schema.columns

    one, other = columns("a"), columns("b")
    assert one[0] is other[0] and not one[0].constraints.nullable
    assert [column.name for column in (*one, *other)] == ["id", "of_a", "id", "of_b"]
