"""A load of several files of which one fails: rows that are in the table reach what reads it."""

import dagster as dg

import starlake_dagster_assets as sda
from starlake_dagster_assets.execution.load_files import LoadFiles
from tests.dagster_assets.conftest import make_table
from tests.dagster_features import projects


def test_rows_of_the_other_files_are_an_update_of_the_table(tmp_path):
    files = {name: text for name, text in projects.SALES.items() if "by_day" not in name and "incoming" not in name}
    files |= {
        "incoming/sales/orders_1.csv": "id,day\nnone,2025-03-01\n",
        "incoming/sales/orders_2.csv": "id,day\n2,2025-03-01\n",
    }
    root = projects.write(tmp_path / "sales", files)
    defs = sda.build_definitions(str(root), starlake=sda.StarlakeDuckDB())
    orders = dg.AssetKey(["sales", "orders"])
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.get_repository_def().get_job("__ASSET_JOB")
        done = job.execute_in_process(instance=instance, asset_selection=[orders], raise_on_error=False)
        assert not done.success
        (event,) = done.get_asset_materialization_events()
        metadata = event.materialization.metadata
        assert metadata["starlake/rows_accepted"].value == 1
        assert "another file failed: " in metadata["starlake/warning"].value
        assert "no row of orders_1.csv is accepted (1 rejected)" in metadata["starlake/warning"].value
        again = job.execute_in_process(instance=instance, asset_selection=[orders], raise_on_error=False)
        assert not again.get_asset_materialization_events(), "the file that fails has no rows"


def test_a_file_that_was_archived_since_is_not_missing():
    class Reader:
        failure = ""

        def list_files(self, area, domain):
            return {}

        def archived(self, domain, names):
            return {name: "5\0" for name in names if name == "a1.csv"}

    table = make_table("a")
    files = LoadFiles(Reader(), [table], [table], archives=True)
    assert files.still_missing(["a1.csv", "a2.csv"]) == ["a2.csv"]
