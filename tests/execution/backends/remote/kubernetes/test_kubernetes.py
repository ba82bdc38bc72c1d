"""The real client against a local API server whose Pods are real processes."""

import re
import threading
import time

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate, job_name
from starlake_dagster_assets.execution.backends.remote.protocol import Policy, Submission
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.conformance.subject import Ledger

FAST = Policy(
    poll=0.02, longest_poll=0.05, starting=20, outage=20, grace=0.2, longest_pause=0.02, settle=0.4, cancelling=10
)
LOAD = Command("load", ("--domains", "sales", "--tables", "orders"), {"SL_JOB_ID": "job-1"}, job_id="job-1")
SUBMISSION = Submission(LOAD, "job-1", {"run_id": "run-1", "step": "sales"})


def runner(environment, *, policy=FAST, attempt=None):
    return RemoteRunner(environment, attempt or StepAttempt("run-1", "sales"), policy)


def texts(handle):
    return [line.text for line in handle.lines()]


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come to this"
        time.sleep(0.005)


def started(server, environment):
    """Submits the command, and returns its execution and its Pod once the program runs."""
    execution = environment.submit(SUBMISSION)
    until(lambda: environment.status(execution).state == "running")
    return execution, server.only_pod


# -------------------------------------------------------------------------------------------------- submission


