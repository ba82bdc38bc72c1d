"""Rows shown in the UI: of tables where asked for, behind failed checks, and nothing private."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeDuckDB,
    StarlakeMetadata,
    StarlakeProject,
    StarlakeResource,
    starlake_assets,
)
from starlake_dagster_assets.dagster_assets.decorator import build_starlake_assets
from starlake_dagster_assets.dagster_assets.specs.row_previews import as_table

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"


def shown(*cells: str, hidden: str = "") -> str:
    columns = [f"c{number}" for number in range(len(cells))]
    return as_table(columns, [cells], lambda column: column != hidden).value.splitlines()[-1]


def test_a_value_cannot_leave_its_cell():
    assert shown("a|b", "<script>", "two\nlines") == "| a\\|b | \\<script\\> | two lines |"
    assert len(shown("x" * 10_000)) < 80


def test_a_column_that_is_not_shown_has_no_value():
    assert shown("secret", "open", hidden="c0") == "| *** | open |"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = shutil.copytree(EXAMPLE / "starbake", tmp_path / "starbake", ignore=shutil.ignore_patterns("datasets"))
    deliver(copy)
    return copy


def deliver(root: Path) -> None:
    shutil.copytree(EXAMPLE / "deliveries" / "day1", root / "datasets" / "incoming", dirs_exist_ok=True)


def rows_of(markdown: str) -> list[dict[str, str]]:
    head, _, *lines = [
        [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")] for line in markdown.splitlines()
    ]
    return [dict(zip(head, cells, strict=True)) for cells in lines]


def made(root: Path, select: str, **settings: Any) -> dg.ExecuteInProcessResult:
    assets = build_starlake_assets(StarlakeProject(root, env="DUCKDB"), select=select, **settings)
    return dg.materialize(assets, resources={"starlake": StarlakeDuckDB()}, raise_on_error=False)


def previews(result: dg.ExecuteInProcessResult) -> dict[str, list[dict[str, str]]]:
    events = [event.materialization for event in result.get_asset_materialization_events()]
    found = {event.asset_key.to_user_string(): event.metadata.get("starlake/preview") for event in events}
    return {key: rows_of(value.value) for key, value in found.items() if value is not None}


def checked(result: dg.ExecuteInProcessResult, asset: str, check: str) -> Any:
    (found,) = [
        one
        for one in result.get_asset_check_evaluations()
        if one.asset_key.to_user_string() == asset and one.check_name == check
    ]
    return found


def hidden(row: dict[str, str]) -> set[str]:
    return {name for name, cell in row.items() if cell == "***"}


def test_rows_of_a_load_are_shown_without_what_the_project_protects(root):
    @starlake_assets(project=StarlakeProject(root, env="DUCKDB"), select="starbake.Customers")
    def customers(context: dg.AssetExecutionContext, starlake: StarlakeResource):
        yield from starlake.run(context).fetch_preview(rows=2)

    result = dg.materialize([customers], resources={"starlake": StarlakeDuckDB()})
    rows = previews(result)["starbake/Customers"]
    assert len(rows) == 2
    assert all(hidden(row) == {"email", "phone"} for row in rows)
    assert all(row["city"] for row in rows)


def test_what_is_made_of_a_private_column_is_hidden_whatever_its_name(root):
    task = root / "metadata" / "transform" / "kpi"
    (task / "contacts.sql").write_text(
        "with known as (select email as contact, customer_id, city, now() as asked from starbake.Customers)\n"
        "select customer_id, upper(contact) as address, city, asked from known\n"
    )
    (task / "again.sql").write_text("select address as label, customer_id from kpi.contacts\n")
    for name in ("contacts", "again"):
        (task / f"{name}.sl.yml").write_text("version: 1\ntask:\n  writeStrategy:\n    type: OVERWRITE\n")
    found = previews(made(root, "kpi.again kpi.contacts starbake.Customers", metadata=StarlakeMetadata(preview=3)))
    assert hidden(found["kpi/contacts"][0]) == {"address"}  # `asked` is made of no column
    assert hidden(found["kpi/again"][0]) == {"label"}


def test_a_script_that_reads_a_private_column_is_private(root):
    table = root / "metadata" / "load" / "starbake" / "Customers.sl.yml"
    table.write_text(table.read_text().replace("concat(first_name, ' ', last_name)", "concat(first_name, email)"))
    found = previews(made(root, "starbake.Customers", metadata=StarlakeMetadata(preview=1)))
    assert hidden(found["starbake/Customers"][0]) == {"email", "phone", "full_name"}


def test_nothing_is_shown_unless_asked_for_nor_of_a_table_with_row_level_security(root):
    assert not previews(made(root, "starbake.Products"))
    table = root / "metadata" / "load" / "starbake" / "Products.sl.yml"
    table.write_text(
        table.read_text() + '  rls:\n    - name: "mine"\n      predicate: "true"\n      grants: ["user:a"]\n'
    )
    assert not previews(made(root, "starbake.Products", metadata=StarlakeMetadata(preview=5)))


BROKEN = {
    "where": ("expect_one_of('city', ['Nowhere'])", 5),
    "duplicates": ("expect_unique('city')", 5),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_failed_expectation_shows_rows_that_it_counted(root, case):
    expectation, most = BROKEN[case]
    table = root / "metadata" / "load" / "starbake" / "Customers.sl.yml"
    table.write_text(f'{table.read_text()}    - expect: "{expectation}"\n      failOnError: false\n')
    result = made(root, "starbake.Customers", metadata=StarlakeMetadata(samples=most))
    (name,) = {one.check_name for one in result.get_asset_check_evaluations() if "city" in one.check_name}
    failed = checked(result, "starbake/Customers", name)
    assert not failed.passed
    rows = rows_of(failed.metadata["starlake/failing_rows"].value)
    assert 0 < len(rows) <= most and all(hidden(row) == {"email", "phone"} for row in rows)
    if case == "duplicates":
        assert rows[0]["city"] == rows[1]["city"]
    deliver(root)
    quiet = made(root, "starbake.Customers", metadata=StarlakeMetadata(samples=0))
    assert "starlake/failing_rows" not in checked(quiet, "starbake/Customers", name).metadata


def test_refused_rows_are_shown_with_their_reason_and_their_file(root):
    result = made(root, "starbake.Customers")
    refused = checked(result, "starbake/Customers", "rejected_rows")
    rows = rows_of(refused.metadata["starlake/rejected_sample"].value)
    assert len(rows) == 3 and {row["file"] for row in rows} == {"customers_20250309.csv"}
    assert all(row["why"].startswith("`") for row in rows)
    deliver(root)
    again = checked(
        made(root, "starbake.Customers", metadata=StarlakeMetadata(samples=0)), "starbake/Customers", "rejected_rows"
    )
    assert not again.passed and "starlake/rejected_sample" not in again.metadata


def test_the_value_of_a_private_column_is_not_in_the_reason(root):
    application = root / "metadata" / "application.sl.yml"
    application.write_text(
        application.read_text().replace("application:\n", "application:\n  rejectWithValue: true\n", 1)
    )
    delivery = root / "datasets" / "incoming" / "starbake" / "customers_20250309.csv"
    head, row, *_ = delivery.read_text().splitlines()
    cells = dict(zip(head.split(";"), row.split(";"), strict=True))
    lines = [cells, {**cells, "email": "not an address"}, {**cells, "birth_date": "some day"}]
    delivery.write_text("\n".join([head, *(";".join(line.values()) for line in lines)]) + "\n")
    refused = checked(made(root, "starbake.Customers"), "starbake/Customers", "rejected_rows")
    told = refused.metadata["starlake/rejected_sample"].value
    assert "some day" in told and "not an address" not in told and "its value is private" in told
