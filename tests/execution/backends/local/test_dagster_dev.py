"""A real webserver, daemon and run worker: what is left of a Starlake process when its run ends before it does."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.conformance.stand_in_program import is_alive
from tests.fakes.script import descendants

ROOT = Path(__file__).resolve().parents[4]
DEFINITIONS = """
import os
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.resources import StarlakeShell

names = ("SCRIPTED_STARLAKE", "SCRIPTED_EMBEDDED")
defs = build_definitions(
    StarlakeProject({root!r}, cache_dir={cache!r}),
    starlake=StarlakeShell(starlake={path!r}, env={{name: os.environ[name] for name in names}}, grace=2.0),
)
"""
WORKSPACE = "load_from: [{python_file: {relative_path: definitions.py, location_name: starbake}}]\n"

pytestmark = pytest.mark.slow


def server_class() -> Any:
    spec = importlib.util.spec_from_file_location("shell_dagster_dev", ROOT / "tests" / "system" / "dagster_dev.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.DagsterDev


@pytest.fixture
def server(bench: Any, tmp_path: Path) -> Iterator[Any]:
    bench.project(["a", "b"])
    work = tmp_path / "dev"
    (work / "home").mkdir(parents=True)
    cache, path = str(tmp_path / "cache"), str(bench.scripted.path)
    (work / "definitions.py").write_text(DEFINITIONS.format(root=str(bench.root), cache=cache, path=path))
    (work / "workspace.yaml").write_text(WORKSPACE)
    environ = {
        **os.environ,
        **bench.scripted.environ,
        "DAGSTER_HOME": str(work / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    running = server_class()(work, environ)
    yield running
    running.stop()


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("not seen within a minute")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_nothing_is_left_of_a_run_that_is_cancelled_or_killed(server: Any, bench: Any) -> None:
    bench.scripted.tables({"sales.a": {"do": "load"}, "sales.b": {"do": "hang"}})
    run = server.launch(["sales/a", "sales/b"])
    server.said(run, "as table sales.b")
    _, events = server.run(run)
    assert [e["assetKey"]["path"] for e in events if e["__typename"] == "MaterializationEvent"] == [["sales", "a"]]
    (program,) = [call.pid for call in bench.scripted.calls("load")]
    supervisor = parent(parent(program))
    tree = {supervisor, *descendants(supervisor)}
    server.terminate(run)
    status, events = server.ended(run)
    assert status == "CANCELED"
    assert not any(is_alive(pid) for pid in tree)
    assert bench.scripted.calls("load")[0].signals[0] == signal.SIGINT

    bench.scripted.tables({"sales.a": {"do": "hang"}})
    server.said(server.launch(["sales/a"]), "as table sales.a")
    program = bench.scripted.calls("load")[-1].pid
    supervisor = parent(parent(program))
    tree = {supervisor, *descendants(supervisor)}
    os.kill(parent(supervisor), signal.SIGKILL)  # as the kernel does when memory runs out
    until(lambda: not any(is_alive(pid) for pid in tree))
