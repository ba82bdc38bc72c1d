"""The real boto3 against a local ECS whose tasks are real processes."""

import signal
import threading
from dataclasses import replace

import pytest

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import Execution, StepAttempt
from starlake_dagster_assets.execution.backends.remote.fargate import OVERRIDES_LIMIT, FargateEnvironment
from starlake_dagster_assets.execution.backends.remote.protocol import Policy
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.fakes.aws import FakeAws
from tests.fakes.script import wait_for_end

FAST = Policy(
    poll=0.02, longest_poll=0.05, starting=20, outage=20, grace=0.2, longest_pause=0.02, settle=0.4, cancelling=10
)
LOAD = Command("load", ("--domains", "sales", "--tables", "orders"), {"SL_JOB_ID": "job-1"}, job_id="job-1")


class Memory:
    """A ledger that two attempts share."""

    def __init__(self) -> None:
        self.open: dict[str, Execution] = {}
        self.recorded: list[Execution] = []

    def record(self, execution: Execution) -> None:
        self.recorded.append(execution)
        self.open[execution.job_id] = execution

    def ended(self, execution: Execution, state: str) -> None:
        self.open.pop(execution.job_id, None)

    def unfinished(self, environment: str) -> list[Execution]:
        return [*self.open.values()]


def environment(aws, **fields) -> FargateEnvironment:
    given = {
        "task_definition": "starlake",
        "container": "starlake",
        "subnets": ("subnet-1", "subnet-2"),
        "cluster": "data",
        "env": {"SL_LOG_LEVEL": "info"},
        "endpoint_url": aws.url,
    }
    return FargateEnvironment(**{**given, **fields})


def runner(aws, *, policy=FAST, attempt=None, **fields) -> RemoteRunner:
    return RemoteRunner(environment(aws, **fields), attempt or StepAttempt("run-1", "step"), policy)


def texts(handle) -> list[str]:
    return [line.text for line in handle.lines()]


def test_a_load_is_followed_line_by_line(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}})
    handle = runner(aws).start(LOAD)
    lines = texts(handle)
    assert handle.wait().exit_code == 0
    (call,) = scripted.calls()
    assert call.argv == LOAD.argv
    assert call.env == {"SL_JOB_ID": "job-1", "SL_LOG_LEVEL": "info"}
    assert sum("ingestion-summary" in line for line in lines) == 1
    task = next(iter(aws.tasks.values()))
    assert any(task.arn in line and "eu-west-3.console.aws.amazon.com" in line for line in lines)


def test_what_is_asked_of_ecs(aws):
    chosen = runner(aws, security_groups=("sg-1",), cpu=2048, memory=4096, assign_public_ip=True)
    chosen.start(Command("stage", ("--domains", "it's $(here)"), {"SL_JOB_ID": "j"}, job_id="j")).wait()
    request = next(iter(aws.tasks.values())).request
    assert request["networkConfiguration"] == {
        "awsvpcConfiguration": {
            "subnets": ["subnet-1", "subnet-2"],
            "securityGroups": ["sg-1"],
            "assignPublicIp": "ENABLED",
        }
    }
    assert request["overrides"]["cpu"] == "2048"
    assert request["overrides"]["memory"] == "4096"
    assert request["overrides"]["containerOverrides"][0]["command"] == ["stage", "--domains", "it's $(here)"]
    assert request["launchType"] == "FARGATE"
    assert request["count"] == 1
    assert {"key": "run_id", "value": "run-1"} in request["tags"]
    assert len(request["startedBy"]) <= 36
    assert len(request["clientToken"]) <= 64


