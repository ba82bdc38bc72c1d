"""What every runner must do, whatever it drives. A new one needs a `subject_*.py` beside this file."""

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.commands.model import CommandFailed, CommandSucceeded, Line, TableLoaded
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.resources import StarlakeResource
from tests.conformance.subject import SECRET, Ledger

FILES = sorted(Path(__file__).parent.glob("subject_*.py"))
SUBJECTS_OF = {path: importlib.import_module(f"tests.conformance.{path.stem}").SUBJECTS for path in FILES}
SUBJECTS = [one for subjects in SUBJECTS_OF.values() for one in subjects]
EVERY = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.name)
REMOTE = pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.remote], ids=lambda one: one.name)
LOCAL = [(path.stem, one.name) for path in FILES for one in SUBJECTS_OF[path] if not one.remote]
NAMES = [("sales", "orders"), ("sales", "customers")]


@pytest.fixture
def running(subject, tmp_path, monkeypatch):
    with subject.open(tmp_path, monkeypatch) as environment:
        yield environment


def told(handle) -> tuple[set[str], list, int | None]:
    """The tables that landed, the last events, the exit code."""
    parser = OutputParser(NAMES, [])
    events = [event for line in handle.lines() for event in parser.feed(line.text)]
    code = handle.wait().exit_code
    events += parser.finish(code)
    loaded = {event.table for event in events if isinstance(event, TableLoaded)}
    return loaded, [event for event in events if isinstance(event, (CommandSucceeded, CommandFailed))], code


@EVERY
def test_success(running):
    command = running.prepare("success")
    loaded, endings, code = told(running.runner().start(command))
    assert loaded == {"orders", "customers"}
    assert code == 0
    assert [type(one) for one in endings] == [CommandSucceeded]


@EVERY
def test_part_failure(running):
    command = running.prepare("part_failure")
    loaded, endings, code = told(running.runner().start(command))
    assert loaded == {"orders"}
    assert code == 1
    assert [type(one) for one in endings] == [CommandFailed]


@EVERY
def test_all_failed(running):
    command = running.prepare("all_failed")
    loaded, endings, code = told(running.runner().start(command))
    assert loaded == set()
    assert code == 1
    assert [type(one) for one in endings] == [CommandFailed]


@EVERY
def test_no_file_is_no_failure_and_no_table(running):
    command = running.prepare("no_file")
    loaded, endings, code = told(running.runner().start(command))
    assert loaded == set()
    assert code == 0
    assert [type(one) for one in endings] == [CommandSucceeded]


@EVERY
def test_waiting_without_reading(running):
    command = running.prepare("success")
    result = running.runner().start(command).wait()
    assert (result.exit_code, result.cancelled) == (0, False)
    assert result.seconds > 0


@EVERY
def test_the_end_can_be_asked_for_again(running):
    handle = running.runner().start(running.prepare("part_failure"))
    assert handle.wait() == handle.wait()
    assert list(handle.lines()) == []


@EVERY
def test_lines_are_whole(running):
    handle = running.runner().start(running.prepare("success"))
    lines = list(handle.lines())
    assert all(isinstance(line, Line) and "\n" not in line.text for line in lines)
    assert {line.stream for line in lines} <= {"stdout", "stderr"}


@EVERY
def test_cancelled_while_it_works(running):
    handle = running.runner().start(running.prepare("hang"))
    for line in handle.lines():
        if "Ingest resolved" in line.text or "Transforming" in line.text:
            break
    handle.cancel()
    handle.cancel()
    result = handle.wait()
    assert (result.exit_code, result.cancelled) == (None, True)
    assert not running.alive()


@EVERY
def test_cancelled_from_another_thread_ends_the_lines(running):
    handle = running.runner().start(running.prepare("hang"))
    canceller = threading.Thread(target=handle.cancel)
    for line in handle.lines():
        if ("Ingest resolved" in line.text or "Transforming" in line.text) and canceller.ident is None:
            canceller.start()
    canceller.join(20)
    assert not canceller.is_alive()
    assert handle.wait().cancelled
    assert not running.alive()


@EVERY
def test_cancelling_what_is_over_changes_nothing(running):
    handle = running.runner().start(running.prepare("success"))
    result = handle.wait()
    handle.cancel()
    assert handle.wait() == result


@EVERY
def test_a_timeout_is_no_success(running):
    handle = running.runner(timeout=0.8).start(running.prepare("hang"))
    lines = [line.text for line in handle.lines()]
    assert handle.wait().exit_code != 0
    assert any("ERROR" in line and "0.8 seconds" in line for line in lines)
    assert not running.alive()


