"""What every runner must do, whatever it drives. A new one needs a `subject_*.py` beside this file."""

import importlib
import threading
from pathlib import Path

import pytest

from starlake_dagster_assets.command.model import CommandFailed, CommandSucceeded, Line, TableLoaded
from starlake_dagster_assets.command.parse import OutputParser
from starlake_dagster_assets.errors import UnreachableError
from starlake_dagster_assets.runners.protocol import Attempt, Runner
from tests.conformance.subject import Ledger

FILES = sorted(Path(__file__).parent.glob("subject_*.py"))
SUBJECTS = [one for path in FILES for one in importlib.import_module(f"tests.conformance.{path.stem}").SUBJECTS]
EVERY = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.name)
REMOTE = pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.remote], ids=lambda one: one.name)
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


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.times_out], ids=lambda one: one.name)
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


# -------------------------------------------------------------------------------------------------- remote ones


@REMOTE
def test_unavailable_then_available(running):
    running.faults["outage"]()
    loaded, _, code = told(running.runner().start(running.prepare("success")))
    assert (loaded, code) == ({"orders", "customers"}, 0)


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
    first = running.runner(Attempt("run-1", "step", 0, ledger=ledger)).start(running.prepare("fails_later"))
    for line in first.lines():
        if "Ingest resolved" in line.text:
            break  # and nobody ever asks the first handle again
    second = running.runner(Attempt("run-1", "step", 1, ledger=ledger)).start(running.prepare("fails_later", "job-2"))
    loaded, _, code = told(second)
    assert (loaded, code) == ({"orders", "customers"}, 0)
    assert running.processes() == 1
    assert second.job_id == "job-1"
    assert not ledger.open


@REMOTE
def test_an_endless_outage_cancels_nothing(running):
    ledger = Ledger()
    handle = running.runner(Attempt("run-1", "step", 0, ledger=ledger)).start(running.prepare("fails_later"))
    running.faults["endless_outage"]()
    with pytest.raises(UnreachableError):
        handle.wait()
    running.faults["recovery"]()
    second = running.runner(Attempt("run-1", "step", 1, ledger=ledger)).start(running.prepare("fails_later", "job-2"))
    assert told(second)[0] == {"orders", "customers"}
    assert running.processes() == 1