def test_spot_is_a_capacity_provider(aws):
    runner(aws, capacity_provider="FARGATE_SPOT").start(LOAD).wait()
    request = next(iter(aws.tasks.values())).request
    assert request["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert "launchType" not in request


def test_a_failed_command_has_its_exit_code(aws, scripted):
    scripted.tables({"sales.orders": {"do": "fail"}})
    handle = runner(aws).start(LOAD)
    assert "Some tables failed" in "\n".join(texts(handle))
    assert handle.wait().exit_code == 1


def test_a_killed_container_says_memory(aws, scripted):
    scripted.tables({"sales.orders": {"do": "kill"}})
    handle = runner(aws).start(LOAD)
    assert "memory" in texts(handle)[-1]
    assert handle.wait().exit_code == 137


def test_a_task_that_never_starts_fails_with_the_reason(aws):
    aws.never_start = "CannotPullContainerError: pull image manifest has been retried 5 time(s)"
    handle = runner(aws).start(LOAD)
    assert "CannotPullContainerError" in texts(handle)[-1]
    result = handle.wait()
    assert (result.exit_code, result.cancelled) == (None, False)


def test_a_task_that_an_operator_stopped_is_cancelled_not_done(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = runner(aws).start(LOAD)
    lines = handle.lines()
    while not any(task.status == "RUNNING" for task in aws.tasks.values()):
        next(lines)
        break
    arn = next(iter(aws.tasks))
    environment(aws).cancel(arn)
    list(lines)
    assert handle.wait().cancelled


def test_cancelling_stops_the_process(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = runner(aws).start(LOAD)
    for line in handle.lines():
        if "Ingest resolved" in line.text:
            break
    handle.cancel()
    handle.cancel()
    assert handle.wait().cancelled
    assert aws.count("StopTask") == 1
    wait_for_end(scripted.calls()[0].pid)


def test_a_timeout_stops_the_task_and_is_no_success(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    policy = Policy(poll=0.02, timeout=0.5, settle=0.2, cancelling=10)
    handle = runner(aws, policy=policy).start(LOAD)
    assert any("not over after 0.5 seconds" in text for text in texts(handle))
    assert handle.wait().exit_code is None
    for call in scripted.calls():  # a slow machine has not started it yet
        wait_for_end(call.pid)


def test_a_lost_answer_runs_once(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load"}})
    aws.fail("RunTask", "ServerException", status=500, after=True)
    assert runner(aws).start(LOAD).wait().exit_code == 0
    assert len(aws.tasks) == len(scripted.calls()) == 1


def test_a_cut_connection_runs_once(aws, scripted):
    aws.fail("RunTask", "", after=True)
    assert runner(aws).start(LOAD).wait().exit_code == 0
    assert len(scripted.calls()) == 1


def test_no_capacity_is_tried_again_with_another_token(aws):
    aws.failures = [{"reason": "Capacity is unavailable at this time. Please try again later"}] * 2
    assert runner(aws).start(LOAD).wait().exit_code == 0
    tokens = [request["clientToken"] for name, request in aws.calls if name == "RunTask"]
    assert len(set(tokens)) == 3


def test_no_capacity_at_all_says_so(aws):
    aws.failures = [{"reason": "RESOURCE:MEMORY"}] * 10_000
    with pytest.raises(UnreachableError, match="no room for the task in eu-west-3: RESOURCE:MEMORY"):
        runner(aws, policy=replace(FAST, starting=0.3)).start(LOAD)
    assert not aws.tasks


def test_a_refusal_is_an_error_with_its_reason(aws):
    aws.failures = [{"reason": "MISSING", "detail": "no such task definition"}]
    with pytest.raises(RunnerError, match="did not start the task on cluster 'data': MISSING no such task definition"):
        runner(aws).start(LOAD)


@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), ("ServerException", 503)])
def test_an_outage_while_it_runs_is_waited_for(aws, scripted, code, status):
    scripted.tables({"sales.orders": {"do": "load"}})
    aws.fail("DescribeTasks", code, status=status, times=3)
    assert runner(aws).start(LOAD).wait().exit_code == 0


def test_an_outage_that_lasts_cancels_nothing_and_a_retry_takes_over(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 1}})
    memory = Memory()
    first = StepAttempt("run-1", "step", 0, execution_log=memory)
    handle = runner(aws, attempt=first, policy=replace(FAST, outage=0.5)).start(LOAD)
    aws.fail("DescribeTasks", "ServerException", status=503, times=10_000)
    with pytest.raises(
        UnreachableError, match="Nothing was cancelled: it may go on, and a retry of the step adopts it"
    ):
        handle.wait()
    assert aws.count("StopTask") == 0
    aws.faults.clear()
    second = Command("load", LOAD.args, {"SL_JOB_ID": "job-2"}, job_id="job-2")
    again = runner(aws, attempt=StepAttempt("run-1", "step", 1, execution_log=memory))
    retried = again.start(second)
    lines = texts(retried)
    assert "adopting" in lines[0]
    assert any("ingestion-summary" in line for line in lines)
    assert retried.job_id == "job-1"
    assert retried.wait().exit_code == 0
    assert len(scripted.calls()) == 1
    assert memory.open  # until its results were reported
    again.close()
    assert not memory.open