def test_what_is_sent_and_what_the_program_gets(server, scripted, environment):
    server.secrets["warehouse"] = {"password": "hunter2"}
    handle = runner(environment(secrets={"PGPASSWORD": "warehouse:password"})).start(LOAD)
    assert handle.wait().exit_code == 0
    (call,) = scripted.calls()
    assert call.argv == ("load", "--domains", "sales", "--tables", "orders")
    assert "hunter2" not in str(server.calls)
    assert server.only_job["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] == "PGPASSWORD"


def test_the_spark_properties_of_a_table(server, environment):
    command = Command("load", ("--domains", "sales"), spark={"spark.executor.memory": "8g"}, job_id="job-1")
    handle = runner(environment(env={"SPARK_CONF_OPTIONS": "--conf spark.ui.enabled=false"})).start(command)
    handle.wait()
    env = {one["name"]: one.get("value") for one in server.only_pod.spec["containers"][0]["env"]}
    assert env["SPARK_CONF_OPTIONS"] == "--conf spark.ui.enabled=false --conf spark.executor.memory=8g"


@pytest.mark.parametrize("spoiled", ["a b", 'x"y', "$(id)", "a;b"])
def test_a_spark_property_that_the_launcher_would_split_is_refused(environment, spoiled):
    command = Command("load", ("--domains", "sales"), spark={"spark.a": spoiled}, job_id="job-1")
    with pytest.raises(RunnerError, match=r"spark\.a"):
        environment().submit(Submission(command, "job-1"))


def test_a_name_that_is_taken(server, environment):
    one = environment()
    assert one.submit(SUBMISSION) == one.submit(SUBMISSION) == one.find(SUBMISSION)
    assert len(server.jobs) == 1
    server.only_job["metadata"]["annotations"] = {}
    assert one.find(SUBMISSION) is None
    with pytest.raises(RunnerError, match=f"has a Job {job_name(SUBMISSION)} that is none of this command"):
        one.submit(SUBMISSION)


@pytest.mark.parametrize(
    ("code", "message", "kind", "said"),
    [
        (401, "Unauthorized", "denied", "expired"),
        (403, 'jobs.batch is forbidden: User "me" cannot create resource "jobs"', "denied", "permission is missing"),
        (403, 'jobs.batch "x" is forbidden: exceeded quota: compute, used: 5', "retry", "no room"),
        (403, 'jobs.batch "x" is forbidden: violates PodSecurity "restricted"', "fatal", "refused it: jobs.batch"),
        (400, 'admission webhook "policy.example" denied the request: no limits', "fatal", "no limits"),
        (404, 'namespaces "data" not found', "fatal", "namespaces"),
        (409, "Operation cannot be fulfilled on resourcequotas: the object has been modified", "retry", "meantime"),
        (410, "The provided continue parameter is too old", "retry", "meantime"),
        (
            422,
            'Job.batch "x" is invalid: spec.template.spec.containers[0].image: Required',
            "fatal",
            "refused it: Job.batch",
        ),
        (429, "too many requests", "retry", "throttling"),
        (500, "etcdserver: request timed out", "ambiguous", "etcdserver"),
        (503, "the server is currently unable to handle the request", "ambiguous", "unable"),
        (504, "request did not complete within requested timeout", "ambiguous", "did not complete"),
        (0, "", "ambiguous", "did not answer"),
    ],
)
def test_what_an_answer_means(server, environment, code, message, kind, said):
    one = environment()
    server.fail("CreateJob", code, message)
    with pytest.raises(Exception) as raised:
        one.submit(SUBMISSION)
    error_class = one.classify_error(raised.value)
    assert (error_class.kind, said in error_class.text) == (kind, True), error_class
    assert "{" not in error_class.text, "no raw body"


def test_a_text_of_a_proxy_is_no_status(server, environment):
    one = environment()
    server.fail("GetJob", 502, plain=True)
    with pytest.raises(Exception) as raised:
        one.find(SUBMISSION)
    assert one.classify_error(raised.value).kind == "ambiguous"


def test_a_server_that_is_not_there(server, environment):
    one = environment()
    server.close()
    with pytest.raises(Exception) as raised:
        one.find(SUBMISSION)
    assert one.classify_error(raised.value).kind == "retry"


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_makes_one_job(server, scripted, environment, after):
    server.fail("CreateJob", 0, after=after)
    handle = runner(environment()).start(LOAD)
    assert handle.wait().exit_code == 0
    assert (len(server.jobs), len(scripted.calls())) == (1, 1)


def test_a_full_quota_is_waited_for_and_an_admission_rule_is_not(server, scripted, environment):
    server.fail("CreateJob", 403, 'jobs.batch "x" is forbidden: exceeded quota: compute', times=3)
    lines = texts(runner(environment()).start(LOAD))
    assert any("exceeded quota: compute" in line and "trying again" in line for line in lines)
    server.fail("CreateJob", 403, 'jobs.batch "x" is forbidden: violates PodSecurity "restricted"', times=9)
    with pytest.raises(RunnerError, match="violates PodSecurity"):
        runner(environment()).start(Command("load", job_id="job-2"))
    assert server.faults["CreateJob"][0].times == 8


# -------------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("obstacle", "said"),
    [
        ("image", "its image cannot be pulled (starlake:1.6.0): ImagePullBackOff: Back-off pulling"),
        ("image_name", "InvalidImageName"),
        ("unschedulable", "no node takes its Pod: Unschedulable: 0/3 nodes are available: 3 Insufficient memory."),
        ("quota", "its Pod is refused (quota or admission): FailedCreate: Error creating"),
        ("secret", 'CreateContainerConfigError: secret "pg" not found'),
        ("volume", "its Pod cannot start: FailedMount: MountVolume.SetUp failed"),
    ],
)
def test_a_pod_that_does_not_start_is_given_up(server, scripted, environment, obstacle, said):
    server.obstacle = obstacle
    seconds = iter(range(0, 1_000_000, 100))
    handle = runner(environment(now=lambda: next(seconds))).start(LOAD)
    lines = texts(handle)
    assert any(line.startswith("WARN") and "does not start yet" in line and said in line for line in lines), lines
    assert sum("does not start yet" in line for line in lines) == 1
    assert lines[-1].startswith("ERROR") and said in lines[-1] and "its Job was deleted" in lines[-1]
    assert (handle.wait().exit_code, handle.log_problem) == (None, "")
    assert (server.jobs, server.pods, scripted.calls()) == ({}, {}, [])


