"""A local ECS and CloudWatch Logs for the real boto3: runs each task's container as a process.

What it does is what the API's documentation says of RunTask (client tokens and ConflictException, failures in a 200
answer, 8192 characters of overrides), ListTasks (`startedBy` is the only filter, RUNNING by default), DescribeTasks
(MISSING, also for a while after RunTask), StopTask (stopCode UserInitiated) and GetLogEvents (forward tokens that stay
the same at the end). Lines may be late or lost. An operation it does not know is answered with 501, so that a test
cannot pass by accident.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.containers import Container
from tests.fakes.servers import LocalServer

__all__ = ["FakeAws", "Fault", "Task"]

ACCOUNT = "000000000000"
_LIMIT = 8192
_DEFINITIONS = f"arn:aws:ecs:eu-west-3:{ACCOUNT}:task-definition"


@dataclass
class Fault:
    """What happens to the next calls of an operation.

    Attributes:
        code: Error code (`ThrottlingException`, …); "" cuts the connection.
        status: HTTP status.
        times: How many calls.
        after: The call takes effect first; only its answer is lost.
        message: Text of the error.
    """

    code: str
    status: int = 400
    times: int = 1
    after: bool = False
    message: str = "injected"


@dataclass
class Task:
    """One task: the request that made it, and its process."""

    arn: str
    request: Mapping[str, Any]
    status: str = "PROVISIONING"
    exit_code: int | None = None
    stop_code: str | None = None
    reason: str | None = None
    process: Container | None = None
    seen: int = 0
    ended: float | None = None

    @property
    def container(self) -> Mapping[str, Any]:
        """The override of its container."""
        return self.request["overrides"]["containerOverrides"][0]

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the override."""
        return {pair["name"]: pair["value"] for pair in self.container.get("environment", [])}


