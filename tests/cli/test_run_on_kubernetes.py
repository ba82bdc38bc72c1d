"""`starlake-dagster run --environment kubernetes`: a real process against a local API server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.subject import write_project
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.script import Scripted

pytest.importorskip("dagster_k8s")
ROOT = Path(__file__).resolve().parents[2]
TAGS = "tags: ['kubernetes_memory=16Gi', 'spark_executor_memory=8g']"


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "scripted")


@pytest.fixture
def server(scripted: Scripted) -> Iterator[FakeKubernetes]:
    with FakeKubernetes([str(scripted.path)], scripted.environ) as running:
        yield running


@pytest.fixture
def started(tmp_path: Path, server: FakeKubernetes) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    project = write_project(tmp_path / "project")
    table = project / "metadata" / "load" / "sales" / "orders.sl.yml"
    table.write_text(f"{table.read_text().rstrip()}\n  {TAGS}\n")
    fields = {
        "image": "starlake:1.6.0",
        "kubeconfig_file": server.kubeconfig(tmp_path),
        "poll_interval": "0.05",
        "log_settle": "1",
    }
    argv = ["run", str(project), "--environment", "kubernetes"]
    argv += [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    processes: list[subprocess.Popen[str]] = []

    def start(interrupt: str = "default_int_handler") -> subprocess.Popen[str]:
        main = f"import signal; signal.signal(signal.SIGINT, signal.{interrupt})\n"
        main += "from starlake_dagster_assets.cli import main; main()"
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-c", main, *argv], cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_settings_of_a_table_in_its_tags_have_an_effect(
    started: Callable[..., subprocess.Popen[str]], scripted: Scripted, server: FakeKubernetes
):
    scripted.tables({f"sales.{name}": {"do": "load", "rows": 1} for name in ("orders", "customers")})
    process = started()
    output, errors = process.communicate()
    containers = {}
    for job in server.jobs.values():
        (container,) = job["spec"]["template"]["spec"]["containers"]
        (name,) = [one for one in ("orders", "customers") if one in container["args"]]
        variables = {one["name"]: one.get("value", "") for one in container["env"]}
        containers[name] = (container.get("resources"), variables.get("SPARK_CONF_OPTIONS"))
    memory = {"requests": {"memory": "16Gi"}, "limits": {"memory": "16Gi"}}
    assert containers == {
        "orders": (memory, "--conf spark.executor.memory=8g"),
        "customers": ({}, None),
    }, (output, errors)


@pytest.mark.parametrize(
    ("number", "interrupt", "code"),
    [
        (signal.SIGTERM, "default_int_handler", 143),
        (signal.SIGTERM, "SIG_IGN", 143),  # in the background of a shell script
        (signal.SIGINT, "default_int_handler", 130),
    ],
)
def test_a_signal_deletes_the_job(
    started: Callable[..., subprocess.Popen[str]],
    scripted: Scripted,
    server: FakeKubernetes,
    number: int,
    interrupt: str,
    code: int,
):
    scripted.tables({f"sales.{name}": {"do": "hang"} for name in ("orders", "customers")})
    process = started(interrupt)
    while not scripted.calls("load"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == code, (output, errors)
    assert server.jobs == {}
    assert "Traceback" not in errors and "internal error" not in errors