def test_an_obstacle_that_passes(server, scripted, environment):
    server.obstacle = "unschedulable"
    lines = []
    handle = runner(environment()).start(LOAD)
    for line in handle.lines():
        lines.append(line.text)
        if "Insufficient memory" in line.text:
            server.obstacle = ""
    assert handle.wait().exit_code == 0
    assert len(scripted.calls()) == 1


def test_a_suspended_job_waits_as_long_as_its_queue(server, environment):
    server.obstacle = "suspended"
    seconds = iter(range(0, 1_000_000, 1000))
    one = environment(now=lambda: next(seconds))
    execution = one.submit(SUBMISSION)
    assert [one.status(execution).state for _ in range(5)] == ["pending"] * 5
    assert "Kueue" in one.status(execution).reason
    server.obstacle = ""
    until(lambda: one.status(execution).over)
    assert one.status(execution).state == "succeeded"


def test_a_job_that_vanishes_before_it_is_deleted_is_cancelled(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "hang"}})
    one = environment()
    execution, _ = started(server, one)
    server.fail("DeleteJob", 404, after=True)
    one.cancel(execution)
    assert server.count("DeleteJob") == 1
    until(lambda: one.status(execution).over)
    assert one.status(execution).state == "cancelled"
    one.cancel(execution)
    assert server.count("DeleteJob") == 1


def test_without_the_permission_to_list_events_the_rest_is_known(server, environment):
    server.obstacle, server.forbidden = "unschedulable", {"list events"}
    one = environment()
    execution = one.submit(SUBMISSION)
    assert [one.status(execution).state for _ in range(4)] == ["pending"] * 4
    assert "0/3 nodes are available: 3 Insufficient memory." in one.status(execution).reason


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("oom", 137, "OOMKilled: the program used more than its memory limit 4Gi"),
        ("evicted", 143, "Evicted from node node-7: The node was low on resource: memory."),
        ("preempted", 143, "preempted by a Pod of higher priority"),
        ("drained", 143, "it was evicted, often by the drain of its node"),
        ("node_lost", None, "node node-7 was lost"),
        ("deadline", None, "active_deadline_seconds (900) passed"),
    ],
)
def test_a_program_that_is_ended_from_outside(server, scripted, environment, how, code, said):
    scripted.tables({"sales.orders": {"do": "hang"}})
    one = environment(context={"resources": {"limits": {"memory": "4Gi"}}}, active_deadline_seconds=900)
    execution, pod = started(server, one)
    server.disrupt(pod, how)
    until(lambda: one.status(execution).over)
    status = one.status(execution)
    assert (status.state, status.exit_code, status.started) == ("failed", code, True)
    assert said in status.reason


def test_a_node_that_does_not_answer_is_no_end(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "hang"}})
    one = environment()
    execution, pod = started(server, one)
    server.node_unreachable(pod)
    assert one.status(execution).state == "running"
    server.faults.clear()
    assert any("node node-7 does not answer" in line.text for line in one.logs(execution, None)[0])


def test_a_pod_that_is_gone_with_its_node(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "hang"}})
    one = environment()
    execution, pod = started(server, one)
    server.disrupt(pod, "drained")
    until(lambda: one.status(execution).over)
    server.pods.clear()
    status = one.status(execution)
    assert (status.state, status.exit_code) == ("failed", None)
    assert "its Pod was deleted" in status.reason


@pytest.mark.parametrize("propagation", ["Foreground", "Background", "Orphan"])
def test_a_job_that_a_person_deletes(server, scripted, environment, propagation):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    one = environment()
    execution, _ = started(server, one)
    server.delete(execution, propagation)
    states = []
    until(lambda: states.append(one.status(execution)) or states[-1].over)
    if propagation == "Orphan":  # its Pod goes on, and is followed to its end
        assert states[-1].state == "succeeded"
    else:
        assert states[-1].state in ("cancelled", "lost")
        assert {one.state for one in states[:-1]} <= {"running"}


# --------------------------------------------------------------------------------------------------- cancelling