def test_a_failed_execution_is_not_taken_over(aws, scripted):
    scripted.tables({"sales.orders": {"do": "fail"}})
    memory = Memory()
    first = runner(aws, attempt=StepAttempt("run-1", "step", 0, execution_log=memory)).start(LOAD)
    while not all(task.status == "STOPPED" for task in aws.tasks.values()):
        environment(aws).status(next(iter(aws.tasks)))
    scripted.tables({"sales.orders": {"do": "load"}})
    second = Command("load", LOAD.args, {"SL_JOB_ID": "job-2"}, job_id="job-2")
    retried = runner(aws, attempt=StepAttempt("run-1", "step", 1, execution_log=memory)).start(second)
    assert retried.wait().exit_code == 0
    assert retried.job_id == "job-2"
    assert len(aws.tasks) == 2
    assert first.wait().exit_code == 1


def test_a_worker_that_died_while_submitting_leaves_one_task(aws, scripted):
    """The intent was written down, the id was not."""
    scripted.tables({"sales.orders": {"do": "load"}})
    memory = Memory()

    class Dies(Memory):
        def record(self, execution):
            memory.record(execution)
            if execution.id:
                memory.open[execution.job_id] = memory.recorded[0]
                raise SystemExit

    class Gone(FargateEnvironment):
        def cancel(self, execution):
            """A killed worker cancels nothing."""

    gone = Gone(**{name: getattr(environment(aws), name) for name in FargateEnvironment.__match_args__})
    with pytest.raises(SystemExit):
        RemoteRunner(gone, StepAttempt("run-1", "step", 0, execution_log=Dies()), FAST).start(LOAD)
    second = Command("load", LOAD.args, {"SL_JOB_ID": "job-2"}, job_id="job-2")
    retried = runner(aws, attempt=StepAttempt("run-1", "step", 1, execution_log=memory)).start(second)
    assert retried.wait().exit_code == 0
    assert retried.job_id == "job-1"
    assert len(aws.tasks) == 1


def test_interrupted_while_submitting_ends_what_was_started(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})

    class Interrupts(Memory):
        def record(self, execution):
            if execution.id:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner(aws, attempt=StepAttempt("r", "s", execution_log=Interrupts())).start(LOAD)
    assert {task.status for task in aws.tasks.values()} == {"STOPPED"}


def test_a_forgotten_task_is_lost_not_done(aws):
    handle = runner(aws).start(LOAD)
    aws.forgotten = set(aws.tasks)
    assert "does not know the task any more" in texts(handle)[-1]
    assert handle.wait().exit_code is None


def test_without_readable_logs_the_result_still_comes(aws, scripted):
    aws.log_driver = "splunk"
    scripted.tables({"sales.orders": {"do": "fail"}})
    handle = runner(aws).start(LOAD)
    warnings = [text for text in texts(handle) if text.startswith("WARN")]
    assert len(warnings) == 1
    assert "splunk" in warnings[0]
    assert "splunk" in handle.log_problem
    assert handle.wait().exit_code == 1


