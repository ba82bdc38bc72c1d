"""The program as a process: what it is given, what is read of it, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.commands.model import Command, Line
from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.conformance.stand_in_program import is_alive
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.local import pipe_reader as pump
from starlake_dagster_assets.execution.backends.local import shell
from starlake_dagster_assets.execution.backends.local.dagster_shell_launcher import launch_by_dagster_shell
from starlake_dagster_assets.execution.backends.local.pipe_reader import LONGEST, LineSplitter
from starlake_dagster_assets.execution.backends.local.program_launchers import launch
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
from tests.fakes.script import Scripted, descendants

ROOT = Path(__file__).resolve().parents[4]
LOAD = Command("load", ("--domains", "sales", "--tables", "orders"), job_id="job-1")
LAUNCHERS = pytest.mark.parametrize("launcher", [launch, launch_by_dagster_shell], ids=["process", "dagster_shell"])


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "scripted").tables({"sales.orders": {"do": "load"}})


def runner(scripted: Scripted, **settings: Any) -> ShellRunner:
    environ = {**os.environ, **scripted.environ, "SL_LOG_LEVEL": "info"}
    return ShellRunner(str(scripted.path), scripted.work, environ, **{"grace": 1.0, **settings})


def program(tmp_path: Path, text: str, **settings: Any) -> ShellRunner:
    """A runner of a program of this test."""
    path = tmp_path / "program"
    path.write_text(f"#!{sys.executable} -IS\nimport json, os, subprocess, sys, time\n{text}\n")
    path.chmod(0o755)
    return ShellRunner(str(path), tmp_path, **{"grace": 1.0, **settings})


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("not seen within 20 seconds")


# ---------------------------------------------------------------------------------------------------- what it is given


@LAUNCHERS
def test_arguments_arrive_as_they_are(tmp_path: Path, launcher: Any) -> None:
    odd = ("a b", "it's", 'say "hi"', "; touch x", "$(touch x)", "`touch x`", "a\nb", "", "*", "é", "--", "\\")
    run = program(tmp_path, "print(json.dumps(sys.argv[1:]))", launcher=launcher)
    handle = run.start(Command("transform", odd))
    (line,) = list(handle.lines())
    assert json.loads(line.text) == ["transform", *odd]
    assert line.stream == "stdout"
    assert not (tmp_path / "x").exists()


@LAUNCHERS
def test_environment_and_directory(scripted: Scripted, tmp_path: Path, launcher: Any) -> None:
    runner(scripted, cwd=tmp_path, launcher=launcher).start(LOAD).wait()
    (call,) = scripted.calls()
    assert call.cwd == str(tmp_path)
    assert call.env["SL_JOB_ID"] == "job-1"
    assert call.group != os.getpgrp()


@pytest.mark.parametrize(("deaths", "code"), [(2, 0), (9, 127)])
def test_a_shell_that_dies_before_it_has_begun_is_started_again(scripted: Scripted, deaths: int, code: int) -> None:
    # dagster_shell forks with a preexec_fn: fork handlers, such as gRPC's, run in the child and may end it
    doomed = [scripted.work / f"death-{number}" for number in range(deaths)]
    for path in doomed:
        path.touch()

    def die() -> None:
        for path in doomed:
            if path.exists():
                path.unlink()
                os._exit(134)

    os.register_at_fork(after_in_child=die)
    handle = runner(scripted, launcher=launch_by_dagster_shell).start(LOAD)
    said = [line.text for line in handle.lines()]
    assert handle.wait().exit_code == code
    assert len(scripted.calls()) == (code == 0)
    assert any("before it began" in line for line in said) == (code != 0)
    for path in doomed:
        path.unlink(missing_ok=True)


def test_stdin_is_empty(tmp_path: Path) -> None:
    handle = program(tmp_path, "print(len(sys.stdin.read()))").start(LOAD)
    assert [line.text for line in handle.lines()] == ["0"]


def test_the_command_may_have_its_old_name(scripted: Scripted) -> None:
    runner(scripted, stage_command="import").start(Command("stage", ("--domains", "sales"))).wait()
    assert scripted.calls()[0].argv == ("import", "--domains", "sales")


def test_variables_of_the_project_are_options_below_those_of_the_command(scripted: Scripted) -> None:
    run = runner(scripted, options={"a": "1", "b": "2"})
    run.start(Command("transform", ("--name", "kpi.x", "--options", "b=3"))).wait()
    run.start(LOAD).wait()
    first, second = scripted.calls()
    assert first.argv == ("transform", "--name", "kpi.x", "--options", "a=1,b=2,b=3")
    assert second.argv[-2:] == ("--options", "a=1,b=2")
    with pytest.raises(RunnerError, match="comma"):
        runner(scripted, options={"a": "1,2"}).start(LOAD)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("starlake-that-nobody-has", "no executable `starlake-that-nobody-has` on the PATH"),
        ("./nowhere/starlake", "does not exist"),
        ("./plain", "is not executable"),
        (".", "no executable `.`"),
        ("./", "is a directory"),
    ],
)
def test_a_missing_program_says_what_to_set(tmp_path: Path, monkeypatch: Any, name: str, words: str) -> None:
    (tmp_path / "plain").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunnerError, match="SL_STARLAKE_PATH") as error:
        ShellRunner(name, tmp_path).start(LOAD)
    assert words in str(error.value)


def test_a_program_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "starlake"
    path.write_bytes(b"\x7fnot a program")
    path.chmod(0o755)
    handle = ShellRunner(str(path), tmp_path).start(LOAD)
    assert "cannot be started: Exec format error" in "".join(line.text for line in handle.lines())
    assert handle.wait().exit_code == 127


def test_a_missing_directory(scripted: Scripted, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"working directory .*gone does not exist"):
        runner(scripted, cwd=tmp_path / "gone").start(LOAD)


def test_blanks_where_the_launcher_would_cut(scripted: Scripted, tmp_path: Path) -> None:
    run = ShellRunner(str(scripted.path), tmp_path, {**os.environ, "SL_RUN_MODE": "main"})
    with pytest.raises(RunnerError, match=r"SL_RUN_MODE=main .*\['a b'\]"):
        run.start(Command("load", ("--domains", "a b")))


def test_windows_is_refused(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(shell.sys, "platform", "win32")
    with pytest.raises(RunnerError, match="WSL"):
        ShellRunner("starlake", tmp_path).start(LOAD)


# --------------------------------------------------------------------------------------------------- what is read of it


def test_bytes_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    handle = program(tmp_path, r"sys.stdout.buffer.write(b'caf\xe9\r\ncaf\xc3\xa9\n\xff')").start(LOAD)
    assert list(handle.lines()) == [
        Line("caf\ufffd", "stdout", b"caf\xe9"),
        Line("café", "stdout"),
        Line("\ufffd", "stdout", b"\xff"),
    ]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_any_bytes_become_lines_without_a_loss(chunks: list[bytes], longest: int) -> None:
    cutter = LineSplitter("stdout")
    before, pump.LONGEST = pump.LONGEST, longest + 4
    try:
        lines = [line for chunk in chunks for line in cutter.take(chunk)] + list(cutter.end())
    finally:
        pump.LONGEST = before
    read = b"".join(line.raw if line.raw is not None else line.text.encode() for line in lines)
    whole = b"".join(chunks)
    assert read.replace(b"\r", b"") == whole.replace(b"\n", b"").replace(b"\r", b"")
    assert all(len(line.raw or line.text.encode()) <= longest + 4 for line in lines)


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    handle = program(tmp_path, "sys.stdout.write('é' * 1_500_000)").start(LOAD)
    lines = list(handle.lines())
    assert "".join(line.text for line in lines) == "é" * 1_500_000
    assert all(len(line.text.encode()) <= LONGEST and line.raw is None for line in lines)


@LAUNCHERS
def test_much_output_in_bounded_memory(scripted: Scripted, launcher: Any) -> None:
    scripted.tell(noise_megabytes=64)
    name = "launch_by_dagster_shell" if launcher is launch_by_dagster_shell else "launch"
    module = "dagster_shell_launcher" if launcher is launch_by_dagster_shell else "program_launchers"
    text = f"""
