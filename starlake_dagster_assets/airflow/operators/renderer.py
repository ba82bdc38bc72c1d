"""Base class of the operator renderers: methods that each environment overrides, and methods that all share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast

from starlake_dagster_assets.airflow.dag_options import Templates, setting
from starlake_dagster_assets.airflow.operators.expectation_tasks import JOB_ID
from starlake_dagster_assets.airflow.operators.standard import EMPTY, PYTHON_SENSOR
from starlake_dagster_assets.airflow.plan.model import DagSpec, TaskSpec
from starlake_dagster_assets.airflow.render.source import Call, Raw, jinja, jinja_text
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import ProjectError

__all__ = ["Arguments", "OperatorRenderer", "url_parts"]

Arguments = list[tuple[str, Any]]

DATE = "{{ window()[1] }}+0000"


def url_parts(url: str) -> tuple[str, str]:
    """Returns bucket and path of the URL of an object store."""
    bucket, _, path = url.partition("://")[2].partition("/")
    return bucket, path


@dataclass(frozen=True)
class OperatorRenderer:
    """Renderer of the Airflow operators of one environment; subclasses define the parts that differ.

    Attributes:
        dag: The DAG to write.
        project: The project of the DAG.
    """

    dag: DagSpec
    project: ProjectSource
    operator: ClassVar[str] = ""
    """Name of the operator that runs commands; "" = unknown, so that tags may set any argument."""
    operator_arguments: ClassVar[tuple[str, ...]] = ()
    """Arguments that the operator has in addition to those of every operator, in all supported versions of Airflow."""
    reserved: ClassVar[tuple[str, ...]] = ()
    """Python names that the DAG file defines, so that tasks and imports must not use them."""
    local_files: ClassVar[bool] = False
    """Whether commands run on the Airflow worker, which sees local files and skips loads without a file."""
    has_job_ids: ClassVar[bool] = True
    """Whether each command gets the environment variables of its task, so that its audit rows can be found."""
    reads_log: ClassVar[bool] = False
    """Whether tasks read the log of a command that has ended in a cloud, and fail if it reports no success."""
    bigquery_connection: ClassVar[str | None] = None
    """Airflow connection that reads an audit in BigQuery if no other one is configured."""

    @property
    def imports(self) -> Sequence[str]:
        """Imports of the operators, one block each."""
        raise NotImplementedError

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the names and values of the constants that the file defines before its functions."""
        return ()

    def functions(self) -> Sequence[str]:
        """Returns the source of the functions that the file defines before its DAG."""
        return ()

    def default_args(self) -> Mapping[str, Any]:
        """Returns the arguments that all operators of the DAG share."""
        return {}

    def task(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the operator of a task and its own arguments."""
        raise NotImplementedError

    @property
    def setup_and_teardown(self) -> tuple[tuple[str, str, Arguments], tuple[str, str, Arguments]] | None:
        """Setup and teardown task of all commands, each as task id, operator and arguments; None if there are none."""
        return None

    def runs_no_command(self, task: TaskSpec) -> bool:
        """Whether a task runs no Starlake command: a wait for files, or the start of loads without an ack file."""
        return task.kind == "wait" or (task.kind == "start" and task.waiting is not None and not task.waiting.ack)

    # -------------------------------------------------------------------------------------- what they share

    @property
    def templates(self) -> Templates:
        """Templates for the settings of the DAG."""
        return Templates(self.project, self.dag.variables_prefix, self.dag.settings)

    def templated_option(self, name: str, default: str | None = None, *, options: Sequence[str] = ()) -> str:
        """Returns a setting as a template: the Airflow variable of that name, with the option as its default.

        Args:
            name: Name of the variable and of the option.
            default: Used if no option is set; None = the variable must be set.
            options: Other names of the option.
        """
        known = setting(self.dag.settings, name, *options) or default
        return self.templates.variable(name, known)

    def dag_option(self, *names: str) -> str | None:
        """Returns the first of the named options that the DAG sets; None if the DAG sets none of them."""
        return setting(self.dag.settings, *names)

    def checked_option(self, name: str, pattern: str, expected: str) -> str | None:
        """Returns an option of the DAG whose text matches a pattern; None if the DAG does not set it.

        Args:
            name: Name of the option.
            pattern: Regular expression for the whole text; templates of Airflow are accepted too.
            expected: Description of the expected value, for the message.

        Raises:
            ProjectError: The text does not match.
        """
        text = self.dag_option(name)
        if text is not None and "{{" not in text and not re.fullmatch(pattern, text.strip()):
            raise ProjectError([f"option {name} of DAG {self.dag.id}: expected {expected}, found {text!r}."])
        return text

    def integer_option(self, name: str) -> int | None:
        """Returns an option of the DAG that is an integer; None if the DAG does not set it.

        Raises:
            ProjectError: The text is not an integer.
        """
        text = self.dag_option(name)
        if text is not None and not text.strip().isdecimal():
            raise ProjectError([f"option {name} of DAG {self.dag.id}: expected an integer, found {text!r}."])
        return None if text is None else int(text)

    def mapping_option(self, name: str) -> dict[str, str]:
        """Returns an option of the DAG that is a JSON mapping; empty if the DAG does not set it.

        Raises:
            ProjectError: The text is not a JSON mapping. The message does not show it, because it may be secret.
        """
        try:
            found: Any = json.loads(self.dag_option(name) or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProjectError([f"option {name} of DAG {self.dag.id}: expected a JSON mapping of texts."])
        return {str(key): str(value) for key, value in cast("dict[Any, Any]", found).items()}

    @cached_property
    def env(self) -> dict[str, str]:
        """The environment variables of every command, as templates."""
        variables = self.templates.environment()
        job = {"SL_JOB_ID": JOB_ID} if self.dag.audit else {}
        return {"SL_ROOT": self.templates.root, "SL_LOG_LEVEL": "info", **variables, **job}

    def arguments(self, task: TaskSpec) -> list[str]:
        """Returns the argument list of a task, as templates."""
        found = [jinja(arg) for arg in task.argv]
        if task.waiting is not None and "--globalAckFilePath" in found:
            found[found.index("--globalAckFilePath") + 1] = task.waiting.ack
        if task.kind in ("load", "transform"):
            found += ["--scheduledDate", DATE]
        if task.kind == "transform":
            found += ["--options", self.options(task)]
        return found

    def command_line(self, task: TaskSpec, function: str = "command_line") -> Call:
        """Returns the call of a function with the command of a task, and with the flags of the command by name.

        Args:
            task: The task.
            function: The function; by default that of the shared module, which returns the list of arguments.
        """
        command, *rest = self.arguments(task)
        flags = {flag.lstrip("-"): value for flag, value in zip(rest[::2], rest[1::2], strict=True)}
        known = {name: Raw("DATE") if name == "scheduledDate" else value for name, value in flags.items()}
        return Call(function, [command], named={**known, **({"spark": task.spark} if task.spark else {})})

    def options(self, task: TaskSpec) -> str:
        """Returns the `--options` of a transform, as a template."""
        more = ",".join(f"{name}={value}" for name, value in task.options.items())
        return "{{ options(" + (jinja_text(more) if more else "") + ") }}"

    @property
    def deferrable(self) -> dict[str, Any]:
        """The argument `deferrable` of operators and sensors; empty if an option turns it off."""
        text = self.checked_option("deferrable", "(?i:true|false)", "true or false") or "true"
        return {} if text.strip().lower() == "false" else {"deferrable": True}

    def waits(self) -> bool:
        """Whether a task of the DAG waits for files."""
        return any(task.kind == "wait" for task in self.dag.tasks)

    @property
    def shared(self) -> Sequence[str]:
        """Names that the file imports from the shared module."""
        judges = ("begin_load", "end_load") if self.root else ()
        return (*(("files_in_store",) if self._waits_for_files() else ()), *judges)

    @property
    def root(self) -> list[tuple[str, Any]]:
        """The constant with the locations of the files of loads; empty if there are no loads."""
        if not any(task.kind == "load" for task in self.dag.tasks):
            return []
        known = {name: self.env[name] for name in ("SL_ROOT", "SL_DATASETS") if name in self.env}
        return [("ROOT", {**known, "STARLAKE_EXPORT": self.manifest})]

    @property
    def manifest(self) -> str:
        """The path of the manifest, as a template."""
        return "{{ manifest('" + f"{self.dag.id}.py" + "') }}" if self.dag.embedded else "{{ manifest() }}"

    def result_arguments(self, task: TaskSpec) -> Arguments:
        """Returns the callbacks that decide the result of a load by its files, or of a transform by its audit row."""
        if task.audited:
            return [("post_execute", Call("end_transform", [*task.audited, Raw("**AUDIT")]))]
        if task.kind != "load":
            return []
        flags = dict(zip(task.argv[1::2], task.argv[2::2], strict=True))
        arguments = [Raw("ROOT"), flags["--domains"], *flags["--tables"].split(",")]
        return [("pre_execute", Call("begin_load", arguments)), ("post_execute", Call("end_load", arguments))]

    def waiting_operators(self, sensor: str) -> list[str]:
        """Returns the imports of the operators that wait for files in an object store.

        Args:
            sensor: Import of the sensor of ack files.
        """
        acks = any(task.waiting and task.waiting.ack for task in self.dag.tasks if task.kind == "wait")
        found = [EMPTY] if self.waits() else []
        return [*found, *([sensor] if acks else []), *([PYTHON_SENSOR] if self._waits_for_files() else [])]

    def by_patterns(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the sensor that waits for files of the tables in an object store, and its arguments."""
        assert task.waiting is not None
        known: dict[str, Any] = {
            "url": task.waiting.directory,
            "patterns": [jinja(one) for one in task.waiting.patterns],
        }
        if any(task.waiting.acks):
            known["acks"] = [jinja(one) for one in task.waiting.acks]
        return "PythonSensor", [("python_callable", Raw("files_in_store")), ("op_kwargs", known), *self.sensor(task)]

    def _waits_for_files(self) -> bool:
        return any(task.waiting and not task.waiting.ack for task in self.dag.tasks if task.kind == "wait")

    def sensor(self, task: TaskSpec) -> Arguments:
        """Returns the arguments `mode`, `poke_interval`, `timeout` and `soft_fail` of a sensor."""
        assert task.waiting is not None
        preload = task.waiting.preload
        return [
            ("mode", "reschedule"),
            ("poke_interval", _whole(preload.poke_interval)),
            ("timeout", _whole(preload.ack_wait_timeout)),
            ("soft_fail", preload.soft_fail),
        ]


def _whole(seconds: float) -> Raw:
    return Raw(int(seconds) if seconds == int(seconds) else repr(seconds))