def test_many_tables_are_cut_to_fit_the_overrides(aws):
    limit = runner(aws).capabilities.argv_bytes
    names = [f"table_{number:05d}" for number in range(10_000)]
    fitting = names[: limit // 12]
    command = build.load("sales", fitting, job_id="x" * 80)
    assert runner(aws).start(command).wait().exit_code == 0
    with pytest.raises(RunnerError, match=f"ECS allows {OVERRIDES_LIMIT} of overrides"):
        runner(aws).start(build.load("sales", names[:1000], job_id="y"))


def test_credentials_that_are_missing_are_named(aws, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RunnerError, match="AWS credentials: Unable to locate credentials"):
        runner(aws).start(LOAD)


def test_a_profile_that_is_not_there_is_named(aws):
    with pytest.raises(RunnerError, match=r"profile \(nosuch\) could not be found"):
        runner(aws, profile="nosuch").start(LOAD)


def test_two_commands_at_once_are_two_tasks(aws, scripted):
    shared = runner(aws)
    results = []

    def one(number):
        command = Command("transform", ("--name", f"kpi.t{number}"), {"SL_JOB_ID": f"j{number}"}, job_id=f"j{number}")
        results.append(shared.start(command).wait().exit_code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 4
    assert len(scripted.calls("transform")) == 4


# ------------------------------------------------------------------------------------ what the service documents


RETRIED = {
    "throttling of another service": (
        "InvalidParameterException",
        "Error retrieving security group information for [sg-1]: Request limit exceeded. "
        "(ErrorCode: RequestLimitExceeded)",
    ),
    "vCPU quota": ("ClientException", "You've reached the limit on the number of vCPUs you can run concurrently"),
    "provisioning quota": ("ClientException", "The maximum number of tasks in PROVISIONING state has been reached"),
}


@pytest.mark.parametrize("case", RETRIED)
def test_what_passes_is_waited_for_though_its_code_is_400(aws, case):
    code, message = RETRIED[case]
    aws.fail("RunTask", code, message=message, times=3)
    handle = runner(aws).start(LOAD)
    warnings = [text for text in texts(handle) if text.startswith("WARN") and message[:20] in text]
    assert len(warnings) == 1
    assert handle.wait().exit_code == 0
    assert len(aws.tasks) == 1


def test_a_parameter_that_is_wrong_is_not_tried_again(aws):
    aws.fail("RunTask", "InvalidParameterException", message="The subnet ID 'subnet-1' does not exist", times=5)
    with pytest.raises(RunnerError, match="subnet-1"):
        runner(aws).start(LOAD)
    assert aws.count("RunTask") == 1


@pytest.mark.parametrize("kept", [0, 6])
def test_a_task_that_is_not_visible_yet_is_not_lost(aws, scripted, kept):
    aws.invisible = kept
    policy = replace(FAST, grace=20)
    assert runner(aws, policy=policy).start(LOAD).wait().exit_code == 0
    assert len(scripted.calls()) == 1


def test_a_cancelled_task_that_is_not_visible_yet_is_stopped(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    aws.starts = 1_000
    handle = runner(aws, policy=replace(FAST, grace=20)).start(LOAD)
    aws.invisible = 4
    handle.cancel()
    assert {task.status for task in aws.tasks.values()} == {"STOPPED"}


def test_a_worker_that_died_while_submitting_is_followed_by_one_that_finds_the_stopped_task(aws, scripted):
    memory = Memory()
    first = runner(aws, attempt=StepAttempt("run-1", "step", 0, execution_log=memory)).start(LOAD)
    while not all(task.status == "STOPPED" for task in aws.tasks.values()):
        environment(aws).status(next(iter(aws.tasks)))
    memory.open["job-1"] = memory.recorded[0]
    second = Command("load", LOAD.args, {"SL_JOB_ID": "job-2"}, job_id="job-2")
    retried = runner(aws, attempt=StepAttempt("run-1", "step", 1, execution_log=memory)).start(second)
    assert (retried.wait().exit_code, retried.job_id, len(aws.tasks)) == (0, "job-1", 1)
    assert first.wait().exit_code == 0


def test_a_token_that_was_used_before_names_the_task(aws):
    first = runner(aws).start(LOAD)
    other = runner(aws, cpu=512).start(LOAD)  # the same key with other parameters: ConflictException
    assert first.wait().exit_code == other.wait().exit_code == 0
    assert len(aws.tasks) == 1


@pytest.mark.parametrize("code", ["ExpiredTokenException", "AccessDeniedException"])
def test_a_refused_poll_cancels_nothing(aws, scripted, code):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    handle = runner(aws).start(LOAD)
    aws.fail("DescribeTasks", code, times=2)
    warnings = [text for text in texts(handle) if text.startswith("WARN")]
    assert handle.wait().exit_code == 0
    assert aws.count("StopTask") == 0
    assert len(warnings) == 1 and code in warnings[0] and "nothing is cancelled" in warnings[0]


def test_spot_capacity_that_is_taken_back_is_named(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = runner(aws, capacity_provider="FARGATE_SPOT").start(LOAD)
    lines = []
    for line in handle.lines():
        lines.append(line.text)
        if "Ingest resolved" in line.text:
            task = next(iter(aws.tasks.values()))
            task.stop_code, task.reason = "SpotInterruption", "Your Spot Task was interrupted."
            threading.Thread(target=task.process.stop).start()
    assert "Fargate Spot capacity back" in lines[-1] and "Your Spot Task was interrupted." in lines[-1]
    assert handle.wait().exit_code is None


# ------------------------------------------------------------------------------------------------------- lines


def test_late_lines_are_waited_for(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}})
    aws.log_lag, aws.log_keeps = 0.6, 1
    handle = runner(aws, policy=replace(FAST, settle=10)).start(LOAD)
    assert sum("ingestion-summary" in text for text in texts(handle)) == 1
    assert handle.log_problem == ""


def test_an_end_that_never_comes_is_a_warning_that_names_the_setting(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}})
    aws.log_loses = lambda text: "Successfully" in text or "All tables loaded" in text
    handle = runner(aws).start(LOAD)
    (warning,) = [text for text in texts(handle) if text.startswith("WARN")]
    assert "incomplete" in warning and "within 0.4 seconds (log_settle)" in warning
    assert handle.log_problem