def test_cancelling_waits_for_the_pod(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "hang"}})
    server.deletes = 5
    handle = runner(environment()).start(LOAD)
    next(line for line in handle.lines() if "Ingest resolved" in line.text)
    handle.cancel()
    assert handle.wait().cancelled
    assert (server.jobs, server.pods) == ({}, {})
    (body,) = [call["body"] for name, call in server.calls if name == "DeleteJob"]
    assert body["propagationPolicy"] == "Foreground"


def test_a_job_that_ends_meanwhile_is_not_deleted(server, scripted, environment, monkeypatch):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.5}})
    one = environment()
    execution, _ = started(server, one)
    read = one._job

    def stale(namespace, name):
        """Answers what was there, and lets the program end before the deletion comes."""
        job = read(namespace, name)
        until(lambda: server.only_job["status"].get("conditions"))
        return job

    monkeypatch.setattr(KubernetesEnvironment, "_job", lambda self, *names: stale(*names))
    monkeypatch.setattr(KubernetesEnvironment, "_pods", lambda self, *names: [])
    with pytest.raises(Exception, match="precondition") as raised:
        one.cancel(execution)
    assert one.classify_error(raised.value).kind == "retry"
    monkeypatch.undo()
    one.cancel(execution)
    assert one.status(execution).state == "succeeded"


def test_cancelling_what_is_gone(environment):
    environment().cancel("data/starlake-load-none")


# -------------------------------------------------------------------------------------------------------- log


def test_a_log_that_is_cut_off_again_and_again(server, scripted, environment):
    scripted.tell(noise=[f"26/01/01 00:00:00 INFO Main: {number} é" for number in range(300)])
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.5}})
    server.half_lines = True
    for _ in range(6):
        server.fail("GetLog", 0, after=True)
    handle = runner(environment()).start(LOAD)
    lines = texts(handle)
    noise = [line for line in lines if "INFO Main: " in line and line.endswith("\ufffd")]
    assert noise == [f"26/01/01 00:00:00 INFO Main: {number} \ufffd" for number in range(300)]
    assert handle.log_problem == ""


def test_a_container_that_waits_has_no_log_yet(server, environment):
    server.obstacle = "image"
    one = environment()
    execution = one.submit(SUBMISSION)
    assert [one.status(execution).state for _ in range(3)] == ["pending"] * 3
    one.logs(execution, None)  # the warning about the image
    assert one.logs(execution, None) == ([], None)
    assert server.count("GetLog") == 2


