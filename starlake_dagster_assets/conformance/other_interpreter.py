"""Another Python interpreter that takes over an execution, as a worker does after the first one has died."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram
from starlake_dagster_assets.environments import Command, Submission

if TYPE_CHECKING:
    from starlake_dagster_assets.conformance.settings import ConformanceSettings

__all__ = ["take_over"]

_MAIN = "from starlake_dagster_assets.conformance.other_interpreter import main; main()"


def take_over(suite: ConformanceSettings, directory: Path, submission: Submission) -> dict[str, Any]:
    """Finds, reads and cancels the execution of a submission in another interpreter.

    Args:
        suite: The tests of the environment, whose class must be at the top level of its module.
        directory: Directory of the test.
        submission: The submission.

    Returns:
        `found`, the id; `state` before it is cancelled; `lines`; and `end`, the last state.
    """
    kind = type(suite)
    if "<locals>" in kind.__qualname__:
        pytest.fail(f"{kind.__name__} is defined in a function; expected a class of a module, for a new interpreter.")
    request = {
        "path": [str(Path.cwd()), *sys.path],
        "module": kind.__module__,
        "file": inspect.getfile(kind),
        "class": kind.__name__,
        "attributes": dict(suite.attributes_of_new_process()),
        "directory": str(directory),
        "command": [submission.command.name, *submission.command.args],
        "env": dict(submission.command.env),
        "key": submission.key,
        "labels": dict(submission.labels),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _MAIN],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=60 + 3 * suite.time_limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("another interpreter did not find, read and cancel the execution within the time limit")
    if done.returncode:
        pytest.fail(
            f"another interpreter cannot use the environment: {done.stderr.strip()[-2000:]}\nNext: return what "
            "open_environment needs of this object, such as the URL of a service, from attributes_of_new_process()."
        )
    return json.loads(done.stdout.rpartition("\n")[2])


def main() -> None:
    """Reads the request of `take_over` from stdin, and prints the answer as the last line."""
    request: dict[str, Any] = json.loads(sys.stdin.read())
    sys.path[:] = request["path"]
    spec = importlib.util.spec_from_file_location(request["module"], request["file"])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[request["module"]] = module
    spec.loader.exec_module(module)
    suite: ConformanceSettings = getattr(module, request["class"])()
    vars(suite).update(request["attributes"])
    name, *args = request["command"]
    command = Command(name, tuple(args), request["env"], job_id=request["key"])
    answer = _take_over(suite, Path(request["directory"]), Submission(command, request["key"], request["labels"]))
    sys.stdout.write(f"\n{json.dumps(answer)}")


def _take_over(suite: ConformanceSettings, directory: Path, submission: Submission) -> dict[str, Any]:
    environment = suite.open_environment(ScriptedProgram(directory / "program", is_new=False), directory)
    end = time.monotonic() + suite.time_limit
    pause = suite.policy.poll / 5
    while (found := environment.find(submission)) is None and time.monotonic() < end:
        time.sleep(pause)
    if found is None:
        return {"found": None}
    lines: list[str] = []
    while not lines and time.monotonic() < end:
        lines = [line.text for line in environment.logs(found, None)[0]]
        time.sleep(pause)
    state = environment.status(found).state
    environment.cancel(found)
    while not environment.status(found).over and time.monotonic() < end:
        time.sleep(pause)
    return {"found": found, "state": state, "lines": lines, "end": environment.status(found).state}