def test_a_throttled_log_is_read_again_later(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}})
    aws.fail("GetLogEvents", "ThrottlingException", times=4)
    handle = runner(aws, policy=replace(FAST, outage=20)).start(LOAD)
    lines = texts(handle)
    assert sum("ingestion-summary" in text for text in lines) == 1
    assert sum("cannot be read: AWS is throttling" in text for text in lines) == 1


def test_a_log_without_permission_is_a_warning_that_names_the_call(aws, scripted):
    aws.fail("GetLogEvents", "AccessDeniedException", times=10_000, message="not authorized: logs:GetLogEvents")
    handle = runner(aws, policy=replace(FAST, outage=1)).start(LOAD)
    warnings = [text for text in texts(handle) if text.startswith("WARN")]
    assert "logs:GetLogEvents" in warnings[0] and "incomplete" in warnings[-1]
    assert handle.wait().exit_code == 0


@pytest.mark.parametrize(("mode", "count"), [("blocking", 0), ("non-blocking", 1), (None, 1)])
def test_the_log_of_a_driver_that_may_drop_lines_is_incomplete(scripted, mode, count):
    with FakeAws([str(scripted.path)], scripted.environ, log_mode=mode) as server:
        handle = runner(server).start(LOAD)
        warnings = [text for text in texts(handle) if text.startswith("WARN")]
    assert sum("may lose log lines" in text for text in warnings) == count
    assert sum("is incomplete: its log driver may have dropped lines" in text for text in warnings) == count
    assert bool(handle.log_problem) is bool(count)


