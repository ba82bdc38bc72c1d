"""Commands on the Airflow workers, by the Bash operator: values are environment variables, never shell text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from starlake_dagster_assets.airflow.operators.renderer import DATE, Arguments, OperatorRenderer
from starlake_dagster_assets.airflow.operators.standard import EMPTY, render_operator_import
from starlake_dagster_assets.airflow.plan.model import TaskSpec
from starlake_dagster_assets.airflow.render.source import Raw

__all__ = ["Shell"]

_SHARED = {"--scheduledDate"}


@dataclass(frozen=True)
class Shell(OperatorRenderer):
    """Operators on the Airflow worker: one `BashOperator` per command, and a `PythonSensor` that waits for files."""

    operator: ClassVar[str] = "BashOperator"
    operator_arguments: ClassVar[tuple[str, ...]] = ("cwd", "output_encoding", "output_processor")
    reserved: ClassVar[tuple[str, ...]] = ("ENV", "STAGE", "LOAD", "TRANSFORM", "files_are_there")
    local_files: ClassVar[bool] = True

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators in use."""
        found = [render_operator_import("operators.bash", "BashOperator", "operators.bash")]
        if self.waits():
            found += [EMPTY, render_operator_import("sensors.python", "PythonSensor", "sensors.python")]
        return found

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constants for the environment variables and for one command line per kind of command."""
        starlake = self.templated_option("starlake_path", "starlake", options=["SL_STARLAKE_PATH"])
        kinds = {task.kind: task for task in reversed(self.dag.tasks)}
        env = {"STARLAKE": starlake}
        if kinds.keys() & {"load", "transform"}:
            env |= {"STARLAKE_PYTHON": "{{ python() }}", "STARLAKE_WORKER": "{{ worker() }}"}
        if "load" in kinds:
            env |= {"STARLAKE_EXPORT": self.manifest, "STARLAKE_ATTEMPT": "{{ attempt() }}"}
        env |= self.env
        if "load" in kinds or "transform" in kinds:
            env["ARG_SCHEDULED_DATE"] = DATE
        commands = [
            (kind.upper(), Raw(_command(kinds[kind]))) for kind in ("stage", "load", "transform") if kind in kinds
        ]
        return [("ENV", env), *commands]

    @property
    def shared(self) -> Sequence[str]:
        """Name of the shared function that waits for files; empty if no task waits."""
        return ("files_are_there",) if self.waits() else ()

    def default_args(self) -> dict[str, Any]:
        """Returns `append_env`, which keeps environment variables of the worker such as `PATH`."""
        return {"append_env": True}

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its arguments."""
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
    """Returns the command line of a kind of command, as Python source."""
    flags = [*task.argv[1::2]]
    flags += ["--scheduledDate"] if task.kind in ("load", "transform") else []
    flags += ["--options"] if task.kind == "transform" else []
    words = [task.kind, *(f'{flag} "${_name(flag)}"' for flag in flags)]
    if task.kind == "stage":
        line = " ".join(['"$STARLAKE"', *words])
        return f"'{line}'"
    # Starlake ends with 0 when it finds no file or loads a part: the worker decides by the rules of Dagster steps
    return (
        '"""\n'
        'exec "${STARLAKE_PYTHON:-python3}" "${STARLAKE_WORKER:--mstarlake_dagster_assets.airflow.worker}" '
        f"{' '.join(words)}\n"
        '"""'
    )


def _name(flag: str) -> str:
    return "ARG_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", flag.lstrip("-")).upper()