@EVERY
def test_a_runner_serves_one_command_after_the_other(running):
    runner: Runner = running.runner()
    first = told(runner.start(running.prepare("part_failure", "job-1")))[0]
    second = told(runner.start(running.prepare("success", "job-2")))[0]
    assert (first, second) == ({"orders"}, {"orders", "customers"})


@EVERY
def test_unavailable_then_available(running):
    running.faults["outage"]()
    command = running.prepare("success")
    try:
        handle = running.runner().start(command)
    except RunnerError as error:  # a program that is not there: it says so at once, and waits for nothing
        assert "does not exist" in str(error)
        running.faults["recovery"]()
        handle = running.runner().start(command)
    parser = OutputParser(NAMES)
    for line in handle.lines():
        parser.feed(line.text)
        if "waiting for" in line.text:
            running.faults["recovery"]()
    events = parser.finish(handle.wait().exit_code)
    assert [type(one) for one in events] == [CommandSucceeded]


class Playing(StarlakeResource):
    """Runs commands in the environment of a test."""

    def runner(self, project, attempt=None):
        return AT_WORK[0].runner(attempt)


AT_WORK = []


@EVERY
def test_a_secret_is_seen_nowhere_of_a_run(running, tmp_path, monkeypatch, capfd):
    running.prepare("tells_secret")
    monkeypatch.setattr(f"{__name__}.AT_WORK", [running])
    defs = build_definitions(StarlakeProject(running.root, cache_dir=tmp_path / "cache"), starlake=Playing())
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        everything = "\n".join(f"{event!r} {event.user_message}" for event in instance.all_logs(result.run_id))
    printed = capfd.readouterr()
    assert not result.success
    assert "***" in everything and "***" in printed.out
    assert SECRET not in everything + printed.out + printed.err
    for path in [*home.rglob("*"), *(tmp_path / "cache").rglob("*")]:
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert not any(SECRET in word for argv in running.arguments() for word in argv)


# --------------------------------------------------------------------------------------------------- local ones


@pytest.mark.parametrize(("module", "name"), LOCAL)
def test_a_worker_that_is_killed_leaves_nothing_running_and_the_next_one_does_the_work(
    module, name, tmp_path, monkeypatch
):
    argv = [sys.executable, "-m", "tests.conformance.worker", module, name, str(tmp_path)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        worker.kill()
    (subject,) = [one for one in SUBJECTS if one.name == name]
    with subject.open(tmp_path, monkeypatch) as running:
        assert not running.alive()
        assert told(running.runner(StepAttempt("run-1", "step", 1)).start(running.prepare("success")))[2] == 0


# -------------------------------------------------------------------------------------------------- remote ones


@REMOTE
def test_throttled_then_served(running):
    running.faults["throttled"]()
    loaded, _, code = told(running.runner().start(running.prepare("success")))
    assert (loaded, code, running.processes()) == ({"orders", "customers"}, 0, 1)


@REMOTE
def test_a_lost_answer_runs_once(running):
    running.faults["lost_answer"]()
    loaded, _, code = told(running.runner().start(running.prepare("success")))
    assert (loaded, code, running.processes()) == ({"orders", "customers"}, 0, 1)


@REMOTE
def test_a_worker_that_dies_is_followed_by_one_that_takes_over(running):
    ledger = Ledger()
    first = running.runner(StepAttempt("run-1", "step", 0, execution_log=ledger)).start(running.prepare("fails_later"))
    for line in first.lines():
        if "Ingest resolved" in line.text:
            break  # and nobody ever asks the first handle again
    runner = running.runner(StepAttempt("run-1", "step", 1, execution_log=ledger))
    second = runner.start(running.prepare("fails_later", "job-2"))
    loaded, _, code = told(second)
    runner.close()
    assert (loaded, code) == ({"orders", "customers"}, 0)
    assert running.processes() == 1
    assert second.job_id == "job-1"
    assert not ledger.open


@REMOTE
def test_an_endless_outage_cancels_nothing(running):
    ledger = Ledger()
    handle = running.runner(StepAttempt("run-1", "step", 0, execution_log=ledger)).start(running.prepare("fails_later"))
    running.faults["endless_outage"]()
    with pytest.raises(UnreachableError):
        handle.wait()
    running.faults["recovery"]()
    second = running.runner(StepAttempt("run-1", "step", 1, execution_log=ledger)).start(
        running.prepare("fails_later", "job-2")
    )
    assert told(second)[0] == {"orders", "customers"}
    assert running.processes() == 1