@pytest.mark.parametrize("fails", [False, True])
def test_a_container_that_is_not_essential_ends_the_command(aws, scripted, fails):
    if fails:
        scripted.tables({"sales.orders": {"do": "fail"}})
    aws.essential = False
    one = runner(aws)
    assert (one.start(LOAD).wait().exit_code == 0) is not fails
    assert aws.count("StopTask") == 0, "until its results are reported"
    one.close()
    assert aws.count("StopTask") == 1


# -------------------------------------------------------------------------------------------- earlier attempts


def test_nothing_is_submitted_while_an_earlier_execution_of_the_step_runs(aws, scripted):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.5}, "sales.customers": {"do": "load"}})
    memory = Memory()
    whole = Command("load", ("--domains", "sales", "--tables", "customers,orders"), {"SL_JOB_ID": "j1"}, job_id="j1")
    runner(aws, attempt=StepAttempt("run-1", "step", 0, execution_log=memory)).start(whole)
    again = runner(aws, attempt=StepAttempt("run-1", "step", 1, execution_log=memory))
    (known,) = again.unfinished()
    assert (known.argv, known.job_id) == (whole.argv, "j1")
    staged = again.start(Command("stage", ("--domains", "sales"), {"SL_JOB_ID": "j2"}, job_id="j2"))
    assert next(task.status for task in aws.tasks.values()) == "STOPPED"  # the load was waited for
    assert any("waiting for" in text for text in texts(staged))
    resumed = again.start(known)
    assert sum("ingestion-summary" in text for text in texts(resumed)) == 2
    assert resumed.job_id == "j1"
    assert [call.argv[0] for call in scripted.calls()] == ["load", "stage"]
    assert again.unfinished() == []


@pytest.fixture
def interruptible():
    """SIGINT interrupts, also where the tests were started in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupted_while_ecs_answers_leaves_nothing_running(aws, scripted, when, interruptible):
    """As a signal does: the main thread is interrupted while the call is under way."""
    scripted.tables({"sales.orders": {"do": "hang"}})
    started, released = threading.Event(), threading.Event()

    class Slow(FargateEnvironment):
        def submit(self, submission):
            if when == "before":
                started.set()
                released.wait(3)
            found = super().submit(submission)
            if when == "after":
                started.set()
                released.wait(3)
            return found

    slow = Slow(**{name: getattr(environment(aws), name) for name in FargateEnvironment.__match_args__})
    main = threading.get_ident()

    def interrupt():
        started.wait(20)
        signal.pthread_kill(main, signal.SIGINT)
        if when == "after":
            released.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        RemoteRunner(slow, StepAttempt("r", "s"), FAST).start(LOAD)
    assert [task.status for task in aws.tasks.values()] == ([] if when == "before" else ["STOPPED"])


def test_a_step_that_ends_leaves_no_execution_unwatched(aws, scripted):
    scripted.tables({"sales.orders": {"do": "hang"}})
    chosen = runner(aws)
    chosen.start(LOAD)
    chosen.close()
    assert [task.status for task in aws.tasks.values()] == ["STOPPED"]


def test_secrets_are_references_of_a_derived_task_definition(aws):
    secrets = {"PGPASSWORD": "arn:aws:secretsmanager:eu-west-3:000000000000:secret:pg"}
    for _ in range(2):
        assert runner(aws, secrets=secrets).start(replace(LOAD, job_id="again")).wait().exit_code == 0
    assert aws.count("RegisterTaskDefinition") == 1
    definition = aws.definitions["starlake-starlake"]
    (container,) = [one for one in definition["containerDefinitions"] if one["name"] == "starlake"]
    assert container["secrets"] == [{"name": "PGPASSWORD", "valueFrom": secrets["PGPASSWORD"]}]
    assert container["logConfiguration"]["logDriver"] == "awslogs"
    request = next(iter(aws.tasks.values())).request
    assert request["taskDefinition"] == definition["taskDefinitionArn"]
    assert "PGPASSWORD" not in str(request["overrides"])
    runner(aws, secrets={**secrets, "TOKEN": "arn:aws:ssm:x"}).start(replace(LOAD, job_id="other")).wait()
    assert aws.definitions["starlake-starlake"]["revision"] == 2