def test_a_rotated_log_is_no_complete_log(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    handle = runner(environment()).start(LOAD)
    lines = []
    for line in handle.lines():
        lines.append(line.text)
        if "Ingest resolved" in line.text:
            server.only_pod.rotated = len(server.only_pod.process.lines)
    assert "rotated" in handle.log_problem
    assert any(line.startswith("WARN") and "rotated" in line for line in lines)


def test_the_lines_of_a_second_pod_are_another_attempt(server, scripted, environment):
    one = environment()
    execution, first = started(server, one)
    until(lambda: one.status(execution).over)
    lines, cursor = one.logs(execution, None)
    assert {line.attempt for line in lines} == {0}
    second = type(first)(**{**first.__dict__, "name": "z-second", "created": "2999-01-01T00:00:00Z"})
    server.pods[second.name] = second
    more, cursor = one.logs(execution, cursor)
    assert {line.attempt for line in more} == {1} and len(more) == len(lines)
    del server.pods[first.name]
    assert one.logs(execution, cursor)[0] == []


# ------------------------------------------------------------------------------------------- attempts and logins


def test_a_retry_adopts_what_it_does_not_see_in_its_ledger(server, scripted, environment):
    """The worker died between the call and its answer: the name is known all the same."""
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    ledger = Ledger()
    one = runner(environment(), attempt=StepAttempt("run-1", "sales", 0, execution_log=ledger))
    handle = one.start(LOAD)
    ledger.record(type(handle._execution)("kubernetes", "", LOAD.argv, "job-1"))
    again = runner(environment(), attempt=StepAttempt("run-1", "sales", 1, execution_log=ledger))
    second = again.start(Command("load", LOAD.args, job_id="job-2"))
    assert second.wait().exit_code == 0
    assert (second.job_id, len(scripted.calls())) == ("job-1", 1)


def test_a_new_token_is_read_from_the_kubeconfig(server, tmp_path):
    server.token = "new"
    path = server.kubeconfig(tmp_path, token="old")
    one = KubernetesEnvironment(JobTemplate("starlake"), kubeconfig_file=path)
    with pytest.raises(Exception) as raised:
        one.find(SUBMISSION)
    assert one.classify_error(raised.value).kind == "denied"
    server.kubeconfig(tmp_path, token="new")
    one.refresh()
    assert one.find(SUBMISSION) is None


def test_a_denied_status_cancels_nothing(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    handle = runner(environment()).start(LOAD)
    server.forbidden = {"get jobs", "get pods/log"}
    lines = []
    for line in handle.lines():
        lines.append(line.text)
        if "permission is missing" in line.text:
            server.forbidden = set()
    assert handle.wait().exit_code == 0
    assert server.count("DeleteJob") == 0


@pytest.mark.parametrize(
    ("context", "given", "namespace"), [(None, None, "data"), ("other", None, "default"), (None, "mine", "mine")]
)
def test_the_namespace(server, tmp_path, context, given, namespace):
    one = KubernetesEnvironment(
        JobTemplate("starlake"), given, kubeconfig_file=server.kubeconfig(tmp_path), context=context
    )
    assert one.namespace_name == namespace


def test_in_a_pod_its_own_credentials_are_used(server, tmp_path, monkeypatch):
    from kubernetes.config import incluster_config

    from starlake_dagster_assets.execution.backends.remote import kubernetes_client

    (tmp_path / "token").write_text("of-the-pod")
    (tmp_path / "namespace").write_text("default\n")
    (tmp_path / "ca.crt").write_text("x")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(kubernetes_client, "_SERVICE_ACCOUNT", tmp_path)
    one = KubernetesEnvironment(JobTemplate("starlake"))
    assert one.namespace_name == "default"
    found = kubernetes_client.api_client(None, None, True).configuration
    assert found.host == "https://127.0.0.1:1"
    assert found.auth_settings()["BearerToken"]["value"] == "bearer of-the-pod"


@pytest.mark.parametrize("context", [None, "nowhere"])
def test_no_credentials(server, tmp_path, monkeypatch, context):
    path = server.kubeconfig(tmp_path) if context else str(tmp_path / "none")
    one = KubernetesEnvironment(JobTemplate("starlake"), "data", kubeconfig_file=path, context=context)
    with pytest.raises(RunnerError, match="there are no credentials"):
        one.find(SUBMISSION)


def test_an_interrupted_submission_leaves_no_job(server, scripted, environment, monkeypatch):
    scripted.tables({"sales.orders": {"do": "hang"}})
    sent = threading.Event()
    create = KubernetesEnvironment.submit

    def slow(self, submission):
        found = create(self, submission)
        sent.set()
        time.sleep(0.1)
        return found

    monkeypatch.setattr(KubernetesEnvironment, "submit", slow)
    from starlake_dagster_assets.execution.backends.remote.threaded_call import PendingCall

    def interrupted(self):
        sent.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(PendingCall, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner(environment()).start(LOAD)
    assert server.jobs == {}
    assert re.search("DeleteJob", str(server.calls))


def test_an_outage_that_is_too_long_says_where_it_is(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    policy = Policy(**{**FAST.__dict__, "outage": 0.2})
    handle = runner(environment(), policy=policy).start(LOAD)
    server.fail("ListPods", 503, times=10_000)
    with pytest.raises(UnreachableError, match=f"data/{job_name(SUBMISSION)}"):
        handle.wait()
    assert server.count("DeleteJob") == 0
