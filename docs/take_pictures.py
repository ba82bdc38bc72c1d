"""Takes the pictures of the documentation from the real Dagster UI.

Usage, from the repository root (needs Chromium):

    make install && uv run --with playwright --with pillow python docs/take_pictures.py [--only lineage]

On a copy of the example, with its sensors switched on: materializes the files of the first day, starts `dagster dev`,
delivers those of the second day, and waits until the sensors have loaded them and updated everything downstream. Then
does the same with the schedules of the project. Writes docs/images/*.png.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WORK = Path(tempfile.gettempdir()) / "bakery"  # visible in some pictures
WIDTH = 1440
IMPORT = "import dagster as dg"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
SENSORS = 'automation=StarlakeAutomation(pre_load="imported", schedules=False)'


def main() -> None:
    """Runs the example, opens its pages and takes a picture of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="path of the browser")
    parser.add_argument("--only", action="append", help="names of pictures; all by default")
    arguments = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT / "example_project", WORK, ignore=shutil.ignore_patterns("datasets"))
    try:
        with _browser(arguments.chromium) as browser:
            _all(Camera(browser, arguments.only))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _all(camera: Camera) -> None:
    environment = _environment()
    _python(environment, "deliver.py", "--day", "1")
    camera.terminal("command-line", environment, ["starlake-dagster", "run", "starbake", "--env", "DUCKDB"])
    _graph(camera, environment)
    _python(environment, "deliver.py", "--reset", "--day", "1")
    _python(environment, "-m", "dagster", "asset", "materialize", "--select", "*", "-f", "definitions.py")
    definitions = WORK / "definitions.py"
    text = definitions.read_text()
    assert SENSORS in text
    files = 'PreLoadSettings(strategy="imported", stable_for=45)'  # longer than a tick: one tick sees new files
    sensors = f'automation=StarlakeAutomation(pre_load={files}, schedules=False, status="RUNNING")'
    definitions.write_text(_with_import(text.replace(SENSORS, sensors), "PreLoadSettings"))
    with _server(environment) as base:
        _python(environment, "deliver.py", "--day", "2")
        _until_quiet(base)
        _assets(camera, base)
        _sensors(camera, base)
    days = 'ScheduleSettings(start_date="2025-03-05", end_date="2025-03-17")'
    schedules = f'automation=StarlakeAutomation(partitions="cron", schedules={days}, status="RUNNING")'
    definitions.write_text(_with_import(text.replace(SENSORS, schedules), "ScheduleSettings"))
    for day in ("2025-03-09", "2025-03-10"):
        select = ("--select", "kpi/daily_revenue", "--partition", day, "-f", "definitions.py")
        _python(environment, "-m", "dagster", "asset", "materialize", *select)
    with _server(environment) as base:
        _schedules(camera, base)


def _with_import(text: str, name: str) -> str:
    return text.replace(IMPORT, f"{IMPORT}\nfrom starlake_dagster_assets import {name}")


# ------------------------------------------------------------------------------------------------------------ pages


def _assets(camera: Camera, base: str) -> None:
    lifetime = f"{base}/assets/Customers/CustomerLifeTimeValue"
    camera.page("lineage", f"{base}/asset-groups", 1340, _expand_groups, width=1600)
    camera.page("asset-orders", f"{base}/assets/starbake/Orders?view=overview", 1150, shows="order_date")
    camera.page(
        "asset-checks",
        f"{base}/assets/starbake/Orders?view=checks&checkDetail=rejected_rows",
        620,
        shows="starlake/rows_rejected",
    )
    orphans = f"{base}/assets/Customers/OrdersWithoutCustomer?view=checks"
    camera.page("failing-rows", orphans, 620, _failing_rows, shows="starlake/failing_rows")
    camera.page("asset-events", f"{base}/assets/starbake/Orders?view=events", 760, shows="dagster/row_count")
    camera.page("asset-transform", f"{lifetime}?view=overview", 1000, shows="spending_rank")


def _sensors(camera: Camera, base: str) -> None:
    path = f"{base}/locations/starbake/sensors/load_starbake_files_arrival"
    camera.page("sensor-tick", path, 430, _tick_with_new_files, shows="0 runs requested")
    runs = _ask(base, "{ runsOrError { ... on Runs { results { runId jobName tags { key value } } } } }")
    started = [
        run["runId"]
        for run in runs["runsOrError"]["results"]
        if run["jobName"] == "load_starbake_files" and any(tag["key"] == "dagster/sensor_name" for tag in run["tags"])
    ]
    camera.page("run", f"{base}/runs/{started[0]}", 860, shows="RUN_SUCCESS")


def _failing_rows(page: Any) -> None:
    page.get_by_text("[Show Markdown]").first.click()
    page.wait_for_timeout(1500)


def _expand_groups(page: Any) -> None:
    page.mouse.click(900, 900, button="right")
    page.get_by_role("menuitem", name="Expand all groups").click()
    page.mouse.move(800, 20)
    page.wait_for_timeout(8000)


def _tick_with_new_files(page: Any) -> None:
    """Opens the oldest tick that found new files: it waited until they were complete."""
    ticks = page.get_by_text("0 runs requested")
    for index in reversed(range(ticks.count())):
        ticks.nth(index).click()
        page.wait_for_timeout(1500)
        if page.get_by_text("are new or still changing").count():
            return
        page.reload()
        ticks.first.wait_for(timeout=90_000)
        page.wait_for_timeout(3000)
    raise SystemExit("no tick has found new files")