class FakeAws(LocalServer):
    """The server.

    Args:
        program: What the container runs before its command: an argument list.
        environ: The environment that the task definition gives.
        log_driver: `awslogs`, or another one that nobody can read.
        starts: Describe calls until a task runs.
        log_mode: `mode` of the log driver.
    """

    def __init__(
        self,
        program: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        log_driver: str = "awslogs",
        starts: int = 1,
        log_mode: str | None = "blocking",
    ) -> None:
        self.program = list(program)
        self.environ = dict(environ or {})
        self.log_driver = log_driver
        self.starts = starts
        self.log_mode = log_mode
        self.essential = True
        """Whether the end of the container ends its task."""
        self.log_lag = 0.0
        """Seconds after the end of a task until its lines but the first ones can be read."""
        self.log_keeps = 1_000_000
        """Lines that can be read before the lag; then all of them."""
        self.log_loses: Callable[[str], bool] = lambda text: False
        self.entry_point: list[str] = []
        self.definitions: dict[str, dict[str, Any]] = {}
        """Those that were registered, by family."""
        self.invisible = 0
        """Calls that name a task after RunTask before it can be seen."""
        self.tasks: dict[str, Task] = {}
        self.tokens: dict[str, tuple[str, str]] = {}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.failures: list[Mapping[str, str]] = []
        self.never_start: str | None = None
        """The reason why tasks stop before their container starts."""
        self.forgotten: set[str] = set()
        self.faults: dict[str, list[Fault]] = {}
        self.lock = threading.RLock()
        self.serve("POST")

    def close(self) -> None:
        """Ends the server and what still runs."""
        super().close()
        for task in self.tasks.values():
            if task.process is not None:
                task.process.stop()

    def fail(self, operation: str, code: str, **how: Any) -> None:
        """Lets the next calls of an operation fail."""
        self.faults.setdefault(operation, []).append(Fault(code, **how))

    def count(self, operation: str) -> int:
        """How many calls of an operation came."""
        return sum(1 for name, _ in self.calls if name == operation)

    # ------------------------------------------------------------------------------------------------- http

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one call."""
        operation = handler.headers["X-Amz-Target"].partition(".")[2]
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])) or b"{}")
        with self.lock:
            self.calls.append((operation, request))
            fault = self._fault(operation)
            if fault is None or fault.after:
                status, body = self._do(operation, request)
            else:
                status, body = 0, {}
        if fault is not None:
            if not fault.code:
                handler.close_connection = True
                handler.connection.close()
                return
            status, body = fault.status, {"__type": fault.code, "message": fault.message}
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.1")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _fault(self, operation: str) -> Fault | None:
        waiting = self.faults.get(operation, [])
        if not waiting:
            return None
        waiting[0].times -= 1
        return waiting.pop(0) if waiting[0].times <= 0 else waiting[0]

    def _do(self, operation: str, request: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        action: Callable[[Mapping[str, Any]], dict[str, Any]] | None = {
            "RunTask": self._run_task,
            "DescribeTasks": self._describe_tasks,
            "ListTasks": self._list_tasks,
            "StopTask": self._stop_task,
            "RegisterTaskDefinition": self._register,
            "DescribeTaskDefinition": self._describe_task_definition,
            "GetLogEvents": self._get_log_events,
        }.get(operation)
        if action is None:
            return 501, {"__type": "FakeBug", "message": f"the fake does not know {operation}"}
        try:
            return 200, action(request)
        except _Refused as refused:
            more = {"resourceIds": refused.resources} if refused.resources else {}
            return 400, {"__type": refused.code, "message": refused.text, **more}

    # -------------------------------------------------------------------------------------------------- ecs

    def _run_task(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if len(json.dumps(request["overrides"], separators=(",", ":"))) > _LIMIT:
            raise _Refused("InvalidParameterException", "Container Overrides length must be at most 8192")
        token = request["clientToken"]
        wish = json.dumps({key: value for key, value in request.items() if key != "clientToken"}, sort_keys=True)
        if token in self.tokens:
            arn, before = self.tokens[token]
            if before != wish:
                raise _Refused("ConflictException", "the client token was used with other parameters", [arn])
            return {"tasks": [self._shown(self.tasks[arn])], "failures": []}
        if self.failures:
            return {"tasks": [], "failures": [self.failures.pop(0)]}
        _valid(request)
        cluster = request.get("cluster", "default")
        arn = f"arn:aws:ecs:eu-west-3:{ACCOUNT}:task/{cluster}/{uuid.uuid4().hex}"
        self.tokens[token] = (arn, wish)
        self.tasks[arn] = Task(arn, request)
        return {"tasks": [self._shown(self.tasks[arn])], "failures": []}

    def _describe_tasks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        found, missing = [], []
        for arn in request["tasks"]:
            if arn in self.tasks and arn not in self.forgotten and self._visible():
                self._advance(self.tasks[arn])
                found.append(self._shown(self.tasks[arn]))
            else:
                missing.append({"arn": arn, "reason": "MISSING"})
        return {"tasks": found, "failures": missing}

    def _list_tasks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        filters = request.keys() - {"cluster", "nextToken", "maxResults"}
        if "startedBy" in filters and filters != {"startedBy"}:
            raise _Refused("InvalidParameterException", "cannot specify startedBy with other arguments")
        if not self._visible():
            return {"taskArns": []}
        stopped = request.get("desiredStatus", "RUNNING") == "STOPPED"
        arns = [
            task.arn
            for task in self.tasks.values()
            if (task.stop_code is not None or task.status == "STOPPED") == stopped
            and request.get("startedBy") in (None, task.request["startedBy"])
            and request.get("family") in (None, _id(task.request["taskDefinition"]).partition(":")[0])
        ]
        start = int(request.get("nextToken", 0))
        more = {"nextToken": str(start + 2)} if start + 2 < len(arns) else {}
        return {"taskArns": arns[start : start + 2], **more}

    def _visible(self) -> bool:
        """Whether a call sees the newest task: answers are eventually consistent."""
        self.invisible -= 1
        return self.invisible < 0

    def _stop_task(self, request: Mapping[str, Any]) -> dict[str, Any]:
        task = self.tasks.get(request["task"]) if self._visible() else None
        if task is None or task.arn in self.forgotten:
            raise _Refused("InvalidParameterException", "The referenced task was not found.")
        if task.status != "STOPPED":
            task.stop_code, task.reason = "UserInitiated", request.get("reason")
            if task.process is None:
                task.status = "STOPPED"
            else:
                task.process.stop()
        return {"task": self._shown(task)}

    def _describe_task_definition(self, request: Mapping[str, Any]) -> dict[str, Any]:
        entry = {"entryPoint": self.entry_point} if self.entry_point else {}
        options = {"awslogs-group": "/ecs/starlake", "awslogs-stream-prefix": "sl", "awslogs-region": "eu-west-3"}
        if self.log_mode is not None:
            options["mode"] = self.log_mode
        container = {
            "name": "starlake",
            "image": "starlake",
            **entry,
            "logConfiguration": {"logDriver": self.log_driver, "options": options},
        }
        name = request["taskDefinition"].rpartition("/")[2].partition(":")[0]
        if name in self.definitions:
            return {"taskDefinition": self.definitions[name]}
        if name.endswith("-starlake"):
            raise _Refused("ClientException", "Unable to describe task definition.")
        if name == "unknown":
            raise _Refused("ClientException", "Unable to describe task definition.")
        answered = {"revision": 1, "status": "ACTIVE", "taskDefinitionArn": f"{_DEFINITIONS}/{name}:1"}
        return {
            "taskDefinition": {**answered, "family": name, "containerDefinitions": [{"name": "sidecar"}, container]}
        }

    def _register(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if {"revision", "status", "taskDefinitionArn"} & request.keys():
            raise _Refused("ClientException", "Unknown parameter in input")
        family = request["family"]
        revision = self.definitions.get(family, {}).get("revision", 0) + 1
        answered = {
            "revision": revision,
            "status": "ACTIVE",
            "taskDefinitionArn": f"{_DEFINITIONS}/{family}:{revision}",
        }
        self.definitions[family] = {**request, **answered}
        return {"taskDefinition": self.definitions[family]}

    def _advance(self, task: Task) -> None:
        task.seen += 1
        if task.status != "PROVISIONING" or task.seen < self.starts:
            return
        if self.never_start is not None:
            task.status, task.stop_code, task.reason = "STOPPED", "TaskFailedToStart", self.never_start
            return
        task.status = "RUNNING"
        argv = [*self.program, *task.container["command"]]
        task.process = Container(argv, {**self.environ, **task.environ}, lambda code: self._ended(task, code))

    def _ended(self, task: Task, code: int) -> None:
        with self.lock:
            task.exit_code, task.ended = code, time.monotonic()
            if not self.essential and not task.stop_code:
                return  # the other container goes on
            task.stop_code = task.stop_code or "EssentialContainerExited"
            task.reason = task.reason or "Essential container in task exited"
            task.status = "STOPPED"

    def _shown(self, task: Task) -> dict[str, Any]:
        ended = task.exit_code is not None
        container: dict[str, Any] = {"name": "starlake", "lastStatus": "STOPPED" if ended else task.status}
        if task.exit_code is not None:
            container["exitCode"] = task.exit_code
        shown: dict[str, Any] = {
            "taskArn": task.arn,
            "lastStatus": task.status,
            "desiredStatus": "STOPPED" if task.stop_code else "RUNNING",
            "containers": [{"name": "sidecar", "lastStatus": task.status, "exitCode": 0}, container],
            "startedBy": task.request.get("startedBy", ""),
        }
        if task.stop_code:
            shown |= {"stopCode": task.stop_code, "stoppedReason": task.reason or ""}
        return shown

    # ------------------------------------------------------------------------------------------------- logs

    def _get_log_events(self, request: Mapping[str, Any]) -> dict[str, Any]:
        task = next((one for one in self.tasks.values() if request["logStreamName"].endswith(_id(one.arn))), None)
        expected = f"sl/starlake/{_id(task.arn)}" if task else None
        if task is None or request["logStreamName"] != expected or request["logGroupName"] != "/ecs/starlake":
            raise _Refused("ResourceNotFoundException", "The specified log stream does not exist.")
        lines = [text for _, text in list(task.process.lines) if not self.log_loses(text)] if task.process else []
        if task.ended is None or time.monotonic() - task.ended < self.log_lag:
            lines = lines[: self.log_keeps]
        if not lines:
            raise _Refused("ResourceNotFoundException", "The specified log stream does not exist.")
        start = int(request.get("nextToken", "f/0").partition("/")[2])
        page = lines[start : start + (3 if len(lines) < 500 else 200)]  # small pages, so that tokens matter
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in page]
        return {
            "events": events,
            "nextForwardToken": f"f/{start + len(page)}",
            "nextBackwardToken": f"b/{start}",
        }


class _Refused(Exception):
    def __init__(self, code: str, text: str, resources: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.code, self.text, self.resources = code, text, list(resources)


def _valid(request: Mapping[str, Any]) -> None:
    """Raises for what the service model does not allow."""
    allowed = re.fullmatch(r"[A-Za-z0-9/_-]{1,128}", request["startedBy"])
    if not allowed or not re.fullmatch(r"[!-~]{1,64}", request["clientToken"]):
        raise _Refused("InvalidParameterException", "startedBy or clientToken is not valid")
    if "launchType" in request and "capacityProviderStrategy" in request:
        raise _Refused("InvalidParameterException", "launchType must be omitted with a capacityProviderStrategy")
    if len(request.get("tags", ())) > 50:
        raise _Refused("InvalidParameterException", "too many tags")


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
