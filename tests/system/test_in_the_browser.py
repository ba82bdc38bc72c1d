"""As a newcomer would: open the UI, find the asset, materialize it, see it green with its rows."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PATIENCE = 150_000.0  # milliseconds, for the run as for a page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.newest_only,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def beside(name: str):
    """A module of this directory: tests are not a package."""
    spec = importlib.util.spec_from_file_location(f"starbake_browser_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_an_asset_is_found_materialized_and_green_with_its_rows(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    server = beside("dagster_dev").DagsterDev(tmp_path, beside("conftest").copy_of_the_example(tmp_path))
    datasets = tmp_path / "example_project" / "starbake" / "datasets"
    shutil.copytree(ROOT / "example_project" / "deliveries" / "day1", datasets / "incoming")
    try:
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
            page = browser.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"{server._url}/assets")
            page.get_by_role("link", name=re.compile("starbake")).first.wait_for()
            page.goto(f"{server._url}/assets/starbake/Products?view=overview")
            page.get_by_role("button", name=re.compile("^Materialize")).first.click()
            page.get_by_text("Row count", exact=True).wait_for()
            with duckdb.connect(str(datasets / "duckdb.db"), read_only=True) as con:
                (rows,) = con.execute("select count(*) from starbake.Products").fetchone()
            page.get_by_text(str(rows), exact=True).first.wait_for()
            page.get_by_text(re.compile("seconds? ago|minutes? ago")).first.wait_for()
            browser.close()
    finally:
        server.stop()