import os, resource, sys
from pathlib import Path
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.local.{module} import {name}
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
run = ShellRunner({str(scripted.path)!r}, Path({str(scripted.work)!r}), dict(os.environ), launcher={name})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
handle = run.start(Command("load", ("--domains", "sales", "--tables", "orders")))
print(sum(len(line.text) for line in handle.lines()) // 2**20, handle.wait().exit_code)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    environ = {**os.environ, **scripted.environ, "SL_LOG_LEVEL": "info", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, text=True, check=True)
    size, grown = done.stdout.splitlines()
    assert size.split()[1] == "0" and int(size.split()[0]) >= 55
    assert int(grown) < 32 * 1024  # KiB


@pytest.mark.parametrize(
    ("deed", "words"), [("kill", "killed by SIGKILL: out of memory? (exit code 137)"), ("load", "")], ids=str
)
def test_a_kill_is_named(scripted: Scripted, deed: str, words: str) -> None:
    scripted.tables({"sales.orders": {"do": deed}})
    handle = runner(scripted).start(LOAD)
    last = [line.text for line in handle.lines()][-1]
    assert last == f"ERROR StarlakeShell: {words}" if words else "ERROR" not in last


def test_the_signal_of_the_program_itself(tmp_path: Path) -> None:
    handle = program(tmp_path, "os.kill(os.getpid(), 9)").start(LOAD)
    assert [line.text for line in handle.lines()] == [
        "ERROR StarlakeShell: killed by SIGKILL: out of memory? (exit code -9)"
    ]
    assert handle.wait().exit_code == -9


# ------------------------------------------------------------------------------------------------ nothing of it is left


def hang(scripted: Scripted, run: ShellRunner) -> tuple[Any, int]:
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = run.start(LOAD)
    for line in handle.lines():
        if "Ingest resolved" in line.text:
            break
    return handle, scripted.calls()[-1].pid


@LAUNCHERS
def test_it_is_asked_before_it_is_killed(scripted: Scripted, launcher: Any) -> None:
    scripted.tell(ignore_term=True)
    handle, pid = hang(scripted, runner(scripted, launcher=launcher))
    handle.cancel()
    assert scripted.calls()[-1].signals == (signal.SIGINT, signal.SIGTERM)
    assert not is_alive(pid)
    assert handle.wait().cancelled


@LAUNCHERS
def test_a_grandchild_that_holds_the_output_does_not_hold_us(scripted: Scripted, launcher: Any) -> None:
    scripted.tell(orphan=True)
    handle = runner(scripted, launcher=launcher, grace=20.0).start(LOAD)
    assert handle.wait().exit_code == 0
    assert handle.wait().seconds < 20


@LAUNCHERS
def test_what_left_its_session_is_ended_too(tmp_path: Path, launcher: Any) -> None:
    text = """
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
    handle = program(tmp_path, text, launcher=launcher).start(LOAD)
    lines = handle.lines()
    pid = int(next(lines).text)
    assert is_alive(pid)
    handle.cancel()
    assert not is_alive(pid)


@LAUNCHERS
def test_a_step_that_is_killed_leaves_nothing(scripted: Scripted, launcher: Any) -> None:
    scripted.tables({"sales.orders": {"do": "hang"}})
    name = "launch_by_dagster_shell" if launcher is launch_by_dagster_shell else "launch"
    module = "dagster_shell_launcher" if launcher is launch_by_dagster_shell else "program_launchers"
    text = f"""
import os
from pathlib import Path
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.local.{module} import {name}
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
run = ShellRunner({str(scripted.path)!r}, Path({str(scripted.work)!r}), dict(os.environ), launcher={name}, grace=1.0)
run.start(Command("load", ("--domains", "sales", "--tables", "orders"))).wait()
"""
    environ = {**os.environ, **scripted.environ, "SL_LOG_LEVEL": "info", "PYTHONPATH": str(ROOT)}
    step = subprocess.Popen([sys.executable, "-c", text], env=environ)
    try:
        pid = until(scripted.calls)[0].pid
        tree = descendants(step.pid)
        assert pid in tree and len(tree) >= 3  # supervisor, shell, program
    finally:
        step.kill()
        step.wait()
    until(lambda: not any(is_alive(one) for one in tree))


def test_a_killed_supervisor_leaves_nothing(scripted: Scripted) -> None:
    handle, pid = hang(scripted, runner(scripted))
    supervisor = next(one for one in descendants(os.getpid()) if pid in descendants(one))
    parents = descendants(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    assert handle.wait().exit_code == -9
    until(lambda: not any(is_alive(one) for one in parents))


def test_a_timeout_ends_the_tree_and_says_so(scripted: Scripted) -> None:
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = runner(scripted, timeout=0.5).start(LOAD)
    lines = [line.text for line in handle.lines()]
    assert lines[-1] == "ERROR StarlakeShell: stopped: it took more than 0.5 seconds (timeout)."
    assert (handle.wait().exit_code, handle.wait().cancelled) == (None, False)
    assert not is_alive(scripted.calls()[0].pid)


def test_spark_properties_of_a_table_reach_a_cluster(tmp_path: Path):
    environ = {"SPARK_MASTER_URL": "spark://spark:7077", "SPARK_CONF_OPTIONS": "--conf spark.ui.enabled=false"}
    properties = spark_of(["nightly", "spark_executor_memory=8g", "spark.sql.shuffle.partitions=400"])
    command = Command("load", ("--domains", "sales"), {"A": "1"}, spark=properties, job_id="job-1")
    run = ShellRunner("starlake", tmp_path, environ)
    assert run.capabilities.uses_spark
    assert run.environ_of(command) == {
        **environ,
        "A": "1",
        "SL_JOB_ID": "job-1",
        "SPARK_CONF_OPTIONS": "--conf spark.ui.enabled=false --conf spark.executor.memory=8g "
        "--conf spark.sql.shuffle.partitions=400",
    }
    local = ShellRunner("starlake", tmp_path, {})
    assert not local.capabilities.uses_spark and "SPARK_CONF_OPTIONS" not in local.environ_of(command)
    with pytest.raises(RunnerError, match=r"spark\.a"):
        run.environ_of(Command("load", spark={"spark.a": "$(id)"}))


class _LastWords:
    """A program that writes its last lines, and ends, after a read that found nothing."""

    def __init__(self) -> None:
        self._files = [os.pipe() for _ in range(2)]
        for reading, _ in self._files:
            os.set_blocking(reading, False)
        self.stdout, self.stderr = (os.fdopen(reading, "rb", buffering=0) for reading, _ in self._files)
        self._has_ended = False

    def wait(self, timeout: float) -> int:
        if not self._has_ended:
            self._has_ended = True
            os.write(self._files[0][1], b"one\ntwo\nthree\n")
            for _, writing in self._files:
                os.close(writing)
        return 0

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()


def test_lines_written_between_a_read_and_the_look_at_the_process_are_not_lost():
    handle = shell.ShellHandle(_LastWords())
    assert [line.text for line in handle.lines()] == ["one", "two", "three"]
    assert handle.wait().exit_code == 0
