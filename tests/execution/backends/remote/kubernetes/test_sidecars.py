"""Containers that keep a Pod running after its program has ended: they change no result, and do not run for ever."""

import pytest

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from tests.conformance.subject import Ledger
from tests.execution.backends.remote.kubernetes.test_kubernetes import LOAD, runner, started, texts, until

SIDE = {"containers": [{"name": "proxy", "image": "proxy:1"}]}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("of_webhook", [False, True])
def test_the_program_determines_the_result_and_the_job_is_deleted(server, scripted, environment, fails, of_webhook):
    if fails:
        scripted.tables({"sales.orders": {"do": "fail"}})
    server.sidecars = ("istio-proxy",) if of_webhook else ()
    one = runner(environment(k8s_config={} if of_webhook else {"pod_spec_config": SIDE}))
    handle = one.start(LOAD)
    lines = texts(handle)
    name = "istio-proxy" if of_webhook else "proxy"
    assert (handle.wait().exit_code == 0) is not fails
    assert sum(f"the container `{name}` still runs: once the results" in line for line in lines) == 1, lines
    assert server.jobs and server.count("DeleteJob") == 0, "until its result is reported, a retry may need it"
    one.close()
    assert server.count("DeleteJob") == 1
    (body,) = [call["body"] for operation, call in server.calls if operation == "DeleteJob"]
    assert [*body["preconditions"]] == ["uid"] and body["propagationPolicy"] == "Foreground"
    execution = handle._execution.id
    status = one.environment.status(execution)
    assert (status.state, status.exit_code) == (("failed", 1) if fails else ("succeeded", 0)), "it stays"
    (watching,) = [environment()]
    until(lambda: watching.status(execution).state == "lost")
    assert not server.pods


def test_a_job_without_sidecars_is_kept(server, environment):
    one = runner(environment())
    assert one.start(LOAD).wait().exit_code == 0
    one.close()
    assert server.jobs and server.count("DeleteJob") == 0


def test_a_sidecar_that_ends_by_itself_costs_nothing(server, environment):
    server.sidecars = ("proxy",)
    one = runner(environment())
    assert one.start(LOAD).wait().exit_code == 0
    server.only_pod.phase = "Succeeded"
    one.close()
    assert server.jobs and server.count("DeleteJob") == 0


def test_the_job_of_a_command_is_deleted_when_the_next_one_starts(server, environment):
    server.sidecars = ("proxy",)
    one = runner(environment())
    assert one.start(LOAD).wait().exit_code == 0
    other = one.start(type(LOAD)("load", ("--domains", "crm"), {"SL_JOB_ID": "job-2"}, job_id="job-2"))
    assert server.count("DeleteJob") == 1
    assert other.wait().exit_code == 0
    one.close()
    assert server.count("DeleteJob") == 2


def test_a_worker_that_died_before_the_report_leaves_the_job_to_the_retry(server, environment):
    server.sidecars = ("proxy",)
    ledger = Ledger()
    first = runner(environment(), attempt=StepAttempt("run-1", "sales", execution_log=ledger))
    assert first.start(LOAD).wait().exit_code == 0
    again = runner(environment(), attempt=StepAttempt("run-1", "sales", 1, execution_log=ledger))
    (command,) = again.unfinished()
    assert again.start(command).wait().exit_code == 0, "the same execution"
    again.close()
    assert server.count("CreateJob") == 1 and server.count("DeleteJob") == 1 and not ledger.open


def test_a_job_that_cannot_be_deleted_is_reported_at_the_end_of_the_step(server, environment):
    server.sidecars = ("proxy",)
    server.forbidden.add("delete jobs")
    one = runner(environment())
    assert one.start(LOAD).wait().exit_code == 0
    with pytest.raises(RunnerError, match=r"has ended, and could not be released: .*cannot delete resource") as error:
        one.close()
    assert "Its results stand. Next: delete it in the service." in str(error.value)


def test_a_deletion_that_fails_once_is_repeated(server, environment):
    server.sidecars = ("proxy",)
    server.fail("DeleteJob", 500)
    one = runner(environment())
    assert one.start(LOAD).wait().exit_code == 0
    one.close()
    assert server.count("DeleteJob") == 2


def test_a_program_that_runs_is_cancelled_with_its_sidecar(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "hang"}})
    server.sidecars = ("proxy",)
    made = environment()
    execution, _ = started(server, made)
    made.cancel(execution)
    until(lambda: made.status(execution).state == "cancelled")
    assert not server.pods
