"""Commands on the Airflow workers, by the Bash operator: values are environment variables, never shell text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.model import TaskSpec
from starlake_dagster_assets.airflow.operators.dialect import DATE, Arguments, Dialect
from starlake_dagster_assets.airflow.operators.standard import EMPTY, either
from starlake_dagster_assets.airflow.source import Raw, jinja_text

__all__ = ["Shell"]

_READY = '''\
def files_are_there(argv, env):
    """Asks Starlake whether there is something to load; an error of its own fails the task."""
    with tempfile.TemporaryDirectory() as here:
        marker = Path(here, "not_ready")
        command = [*argv, "--notReadySentinel", str(marker)]
        subprocess.run(command, env={**os.environ, **env}, check=True)
        return not marker.exists()
'''
_SHARED = {"--scheduledDate"}


@dataclass(frozen=True)
class Shell(Dialect):
    """`BashOperator`, and a `PythonSensor` that waits."""

    reserved: ClassVar[tuple[str, ...]] = ("ENV", "STAGE", "LOAD", "TRANSFORM", "files_are_there")

    @property
    def modules(self) -> Sequence[str]:
        """What the waiting function uses."""
        return ("import os", "import subprocess", "import tempfile", "from pathlib import Path") if self.waits() else ()

    @property
    def imports(self) -> Sequence[str]:
        """Of the operators in use."""
        found = [either("operators.bash", "BashOperator", "operators.bash")]
        if self.waits():
            found += [EMPTY, either("sensors.python", "PythonSensor", "sensors.python")]
        return found

    def constants(self) -> Sequence[tuple[str, Any]]:
        """The environment and one command line a kind of command."""
        path = self.given("SL_STARLAKE_PATH") or "starlake"
        starlake = "{{ var.value.get('starlake_path', " + jinja_text(path) + ") }}"
        env = {"STARLAKE": starlake, **self.env}
        kinds = {task.kind: task for task in reversed(self.dag.tasks)}
        if "load" in kinds or "transform" in kinds:
            env["ARG_SCHEDULED_DATE"] = DATE
        commands = [
            (kind.upper(), Raw(_command(kinds[kind]))) for kind in ("stage", "load", "transform") if kind in kinds
        ]
        return [("ENV", env), *commands]

    def functions(self) -> Sequence[str]:
        """How files are waited for."""
        return (_READY,) if self.waits() else ()

    def default_args(self) -> dict[str, Any]:
        """`PATH` and the like stay."""
        return {"append_env": True}

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """The operator of a task."""
        if task.kind == "start":
            return "EmptyOperator", []
        if task.kind == "wait":
            argv = [Raw('ENV["STARLAKE"]'), *self.arguments(task)]
            known: Arguments = [
                ("python_callable", Raw("files_are_there")),
                ("op_kwargs", {"argv": argv, "env": Raw("ENV")}),
            ]
            return "PythonSensor", [*known, *self.sensor(task)]
        own = {name: value for flag, name, value in self._values(task) if flag not in _SHARED}
        return "BashOperator", [("bash_command", Raw(task.kind.upper())), ("env", {Raw("ENV"): Raw(""), **own})]

    def _values(self, task: TaskSpec) -> Iterator[tuple[str, str, str]]:
        arguments = self.arguments(task)
        for flag, value in zip(arguments[1::2], arguments[2::2], strict=True):
            yield flag, _name(flag), value


def _command(task: TaskSpec) -> str:
    """The command line of a kind of command, as Python text."""
    flags = [*task.argv[1::2]]
    flags += ["--scheduledDate"] if task.kind in ("load", "transform") else []
    flags += ["--options"] if task.kind == "transform" else []
    line = " ".join([f'"$STARLAKE" {task.kind}', *(f'{flag} "${_name(flag)}"' for flag in flags)])
    if task.kind != "load":
        return f"'{line}'"
    # Starlake ends well when it finds no file: the table was not made then, and its asset must not move
    return (
        '"""\nset -eo pipefail\n'
        f"{line} 2>&1 | tee load.log\n"
        "grep -q -e 'Ingest resolved file' -e 'ingestion-summary' load.log || exit 99  # nothing to load: skipped\n"
        '"""'
    )


def _name(flag: str) -> str:
    return "ARG_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", flag.lstrip("-")).upper()