def _schedules(camera: Camera, base: str) -> None:
    camera.page("automation", f"{base}/automation", 680, shows="transform_kpi_lineage")
    camera.page(
        "schedule", f"{base}/locations/starbake/schedules/transform_kpi_daily_schedule", 440, shows="Execution timezone"
    )
    days = f"{base}/assets/kpi/daily_revenue?view=partitions&partition=2025-03-10"
    camera.page("partitions", days, 620, shows="dagster/partition_row_count")


def _graph(camera: Camera, environment: dict[str, str]) -> None:
    made = ["starlake-dagster", "graph", "starbake", "--env", "DUCKDB", "--files", "--format", "html"]
    subprocess.run([*made, "--out", "graph.html"], cwd=WORK, env=environment, check=True)
    camera.page("graph", f"file://{WORK}/graph.html", 250, lambda page: page.mouse.click(700, 115), width=1600)


# --------------------------------------------------------------------------------------------------------- machinery


class Camera:
    """Takes pictures of pages."""

    def __init__(self, browser: Any, only: list[str] | None) -> None:
        self._browser = browser
        self._only = only

    def page(
        self,
        name: str,
        url: str,
        height: int,
        prepare: Callable[[Any], None] | None = None,
        *,
        width: int = WIDTH,
        shows: str = "",
    ) -> None:
        """Takes a picture of a page, once it has loaded.

        Args:
            name: Of the file.
            url: The address.
            height: Of the window, in pixels.
            prepare: Called with the page before the picture is taken.
            width: Of the window, in pixels.
            shows: A text that is on the page once it has loaded.
        """
        if self._only and name not in self._only:
            return
        page = self._browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        page.wait_for_load_state("networkidle")
        if shows:
            page.get_by_text(shows).first.wait_for(timeout=90_000)
        page.wait_for_timeout(5000)
        if prepare is not None:
            prepare(page)
        path = IMAGES / f"{name}.png"
        page.screenshot(path=str(path))
        page.close()
        _shrink(path)

    def terminal(self, name: str, environment: dict[str, str], command: list[str]) -> None:
        """Takes a picture of the output of a command on a terminal."""
        if self._only and name not in self._only:
            return
        from rich.console import Console
        from rich.terminal_theme import DIMMED_MONOKAI
        from rich.text import Text

        printed = _on_a_terminal(environment, command)
        console = Console(record=True, width=110, file=io.StringIO())
        console.print(Text.from_ansi(f"$ {' '.join(command)}\n{printed}"))
        html = WORK / "terminal.html"
        html.write_text(console.export_html(theme=DIMMED_MONOKAI, inline_styles=True))
        self.page(name, f"file://{html}", 19 * (printed.count("\n") + 3))


def _on_a_terminal(environment: dict[str, str], command: list[str]) -> str:
    """Returns the text on the screen after a command has ended."""
    ours, theirs = pty.openpty()
    environment = {**environment, "COLUMNS": "110", "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, cwd=WORK, env=environment, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    read = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        read += more
    process.wait()
    shown = read.decode().replace("\r\n", "\n")
    return shown.rpartition("\x1b[2K")[2].replace("\x1b[?25h", "").lstrip("\r\n")


def _shrink(path: Path) -> None:
    """Reduces the number of colors, which saves two thirds of the bytes without a visible difference."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


@contextmanager
def _browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def _server(environment: dict[str, str]) -> Iterator[str]:
    """Starts `dagster dev`, and yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (WORK / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: definitions.py, location_name: starbake}\n"
    )
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
    server = subprocess.Popen(command, cwd=WORK, env=environment, start_new_session=True)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{base}/server_info", server)
        yield base
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # on a busy machine the webserver can miss the signal
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _environment() -> dict[str, str]:
    home = WORK / "dagster_home"
    home.mkdir()
    shutil.copy(WORK / "dagster.yaml", home)
    scripts = ROOT / ".venv" / "bin"
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "DAGSTER_HOME": str(home), "PATH": path, "DAGSTER_DISABLE_TELEMETRY": "1"}


def _python(environment: dict[str, str], *args: str) -> None:
    subprocess.run([sys.executable, *args], cwd=WORK, env=environment, check=True)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit("dagster dev ended before it answered")
        try:
            urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"{url} did not answer within three minutes")


def _ask(base: str, query: str) -> dict[str, Any]:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{base}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def _until_quiet(base: str) -> None:
    """Waits until the sensors start no more runs: none is in progress, and none begins for two ticks."""
    deadline, quiet_since = time.monotonic() + 900, time.monotonic()
    while time.monotonic() < deadline:
        runs = _ask(base, "{ runsOrError { ... on Runs { results { status tags { key value } } } } }")
        found = runs["runsOrError"]["results"]
        by_sensor = [run for run in found if any(tag["key"] == "dagster/sensor_name" for tag in run["tags"])]
        if len(by_sensor) < 3 or any(run["status"] not in ("SUCCESS", "FAILURE") for run in found):
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since > 45:
            return
        time.sleep(3)


if __name__ == "__main__":
    main()
