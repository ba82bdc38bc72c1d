"""As a newcomer would: open the UI, find the asset, materialize it, see it green with its rows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.system.conftest import ROOT, copy_of_the_example
from tests.system.dagster_dev import DagsterDev

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
TALL = {"width": 1600, "height": 1800}  # all assets of the catalog without scrolling
PATIENCE = 90_000.0  # milliseconds for what the page is to show; the run itself is awaited by GraphQL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.newest_only,  # the pages of the oldest Dagster are others
    pytest.mark.timeout(600),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    environ = copy_of_the_example(tmp_path)
    incoming = tmp_path / "example_project" / "starbake" / "datasets" / "incoming"
    shutil.copytree(ROOT / "example_project" / "deliveries" / "day1", incoming)
    running = DagsterDev(tmp_path, environ)
    yield running
    running.stop()


@pytest.fixture
def page(server: Any, tmp_path: Path) -> Iterator[Any]:
    """A page of the UI; what it showed last is kept as a picture beside the test's files."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS, timeout=PATIENCE)
        except playwright.Error as error:
            pytest.skip(f"{BROWSER} does not start here: {error}")
        shown = browser.new_page(base_url=server.url, viewport=TALL)
        shown.set_default_timeout(PATIENCE)
        yield shown
        shown.screenshot(path=tmp_path / "last_page.png")
        print(f"{tmp_path / 'last_page.png'} shows the page; its text:\n{shown.locator('body').inner_text()}")
        browser.close()


def status(page: Any, title: str) -> Any:
    """What the overview of an asset says below a title of its section Status."""
    return page.get_by_text(title, exact=True).locator("xpath=..")


def green(part: Any, text: re.Pattern[str]) -> None:
    """Waits until a part of the page shows a text in green, as the UI shows what went well."""
    part.locator('[style*="green"]').filter(has_text=text).first.wait_for()


def test_an_asset_is_found_materialized_and_green_with_its_rows(server, page, tmp_path):
    server.loaded("starbake/Products")
    page.goto("/")
    page.locator('a[href="/assets"]').first.click()  # Catalog
    page.locator('a[href="/assets/starbake/Products"]').first.click()
    # The icon is a part of the button's accessible name: its text is what a person reads.
    button = page.get_by_role("button").filter(has_text=re.compile("^Materialize$"))
    button.click()
    outcome, events = server.ended(server.newest_run())
    assert outcome == "SUCCESS", events[-5:]
    datasets = tmp_path / "example_project" / "starbake" / "datasets"
    with duckdb.connect(str(datasets / "duckdb.db"), read_only=True) as con:
        (rows,) = con.execute("select count(*) from starbake.Products").fetchone()
    assert rows == 12
    page.reload()
    status(page, "Row count").get_by_text(str(rows), exact=True).wait_for()
    green(status(page, "Latest materialization"), re.compile(r"\b(ago|now|seconds?)\b"))
    green(status(page, "Latest check results"), re.compile("^5$"))
