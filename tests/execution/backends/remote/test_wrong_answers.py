"""An environment that does not keep to the protocol: the message has the execution, its state and the next step."""

from random import Random

import pytest

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.calls import TimeSource
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Policy, Status
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from starlake_dagster_assets.execution.command_executor import CommandExecutor
from starlake_dagster_assets.execution.outcome import RunSettings
from tests.conformance.subject import Ledger
from tests.fakes.simulated_service import Faults, SimulatedService, SimulatedTime


class Wrong(SimulatedService):
    """Answers some calls with what a test says."""

    def __init__(self, **answers):
        self.answers = answers
        super().__init__(Random(1), SimulatedTime(), Faults(), ("orders",))


def _answering(name):
    def call(self, *args):
        if name not in self.answers:
            return getattr(SimulatedService, name)(self, *args)
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


for _name in ("submit", "find", "status", "logs", "cancel", "classify_error", "close"):
    setattr(Wrong, _name, _answering(_name))


def follow(service, *, ledger=None):
    clock = TimeSource(service.time.read, service.time.pause)
    runner = RemoteRunner(service, StepAttempt("run", "step", execution_log=ledger or Ledger()), Policy(), clock=clock)
    return runner, runner.start(build.load("sales", ["orders"], job_id="job-1"))


@pytest.mark.parametrize("answer", [None, "", 7])
def test_no_id_of_a_submission(answer):
    ledger = Ledger()
    with pytest.raises(UnreachableError) as error:
        follow(Wrong(submit=answer), ledger=ledger)
    for text in (f"submit returned {answer!r} for load", "under the key job-1", "a retry of the step adopts"):
        assert text in str(error.value)
    assert [*ledger.open] == ["job-1"], "a retry looks for it"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "status returned NoneType instead of a Status"),
        ("succeeded", "status returned str instead of a Status"),
        (Status("PAUSED"), "status returned the unknown state 'PAUSED'; expected one of pending, running, succeeded"),
        (Status(None), "the unknown state None"),
    ],
)
def test_an_unknown_state_is_neither_success_nor_failure(answer, said):
    service = Wrong(status=answer)
    _, handle = follow(service)
    lines = []
    with pytest.raises(UnreachableError) as error:
        lines.extend(line.text for line in handle.lines())
    for text in (said, "execution-1", "Nothing was cancelled", "a retry of the step adopts it"):
        assert text in str(error.value)
    assert service.time.now < 1300


def test_without_a_record_no_retry_is_promised():
    service = Wrong(status=Status("PAUSED"))
    clock = TimeSource(service.time.read, service.time.pause)
    handle = RemoteRunner(service, policy=Policy(), clock=clock).start(build.load("sales", ["orders"], job_id="job-1"))
    lines = []
    with pytest.raises(UnreachableError) as error:
        lines.extend(line.text for line in handle.lines())
    assert "it may go on, and is not recorded. Next: wait for its end, or end it in the service" in str(error.value)
    assert not any("It goes on" in line for line in lines)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "classify_error returned NoneType; expected one of retry, ambiguous, denied, fatal."),
        (ErrorClass("later", "x"), "classify_error returned the kind 'later'; expected one of retry"),
        (ErrorClass("retry", "x", "7"), "classify_error returned retry_after='7'; expected seconds."),
        (KeyError("code"), "classify_error raised KeyError: 'code'."),
    ],
)
def test_an_error_that_is_not_classified_is_fatal(answer, said):
    with pytest.raises(RunnerError) as error:
        follow(Wrong(submit=ValueError("no such call"), classify_error=answer))
    assert f"simulated: ValueError: no such call. {said}" in str(error.value)


def test_an_unknown_state_that_passes():
    service = Wrong(status=Status("PAUSED"))
    _, handle = follow(service)
    lines = []
    for line in handle.lines():
        lines.append(line.text)
        if "PAUSED" in line.text:
            service.answers.clear()
    assert handle.wait().exit_code == 0
    assert any(line.startswith("WARN") and "execution-1" in line and "PAUSED" in line for line in lines)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "NoneType;"),
        ([], "list;"),
        (([], None, None), "tuple (list, NoneType, NoneType);"),
        ((None, None), "tuple (NoneType, NoneType);"),
        ((["text"], None), "tuple (list, NoneType) with lines of type str;"),
        (([], 3), "tuple (list, int);"),
    ],
)
def test_no_lines_of_a_log(answer, said):
    _, handle = follow(Wrong(logs=answer))
    lines = [line.text for line in handle.lines()]
    assert any("the lines of execution-1 cannot be read: logs returned" in line for line in lines)
    assert handle.wait().exit_code == 0 and f"logs returned {said}" in handle.log_problem


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status("lost"), "ERROR simulated: execution-1 is lost: its service does not know it any more. Next: look at"),
        (Status("cancelled"), "ERROR simulated: execution-1 is cancelled: from outside. Next: look at what it wrote"),
        (Status("cancelled", None, "by me", "https://c/1"), "is cancelled: by me."),
        (Status("lost", started=False), "Next: run the step again."),
    ],
)
def test_an_execution_that_is_gone_is_named(status, said):
    _, handle = follow(Wrong(status=status))
    lines = [line.text for line in handle.lines()]
    assert said in lines[-1] and status.url in lines[-1]
    assert handle.wait().exit_code is None


@pytest.mark.parametrize("error", [ValueError("no such call"), RunnerError("not permitted")])
def test_a_cancellation_that_fails(error):
    _, handle = follow(Wrong(cancel=error, status=Status("running", url="https://c/1")))
    with pytest.raises(UnreachableError) as raised:
        handle.cancel()
    for text in ("execution-1 could not be cancelled", "Its state is running", "Next: end it in the service"):
        assert text in str(raised.value)


def test_a_cancellation_that_has_no_effect():
    _, handle = follow(Wrong(cancel=None, status=Status("running")))
    with pytest.raises(UnreachableError, match=r"was cancelled, and its end was not seen\. Its state is run"):
        handle.cancel()


def test_a_cancellation_that_fails_of_what_is_over():
    _, handle = follow(Wrong(cancel=ValueError("it is over"), status=Status("succeeded", 0)))
    handle.cancel()
    assert handle.wait().cancelled


def test_what_cannot_be_released_at_the_end():
    runner, _ = follow(Wrong(cancel=ValueError("no"), status=Status("running"), close=ValueError("busy")))
    with pytest.raises(RunnerError) as error:
        runner.close()
    for text in ("execution-1 could not be cancelled", "simulated: close failed", "The results of the step stand"):
        assert text in str(error.value)


def test_what_cannot_be_released_is_a_warning_of_the_step():
    lines = []
    runner, _ = follow(Wrong(close=ValueError("busy")))
    CommandExecutor(runner, RunSettings("job", on_line=lines.append)).close()
    assert [line.text for line in lines if "close failed" in line.text and line.text.startswith("WARN simulated")]


def test_a_machine_that_slept_between_two_reads_has_seen_no_outage():
    class Slept(SimulatedService):
        unread = 0

        def status(self, execution):
            self.unread += 1
            if self.unread <= 3:
                self.time.now += 3600
                raise ConnectionError("no route to host")
            return Status("succeeded", 0)

    _, handle = follow(Slept(Random(1), SimulatedTime(), Faults(), ("orders",)))
    assert handle.wait().exit_code == 0
