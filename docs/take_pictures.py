"""Takes the pictures of the documentation from the real Dagster UI.

Usage, from the repository root (needs Chromium):

    make install && uv run --with playwright python docs/take_pictures.py [--chromium /usr/bin/chromium]

Starts `dagster dev` on a copy of the example project in a temporary directory, materializes everything for two days
of deliveries, and writes docs/images/*.png.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1600, "height": 1000}
TALL = {"width": 1600, "height": 1700}
TALL_PAGES = ("lineage", "asset-orders")


def main() -> None:
    """Runs the example, opens its pages one after the other and keeps a picture of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="path of the browser")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starbake-") as directory:
        work = Path(directory)
        shutil.copytree(ROOT / "example_project", work / "example_project", ignore=shutil.ignore_patterns("datasets"))
        shutil.copy(ROOT / "workspace.yaml", work)
        environment = _environment(work)
        for day in ("1", "2"):
            _python(work, environment, "example_project/deliver.py", "--day", day)
            select_all = ("asset", "materialize", "--select", "*", "-f", "example_project/definitions.py")
            _python(work, environment, "-m", "dagster", *select_all)
        port = _free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)],
            cwd=work,
            env=environment,
            start_new_session=True,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/server_info", server)
            _pictures(f"http://127.0.0.1:{port}", arguments.chromium)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


def _environment(work: Path) -> dict[str, str]:
    home = work / "dagster_home"
    home.mkdir()
    shutil.copy(work / "example_project" / "dagster.yaml", home)
    scripts = Path(sys.executable).parent
    return {**os.environ, "DAGSTER_HOME": str(home), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def _python(work: Path, environment: dict[str, str], *args: str) -> None:
    subprocess.run([sys.executable, *args], cwd=work, env=environment, check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit("dagster dev ended before it answered")
        try:
            urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"{url} did not answer within two minutes")


def _pictures(base: str, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    pages = {
        "lineage": "/asset-groups",
        "catalog": "/assets",
        "asset-orders": "/assets/starbake/Orders?view=overview",
        "asset-checks": "/assets/starbake/Customers?view=checks",
        "asset-events": "/assets/starbake/Orders?view=events",
        "asset-transform": "/assets/Customers/CustomerLifeTimeValue?view=overview",
        "asset-lineage": "/assets/Customers/CustomerLifeTimeValue?view=lineage",
    }
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport=SIZE)
        for name, path in pages.items():
            page.set_viewport_size(TALL if name in TALL_PAGES else SIZE)
            page.goto(base + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(5000)
            if name == "lineage":
                _expand_groups(page)
            page.screenshot(path=str(IMAGES / f"{name}.png"))
        page.set_viewport_size(SIZE)
        page.goto(base + "/assets/Customers/OrdersWithoutCustomer?view=checks")
        page.get_by_text("[Show Markdown]").first.click()
        page.wait_for_timeout(1500)
        page.screenshot(path=str(IMAGES / "failing-rows.png"))
        page.goto(base + "/runs")
        page.wait_for_load_state("networkidle")
        page.locator("a[href*='/runs/']").first.click()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(2500)
        page.screenshot(path=str(IMAGES / "run.png"))
        browser.close()


def _expand_groups(page: Any) -> None:
    """Opens all groups of the lineage graph by its context menu."""
    page.mouse.click(900, 900, button="right")
    page.get_by_role("menuitem", name="Expand all groups").click()
    page.wait_for_timeout(2500)


if __name__ == "__main__":
    main()
